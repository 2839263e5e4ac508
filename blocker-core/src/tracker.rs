//! Failures per jail and prefix, in an exact sliding window.
//!
//! The tracker answers one question: how many attempts has this prefix made in this jail within the window that ends
//! now? It keeps nothing else and never decides what to do about it (see [`crate::policy`]).
//!
//! # Theory of operation
//!
//! Each (jail, prefix) owns the instants of its failures with their weights, and who they were tried as. A failure at `t`
//! counts at `now` while `now - t < window`: at `t + window` exactly it does not. Failures of the same instant and user share
//! an entry. They may come in any order: what a log held before it was read is counted from when it was made.
//!
//! When a user logs in, what was tried as him is forgiven: his entries are removed, and nobody else's
//! ([`Tracker::forgive`]). Of a user there is a hash of 32 bits by a secret key ([`crate::keyed`]).
//!
//! A list is bounded by what earns a ban: every weight is at least a tenth, and the caller forgets a prefix as soon as
//! its sum reaches `max_retry` whole attempts. So a list has fewer than `10 * max_retry` entries of 16 bytes: 49 for the
//! default of 5, and 5 for refused passwords.
//!
//! The lists are bounded by `max_sources`. When they are that many, the one that failed longest ago is forgotten, and
//! counted: this favours an attacker with very many addresses who waits, never one who hurries. A list whose last
//! failure has left the window is purged.
//!
//! [`Tracker::estimate`] counts as fail2ban does instead, which forgives nothing.

mod estimate;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use crate::attempts::Attempts;
use crate::jail::JailId;
use crate::keyed::Tag;
use crate::prefix::Prefix;
use crate::time::Timestamp;
use crate::touched::Touched;
use estimate::Estimate;

/// Failures of one instant, tried as one user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tries {
    /// When they were made.
    pub at: Timestamp,
    /// What they weigh.
    pub attempts: Attempts,
    /// As whom; `None` if nobody knows for sure, and nothing forgives them.
    pub user: Option<Tag>,
}

impl Tries {
    /// Those that are no user's.
    #[must_use]
    pub fn nobodys(at: Timestamp, attempts: Attempts) -> Self {
        Self { at, attempts, user: None }
    }
}

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
        self.record_as(jail, prefix, (attempts, None), window, made, now)
    }

    /// The same, where some of the attempts are a user's: at most all.
    pub fn record_as(
        &mut self,
        jail: JailId,
        prefix: Prefix,
        (attempts, own): (Attempts, Option<(Tag, Attempts)>),
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
        let sources = self.jails.entry(jail).or_insert_with(|| Sources::new(window));
        let own = own.map(|(user, own)| Tries { at: made, attempts: own.min(attempts), user: Some(user) });
        let own = own.filter(|own| !own.attempts.is_zero());
        let rest = attempts.without(own.map_or(Attempts::ZERO, |own| own.attempts));
        let rest = (own.is_none() || !rest.is_zero()).then(|| Tries::nobodys(made, rest));
        sources.record(prefix, own.into_iter().chain(rest), window, now)
    }

    /// Whether there is anything that [`Tracker::forgive`] may forgive.
    #[must_use]
    pub fn is_tracked(&self, jail: JailId, prefix: Prefix) -> bool {
        self.jails.get(&jail).is_some_and(|sources| sources.failures.contains_key(&prefix))
    }

    /// Forgets what `prefix` tried as `user` in `jail`, up to then and including that instant, and returns what that was.
    pub fn forgive(&mut self, jail: JailId, prefix: Prefix, user: Tag, until: Timestamp) -> Attempts {
        let Some(sources) = self.jails.get_mut(&jail) else { return Attempts::ZERO };
        let forgiven = sources.forgive(prefix, user, until);
        if !forgiven.is_zero() {
            self.touched.touch((prefix, jail));
            if !sources.failures.contains_key(&prefix) {
                self.tracked -= 1;
            }
        }
        forgiven
    }

    /// The same, counted as fail2ban does: by an estimate from the first failure, the last, and their number. Whoever has not
    /// failed for as long as the window has no number any more.
    pub fn estimate(
        &mut self,
        jail: JailId,
        prefix: Prefix,
        attempts: Attempts,
        window: Duration,
        made: Timestamp,
        now: Timestamp,
    ) -> Attempts {
        let made = if made >= now { self.latest.max(now) } else { made };
        self.purge(now);
        self.touched.touch((prefix, jail));
        self.make_room(jail, prefix);
        let sources = self.jails.entry(jail).or_insert_with(|| Sources::new(window));
        sources.estimate(prefix, attempts, window, made)
    }

    /// Takes in failures of `prefix` in `jail` that were recorded before a restart: in the order of time, those that are
    /// still within `window`. What was recorded of it since is replaced.
    pub fn restore(&mut self, jail: JailId, prefix: Prefix, failures: Vec<Tries>, window: Duration) {
        self.forget(jail, prefix);
        let latest = self.latest;
        // What has no weight is where an estimate begins.
        let is_kept = |tries: &Tries| tries.attempts.is_zero() || tries.at.saturating_add(window) > latest;
        let failures: Vec<_> = failures.into_iter().filter(is_kept).collect();
        let last = failures.last().map(|tries| tries.at);
        let Some(last) = last.filter(|last| last.saturating_add(window) > latest) else { return };
        self.touched.touch((prefix, jail));
        self.make_room(jail, prefix);
        let sources = self.jails.entry(jail).or_insert_with(|| Sources::new(window));
        sources.window = window;
        sources.by_last.insert((last, prefix));
        sources.failures.insert(prefix, failures);
    }

    /// The failures of `prefix` in `jail`, in the order of time.
    #[must_use]
    pub fn failures(&self, jail: JailId, prefix: Prefix) -> &[Tries] {
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

    /// Forgets the oldest failures of `prefix` in `jail` that are not needed for `most`: they would be in the way if a ban that
    /// they earn is held for long.
    pub fn keep_latest(&mut self, jail: JailId, prefix: Prefix, most: Attempts) {
        if let Some(list) = self.jails.get_mut(&jail).and_then(|sources| sources.failures.get_mut(&prefix)) {
            let mut kept = Attempts::ZERO;
            let first = list.iter().rposition(|tries| {
                kept += tries.attempts;
                kept >= most
            });
            list.drain(..first.unwrap_or(0));
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
    failures: HashMap<Prefix, Vec<Tries>>,
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
        parts: impl Iterator<Item = Tries>,
        window: Duration,
        now: Timestamp,
    ) -> Attempts {
        self.window = window;
        let list = self.failures.entry(prefix).or_default();
        if let Some(last) = list.last() {
            self.by_last.remove(&(last.at, prefix));
        }

        list.retain(|tries| tries.at.saturating_add(window) > now);
        for tries in parts {
            // Nearly always at the end.
            let place = list.iter().rposition(|known| known.at <= tries.at).map_or(0, |before| before + 1);
            let of_instant = list.iter_mut().take(place).rev().take_while(|known| known.at == tries.at);
            match of_instant.into_iter().find(|known| known.user == tries.user) {
                Some(known) => known.attempts += tries.attempts,
                None => list.insert(place, tries),
            }
        }
        if let Some(last) = list.last() {
            self.by_last.insert((last.at, prefix));
        }
        list.iter().map(|tries| tries.attempts).sum()
    }

    /// What there was to forgive.
    fn forgive(&mut self, prefix: Prefix, user: Tag, until: Timestamp) -> Attempts {
        let Some(list) = self.failures.get_mut(&prefix) else { return Attempts::ZERO };
        let is_forgiven = |tries: &Tries| tries.user == Some(user) && tries.at <= until;
        let forgiven: Attempts = list.iter().filter(|tries| is_forgiven(tries)).map(|tries| tries.attempts).sum();
        let Some(last) = list.last().filter(|_| !forgiven.is_zero()).map(|tries| tries.at) else {
            return forgiven;
        };
        self.by_last.remove(&(last, prefix));
        list.retain(|tries| !is_forgiven(tries));
        match list.last() {
            Some(last) => drop(self.by_last.insert((last.at, prefix))),
            None => drop(self.failures.remove(&prefix)),
        }
        forgiven
    }

    fn estimate(&mut self, prefix: Prefix, attempts: Attempts, window: Duration, made: Timestamp) -> Attempts {
        self.window = window;
        let list = self.failures.entry(prefix).or_default();
        if let Some(last) = list.last() {
            self.by_last.remove(&(last.at, prefix));
        }
        let estimate = match Estimate::of(list) {
            Some(known) => known.add(made, attempts, window),
            None => Estimate::new(made, attempts),
        };
        *list = estimate.list();
        if let Some(last) = list.last() {
            self.by_last.insert((last.at, prefix));
        }
        estimate.count()
    }

    fn sum(&self, prefix: Prefix, window: Duration, now: Timestamp) -> Attempts {
        let list = self.failures.get(&prefix).map_or(&[][..], Vec::as_slice);
        list.iter().filter(|tries| tries.at.saturating_add(window) > now).map(|tries| tries.attempts).sum()
    }

    /// Whether there was anything to forget.
    fn forget(&mut self, prefix: Prefix) -> bool {
        let Some(list) = self.failures.remove(&prefix) else { return false };
        if let Some(last) = list.last() {
            self.by_last.remove(&(last.at, prefix));
        }
        true
    }
}

#[cfg(test)]
mod tests;
