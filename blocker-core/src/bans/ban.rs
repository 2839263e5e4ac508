//! One ban, what it came from, which of the kernel's tables it belongs into, and why there may be none.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde::Serialize;

use crate::allowlist::Allowed;
use crate::attempts::Attempts;
use crate::filter::Label;
use crate::prefix::Prefix;
use crate::time::{Timestamp, Until};

/// Most bytes of a user name that are kept with a ban or told of a failure; what is longer is cut there.
pub const MAX_USER_BYTES: usize = 255;

/// One jail's ban of one prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    /// When it began.
    pub started: Timestamp,
    /// When it ends.
    pub until: Until,
    /// What it came from.
    pub origin: Origin,
}

/// What a ban came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Failures in a log.
    Log {
        /// How many came together.
        attempts: Attempts,
        /// Who the last of them claimed to be: the attacker's bytes, cut to [`MAX_USER_BYTES`].
        user: Option<Box<[u8]>>,
        /// The filter's pattern that matched the last of them.
        pattern: Label,
    },
    /// An administrator.
    Command {
        /// Why, in their words; shared by all bans of one command.
        reason: Option<Arc<str>>,
        /// Who, if that is known.
        by: Option<Uid>,
    },
    /// The kernel's maps, as they were found at the start.
    Adopted,
}

/// A user of this machine, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(pub u32);

/// Which of the kernel's tables a prefix belongs into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Single IPv4 hosts.
    HostV4,
    /// IPv6 networks of 64 bits.
    NetV6,
    /// Every other prefix.
    Network,
}

impl Kind {
    /// The kind of `prefix`.
    #[must_use]
    pub fn of(prefix: Prefix) -> Self {
        match (prefix.addr(), prefix.len()) {
            (IpAddr::V4(_), 32) => Self::HostV4,
            (IpAddr::V6(_), 64) => Self::NetV6,
            (IpAddr::V4(_) | IpAddr::V6(_), _) => Self::Network,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HostV4 => "IPv4 hosts",
            Self::NetV6 => "IPv6 /64 networks",
            Self::Network => "other networks",
        })
    }
}

/// Why a ban is not entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The prefix lies wholly inside an allowed one.
    #[error("allow-listed: {0}")]
    AllowListed(Allowed),
    /// More banned networks than the kernel follows would lie one inside another.
    #[error("more than {deepest} banned networks would lie one inside another")]
    TooDeeplyNested {
        /// How many may.
        deepest: usize,
    },
    /// Its table is full of bans that do not end.
    #[error("the table of {kind} is full: {bound} permanent bans")]
    TableFull {
        /// The table.
        kind: Kind,
        /// How many prefixes it takes.
        bound: usize,
    },
}
