//! One of the files of a source: what reads it, and in which state of its life it is.

use std::path::PathBuf;
use std::time::Instant;

use blocker_core::engine::LogId;

use super::super::filesystem::unannounced;
use super::super::reader::Reader;
use super::super::{Mark, Standing, number_log};

/// An open file.
#[derive(Debug)]
pub(super) struct Followed {
    pub(super) tail: Reader,
    pub(super) log: LogId,
    /// Where it was last found.
    pub(super) path: PathBuf,
    pub(super) standing: Standing,
    /// When its path last led to it, or 0: wall time, in nanoseconds.
    pub(super) current_at: i64,
    pub(super) file_system: Option<&'static str>,
    /// Whether it was told where its reading begins.
    pub(super) is_told: bool,
    /// Whether there may be something to read.
    pub(super) is_dirty: bool,
    pub(super) is_watched: bool,
    /// When something was last read, or the path was lost.
    pub(super) active_at: Instant,
    /// Why it is closed after the next read, if so.
    pub(super) closing: Option<Closing>,
    /// Why it cannot be read.
    pub(super) problem: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closing {
    /// Nobody writes to it; if somebody does after all, it is kept.
    Quiet,
    /// Too many rotated files are open.
    Crowded,
    /// It is compressed: nobody writes to it.
    Packed,
}

impl Followed {
    /// A file that is not yet read, of this path and standing.
    pub(super) fn begin(tail: Reader, path: PathBuf, standing: Standing, current_at: i64, now: Instant) -> Self {
        let is_packed = tail.is_packed();
        Self {
            file_system: unannounced(tail.file()),
            log: number_log(),
            path,
            standing,
            current_at,
            is_told: false,
            is_dirty: true,
            // Nothing will happen to a compressed one.
            is_watched: is_packed,
            active_at: now,
            closing: is_packed.then_some(Closing::Packed),
            problem: None,
            tail,
        }
    }

    /// How far it has been read.
    pub(super) fn mark(&self) -> Mark {
        let mark = Mark::new(&self.path, self.tail.identity(), self.tail.position());
        if mark.offset == 0 { Mark { before: self.tail.head().to_vec(), ..mark } } else { mark }
    }
}
