//! How far a large log has been read: a line on stderr that is written over, if that is a terminal.

use std::io::{self, IsTerminal, Write as _};
use std::time::{Duration, Instant};

/// Less is read before anybody could look.
const LARGE_BYTES: u64 = 16 * 1024 * 1024;

/// How often it is said.
const EVERY: Duration = Duration::from_millis(500);

/// What has been read of one log.
#[derive(Debug)]
pub(super) struct Progress {
    is_wanted: bool,
    name: String,
    /// Bytes in the log, if that is known.
    total: Option<u64>,
    done: u64,
    said: Instant,
    has_said: bool,
}

impl Progress {
    /// `is_quiet` if there is something else on the terminal.
    pub(super) fn begin(name: &str, total: Option<u64>, is_quiet: bool) -> Self {
        let is_large = total.is_none_or(|total| total >= LARGE_BYTES);
        Self {
            is_wanted: is_large && !is_quiet && io::stderr().is_terminal(),
            name: name.escape_debug().to_string(),
            total: total.filter(|total| *total > 0),
            done: 0,
            said: Instant::now(),
            has_said: false,
        }
    }

    /// So much more has been read.
    pub(super) fn add(&mut self, bytes: usize) {
        self.done += bytes as u64;
        if self.is_wanted && self.said.elapsed() >= EVERY {
            let mebibytes = self.done / (1024 * 1024);
            let share = self.total.map(|total| format!(", {} %", (self.done * 100 / total).min(100)));
            self.say(&format!("{}: {mebibytes} MiB{}", self.name, share.unwrap_or_default()));
            self.said = Instant::now();
            self.has_said = true;
        }
    }

    /// A stderr that cannot be written is no reason to stop.
    fn say(&self, text: &str) {
        write!(io::stderr().lock(), "\r\x1b[K{text}").ok();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.has_said {
            self.say("");
        }
    }
}
