//! Which compressed files hold what an earlier run was reading.
//!
//! Whoever compresses a file gives it another inode, so it is known by what it holds: before the place of a mark, the bytes that
//! were there when it was read; of a file of which nothing was read, its first bytes. All marks are looked for in one pass over
//! a file, and no file is read further than the last of them.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use super::super::Mark;
use super::super::packed::{Format, MAX_UNPACKED_BYTES, unpack};
use super::super::tail::{CHECKED_BYTES, Identity};

/// A mark is looked for in files that were last written to at most so long before it was noted, in nanoseconds: a day. An
/// older file can hold it only if reading was that much behind.
pub(super) const MAX_BEHIND_NS: i64 = 86_400_000_000_000;

/// Bytes unpacked at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// A compressed file of a rotated log.
#[derive(Debug, Clone)]
pub(super) struct Compressed {
    pub(super) path: PathBuf,
    pub(super) identity: Identity,
    pub(super) modified: i64,
    pub(super) format: Format,
}

/// What was found in a compressed file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FoundMarks {
    /// The marks whose bytes are in it, by their number; the one that is read farthest at the end.
    pub(super) marks: Vec<usize>,
    /// Whether it holds nothing behind that one.
    pub(super) is_read: bool,
}

/// How much was unpacked to find something, and until when it is wanted.
pub(super) struct Effort<'a> {
    pub(super) unpacked: u64,
    pub(super) is_wanted: &'a dyn Fn() -> bool,
}

/// Whether a mark tells a file from others by what it holds.
pub(super) fn is_telling(mark: &Mark) -> bool {
    mark.before.len() == CHECKED_BYTES
}

/// Finds those of `marks` in a file that are in it.
///
/// # Errors
///
/// If it cannot be unpacked so far, or too much was unpacked already; a broken pipe if nobody waits for it any more.
pub(super) fn find_marks(
    file: &File,
    format: Format,
    marks: &[(usize, &Mark)],
    effort: &mut Effort<'_>,
) -> io::Result<FoundMarks> {
    // Where the bytes of a mark end.
    let end = |mark: &Mark| mark.offset.max(CHECKED_BYTES as u64);
    let mut wanted: Vec<(u64, usize, &Mark)> = marks.iter().map(|&(number, mark)| (end(mark), number, mark)).collect();
    wanted.sort_by_key(|&(end, _, mark)| (end, mark.offset));
    let mut wanted = wanted.into_iter().peekable();
    let mut text = unpack(file, format)?;
    let mut buffer = vec![0; CHECKED_BYTES + CHUNK_BYTES];
    let (mut known, mut offset, mut found) = (0, 0_u64, FoundMarks { marks: Vec::new(), is_read: false });
    let mut farthest = 0;
    loop {
        let read = match text.read(&mut buffer[known..known + CHUNK_BYTES]) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            // It may be found broken once more, when it is read on.
            Err(_) if !found.marks.is_empty() => return Ok(found),
            Err(error) => return Err(error),
        };
        if read == 0 {
            found.is_read = farthest == offset && !found.marks.is_empty();
            return Ok(found);
        }
        if wanted.peek().is_none() {
            return Ok(found);
        }
        effort.unpacked += read as u64;
        if !(effort.is_wanted)() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if effort.unpacked > MAX_UNPACKED_BYTES {
            let why =
                format!("more than {MAX_UNPACKED_BYTES} bytes were unpacked to find where an earlier run left off");
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        let filled = known + read;
        offset += read as u64;
        while let Some((end, number, mark)) = wanted.next_if(|&(end, _, _)| end <= offset) {
            // At most this piece and what is known of the one before lie behind it.
            let behind = usize::try_from(offset - end).unwrap_or(usize::MAX);
            let bytes = filled.checked_sub(behind).and_then(|end| buffer.get(end.checked_sub(CHECKED_BYTES)?..end));
            if bytes == Some(&mark.before[..]) {
                found.marks.push(number);
                farthest = mark.offset;
            }
        }
        known = filled.min(CHECKED_BYTES);
        buffer.copy_within(filled - known..filled, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::packed::tests::{PACKERS, pack};
    use super::super::super::testing::TempDir;
    use super::super::tests::mark;
    use super::*;

    /// Text that is nowhere the same.
    fn text() -> Vec<u8> {
        (0..100_000).flat_map(|number: u32| format!("line {number}\n").into_bytes()).collect()
    }

    fn find_in(dir: &TempDir, end: &str, marks: &[Mark], unpacked: u64) -> io::Result<FoundMarks> {
        let format = super::super::PackedName::of(&dir.path(&format!("log{end}"))).and_then(|name| name.format);
        let file = File::open(dir.path(&format!("log{end}")))?;
        let marks: Vec<(usize, &Mark)> = marks.iter().enumerate().collect();
        find_marks(&file, format.expect("a format"), &marks, &mut Effort { unpacked, is_wanted: &|| true })
    }

    #[test]
    fn marks_are_found_wherever_they_are_in_one_pass_and_the_farthest_is_the_last() {
        for (packer, end) in PACKERS {
            let dir = TempDir::new();
            let text = text();
            dir.write("log", &text);
            // At and around the ends of pieces, in no order.
            let places = [CHUNK_BYTES + 1, 64, text.len(), CHUNK_BYTES, 3 * CHUNK_BYTES - 1, 2 * CHUNK_BYTES + 63, 65];
            let mut marks: Vec<Mark> = places.iter().map(|&place| mark(&dir, "log", place)).collect();
            let first = Mark { offset: 0, before: text[..CHECKED_BYTES].to_vec(), ..marks[0].clone() };
            let strange = Mark { before: vec![b'x'; CHECKED_BYTES], ..marks[4].clone() };
            let beyond = Mark { offset: text.len() as u64 + 1, ..marks[2].clone() };
            marks.extend([first, strange, beyond]);
            pack(&dir, "log", packer);

            let found = find_in(&dir, end, &marks, 0).expect("it can be unpacked");
            assert_eq!(found, FoundMarks { marks: vec![7, 1, 6, 3, 0, 5, 4, 2], is_read: true }, "{packer}");

            let found = find_in(&dir, end, &marks[..2], 0).expect("it can be unpacked");
            assert_eq!(found, FoundMarks { marks: vec![1, 0], is_read: false }, "{packer}");
        }
    }

    #[test]
    fn no_more_is_unpacked_than_the_bound() {
        let dir = TempDir::new();
        dir.write("log", &text());
        let marks = [mark(&dir, "log", CHUNK_BYTES + 1)];
        pack(&dir, "log", "zstd");

        let why = find_in(&dir, ".zst", &marks, MAX_UNPACKED_BYTES - 1_000).unwrap_err().to_string();

        assert!(why.starts_with("more than 8589934592 bytes were unpacked"), "{why}");
    }
}
