//! The prefixes that an administrator allows by command: from when, until when, and why.
//!
//! A grant is over at its end, if it has one, and else at the daemon's next start, unless it persists. Only those that persist
//! are for a store; there are so few of them that it is always told all. What follows for bans and for the kernel is the
//! engine's (`engine/allow.rs`).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::allowlist::{AllowReason, Allowed};
use crate::prefix::Prefix;
use crate::time::{Timestamp, Until};

/// Most prefixes that are allowed by command at once: an eighth of what the kernel's list takes of each family, so that what is
/// configured, in files and found on the machine has room.
pub const MAX_GRANTS: usize = 512;

/// That a prefix is allowed by command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Since when.
    pub since: Timestamp,
    /// Until when, at the latest.
    pub until: Until,
    /// Whether it holds over a restart.
    pub persists: bool,
    /// Why, in the administrator's words.
    pub reason: Option<Arc<str>>,
}

/// There are [`MAX_GRANTS`] already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyGrants;

impl fmt::Display for TooManyGrants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{MAX_GRANTS} prefixes are allowed by command, and no more can be: name them in `daemon.allow` or in a file of \
             `daemon.allow_files`"
        )
    }
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct Grants {
    grants: BTreeMap<Prefix, Grant>,
    /// The first end of any.
    next_end: Option<Timestamp>,
    /// Whether a store does not know all that persist.
    is_changed: bool,
}

impl Grants {
    /// Enters a grant, or replaces that of the same prefix.
    ///
    /// # Errors
    ///
    /// [`TooManyGrants`]; then nothing has changed.
    pub fn insert(&mut self, prefix: Prefix, grant: Grant) -> Result<(), TooManyGrants> {
        if self.grants.len() >= MAX_GRANTS && !self.grants.contains_key(&prefix) {
            return Err(TooManyGrants);
        }
        let persists = grant.persists;
        let replaced = self.grants.insert(prefix, grant);
        self.is_changed |= persists || replaced.is_some_and(|old| old.persists);
        self.find_next_end();
        Ok(())
    }

    /// Takes a grant back.
    pub fn remove(&mut self, prefix: Prefix) -> Option<Grant> {
        let removed = self.grants.remove(&prefix)?;
        self.is_changed |= removed.persists;
        self.find_next_end();
        Some(removed)
    }

    /// Removes those whose end has come at `now`, and says which.
    pub fn expire(&mut self, now: Timestamp) -> Vec<Prefix> {
        if self.next_end.is_none_or(|end| end > now) {
            return Vec::new();
        }
        let over = self.grants.iter().filter(|(_, grant)| grant.until.is_past(now)).map(|(&prefix, _)| prefix);
        let over: Vec<Prefix> = over.collect();
        for &prefix in &over {
            self.remove(prefix);
        }
        over
    }

    /// When [`Grants::expire`] next has something to do.
    #[must_use]
    pub fn next_end(&self) -> Option<Timestamp> {
        self.next_end
    }

    /// All, by prefix.
    pub fn iter(&self) -> impl Iterator<Item = (Prefix, &Grant)> {
        self.grants.iter().map(|(&prefix, grant)| (prefix, grant))
    }

    /// All, for the allowlist.
    #[must_use]
    pub fn allowed(&self) -> Vec<Allowed> {
        self.grants.keys().map(|&prefix| Allowed { prefix, why: AllowReason::ByCommand }).collect()
    }

    /// Whether a store has something to be told.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        self.is_changed
    }

    /// Has all that persist be told anew.
    pub fn forget_told(&mut self) {
        self.is_changed = true;
    }

    /// All that persist, if that has changed since they were last taken.
    pub fn take_changed(&mut self) -> Option<Vec<(Prefix, Grant)>> {
        let persisting = self.grants.iter().filter(|(_, grant)| grant.persists);
        std::mem::take(&mut self.is_changed)
            .then(|| persisting.map(|(&prefix, grant)| (prefix, grant.clone())).collect())
    }

    fn find_next_end(&mut self) {
        let ends = self.grants.values().filter_map(|grant| match grant.until {
            Until::At(end) => Some(end),
            Until::Forever => None,
        });
        self.next_end = ends.min();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_over_at_its_end_and_not_before() {
        let mut grants = Grants::default();
        grants.insert(prefix(1), grant(Until::At(secs(10)), false)).unwrap();
        grants.insert(prefix(2), grant(Until::At(secs(20)), true)).unwrap();
        grants.insert(prefix(3), grant(Until::Forever, false)).unwrap();

        assert_eq!((grants.next_end(), grants.expire(secs(9))), (Some(secs(10)), vec![]));
        assert_eq!((grants.expire(secs(10)), grants.next_end()), (vec![prefix(1)], Some(secs(20))));
        assert_eq!((grants.expire(secs(99)), grants.next_end()), (vec![prefix(2)], None));
        assert_eq!(grants.allowed().len(), 1, "the last has no end");
    }

    #[test]
    fn a_store_is_told_all_that_persist_when_one_of_them_changes_and_only_then() {
        let mut grants = Grants::default();
        grants.insert(prefix(1), grant(Until::Forever, false)).unwrap();
        assert_eq!(grants.take_changed(), None, "nothing of it outlives the daemon");

        grants.insert(prefix(2), grant(Until::Forever, true)).unwrap();
        assert_eq!(grants.take_changed().unwrap(), [(prefix(2), grant(Until::Forever, true))]);
        assert_eq!(grants.take_changed(), None);

        grants.insert(prefix(2), grant(Until::Forever, false)).unwrap();
        assert_eq!(grants.take_changed().unwrap(), [], "it persists no more");
        grants.remove(prefix(1));
        assert_eq!(grants.take_changed(), None);
    }

    #[test]
    fn so_many_may_be_allowed_by_command_and_no_more() {
        let mut grants = Grants::default();
        for number in 0..MAX_GRANTS {
            grants.insert(prefix(number), grant(Until::Forever, false)).unwrap();
        }

        assert_eq!(grants.insert(prefix(MAX_GRANTS), grant(Until::Forever, false)), Err(TooManyGrants));
        assert_eq!(grants.insert(prefix(7), grant(Until::At(secs(1)), false)), Ok(()), "a new end takes no room");
    }

    fn grant(until: Until, persists: bool) -> Grant {
        Grant { since: secs(0), until, persists, reason: None }
    }

    fn prefix(number: usize) -> Prefix {
        format!("10.0.{}.{}", number >> 8, number & 0xff).parse().unwrap()
    }

    fn secs(n: i64) -> Timestamp {
        Timestamp::from_secs(n)
    }
}
