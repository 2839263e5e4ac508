//! When bans that are over began, for as long as lines about the time before them may still arrive.
//!
//! A server may write its line about a connection long after the ban cut it: Dovecot waits up to 180 s. If the ban is
//! over by then, the line still tells only of tries that the ban has answered, and must not count towards the next.
//! While a ban is in force this table is not asked: then nothing about its source counts at all.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use super::lengths::Lengths;
use crate::jail::JailId;
use crate::prefix::Prefix;
use crate::time::Timestamp;

/// How long after the beginning of a ban a line about earlier tries may arrive: Dovecot's `CLIENT_LOGIN_TIMEOUT`, 180 s.
pub const LATE_LINES: Duration = Duration::from_secs(180);

/// Most bans remembered at once. 65,536 of about 100 bytes are 6 MiB. Beyond it the one that began first is forgotten,
/// which can at worst count a late line.
pub const MAX_RECENT: usize = 65_536;

/// The beginnings of bans that are over, by prefix and jail. What changes in it, the book notes for the store.
#[derive(Clone, Debug, Default)]
pub(super) struct Recent {
    starts: HashMap<(Prefix, JailId), Timestamp>,
    order: BTreeSet<(Timestamp, Prefix, JailId)>,
    lengths: Lengths,
    forgotten: u64,
}

impl Recent {
    /// Remembers that a ban which is over at `now` began at `started`, if a late line may still come. Returns whose
    /// beginning was forgotten for it.
    pub(super) fn remember(
        &mut self,
        prefix: Prefix,
        jail: JailId,
        started: Timestamp,
        now: Timestamp,
    ) -> Option<(Prefix, JailId)> {
        self.forget(prefix, jail);
        if now >= expiry(started) {
            return None;
        }
        let oldest = self.order.first().map(|&(_, prefix, jail)| (prefix, jail));
        let forgotten = oldest.filter(|_| self.starts.len() >= MAX_RECENT);
        if let Some((prefix, jail)) = forgotten {
            self.forget(prefix, jail);
            self.forgotten += 1;
        }
        self.starts.insert((prefix, jail), started);
        self.order.insert((started, prefix, jail));
        self.lengths.add(prefix);
        forgotten
    }

    /// Forgets what is remembered of `prefix` and `jail`.
    pub(super) fn forget(&mut self, prefix: Prefix, jail: JailId) {
        if let Some(started) = self.starts.remove(&(prefix, jail)) {
            self.order.remove(&(started, prefix, jail));
            self.lengths.remove(prefix);
        }
    }

    /// Forgets what no line can be late for at `now`, one at a time: whose it was, until `None`.
    pub(super) fn purge_next(&mut self, now: Timestamp) -> Option<(Prefix, JailId)> {
        let &(started, prefix, jail) = self.order.first()?;
        if now < expiry(started) {
            return None;
        }
        self.forget(prefix, jail);
        Some((prefix, jail))
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        let Self { starts, order, lengths, forgotten: _ } = self;
        starts.clear();
        order.clear();
        *lengths = Lengths::default();
    }

    /// How many are remembered.
    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether nothing is remembered.
    pub(super) fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Whose beginnings are remembered.
    pub(super) fn keys(&self) -> impl Iterator<Item = (Prefix, JailId)> {
        self.order.iter().map(|&(_, prefix, jail)| (prefix, jail))
    }

    /// When the last ban of exactly `prefix` by `jail` began.
    pub(super) fn start(&self, prefix: Prefix, jail: JailId) -> Option<Timestamp> {
        self.starts.get(&(prefix, jail)).copied()
    }

    /// When [`Recent::purge`] next has something to do.
    pub(super) fn next_purge(&self) -> Option<Timestamp> {
        self.order.first().map(|&(started, _, _)| expiry(started))
    }

    /// The latest beginning of a ban by `jail` that covered `prefix`.
    pub(super) fn latest_start(&self, prefix: Prefix, jail: JailId) -> Option<Timestamp> {
        self.lengths.covering(prefix).filter_map(|covering| self.starts.get(&(covering, jail)).copied()).max()
    }

    /// How many were forgotten because the table was full.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

/// A line may be late by [`LATE_LINES`] exactly, so the first instant without one is a nanosecond after that.
fn expiry(started: Timestamp) -> Timestamp {
    started.saturating_add(LATE_LINES).saturating_add(Duration::from_nanos(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const JAIL: JailId = JailId::MIN;

    fn host(n: u32) -> Prefix {
        Prefix::host(std::net::Ipv4Addr::from_bits(0xc633_6400 + n).into())
    }

    #[test]
    fn remembers_a_start_for_as_long_as_a_line_may_be_late() {
        let mut recent = Recent::default();
        recent.remember(host(9), JAIL, Timestamp::from_secs(0), Timestamp::from_secs(60));

        assert_eq!(recent.purge_next(Timestamp::from_secs(180)), None);
        assert_eq!(recent.latest_start(host(9), JAIL), Some(Timestamp::from_secs(0)));

        let due = recent.next_purge().expect("one is remembered");
        assert_eq!(due, Timestamp::from_nanos(180_000_000_001));
        assert_eq!(recent.purge_next(due), Some((host(9), JAIL)));
        assert_eq!(recent.purge_next(due), None);
        assert_eq!(recent.latest_start(host(9), JAIL), None);
        assert_eq!(recent.next_purge(), None);
    }

    #[test]
    fn a_ban_too_long_ago_is_not_remembered() {
        let mut recent = Recent::default();
        recent.remember(host(9), JAIL, Timestamp::from_secs(0), Timestamp::from_secs(181));

        assert_eq!(recent.latest_start(host(9), JAIL), None);
    }

    #[test]
    fn a_full_table_forgets_the_oldest_start_and_counts_it() {
        let mut recent = Recent::default();
        let now = Timestamp::from_secs(1);
        for n in 0..=u32::try_from(MAX_RECENT).expect("the bound is small") {
            recent.remember(host(n), JAIL, Timestamp::from_nanos(i64::from(n)), now);
        }

        assert_eq!(recent.forgotten(), 1);
        assert_eq!(recent.latest_start(host(0), JAIL), None);
        assert!(recent.latest_start(host(1), JAIL).is_some());
    }
}
