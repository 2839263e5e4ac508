//! What a follower reads a file by: as it grows, or compressed.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use super::Batch;
use super::packed::Format;
use super::tail::{Buffer, Identity, Position, Progress, Start, Tail};
use super::unpacked::Unpacked;

/// A file that is read.
#[derive(Debug)]
pub(super) enum Reader {
    Tail(Tail),
    Unpacked(Unpacked),
}

impl Reader {
    /// Begins to read an open file; a compressed one by its form, and with its path.
    ///
    /// # Errors
    ///
    /// If it is none that can be read.
    pub(super) fn new(
        file: File,
        packed: Option<(Format, PathBuf)>,
        start: Start,
        max_line_bytes: usize,
    ) -> io::Result<Self> {
        let Some(packed) = packed else { return Tail::new(file, start, max_line_bytes).map(Self::Tail) };
        let position = match start {
            Start::Resume(position) => position,
            Start::Beginning | Start::After(_) => Position::default(),
        };
        Unpacked::new(file, packed, position, max_line_bytes).map(Self::Unpacked)
    }

    pub(super) fn identity(&self) -> Identity {
        match self {
            Self::Tail(tail) => tail.identity(),
            Self::Unpacked(unpacked) => unpacked.identity(),
        }
    }

    /// The next byte to read.
    pub(super) fn offset(&self) -> u64 {
        match self {
            Self::Tail(tail) => tail.offset(),
            Self::Unpacked(unpacked) => unpacked.offset(),
        }
    }

    /// Where to go on after the file has been closed.
    pub(super) fn position(&self) -> &Position {
        match self {
            Self::Tail(tail) => tail.position(),
            Self::Unpacked(unpacked) => unpacked.position(),
        }
    }

    /// The first bytes of a file of which nothing has been read, of a compressed one as they are.
    pub(super) fn head(&self) -> &[u8] {
        match self {
            Self::Tail(tail) => tail.head(),
            Self::Unpacked(unpacked) => unpacked.head(),
        }
    }

    /// Whether the next byte to read was in the file when reading of it began.
    pub(super) fn is_past(&self) -> bool {
        match self {
            Self::Tail(tail) => tail.is_past(),
            Self::Unpacked(_) => true,
        }
    }

    /// Whether it is compressed: nobody writes to it.
    pub(super) fn is_packed(&self) -> bool {
        matches!(self, Self::Unpacked(_))
    }

    /// Whether it is compressed and holds the memory for that.
    pub(super) fn is_unpacking(&self) -> bool {
        matches!(self, Self::Unpacked(unpacked) if unpacked.is_begun())
    }

    pub(super) fn file(&self) -> &File {
        match self {
            Self::Tail(tail) => tail.file(),
            Self::Unpacked(unpacked) => unpacked.file(),
        }
    }

    /// Whether the file has no name any more.
    pub(super) fn is_deleted(&self) -> io::Result<bool> {
        match self {
            Self::Tail(tail) => tail.is_deleted(),
            Self::Unpacked(unpacked) => Ok(unpacked.file().metadata()?.nlink() == 0),
        }
    }

    /// Whether the beginning of a line is kept whose end has not been read.
    pub(super) fn has_unfinished_line(&self) -> bool {
        match self {
            Self::Tail(tail) => tail.has_unfinished_line(),
            Self::Unpacked(unpacked) => unpacked.has_unfinished_line(),
        }
    }

    /// Reads the next piece and puts the lines that end in it into `batch`.
    pub(super) fn read(&mut self, buffer: &mut Buffer, batch: &mut Batch) -> io::Result<Progress> {
        match self {
            Self::Tail(tail) => tail.read(buffer, batch),
            Self::Unpacked(unpacked) => unpacked.read(buffer, batch),
        }
    }
}
