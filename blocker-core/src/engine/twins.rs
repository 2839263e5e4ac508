//! Failures that two logs of one jail tell of.
//!
//! A jail may read files and the journal, and on most machines the same line comes in both: syslog's daemon writes to a
//! file what the journal has too. Each message counts as often as the log that has it more often tells it: the
//! first copy counts and is kept, one from another source takes it away again and does not count. Where one of the
//! logs is missing, or stale, the other counts alone.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::jail::{JailId, SourceId};
use crate::time::Timestamp;

/// What was counted and may come again from another source.
#[derive(Debug, Default)]
pub(super) struct Twins {
    counted: HashMap<(JailId, Box<[u8]>), Told>,
    /// What is in `counted`, oldest first. May name what has been taken away, or has come again since.
    order: VecDeque<(Timestamp, JailId, Box<[u8]>)>,
}

/// A message that was told.
#[derive(Debug, Default)]
struct Told {
    last: Timestamp,
    copies: Vec<Copies>,
}

/// How often one source told it, less those that another one told too.
#[derive(Debug)]
struct Copies {
    source: SourceId,
    times: u32,
}

impl Twins {
    /// Takes a `message` that `source` told `times` times, and says how often it counts.
    pub(super) fn count(&mut self, jail: JailId, source: SourceId, message: &[u8], times: u32, now: Timestamp) -> u32 {
        self.forget(now);
        if message.len() > MAX_MESSAGE_BYTES {
            return times;
        }
        let key = (jail, Box::from(message));
        let mut left = times;
        if let Some(Told { copies, .. }) = self.counted.get_mut(&key) {
            for other in copies.iter_mut().filter(|copies| copies.source != source) {
                let told = other.times.min(left);
                other.times -= told;
                left -= told;
            }
            copies.retain(|copies| copies.times > 0);
            if copies.is_empty() {
                self.counted.remove(&key);
            }
        }
        if left > 0 {
            let told = self.counted.entry(key).or_default();
            told.last = now;
            match told.copies.iter_mut().find(|copies| copies.source == source) {
                Some(own) => own.times = own.times.saturating_add(left),
                None => told.copies.push(Copies { source, times: left }),
            }
            self.order.push_back((now, jail, message.into()));
        }
        left
    }

    /// Forgets what is too old, and what there is no room for.
    fn forget(&mut self, now: Timestamp) {
        let is_over = |&(at, _, _): &(Timestamp, JailId, Box<[u8]>)| now.saturating_since(at) >= WITHIN;
        while self.order.len() >= MAX_MESSAGES || self.order.front().is_some_and(is_over) {
            let Some((at, jail, message)) = self.order.pop_front() else { return };
            let key = (jail, message);
            if self.counted.get(&key).is_some_and(|told| told.last <= at) {
                self.counted.remove(&key);
            }
        }
    }
}

/// How far apart the copies of one message may arrive: log daemons that have fallen behind, logs that are caught up with.
const WITHIN: Duration = Duration::from_secs(600);

/// Most messages kept, of at most [`MAX_MESSAGE_BYTES`] each, twice: 16 MiB. Beyond it the oldest is forgotten, and would
/// count twice.
const MAX_MESSAGES: usize = 4_096;

/// Longest message kept. Failures of services that we know have under 600 bytes; a longer one may count twice.
const MAX_MESSAGE_BYTES: usize = 2_048;

#[cfg(test)]
mod tests {
    use super::*;

    const JAIL: JailId = JailId::MIN;
    const FILE: SourceId = SourceId::new(0);
    const JOURNAL: SourceId = SourceId::new(1);

    #[test]
    fn a_message_in_both_logs_counts_once_in_either_order() {
        for order in [[FILE, JOURNAL], [JOURNAL, FILE]] {
            let mut twins = Twins::default();
            let counts = order.map(|source| twins.count(JAIL, source, b"one", 1, at(0)));
            assert_eq!(counts, [1, 0]);
            assert!(twins.counted.is_empty());
        }
    }

    #[test]
    fn each_message_counts_as_often_as_one_log_tells_it() {
        let mut twins = Twins::default();
        let mut told = |source, times| twins.count(JAIL, source, b"one", times, at(0));

        assert_eq!(
            [told(FILE, 1), told(FILE, 1), told(JOURNAL, 1), told(JOURNAL, 1), told(JOURNAL, 1)],
            [1, 1, 0, 0, 1]
        );
        assert_eq!([told(FILE, 1), told(FILE, 3), told(JOURNAL, 5)], [0, 3, 2], "also in repetitions");
    }

    #[test]
    fn other_messages_and_other_jails_are_no_twins() {
        let mut twins = Twins::default();
        let other = JailId::MAX;

        assert_eq!(twins.count(JAIL, FILE, b"one", 1, at(0)), 1);
        assert_eq!(twins.count(JAIL, JOURNAL, b"two", 1, at(0)), 1);
        assert_eq!(twins.count(other, JOURNAL, b"one", 1, at(0)), 1);
    }

    #[test]
    fn no_more_messages_than_the_bound_are_kept_and_none_for_long() {
        let mut twins = Twins::default();
        for number in 0..MAX_MESSAGES + 10 {
            twins.count(JAIL, FILE, format!("{number}").as_bytes(), 1, at(0));
        }
        assert!(twins.order.len() <= MAX_MESSAGES && twins.counted.len() <= MAX_MESSAGES);
        assert_eq!(twins.count(JAIL, JOURNAL, b"100", 1, at(599)), 0);
        assert_eq!(twins.count(JAIL, JOURNAL, b"101", 1, at(600)), 1, "too late to be the same");
        assert_eq!((twins.order.len(), twins.counted.len()), (1, 1));
    }

    #[test]
    fn a_message_that_came_again_is_kept_from_then_on() {
        let mut twins = Twins::default();
        let mut told = |source, second| twins.count(JAIL, source, b"one", 1, at(second));

        assert_eq!([told(FILE, 0), told(JOURNAL, 1), told(FILE, 500), told(JOURNAL, 700)], [1, 0, 1, 0]);
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_secs(seconds)
    }
}
