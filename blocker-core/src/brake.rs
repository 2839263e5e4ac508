//! The brake: at most so many new bans by logs within a minute, and so large a share of users who logged in lately.
//!
//! A filter gone wrong, a proxy whose address a log shows for everybody, a directory that refuses every password: then a log earns
//! bans of all there are. Beyond a limit bans are held, and failures stay counted: whoever goes on is banned by the first
//! failure for which there is room again. Bans by command are no matter of the brake.
//!
//! The first limit holds any ban. The second holds those alone that would raise the share: of an address from which the user who
//! failed had logged in lately ([`crate::logins`]). So a directory that is away locks no customers out, and strangers are
//! banned as ever. It holds nothing before [`LEAST_LOGGED_IN`] such bans have been made within an hour: of a few bans any share may be
//! chance.
//!
//! A ban counts for the second in which the failure was made that earned it (for the share, the minute), so catching up with an
//! hour of a log has as much room as that hour had. What was made before all the seconds that are kept is not held.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::time::Timestamp;

/// The limit unless configured. No published botnet comes near: the largest one known to guess passwords, of 2.8 million
/// addresses, came to 2,000 addresses a minute, over all its targets. And it is few enough that the table of a million bans takes hours to
/// fill.
pub const DEFAULT_BANS_PER_MINUTE: u32 = 3_000;

/// The share in percent unless configured. Of the bans of a healthy server nearly all are of strangers.
pub const DEFAULT_LOGGED_IN_PERCENT: u8 = 25;

/// So many bans of who logged in lately are made within an hour, whatever their share.
pub const LEAST_LOGGED_IN: u32 = 5;

/// Seconds before one in which bans count for it, too: with itself, no minute is without all of its own.
const WINDOW_SECS: i64 = 60;

/// Seconds that are kept, at most: over an hour.
const MAX_SECONDS: usize = 4_096;

/// Minutes before one in which bans count for the share, too.
const WINDOW_MINUTES: i64 = 59;

/// Minutes that are kept, at most: a day.
const MAX_MINUTES: usize = 24 * 60;

/// A brake that has held nothing for this long is off.
const QUIET: Duration = Duration::from_secs(60);

/// What is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// New bans within a minute; `None` for any number.
    pub per_minute: Option<u32>,
    /// Of the new bans within an hour, the share in percent that may be of users who logged in lately; `None` for any.
    pub logged_in_percent: Option<u8>,
}

/// Why a ban is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldReason {
    /// As many were made within a minute as may be.
    TooMany {
        /// So many.
        limit: u32,
    },
    /// Its user had logged in lately, and of the bans within an hour as many were such as may be.
    LoggedIn {
        /// So many of a hundred.
        percent: u8,
    },
}

/// What the brake has done, for each reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BrakeStats {
    /// [`HoldReason::TooMany`].
    pub too_many: Held,
    /// [`HoldReason::LoggedIn`].
    pub logged_in: Held,
}

/// What was held for one reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Failures that would have earned a ban and were held.
    pub failures: u64,
    /// The reason, if it holds now: for a minute after the last time.
    pub on: Option<HoldReason>,
}

/// What became of the brake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrakeChange {
    /// It holds.
    On(HoldReason),
    /// It has held nothing for a minute.
    Off {
        /// For this reason.
        why: HoldReason,
        /// Failures that it held before.
        held: u64,
    },
}

/// Counts the bans that logs earn.
#[derive(Clone, Debug, Default)]
pub struct Brake {
    limits: Limits,
    /// Bans by the second of the failure that earned each.
    bans: BTreeMap<i64, u32>,
    /// The same by the minute, if a share of them is limited.
    minutes: BTreeMap<i64, Share>,
    too_many: Reason,
    logged_in: Reason,
}

/// How many bans, and how many of them of users who had logged in lately.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    all: u32,
    logged_in: u32,
}

/// What is held for one reason.
#[derive(Clone, Copy, Debug, Default)]
struct Reason {
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
    /// Sets the limits.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
        if limits.per_minute.is_none() {
            self.bans.clear();
        }
        if limits.logged_in_percent.is_none() {
            self.minutes.clear();
        }
    }

    /// Why a ban has to wait that a failure `made` then has earned, of a user who has, or has not, logged in lately from there.
    #[must_use]
    pub fn holds(&self, made: Timestamp, has_logged_in: bool) -> Option<HoldReason> {
        self.is_too_many(made).or_else(|| if has_logged_in { self.is_too_large_a_share(made) } else { None })
    }

    fn is_too_many(&self, made: Timestamp) -> Option<HoldReason> {
        let limit = self.limits.per_minute?;
        let second = second(made);
        let window = self.bans.range(second.saturating_sub(WINDOW_SECS)..=second);
        let within = window.fold(0_u32, |sum, (_, bans)| sum.saturating_add(*bans));
        (within >= limit).then_some(HoldReason::TooMany { limit })
    }

    /// Whether one more would be more than the share.
    fn is_too_large_a_share(&self, made: Timestamp) -> Option<HoldReason> {
        let percent = self.limits.logged_in_percent?;
        let minute = second(made).div_euclid(60);
        let window = self.minutes.range(minute.saturating_sub(WINDOW_MINUTES)..=minute);
        let (all, logged_in) = window.fold((1_u64, 1_u64), |(all, logged_in), (_, share)| {
            (all + u64::from(share.all), logged_in + u64::from(share.logged_in))
        });
        let is_too_large = logged_in > u64::from(LEAST_LOGGED_IN) && logged_in * 100 > all * u64::from(percent);
        is_too_large.then_some(HoldReason::LoggedIn { percent })
    }

    /// A failure `made` then has earned a ban, of a user who had, or had not, logged in lately from there.
    pub fn note(&mut self, made: Timestamp, has_logged_in: bool) {
        if self.limits.per_minute.is_some() {
            let bans = self.bans.entry(second(made)).or_default();
            *bans = bans.saturating_add(1);
            if self.bans.len() > MAX_SECONDS {
                self.bans.pop_first();
            }
        }
        if self.limits.logged_in_percent.is_some() {
            let Share { all, logged_in } = self.minutes.entry(second(made).div_euclid(60)).or_default();
            *all = all.saturating_add(1);
            *logged_in = logged_in.saturating_add(has_logged_in.into());
            if self.minutes.len() > MAX_MINUTES {
                self.minutes.pop_first();
            }
        }
    }

    /// A ban was held. Says whether it is the first for this reason after a while.
    pub fn hold(&mut self, why: HoldReason, now: Timestamp) -> bool {
        let reason = match why {
            HoldReason::TooMany { .. } => &mut self.too_many,
            HoldReason::LoggedIn { .. } => &mut self.logged_in,
        };
        reason.held += 1;
        let is_first = reason.spell.is_none();
        let held = reason.spell.map_or(0, |spell| spell.held);
        reason.spell = Some(Spell { why, last: now, held: held + 1 });
        is_first
    }

    /// Goes off if nothing has been held for a while, and says how much was, and why; to be called until it says nothing.
    pub fn release(&mut self, now: Timestamp) -> Option<(HoldReason, u64)> {
        let over = [&mut self.too_many, &mut self.logged_in]
            .into_iter()
            .find(|reason| reason.next_release().is_some_and(|release| release <= now))?;
        over.spell.take().map(|spell| (spell.why, spell.held))
    }

    /// Whether bans are held because too many of the banned have logged in lately.
    #[must_use]
    pub fn holds_users(&self) -> bool {
        self.logged_in.spell.is_some()
    }

    /// When [`Brake::release`] next has something to do.
    #[must_use]
    pub fn next_release(&self) -> Option<Timestamp> {
        [self.too_many, self.logged_in].iter().filter_map(Reason::next_release).min()
    }

    /// What it has done.
    #[must_use]
    pub fn stats(&self) -> BrakeStats {
        BrakeStats { too_many: self.too_many.stats(), logged_in: self.logged_in.stats() }
    }
}

impl Reason {
    fn next_release(&self) -> Option<Timestamp> {
        self.spell.map(|spell| spell.last.saturating_add(QUIET))
    }

    fn stats(self) -> Held {
        Held { failures: self.held, on: self.spell.map(|spell| spell.why) }
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
            assert_eq!(brake.holds(secs(at), false), None);
            brake.note(secs(at), false);
        }

        for at in [40, 41, 70] {
            assert_eq!(brake.holds(secs(at), false), Some(HoldReason::TooMany { limit: 3 }), "at {at}");
        }
        assert_eq!(brake.holds(secs(71), false), None, "the one at 10 s is more than a minute ago");
        assert_eq!(brake.holds(secs(9), false), None, "and what was made before them all had a minute of its own");
    }

    #[test]
    fn it_is_on_from_the_first_that_is_held_to_a_minute_after_the_last() {
        let mut brake = limited(1);
        let why = HoldReason::TooMany { limit: 1 };
        assert_eq!((brake.next_release(), brake.release(secs(0))), (None, None));

        assert!(brake.hold(why, secs(10)) && !brake.hold(why, secs(30)), "it is told once");
        assert_eq!(brake.stats().too_many, Held { failures: 2, on: Some(why) });
        assert_eq!((brake.next_release(), brake.release(secs(89))), (Some(secs(90)), None));

        assert_eq!((brake.release(secs(90)), brake.release(secs(90))), (Some((why, 2)), None));
        assert_eq!(brake.stats().too_many, Held { failures: 2, on: None });
        assert!(brake.hold(why, secs(91)), "and told again");
    }

    #[test]
    fn what_is_kept_is_bounded_and_nothing_is_without_a_limit() {
        let mut brake = limited(1);
        for at in 0..2 * MAX_SECONDS as i64 {
            brake.note(secs(at), false);
        }
        assert_eq!(brake.bans.len(), MAX_SECONDS);

        assert_eq!(brake.minutes.len(), 0, "no share is limited");

        brake.set_limits(Limits::default());
        brake.note(secs(1), false);
        assert!(brake.bans.is_empty() && brake.holds(secs(1), false).is_none());

        let mut brake = sharing(10);
        for at in 0..2 * MAX_MINUTES as i64 {
            brake.note(secs(60 * at), true);
        }
        assert_eq!((brake.minutes.len(), brake.bans.len()), (MAX_MINUTES, 0));
        brake.set_limits(Limits::default());
        assert!(brake.minutes.is_empty() && brake.holds(secs(60), true).is_none());
    }

    #[test]
    fn of_those_who_logged_in_lately_no_more_are_banned_than_their_share_and_of_others_any_number() {
        let mut brake = sharing(25);
        for at in 0..5 {
            assert_eq!(brake.holds(secs(at), true), None, "a few are no share");
            brake.note(secs(at), true);
        }
        assert_eq!(brake.holds(secs(5), true), Some(HoldReason::LoggedIn { percent: 25 }));

        for at in 10..27 {
            assert_eq!(brake.holds(secs(at), false), None, "strangers are no matter of it");
            brake.note(secs(at), false);
        }
        assert!(brake.holds(secs(30), true).is_some(), "6 of 23 are more than 25 %");
    }

    #[test]
    fn the_share_is_of_an_hour_and_one_that_is_just_met_is_none_too_large() {
        let mut brake = sharing(25);
        for at in 0..5 {
            brake.note(secs(at), true);
        }
        for at in 0..18 {
            brake.note(secs(at), false);
        }
        assert_eq!(brake.holds(secs(30), true), None, "6 of 24 are 25 %");
        brake.note(secs(30), true);
        assert!(brake.holds(secs(31), true).is_some(), "7 of 25 are more");

        assert!(brake.holds(secs(59 * 60 + 59), true).is_some(), "the hour is not over");
        assert_eq!(brake.holds(secs(60 * 60), true), None, "those of its first minute are out of it");
    }

    #[test]
    fn each_reason_is_on_and_off_by_itself() {
        let mut brake = Brake::default();
        let (many, share) = (HoldReason::TooMany { limit: 1 }, HoldReason::LoggedIn { percent: 25 });

        assert!(brake.hold(many, secs(10)) && brake.hold(share, secs(20)) && !brake.hold(share, secs(21)));
        assert_eq!(brake.next_release(), Some(secs(70)));
        assert_eq!(brake.stats().logged_in, Held { failures: 2, on: Some(share) });

        assert_eq!(brake.release(secs(70)), Some((many, 1)));
        assert_eq!((brake.release(secs(80)), brake.next_release()), (None, Some(secs(81))));
        assert_eq!(brake.release(secs(81)), Some((share, 2)));
    }

    fn limited(limit: u32) -> Brake {
        let mut brake = Brake::default();
        brake.set_limits(Limits { per_minute: Some(limit), ..Limits::default() });
        brake
    }

    fn sharing(percent: u8) -> Brake {
        let mut brake = Brake::default();
        brake.set_limits(Limits { logged_in_percent: Some(percent), ..Limits::default() });
        brake
    }

    fn secs(n: i64) -> Timestamp {
        Timestamp::from_secs(n)
    }
}
