//! Bytes into lines, with a bound.
//!
//! A [`LineSplitter`] takes the bytes of one file in whatever pieces they are read and puts the finished lines into a
//! [`Batch`]. It keeps the beginning of the one line that is not finished, at most as many bytes as a line may have.
//!
//! ```text
//!                 newline                        longer than a line may be: counted
//!   keeping ───────────────────▶ keeping      keeping ───────────────────▶ skipping
//!                                                ▲          newline            │
//!                                                └─────────────────────────────┘
//! ```
//!
//! A longer line is skipped whole, never cut and judged: with the right length of user name an attacker could otherwise
//! choose where the line ends.

use memchr::{memchr, memrchr};

use super::Batch;

/// Splits the bytes of one file into lines.
#[derive(Debug)]
pub(super) struct LineSplitter {
    /// The longest line that is judged, in bytes before its newline.
    max_bytes: usize,
    /// The beginning of the line that is not finished; empty while skipping, never longer than `max_bytes`.
    partial: Vec<u8>,
    /// Whether everything up to the next newline is dropped.
    skipping: bool,
}

impl LineSplitter {
    /// Begins at the beginning of a line.
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { max_bytes, partial: Vec::new(), skipping: false }
    }

    /// Begins in the middle of a line, the rest of which is not a line.
    pub(super) fn mid_line(max_bytes: usize) -> Self {
        Self { skipping: true, ..Self::new(max_bytes) }
    }

    /// Whether the bytes taken so far end within a line that is dropped.
    pub(super) fn is_skipping(&self) -> bool {
        self.skipping
    }

    /// The longest line that is judged, in bytes before its newline.
    pub(super) fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    /// What is kept of the line that is not finished.
    pub(super) fn partial(&self) -> &[u8] {
        &self.partial
    }

    /// Goes on behind lines that were not split here, the unfinished one among them: with bytes in which no line ends. Returns 1 if
    /// that makes the line too long.
    pub(super) fn restart(&mut self, bytes: &[u8]) -> u64 {
        self.partial.clear();
        self.skipping = false;
        self.keep(bytes)
    }

    /// Takes `bytes`, puts the lines that end in them into `batch`, and returns how many lines were found too long.
    pub(super) fn push(&mut self, mut bytes: &[u8], batch: &mut Batch) -> u64 {
        let mut overlong = 0;
        if self.skipping || !self.partial.is_empty() {
            let Some(end) = memchr(b'\n', bytes) else { return self.keep(bytes) };
            let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
            if self.skipping {
                self.skipping = false;
            } else if self.partial.len() + line.len() > self.max_bytes {
                overlong += 1;
            } else {
                self.partial.extend_from_slice(line);
                batch.push(&self.partial);
            }
            self.partial.clear();
            bytes = rest;
        }
        let (whole, rest) = bytes.split_at(memrchr(b'\n', bytes).map_or(0, |last| last + 1));
        overlong += batch.push_whole(whole, self.max_bytes);
        overlong + self.keep(rest)
    }

    /// Keeps bytes in which no line ends. Returns 1 if that makes the line too long.
    fn keep(&mut self, bytes: &[u8]) -> u64 {
        if self.skipping {
            return 0;
        }
        if self.partial.len() + bytes.len() > self.max_bytes {
            self.partial.clear();
            self.skipping = true;
            return 1;
        }
        if bytes.is_empty() && self.partial.is_empty() {
            // Of a thousand logs, few are within a line at any time.
            self.partial = Vec::new();
        }
        self.partial.extend_from_slice(bytes);
        0
    }

    /// Forgets the line that is not finished, and returns whether there was the beginning of one.
    pub(super) fn reset(&mut self) -> bool {
        let unfinished = !self.partial.is_empty();
        self.partial.clear();
        self.skipping = false;
        unfinished
    }
}

/// Whether one of `lines`, which end with their newlines, has more than `max_bytes` in front of its.
pub(super) fn has_overlong(mut lines: &[u8], max_bytes: usize) -> bool {
    // Of so many bytes as an overlong line begins with, none is a newline; and behind the last newline of so many a line begins.
    while let Some(window) = lines.get(..=max_bytes) {
        match memrchr(b'\n', window) {
            Some(newline) => lines = &lines[newline + 1..],
            None => return true,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use blocker_core::engine::{LogId, SourceId};
    use proptest::prelude::*;

    use super::*;

    const MAX: usize = 8 * 1024;

    #[test]
    fn keeps_a_partial_line_until_it_ends() {
        let (lines, overlong) = split(LineSplitter::new(MAX), &[b"one\ntw", b"", b"o", b"\nthree"]);

        assert_eq!(lines, [b"one".to_vec(), b"two".to_vec()]);
        assert_eq!(overlong, 0);
    }

    #[test]
    fn a_crlf_cut_in_two_leaves_no_carriage_return() {
        let (lines, _) = split(LineSplitter::new(MAX), &[b"one\r", b"\n\r\n\ntwo\n"]);

        assert_eq!(lines, [b"one".to_vec(), b"two".to_vec()]);
    }

    #[test]
    fn passes_nul_and_invalid_utf8_through() {
        let (lines, _) = split(LineSplitter::new(MAX), &[b"\0a\xff\xfe\x1b[31m\n"]);

        assert_eq!(lines, [b"\0a\xff\xfe\x1b[31m".to_vec()]);
    }

    #[test]
    fn begun_mid_line_the_rest_of_it_is_not_a_line() {
        let (lines, overlong) = split(LineSplitter::mid_line(MAX), &[b"rest", b" of it\nwhole\n"]);

        assert_eq!(lines, [b"whole".to_vec()]);
        assert_eq!(overlong, 0, "a rest is not counted as an overlong line");
    }

    #[test]
    fn the_longest_line_is_judged_and_one_byte_more_is_not() {
        let longest = vec![b'x'; MAX];
        for cut in [0, 1, MAX - 1, MAX] {
            let (lines, overlong) = split(LineSplitter::new(MAX), &[&longest[..cut], &longest[cut..], b"\nnext\n"]);
            assert_eq!(lines, [longest.clone(), b"next".to_vec()], "cut at {cut}");
            assert_eq!(overlong, 0);

            let (lines, overlong) = split(LineSplitter::new(MAX), &[&longest[..cut], &longest[cut..], b"x\nnext\n"]);
            assert_eq!(lines, [b"next".to_vec()], "cut at {cut}");
            assert_eq!(overlong, 1, "counted once, cut at {cut}");
        }
    }

    #[test]
    fn an_endless_line_takes_no_memory() {
        let mut splitter = LineSplitter::new(MAX);
        let mut batch = Batch::new(SourceId::new(0), LogId::new(0), false);
        let chunk = vec![b'x'; 64 * 1024];

        let overlong: u64 = (0..160).map(|_| splitter.push(&chunk, &mut batch)).sum();

        assert_eq!(overlong, 1);
        assert!(batch.is_empty());
        assert!(splitter.partial.capacity() <= MAX, "{} bytes kept", splitter.partial.capacity());
    }

    #[test]
    fn between_lines_no_memory_is_held() {
        let mut splitter = LineSplitter::new(MAX);
        let mut batch = Batch::new(SourceId::new(0), LogId::new(0), false);

        splitter.push(&[b'x'; MAX], &mut batch);
        splitter.push(b"\n", &mut batch);

        assert_eq!((batch.len(), splitter.partial.capacity()), (1, 0));
    }

    proptest! {
        #[test]
        fn where_the_bytes_are_cut_does_not_matter(
            text in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..200),
            cuts in proptest::collection::vec(0_usize..200, 0..8),
        ) {
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(text.len())).chain([0, text.len()]).collect();
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|cut| &text[cut[0]..cut[1]]).collect();

            prop_assert_eq!(split(LineSplitter::new(MAX), &pieces), split(LineSplitter::new(MAX), &[&text]));
        }
    }

    proptest! {
        #[test]
        fn an_overlong_line_is_found_wherever_it_is(
            lengths in prop::collection::vec(prop_oneof![4 => 0..20_usize, 1 => 95..106_usize], 0..60),
        ) {
            let lines: Vec<u8> = lengths.iter().flat_map(|&length| [vec![b'x'; length], b"\n".to_vec()].concat()).collect();

            prop_assert_eq!(has_overlong(&lines, 100), lengths.iter().any(|&length| length > 100));
        }
    }

    fn split(mut splitter: LineSplitter, pieces: &[&[u8]]) -> (Vec<Vec<u8>>, u64) {
        let mut batch = Batch::new(SourceId::new(0), LogId::new(0), false);
        let overlong = pieces.iter().map(|piece| splitter.push(piece, &mut batch)).sum();
        (batch.lines().map(<[u8]>::to_vec).collect(), overlong)
    }
}
