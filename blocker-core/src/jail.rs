//! What a jail is to the engine: a number, a filter on some sources, and limits.
//!
//! The ports that a jail protects are not here: the kernel knows them, by the same number.

use std::fmt;
use std::time::Duration;

use crate::aggregate::Aggregate;
use crate::escalation::Escalation;
use crate::filter::Filter;
use crate::time::BanTime;

/// The number of a jail, 0 to 61: given by the caller, because the kernel's maps know jails by the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JailId(u8);

impl JailId {
    /// The lowest number.
    pub const MIN: Self = Self(0);

    /// The highest number: a [`JailSet`] is one 64-bit word in the kernel's maps, and two of its bits are the kernel's own.
    pub const MAX: Self = Self(61);

    /// The jail numbered `index`; `None` beyond [`JailId::MAX`].
    #[must_use]
    pub const fn new(index: u8) -> Option<Self> {
        if index <= Self::MAX.0 { Some(Self(index)) } else { None }
    }

    /// Its number.
    #[must_use]
    pub const fn index(self) -> u8 {
        self.0
    }
}

impl fmt::Display for JailId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "jail {}", self.0)
    }
}

/// A set of jails. Bit `n` stands for the jail numbered `n`; bits beyond [`JailId::MAX`] are never set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct JailSet(u64);

impl JailSet {
    /// No jail.
    pub const EMPTY: Self = Self(0);

    /// The bits that stand for jails.
    const EVERY: u64 = u64::MAX >> (63 - JailId::MAX.0);

    /// The set whose bits are `bits`, as the kernel's maps hold it; bits that stand for no jail are dropped.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits & (u64::MAX >> (63 - JailId::MAX.0)))
    }

    /// The set as the kernel's maps hold it.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// This set and `jail`.
    #[must_use]
    pub const fn with(self, jail: JailId) -> Self {
        Self(self.0 | 1 << jail.0)
    }

    /// Whether `jail` is in it.
    #[must_use]
    pub const fn contains(self, jail: JailId) -> bool {
        self.0 & 1 << jail.0 != 0
    }

    /// Whether it has more than one jail.
    #[must_use]
    pub const fn is_several(self) -> bool {
        self.0.count_ones() > 1
    }

    /// Whether no jail is in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Its jails, by number.
    pub fn iter(self) -> impl Iterator<Item = JailId> {
        let mut left = self.0 & Self::EVERY;
        std::iter::from_fn(move || {
            // The number of the lowest bit fits into a byte; 64 says that there is none.
            let lowest = u8::try_from(left.trailing_zeros()).ok().and_then(JailId::new)?;
            left &= left - 1;
            Some(lowest)
        })
    }
}

impl FromIterator<JailId> for JailSet {
    fn from_iter<I: IntoIterator<Item = JailId>>(jails: I) -> Self {
        jails.into_iter().fold(Self::EMPTY, Self::with)
    }
}

/// A log that lines come from: a file, or a selection of the journal. Numbered by the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(u32);

impl SourceId {
    /// The source numbered `index`.
    #[must_use]
    pub const fn new(index: u32) -> Self {
        Self(index)
    }

    /// Its number.
    #[must_use]
    pub const fn index(self) -> u32 {
        self.0
    }
}

/// One log within a source, a file or a stream: lines of one log follow one another. Numbered by the caller, differently
/// in all sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId(u32);

impl LogId {
    /// The log numbered `index`.
    #[must_use]
    pub const fn new(index: u32) -> Self {
        Self(index)
    }

    /// Its number.
    #[must_use]
    pub const fn index(self) -> u32 {
        self.0
    }
}

/// How much a jail bears, and what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Attempts that earn a ban, 1 to 1000.
    pub max_retry: u32,
    /// The time within which they must fall.
    pub find_time: Duration,
    /// How long the ban lasts.
    pub ban_time: BanTime,
    /// How they are counted.
    pub counter: Counter,
}

/// How the failures of a source are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Counter {
    /// Those within the time that ends now, each by itself.
    #[default]
    Exact,
    /// As fail2ban does since 0.10.6 and 0.11.2: by an estimate, from the first, the last and their number.
    Fail2ban,
}

/// What it means that somebody was banned before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repeat {
    /// How bans grow, if they do.
    pub escalation: Option<Escalation>,
    /// Whether bans by all jails count, or only those by the same.
    pub all_jails: bool,
    /// Whether fewer tries earn a ban: see [`crate::escalation::tries_left`].
    pub fewer_tries: bool,
    /// How many banned neighbours have their network banned, if any number.
    pub aggregate: Option<Aggregate>,
}

/// A filter on some sources, with limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jail {
    /// Its number, here and in the kernel.
    pub id: JailId,
    /// Its name in the configuration.
    pub name: String,
    /// How failures look in its sources; `None` for a jail that has only bans by command.
    pub filter: Option<Filter>,
    /// The logs it judges.
    pub sources: Vec<SourceId>,
    /// How much it bears.
    pub limits: Limits,
    /// How it treats who was banned before.
    pub repeat: Repeat,
    /// Whether a login that succeeds forgives what its user failed at before, from the same address.
    pub forgives: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in_and_nothing_else() {
        let set: JailSet = [JailId(0), JailId(61)].into_iter().collect();

        assert_eq!(set.iter().map(JailId::index).collect::<Vec<_>>(), [0, 61]);
        assert!(!set.contains(JailId(1)));
        assert_eq!(JailSet::from_bits(set.bits()), set);
    }

    #[test]
    fn bits_that_stand_for_no_jail_are_dropped() {
        assert_eq!(JailSet::from_bits(u64::MAX).iter().count(), 62);
        assert!(JailSet::from_bits(0b11 << 62).is_empty());
        assert_eq!(JailId::new(62), None);
    }
}
