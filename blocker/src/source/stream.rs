//! Lines of a stream: of a pipe or a connection, which cannot be read twice and has no name.

use std::io;
use std::time::Duration;

use blocker_core::engine::{LogId, SourceId};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, timeout};

use super::lines::LineSplitter;
use super::{Batch, SourceEvent, SourceState, number_log};

/// Bytes read at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// What comes before the first pause of this length was there before it was read: a log's history.
pub(super) const PAUSE: Duration = Duration::from_secs(1);

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
    /// Whether no pause has been yet.
    is_past: bool,
    has_begun: bool,
}

/// What one read came to.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) batch: Batch,
    pub(super) bytes: usize,
    pub(super) overlong_lines: u64,
}

impl<R: AsyncRead + Unpin> LineStream<R> {
    pub(super) fn new(reader: R, source: SourceId, max_line_bytes: usize) -> Self {
        Self {
            reader,
            buffer: vec![0; CHUNK_BYTES].into_boxed_slice(),
            lines: LineSplitter::new(max_line_bytes),
            source,
            log: number_log(),
            is_past: true,
            has_begun: false,
        }
    }

    /// Reads the next piece; `None` at the end. May be dropped while it waits, and loses nothing.
    ///
    /// # Errors
    ///
    /// If reading fails.
    pub(super) async fn next(&mut self) -> io::Result<Option<Piece>> {
        let read = loop {
            let read = self.reader.read(&mut self.buffer);
            if !(self.is_past && self.has_begun) {
                break read.await;
            }
            match timeout(PAUSE, read).await {
                Ok(read) => break read,
                Err(_elapsed) => self.is_past = false,
            }
        };
        let bytes = read?;
        if bytes == 0 {
            return Ok(None);
        }
        self.has_begun = true;
        let mut batch = Batch::new(self.source, self.log, self.is_past);
        let overlong_lines = self.lines.push(&self.buffer[..bytes], &mut batch);
        Ok(Some(Piece { batch, bytes, overlong_lines }))
    }

    /// Whether the stream ended within a line.
    pub(super) fn has_unfinished_line(&self) -> bool {
        self.lines.partial_len() > 0
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
    told_at: Instant,
}

impl Teller {
    pub(super) fn new(id: SourceId, events: Sender<SourceEvent>) -> Self {
        Self { id, events, state: SourceState::default(), told_at: Instant::now() }
    }

    /// Tells what the source is doing.
    pub(super) async fn tell(&mut self) -> Result<(), Unwanted> {
        self.told_at = Instant::now();
        self.events.send(SourceEvent::State(self.id, self.state.clone())).await.map_err(|_| Unwanted)
    }

    /// Hands lines on, and counts them. Waits while the daemon has enough.
    pub(super) async fn lines(&mut self, piece: Piece) -> Result<(), Unwanted> {
        let Piece { batch, bytes, overlong_lines } = piece;
        let counters = &mut self.state.counters;
        counters.lines += batch.len() as u64;
        counters.bytes += bytes as u64;
        counters.overlong_lines += overlong_lines;
        if !batch.is_empty() {
            self.events.send(SourceEvent::Lines(batch)).await.map_err(|_| Unwanted)?;
        }
        if self.told_at.elapsed() >= TELL_EVERY { self.tell().await } else { Ok(()) }
    }

    /// Waits until nobody receives.
    pub(super) async fn unwanted(&self) {
        self.events.closed().await;
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
            // Before the first byte no pause counts: a program needs its time to begin.
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
                let past = piece.batch.is_past();
                lines.extend(piece.batch.lines().map(|line| (String::from_utf8(line.to_vec()).unwrap(), past)));
            }
            lines
        };

        let ((), lines) = tokio::join!(write, read);

        let expected = [("old", true), ("older", true), ("half", true), ("new", false)];
        assert_eq!(lines, expected.map(|(line, past)| (line.to_owned(), past)));
    }

    #[tokio::test]
    async fn an_end_within_a_line_is_known() {
        let mut stream = LineStream::new(&b"whole\nhal"[..], SourceId::new(1), 8192);

        assert_eq!(stream.next().await.unwrap().unwrap().batch.len(), 1);
        assert!(stream.next().await.unwrap().is_none());
        assert!(stream.has_unfinished_line());
    }
}
