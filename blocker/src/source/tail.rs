//! One followed file: a descriptor, how far it has been read, and whether it still is what was read.
//!
//! A [`Tail`] is synchronous, knows no path, watches nothing and never waits: [`Tail::read`] takes the next piece of
//! what is there. Who calls it, and when, is the business of `follower`.
//!
//! # Truncation
//!
//! `copytruncate` empties a file in place, and by the time it is looked at it may have grown beyond the old offset. So the
//! last [`CHECKED_BYTES`] before the offset are remembered, and every read begins with them: one `pread` tells both what
//! is new and whether what was read is still there. If it is not, reading begins again at 0. A file that is emptied and then
//! regrows with the same bytes before the same offset is not noticed; log lines carry their time.
//!
//! # What is no text
//!
//! Some loggers write UTF-16. No line of it would ever match, in silence, so such a file is an error for as long as its
//! first bytes say so, and stays where it is: made text in place, it is read from its beginning.
//!
//! # The past
//!
//! When reading begins, at the opening or again at 0, what is in the file was written at some time before. So much of it
//! is *past*: its lines tell when they were written, their arrival does not. No read goes from the past into what came
//! later, and a line that was finished later is not past.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use memchr::memrchr;
use nix::fcntl::OFlag;

use super::Batch;
use super::lines::{LineSplitter, has_overlong};

/// Bytes read at once. Bounds how long a read keeps the thread, and how long a [`Batch`] gets: this and one line.
const CHUNK_BYTES: usize = 64 * 1024;

/// Bytes before the offset that are compared on every read. Longer than any timestamp, so a later line differs in them.
pub(super) const CHECKED_BYTES: usize = 64;

/// First bytes of a file that are looked at for what it is.
const HEAD_BYTES: usize = 16;

/// What tells one file from another, whatever it is called.
///
/// Good for as long as a descriptor is held: the inode of a deleted and closed file is given to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    pub(super) device: u64,
    pub(super) inode: u64,
}

impl Identity {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// Where the reading of a file begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Start {
    /// At its first byte.
    Beginning,
    /// At the first line that begins at or after this offset, or at the beginning if the file is shorter.
    After(u64),
    /// Where it was left, if what is before that place is still the same.
    Resume(Position),
}

/// How far a file has been read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// The first byte of the first line that is not finished; within an overlong line, the first byte not read.
    pub(super) offset: u64,
    /// What is before `offset`: as much as there is up to [`CHECKED_BYTES`].
    pub(super) before: Vec<u8>,
    /// Whether the rest of an overlong line comes first.
    pub(super) skipping: bool,
}

impl Position {
    /// Whether a file has before the offset what was there when it was read. At its beginning every file has.
    pub(super) fn is_in(&self, file: &File) -> bool {
        bytes_before(file, self.offset).is_ok_and(|before| before == self.before)
    }
}

/// Where pieces of files are read into; one serves many tails. It is replaced when a batch takes it for its own.
#[derive(Debug, Default)]
pub(super) struct Buffer(Vec<u8>);

impl Buffer {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Room for what is known already, and behind it for what is read.
    pub(super) fn split(&mut self, known: usize) -> (&mut [u8], &mut [u8]) {
        self.room(known + CHUNK_BYTES).split_at_mut(known)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Reads up to `wanted` bytes of `file` from `offset` on, with room for `ahead` in front of them, and returns how many these are
    /// and all of it. What is read into is not filled with zeros before: of the large pieces each is read into a new buffer.
    fn read_at(&mut self, file: &File, ahead: usize, wanted: usize, offset: u64) -> io::Result<(usize, &mut [u8])> {
        self.0.clear();
        self.0.reserve_exact(ahead + wanted);
        self.0.resize(ahead, 0);
        rustix::io::retry_on_intr(|| rustix::io::pread(file, rustix::buffer::spare_capacity(&mut self.0), offset))?;
        // There may have been more room than was wanted.
        self.0.truncate(ahead + wanted);
        Ok((self.0.len() - ahead, &mut self.0))
    }

    fn room(&mut self, bytes: usize) -> &mut [u8] {
        if self.0.len() < bytes {
            self.0.resize(bytes, 0);
        }
        &mut self.0[..bytes]
    }

    fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }
}

/// What one read came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// New bytes.
    pub(super) bytes: usize,
    /// Lines found too long.
    pub(super) overlong_lines: u64,
    /// The file was truncated or rewritten; the next read is at its beginning.
    pub(super) is_truncated: bool,
    /// The beginning of a line was dropped because of that.
    pub(super) is_line_dropped: bool,
    /// There may be more to read. If not, whatever comes is written after this read, and announced after it.
    pub(super) has_more: bool,
}

/// A file that is read as it grows.
#[derive(Debug)]
pub(super) struct Tail {
    file: File,
    identity: Identity,
    /// The next byte to read.
    offset: u64,
    /// What was read last: all there is before `offset`, up to [`CHECKED_BYTES`].
    before: Vec<u8>,
    lines: LineSplitter,
    /// Where the first line begins that is not finished.
    position: Position,
    /// The first [`CHECKED_BYTES`] of a file that is read from its beginning and has so many.
    head: Vec<u8>,
    /// What the file held when reading of it began, in bytes from its start.
    past_end: u64,
    /// Whether its first bytes are known to be those of a text.
    is_text: bool,
    /// Nothing but NULs was read since the file was truncated: a writer that does not append leaves a hole up to the
    /// place where it goes on.
    in_hole: bool,
}

impl Tail {
    /// Opens a file for reading. A FIFO in its place does not block.
    pub(super) fn open(path: &Path) -> io::Result<File> {
        let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)
    }

    /// Begins to follow an open file, whose lines are judged up to a length of `max_line_bytes`.
    ///
    /// # Errors
    ///
    /// If the file is not a regular one, or what is before the start cannot be read.
    pub(super) fn new(file: File, start: Start, max_line_bytes: usize) -> io::Result<Self> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        let mut tail = Self {
            identity: Identity::of(&metadata),
            file,
            offset: 0,
            before: Vec::with_capacity(CHECKED_BYTES),
            lines: LineSplitter::new(max_line_bytes),
            position: Position::default(),
            head: Vec::new(),
            past_end: metadata.len(),
            is_text: false,
            in_hole: false,
        };
        match start {
            Start::Beginning => {
                let mut head = [0; CHECKED_BYTES];
                if read_at(&tail.file, &mut head, 0)? == CHECKED_BYTES {
                    tail.head = head.to_vec();
                }
            }
            Start::After(offset) if offset > metadata.len() => {}
            Start::After(offset) => {
                tail.before = bytes_before(&tail.file, offset)?;
                tail.offset = offset;
                if tail.before.last().is_some_and(|&byte| byte != b'\n') {
                    tail.lines = LineSplitter::mid_line(max_line_bytes);
                }
            }
            Start::Resume(Position { offset, before, skipping }) => {
                tail.offset = offset;
                tail.before = before;
                if skipping {
                    tail.lines = LineSplitter::mid_line(max_line_bytes);
                }
                tail.in_hole = !tail.before.is_empty() && tail.before.iter().all(|&byte| byte == 0);
            }
        }
        tail.position = tail.position_at_offset();
        Ok(tail)
    }

    /// Which file it is.
    pub(super) fn identity(&self) -> Identity {
        self.identity
    }

    /// The next byte to read.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether the next byte to read was in the file when reading of it began.
    pub(super) fn is_past(&self) -> bool {
        self.offset < self.past_end
    }

    /// The descriptor, to watch it.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Whether the file has no name any more; nobody but those who have it open can write to it.
    pub(super) fn is_deleted(&self) -> io::Result<bool> {
        Ok(self.file.metadata()?.nlink() == 0)
    }

    /// Whether the beginning of a line is kept whose end has not been read.
    pub(super) fn has_unfinished_line(&self) -> bool {
        !self.lines.partial().is_empty()
    }

    /// Where to go on after the file has been closed. The beginning of an unfinished line will be read again.
    pub(super) fn position(&self) -> &Position {
        &self.position
    }

    /// The first bytes of a file of which nothing has been read, if they were there when it was opened.
    pub(super) fn head(&self) -> &[u8] {
        if self.position.offset == 0 { &self.head } else { &[] }
    }

    /// Where to go on if no line is unfinished, or the rest of one is dropped.
    fn position_at_offset(&self) -> Position {
        Position { offset: self.offset, before: self.before.clone(), skipping: self.lines.is_skipping() }
    }

    /// Reads the next piece and puts the lines that end in it into `batch`.
    pub(super) fn read(&mut self, buffer: &mut Buffer, batch: &mut Batch) -> io::Result<Progress> {
        if !self.is_text {
            self.is_text = self.begins_as_text()?;
        }
        let known = self.before.len();
        let past = usize::try_from(self.past_end.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        let wanted = if past == 0 { CHUNK_BYTES } else { past.min(CHUNK_BYTES) };
        // In front there is room for what is known of the unfinished line, should the lines stay where they are read into.
        let ahead = self.lines.partial().len().saturating_sub(known);
        let (length, room) = buffer.read_at(&self.file, ahead, known + wanted, self.offset - known as u64)?;
        let end = ahead + length;
        if length < known || room[ahead..ahead + known] != self.before {
            return self.begin_again();
        }

        let new = ahead + known..end;
        let stays = if batch.is_empty() { self.find_whole_lines(room, new.clone()) } else { None };
        let mut text = &room[new.clone()];
        let overlong_lines = if let Some(lines) = &stays {
            text = &room[lines.end..end];
            self.lines.restart(text)
        } else {
            if self.in_hole {
                let hole_end = text.iter().position(|&byte| byte != 0);
                self.in_hole = hole_end.is_none();
                text = &text[hole_end.unwrap_or(text.len())..];
            }
            batch.reserve(text.len());
            self.lines.push(text, batch)
        };
        self.offset += new.len() as u64;
        self.before.clear();
        self.before.extend_from_slice(&room[ahead.max(end.saturating_sub(CHECKED_BYTES))..end]);
        let unfinished = self.lines.partial().len();
        if unfinished == 0 {
            self.position = self.position_at_offset();
        } else if unfinished <= text.len() {
            // Taken from what was read, not read once more: by now the file may be another.
            let begin = end - unfinished;
            let before = room[ahead.max(begin.saturating_sub(CHECKED_BYTES))..begin].to_vec();
            self.position = Position { offset: self.offset - unfinished as u64, before, skipping: false };
        }
        if let Some(lines) = stays {
            batch.own(buffer.take(), lines);
        }
        Ok(Progress {
            bytes: length - known,
            overlong_lines,
            is_truncated: false,
            is_line_dropped: false,
            has_more: length == known + wanted,
        })
    }

    /// Where in `room` the lines are that end in the `new` bytes, if these are so many that a batch had better have them where
    /// they are than copied. In front of the new bytes, the unfinished line is completed.
    fn find_whole_lines(&self, room: &mut [u8], new: Range<usize>) -> Option<Range<usize>> {
        if new.len() < CHUNK_BYTES / 2 || self.in_hole || self.lines.is_skipping() {
            return None;
        }
        let partial = self.lines.partial();
        let start = new.start.checked_sub(partial.len())?;
        room[start..new.start].copy_from_slice(partial);
        let end = new.start + memrchr(b'\n', &room[new.clone()])? + 1;
        (!has_overlong(&room[start..end], self.lines.max_bytes())).then_some(start..end)
    }

    /// Whether the first bytes are certainly a text's; an error if they are UTF-16.
    fn begins_as_text(&self) -> io::Result<bool> {
        let mut bytes = [0; HEAD_BYTES];
        let length = read_at(&self.file, &mut bytes, 0)?;
        let head = &bytes[..length];
        let pairs = || head.chunks_exact(2);
        let is_ascii = |byte: u8| byte != 0 && byte < 0x80;
        let is_utf16 = head.starts_with(b"\xff\xfe")
            || head.starts_with(b"\xfe\xff")
            || (length >= 4 && pairs().all(|pair| is_ascii(pair[0]) && pair[1] == 0))
            || (length >= 4 && pairs().all(|pair| pair[0] == 0 && is_ascii(pair[1])));
        if is_utf16 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "this is UTF-16: have it written as UTF-8"));
        }
        Ok(length >= 4)
    }

    fn begin_again(&mut self) -> io::Result<Progress> {
        self.past_end = self.file.metadata()?.len();
        self.offset = 0;
        self.before.clear();
        self.head.clear();
        self.is_text = false;
        self.in_hole = true;
        let is_line_dropped = self.lines.reset();
        self.position = self.position_at_offset();
        Ok(Progress { bytes: 0, overlong_lines: 0, is_truncated: true, is_line_dropped, has_more: true })
    }
}

/// The last bytes before `offset`: as many as there are up to [`CHECKED_BYTES`]; an error if the file is shorter.
pub(super) fn bytes_before(file: &File, offset: u64) -> io::Result<Vec<u8>> {
    let from = offset.saturating_sub(CHECKED_BYTES as u64);
    let mut bytes = [0; CHECKED_BYTES];
    let wanted = &mut bytes[..usize::try_from(offset - from).expect("at most CHECKED_BYTES")];
    let mut length = 0;
    while length < wanted.len() {
        match read_at(file, &mut wanted[length..], from + length as u64)? {
            0 => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "truncated while it was opened")),
            read => length += read,
        }
    }
    Ok(wanted.to_vec())
}

fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        match file.read_at(buffer, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests;
