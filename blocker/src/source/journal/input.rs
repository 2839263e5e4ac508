//! One jail's part of a journal: its matches, whom it trusts, and what came of it.

use blocker_core::engine::{LogId, SourceId};
use blocker_core::journal::Matches;

use super::child::Trouble;
use super::export::Entry;
use super::line;
use crate::source::{Batch, SourceCounters, SourceState, number_log};

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
        Self { input, log, since, has_begun: false, counters, told, batch }
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

    /// Takes an entry if it is this input's.
    pub(super) fn take(&mut self, entry: &Entry, past: bool) {
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
        match line::line(entry) {
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
        let empty = Batch::new(self.input.source, self.log, false);
        (!self.batch.is_empty()).then(|| std::mem::replace(&mut self.batch, empty))
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
