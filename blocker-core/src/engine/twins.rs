//! Failures that two logs of one jail tell of.
//!
//! A jail may read files and the journal, and on most machines the same line comes in both: syslog's daemon writes to a
//! file what the journal has too. Each message counts as often as the log that has it more often tells it: the
//! first copy counts and is kept, one from another source takes it away again and does not count. Where one of the
//! logs is missing, or stale, the other counts alone.
//!
//! What is kept is a keyed hash of the message ([`crate::keyed`]), and a store is told of it with the rest: a copy may come
//! after a restart.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use crate::jail::{JailId, SourceId};
use crate::keyed::HashKey;
use crate::time::Timestamp;
use crate::touched::Touched;

/// A message in a jail, by its hash.
pub type TwinKey = (JailId, u64);

/// What was counted and may come again from another source.
#[derive(Debug, Default)]
pub(super) struct Twins {
    key: HashKey,
    counted: HashMap<TwinKey, Twin>,
    /// What is in `counted`, oldest first. May name what has been taken away, or has come again since.
    order: VecDeque<(Timestamp, TwinKey)>,
    /// What a store has to be told.
    pub(super) touched: Touched<TwinKey>,
}

/// A message that was told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Twin {
    /// When it was told last.
    pub last: Timestamp,
    /// How often each source told it, less those times that another one told it too. No source twice, and none never.
    pub copies: Vec<(SourceId, u32)>,
}

impl Twins {
    /// Hashes by this key from here on. What was kept by another is forgotten.
    pub(super) fn set_key(&mut self, key: HashKey) {
        self.key = key;
        self.counted.clear();
        self.order.clear();
        self.touched.touch_all();
    }

    /// Takes a `message` that `source` told `times` times, and says how often it counts.
    pub(super) fn count(&mut self, jail: JailId, source: SourceId, message: &[u8], times: u32, now: Timestamp) -> u32 {
        self.forget(now);
        let key = (jail, self.key.hash(message));
        let mut left = times;
        if let Some(Twin { copies, .. }) = self.counted.get_mut(&key) {
            for (_, other) in copies.iter_mut().filter(|(teller, _)| *teller != source) {
                let told = left.min(*other);
                *other -= told;
                left -= told;
            }
            copies.retain(|&(_, times)| times > 0);
            if copies.is_empty() {
                self.counted.remove(&key);
            }
        }
        if left > 0 {
            let told = self.counted.entry(key).or_default();
            told.last = now;
            match told.copies.iter_mut().find(|(teller, _)| *teller == source) {
                Some((_, own)) => *own = own.saturating_add(left),
                None => told.copies.push((source, left)),
            }
            self.order.push_back((now, key));
        }
        self.touched.touch(key);
        left
    }

    /// What is kept of a message, if anything is.
    pub(super) fn told(&self, key: TwinKey) -> Option<Twin> {
        self.counted.get(&key).cloned()
    }

    /// All that is kept.
    pub(super) fn all(&self) -> impl Iterator<Item = (TwinKey, Twin)> {
        self.counted.iter().map(|(key, told)| (*key, told.clone()))
    }

    /// Takes back what an earlier run kept. All of it counts as changed: its times have moved.
    pub(super) fn restore(&mut self, mut remembered: Vec<(TwinKey, Twin)>, now: Timestamp) {
        remembered.sort_by_key(|(key, told)| (told.last, *key));
        let surplus = remembered.len().saturating_sub(MAX_MESSAGES);
        let touched: BTreeSet<TwinKey> = remembered.iter().map(|(key, _)| *key).collect();
        touched.into_iter().for_each(|key| self.touched.touch(key));
        for (key, told) in remembered.into_iter().skip(surplus).filter(|(_, told)| !told.copies.is_empty()) {
            // An instant that has not come is a clock's that was set back.
            let told = Twin { last: told.last.min(now), ..told };
            self.order.push_back((told.last, key));
            self.counted.insert(key, told);
        }
        self.forget(now);
    }

    /// Forgets what is too old, and what there is no room for.
    fn forget(&mut self, now: Timestamp) {
        let is_over = |&(at, _): &(Timestamp, TwinKey)| now.saturating_since(at) >= WITHIN;
        while self.order.len() >= MAX_MESSAGES || self.order.front().is_some_and(is_over) {
            let Some((at, key)) = self.order.pop_front() else { return };
            if self.counted.get(&key).is_some_and(|told| told.last <= at) {
                self.counted.remove(&key);
                self.touched.touch(key);
            }
        }
    }
}

/// How far apart the copies of one message may arrive: log daemons that have fallen behind, logs that are caught up with.
/// While no engine runs, nothing can arrive: such time does not count.
const WITHIN: Duration = Duration::from_secs(600);

/// Most messages kept, at some 150 bytes each: 10 MiB. Beyond it the oldest is forgotten, and would count twice.
const MAX_MESSAGES: usize = 65_536;

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

    #[test]
    fn what_was_told_before_a_restart_is_a_twin_of_what_is_told_after_it() {
        let (mut before, mut after) = (Twins::default(), Twins::default());
        for twins in [&mut before, &mut after] {
            twins.set_key(HashKey::new([7; 16]));
            twins.touched.begin();
        }
        before.count(JAIL, FILE, b"one", 2, at(0));
        before.count(JAIL, FILE, b"two", 1, at(1));
        before.count(JAIL, JOURNAL, b"two", 1, at(1));
        let told = |twins: &mut Twins| -> Vec<_> {
            twins.touched.take().unwrap().into_iter().map(|key| (key, twins.told(key))).collect()
        };
        let changes = told(&mut before);
        assert_eq!(changes.len(), 2, "{changes:?}");
        assert_eq!(before.all().count(), 1);

        let remembered = changes.into_iter().filter_map(|(key, told)| Some((key, told?))).collect();
        after.restore(remembered, at(2));

        assert_eq!(
            after.count(JAIL, JOURNAL, b"one", 3, at(599)),
            1,
            "as often as the file told it, it does not count"
        );
        assert_eq!(after.count(JAIL, JOURNAL, b"two", 1, at(599)), 1, "both had told it");
        assert_eq!(told(&mut after).len(), 2);
    }

    #[test]
    fn of_what_is_remembered_no_more_than_the_bound_is_taken_back_and_the_rest_is_told_to_be_gone() {
        let mut twins = Twins::default();
        twins.touched.begin();
        let told = |last| Twin { last: at(last), copies: vec![(FILE, 1)] };
        let remembered = (0..MAX_MESSAGES + 10).map(|hash| ((JAIL, hash as u64), told(hash as i64)));
        let gone = (0..10).map(|hash| (JAIL, hash));

        twins.restore(remembered.collect(), at(5));

        assert!(twins.counted.len() <= MAX_MESSAGES);
        let touched = twins.touched.take().unwrap();
        assert!(gone.into_iter().all(|key| touched.contains(&key) && twins.told(key).is_none()));
        assert_eq!(twins.told((JAIL, 20)).unwrap().last, at(5), "never later than now");
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_secs(seconds)
    }
}
