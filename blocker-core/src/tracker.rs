//! Failures per jail and prefix, in an exact sliding window.
//!
//! The tracker answers one question: how many attempts has this prefix made in this jail within the window that ends
//! now? It keeps nothing else and never decides what to do about it (see [`crate::policy`]).
//!
//! # Theory of operation
//!
//! Each (jail, prefix) owns the instants of its failures with their weights. A failure at `t` counts at `now` while
//! `now - t < window`: at `t + window` exactly it does not. Failures of the same instant share an entry. They may come in
//! any order: what a log held before it was read is counted from when it was made.
//!
//! A list is bounded by what earns a ban: every weight is at least a tenth, and the caller forgets a prefix as soon as
//! its sum reaches `max_retry` whole attempts. So a list has fewer than `10 * max_retry` entries of 16 bytes: 49 for the
//! default of 5, and 5 for refused passwords.
//!
//! The lists are bounded by `max_sources`. When they are that many, the one that failed longest ago is forgotten, and
//! counted: this favours an attacker with very many addresses who waits, never one who hurries. A list whose last
//! failure has left the window is purged.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use crate::attempts::Attempts;
use crate::jail::JailId;
use crate::prefix::Prefix;
use crate::time::Timestamp;
use crate::touched::Touched;

/// The failures of all sources, by jail.
#[derive(Debug)]
pub struct Tracker {
    max_sources: usize,
    jails: BTreeMap<JailId, Sources>,
    tracked: usize,
    forgotten: u64,
    latest: Timestamp,
    /// For the store.
    pub(crate) touched: Touched<(Prefix, JailId)>,
}

impl Tracker {
    /// A tracker of at most `max_sources` (jail, prefix) pairs, and of one if that is zero.
    #[must_use]
    pub fn new(max_sources: usize) -> Self {
        Self {
            max_sources,
            jails: BTreeMap::new(),
            tracked: 0,
            forgotten: 0,
            latest: Timestamp::from_nanos(i64::MIN),
            touched: Touched::default(),
        }
    }

    /// Sets another bound. Pairs beyond it are forgotten at the next failure.
    pub fn set_max_sources(&mut self, max_sources: usize) {
        self.max_sources = max_sources;
    }

    /// Records one failure of `attempts` by `prefix` in `jail`, `made` at that time, and returns what has come together
    /// within the `window` that ends now.
    ///
    /// A `now` earlier than one already seen counts as the latest one seen, so a clock step cannot free a source. What was
    /// made later than that, was made now; what has left the window counts for nothing.
    pub fn record(
        &mut self,
        jail: JailId,
        prefix: Prefix,
        attempts: Attempts,
        window: Duration,
        made: Timestamp,
        now: Timestamp,
    ) -> Attempts {
        // A live failure is made now, and a clock that stepped back is no reason to take it for an old one.
        let made = if made >= now { self.latest.max(now) } else { made };
        self.purge(now);
        self.touched.touch((prefix, jail));
        let now = self.latest;
        if made.saturating_add(window) <= now {
            return self.jails.get(&jail).map_or(Attempts::ZERO, |sources| sources.sum(prefix, window, now));
        }
        self.make_room(jail, prefix);
        self.jails.entry(jail).or_insert_with(|| Sources::new(window)).record(prefix, attempts, window, made, now)
    }

    /// Takes in failures of `prefix` in `jail` that were recorded before a restart: in the order of time, those that are
    /// still within `window`. What was recorded of it since is replaced.
    pub fn restore(&mut self, jail: JailId, prefix: Prefix, failures: Vec<(Timestamp, Attempts)>, window: Duration) {
        self.forget(jail, prefix);
        let latest = self.latest;
        let failures: Vec<_> = failures.into_iter().filter(|(at, _)| at.saturating_add(window) > latest).collect();
        let Some(&(last, _)) = failures.last() else { return };
        self.touched.touch((prefix, jail));
        self.make_room(jail, prefix);
        let sources = self.jails.entry(jail).or_insert_with(|| Sources::new(window));
        sources.window = window;
        sources.by_last.insert((last, prefix));
        sources.failures.insert(prefix, failures);
    }

    /// The failures of `prefix` in `jail`, in the order of time.
    #[must_use]
    pub fn failures(&self, jail: JailId, prefix: Prefix) -> &[(Timestamp, Attempts)] {
        self.jails.get(&jail).and_then(|sources| sources.failures.get(&prefix)).map_or(&[], Vec::as_slice)
    }

    /// Every prefix that has failures, by jail.
    pub fn prefixes(&self) -> impl Iterator<Item = (Prefix, JailId)> {
        self.jails.iter().flat_map(|(&jail, sources)| sources.by_last.iter().map(move |&(_, prefix)| (prefix, jail)))
    }

    /// Makes room for a pair, if it is a new one.
    fn make_room(&mut self, jail: JailId, prefix: Prefix) {
        if !self.jails.get(&jail).is_some_and(|sources| sources.failures.contains_key(&prefix)) {
            while self.tracked > 0 && self.tracked >= self.max_sources {
                self.forget_oldest();
            }
            self.tracked += 1;
        }
    }

    /// Forgets the failures of `prefix` in `jail`.
    pub fn forget(&mut self, jail: JailId, prefix: Prefix) {
        if let Some(sources) = self.jails.get_mut(&jail)
            && sources.forget(prefix)
        {
            self.tracked -= 1;
            self.touched.touch((prefix, jail));
        }
    }

    /// Forgets the failures of `prefix` in every jail.
    pub fn forget_prefix(&mut self, prefix: Prefix) {
        for (&jail, sources) in &mut self.jails {
            if sources.forget(prefix) {
                self.tracked -= 1;
                self.touched.touch((prefix, jail));
            }
        }
    }

    /// Forgets all failures in `jail`.
    pub fn forget_jail(&mut self, jail: JailId) {
        if let Some(sources) = self.jails.remove(&jail) {
            self.tracked -= sources.failures.len();
            for &prefix in sources.failures.keys() {
                self.touched.touch((prefix, jail));
            }
        }
    }

    /// Forgets all failures.
    pub fn clear(&mut self) {
        let jails: Vec<JailId> = self.jails.keys().copied().collect();
        for jail in jails {
            self.forget_jail(jail);
        }
    }

    /// Forgets every prefix whose last failure has left the window at `now`.
    pub fn purge(&mut self, now: Timestamp) {
        if now <= self.latest {
            return;
        }
        self.latest = now;
        for (&jail, sources) in &mut self.jails {
            while let Some(&(last, prefix)) = sources.by_last.first()
                && last.saturating_add(sources.window) <= self.latest
            {
                if sources.forget(prefix) {
                    self.tracked -= 1;
                    self.touched.touch((prefix, jail));
                }
            }
        }
    }

    /// When [`Tracker::purge`] next has something to do.
    #[must_use]
    pub fn next_purge(&self) -> Option<Timestamp> {
        self.jails
            .values()
            .filter_map(|sources| sources.by_last.first().map(|(last, _)| last.saturating_add(sources.window)))
            .min()
    }

    /// How many (jail, prefix) pairs have failures in the window.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tracked
    }

    /// Whether nothing is tracked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tracked == 0
    }

    /// How many prefixes have failures in `jail`.
    #[must_use]
    pub fn tracked_by(&self, jail: JailId) -> usize {
        self.jails.get(&jail).map_or(0, |sources| sources.failures.len())
    }

    /// How many pairs were forgotten because there were too many.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    fn forget_oldest(&mut self) {
        let oldest =
            self.jails.iter().filter_map(|(&jail, s)| s.by_last.first().map(|&(last, p)| (last, jail, p))).min();
        if let Some((_, jail, prefix)) = oldest {
            self.forget(jail, prefix);
            self.forgotten += 1;
        }
    }
}

/// The failures in one jail.
#[derive(Debug)]
struct Sources {
    window: Duration,
    /// Each list is in the order of time and never empty.
    failures: HashMap<Prefix, Vec<(Timestamp, Attempts)>>,
    /// Every prefix of `failures` by its last failure.
    by_last: BTreeSet<(Timestamp, Prefix)>,
}

impl Sources {
    fn new(window: Duration) -> Self {
        Self { window, failures: HashMap::new(), by_last: BTreeSet::new() }
    }

    fn record(
        &mut self,
        prefix: Prefix,
        attempts: Attempts,
        window: Duration,
        made: Timestamp,
        now: Timestamp,
    ) -> Attempts {
        self.window = window;
        let list = self.failures.entry(prefix).or_default();
        if let Some(&(last, _)) = list.last() {
            self.by_last.remove(&(last, prefix));
        }

        list.retain(|(at, _)| at.saturating_add(window) > now);
        // Nearly always at the end.
        let place = list.iter().rposition(|(at, _)| *at <= made).map_or(0, |before| before + 1);
        match place.checked_sub(1).and_then(|before| list.get_mut(before)) {
            Some((at, sum)) if *at == made => *sum += attempts,
            Some(_) | None => list.insert(place, (made, attempts)),
        }
        if let Some(&(last, _)) = list.last() {
            self.by_last.insert((last, prefix));
        }
        list.iter().map(|&(_, attempts)| attempts).sum()
    }

    fn sum(&self, prefix: Prefix, window: Duration, now: Timestamp) -> Attempts {
        let list = self.failures.get(&prefix).map_or(&[][..], Vec::as_slice);
        list.iter().filter(|(at, _)| at.saturating_add(window) > now).map(|&(_, attempts)| attempts).sum()
    }

    /// Whether there was anything to forget.
    fn forget(&mut self, prefix: Prefix) -> bool {
        let Some(list) = self.failures.remove(&prefix) else { return false };
        if let Some(&(last, _)) = list.last() {
            self.by_last.remove(&(last, prefix));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JAIL: JailId = JailId::MIN;
    const OTHER_JAIL: JailId = JailId::MAX;
    const WINDOW: Duration = Duration::from_secs(600);

    #[test]
    fn forgets_failures_older_than_the_window() {
        let mut tracker = Tracker::new(10);
        fail(&mut tracker, 9, 0);
        fail(&mut tracker, 9, 30);

        assert_eq!(fail(&mut tracker, 9, 601), Attempts::whole(2), "the failure at 0 s has left the window");
    }

    #[test]
    fn a_failure_counts_until_the_window_is_over_and_not_at_its_end() {
        let just_before = Timestamp::from_nanos(600_000_000_000 - 1);
        let mut tracker = Tracker::new(10);
        fail(&mut tracker, 9, 0);
        assert_eq!(fail_at(&mut tracker, 9, just_before), Attempts::whole(2));

        let mut tracker = Tracker::new(10);
        fail(&mut tracker, 9, 0);
        assert_eq!(fail(&mut tracker, 9, 600), Attempts::whole(1));
    }

    #[test]
    fn weights_add_up_and_failures_of_one_instant_share_an_entry() {
        let mut tracker = Tracker::new(10);
        for _ in 0..4 {
            let now = Timestamp::from_secs(5);
            tracker.record(JAIL, host(9), Attempts::tenths(2), WINDOW, now, now);
        }

        assert_eq!(fail(&mut tracker, 9, 5), Attempts::tenths(18));
        assert_eq!(tracker.jails[&JAIL].failures[&host(9)].len(), 1);
    }

    #[test]
    fn a_clock_that_goes_backwards_frees_nobody() {
        let mut tracker = Tracker::new(10);
        fail(&mut tracker, 9, 1_000);

        assert_eq!(fail(&mut tracker, 9, 0), Attempts::whole(2));
        assert_eq!(fail(&mut tracker, 9, 1_599), Attempts::whole(3), "the step back counted as 1000 s");
        assert_eq!(fail(&mut tracker, 9, 1_600), Attempts::whole(2));
    }

    #[test]
    fn jails_count_apart() {
        let mut tracker = Tracker::new(10);
        fail(&mut tracker, 9, 0);

        assert_eq!(tracker.record(OTHER_JAIL, host(9), Attempts::whole(1), WINDOW, at(1), at(1)), Attempts::whole(1));
        assert_eq!((tracker.len(), tracker.tracked_by(JAIL)), (2, 1));
        tracker.forget_prefix(host(9));
        assert!(tracker.is_empty());
    }

    #[test]
    fn a_full_tracker_forgets_who_failed_longest_ago_and_counts_it() {
        let mut tracker = Tracker::new(2);
        fail(&mut tracker, 1, 0);
        tracker.record(OTHER_JAIL, host(2), Attempts::whole(1), WINDOW, at(1), at(1));
        fail(&mut tracker, 1, 2);

        fail(&mut tracker, 3, 3);

        assert_eq!((tracker.len(), tracker.forgotten()), (2, 1));
        assert_eq!(tracker.tracked_by(OTHER_JAIL), 0, "its last failure was at 1 s, that of the other at 2 s");
        assert_eq!(fail(&mut tracker, 1, 4), Attempts::whole(3));
    }

    #[test]
    fn a_source_is_purged_when_its_last_failure_leaves_the_window() {
        let mut tracker = Tracker::new(10);
        fail(&mut tracker, 9, 0);
        fail(&mut tracker, 9, 100);

        assert_eq!(tracker.next_purge(), Some(Timestamp::from_secs(700)));
        tracker.purge(Timestamp::from_nanos(699_999_999_999));
        assert_eq!(tracker.len(), 1);
        tracker.purge(Timestamp::from_secs(700));
        assert_eq!((tracker.len(), tracker.next_purge(), tracker.forgotten()), (0, None, 0));
    }

    #[test]
    fn what_comes_out_of_order_counts_from_when_it_was_made() {
        let mut tracker = Tracker::new(10);
        fail(&mut tracker, 9, 1_000);
        let mut past = |made| tracker.record(JAIL, host(9), Attempts::whole(1), WINDOW, at(made), at(1_000));

        assert_eq!(past(500), Attempts::whole(2));
        assert_eq!(past(700), Attempts::whole(3));
        assert_eq!(past(500), Attempts::whole(4));
        assert_eq!(past(400), Attempts::whole(4), "it has left the window");
        assert_eq!(past(2_000), Attempts::whole(5), "nothing was made later than now");

        assert_eq!(fail(&mut tracker, 9, 1_100), Attempts::whole(4), "two of 500 s have left the window");
        assert_eq!(fail(&mut tracker, 9, 1_300), Attempts::whole(4), "that of 700 s too");
    }

    #[test]
    fn a_failure_that_left_the_window_makes_nobody_a_source() {
        let mut tracker = Tracker::new(10);

        assert_eq!(tracker.record(JAIL, host(9), Attempts::whole(1), WINDOW, at(0), at(600)), Attempts::ZERO);
        assert!(tracker.is_empty());
    }

    #[test]
    fn a_source_is_purged_by_its_last_failure_in_whatever_order_they_came() {
        let mut tracker = Tracker::new(10);
        fail(&mut tracker, 9, 300);
        tracker.record(JAIL, host(9), Attempts::whole(1), WINDOW, at(100), at(300));

        assert_eq!(tracker.next_purge(), Some(at(900)));
    }

    fn fail(tracker: &mut Tracker, n: u8, at_secs: i64) -> Attempts {
        fail_at(tracker, n, at(at_secs))
    }

    fn fail_at(tracker: &mut Tracker, n: u8, now: Timestamp) -> Attempts {
        tracker.record(JAIL, host(n), Attempts::whole(1), WINDOW, now, now)
    }

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn host(n: u8) -> Prefix {
        Prefix::host([198, 51, 100, n].into())
    }
}
