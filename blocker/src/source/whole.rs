//! A log read once, from its beginning to its end, with each line in its place: for `blocker test`.
//!
//! Lines are the same as those of a followed file (see `lines`), but empty and overlong ones are told too, so that whoever counts
//! them gets the numbers that an editor shows.

use std::io::{self, ErrorKind, Read};

use blocker_core::engine::{LogId, SourceId};
use memchr::memchr;

use super::Batch;
use super::lines::LineSplitter;

/// Bytes read at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// What comes next in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A line, without its end; may be empty. The last one may lack its end.
    Line(&'a [u8]),
    /// A line that is longer than a line may be.
    TooLong,
    /// So many bytes were read, and what lines end in them has been told.
    Read(usize),
}

/// Hands the lines of `input` to `take`, in their order. Of a line at most `max_line_bytes` are kept.
///
/// # Errors
///
/// What `take` says, or `failed` of a fault in reading; nothing is read after that.
pub fn read_whole<E>(
    mut input: impl Read,
    max_line_bytes: usize,
    failed: impl Fn(io::Error) -> E,
    mut take: impl FnMut(Piece<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut lines = LineSplitter::new(max_line_bytes);
    let mut buffer = vec![0; CHUNK_BYTES];
    // Of the line that is not finished: whether it has begun, and whether it is known to be too long.
    let (mut has_begun, mut is_too_long) = (false, false);
    loop {
        let read = match input.read(&mut buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(error)),
        };
        let is_over = read == 0;
        let mut bytes = if is_over && has_begun { &b"\n"[..] } else { buffer.get(..read).unwrap_or_default() };
        while !bytes.is_empty() {
            let end = memchr(b'\n', bytes);
            let (piece, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
            bytes = rest;
            let mut batch = Batch::new(SourceId::new(0), LogId::new(0), true);
            is_too_long |= lines.push(piece, &mut batch) > 0;
            has_begun = end.is_none();
            if !has_begun {
                take(match batch.lines().next() {
                    Some(line) => Piece::Line(line),
                    None if is_too_long => Piece::TooLong,
                    None => Piece::Line(b""),
                })?;
                is_too_long = false;
            }
        }
        take(Piece::Read(read))?;
        if is_over {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8], max_line_bytes: usize) -> Vec<String> {
        let mut pieces = Vec::new();
        let never = |error: io::Error| error;
        read_whole(text, max_line_bytes, never, |piece| {
            match piece {
                Piece::Line(line) => pieces.push(String::from_utf8_lossy(line).into_owned()),
                Piece::TooLong => pieces.push("(too long)".to_owned()),
                Piece::Read(_) => {}
            }
            Ok(())
        })
        .unwrap();
        pieces
    }

    #[test]
    fn every_line_has_its_place_the_empty_and_the_overlong_too() {
        assert_eq!(read(b"one\n\ntwo\r\n12345\nthree", 5), ["one", "", "two", "12345", "three"]);
        assert_eq!(read(b"one\n123456\n\r\ntwo\n", 5), ["one", "(too long)", "", "two"]);
        assert_eq!(read(b"123456", 5), ["(too long)"]);
        assert_eq!(read(b"", 5), [""; 0]);
    }

    #[test]
    fn a_line_longer_than_what_is_read_at_once_is_one_line() {
        let mut text = vec![b'x'; 3 * CHUNK_BYTES];
        text.extend_from_slice(b"\nnext\n");

        assert_eq!(read(&text, 100), ["(too long)", "next"]);
        assert_eq!(read(&text, 4 * CHUNK_BYTES)[0].len(), 3 * CHUNK_BYTES);
    }

    #[test]
    fn what_the_taker_says_ends_it() {
        let mut taken = 0;
        let result = read_whole(
            &b"one\ntwo\n"[..],
            9,
            |error| error.to_string(),
            |_| {
                taken += 1;
                Err("enough".to_owned())
            },
        );

        assert_eq!((result, taken), (Err("enough".to_owned()), 1));
    }
}
