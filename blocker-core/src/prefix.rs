//! Networks and single hosts, IPv4 and IPv6, in one canonical form.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An address prefix.
///
/// A `Prefix` has its host bits zeroed, is never `0.0.0.0/0` or `::/0`, and is never an IPv4 network in IPv6 clothes:
/// `::ffff:192.0.2.9` is the IPv4 host 192.0.2.9. Two equal networks are therefore equal values.
///
/// They are ordered by family, IPv4 first, then by address, then by length: a network comes right before all inside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    addr: IpAddr,
    len: u8,
}

/// A text or a pair that is no prefix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPrefix {
    /// Neither an address nor an address with a length behind a slash.
    #[error("`{0}` is no address and no network: write 192.0.2.9, 192.0.2.0/24, 2001:db8::9 or 2001:db8::/64")]
    Syntax(String),
    /// The length is zero or beyond the family's.
    #[error("`{0}` has no usable prefix length: 1 to 32 for IPv4, 1 to 128 for IPv6")]
    Length(String),
}

impl Prefix {
    /// The single host `addr`.
    #[must_use]
    pub fn host(addr: IpAddr) -> Self {
        let addr = addr.to_canonical();
        Self { addr, len: width(addr) }
    }

    /// The network of the first `len` bits of `addr`; host bits are cleared.
    ///
    /// # Errors
    ///
    /// [`InvalidPrefix::Length`] if `len` is 0 or beyond the family's width.
    pub fn new(addr: IpAddr, len: u8) -> Result<Self, InvalidPrefix> {
        let canonical = addr.to_canonical();
        // A mapped network shorter than /96 spans more than IPv4 and stays IPv6.
        let (addr, len) = match (addr, canonical) {
            (IpAddr::V6(_), IpAddr::V4(_)) if len >= 96 => (canonical, len - 96),
            (IpAddr::V6(_) | IpAddr::V4(_), IpAddr::V4(_) | IpAddr::V6(_)) => (addr, len),
        };
        if len == 0 || len > width(addr) {
            return Err(InvalidPrefix::Length(format!("{addr}/{len}")));
        }
        Ok(Self { addr: masked(addr, len), len })
    }

    /// The network of at most `len_v6` bits that an IPv6 host is counted by; an IPv4 host is its own, and so is one behind a
    /// translator (64:ff9b::/96, RFC 6052, and 64:ff9b:1::/48, RFC 8215): its neighbours are all of IPv4.
    ///
    /// # Errors
    ///
    /// As [`Prefix::new`].
    pub fn aggregate(addr: IpAddr, len_v6: u8) -> Result<Self, InvalidPrefix> {
        match addr.to_canonical() {
            v4 @ IpAddr::V4(_) => Ok(Self::host(v4)),
            IpAddr::V6(v6) if is_translated(v6) => Ok(Self::host(v6.into())),
            v6 @ IpAddr::V6(_) => Self::new(v6, len_v6),
        }
    }

    /// The first address.
    #[must_use]
    pub fn addr(self) -> IpAddr {
        self.addr
    }

    /// The number of leading bits that are fixed.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "the length of a prefix, not of a collection")]
    pub fn len(self) -> u8 {
        self.len
    }

    /// Whether it is one address.
    #[must_use]
    pub fn is_host(self) -> bool {
        self.len == width(self.addr)
    }

    /// Whether `addr` lies in it.
    #[must_use]
    pub fn contains(self, addr: IpAddr) -> bool {
        self.covers(Self::host(addr))
    }

    /// Whether every address of `other` lies in it.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        self.len <= other.len
            && self.addr.is_ipv4() == other.addr.is_ipv4()
            && masked(other.addr, self.len) == self.addr
    }

    /// Whether it is, or lies among, addresses that stand for IPv4 hosts behind a translator.
    #[must_use]
    pub fn is_translated(self) -> bool {
        match self.addr {
            IpAddr::V4(_) => false,
            IpAddr::V6(v6) => is_translated(v6),
        }
    }

    /// Its first `len` bits: a network that covers it. `None` if `len` is 0 or longer than its own.
    #[must_use]
    pub fn shortened(self, len: u8) -> Option<Self> {
        (1..=self.len).contains(&len).then(|| Self { addr: masked(self.addr, len), len })
    }
}

/// Whether the address stands for an IPv4 host that a translator speaks for.
fn is_translated(addr: Ipv6Addr) -> bool {
    matches!(addr.segments(), [0x64, 0xff9b, 0, 0, 0, 0, _, _] | [0x64, 0xff9b, 1, ..])
}

fn width(addr: IpAddr) -> u8 {
    match addr {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// `addr` with all but its first `len` bits cleared; `len` is 1 up to the family's width.
fn masked(addr: IpAddr, len: u8) -> IpAddr {
    match addr {
        IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() & (u32::MAX << (32 - u32::from(len)))).into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << (128 - u32::from(len)))).into(),
    }
}

/// As derived, by integers instead of bytes: a book of a million bans compares little else.
impl Ord for Prefix {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.addr, other.addr) {
            (IpAddr::V4(ours), IpAddr::V4(others)) => {
                let key = |addr: Ipv4Addr, len: u8| u64::from(addr.to_bits()) << 8 | u64::from(len);
                key(ours, self.len).cmp(&key(others, other.len))
            }
            (IpAddr::V6(ours), IpAddr::V6(others)) => {
                ours.to_bits().cmp(&others.to_bits()).then(self.len.cmp(&other.len))
            }
            (IpAddr::V4(_), IpAddr::V6(_)) => Ordering::Less,
            (IpAddr::V6(_), IpAddr::V4(_)) => Ordering::Greater,
        }
    }
}

/// In one or two words, instead of byte by byte: who counts by prefix hashes for every failure.
impl Hash for Prefix {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self.addr {
            IpAddr::V4(addr) => state.write_u64(u64::from(addr.to_bits()) << 8 | u64::from(self.len)),
            IpAddr::V6(addr) => {
                state.write_u128(addr.to_bits());
                state.write_u8(self.len);
            }
        }
    }
}

impl PartialOrd for Prefix {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_host() { write!(f, "{}", self.addr) } else { write!(f, "{}/{}", self.addr, self.len) }
    }
}

impl FromStr for Prefix {
    type Err = InvalidPrefix;

    /// Reads an address or `address/length`; nothing is trimmed and no name is resolved. Host bits are cleared.
    fn from_str(text: &str) -> Result<Self, InvalidPrefix> {
        let syntax = || InvalidPrefix::Syntax(text.to_owned());
        let Some((addr, len)) = text.split_once('/') else {
            return text.parse().map(Self::host).map_err(|_| syntax());
        };
        let addr: IpAddr = addr.parse().map_err(|_| syntax())?;
        if len.is_empty() || len.len() > 3 || !len.bytes().all(|b| b.is_ascii_digit()) {
            return Err(syntax());
        }
        let len: u16 = len.parse().map_err(|_| syntax())?;
        let len = u8::try_from(len).map_err(|_| InvalidPrefix::Length(text.to_owned()))?;
        Self::new(addr, len).map_err(|_| InvalidPrefix::Length(text.to_owned()))
    }
}

impl Serialize for Prefix {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Prefix {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn host_bits_are_cleared_so_equal_networks_are_equal() {
        assert_eq!(prefix("192.0.2.77/24"), prefix("192.0.2.0/24"));
        assert_eq!(prefix("2001:db8:0:1:ff::1/64").to_string(), "2001:db8:0:1::/64");
    }

    #[test]
    fn a_mapped_address_is_ipv4() {
        assert_eq!(prefix("::ffff:192.0.2.9"), prefix("192.0.2.9"));
        assert_eq!(prefix("::ffff:192.0.2.0/120"), prefix("192.0.2.0/24"));
    }

    #[test]
    fn a_host_is_counted_with_its_network_unless_a_translator_speaks_for_it() {
        for (addr, len, counted_by) in [
            ("192.0.2.9", 64, "192.0.2.9"),
            ("::ffff:192.0.2.9", 64, "192.0.2.9"),
            ("2001:db8:0:1:ff::9", 64, "2001:db8:0:1::/64"),
            ("2001:db8:0:1:ff::9", 56, "2001:db8::/56"),
            ("2001:db8:0:1:ff::9", 128, "2001:db8:0:1:ff::9"),
            ("2002:c000:209:1::9", 64, "2002:c000:209:1::/64"),
            ("64:ff9b::192.0.2.9", 64, "64:ff9b::192.0.2.9"),
            ("64:ff9b:1:2::192.0.2.9", 48, "64:ff9b:1:2::192.0.2.9"),
            ("64:ff9b::1:0:0", 64, "64:ff9b::/64"),
            ("64:ff9b:2::9", 64, "64:ff9b:2::/64"),
        ] {
            assert_eq!(Prefix::aggregate(addr.parse().unwrap(), len), Ok(prefix(counted_by)), "{addr} by /{len}");
        }
    }

    #[test]
    fn covers_itself_and_what_is_inside_only() {
        assert!(prefix("192.0.2.0/24").covers(prefix("192.0.2.128/25")));
        assert!(prefix("192.0.2.0/24").covers(prefix("192.0.2.0/24")));
        assert!(!prefix("192.0.2.128/25").covers(prefix("192.0.2.0/24")));
        assert!(!prefix("192.0.2.0/24").contains("2001:db8::1".parse().unwrap()));
    }

    #[test]
    fn prefixes_are_in_order_of_family_and_address_and_length() {
        let ordered = [
            "0.0.0.0/1",
            "9.0.0.0/8",
            "10.0.0.0/8",
            "10.0.0.0/9",
            "10.0.0.0",
            "10.0.0.1",
            "128.0.0.0/1",
            "::/1",
            "1::1",
            "8000::/1",
        ];
        for (at, earlier) in ordered.iter().enumerate() {
            assert_eq!(prefix(earlier).cmp(&prefix(earlier)), Ordering::Equal);
            for later in &ordered[at + 1..] {
                assert!(prefix(earlier) < prefix(later) && prefix(later) > prefix(earlier), "{earlier} {later}");
            }
        }
    }

    #[test]
    fn refuses_everything_and_nonsense() {
        for text in ["0.0.0.0/0", "::/0", "192.0.2.0/33", "2001:db8::/129", "::ffff:0.0.0.0/96"] {
            assert!(matches!(text.parse::<Prefix>(), Err(InvalidPrefix::Length(_))), "{text}");
        }
        for text in [
            "",
            "mail.example.org",
            "192.0.2",
            "192.0.2.9/",
            "192.0.2.9/+8",
            " 192.0.2.9",
            "192.0.2.09",
            "fe80::1%eth0",
        ] {
            assert!(matches!(text.parse::<Prefix>(), Err(InvalidPrefix::Syntax(_))), "{text:?}");
        }
    }
}
