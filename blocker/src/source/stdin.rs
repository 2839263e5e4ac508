//! Standard input as a source: `some-command | blocker run --stdin`.
//!
//! A thread of its own reads it: it may be a file, a pipe or a terminal, and not all of them can be waited for otherwise. The
//! thread ends with the input, or with the process.

use std::io::{self, Read as _};
use std::thread;
use std::time::Instant;

use blocker_core::engine::SourceId;
use tokio::sync::mpsc::Sender;
use tracing::warn;

use super::lines::LineSplitter;
use super::stream::{BEGIN_WITHIN, PAUSE};
use super::{Batch, SourceEvent, SourceState, number_log};

/// Bytes read at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// Reads standard input to its end, which [`SourceEvent::End`] tells. What comes before the first pause of a second was there
/// before, and is judged by its own time. Lines of more than `max_line_bytes` are skipped.
///
/// # Errors
///
/// If no thread can be had.
pub fn read_stdin(id: SourceId, max_line_bytes: usize, events: Sender<SourceEvent>) -> io::Result<()> {
    thread::Builder::new().name("stdin".to_owned()).spawn(move || {
        // If nobody receives, the daemon ends.
        if send_all(id, max_line_bytes, &events).is_some() {
            events.blocking_send(SourceEvent::End).ok();
        }
    })?;
    Ok(())
}

/// `None` if nobody receives.
fn send_all(id: SourceId, max_line_bytes: usize, events: &Sender<SourceEvent>) -> Option<()> {
    let mut state = SourceState { streams: vec!["standard input".to_owned()], ..SourceState::default() };
    events.blocking_send(SourceEvent::State(id, state.clone())).ok()?;
    let (log, mut lines, mut is_past, mut has_begun) = (number_log(), LineSplitter::new(max_line_bytes), true, false);
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let began_at = Instant::now();
        let bytes = match io::stdin().lock().read(&mut buffer) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                warn!(%error, "reading standard input");
                0
            }
        };
        is_past &= began_at.elapsed() < if has_begun { PAUSE } else { BEGIN_WITHIN };
        has_begun = true;
        let mut batch = Batch::new(id, log, is_past);
        if bytes == 0 {
            // What ends is a line, also without its newline.
            state.counters.overlong_lines += lines.push(b"\n", &mut batch);
        } else {
            state.counters.overlong_lines += lines.push(&buffer[..bytes], &mut batch);
        }
        state.counters.bytes += bytes as u64;
        state.counters.lines += batch.len() as u64;
        if !batch.is_empty() {
            events.blocking_send(SourceEvent::Lines(batch)).ok()?;
        }
        events.blocking_send(SourceEvent::State(id, state.clone())).ok()?;
        if bytes == 0 {
            return Some(());
        }
    }
}
