//! What a command has printed in its earlier runs.
//!
//! A program that is begun again prints its history again: `docker logs -f`, `tail -f`. A failure in it must not count
//! twice, so of the past lines of a run those are dropped that an earlier run printed, each as often as it did. What was
//! printed goes with the batches to whoever judges them, so that it is known again after a restart if it was judged.

use std::collections::{HashMap, VecDeque};

use blocker_core::keyed::HashKey;

use super::Batch;

/// Most lines remembered, the youngest: of each a hash, so some 4 MiB. Of a longer history what is older is judged again, by the
/// time in it.
pub const MAX_PRINTED: usize = 65_536;

/// The lines of earlier runs, and of this one.
#[derive(Debug, Default)]
pub struct Printed {
    key: HashKey,
    /// Hashes of lines, the oldest in front.
    lines: VecDeque<u64>,
    /// How often each may come again in this run; empty in the first run, and after the first line that is not past.
    again: HashMap<u64, u32>,
}

impl Printed {
    /// Lines that earlier runs printed, by their hashes, the oldest first. Only the last [`MAX_PRINTED`] are taken.
    #[must_use]
    pub fn new(key: HashKey, lines: Vec<u64>) -> Self {
        let surplus = lines.len().saturating_sub(MAX_PRINTED);
        Self { key, lines: lines.into_iter().skip(surplus).collect(), again: HashMap::new() }
    }

    /// Another run begins.
    pub(super) fn begin(&mut self) {
        self.again.clear();
        for &line in &self.lines {
            *self.again.entry(line).or_default() += 1;
        }
    }

    /// Takes from `batch` what is printed again, and remembers the rest.
    pub(super) fn strike(&mut self, batch: &mut Batch) {
        if !batch.is_past() {
            self.again = HashMap::new();
        }
        let mut kept = Vec::new();
        batch.retain(|line| {
            let hash = self.key.hash(line);
            if let Some(left) = self.again.get_mut(&hash).filter(|left| **left > 0) {
                *left -= 1;
                return false;
            }
            if self.lines.len() == MAX_PRINTED {
                self.lines.pop_front();
            }
            self.lines.push_back(hash);
            kept.push(hash);
            true
        });
        batch.set_printed(kept);
    }
}

#[cfg(test)]
mod tests {
    use blocker_core::engine::{LogId, SourceId};

    use super::*;

    #[test]
    fn what_was_told_with_the_batches_is_known_by_the_next_daemon() {
        let key = HashKey::new([3; 16]);
        let mut before = Printed::new(key, Vec::new());
        before.begin();
        let mut batch = Batch::new(SourceId::new(0), LogId::new(0), false);
        [&b"a"[..], b"b", b"b"].into_iter().for_each(|line| batch.push(line));
        before.strike(&mut batch);

        let mut after = Printed::new(key, batch.printed().to_vec());
        after.begin();

        assert_eq!(left(&mut after, true, &["b", "a", "c", "b", "b"]), ["c", "b"]);
    }

    fn left(printed: &mut Printed, past: bool, lines: &[&str]) -> Vec<String> {
        let mut batch = Batch::new(SourceId::new(0), LogId::new(0), past);
        for line in lines {
            batch.push(line.as_bytes());
        }
        printed.strike(&mut batch);
        batch.lines().map(|line| String::from_utf8(line.to_vec()).unwrap()).collect()
    }

    #[test]
    fn a_history_that_is_printed_again_is_struck_and_what_is_new_in_it_is_not() {
        let mut printed = Printed::default();
        printed.begin();
        assert_eq!(left(&mut printed, true, &["a", "b", "b"]), ["a", "b", "b"], "nothing was printed before");
        assert_eq!(left(&mut printed, false, &["c", "a"]), ["c", "a"], "what is written now is new");

        printed.begin();
        assert_eq!(left(&mut printed, true, &["a", "b", "b", "c"]), [""; 0]);
        assert_eq!(left(&mut printed, true, &["a", "b", "d"]), ["b", "d"], "one b more than before");
        assert_eq!(left(&mut printed, false, &["c"]), ["c"]);
    }

    #[test]
    fn no_more_lines_are_remembered_than_the_bound() {
        let mut printed = Printed::default();
        let text: Vec<String> = (0..=MAX_PRINTED).map(|number| number.to_string()).collect();
        let lines: Vec<&str> = text.iter().map(String::as_str).collect();
        printed.begin();
        left(&mut printed, true, &lines);

        printed.begin();
        assert_eq!(left(&mut printed, true, &lines), ["0"], "the oldest made room");
        assert_eq!(printed.lines.len(), MAX_PRINTED);
    }
}
