//! One jail's part of a journal: its matches, whom it trusts, and what came of it.

use blocker_core::engine::{LogId, SourceId};
use blocker_core::journal::Matches;

use super::child::Trouble;
use super::cursor;
use super::export::Entry;
use super::line;
use crate::source::{Batch, JournalMark, SourceCounters, SourceState, number_log};

/// What a source asks of a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalInput {
    /// The source that the lines are from.
    pub source: SourceId,
    /// Which entries it is about.
    pub matches: Matches,
    /// Which of them count: the others do not come from the service, whatever they say. `None`: all.
    pub trust: Option<Matches>,
    /// Whether it goes without saying that there may be no journal.
    pub is_optional: bool,
}

/// An input that is read.
#[derive(Debug)]
pub(super) struct Reading {
    input: JournalInput,
    log: LogId,
    /// Past entries are wanted only from this time on, in microseconds since 1970.
    since: Option<u64>,
    /// The cursor up to which an earlier run has read for this input, further than the reader began.
    read_up_to: Option<String>,
    /// The place that was last told.
    told_mark: Option<JournalMark>,
    has_begun: bool,
    counters: SourceCounters,
    /// What was last told of them.
    told: SourceCounters,
    batch: Batch,
}

impl Reading {
    /// Has read nothing.
    pub(super) fn new(input: JournalInput, since: Option<u64>) -> Self {
        let log = number_log();
        let batch = Batch::new(input.source, log, false);
        let (counters, told) = (SourceCounters::default(), SourceCounters::default());
        Self { input, log, since, read_up_to: None, told_mark: None, has_begun: false, counters, told, batch }
    }

    /// Has been read by an earlier run up to `mark`. If that `is_ahead` of where the reader begins, what is found before it
    /// is left out.
    pub(super) fn going_on_from(mut self, mark: JournalMark, is_ahead: bool) -> Self {
        self.read_up_to = mark.cursor().filter(|_| is_ahead).map(str::to_owned);
        self.told_mark = Some(mark);
        self
    }

    /// Whether it reads this input.
    pub(super) fn is_of(&self, input: &JournalInput) -> bool {
        self.input == *input
    }

    pub(super) fn source(&self) -> SourceId {
        self.input.source
    }

    pub(super) fn input(&self) -> &JournalInput {
        &self.input
    }

    /// Takes an entry if it is this input's, and its line has at most `max_line_bytes`.
    pub(super) fn take(&mut self, entry: &Entry, past: bool, max_line_bytes: usize) {
        if let (Some(up_to), Some(cursor)) = (&self.read_up_to, cursor::of(entry)) {
            if cursor::is_read(cursor, up_to) {
                return;
            }
            // Neither is what comes after.
            self.read_up_to = None;
        }
        let JournalInput { matches, trust, .. } = &self.input;
        if !matches.are_fulfilled(|field, value| entry.has(field, value)) {
            return;
        }
        if past && self.since.is_some_and(|since| line::micros(entry).is_some_and(|micros| micros < since)) {
            return;
        }
        if trust.as_ref().is_some_and(|trust| !trust.are_fulfilled(|field, value| entry.has(field, value))) {
            self.counters.untrusted += 1;
            return;
        }
        match line::line(entry, max_line_bytes) {
            Some(line) => {
                if self.batch.is_empty() {
                    self.batch = Batch::new(self.input.source, self.log, past);
                }
                self.batch.push(&line);
                self.counters.lines += 1;
                self.counters.bytes += line.len() as u64;
            }
            None if entry.value("MESSAGE").is_some() || entry.was_skipped("MESSAGE") => {
                self.counters.overlong_lines += 1;
            }
            None => {}
        }
    }

    /// The lines taken since the last time.
    pub(super) fn take_batch(&mut self) -> Option<Batch> {
        let empty = self.empty_batch();
        (!self.batch.is_empty()).then(|| std::mem::replace(&mut self.batch, empty))
    }

    /// The place to be told when the reader is at `mark`, if it is another than before. None while what is read may be
    /// from before this input's own place: a crash would give it that.
    pub(super) fn mark_to_tell(&mut self, mark: &JournalMark) -> Option<JournalMark> {
        if self.since.is_some() || self.read_up_to.is_some() || self.told_mark.as_ref() == Some(mark) {
            return None;
        }
        self.told_mark = Some(mark.clone());
        self.told_mark.clone()
    }

    /// A batch without lines, to tell a place.
    pub(super) fn empty_batch(&self) -> Batch {
        Batch::new(self.input.source, self.log, false)
    }

    /// Notes that all that was there has been read, so that everything from here on is new to everybody.
    pub(super) fn note_caught_up(&mut self) {
        self.since = None;
        self.read_up_to = None;
    }

    /// Notes that all that was in the journal has been read, and what comes is followed.
    pub(super) fn note_begun(&mut self) {
        self.has_begun = true;
    }

    pub(super) fn has_news(&self) -> bool {
        self.counters != self.told
    }

    /// What it is doing.
    pub(super) fn state(&mut self, trouble: Option<&Trouble>) -> SourceState {
        self.told = self.counters;
        let (mut waiting, mut problems) = (Vec::new(), Vec::new());
        match trouble {
            Some(trouble) if self.input.is_optional && trouble.is_absence() => {
                waiting.push(format!("the journal: {trouble}"));
            }
            Some(trouble) => problems.push(format!("the journal cannot be read: {trouble}")),
            None => {}
        }
        if let (Some(trust), 1..) = (&self.input.trust, self.counters.untrusted) {
            problems.push(format!(
                "{} entries of the journal do not count: they match {}, but not {trust} (`journal_trust`)",
                self.counters.untrusted, self.input.matches
            ));
        }
        let is_read = self.has_begun && trouble.is_none();
        SourceState {
            journal: is_read.then(|| self.input.matches.to_string()),
            waiting,
            problems,
            counters: self.counters,
            ..SourceState::default()
        }
    }
}
