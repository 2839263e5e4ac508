//! The systemd journal as a source: one reader for all jails that read the same journal.
//!
//! # Theory of operation
//!
//! The reader runs `journalctl` with the union of all matches and takes its export format (`export`). Each entry goes as a
//! line (`line`) to the jails whose own matches it fulfils, if it is from where their trust says.
//!
//! ```text
//!   begin ──▶ the last entry's cursor ──▶ catch up ──▶ follow ──▶ ended, or other jails
//!                                            ▲                        │ after 1, 2, 4 … 60 s, or at once
//!                                            └────────────────────────┘ from the cursor of the last entry
//! ```
//!
//! Catching up is a `journalctl` that ends by itself, so what was in the journal before is told from what comes: the
//! first is past. It also reads what an earlier boot wrote, which one that follows does not.
//!
//! The cursor is asked for with its own entry, which is then left out here, and not with `--after-cursor`: before systemd
//! 255 that leaves out the first entry also if it is another one, because the cursor's was vacuumed
//! (<https://github.com/systemd/systemd/issues/30288>).
//!
//! A later run begins at the oldest of the places that its sources were left at ([`JournalMark`]), and leaves out for each
//! what it has read ([`cursor`]). The places are told with the lines, and to who had none within a second, so they lie
//! close together.
//!
//! When the daemon is slow, nothing more is read, and `journalctl` waits: the journal is the queue. When the daemon is gone, its
//! pipe closes, and `journalctl` ends.

mod child;
mod cursor;
mod export;
mod input;
mod line;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tracing::{info, warn};

use blocker_core::engine::SourceId;
use child::{Child, Phase, Trouble};
use export::{Malformed, Parser};
use input::Reading;

pub use cursor::{MAX_CURSOR_BYTES, is_cursor};
pub use input::JournalInput;

use super::{JournalMark, SourceEvent};

/// Which journal is read.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JournalPlace {
    /// Of a namespace (`LogNamespace=` in a unit); the default one if `None`.
    pub namespace: Option<String>,
    /// The directory of its files, if it is not where journald writes.
    pub directory: Option<PathBuf>,
}

/// The reader of one journal.
#[derive(Debug)]
pub struct JournalReader {
    place: JournalPlace,
    inputs: watch::Receiver<Vec<JournalInput>>,
    max_line_bytes: usize,
    readings: Vec<Reading>,
    /// Where an earlier run left the first inputs.
    marks: BTreeMap<SourceId, JournalMark>,
    position: Position,
    trouble: Option<Trouble>,
}

/// Where to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Position {
    /// At the end of the journal, wherever that is when it is looked for.
    End,
    /// Behind the entry of this cursor.
    Behind(String),
    /// At the beginning: nothing was in it when it was looked at.
    Beginning,
}

impl Position {
    fn mark(&self) -> Option<JournalMark> {
        match self {
            Self::End => None,
            Self::Behind(cursor) => Some(JournalMark::Behind(cursor.clone())),
            Self::Beginning => Some(JournalMark::Beginning),
        }
    }

    /// The first of these places, by their times; the end, if there is none.
    fn first_of<'a>(marks: impl Iterator<Item = &'a JournalMark>) -> Self {
        match marks.min_by_key(|mark| mark.cursor().map(|cursor| cursor::micros(cursor).unwrap_or(0))) {
            None => Self::End,
            Some(JournalMark::Beginning) => Self::Beginning,
            Some(JournalMark::Behind(cursor)) => Self::Behind(cursor.clone()),
        }
    }
}

/// Why reading has ended.
enum Ended {
    /// Other jails read it now.
    InputsChanged,
    /// Nobody receives, or asks for, anything.
    Unwanted,
    /// There may be something that it does not notice.
    LookAgain,
    /// Something is in the way.
    Trouble(Trouble),
}

impl JournalReader {
    /// Prepares to read from the end of a journal. `inputs` may change while it is read; when it is dropped, the reader
    /// ends.
    pub fn new(place: JournalPlace, inputs: watch::Receiver<Vec<JournalInput>>, max_line_bytes: usize) -> Self {
        let (readings, marks) = (Vec::new(), BTreeMap::new());
        Self { place, inputs, max_line_bytes, readings, marks, position: Position::End, trouble: None }
    }

    /// Begins where the sources were left, as far as that is known: what came since is past. The others begin at the end.
    #[must_use]
    pub fn going_on_from(mut self, marks: BTreeMap<SourceId, JournalMark>) -> Self {
        self.position = Position::first_of(marks.values());
        self.marks = marks;
        self
    }

    /// Reads until nobody receives `events` or gives inputs.
    ///
    /// Needs a runtime with I/O and time.
    pub async fn run(mut self, events: mpsc::Sender<SourceEvent>) {
        let mut pause = SHORTEST_PAUSE;
        loop {
            self.take_inputs();
            let began = Instant::now();
            let before = self.position.clone();
            let trouble = match self.read(&events).await {
                Err(Ended::Unwanted) => return,
                Ok(()) | Err(Ended::InputsChanged | Ended::LookAgain) => continue,
                Err(Ended::Trouble(trouble)) => trouble,
            };
            if self.position != before || began.elapsed() >= LONGEST_PAUSE {
                pause = SHORTEST_PAUSE;
            }
            if self.trouble.as_ref() != Some(&trouble) {
                warn!(problem = %trouble, "the journal cannot be read");
            }
            if trouble == Trouble::Cursor {
                self.position = Position::End;
            }
            self.trouble = Some(trouble);
            if self.tell_all(&events).await.is_err() {
                return;
            }
            tokio::select! {
                () = sleep(pause) => {}
                changed = self.inputs.changed() => if changed.is_err() { return },
                () = events.closed() => return,
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Takes up what is wanted now. What an input had counted stays with it.
    fn take_inputs(&mut self) {
        let inputs = self.inputs.borrow_and_update().clone();
        // Who comes later does not ask for what was before; nor does who comes first to where others go on. Else the first
        // ones begin at the end in any case.
        let marks = std::mem::take(&mut self.marks);
        let since = if self.readings.is_empty() && marks.is_empty() { None } else { Some(wall_micros()) };
        let mut old = std::mem::take(&mut self.readings);
        self.readings = inputs
            .into_iter()
            .map(|input| match old.iter().position(|reading| reading.is_of(&input)) {
                Some(place) => old.swap_remove(place),
                None => match marks.get(&input.source) {
                    Some(mark) => {
                        // Where the reader begins there is nothing to be left out.
                        let is_ahead = self.position.mark().as_ref() != Some(mark);
                        Reading::new(input, None).going_on_from(mark.clone(), is_ahead)
                    }
                    None => Reading::new(input, since),
                },
            })
            .collect();
    }

    /// Reads until something is in the way of it.
    async fn read(&mut self, events: &mpsc::Sender<SourceEvent>) -> Result<(), Ended> {
        if self.readings.is_empty() {
            self.inputs.changed().await.map_err(|_| Ended::Unwanted)?;
            return Ok(());
        }
        let mut last = None;
        if let Position::End | Position::Beginning = self.position {
            let found = self.find_last(events).await?;
            if self.position == Position::End {
                self.position = found;
            } else {
                last = Some(found);
            }
        }
        // From here on no entry is missed.
        for reading in &mut self.readings {
            reading.note_begun();
        }
        self.tell_all(events).await?;
        self.tell_marks(events).await?;
        self.pass(Phase::CatchUp, events).await?;
        if self.trouble.take().is_some() {
            info!("the journal can be read");
            self.tell_all(events).await?;
        }
        if self.position == Position::Beginning
            && let Some(last) = last
        {
            // All up to there was looked at, and nothing was ours.
            self.position = last;
        }
        for reading in &mut self.readings {
            reading.note_caught_up();
        }
        self.tell_marks(events).await?;
        self.pass(Phase::Follow, events).await?;
        Err(Ended::Trouble(Trouble::Ended("journalctl ended".to_owned())))
    }

    /// Finds the place behind the last entry there is; the beginning, if there is none.
    async fn find_last(&mut self, events: &mpsc::Sender<SourceEvent>) -> Result<Position, Ended> {
        let before = std::mem::replace(&mut self.position, Position::Beginning);
        let ended = self.pass(Phase::Last, events).await;
        let found = std::mem::replace(&mut self.position, before);
        if let Err(Ended::Trouble(Trouble::NoJournal(_))) = ended {
            // Whatever is written from here on is new.
            self.position = Position::Beginning;
        }
        ended.map(|()| found)
    }

    /// Runs one `journalctl` to its end, which for one that follows never comes.
    async fn pass(&mut self, phase: Phase, events: &mpsc::Sender<SourceEvent>) -> Result<(), Ended> {
        let cursor = match &self.position {
            Position::Behind(cursor) if phase != Phase::Last => Some(cursor.clone()),
            Position::Behind(_) | Position::Beginning | Position::End => None,
        };
        let mut child = Child::spawn(&self.place, phase, cursor.as_deref(), &self.readings).map_err(Ended::Trouble)?;
        // A journalctl that follows a journal without a file may not notice the first one.
        let is_unsure = phase == Phase::Follow && self.position == Position::Beginning;
        let mut unsure_until = pin!(sleep(LOOK_AGAIN_AFTER));
        let mut parser = Parser::new(self.max_line_bytes);
        let mut ticks = interval(TELL_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // Only waiting can be interrupted: what was read is handed over whole, so the cursor is right.
            let read = tokio::select! {
                read = child.read() => read,
                changed = self.inputs.changed() => {
                    return Err(if changed.is_ok() { Ended::InputsChanged } else { Ended::Unwanted });
                }
                _ = ticks.tick() => {
                    self.tell_counters(events).await?;
                    if phase != Phase::Last {
                        self.tell_marks(events).await?;
                    }
                    continue;
                }
                () = &mut unsure_until, if is_unsure => return Err(Ended::LookAgain),
                () = events.closed() => return Err(Ended::Unwanted),
            };
            let in_the_way = |words: String| Ended::Trouble(Trouble::Ended(words));
            let bytes = read.map_err(|error| in_the_way(format!("reading from journalctl: {error}")))?;
            if bytes.is_empty() {
                break;
            }
            self.take(&mut parser, bytes, phase, cursor.as_deref()).map_err(|error| in_the_way(error.to_string()))?;
            self.hand_over(events).await?;
        }
        match child.end().await {
            Some(trouble) => Err(Ended::Trouble(trouble)),
            None => Ok(()),
        }
    }

    /// Takes what `journalctl` wrote: lines into the batches, the cursor of the last entry.
    fn take(
        &mut self,
        parser: &mut Parser,
        bytes: &[u8],
        phase: Phase,
        begun_at: Option<&str>,
    ) -> Result<(), Malformed> {
        let Self { readings, position, max_line_bytes, .. } = self;
        parser.push(bytes, |entry| {
            let cursor = cursor::of(entry);
            if cursor.is_some() && cursor == begun_at {
                return;
            }
            if phase != Phase::Last {
                for reading in readings.iter_mut() {
                    reading.take(entry, phase == Phase::CatchUp, *max_line_bytes);
                }
            }
            if let Some(cursor) = cursor {
                *position = Position::Behind(cursor.to_owned());
            }
        })
    }

    /// Sends the lines that were taken.
    async fn hand_over(&mut self, events: &mpsc::Sender<SourceEvent>) -> Result<(), Ended> {
        let here = self.position.mark();
        for reading in &mut self.readings {
            let Some(mut batch) = reading.take_batch() else { continue };
            if let Some(mark) = here.as_ref().and_then(|here| reading.mark_to_tell(here)) {
                batch.set_journal_mark(mark);
            }
            events.send(SourceEvent::Lines(batch)).await.map_err(|_| Ended::Unwanted)?;
        }
        Ok(())
    }

    /// Tells the place to who has not been told it with lines. Only when all lines up to there have been sent.
    async fn tell_marks(&mut self, events: &mpsc::Sender<SourceEvent>) -> Result<(), Ended> {
        let Some(here) = self.position.mark() else { return Ok(()) };
        for reading in &mut self.readings {
            let Some(mark) = reading.mark_to_tell(&here) else { continue };
            let mut batch = reading.empty_batch();
            batch.set_journal_mark(mark);
            events.send(SourceEvent::Lines(batch)).await.map_err(|_| Ended::Unwanted)?;
        }
        Ok(())
    }

    async fn tell_counters(&mut self, events: &mpsc::Sender<SourceEvent>) -> Result<(), Ended> {
        for reading in self.readings.iter_mut().filter(|reading| reading.has_news()) {
            let state = reading.state(self.trouble.as_ref());
            events.send(SourceEvent::State(reading.source(), state)).await.map_err(|_| Ended::Unwanted)?;
        }
        Ok(())
    }

    async fn tell_all(&mut self, events: &mpsc::Sender<SourceEvent>) -> Result<(), Ended> {
        for reading in &mut self.readings {
            let state = reading.state(self.trouble.as_ref());
            events.send(SourceEvent::State(reading.source(), state)).await.map_err(|_| Ended::Unwanted)?;
        }
        Ok(())
    }
}

fn wall_micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// How long to wait before `journalctl` is started again: first, and at most.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How long an empty journal is followed before it is looked at anew.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// How often changed counters are told.
const TELL_EVERY: Duration = Duration::from_secs(1);
