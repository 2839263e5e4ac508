//! Tests on a real directory: a reader is killed, things happen to its files, and another goes on.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::time::UNIX_EPOCH;

use super::super::find::find;
use super::super::pattern::PathPattern;
use super::super::problems::Problems;
use super::super::tail::CHECKED_BYTES;
use super::super::testing::TempDir;
use super::*;

pub(super) const LOG: &[u8] =
    b"a line that is long enough to tell one file from any other, and some more of it\nnext\n";

#[test]
fn a_file_that_is_where_it_was_is_read_on() {
    let dir = TempDir::new();
    dir.write("mail.log", LOG);
    let mark = mark(&dir, "mail.log", 80);

    let resumption = resume_in(&dir, "mail.log", vec![mark.clone()]);

    assert_eq!(read(&resumption), [("mail.log".into(), Standing::Current, Start::Resume(mark.position()))]);
    assert_eq!(resumption.lost, []);
}

#[test]
fn a_rotated_file_is_read_to_its_end_before_those_that_came_after_it() {
    let dir = TempDir::new();
    dir.write("mail.log", LOG);
    let mark = mark(&dir, "mail.log", 80);
    dir.rename("mail.log", "mail.log.2");
    for (number, name) in ["mail.log-20261126", "mail.log.1", "mail.log"].into_iter().enumerate() {
        dir.write(name, format!("another: {number}\n").as_bytes());
        set_modified(&dir, name, FUTURE + number as u64);
    }
    dir.write("mail.logger", b"no rotation's name\n");
    set_modified(&dir, "mail.logger", FUTURE);

    let resumption = resume_in(&dir, "mail.log", vec![mark.clone()]);

    assert_eq!(
        read(&resumption),
        [
            ("mail.log".into(), Standing::Rotated, Start::Resume(mark.position())),
            ("mail.log".into(), Standing::Rotated, Start::Beginning),
            ("mail.log".into(), Standing::Rotated, Start::Beginning),
        ]
    );
    let inodes: Vec<u64> = resumption.files.iter().map(|file| file.identity.inode).collect();
    assert_eq!(inodes[1..], [inode(&dir, "mail.log-20261126"), inode(&dir, "mail.log.1")], "the oldest first");
}

#[test]
fn files_rotated_away_before_the_last_mark_are_not_read_again() {
    let dir = TempDir::new();
    dir.write("mail.log.3", b"old\n");
    set_modified(&dir, "mail.log.3", 1_000);
    dir.write("mail.log", LOG);
    let mark = Mark { noted: 2_000_000_000_000, ..mark(&dir, "mail.log", 80) };
    dir.rename("mail.log", "mail.log.1");
    dir.write("mail.log", b"new\n");

    let resumption = resume_in(&dir, "mail.log", vec![mark]);

    assert_eq!(resumption.files.len(), 1, "{resumption:?}");
}

#[test]
fn a_copy_that_copytruncate_made_is_read_on_and_the_truncated_file_begun() {
    let dir = TempDir::new();
    dir.write("mail.log", LOG);
    let mark = mark(&dir, "mail.log", 80);
    fs::copy(dir.path("mail.log"), dir.path("mail.log.1")).expect("it can be copied");
    dir.write("mail.log", b"new\n");

    let resumption = resume_in(&dir, "mail.log", vec![mark.clone()]);

    assert_eq!(read(&resumption), [("mail.log".into(), Standing::Rotated, Start::Resume(mark.position()))]);
    assert_eq!(resumption.files[0].identity.inode, inode(&dir, "mail.log.1"));
    assert_eq!(resumption.lost, [mark], "the other will be noted anew");
}

#[test]
fn a_rotated_file_that_was_read_and_is_quiet_is_not_opened_again() {
    let dir = TempDir::new();
    dir.write("mail.log", LOG);
    let mark = mark(&dir, "mail.log", LOG.len());
    dir.rename("mail.log", "mail.log.1");
    assert_eq!(resume_in(&dir, "mail.log", vec![mark.clone()]).files.len(), 1, "it may still be written to");
    set_modified(&dir, "mail.log.1", 1_000);

    let resumption = resume_in(&dir, "mail.log", vec![mark.clone()]);

    assert_eq!((read(&resumption), resumption.lost), (vec![], vec![]));
    assert_eq!(resumption.later, [(mark.identity(), Start::Resume(mark.position()))]);
}

#[test]
fn a_file_that_an_editor_replaced_is_read_on() {
    let dir = TempDir::new();
    dir.write("mail.log", LOG);
    let mark = mark(&dir, "mail.log", 80);
    fs::copy(dir.path("mail.log"), dir.path("copy")).expect("it can be copied");
    dir.rename("copy", "mail.log");

    let resumption = resume_in(&dir, "mail.log", vec![mark.clone()]);

    assert_eq!(read(&resumption), [("mail.log".into(), Standing::Current, Start::Resume(mark.position()))]);
}

#[test]
fn a_file_with_other_content_is_not_the_one_that_was_read() {
    let dir = TempDir::new();
    dir.write("mail.log", LOG);
    let mark = mark(&dir, "mail.log", 80);
    dir.write("mail.log", &[b'x'; 200]);

    let resumption = resume_in(&dir, "mail.log", vec![mark.clone()]);

    assert_eq!((read(&resumption), resumption.lost), (vec![], vec![mark]));
}

#[test]
fn a_device_that_has_another_number_after_a_reboot_makes_no_difference() {
    let dir = TempDir::new();
    dir.write("mail.log", LOG);
    let mark = Mark { device: 12_345, ..mark(&dir, "mail.log", 80) };

    let resumption = resume_in(&dir, "mail.log", vec![mark.clone()]);

    assert_eq!(read(&resumption), [("mail.log".into(), Standing::Current, Start::Resume(mark.position()))]);
}

#[test]
fn a_source_that_never_ran_takes_of_the_marks_of_others_what_it_has_itself() {
    let dir = TempDir::new();
    dir.write("mail.log", LOG);
    dir.write("other.log", LOG);
    let marks = vec![mark(&dir, "mail.log", 80), mark(&dir, "other.log", 80)];

    let (resumption, _) = resume(Marks { is_known: false, files: marks }, &mut || found(&dir, "mail.log"), &|| true);

    assert_eq!(read(&resumption).len(), 1);
    assert_eq!((resumption.files[0].path.clone(), resumption.lost), (dir.path("mail.log"), vec![]));
}

#[test]
fn what_was_copied_away_before_any_of_the_marks_was_noted_is_not_read_again() {
    let dir = TempDir::new();
    dir.write("mail.log", LOG);
    dir.write("mail.log.1", &[b'1'; 100]);
    // This one was begun by a start, and the next was copied while its original was read.
    let begun = Mark { noted: 1_000_000_000_000, ..mark(&dir, "mail.log.1", 100) };
    let begun = Mark { path: dir.path("mail.log"), ..begun };
    dir.write("mail.log.2", &[b'2'; 100]);
    set_modified(&dir, "mail.log.2", 2_000);
    let current = Mark { noted: 3_000_000_000_000, ..mark(&dir, "mail.log", 80) };

    for is_truncated in [false, true] {
        if is_truncated {
            dir.rename("mail.log", "mail.log.3");
            dir.write("mail.log", b"new\n");
        }
        let resumption = resume_in(&dir, "mail.log", vec![current.clone(), begun.clone()]);

        let inodes: Vec<u64> = resumption.files.iter().map(|file| file.identity.inode).collect();
        assert!(!inodes.contains(&inode(&dir, "mail.log.2")), "{is_truncated}: {resumption:?}");
    }
}

#[test]
fn what_was_copied_away_before_the_copy_that_is_read_on_is_not_read_again() {
    let dir = TempDir::new();
    dir.write("mail.log", LOG);
    let mark = Mark { noted: 1_000_010_000_000, ..mark(&dir, "mail.log", 80) };
    for (name, secs) in [("mail.log.1", 1_000), ("mail.log.2", 1_001), ("mail.log.3", 1_002)] {
        // The first within a tick of the file system's clock of the mark; the second is a copy of what is marked.
        let content = if name == "mail.log.2" { LOG.to_vec() } else { name.repeat(10).into_bytes() };
        dir.write(name, &content);
        set_modified(&dir, name, secs);
    }
    dir.write("mail.log", b"new\n");

    let resumption = resume_in(&dir, "mail.log", vec![mark]);

    let inodes: Vec<u64> = resumption.files.iter().map(|file| file.identity.inode).collect();
    assert_eq!(inodes, [inode(&dir, "mail.log.2"), inode(&dir, "mail.log.3")]);
}

#[test]
fn a_copy_that_copytruncate_is_making_is_not_read_beside_its_original() {
    let dir = TempDir::new();
    dir.write("mail.log", b"");
    let mark = Mark { noted: Reading::take().wall_ns(), ..mark(&dir, "mail.log", 0) };
    dir.write("mail.log", LOG);
    for copied in [CHECKED_BYTES, LOG.len()] {
        dir.write("mail.log.1", &LOG[..copied]);

        let resumption = resume_in(&dir, "mail.log", vec![mark.clone()]);

        assert_eq!(
            read(&resumption),
            [("mail.log".into(), Standing::Current, Start::Resume(mark.position()))],
            "{copied} bytes"
        );
    }

    dir.write("mail.log", b"new\n");
    let resumption = resume_in(&dir, "mail.log", vec![mark.clone()]);

    assert_eq!(
        read(&resumption),
        [
            ("mail.log".into(), Standing::Rotated, Start::Beginning),
            ("mail.log".into(), Standing::Current, Start::Resume(mark.position())),
        ],
        "once its original is truncated, it is read, and first"
    );
}

/// In seconds since 1970: later than any mark here is noted.
pub(super) const FUTURE: u64 = 4_000_000_000;

pub(super) fn resume_in(dir: &TempDir, name: &str, marks: Vec<Mark>) -> Resumption {
    resume(Marks { is_known: true, files: marks }, &mut || found(dir, name), &|| true).0
}

pub(super) fn found(dir: &TempDir, name: &str) -> Vec<Found> {
    let pattern = PathPattern::parse(dir.text(name)).expect("the pattern is good");
    find(&[pattern], &mut Problems::default()).0
}

/// What is read, by the name of its path.
pub(super) fn read(resumption: &Resumption) -> Vec<(String, Standing, Start)> {
    let name = |path: &Path| path.file_name().expect("it has a name").to_string_lossy().into_owned();
    resumption.files.iter().map(|file| (name(&file.path), file.standing, file.start.clone())).collect()
}

/// A mark of a file that was read up to `offset`, noted in 2065.
pub(super) fn mark(dir: &TempDir, name: &str, offset: usize) -> Mark {
    let bytes = fs::read(dir.path(name)).expect("it is there");
    let before = bytes[offset.saturating_sub(CHECKED_BYTES)..offset].to_vec();
    let position = Position { offset: offset as u64, before, skipping: false };
    let identity = Identity::of(&fs::metadata(dir.path(name)).expect("it is there"));
    Mark { noted: 3_000_000_000_000_000_000, ..Mark::new(&dir.path(name), identity, &position) }
}

pub(super) fn inode(dir: &TempDir, name: &str) -> u64 {
    fs::metadata(dir.path(name)).expect("it is there").ino()
}

pub(super) fn set_modified(dir: &TempDir, name: &str, secs: u64) {
    let time = UNIX_EPOCH + std::time::Duration::from_secs(secs);
    File::options().append(true).open(dir.path(name)).and_then(|file| file.set_modified(time)).expect("it is ours");
}
