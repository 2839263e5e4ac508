//! What the book is told and tells: of one prefix, and of what became of a change.

use super::Ban;
use crate::jail::JailSet;
use crate::prefix::Prefix;
use crate::time::{Timestamp, Until};

/// All that is in force for one prefix: what the kernel is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Merged {
    /// The jails that ban it; not empty.
    pub jails: JailSet,
    /// The latest end of their bans.
    pub until: Until,
}

/// What a ban that is in force already means for a new one by the same jail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// Its end becomes the new one: what an administrator says holds.
    Exactly,
    /// It ends when the later of the two does: a log never shortens a ban.
    Longest,
}

/// What became of a ban that was entered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Insertion {
    /// Whether the jail banned the prefix already.
    pub renewed: bool,
    /// What was in force for the prefix.
    pub before: Option<Merged>,
    /// What is in force for it now.
    pub after: Merged,
    /// The prefixes whose bans gave way to it.
    pub gave_way: Vec<Removal>,
}

/// Bans of one prefix that are over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removal {
    /// The prefix.
    pub prefix: Prefix,
    /// The jails whose bans are over.
    pub jails: JailSet,
    /// What is still in force for the prefix.
    pub left: Option<Merged>,
}

/// What the book has of one prefix and jail, and a store keeps of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// It is banned.
    InForce(Ban),
    /// It was banned, and lines about the time before may still come.
    Ended {
        /// When that ban began.
        started: Timestamp,
    },
}
