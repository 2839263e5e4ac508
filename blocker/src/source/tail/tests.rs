//! Tests of one followed file, on real files.

use std::os::unix::fs::FileExt;

use blocker_core::engine::{LogId, SourceId};
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::testing::{TempDir, appender};
use super::*;

const MAX_LINE_BYTES: usize = 8 * 1024;

#[test]
fn reads_from_the_beginning_and_keeps_a_partial_line_until_it_ends() {
    let dir = TempDir::new();
    dir.write("log", b"one\ntw");
    let mut reader = Reader::open(&dir, Start::Beginning);

    assert_eq!(reader.read(), ["one"]);
    dir.append("log", b"o");
    assert_eq!(reader.read(), [""; 0]);
    dir.append("log", b"\n");
    assert_eq!(reader.read(), ["two"]);
}

#[test]
fn what_was_there_at_the_start_is_not_read() {
    let dir = TempDir::new();
    dir.write("log", b"old\n");
    let mut reader = Reader::at_end(&dir);

    dir.append("log", b"new\n");

    assert_eq!(reader.read(), ["new"]);
}

#[test]
fn what_the_file_held_when_it_was_opened_is_past_and_what_comes_later_is_not() {
    let dir = TempDir::new();
    dir.write("log", b"old\nhalf");
    let mut reader = Reader::open(&dir, Start::Beginning);
    dir.append("log", b" new\nnew\n");

    assert_eq!(reader.read_by_age(), (vec!["old".into()], vec!["half new".into(), "new".into()]));
    let position = reader.tail.position().clone();
    dir.append("log", b"meanwhile\n");
    let mut reader = Reader::open(&dir, Start::Resume(position));
    dir.append("log", b"later\n");
    assert_eq!(reader.read_by_age(), (vec!["meanwhile".into()], vec!["later".into()]));
}

#[test]
fn what_a_rewritten_file_holds_is_past() {
    let dir = TempDir::new();
    dir.write("log", b"one\ntwo\n");
    let mut reader = Reader::at_end(&dir);

    dir.write("log", b"other\n");
    assert_eq!(reader.read_by_age(), (vec!["other".into()], vec![]));
    dir.append("log", b"later\n");

    assert_eq!(reader.read_by_age(), (vec![], vec!["later".into()]));
}

#[test]
fn the_rest_of_a_line_begun_before_the_start_is_not_a_line() {
    let dir = TempDir::new();
    dir.write("log", b"old\nhal");
    let mut reader = Reader::at_end(&dir);

    dir.append("log", b"f\nnew\n");

    assert_eq!(reader.read(), ["new"]);
}

#[test]
fn a_renamed_file_is_read_on() {
    let dir = TempDir::new();
    dir.write("log", b"one\n");
    let mut writer = appender(&dir.path("log"));
    let mut reader = Reader::open(&dir, Start::Beginning);
    assert_eq!(reader.read(), ["one"]);

    dir.rename("log", "log.1");
    dir.write("log", b"another file\n");
    io::Write::write_all(&mut writer, b"two\n").expect("the file is open");

    assert_eq!(reader.read(), ["two"]);
    assert!(!reader.tail.is_deleted().expect("the file is open"));
    dir.remove("log.1");
    assert!(reader.tail.is_deleted().expect("the file is open"));
}

#[test]
fn copytruncate_to_a_smaller_file_repeats_and_loses_no_line() {
    let dir = TempDir::new();
    dir.write("log", b"one\ntwo\nthree\n");
    let mut reader = Reader::open(&dir, Start::Beginning);
    assert_eq!(reader.read(), ["one", "two", "three"]);

    dir.write("log", b"four\n");

    assert_eq!(reader.read(), ["four"]);
    assert_eq!(reader.truncations, 1);
}

#[test]
fn copytruncate_is_seen_by_content_when_the_file_has_regrown() {
    for grown in [8, 9, 100, CHUNK_BYTES + 1] {
        let dir = TempDir::new();
        dir.write("log", b"one\ntwo\n");
        let mut reader = Reader::open(&dir, Start::Beginning);
        assert_eq!(reader.read(), ["one", "two"]);

        let mut content = b"three\n".repeat(grown / 6 + 1);
        content.truncate(grown - 1);
        content.push(b'\n');
        dir.write("log", &content);

        let expected: Vec<_> = content.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).collect();
        assert_eq!(reader.read().len(), expected.len(), "grown to {grown} bytes");
        assert_eq!(reader.truncations, 1, "grown to {grown} bytes");
    }
}

#[test]
fn copytruncate_drops_the_line_it_cut_and_counts_it() {
    let dir = TempDir::new();
    dir.write("log", b"one\nfirst half,");
    let mut reader = Reader::open(&dir, Start::Beginning);
    assert_eq!(reader.read(), ["one"]);

    dir.write("log", b"second half\n");

    assert_eq!(reader.read(), ["second half"]);
    assert_eq!(reader.dropped_lines, 1);
}

#[test]
fn emptied_and_seen_empty_the_file_is_read_from_its_beginning() {
    let dir = TempDir::new();
    dir.write("log", b"one\n");
    let mut reader = Reader::at_end(&dir);

    dir.write("log", b"");
    assert_eq!(reader.read(), [""; 0]);
    dir.append("log", b"two\n");

    assert_eq!(reader.read(), ["two"]);
    assert_eq!(reader.truncations, 1);
}

#[test]
fn the_hole_a_writer_leaves_that_does_not_append_is_no_part_of_a_line() {
    let dir = TempDir::new();
    let writer = File::create(dir.path("log")).expect("the file can be made");
    let old = b"old\n".repeat(50_000);
    writer.write_all_at(&old, 0).expect("the file is open");
    let mut reader = Reader::at_end(&dir);

    writer.set_len(0).expect("the file is open");
    writer.write_all_at(b"new\n\0line\n", old.len() as u64).expect("the file is open");

    assert_eq!(reader.read(), ["new", "\0line"]);
}

#[test]
fn a_line_of_10_megabytes_is_skipped_whole_and_the_next_is_read() {
    let dir = TempDir::new();
    let mut content = b"before\n".to_vec();
    content.resize(10_000_000, b'x');
    content.extend_from_slice(b" rip=203.0.113.9\nafter\n");
    dir.write("log", &content);
    let mut reader = Reader::open(&dir, Start::Beginning);

    assert_eq!(reader.read(), ["before", "after"]);
    assert_eq!(reader.overlong_lines, 1);
}

#[test]
fn nul_and_invalid_utf8_are_passed_through() {
    let dir = TempDir::new();
    dir.write("log", b"\0\0a\0b\n\xff\xfe\n\n\r\nc\r\n");
    let mut tail = Reader::open(&dir, Start::Beginning).tail;
    let mut batch = Batch::new(SourceId::new(0), LogId::new(0), false);

    tail.read(&mut Buffer::new(), &mut batch).expect("the file can be read");

    assert_eq!(batch.lines().collect::<Vec<_>>(), [&b"\0\0a\0b"[..], b"\xff\xfe", b"c"]);
}

#[test]
fn a_closed_file_is_resumed_at_its_unfinished_line() {
    let dir = TempDir::new();
    dir.write("log", b"one\ntw");
    let mut reader = Reader::open(&dir, Start::Beginning);
    assert_eq!(reader.read(), ["one"]);
    let position = reader.tail.position().clone();
    drop(reader);

    dir.append("log", b"o\nthree\n");

    let mut reader = Reader::open(&dir, Start::Resume(position));
    assert_eq!(reader.read(), ["two", "three"]);
    assert_eq!(reader.truncations, 0);
}

#[test]
fn a_file_closed_within_an_overlong_line_is_resumed_after_it() {
    let dir = TempDir::new();
    dir.write("log", &vec![b'x'; MAX_LINE_BYTES + 1]);
    let mut reader = Reader::open(&dir, Start::Beginning);
    assert_eq!(reader.read(), [""; 0]);
    let position = reader.tail.position().clone();

    dir.append("log", b"rest\nnext\n");

    assert_eq!(Reader::open(&dir, Start::Resume(position)).read(), ["next"]);
}

#[test]
fn another_file_with_the_same_inode_is_not_resumed_but_begun() {
    let dir = TempDir::new();
    dir.write("log", b"one\n");
    let mut reader = Reader::open(&dir, Start::Beginning);
    assert_eq!(reader.read(), ["one"]);
    let position = reader.tail.position().clone();

    dir.write("log", b"another\n");

    assert_eq!(Reader::open(&dir, Start::Resume(position)).read(), ["another"]);
}

#[test]
fn utf16_is_an_error_until_the_file_is_text() {
    let text = "one two\nthree\n";
    let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let wide_be: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    for written in [[b"\xff\xfe", &wide[..]].concat(), [b"\xfe\xff", &wide_be[..]].concat(), wide, wide_be] {
        for start in [Start::Beginning, Start::After(written.len() as u64)] {
            let dir = TempDir::new();
            dir.write("log", &written);
            let mut reader = Reader::open(&dir, start.clone());
            for _ in 0..2 {
                let mut batch = Batch::new(SourceId::new(0), LogId::new(0), false);
                let error = reader.tail.read(&mut reader.buffer, &mut batch).expect_err("it is no text");
                assert_eq!(error.to_string(), "this is UTF-16: have it written as UTF-8", "{start:?}");
                assert!(batch.is_empty());
            }

            dir.write("log", text.as_bytes());

            assert_eq!(reader.read(), ["one two", "three"], "{start:?}");
        }
    }
}

#[test]
fn nul_at_the_beginning_makes_no_utf16() {
    let dir = TempDir::new();
    dir.write("log", b"");
    let mut reader = Reader::open(&dir, Start::Beginning);

    dir.append("log", b"a");
    assert_eq!(reader.read(), [""; 0]);
    dir.append("log", b"\0bc\n\xc3\xa4\n");

    assert_eq!(reader.read(), ["a\0bc", "ä"]);
}

#[test]
fn follows_regular_files_alone() {
    let dir = TempDir::new();
    nix::unistd::mkfifo(&dir.path("fifo"), nix::sys::stat::Mode::S_IRWXU).expect("a FIFO can be made");

    for name in ["fifo", ""] {
        let file = Tail::open(&dir.path(name)).expect("opening does not wait for a writer");
        let error = Tail::new(file, Start::Beginning, MAX_LINE_BYTES).expect_err("it is not a file");
        assert_eq!(error.to_string(), "not a regular file");
    }
}

#[test]
fn a_full_piece_is_judged_where_it_was_read_into() {
    let dir = TempDir::new();
    dir.write("log", b"");
    let mut reader = Reader::open(&dir, Start::Beginning);
    let line = |number: usize| format!("{number:0199}");
    let text: String = (0..1_000).map(|number| line(number) + "\n").collect();

    let (first, rest) = text.split_at(150);
    dir.append("log", first.as_bytes());
    assert_eq!(reader.read(), [""; 0]);
    dir.append("log", rest.as_bytes());
    let mut batch = Batch::new(SourceId::new(0), LogId::new(0), false);
    let progress = reader.tail.read(&mut reader.buffer, &mut batch).expect("the file can be read");

    assert_eq!((progress.bytes, progress.has_more), (CHUNK_BYTES, true));
    assert!(reader.buffer.bytes().is_empty(), "the batch has it");
    let lines: Vec<_> = batch.lines().map(<[u8]>::to_vec).collect();
    let expected: Vec<_> = (0..(150 + CHUNK_BYTES) / 200).map(|number| line(number).into_bytes()).collect();
    assert_eq!(lines, expected, "the first was half there before");
    batch.retain(|line| line.ends_with(b"7"));
    assert_eq!(batch.len(), 33);
    assert!(batch.lines().all(|line| line.ends_with(b"7")));
    let position = reader.tail.position().clone();
    assert_eq!(position.offset, 200 * expected.len() as u64);
    assert!(position.is_in(&Tail::open(&dir.path("log")).expect("the file exists")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn however_much_is_there_at_a_time_and_wherever_reading_is_resumed_each_line_is_read_once(
        blocks in vec((line_length(), 0_usize..400, any::<bool>()), 1..30),
        cuts in vec((any::<proptest::sample::Index>(), any::<bool>()), 0..6),
    ) {
        let mut text = Vec::new();
        let mut expected = Vec::new();
        for (length, times, is_crlf) in blocks {
            for _ in 0..times {
                let line: Vec<u8> = (0..length).map(|at| b'a' + ((at + text.len() / 7) % 26) as u8).collect();
                text.extend_from_slice(&line);
                let end: &[u8] = if is_crlf { b"\r\n" } else { b"\n" };
                text.extend_from_slice(end);
                if !line.is_empty() && line.len() + end.len() - 1 <= MAX_LINE_BYTES {
                    expected.push(String::from_utf8(line).expect("letters"));
                }
            }
        }
        let mut cuts: Vec<_> = cuts.iter().map(|(at, resumes)| (at.index(text.len() + 1), *resumes)).collect();
        cuts.push((text.len(), false));
        cuts.sort_unstable();

        let dir = TempDir::new();
        dir.write("log", b"");
        let mut reader = Reader::open(&dir, Start::Beginning);
        let (mut read, mut written) = (Vec::new(), 0);
        for (cut, resumes) in cuts {
            dir.append("log", &text[written..cut]);
            written = cut;
            let (past, live) = reader.read_by_age();
            read.extend(past.into_iter().chain(live));
            if resumes {
                reader = Reader::open(&dir, Start::Resume(reader.tail.position().clone()));
            }
        }

        prop_assert!(read == expected, "{} lines of {}", read.len(), expected.len());
    }
}

/// Of lines, empty ones and those about as long as may be among them.
fn line_length() -> impl Strategy<Value = usize> {
    prop_oneof![1 => Just(0_usize), 8 => 1_usize..300, 1 => MAX_LINE_BYTES - 2..MAX_LINE_BYTES + 3]
}

/// A tail and the sum of what its reads came to.
struct Reader {
    tail: Tail,
    buffer: Buffer,
    truncations: u64,
    dropped_lines: u64,
    overlong_lines: u64,
}

impl Reader {
    fn open(dir: &TempDir, start: Start) -> Self {
        let file = Tail::open(&dir.path("log")).expect("the file exists");
        let tail = Tail::new(file, start, MAX_LINE_BYTES).expect("the file can be followed");
        Self { tail, buffer: Buffer::new(), truncations: 0, dropped_lines: 0, overlong_lines: 0 }
    }

    fn at_end(dir: &TempDir) -> Self {
        let length = std::fs::metadata(dir.path("log")).expect("the file exists").len();
        Self::open(dir, Start::After(length))
    }

    /// Reads to the end: what is past, and what is not.
    fn read_by_age(&mut self) -> (Vec<String>, Vec<String>) {
        let (mut past, mut live) = (Vec::new(), Vec::new());
        loop {
            let lines = if self.tail.is_past() { &mut past } else { &mut live };
            let mut batch = Batch::new(SourceId::new(0), LogId::new(0), self.tail.is_past());
            let progress = self.tail.read(&mut self.buffer, &mut batch).expect("the file can be read");
            lines.extend(batch.lines().map(|line| String::from_utf8_lossy(line).into_owned()));
            if !progress.has_more {
                return (past, live);
            }
        }
    }

    /// Reads to the end.
    fn read(&mut self) -> Vec<String> {
        let mut batch = Batch::new(SourceId::new(0), LogId::new(0), false);
        loop {
            let progress = self.tail.read(&mut self.buffer, &mut batch).expect("the file can be read");
            self.truncations += u64::from(progress.is_truncated);
            self.dropped_lines += u64::from(progress.is_line_dropped);
            self.overlong_lines += progress.overlong_lines;
            if !progress.has_more {
                return batch.lines().map(|line| String::from_utf8_lossy(line).into_owned()).collect();
            }
        }
    }
}
