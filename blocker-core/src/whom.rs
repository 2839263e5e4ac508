//! Whom a command is about, as an administrator wrote it: an address, or a prefix.
//!
//! The difference is lost in a [`Prefix`], where 2001:db8::9 and 2001:db8::9/128 are the same, and matters for a ban: an
//! address is banned as the log would have it banned, a prefix exactly as written.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::prefix::{InvalidPrefix, Prefix};

/// An address or a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// Without a length behind it.
    Address(IpAddr),
    /// With one.
    Prefix(Prefix),
}

impl Whom {
    /// Exactly what was written.
    #[must_use]
    pub fn exactly(self) -> Prefix {
        match self {
            Self::Address(addr) => Prefix::host(addr),
            Self::Prefix(prefix) => prefix,
        }
    }
}

impl From<Prefix> for Whom {
    fn from(prefix: Prefix) -> Self {
        Self::Prefix(prefix)
    }
}

impl FromStr for Whom {
    type Err = InvalidPrefix;

    /// Reads what [`Prefix`] does.
    fn from_str(text: &str) -> Result<Self, InvalidPrefix> {
        let prefix: Prefix = text.parse()?;
        Ok(if text.contains('/') { Self::Prefix(prefix) } else { Self::Address(prefix.addr()) })
    }
}

impl fmt::Display for Whom {
    /// `192.0.2.9`, `192.0.2.9/32`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(addr) => write!(f, "{addr}"),
            Self::Prefix(prefix) => write!(f, "{}/{}", prefix.addr(), prefix.len()),
        }
    }
}

impl Serialize for Whom {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Whom {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_told_apart_and_written_again() {
        for (text, again, is_address) in [
            ("192.0.2.9", "192.0.2.9", true),
            ("192.0.2.9/32", "192.0.2.9/32", false),
            ("2001:db8::9", "2001:db8::9", true),
            ("2001:db8::9/128", "2001:db8::9/128", false),
            ("2001:db8::9/64", "2001:db8::/64", false),
            ("::ffff:192.0.2.9", "192.0.2.9", true),
        ] {
            let whom: Whom = text.parse().unwrap();

            assert_eq!(whom.to_string(), again);
            assert_eq!(matches!(whom, Whom::Address(_)), is_address, "{text}");
            assert_eq!(again.parse(), Ok(whom));
        }
        assert!("mail.example.org".parse::<Whom>().is_err());
        assert!("::/0".parse::<Whom>().is_err());
    }
}
