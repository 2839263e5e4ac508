//! Tests of what comes while it is looked for where an earlier run left off: each look but the first finds that something
//! has happened since.

use super::super::packed::tests::pack;
use super::super::testing::TempDir;
use super::tests::{FUTURE, LOG, found, inode, mark, read, resume_in, set_modified};
use super::*;

#[test]
fn what_comes_and_is_rotated_away_during_the_search_is_read_in_turn() {
    let dir = TempDir::new();
    dir.write("mail.log", LOG);
    let mark = mark(&dir, "mail.log", 80);

    let (resumption, found) = resume_during(&dir, &mark, |look| {
        if look < 3 {
            rotate(&dir, &format!("mail.log.{look}"));
        }
    });

    assert_eq!(
        read(&resumption),
        [
            ("mail.log".into(), Standing::Rotated, Start::Resume(mark.position())),
            ("mail.log".into(), Standing::Rotated, Start::Beginning),
        ]
    );
    assert_eq!(inodes(&resumption), [inode(&dir, "mail.log.1"), inode(&dir, "mail.log.2")]);
    assert_eq!(found[0].identity.inode, inode(&dir, "mail.log"), "the scan goes on with what was found last");
}

#[test]
fn what_had_the_path_at_first_and_nobody_knew_is_read_however_long_nothing_was_written_to_it() {
    let dir = TempDir::new();
    dir.write("mail.log", LOG);
    let mark = Mark { noted: 3_000_000_000_000_000_000, ..mark(&dir, "mail.log", 80) };
    dir.rename("mail.log", "mail.log.1");
    dir.write("mail.log", b"nobody knows it\n");
    set_modified(&dir, "mail.log", 1_000);

    let (resumption, _) = resume_during(&dir, &mark, |look| {
        if look == 1 {
            rotate(&dir, "mail.log.0");
        }
    });

    assert_eq!(inodes(&resumption), [inode(&dir, "mail.log.1"), inode(&dir, "mail.log.0")]);
}

#[test]
fn what_is_compressed_during_the_search_is_read_once() {
    let dir = TempDir::new();
    dir.write("mail.log", LOG);
    let mark = mark(&dir, "mail.log", 80);

    let (resumption, _) = resume_during(&dir, &mark, |look| {
        if look == 1 {
            // The one that is open, and one that is not.
            rotate(&dir, "mail.log.2");
            rotate(&dir, "mail.log.1");
            pack(&dir, "mail.log.2", "gzip");
            pack(&dir, "mail.log.1", "zstd");
        }
    });

    assert_eq!(
        read(&resumption),
        [
            ("mail.log".into(), Standing::Rotated, Start::Resume(mark.position())),
            ("mail.log".into(), Standing::Rotated, Start::Beginning),
        ]
    );
    assert_eq!(resumption.files[0].identity, mark.identity(), "it is open, and was deleted since");
    assert_eq!(resumption.files[1].identity.inode, inode(&dir, "mail.log.1.zst"));
    assert_eq!(resumption.lost, []);
}

#[test]
fn where_nothing_happens_during_the_search_old_files_stay_unread() {
    let dir = TempDir::new();
    dir.write("mail.log", LOG);
    let mark = mark(&dir, "mail.log", 80);
    dir.write("mail.log.1", b"written to after the mark was noted, as by a tool that touches it\n");
    set_modified(&dir, "mail.log.1", FUTURE);

    let resumption = resume_in(&dir, "mail.log", vec![mark.clone()]);

    assert_eq!(read(&resumption), [("mail.log".into(), Standing::Current, Start::Resume(mark.position()))]);
}

/// Resumes, and has something happen before each look but the first.
fn resume_during(dir: &TempDir, mark: &Mark, mut happen: impl FnMut(usize)) -> (Resumption, Vec<Found>) {
    let mut looks = 0;
    let mut look = || {
        if looks > 0 {
            happen(looks);
        }
        looks += 1;
        found(dir, "mail.log")
    };
    resume(Marks { is_known: true, files: vec![mark.clone()] }, &mut look, &|| true)
}

/// Renames the log and begins another, no two alike and each written to later than the one before.
fn rotate(dir: &TempDir, name: &str) {
    dir.rename("mail.log", name);
    dir.write("mail.log", format!("what came after {name} was rotated away\n").as_bytes());
    set_modified(dir, "mail.log", FUTURE + u64::from(dir.path("mail.log.2").exists()));
}

fn inodes(resumption: &Resumption) -> Vec<u64> {
    resumption.files.iter().map(|file| file.identity.inode).collect()
}
