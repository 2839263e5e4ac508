//! The sources that run, one task each, and what they last said of themselves.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use blocker_core::config::Input;
use blocker_core::engine::SourceId;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::journals::{Journals, Wanted};
use crate::source::{
    CommandSource, FileSource, JournalMark, Marks, Printed, SourceEvent, SourceState, SyslogSource, read_stdin,
};

/// Sources by their inputs: a reload that keeps an input keeps its source, its place in the files included.
pub(super) struct Sources {
    events: mpsc::Sender<SourceEvent>,
    /// The longest line that is judged.
    max_line_bytes: usize,
    by_input: BTreeMap<Input, Source>,
    journals: Journals,
    next: u32,
}

struct Source {
    id: SourceId,
    /// For the store.
    name: String,
    /// Whether a jail that is on wants it.
    wanted: bool,
    task: Option<JoinHandle<()>>,
    state: SourceState,
}

/// Where sources were left, by what they are called.
pub(super) struct Begin<'a> {
    pub(super) logs: &'a dyn Fn(&str) -> Marks,
    pub(super) journals: &'a dyn Fn(&str) -> Option<JournalMark>,
    pub(super) commands: &'a dyn Fn(&str) -> Printed,
}

impl Drop for Source {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Sources {
    pub(super) fn new(events: mpsc::Sender<SourceEvent>, max_line_bytes: usize) -> Self {
        Self {
            journals: Journals::new(events.clone(), max_line_bytes),
            events,
            max_line_bytes,
            by_input: BTreeMap::new(),
            next: 0,
        }
    }

    /// Numbers the sources of these inputs, and marks all others as unwanted.
    pub(super) fn number<'a>(&mut self, wanted: impl Iterator<Item = &'a Input>) -> Vec<SourceId> {
        for source in self.by_input.values_mut() {
            source.wanted = false;
        }
        wanted
            .map(|input| {
                let next = self.next;
                let source = self.by_input.entry(input.clone()).or_insert_with(|| Source {
                    id: SourceId::new(next),
                    name: name(input),
                    wanted: true,
                    task: None,
                    state: SourceState::default(),
                });
                if source.id == SourceId::new(next) {
                    self.next += 1;
                }
                source.wanted = true;
                source.id
            })
            .collect()
    }

    /// Numbers the sources of the journal, in the same way.
    pub(super) fn number_journals(&mut self, wanted: impl Iterator<Item = Option<Wanted>>) -> Vec<Option<SourceId>> {
        self.journals.want_none();
        wanted
            .map(|wanted| {
                let next = SourceId::new(self.next);
                let id = self.journals.number(wanted?, next);
                if id == next {
                    self.next += 1;
                }
                Some(id)
            })
            .collect()
    }

    /// Ends the sources that nobody wants, and begins those that do not run.
    pub(super) fn start(&mut self, begin: &Begin<'_>) -> Result<()> {
        // Standard input cannot be had a second time.
        self.by_input.retain(|input, source| source.wanted || *input == Input::Stdin);
        for (input, source) in self.by_input.iter_mut().filter(|(_, source)| source.task.is_none()) {
            let (events, max_line_bytes) = (self.events.clone(), self.max_line_bytes);
            source.task = Some(match input.clone() {
                Input::Files(patterns) => {
                    let files = FileSource::new(source.id, patterns, max_line_bytes)?;
                    tokio::spawn(files.going_on_from((begin.logs)(&source.name)).run(events))
                }
                Input::Command(words) => {
                    let command = CommandSource::new(source.id, words, max_line_bytes);
                    tokio::spawn(command.knowing((begin.commands)(&source.name)).run(events))
                }
                Input::Syslog(socket) => tokio::spawn(SyslogSource::new(source.id, socket, max_line_bytes).run(events)),
                Input::Stdin => {
                    read_stdin(source.id, max_line_bytes, events.clone()).context("reading standard input")?;
                    tokio::spawn(async move { events.closed().await })
                }
            });
        }
        self.journals.start(begin.journals);
        Ok(())
    }

    /// Batches of lines that wait to be judged.
    pub(super) fn waiting(&self) -> usize {
        self.events.max_capacity() - self.events.capacity()
    }

    /// Keeps what a source says of itself.
    pub(super) fn set_state(&mut self, id: SourceId, state: SourceState) {
        if let Some(source) = self.by_input.values_mut().find(|source| source.id == id) {
            source.state = state;
        } else {
            self.journals.set_state(id, state);
        }
    }

    /// What a source that does not read the journal is called.
    pub(super) fn name(&self, id: SourceId) -> Option<&str> {
        self.by_input.values().find(|source| source.id == id).map(|source| source.name.as_str())
    }

    /// What a source that reads the journal is called.
    pub(super) fn journal_name(&self, id: SourceId) -> Option<&str> {
        self.journals.name(id)
    }

    /// Whether a source of this name reads the journal.
    pub(super) fn has_journal(&self, name: &str) -> bool {
        self.journals.has(name)
    }

    /// What all of them are called.
    pub(super) fn names(&self) -> BTreeMap<SourceId, String> {
        let others = self.by_input.values().map(|source| (source.id, source.name.clone()));
        others.chain(self.journals.names().map(|(id, name)| (id, name.to_owned()))).collect()
    }

    /// Whether there is a source of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.by_input.values().any(|source| source.name == name)
    }

    /// What some sources last said of themselves.
    pub(super) fn states_of(&self, ids: &[SourceId]) -> impl Iterator<Item = &SourceState> {
        self.numbered_states().filter(|(id, _)| ids.contains(id)).map(|(_, state)| state)
    }

    /// What all of them last said.
    pub(super) fn states(&self) -> impl Iterator<Item = &SourceState> {
        self.numbered_states().map(|(_, state)| state)
    }

    /// The same, with what kind of source each is.
    pub(super) fn states_by_kind(&self) -> impl Iterator<Item = (SourceId, &'static str, &SourceState)> {
        let others = self.by_input.iter().map(|(input, source)| (source.id, kind(input), &source.state));
        others.chain(self.journals.states().map(|(id, state)| (id, "journal", state)))
    }

    fn numbered_states(&self) -> impl Iterator<Item = (SourceId, &SourceState)> {
        let others = self.by_input.values().map(|source| (source.id, &source.state));
        others.chain(self.journals.states())
    }
}

/// The key that names such an input.
fn kind(input: &Input) -> &'static str {
    match input {
        Input::Files(_) => "log",
        Input::Command(_) => "command",
        Input::Syslog(_) => "syslog",
        Input::Stdin => "stdin",
    }
}

/// What a source is called in the store, where its files are found again by it: the input as it is configured.
pub fn name(input: &Input) -> String {
    match input {
        Input::Files(patterns) => format!("log = {patterns:?}"),
        Input::Command(_) | Input::Syslog(_) | Input::Stdin => input.to_string(),
    }
}
