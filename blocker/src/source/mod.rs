//! Where log lines come from, and what a source hands to the daemon.
//!
//! A source is a task that owns its descriptors, positions and buffers and shares nothing: it sends [`SourceEvent`]s into
//! the daemon's bounded channel, and waits when that is full (a file is its own queue). It knows no filter, no jail and
//! no address; a line is bytes, and whatever an attacker wrote into them is passed on unread.
//!
//! - [`mod@file`]: files named by paths and globs, followed over rotation and truncation;
//! - [`journal`]: the systemd journal, one reader for all jails;
//! - `command`: what a program prints; `syslog`: what is sent by syslog's protocols; `stdin`: standard input.
//!
//! Inside: `follower` (which files are followed, and until when), `find` and `pattern` (which files the globs name),
//! `remembered` (where to begin in files that are not open), `resume` (where an earlier run left off), `handover` (where another program did), `family` (what rotations made of a log), `mark` (how that is told), `tail` (one followed file), `unpacked` (one
//! compressed file), `packed` (how files are compressed), `reader` (either of the two), `lines` (bytes into lines), `watch`
//! (inotify), `stream` (lines of a pipe), `printed` (what a command has printed before), `filesystem` (which announce
//! nothing), `problems` (what is in the way), `look` (what a doctor wants to know), `whole` (a log read once, with the
//! numbers of its lines).

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use blocker_core::engine::{Lines, LogId, SourceId};
use memchr::{memchr, memchr_iter};

mod command;
mod family;
pub mod file;
mod filesystem;
mod find;
mod follower;
mod handover;
pub mod journal;
mod lines;
mod look;
mod mark;
mod packed;
mod pattern;
mod printed;
mod problems;
mod reader;
mod remembered;
mod resume;
mod stdin;
mod stream;
mod syslog;
mod tail;
#[cfg(test)]
pub(crate) mod testing;
mod unpacked;
mod watch;
mod whole;

pub use command::CommandSource;
pub use file::FileSource;
pub use handover::{FirstLine, Handed, ReadLog, Why, hand_over};
pub use journal::{JournalInput, JournalPlace, JournalReader};
pub use look::{Seen, SeenFile, look};
pub use mark::{JournalMark, Mark, Marks};
pub use printed::{MAX_PRINTED, Printed};
pub use problems::MAX_PROBLEMS;
pub use stdin::read_stdin;
pub use syslog::SyslogSource;
pub use whole::{Piece, read_whole};

/// What a source tells the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceEvent {
    /// Lines to judge, in the order in which they stand in their log, and how far that has been read with them. Without
    /// lines where the reading of a log begins, and when a journal was read on and held nothing for the source.
    Lines(Batch),
    /// Marks whose files are gone.
    Lost(SourceId, Vec<Mark>),
    /// What the source is doing has changed. The first one is sent before any line, when the source has looked for its
    /// files for the first time: from then on no line written to them is missed. Counters alone change at most once a
    /// second.
    State(SourceId, SourceState),
    /// There will be nothing more, ever: standard input has ended.
    End,
}

/// A number for a log that is begun to be read. No other log of this process has it, until there have been 2^32 of them.
pub(crate) fn number_log() -> LogId {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    LogId::new(NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Bytes of a line as logs have them: only to make room at once.
const USUAL_LINE_BYTES: usize = 64;

/// Lines read at once from one log.
///
/// No line is empty, contains a newline, ends with the carriage return of a CRLF or is longer than a line may be.
/// NULs, escapes and invalid UTF-8 are as the file has them.
#[derive(Clone, PartialEq, Eq)]
pub struct Batch {
    source: SourceId,
    log: LogId,
    past: bool,
    /// The lines, one after the other, with their newlines if they were taken so; and what else was read with them.
    bytes: Vec<u8>,
    /// Where in `bytes` the first line begins.
    begin: usize,
    /// Where each line ends, from there: behind its newline if it has one; ascending. Empty while `newlines` are known instead.
    ends: Vec<usize>,
    /// How many newlines there are, if each line ends with one. Some may be empty, which then are none.
    newlines: Option<usize>,
    mark: Option<Mark>,
    journal_mark: Option<JournalMark>,
    printed: Vec<u64>,
}

impl Batch {
    /// Begins a batch without lines. They are `past` if they were in `log` already when reading of it began.
    pub fn new(source: SourceId, log: LogId, past: bool) -> Self {
        Self {
            source,
            log,
            past,
            bytes: Vec::new(),
            begin: 0,
            ends: Vec::new(),
            newlines: None,
            mark: None,
            journal_mark: None,
            printed: Vec::new(),
        }
    }

    /// Makes room for lines of so many bytes together.
    pub(crate) fn reserve(&mut self, bytes: usize) {
        self.bytes.reserve(bytes);
        self.known_ends().1.reserve(bytes / USUAL_LINE_BYTES);
    }

    /// Appends a line, which is given without its newline. A carriage return at its end is dropped, an empty line is not
    /// taken.
    pub fn push(&mut self, line: &[u8]) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return;
        }
        let begin = self.begin;
        let (bytes, ends) = self.known_ends();
        bytes.extend_from_slice(line);
        ends.push(bytes.len() - begin);
    }

    /// Appends all of `lines`, each of which ends with its newline; but for empty ones, and those that have more than
    /// `max_bytes` in front of it. Returns how many these are.
    pub(crate) fn push_whole(&mut self, lines: &[u8], max_bytes: usize) -> u64 {
        let begin = self.begin;
        let (bytes, ends) = self.known_ends();
        let mut overlong = 0;
        // Where the line begins; and where that does which is to be copied, together with those in between.
        let (mut start, mut run) = (0, 0);
        for newline in memchr_iter(b'\n', lines) {
            let (line, next) = (&lines[start..newline], newline + 1);
            let is_overlong = line.len() > max_bytes;
            if is_overlong || matches!(line, b"" | b"\r") {
                overlong += u64::from(is_overlong);
                bytes.extend_from_slice(&lines[run..start]);
                run = next;
            } else {
                ends.push(bytes.len() - begin + next - run);
            }
            start = next;
        }
        bytes.extend_from_slice(&lines[run..start]);
        overlong
    }

    /// Takes `bytes` for its own, in place of what it has: all of `lines` there, each of which ends with its newline.
    pub(crate) fn own(&mut self, mut bytes: Vec<u8>, lines: Range<usize>) {
        bytes.truncate(lines.end);
        (self.bytes, self.begin) = (bytes, lines.start);
        self.ends.clear();
        self.newlines = Some(memchr_iter(b'\n', self.text()).count());
    }

    /// The source that read the lines.
    pub fn source(&self) -> SourceId {
        self.source
    }

    /// The log that they are from.
    pub fn log(&self) -> LogId {
        self.log
    }

    /// Whether the time in the lines, not their arrival, tells when they were written.
    pub fn is_past(&self) -> bool {
        self.past
    }

    /// Says how far the log has been read when the lines are judged.
    pub fn set_mark(&mut self, mark: Mark) {
        self.mark = Some(mark);
    }

    /// How far the log has been read when the lines are judged, if that can be told of such a log.
    pub fn mark(&self) -> Option<&Mark> {
        self.mark.as_ref()
    }

    /// The same of a journal.
    pub fn set_journal_mark(&mut self, mark: JournalMark) {
        self.journal_mark = Some(mark);
    }

    /// How far the journal has been read when the lines are judged, if they are from one.
    pub fn journal_mark(&self) -> Option<&JournalMark> {
        self.journal_mark.as_ref()
    }

    /// Says what is to be known again of these lines, if the command that printed them prints them once more.
    pub(crate) fn set_printed(&mut self, hashes: Vec<u64>) {
        self.printed = hashes;
    }

    /// The hashes of the lines, if a command has printed them.
    pub fn printed(&self) -> &[u64] {
        &self.printed
    }

    /// How many lines there are; of a large piece of a file, with the empty ones.
    pub fn len(&self) -> usize {
        self.newlines.unwrap_or(self.ends.len())
    }

    /// Whether there is no line.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, and where each line ends in them: looked for now if nobody knows.
    fn known_ends(&mut self) -> (&mut Vec<u8>, &mut Vec<usize>) {
        if self.newlines.take().is_some() {
            self.ends = memchr_iter(b'\n', self.text()).map(|newline| newline + 1).collect();
        }
        (&mut self.bytes, &mut self.ends)
    }

    /// Keeps the lines of which `keep` is true.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&[u8]) -> bool) {
        let begin = self.begin;
        let (bytes, ends) = self.known_ends();
        let text = bytes.get_mut(begin..).unwrap_or_default();
        let (mut start, mut kept) = (0, 0);
        ends.retain_mut(|end| {
            let line = start..*end;
            start = *end;
            let content = without_end(&text[line.clone()]);
            if content.is_empty() || !keep(content) {
                return false;
            }
            text.copy_within(line.clone(), kept);
            kept += line.len();
            *end = kept;
            true
        });
        bytes.truncate(begin + kept);
    }

    /// The lines, to be judged.
    pub fn to_judge(&self) -> Lines<'_> {
        match self.newlines {
            Some(count) => Lines::by_newlines(self.source, self.log, self.past, self.text(), count),
            None => Lines::new(self.source, self.log, self.past, self.text(), &self.ends),
        }
    }

    /// The lines in their order, without their ends.
    pub fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let (text, mut start, mut number) = (self.text(), 0, 0);
        let all = std::iter::from_fn(move || {
            let end = match self.newlines {
                Some(_) => start + memchr(b'\n', text.get(start..)?)? + 1,
                None => *self.ends.get(number)?,
            };
            let line = text.get(start..end)?;
            (start, number) = (end, number + 1);
            Some(without_end(line))
        });
        all.filter(|line| !line.is_empty())
    }

    fn text(&self) -> &[u8] {
        self.bytes.get(self.begin..).unwrap_or_default()
    }
}

/// A line without its newline, and without the carriage return in front of that.
fn without_end(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\n").map_or(line, |line| line.strip_suffix(b"\r").unwrap_or(line))
}

impl fmt::Debug for Batch {
    /// Tells the size alone: lines hold what people typed, passwords among it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Batch({:?}, {} lines, {} bytes)", self.source, self.len(), self.text().len())
    }
}

/// What a source is doing: for `blocker status`, for the log when it changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceState {
    /// The files that are followed, oldest first; rotated ones which may still be written to among them.
    pub files: Vec<FollowedFile>,
    /// What else is read, for people.
    pub streams: Vec<String>,
    /// The matches on the journal, while it is followed.
    pub journal: Option<String>,
    /// The patterns that match no file. The source waits for one to appear.
    pub waiting: Vec<String>,
    /// What hinders the source, one sentence each: at most [`MAX_PROBLEMS`], and how many more there are. Each
    /// is tried again every second.
    pub problems: Vec<String>,
    /// What was counted since the source began.
    pub counters: SourceCounters,
}

/// A file that is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowedFile {
    /// The path under which it was last found.
    pub path: PathBuf,
    /// How far it has been read, in bytes.
    pub offset: u64,
    /// Whether the path still leads to it.
    pub standing: Standing,
    /// The file system that it is on, if that may not announce writes: then they are found within a second.
    pub file_system: Option<&'static str>,
}

/// Whether the path of a followed file still leads to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It does.
    Current,
    /// It was renamed or deleted. It is read on until nobody writes to it.
    Rotated,
}

/// What a source has counted since it began. Every number only grows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SourceCounters {
    /// Lines sent to the daemon.
    pub lines: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Lines that are too long, skipped whole.
    pub overlong_lines: u64,
    /// Entries of the journal that match and are not from where they would have to be to count.
    pub untrusted: u64,
    /// Lines whose beginning was read and dropped because their end cannot come: the file was truncated or closed.
    pub unfinished_lines: u64,
    /// How often a file was found truncated or rewritten, and read again from its beginning.
    pub truncations: u64,
    /// How often another file took the path of a followed one.
    pub rotations: u64,
    /// Rotated files that were closed before they were quiet, to make room for younger ones.
    pub closed_early: u64,
    /// How often the kernel dropped notifications and everything was looked at again.
    pub queue_overflows: u64,
}

/// Why a source cannot be made from its configuration.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Not an absolute path.
    #[error("path {pattern:?} is relative, expected an absolute path")]
    Relative {
        /// What was given.
        pattern: String,
    },
    /// `**` would walk whole trees every second.
    #[error("path {pattern:?} contains `**`, expected `*` for each directory level")]
    Recursive {
        /// What was given.
        pattern: String,
    },
    /// Ends with a slash or with `.` or `..`.
    #[error("path {pattern:?} names no file")]
    NoFileName {
        /// What was given.
        pattern: String,
    },
    /// Not a glob.
    #[error("path {pattern:?} is not a valid glob")]
    Glob {
        /// What was given.
        pattern: String,
        /// What is wrong with it.
        #[source]
        source: glob::PatternError,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_gives_back_its_lines_without_their_ends() {
        let mut batch = Batch::new(SourceId::new(7), LogId::new(5), true);
        for line in [&b"first"[..], b"", b"\r", b"second\r", b"\0\xff\r\r", b"x"] {
            batch.push(line);
        }

        assert_eq!(batch.lines().collect::<Vec<_>>(), [&b"first"[..], b"second", b"\0\xff\r", b"x"]);
        assert_eq!(batch.len(), 4);
        batch.retain(|line| line.len() != 6);
        assert_eq!(batch.lines().collect::<Vec<_>>(), [&b"first"[..], b"\0\xff\r", b"x"]);
        assert_eq!((batch.source(), batch.log(), batch.is_past()), (SourceId::new(7), LogId::new(5), true));
    }

    #[test]
    fn whole_lines_are_taken_as_if_one_by_one() {
        let mut batch = Batch::new(SourceId::new(7), LogId::new(5), true);
        batch.push(b"zero");
        let overlong = batch.push_whole(b"\n\r\nfirst\n1234567\nsecond\r\n\r\r\n1234567\r\n\0\xff\r\r\nx\n", 7);
        batch.push_whole(b"", 7);
        batch.push(b"last\r\r");

        let lines = [&b"zero"[..], b"first", b"1234567", b"second", b"\r", b"\0\xff\r", b"x", b"last\r"];
        assert_eq!((batch.lines().collect::<Vec<_>>(), overlong), (lines.to_vec(), 1));
        batch.retain(|line| line.ends_with(b"t") || line == b"second" || line == b"last\r");
        assert_eq!(batch.lines().collect::<Vec<_>>(), [&b"first"[..], b"second", b"last\r"]);
    }

    #[test]
    fn a_batch_does_not_print_what_people_typed() {
        let mut batch = Batch::new(SourceId::new(1), LogId::new(0), false);
        batch.push(b"user=hunter2");

        assert!(!format!("{:?}", SourceEvent::Lines(batch)).contains("hunter2"));
    }
}
