//! What sources tell: lines are judged, and how far each log has been read goes to the store with what its lines have caused.

use anyhow::Result;

use super::Daemon;
use super::keeper::Keeper;
use super::sources::Begin;
use crate::clock::{self, Reading};
use crate::source::{Printed, SourceEvent};

impl Daemon<'_> {
    /// Ends the sources that nobody wants, and begins the others where they were left.
    pub(super) fn start_sources(&mut self) -> Result<()> {
        self.keeper.source_names = self.sources.names();
        let Keeper { logs, cursors, printed, hash_key, .. } = &mut self.keeper;
        let begin = Begin {
            logs: &|name| logs.marks(name),
            journals: &|name| cursors.mark(name),
            commands: &|name| Printed::new(*hash_key, printed.lines(name)),
        };
        self.sources.start(&begin)?;
        logs.retain(|name| self.sources.has(name));
        cursors.retain(|name| self.sources.has_journal(name));
        printed.retain(|name| self.sources.has(name));
        Ok(())
    }

    /// Takes in what a source tells.
    pub(super) fn handle_source(&mut self, event: SourceEvent) {
        match event {
            SourceEvent::Lines(batch) => {
                if batch.is_past() {
                    self.engine.set_calendar(Reading::take().calendar());
                }
                if tracing::enabled!(tracing::Level::TRACE) {
                    for bytes in batch.lines() {
                        tracing::trace!(line = %bytes.escape_ascii(), "judges");
                    }
                }
                self.engine.tell_failures(self.events.wants_failures());
                let mut lines = batch.to_judge();
                // They have arrived together.
                let arrived = clock::now();
                loop {
                    let may_be_more = self.engine.handle_next(&mut lines, arrived);
                    self.carry_out();
                    if !may_be_more {
                        break;
                    }
                }
                // With all that the lines have caused, and not before.
                if let (Some(name), Some(mark)) = (self.sources.name(batch.source()), batch.mark()) {
                    self.keeper.logs.note(name, mark.clone());
                }
                if let Some(name) = self.sources.name(batch.source()) {
                    self.keeper.printed.note(name, batch.printed());
                }
                if let (Some(name), Some(mark)) = (self.sources.journal_name(batch.source()), batch.journal_mark()) {
                    self.keeper.cursors.note(name, mark.clone());
                }
            }
            SourceEvent::Lost(id, marks) => {
                if let Some(name) = self.sources.name(id) {
                    self.keeper.logs.lose(name, &marks);
                }
            }
            SourceEvent::State(id, state) => {
                if let Some(name) = self.sources.name(id) {
                    self.keeper.logs.begin(name);
                }
                self.sources.set_state(id, state);
            }
            SourceEvent::End => self.is_over = true,
        }
    }
}
