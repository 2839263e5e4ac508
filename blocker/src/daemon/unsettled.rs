//! What the kernel refused to do, to be tried again: until then book and maps disagree.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use blocker_core::prefix::Prefix;

/// Prefixes that may wait to be tried again, in each set. Beyond them a restart of the daemon brings maps and book
/// together, and `status` says so.
const MAX_WAITING: usize = 65_536;

/// How often it is tried again.
const EVERY: Duration = Duration::from_secs(1);

/// Prefixes tried again at once: a kernel that refuses them all costs some milliseconds.
const AT_ONCE: usize = 1024;

/// Prefixes whose entry in the maps may not be what the engine wants.
#[derive(Debug, Default)]
pub(super) struct Unsettled {
    bans: BTreeSet<Prefix>,
    allowed: BTreeSet<Prefix>,
    lost: u64,
    next: Option<Instant>,
}

/// What of a prefix is not settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// Its ban.
    Ban(Prefix),
    /// Its place on the allowlist.
    Allowed(Prefix),
}

impl Unsettled {
    /// Remembers a refusal.
    pub(super) fn add(&mut self, entry: Entry) {
        let (set, prefix) = match entry {
            Entry::Ban(prefix) => (&mut self.bans, prefix),
            Entry::Allowed(prefix) => (&mut self.allowed, prefix),
        };
        if set.len() < MAX_WAITING || set.contains(&prefix) {
            set.insert(prefix);
        } else {
            self.lost += 1;
        }
        self.next.get_or_insert_with(|| Instant::now() + EVERY);
    }

    /// When to try again, if there is anything to try.
    pub(super) fn wait(&self) -> Option<Duration> {
        self.next.map(|next| next.saturating_duration_since(Instant::now()))
    }

    /// What is to be tried now; it counts as settled until it is added again.
    pub(super) fn take_due(&mut self) -> Vec<Entry> {
        if self.wait() != Some(Duration::ZERO) {
            return Vec::new();
        }
        let mut due = Vec::new();
        while due.len() < AT_ONCE {
            // Whom never to drop goes first.
            let entry = self.allowed.pop_first().map(Entry::Allowed);
            let Some(entry) = entry.or_else(|| self.bans.pop_first().map(Entry::Ban)) else { break };
            due.push(entry);
        }
        self.next = (self.waiting() > 0).then(|| Instant::now() + EVERY);
        due
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.bans.len() + self.allowed.len()
    }

    /// How many were refused and are not tried again.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(number: usize) -> Prefix {
        format!("10.{}.{}.{}", number >> 16, number >> 8 & 0xff, number & 0xff).parse().unwrap()
    }

    #[test]
    fn what_was_refused_is_due_after_a_while_and_then_settled() {
        let mut unsettled = Unsettled::default();
        assert_eq!(unsettled.wait(), None);
        unsettled.add(Entry::Ban(prefix(1)));
        unsettled.add(Entry::Allowed(prefix(2)));
        assert!(unsettled.take_due().is_empty(), "not at once");

        unsettled.next = Some(Instant::now());
        assert_eq!(unsettled.take_due(), [Entry::Allowed(prefix(2)), Entry::Ban(prefix(1))]);
        assert_eq!((unsettled.waiting(), unsettled.wait()), (0, None));
    }

    #[test]
    fn more_than_can_wait_are_counted() {
        let mut unsettled = Unsettled::default();
        for number in 0..MAX_WAITING + 3 {
            unsettled.add(Entry::Ban(prefix(number)));
        }
        unsettled.add(Entry::Ban(prefix(0)));

        assert_eq!((unsettled.waiting(), unsettled.lost()), (MAX_WAITING, 3));
        unsettled.next = Some(Instant::now());
        assert_eq!(unsettled.take_due().len(), AT_ONCE);
        assert!(unsettled.wait().is_some(), "the others wait on");
    }
}
