//! What is kept of each log: the form of its stamps, when its last line was written, its last failures.
//!
//! All of it can be lost: then a form is learnt anew, and a repetition is not understood. So the table is bounded simply:
//! at [`MAX_LOGS`] a new log takes the place of the one that was met first.

use std::collections::HashMap;

use super::last::LastFailures;
use crate::jail::LogId;
use crate::record::Learnt;
use crate::time::Timestamp;

/// Most logs of which something is kept: at most 18 KiB each, with four failures in their last lines, so 18 MiB in all.
pub(super) const MAX_LOGS: usize = 1_024;

/// What is kept, by log.
#[derive(Debug, Default)]
pub(super) struct Logs {
    logs: Vec<Log>,
    places: HashMap<LogId, usize>,
    /// The place of the log that was asked for last: lines of one log come in batches.
    current: usize,
    /// The place that is taken next when all are.
    next: usize,
}

/// What is kept of one log.
#[derive(Debug)]
pub(super) struct Log {
    id: LogId,
    /// The form of its stamps.
    pub(super) learnt: Learnt,
    /// When its last past line was written, as far as that could be told.
    pub(super) before: Option<Timestamp>,
    /// The failures among the last lines.
    pub(super) last: LastFailures,
}

impl Logs {
    /// What is kept of `id`.
    pub(super) fn of(&mut self, id: LogId) -> &mut Log {
        if self.logs.get(self.current).is_none_or(|log| log.id != id) {
            self.current = match self.places.get(&id) {
                Some(&place) => place,
                None => self.begin(id),
            };
        }
        &mut self.logs[self.current]
    }

    /// Begins to keep something of `id`, and says where.
    fn begin(&mut self, id: LogId) -> usize {
        let log = Log { id, learnt: Learnt::default(), before: None, last: LastFailures::default() };
        let place = if self.logs.len() < MAX_LOGS {
            self.logs.push(log);
            self.logs.len() - 1
        } else {
            let place = self.next;
            self.next = (place + 1) % MAX_LOGS;
            self.places.remove(&self.logs[place].id);
            self.logs[place] = log;
            place
        };
        self.places.insert(id, place);
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_logs_than_the_bound_and_the_first_met_makes_room() {
        let mut logs = Logs::default();
        let numbers = 0..u32::try_from(MAX_LOGS).unwrap();
        for number in numbers.clone() {
            logs.of(LogId::new(number)).before = Some(Timestamp::from_secs(i64::from(number)));
        }
        logs.of(LogId::new(u32::MAX)).before = None;

        assert_eq!((logs.logs.len(), logs.places.len()), (MAX_LOGS, MAX_LOGS));
        for number in numbers.skip(1) {
            assert_eq!(logs.of(LogId::new(number)).before, Some(Timestamp::from_secs(i64::from(number))), "{number}");
        }
        assert_eq!(logs.of(LogId::new(0)).before, None, "it was forgotten");
    }
}
