//! The sources that run, one task each, and what they last said of themselves.

use std::collections::BTreeMap;

use anyhow::Result;
use blocker_core::engine::SourceId;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::source::{FileSource, SourceEvent, SourceState};

/// Sources by their patterns: a reload that keeps the patterns keeps the source, its place in the files included.
pub(super) struct Sources {
    events: mpsc::Sender<SourceEvent>,
    by_patterns: BTreeMap<Vec<String>, Source>,
    next: u32,
}

struct Source {
    id: SourceId,
    /// Whether a jail that is on wants it.
    wanted: bool,
    task: Option<JoinHandle<()>>,
    state: SourceState,
}

impl Drop for Source {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Sources {
    pub(super) fn new(events: mpsc::Sender<SourceEvent>) -> Self {
        Self { events, by_patterns: BTreeMap::new(), next: 0 }
    }

    /// Numbers the sources with these patterns, and marks all others as unwanted.
    pub(super) fn number<'a>(&mut self, wanted: impl Iterator<Item = &'a [String]>) -> Vec<SourceId> {
        for source in self.by_patterns.values_mut() {
            source.wanted = false;
        }
        wanted
            .map(|patterns| {
                let next = self.next;
                let source = self.by_patterns.entry(patterns.to_vec()).or_insert_with(|| Source {
                    id: SourceId::new(next),
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

    /// Ends the sources that nobody wants, and begins those that do not run.
    pub(super) fn start(&mut self) -> Result<()> {
        self.by_patterns.retain(|_, source| source.wanted);
        for (patterns, source) in &mut self.by_patterns {
            if source.task.is_none() {
                let follower = FileSource::new(source.id, patterns.clone())?;
                source.task = Some(tokio::spawn(follower.run(self.events.clone())));
            }
        }
        Ok(())
    }

    /// Keeps what a source says of itself.
    pub(super) fn set_state(&mut self, id: SourceId, state: SourceState) {
        if let Some(source) = self.by_patterns.values_mut().find(|source| source.id == id) {
            source.state = state;
        }
    }

    /// What a source last said of itself.
    pub(super) fn state(&self, id: SourceId) -> Option<&SourceState> {
        self.by_patterns.values().find(|source| source.id == id).map(|source| &source.state)
    }

    /// What all of them last said.
    pub(super) fn states(&self) -> impl Iterator<Item = &SourceState> {
        self.by_patterns.values().map(|source| &source.state)
    }
}
