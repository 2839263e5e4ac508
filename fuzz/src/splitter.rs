//! Bytes of a file, cut anywhere: the lines are those of the whole, and what is too long is skipped whole.
//!
//! An input is the pieces in which a file is read, each behind two bytes with its length.

#[path = "../../blocker/src/source/lines.rs"]
#[expect(dead_code, reason = "the sources use more of it")]
mod lines;

use lines::LineSplitter;

/// The longest line, as it is unless configured.
const MAX_LINE_BYTES: usize = 8 * 1024;

/// Checks the lines of one file.
///
/// # Panics
///
/// If they are others than those of the whole.
pub fn check(mut bytes: &[u8]) {
    let mut splitter = LineSplitter::new(MAX_LINE_BYTES);
    let (mut batch, mut overlong, mut whole) = (Batch::default(), 0, Vec::new());
    while let Some((&[high, low], rest)) = bytes.split_first_chunk() {
        let len = usize::from(u16::from_be_bytes([high, low]));
        let (mut piece, rest) = rest.split_at(rest.len().min(len));
        // Long lines out of few bytes.
        let repeated = if piece.len() < len { piece.repeat(len / piece.len().max(1)) } else { Vec::new() };
        if !repeated.is_empty() {
            piece = &repeated;
        }
        overlong += splitter.push(piece, &mut batch);
        assert!(splitter.partial().len() <= MAX_LINE_BYTES);
        whole.extend_from_slice(piece);
        bytes = rest;
    }

    let mut pieces: Vec<&[u8]> = whole.split(|&byte| byte == b'\n').collect();
    let unfinished = pieces.pop().unwrap_or_default();
    let is_long = |line: &&[u8]| line.len() > MAX_LINE_BYTES;
    let expected: Vec<&[u8]> = pieces.iter().copied().filter(|line| !is_long(line)).collect();
    let long = pieces.iter().filter(|line| is_long(line)).count() + usize::from(is_long(&unfinished));

    assert_eq!(batch.lines, expected);
    assert_eq!(overlong, long as u64);
    assert_eq!(splitter.is_skipping(), is_long(&unfinished));
}

/// Lines whole, cut, empty, and about as long as may be.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let files: [&[&[u8]]; 4] = [
        &[b"one\ntwo\n"],
        &[b"one\r\nt", b"", b"wo", b"\n\n\nthree"],
        &[&[b'x'; MAX_LINE_BYTES], b"\n"],
        &[&[b'x'; MAX_LINE_BYTES], b"x\nnext\n", b"\0\xff\n"],
    ];
    let piece = |piece: &&[u8]| {
        let len = u16::try_from(piece.len()).unwrap_or(u16::MAX);
        [&len.to_be_bytes()[..], piece].concat()
    };
    files.iter().map(|pieces| pieces.iter().flat_map(piece).collect()).collect()
}

/// Takes lines as they come: what the daemon's batch leaves out of them is none of the splitter's doing.
#[derive(Default)]
struct Batch {
    lines: Vec<Vec<u8>>,
}

impl Batch {
    fn push(&mut self, line: &[u8]) {
        self.lines.push(line.to_vec());
    }

    fn push_whole(&mut self, lines: &[u8], max_bytes: usize) -> u64 {
        let lines = lines.split_inclusive(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\n").expect("whole"));
        let (long, short): (Vec<_>, Vec<_>) = lines.partition(|line| line.len() > max_bytes);
        self.lines.extend(short.into_iter().map(Vec::from));
        long.len() as u64
    }
}
