//! The brake: at most so many new bans by logs within a minute.
//!
//! A filter gone wrong, a proxy whose address a log shows for everybody, a directory that refuses every password: then a log earns
//! bans of all there are. Beyond the limit bans are held, and failures stay counted: whoever goes on is banned by the first
//! failure for which there is room again. Bans by command are no matter of the brake.
//!
//! A ban counts for the second in which the failure was made that earned it, so catching up with an hour of a log has as much
//! room as that hour had. What was made before all the seconds that are kept is not held.
//!
//! # To come
//!
//! Another reason to hold: too large a share of bans of addresses that logged in successfully lately. It belongs into
//! [`Brake::holds`], with a [`HoldReason`] of its own; what follows from a hold is the same.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::time::Timestamp;

/// The limit unless configured. No published botnet comes near: the largest one known to guess passwords, of 2.8 million
/// addresses, came to 2,000 addresses a minute, over all its targets. And it is few enough that the table of a million bans takes hours to
/// fill.
pub const DEFAULT_BANS_PER_MINUTE: u32 = 3_000;

/// Seconds before one in which bans count for it, too: with itself, no minute is without all of its own.
const WINDOW_SECS: i64 = 60;

/// Seconds that are kept, at most: over an hour.
const MAX_SECONDS: usize = 4_096;

/// A brake that has held nothing for this long is off.
const QUIET: Duration = Duration::from_secs(60);

/// Why a ban is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldReason {
    /// As many were made within a minute as may be.
    TooMany {
        /// So many.
        limit: u32,
    },
}

/// What the brake has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BrakeStats {
    /// Failures that would have earned a ban and were held.
    pub held: u64,
    /// Why it holds, now; for a minute after the last time.
    pub on: Option<HoldReason>,
}

/// What became of the brake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrakeChange {
    /// It holds.
    On(HoldReason),
    /// It has held nothing for a minute.
    Off {
        /// Failures that it held before.
        held: u64,
    },
}

/// Counts the bans that logs earn.
#[derive(Clone, Debug, Default)]
pub struct Brake {
    limit: Option<u32>,
    /// Bans by the second of the failure that earned each.
    bans: BTreeMap<i64, u32>,
    held: u64,
    /// While it is on.
    spell: Option<Spell>,
}

#[derive(Clone, Copy, Debug)]
struct Spell {
    why: HoldReason,
    last: Timestamp,
    held: u64,
}

impl Brake {
    /// Sets the limit; `None` for none.
    pub fn set_limit(&mut self, limit: Option<u32>) {
        self.limit = limit;
        if limit.is_none() {
            self.bans.clear();
        }
    }

    /// Why a ban has to wait that a failure `made` then has earned.
    #[must_use]
    pub fn holds(&self, made: Timestamp) -> Option<HoldReason> {
        let limit = self.limit?;
        let second = second(made);
        let window = self.bans.range(second.saturating_sub(WINDOW_SECS)..=second);
        let within = window.fold(0_u32, |sum, (_, bans)| sum.saturating_add(*bans));
        (within >= limit).then_some(HoldReason::TooMany { limit })
    }

    /// A failure `made` then has earned a ban.
    pub fn note(&mut self, made: Timestamp) {
        if self.limit.is_none() {
            return;
        }
        let bans = self.bans.entry(second(made)).or_default();
        *bans = bans.saturating_add(1);
        if self.bans.len() > MAX_SECONDS {
            self.bans.pop_first();
        }
    }

    /// A ban was held. Says whether it is the first after a while.
    pub fn hold(&mut self, why: HoldReason, now: Timestamp) -> bool {
        self.held += 1;
        let is_first = self.spell.is_none();
        let held = self.spell.map_or(0, |spell| spell.held);
        self.spell = Some(Spell { why, last: now, held: held + 1 });
        is_first
    }

    /// Goes off if nothing has been held for a while, and says how much was.
    pub fn release(&mut self, now: Timestamp) -> Option<u64> {
        self.next_release().filter(|release| *release <= now)?;
        self.spell.take().map(|spell| spell.held)
    }

    /// When [`Brake::release`] next has something to do.
    #[must_use]
    pub fn next_release(&self) -> Option<Timestamp> {
        self.spell.map(|spell| spell.last.saturating_add(QUIET))
    }

    /// What it has done.
    #[must_use]
    pub fn stats(&self) -> BrakeStats {
        BrakeStats { held: self.held, on: self.spell.map(|spell| spell.why) }
    }
}

fn second(at: Timestamp) -> i64 {
    at.as_nanos().div_euclid(1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_bans_are_made_within_any_minute_and_the_next_when_the_first_is_out_of_it() {
        let mut brake = limited(3);
        for at in [10, 11, 40] {
            assert_eq!(brake.holds(secs(at)), None);
            brake.note(secs(at));
        }

        for at in [40, 41, 70] {
            assert_eq!(brake.holds(secs(at)), Some(HoldReason::TooMany { limit: 3 }), "at {at}");
        }
        assert_eq!(brake.holds(secs(71)), None, "the one at 10 s is more than a minute ago");
        assert_eq!(brake.holds(secs(9)), None, "and what was made before them all had a minute of its own");
    }

    #[test]
    fn it_is_on_from_the_first_that_is_held_to_a_minute_after_the_last() {
        let mut brake = limited(1);
        let why = HoldReason::TooMany { limit: 1 };
        assert_eq!((brake.next_release(), brake.release(secs(0))), (None, None));

        assert!(brake.hold(why, secs(10)) && !brake.hold(why, secs(30)), "it is told once");
        assert_eq!(brake.stats(), BrakeStats { held: 2, on: Some(why) });
        assert_eq!((brake.next_release(), brake.release(secs(89))), (Some(secs(90)), None));

        assert_eq!(brake.release(secs(90)), Some(2));
        assert_eq!(brake.stats(), BrakeStats { held: 2, on: None });
        assert!(brake.hold(why, secs(91)), "and told again");
    }

    #[test]
    fn what_is_kept_is_bounded_and_nothing_is_without_a_limit() {
        let mut brake = limited(1);
        for at in 0..2 * MAX_SECONDS as i64 {
            brake.note(secs(at));
        }
        assert_eq!(brake.bans.len(), MAX_SECONDS);

        brake.set_limit(None);
        brake.note(secs(1));
        assert!(brake.bans.is_empty() && brake.holds(secs(1)).is_none());
    }

    fn limited(limit: u32) -> Brake {
        let mut brake = Brake::default();
        brake.set_limit(Some(limit));
        brake
    }

    fn secs(n: i64) -> Timestamp {
        Timestamp::from_secs(n)
    }
}
