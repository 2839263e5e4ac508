//! Where another program has read logs up to, as marks for a source that never ran.
//!
//! A place is taken over where it is certain to be in the file that was read: its first line is the same, and it is not shorter.
//! If the log was rotated away since, what is left of it under its new name comes first, then what came and was rotated away in
//! between. Of a log that is another one by now nothing has been read, and it is read whole. Of what the other program never read, nothing but what comes from here on is
//! read, as at any first start.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use sha1::{Digest as _, Sha1};

use super::family::{family, is_copy_of_path, open};
use super::find::{Found, find};
use super::pattern::PathPattern;
use super::problems::Problems;
use super::tail::{CHECKED_BYTES, Identity, Position, Start, Tail, bytes_before};
use super::unpacked::head;
use super::{Mark, SourceError};

/// Longest first line of which it is told whether it is the same, in bytes.
const MAX_FIRST_LINE_BYTES: u64 = 1024 * 1024;

/// How far back the beginning of a line is looked for, in bytes: nobody judges a longer one.
const MAX_UNFINISHED_BYTES: u64 = 64 * 1024;

/// How far another program has read a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadLog {
    /// Where the log was.
    pub path: PathBuf,
    /// By which its file is known again.
    pub first_line: FirstLine,
    /// How many bytes were read; within a line that was not finished, if no line ends there.
    pub offset: u64,
}

/// The first line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FirstLine {
    /// There was no whole line yet, so none was read.
    None,
    /// The SHA-1 of it, its end included, in 40 hexadecimal digits, small letters. It tells files apart and guards nothing.
    Sha1(String),
}

/// Where a source begins in a log, and why there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handed {
    /// The place.
    pub mark: Mark,
    /// Why it is that one.
    pub why: Why,
}

/// Why reading begins at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The other program has read so far.
    ReadSoFar,
    /// The same, and the log was rotated away since.
    RotatedAway,
    /// The log is another one since, or was rewritten: nothing of it has been read.
    Another,
    /// Another source of ours has read so far.
    OwnMark,
    /// The other program has read nothing of it: what is in it is left alone.
    NeverRead,
}

/// Where a source of `patterns` that never ran is to begin, in the order in which its files were written: nothing if the other
/// program has `read` none of its logs. `known` are places up to which other sources of ours have read.
///
/// # Errors
///
/// If a pattern is none.
pub fn hand_over(patterns: &[String], read: &[ReadLog], known: &[Mark]) -> Result<Vec<Handed>, SourceError> {
    let patterns: Vec<PathPattern> = patterns.iter().cloned().map(PathPattern::parse).collect::<Result<_, _>>()?;
    let (found, _) = find(&patterns, &mut Problems::default());
    let of_log = |found: &Found| -> Vec<&ReadLog> {
        let is_it = |log: &&ReadLog| log.path == found.path || is_same_file(&log.path, found.identity);
        read.iter().filter(is_it).collect()
    };
    if found.iter().all(|found| of_log(found).is_empty()) {
        return Ok(Vec::new());
    }
    let mut handed = Vec::new();
    for found in &found {
        // What cannot be opened is told when it is to be read; then it is new.
        let Ok(file) = open(&found.path, found.identity) else { continue };
        if let Some(mark) = known.iter().find(|mark| is_of(mark, found.identity) && mark.is_in(&file)) {
            handed.push(Handed { mark: Mark { path: found.path.clone(), ..mark.clone() }, why: Why::OwnMark });
            continue;
        }
        handed.extend(in_log(found, file, &of_log(found)));
    }
    Ok(handed)
}

fn is_same_file(path: &Path, identity: Identity) -> bool {
    fs::metadata(path).is_ok_and(|metadata| Identity::of(&metadata) == identity)
}

fn is_of(mark: &Mark, identity: Identity) -> bool {
    (mark.device, mark.inode) == (identity.device, identity.inode)
}

/// Where to begin in a log that was `read` so far, and in what was rotated away of it.
fn in_log(found: &Found, file: File, read: &[&ReadLog]) -> Vec<Handed> {
    let handed = |identity, position: &Position, why| Handed { mark: Mark::new(&found.path, identity, position), why };
    if read.is_empty() {
        let tail = Tail::new(file, Start::After(found.length), usize::MAX);
        let at_the_end = |tail: Tail| handed(found.identity, tail.position(), Why::NeverRead);
        return tail.map(at_the_end).into_iter().collect();
    }
    // Of what several jails have read no line is left out for one of them.
    if let Some(position) = read.iter().filter_map(|log| position(&file, log)).min_by_key(|position| position.offset) {
        return vec![handed(found.identity, &position, Why::ReadSoFar)];
    }
    let mut all: Vec<Handed> = Vec::new();
    // The one last written to last.
    for member in family(&found.path).iter().filter(|member| member.identity != found.identity) {
        if all.iter().any(|known| is_of(&known.mark, member.identity)) {
            continue;
        }
        let Ok(file) = open(&member.path, member.identity) else { continue };
        let positions = read.iter().filter(|log| log.first_line != FirstLine::None);
        let position = positions.filter_map(|log| position(&file, log)).min_by_key(|position| position.offset);
        match position {
            Some(position) => all.push(handed(member.identity, &position, Why::RotatedAway)),
            // It came after the one that was read, and went before this look.
            None if !all.is_empty() && !is_copy_of_path(&file, &found.path) => {
                all.push(handed(member.identity, &beginning(&file), Why::Another));
            }
            None => {}
        }
    }
    all.push(handed(found.identity, &beginning(&file), Why::Another));
    all
}

/// The place in a file, if it is the one that was read.
fn position(file: &File, log: &ReadLog) -> Option<Position> {
    let first = first_line(file).ok()?;
    match (&log.first_line, first) {
        (FirstLine::None, _) if log.offset == 0 => Some(beginning(file)),
        (FirstLine::Sha1(theirs), Some(first)) if *theirs == first => {
            match line_beginning(file, log.offset).ok()?? {
                0 => Some(beginning(file)),
                offset => Some(Position { offset, before: bytes_before(file, offset).ok()?, skipping: false }),
            }
        }
        (FirstLine::None | FirstLine::Sha1(_), _) => None,
    }
}

/// Where the line begins that goes on at `offset`: nobody has judged it whole. `None` if that is too far away.
///
/// # Errors
///
/// If the file cannot be read, or is shorter.
fn line_beginning(file: &File, offset: u64) -> io::Result<Option<u64>> {
    let mut end = offset;
    while end > 0 && offset - end < MAX_UNFINISHED_BYTES {
        let bytes = bytes_before(file, end)?;
        if let Some(newline) = memchr::memrchr(b'\n', &bytes) {
            return Ok(Some(end - (bytes.len() - newline - 1) as u64));
        }
        end -= bytes.len() as u64;
    }
    Ok((end == 0).then_some(0))
}

/// A file's first byte, with what tells the file from others, if it has so much.
fn beginning(file: &File) -> Position {
    let before = head(file).ok().filter(|head| head.len() == CHECKED_BYTES).unwrap_or_default();
    Position { offset: 0, before, skipping: false }
}

/// The SHA-1 of a file's first line, if it has one that is whole.
fn first_line(file: &File) -> io::Result<Option<String>> {
    let mut digest = Sha1::new();
    let mut buffer = [0; 8192];
    let mut offset = 0;
    while offset < MAX_FIRST_LINE_BYTES {
        let length = match file.read_at(&mut buffer, offset) {
            Ok(0) => return Ok(None),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let read = &buffer[..length];
        if let Some(end) = memchr::memchr(b'\n', read) {
            digest.update(&read[..=end]);
            return Ok(Some(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()));
        }
        digest.update(read);
        offset += length as u64;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::fs::rename;

    use super::super::testing::TempDir;
    use super::*;

    /// A log of three lines of 7 bytes.
    const LINES: &[u8] = b"line 1\nline 2\nline 3\n";

    /// SHA-1 of `line 1` and its end.
    const FIRST: &str = "ff0b0b5a5412d4f120de1f902a1d84627fa6a42b";

    fn digest(line: &[u8]) -> String {
        Sha1::digest(line).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn read(path: &Path, first: &[u8], offset: u64) -> ReadLog {
        ReadLog { path: path.to_owned(), first_line: FirstLine::Sha1(digest(first)), offset }
    }

    /// Offset and reason in each file, by its number.
    fn places(dir: &TempDir, read: &[ReadLog]) -> Vec<(u64, u64, Why)> {
        let handed = hand_over(&[dir.text("log")], read, &[]).unwrap();
        handed.into_iter().map(|handed| (handed.mark.inode, handed.mark.offset, handed.why)).collect()
    }

    fn inode(dir: &TempDir, name: &str) -> u64 {
        Identity::of(&fs::metadata(dir.path(name)).unwrap()).inode
    }

    #[test]
    fn a_place_is_taken_over_where_its_line_ends_in_the_file_that_was_read() {
        let dir = TempDir::new();
        dir.write("log", LINES);
        let log = dir.path("log");
        let inode = inode(&dir, "log");

        assert_eq!(places(&dir, &[read(&log, b"line 1\n", 14)]), [(inode, 14, Why::ReadSoFar)]);
        assert_eq!(places(&dir, &[read(&log, b"line 1\n", 21)]), [(inode, 21, Why::ReadSoFar)]);
        assert_eq!(places(&dir, &[read(&log, b"line 1\n", 17)]), [(inode, 14, Why::ReadSoFar)], "within a line");
        let several = [read(&log, b"line 1\n", 21), read(&log, b"line 1\n", 7), read(&log, b"another\n", 0)];
        assert_eq!(places(&dir, &several), [(inode, 7, Why::ReadSoFar)]);
        for unsound in [read(&log, b"line 1\n", 28), read(&log, b"another\n", 14)] {
            assert_eq!(places(&dir, &[unsound]), [(inode, 0, Why::Another)]);
        }
        let mark = &hand_over(&[dir.text("log")], &[read(&log, b"line 1\n", 14)], &[]).unwrap()[0].mark;
        assert_eq!((mark.before.as_slice(), mark.skipping), (&LINES[..14], false));
    }

    #[test]
    fn what_was_empty_is_read_whole_and_what_was_never_read_is_left_alone() {
        let dir = TempDir::new();
        dir.write("log", LINES);
        let log = dir.path("log");
        let empty = ReadLog { path: log.clone(), first_line: FirstLine::None, offset: 0 };
        assert_eq!(places(&dir, &[empty]), [(inode(&dir, "log"), 0, Why::ReadSoFar)]);

        assert_eq!(places(&dir, &[read(&dir.path("other"), b"line 1\n", 7)]), [], "none of its logs: as it was");
        dir.write("other", b"line 1\nunfin");
        let both = [dir.text("log"), dir.text("other")];
        let handed = hand_over(&both, &[read(&log, b"line 1\n", 7)], &[]).unwrap();
        let places: Vec<_> = handed.iter().map(|one| (one.mark.offset, one.mark.skipping, one.why)).collect();
        assert_eq!(places, [(7, false, Why::ReadSoFar), (12, true, Why::NeverRead)]);
    }

    #[test]
    fn what_was_rotated_away_since_comes_first() {
        let dir = TempDir::new();
        dir.write("log", LINES);
        let before = inode(&dir, "log");
        rename(dir.path("log"), dir.path("log.1")).unwrap();
        dir.write("log", b"line 4\n");

        let places = places(&dir, &[read(&dir.path("log"), b"line 1\n", 14)]);

        assert_eq!(places, [(before, 14, Why::RotatedAway), (inode(&dir, "log"), 0, Why::Another)]);
    }

    #[test]
    fn what_came_and_was_rotated_away_in_between_is_read_whole_and_what_was_there_before_is_not() {
        let dir = TempDir::new();
        let log = dir.path("log");
        let written = |name: &str, text: &[u8], seconds: u64| {
            dir.write(name, text);
            let file = File::options().append(true).open(dir.path(name)).unwrap();
            file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000 + seconds)).unwrap();
            inode(&dir, name)
        };
        written("log.4", b"line 0\n", 0);
        let read_of = written("log.3", LINES, 1);
        let between = [written("log.2", b"line 4\n", 2), written("log.1", b"line 5\n", 3)];
        // A copy of what is at the path, as copytruncate makes it at this moment, is none of them.
        let now = written("log", &b"line 6\n".repeat(10), 4);
        written("log.copy", &b"line 6\n".repeat(10), 5);

        let places = places(&dir, &[read(&log, b"line 1\n", 14)]);

        let expected = [
            (read_of, 14, Why::RotatedAway),
            (between[0], 0, Why::Another),
            (between[1], 0, Why::Another),
            (now, 0, Why::Another),
        ];
        assert_eq!(places, expected);
    }

    #[test]
    fn another_source_of_ours_knows_better() {
        let dir = TempDir::new();
        dir.write("log", LINES);
        let log = dir.path("log");
        let mut own = hand_over(&[dir.text("log")], &[read(&log, b"line 1\n", 7)], &[]).unwrap();
        let own = own.remove(0).mark;

        let handed = hand_over(&[dir.text("log")], &[read(&log, b"line 1\n", 21)], std::slice::from_ref(&own)).unwrap();

        assert_eq!(handed, [Handed { mark: own, why: Why::OwnMark }]);
    }

    #[test]
    fn a_first_line_is_known_by_its_bytes_and_its_end() {
        let dir = TempDir::new();
        for (bytes, expected) in [(LINES, Some(digest(b"line 1\n"))), (b"", None), (b"unfinished", None)] {
            dir.write("log", bytes);
            assert_eq!(first_line(&File::open(dir.path("log")).unwrap()).unwrap(), expected);
        }
        let long = [vec![0xff; 20_000], b"\r\n".to_vec()].concat();
        dir.write("log", &long);
        assert_eq!(first_line(&File::open(dir.path("log")).unwrap()).unwrap(), Some(digest(&long)));
        assert_eq!(digest(b"line 1\n"), FIRST);
    }
}
