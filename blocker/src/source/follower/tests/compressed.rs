//! Compressed files, read by a reader that goes on where another was killed.

use super::super::super::packed::tests::{PACKERS, pack};
use super::*;

/// A line that is long enough to tell a file from others.
fn line(number: usize) -> String {
    format!("{} {number:06}", "x".repeat(80))
}

fn lines(numbers: std::ops::Range<usize>) -> String {
    numbers.map(|number| line(number) + "\n").collect()
}

#[test]
fn what_is_rotated_and_compressed_between_two_runs_is_read_once_whatever_kills_the_next() {
    for (packer, end) in PACKERS {
        let dir = TempDir::new();
        dir.write("log", b"");
        let patterns = [dir.text("log*")];
        let mut first = Subject::new(&patterns);
        dir.append("log", lines(0..10).as_bytes());
        assert_eq!(first.settle().len(), 10);
        let saved = first.marks.clone();
        drop(first);
        dir.append("log", lines(10..2_000).as_bytes());
        dir.rename("log", "log.1");
        dir.write("log", lines(2_000..4_000).as_bytes());
        dir.rename("log", "log.2");
        for name in ["log.1", "log.2"] {
            pack(&dir, name, packer);
        }
        dir.write("log", lines(4_000..4_010).as_bytes());

        // Killed after each of its pieces, by what it saved then.
        let (mut marks, mut seen) = (saved, Vec::new());
        loop {
            let mut next = Subject::going_on(&patterns, marks, Watch::new());
            let batch = std::iter::from_fn(|| next.read()).find(|batch| !batch.is_empty());
            marks = next.marks.clone();
            let Some(batch) = batch else { break };
            assert!(batch.is_past(), "{packer}");
            seen.extend(batch.lines().map(|line| String::from_utf8_lossy(line).into_owned()));
        }

        assert!(seen == (10..4_010).map(line).collect::<Vec<_>>(), "{packer}{end}: {} lines", seen.len());
    }
}

#[test]
fn a_compressed_file_is_closed_at_its_end_and_what_is_broken_in_it_ends_it() {
    let dir = TempDir::new();
    dir.write("log", b"");
    let patterns = [dir.text("log")];
    let mut first = Subject::new(&patterns);
    dir.append("log", lines(0..10).as_bytes());
    first.settle();
    let marks = first.marks.clone();
    drop(first);
    dir.append("log", (lines(10..20_000) + "no end").as_bytes());
    dir.rename("log", "log.1");
    pack(&dir, "log.1", "gzip");
    dir.write("log", lines(20_000..20_001).as_bytes());
    let whole = fs::read(dir.path("log.1.gz")).unwrap();

    let mut second = Subject::going_on(&patterns, marks.clone(), Watch::new());
    assert_eq!(second.settle().len(), 19_991);
    assert_eq!(second.standings(), [Standing::Current]);
    assert_eq!(second.state.counters.unfinished_lines, 1);
    drop(second);

    dir.write("log.1.gz", &whole[..whole.len() / 2]);
    let mut third = Subject::going_on(&patterns, marks, Watch::new());
    let seen = third.settle();
    assert_eq!((seen.first(), seen.last()), (Some(&line(10)), Some(&line(20_000))));
    assert!(seen.len() > 1_000 && seen.len() < 19_991, "what could be unpacked: {}", seen.len());
    assert_eq!(third.standings(), [Standing::Current]);
    // It is completed, as by a compressor that was interrupted.
    let marks = third.marks.clone();
    drop(third);
    dir.write("log.1.gz", &whole);
    let mut fourth = Subject::going_on(&patterns, marks, Watch::new());
    assert_eq!(fourth.settle().len() + seen.len(), 19_991);
}

#[test]
fn a_file_that_was_read_and_deleted_is_known_when_it_is_found_compressed() {
    let dir = TempDir::new();
    dir.write("log", b"");
    let patterns = [dir.text("log")];
    let mut first = Subject::new(&patterns);
    dir.append("log", lines(0..10).as_bytes());
    first.settle();
    dir.rename("log", "log.1");
    dir.write("log", b"");
    first.settle();
    pack(&dir, "log.1", "gzip");
    first.pass(QUIET_TIME);
    first.pass(Duration::from_secs(1));
    assert_eq!(first.standings(), [Standing::Current], "it is closed");
    let marks = first.marks.clone();
    drop(first);
    dir.rename("log", "log.2");
    dir.write("log", lines(10..11).as_bytes());

    let mut second = Subject::going_on(&patterns, marks, Watch::new());

    assert_eq!(second.settle(), [line(10)]);
}
