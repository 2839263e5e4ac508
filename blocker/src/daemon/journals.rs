//! The journals that are read: one reader for each, whoever wants something of it.

use std::collections::BTreeMap;

use blocker_core::config::Journal;
use blocker_core::engine::SourceId;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::source::{JournalInput, JournalMark, JournalPlace, JournalReader, SourceEvent, SourceState};

/// What a jail wants, and whether it goes without saying that there may be no journal: a jail that reads files too.
pub(super) type Wanted = (Journal, bool);

/// Readers by their journal, and sources by what is wanted: a reload that keeps that keeps the place in the journal.
pub(super) struct Journals {
    events: mpsc::Sender<SourceEvent>,
    /// The longest line that is judged.
    max_line_bytes: usize,
    sources: BTreeMap<Wanted, Source>,
    readers: BTreeMap<JournalPlace, Reader>,
}

struct Source {
    id: SourceId,
    /// For the store.
    name: String,
    /// Whether a jail that is on wants it.
    is_wanted: bool,
    state: SourceState,
}

struct Reader {
    inputs: watch::Sender<Vec<JournalInput>>,
    task: JoinHandle<()>,
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Journals {
    pub(super) fn new(events: mpsc::Sender<SourceEvent>, max_line_bytes: usize) -> Self {
        Self { events, max_line_bytes, sources: BTreeMap::new(), readers: BTreeMap::new() }
    }

    /// Marks all sources as unwanted.
    pub(super) fn want_none(&mut self) {
        for source in self.sources.values_mut() {
            source.is_wanted = false;
        }
    }

    /// The number of a source that is wanted: `next`, if there is none yet.
    pub(super) fn number(&mut self, wanted: Wanted, next: SourceId) -> SourceId {
        let name = name(&wanted);
        let new = || Source { id: next, name, is_wanted: true, state: SourceState::default() };
        let source = self.sources.entry(wanted).or_insert_with(new);
        source.is_wanted = true;
        source.id
    }

    /// Tells the readers what is wanted, begins new ones, and ends those of which nothing is. `mark` tells where a source was
    /// left.
    pub(super) fn start(&mut self, mark: impl Fn(&str) -> Option<JournalMark>) {
        self.sources.retain(|_, source| source.is_wanted);
        let mut inputs: BTreeMap<JournalPlace, Vec<JournalInput>> = BTreeMap::new();
        for ((journal, is_optional), source) in &self.sources {
            let Journal { matches, trust, namespace, directory } = journal.clone();
            let input = JournalInput { source: source.id, matches, trust, is_optional: *is_optional };
            inputs.entry(JournalPlace { namespace, directory }).or_default().push(input);
        }
        self.readers.retain(|place, _| inputs.contains_key(place));
        for (place, inputs) in inputs {
            if let Some(reader) = self.readers.get(&place) {
                reader.inputs.send_if_modified(|old| {
                    let is_new = *old != inputs;
                    *old = inputs;
                    is_new
                });
                continue;
            }
            let mark_of =
                |id| self.sources.values().find(|source| source.id == id).and_then(|source| mark(&source.name));
            let marks = inputs.iter().filter_map(|input| Some((input.source, mark_of(input.source)?))).collect();
            let (sender, receiver) = watch::channel(inputs);
            let reader = JournalReader::new(place.clone(), receiver, self.max_line_bytes).going_on_from(marks);
            let task = tokio::spawn(reader.run(self.events.clone()));
            self.readers.insert(place, Reader { inputs: sender, task });
        }
    }

    /// Keeps what a source says of itself, if it is one of these.
    pub(super) fn set_state(&mut self, id: SourceId, state: SourceState) {
        if let Some(source) = self.sources.values_mut().find(|source| source.id == id) {
            source.state = state;
        }
    }

    /// What a source is called, if it is one of these.
    pub(super) fn name(&self, id: SourceId) -> Option<&str> {
        self.sources.values().find(|source| source.id == id).map(|source| source.name.as_str())
    }

    /// What all of them are called.
    pub(super) fn names(&self) -> impl Iterator<Item = (SourceId, &str)> {
        self.sources.values().map(|source| (source.id, source.name.as_str()))
    }

    /// Whether there is a source of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.sources.values().any(|source| source.name == name)
    }

    /// What all of them last said.
    pub(super) fn states(&self) -> impl Iterator<Item = (SourceId, &SourceState)> {
        self.sources.values().map(|source| (source.id, &source.state))
    }
}

/// What a source is called in the store, where its place is found again by it: what is wanted, as it is configured.
pub fn name((journal, is_optional): &(Journal, bool)) -> String {
    let Journal { matches, trust, namespace, directory } = journal;
    let mut name = format!("journal = {:?}", matches.to_string());
    let trust = trust.as_ref().map(ToString::to_string);
    let directory = directory.as_ref().map(|directory| directory.display().to_string());
    for (key, value) in [("trust", &trust), ("namespace", namespace), ("directory", &directory)] {
        if let Some(value) = value {
            name.push_str(&format!(", journal_{key} = {value:?}"));
        }
    }
    if *is_optional {
        name.push_str(", beside a log");
    }
    name
}
