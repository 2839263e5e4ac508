//! One compressed file: read once, from where it was left to its end.
//!
//! Offsets are those in what it holds. When it has been read whole, its position is that of its own last byte: so a later run
//! sees at once that nothing is left to read ([`is_read`]).

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use super::Batch;
use super::lines::LineSplitter;
use super::packed::{Format, MAX_UNPACKED_BYTES, unpack};
use super::tail::{Buffer, CHECKED_BYTES, Identity, Position, Progress, bytes_before};

/// A compressed file that is read.
pub(super) struct Unpacked {
    file: File,
    identity: Identity,
    format: Format,
    /// Its own path, to tell what is wrong with it.
    path: PathBuf,
    /// Its own first bytes, by which it is known until something of it has been read.
    head: Vec<u8>,
    /// Why there will be nothing more, when what came before has been taken.
    failed: Option<io::Error>,
    /// What it holds; `None` before the first read and after the last: a decoder takes up to 100 MiB.
    text: Option<Box<dyn Read + Send>>,
    /// Where to begin.
    start: Position,
    /// The next byte to read.
    offset: u64,
    /// What was read last: all there is before `offset`, up to [`CHECKED_BYTES`].
    before: Vec<u8>,
    lines: LineSplitter,
    position: Position,
    /// Most bytes that are unpacked.
    limit: u64,
}

impl std::fmt::Debug for Unpacked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Unpacked({:?}, {:?}, {})", self.identity, self.format, self.offset)
    }
}

impl Unpacked {
    /// Prepares to read an open file on from `start`.
    ///
    /// # Errors
    ///
    /// If it cannot be looked at.
    pub(super) fn new(
        file: File,
        (format, path): (Format, PathBuf),
        start: Position,
        max_line_bytes: usize,
    ) -> io::Result<Self> {
        let (identity, head) = (Identity::of(&file.metadata()?), head(&file)?);
        let lines =
            if start.skipping { LineSplitter::mid_line(max_line_bytes) } else { LineSplitter::new(max_line_bytes) };
        let (position, before) = (start.clone(), Vec::with_capacity(CHECKED_BYTES));
        Ok(Self {
            file,
            identity,
            format,
            path,
            head,
            failed: None,
            text: None,
            start,
            offset: 0,
            before,
            lines,
            position,
            limit: MAX_UNPACKED_BYTES,
        })
    }

    pub(super) fn identity(&self) -> Identity {
        self.identity
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn position(&self) -> &Position {
        &self.position
    }

    pub(super) fn head(&self) -> &[u8] {
        if self.position.offset == 0 { &self.head } else { &[] }
    }

    pub(super) fn has_unfinished_line(&self) -> bool {
        !self.lines.partial().is_empty()
    }

    /// Whether it holds a decoder.
    pub(super) fn is_begun(&self) -> bool {
        self.text.is_some()
    }

    /// Reads the next piece and puts the lines that end in it into `batch`. Until the place is reached where to begin, pieces
    /// have no lines.
    ///
    /// # Errors
    ///
    /// If there is no more that can be read.
    pub(super) fn read(&mut self, buffer: &mut Buffer, batch: &mut Batch) -> io::Result<Progress> {
        let read = self.read_piece(buffer, batch);
        if !read.as_ref().is_ok_and(|progress| progress.has_more) {
            self.text = None;
        }
        read.map_err(|error| io::Error::new(error.kind(), format!("compressed, as {:?}: {error}", self.path)))
    }

    fn read_piece(&mut self, buffer: &mut Buffer, batch: &mut Batch) -> io::Result<Progress> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        if self.offset >= self.limit {
            let why = format!("unpacked it is longer than {} bytes: the rest is not read", self.limit);
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        let text = match &mut self.text {
            Some(text) => text,
            None => self.text.insert(unpack(&self.file, self.format)?),
        };
        let known = self.before.len();
        let (known_bytes, mut new) = buffer.split(known);
        known_bytes.copy_from_slice(&self.before);
        let missing = self.start.offset.saturating_sub(self.offset);
        if let Ok(missing @ 1..) = usize::try_from(missing) {
            let length = new.len().min(missing);
            new = &mut new[..length];
        }
        let (read, failed) = fill(text, new);
        let is_full = read == new.len() || failed.is_some();
        self.failed = failed;
        self.offset += read as u64;
        let all = &buffer.bytes()[..known + read];
        self.before = all[all.len().saturating_sub(CHECKED_BYTES)..].to_vec();
        let mut progress = Progress { bytes: read, has_more: is_full, ..Progress::default() };
        if missing > 0 {
            if !is_full || self.offset == self.start.offset && self.before != self.start.before {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "it is not the file any more that was read before",
                ));
            }
        } else {
            batch.reserve(read);
            progress.overlong_lines = self.lines.push(&all[known..], batch);
            let unfinished = self.lines.partial().len();
            if unfinished == 0 {
                let skipping = self.lines.is_skipping();
                self.position = Position { offset: self.offset, before: self.before.clone(), skipping };
            } else if unfinished <= read {
                let begin = all.len() - unfinished;
                let before = all[begin.saturating_sub(CHECKED_BYTES)..begin].to_vec();
                self.position = Position { offset: self.offset - unfinished as u64, before, skipping: false };
            }
            if !is_full {
                self.position = read_position(&self.file)?;
            }
        }
        Ok(progress)
    }
}

/// The position of a compressed file that has been read whole.
///
/// # Errors
///
/// If its end cannot be read.
pub(super) fn read_position(file: &File) -> io::Result<Position> {
    let offset = file.metadata()?.len();
    Ok(Position { offset, before: bytes_before(file, offset)?, skipping: false })
}

/// The first bytes of a file, as they are, at most [`CHECKED_BYTES`].
///
/// # Errors
///
/// If they cannot be read.
pub(super) fn head(file: &File) -> io::Result<Vec<u8>> {
    bytes_before(file, file.metadata()?.len().min(CHECKED_BYTES as u64))
}

/// Whether a position says that a compressed file has been read whole.
pub(super) fn is_read(file: &File, position: &Position) -> bool {
    position.offset > 0 && read_position(file).is_ok_and(|read| read == *position)
}

/// Reads until the buffer is full, there is nothing more, or it fails. Says how much was read, and why not more.
fn fill(text: &mut impl Read, buffer: &mut [u8]) -> (usize, Option<io::Error>) {
    let mut filled = 0;
    while filled < buffer.len() {
        match text.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (filled, Some(error)),
        }
    }
    (filled, None)
}

#[cfg(test)]
mod tests {
    use blocker_core::engine::{LogId, SourceId};

    use super::super::packed::tests::pack;
    use super::super::testing::TempDir;
    use super::*;

    #[test]
    fn a_few_kilobytes_that_unpack_to_any_length_are_read_to_the_bound() {
        let dir = TempDir::new();
        dir.write("log", "a line\n".repeat(1_000_000).as_bytes());
        pack(&dir, "log", "gzip");
        let path = dir.path("log.gz");
        let file = File::open(&path).unwrap();
        let mut unpacked = Unpacked::new(file, (Format::Gzip, path), Position::default(), 8192).unwrap();
        unpacked.limit = 1_000_000;
        let mut buffer = Buffer::new();

        let mut bytes = 0;
        let why = loop {
            let mut batch = Batch::new(SourceId::new(0), LogId::new(0), true);
            match unpacked.read(&mut buffer, &mut batch) {
                Ok(progress) => bytes += progress.bytes,
                Err(why) => break why.to_string(),
            }
        };

        assert!(why.contains("log.gz") && why.ends_with("longer than 1000000 bytes: the rest is not read"), "{why}");
        assert!((1_000_000..1_100_000).contains(&bytes), "{bytes}");
        assert!(!unpacked.is_begun(), "no memory is held for it");
    }

    #[test]
    fn a_file_that_is_another_by_now_is_not_read_on() {
        let dir = TempDir::new();
        dir.write("log", "a line\n".repeat(1_000).as_bytes());
        pack(&dir, "log", "xz");
        let path = dir.path("log.xz");
        let start = Position { offset: 700, before: vec![b'x'; CHECKED_BYTES], skipping: false };
        let mut unpacked = Unpacked::new(File::open(&path).unwrap(), (Format::Xz, path), start, 8192).unwrap();

        let mut batch = Batch::new(SourceId::new(0), LogId::new(0), true);
        let why = unpacked.read(&mut Buffer::new(), &mut batch).unwrap_err().to_string();

        assert!(why.ends_with("it is not the file any more that was read before"), "{why}");
        assert!(batch.is_empty());
    }
}
