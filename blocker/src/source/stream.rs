//! Lines of a stream: of a pipe or a connection, which cannot be read twice and has no name.

use std::io;
use std::time::Duration;

use blocker_core::engine::{LogId, SourceId};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::lines::LineSplitter;
use super::{Batch, SourceCounters, SourceEvent, SourceState, number_log};

/// Bytes read at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// What comes before the first pause of this length was there before it was read: a log's history.
pub(super) const PAUSE: Duration = Duration::from_secs(1);

/// What comes first after this is no history: a program that has one begins it sooner.
pub(super) const BEGIN_WITHIN: Duration = Duration::from_secs(60);

/// Counters alone are told no more often than this.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// A stream that is read line by line.
#[derive(Debug)]
pub(super) struct LineStream<R> {
    reader: R,
    buffer: Box<[u8]>,
    lines: LineSplitter,
    source: SourceId,
    log: LogId,
    /// Until when what comes is past; `None` after the first pause.
    past_until: Option<Instant>,
}

/// What one read came to.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) batch: Batch,
    pub(super) bytes: usize,
    pub(super) overlong_lines: u64,
    pub(super) unfinished_lines: u64,
}

impl Piece {
    /// Nothing yet.
    pub(super) fn new(batch: Batch) -> Self {
        Self { batch, bytes: 0, overlong_lines: 0, unfinished_lines: 0 }
    }
}

impl<R: AsyncRead + Unpin> LineStream<R> {
    pub(super) fn new(reader: R, source: SourceId, max_line_bytes: usize) -> Self {
        Self {
            reader,
            buffer: vec![0; CHUNK_BYTES].into_boxed_slice(),
            lines: LineSplitter::new(max_line_bytes),
            source,
            log: number_log(),
            past_until: Some(Instant::now() + BEGIN_WITHIN),
        }
    }

    /// Reads the next piece; `None` at the end. May be dropped while it waits, and loses nothing.
    ///
    /// # Errors
    ///
    /// If reading fails.
    pub(super) async fn next(&mut self) -> io::Result<Option<Piece>> {
        let bytes = loop {
            let read = self.reader.read(&mut self.buffer);
            let Some(until) = self.past_until else { break read.await? };
            match timeout_at(until, read).await {
                Ok(read) => break read?,
                Err(_elapsed) => self.past_until = None,
            }
        };
        if bytes == 0 {
            return Ok(None);
        }
        let is_past = self.past_until.is_some();
        let mut piece = Piece::new(Batch::new(self.source, self.log, is_past));
        piece.bytes = bytes;
        piece.overlong_lines = self.lines.push(&self.buffer[..bytes], &mut piece.batch);
        Ok(Some(piece))
    }

    /// To be called when what was read has been taken: from here on it is the stream that pauses, not who reads it.
    pub(super) fn await_pause(&mut self) {
        if let Some(until) = &mut self.past_until {
            *until = Instant::now() + PAUSE;
        }
    }

    /// Whether the stream ended within a line.
    pub(super) fn has_unfinished_line(&self) -> bool {
        !self.lines.partial().is_empty()
    }
}

/// Nobody receives what a source tells: it is time to end.
#[derive(Debug)]
pub(super) struct Unwanted;

/// Tells the daemon what a source reads and does.
#[derive(Debug)]
pub(super) struct Teller {
    id: SourceId,
    events: Sender<SourceEvent>,
    pub(super) state: SourceState,
    /// What was last told of the counters, and when.
    told: SourceCounters,
    told_at: Instant,
}

impl Teller {
    pub(super) fn new(id: SourceId, events: Sender<SourceEvent>) -> Self {
        let (state, told) = (SourceState::default(), SourceCounters::default());
        Self { id, events, state, told, told_at: Instant::now() }
    }

    /// Tells what the source is doing.
    pub(super) async fn tell(&mut self) -> Result<(), Unwanted> {
        self.events.send(SourceEvent::State(self.id, self.state.clone())).await.map_err(|_| Unwanted)?;
        (self.told, self.told_at) = (self.state.counters, Instant::now());
        Ok(())
    }

    /// Hands lines on, and counts them. Waits while the daemon has enough.
    pub(super) async fn lines(&mut self, piece: Piece) -> Result<(), Unwanted> {
        let Piece { batch, bytes, overlong_lines, unfinished_lines } = piece;
        let counters = &mut self.state.counters;
        counters.lines += batch.len() as u64;
        counters.bytes += bytes as u64;
        counters.overlong_lines += overlong_lines;
        counters.unfinished_lines += unfinished_lines;
        if !batch.is_empty() {
            self.events.send(SourceEvent::Lines(batch)).await.map_err(|_| Unwanted)?;
        }
        if self.told_at.elapsed() >= TELL_EVERY { self.tell().await } else { Ok(()) }
    }

    /// Waits until nobody receives, and meanwhile tells what was counted. May be dropped while it waits.
    pub(super) async fn idle(&mut self) -> Unwanted {
        loop {
            let is_untold = self.told != self.state.counters;
            tokio::select! {
                () = self.events.closed() => return Unwanted,
                () = sleep_until(self.told_at + TELL_EVERY), if is_untold => {
                    if self.tell().await.is_err() {
                        return Unwanted;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_comes_before_the_first_pause_is_past() {
        let (mut writer, reader) = tokio::io::duplex(1024);
        let mut stream = LineStream::new(reader, SourceId::new(1), 8192);
        let write = async {
            use tokio::io::AsyncWriteExt as _;
            // A program needs its time to begin.
            tokio::time::sleep(PAUSE * 3).await;
            writer.write_all(b"old\nolder\nha").await.unwrap();
            tokio::time::sleep(PAUSE / 2).await;
            writer.write_all(b"lf\n").await.unwrap();
            tokio::time::sleep(PAUSE * 2).await;
            writer.write_all(b"new\n").await.unwrap();
        };
        let read = async {
            let mut lines = Vec::new();
            while lines.len() < 4 {
                let piece = stream.next().await.unwrap().unwrap();
                stream.await_pause();
                let past = piece.batch.is_past();
                lines.extend(piece.batch.lines().map(|line| (String::from_utf8(line.to_vec()).unwrap(), past)));
            }
            lines
        };

        let ((), lines) = tokio::join!(write, read);

        let expected = [("old", true), ("older", true), ("half", true), ("new", false)];
        assert_eq!(lines, expected.map(|(line, past)| (line.to_owned(), past)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_first_after_a_long_silence_is_not_past() {
        let (mut writer, reader) = tokio::io::duplex(1024);
        let mut stream = LineStream::new(reader, SourceId::new(1), 8192);
        let write = async {
            use tokio::io::AsyncWriteExt as _;
            tokio::time::sleep(BEGIN_WITHIN + PAUSE).await;
            writer.write_all(b"new\n").await.unwrap();
        };

        let ((), piece) = tokio::join!(write, stream.next());

        assert!(!piece.unwrap().unwrap().batch.is_past());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_counted_is_told_though_nothing_follows() {
        let (events_in, mut events) = tokio::sync::mpsc::channel(4);
        let mut teller = Teller::new(SourceId::new(1), events_in);
        let batch = Batch::new(SourceId::new(1), LogId::new(0), false);
        teller.lines(Piece { overlong_lines: 1, ..Piece::new(batch) }).await.unwrap();
        let told = async {
            match events.recv().await.unwrap() {
                SourceEvent::State(_, state) => state.counters.overlong_lines,
                other @ (SourceEvent::Lines(_) | SourceEvent::Lost(..) | SourceEvent::End) => panic!("{other:?}"),
            }
        };

        tokio::select! {
            overlong_lines = told => assert_eq!(overlong_lines, 1),
            unwanted = teller.idle() => panic!("{unwanted:?}"),
        }
    }

    #[tokio::test]
    async fn an_end_within_a_line_is_known() {
        let mut stream = LineStream::new(&b"whole\nhal"[..], SourceId::new(1), 8192);

        assert_eq!(stream.next().await.unwrap().unwrap().batch.len(), 1);
        assert!(stream.next().await.unwrap().is_none());
        assert!(stream.has_unfinished_line());
    }
}
