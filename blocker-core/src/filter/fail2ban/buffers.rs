//! The last lines of a log, for expressions that look at several at once.
//!
//! What a match is made of leaves the buffer; lines before it, behind it, and those that it passed over stay.

use std::collections::HashMap;

use super::Owner;

/// Most lines that are looked at together.
pub(super) const MAX_LINES: u32 = 100;

/// Most bytes of one buffer; the oldest lines leave. Each line costs a search through all of them.
const MAX_BYTES: usize = 64 * 1024;

/// Most logs of which lines are kept, 16 MiB in all. Beyond it all begin anew: what was half told in them is lost.
const MAX_BUFFERS: usize = 256;

/// The buffers of all logs.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    buffers: HashMap<Owner, Vec<String>>,
    /// How often they began anew.
    pub(super) begun_anew: u64,
}

impl Buffers {
    /// Adds a line, and gives all that are kept, the oldest first.
    pub(super) fn add(&mut self, owner: Owner, line: &str, most: u32) -> &mut Vec<String> {
        if !self.buffers.contains_key(&owner) && self.buffers.len() >= MAX_BUFFERS {
            self.buffers.clear();
            self.begun_anew += 1;
        }
        let lines = self.buffers.entry(owner).or_default();
        lines.push(line.to_owned());
        let most = most.min(MAX_LINES) as usize;
        let mut bytes: usize = lines.iter().map(|line| line.len() + 1).sum();
        let mut leave = 0;
        while lines.len() - leave > most || (bytes > MAX_BYTES && leave < lines.len()) {
            bytes -= lines[leave].len() + 1;
            leave += 1;
        }
        lines.drain(..leave);
        lines
    }
}

/// Takes out of `lines`, which are joined by line feeds, those that the match from `start` to `end` is made of, without those
/// in `skipped`.
pub(super) fn take(lines: &mut Vec<String>, (start, end): (usize, usize), skipped: &[(usize, usize)]) {
    let mut at = 0;
    lines.retain(|line| {
        let (first, last) = (at, at + line.len());
        at = last + 1;
        let is_in = |(start, end): (usize, usize)| first < end && last >= start;
        let is_passed_over = skipped.iter().any(|&(start, end)| first >= start && last < end);
        // A match of nothing is of the line in which it stands.
        !is_in((start, end.max(start + 1))) || is_passed_over
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_lines_bytes_and_logs_than_the_bounds() {
        let mut buffers = Buffers::default();
        for _ in 0..10 {
            buffers.add(Owner::NOBODY, "x", 3);
        }
        assert_eq!(buffers.add(Owner::NOBODY, "y", 3), &["x", "x", "y"]);
        assert_eq!(buffers.add(Owner::NOBODY, &"z".repeat(MAX_BYTES), 3).len(), 0, "too long to be kept");

        for log in 0..u32::try_from(MAX_BUFFERS).unwrap() {
            buffers.add(Owner { log, ..Owner::NOBODY }, "x", 3);
        }
        assert!(buffers.buffers.len() <= MAX_BUFFERS);
    }

    #[test]
    fn what_was_matched_leaves_and_what_was_passed_over_stays() {
        let mut lines: Vec<String> = ["a", "begin", "b", "end", "c"].map(str::to_owned).into();
        //   a\nbegin\nb\nend\nc
        take(&mut lines, (2, 13), &[(8, 10)]);

        assert_eq!(lines, ["a", "b", "c"]);
    }
}
