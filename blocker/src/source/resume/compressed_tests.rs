//! Tests on files that the formats' own programs have compressed: a reader is killed, its files are rotated and compressed.

use std::fs;

use super::super::packed::tests::{PACKERS, pack};
use super::super::tail::CHECKED_BYTES;
use super::super::testing::TempDir;
use super::tests::{FUTURE, LOG, inode, mark, read, resume_in, set_modified};
use super::*;

#[test]
fn a_file_that_was_compressed_is_read_on_before_those_that_came_after_it_in_each_format() {
    for (packer, end) in PACKERS {
        let dir = TempDir::new();
        dir.write("mail.log", LOG);
        let mark = mark(&dir, "mail.log", 80);
        dir.rename("mail.log", "mail.log.3");
        for (number, name) in ["mail.log.3", "mail.log.2", "mail.log.1", "mail.log"].into_iter().enumerate() {
            if number > 0 {
                dir.write(name, format!("another: {number}\n").as_bytes());
            }
            set_modified(&dir, name, FUTURE + number as u64);
        }
        for name in ["mail.log.3", "mail.log.2"] {
            pack(&dir, name, packer);
        }

        let resumption = resume_in(&dir, "mail.log", vec![mark.clone()]);

        let inodes: Vec<u64> = resumption.files.iter().map(|file| file.identity.inode).collect();
        let names = [format!("mail.log.3{end}"), format!("mail.log.2{end}"), "mail.log.1".to_owned()];
        assert_eq!(inodes, names.map(|name| inode(&dir, &name)), "{packer}: the oldest first");
        assert_eq!(resumption.files[0].start, Start::Resume(mark.position()));
        assert_eq!(resumption.files[1].start, Start::Beginning);
        assert!(resumption.files.iter().take(2).all(|file| file.packed.is_some()));
        assert_eq!(resumption.lost, [mark], "it has another inode now");
    }
}

#[test]
fn a_file_that_was_read_whole_and_then_compressed_is_not_read_again_nor_by_the_run_after() {
    let dir = TempDir::new();
    dir.write("mail.log", LOG);
    let whole = mark(&dir, "mail.log", LOG.len());
    dir.rename("mail.log", "mail.log.2");
    pack(&dir, "mail.log.2", "gzip");
    // As of a tool that does not keep the time of the last write.
    set_modified(&dir, "mail.log.2.gz", FUTURE);
    dir.write("mail.log", &[b'n'; 100]);
    let current = mark(&dir, "mail.log", 100);

    let resumption = resume_in(&dir, "mail.log", vec![whole.clone(), current.clone()]);

    assert_eq!(read(&resumption), [("mail.log".into(), Standing::Current, Start::Resume(current.position()))]);
    assert_eq!((resumption.lost, resumption.read.len()), (vec![whole], 1));
    let told = Mark { noted: current.noted, ..resumption.read[0].clone() };
    assert_eq!(told.inode, inode(&dir, "mail.log.2.gz"));

    // The log is rotated once more, so that what nobody knows is looked for.
    dir.rename("mail.log", "mail.log.1");
    dir.rename("mail.log.2.gz", "mail.log.3.gz");
    dir.write("mail.log", b"new\n");
    let resumption = resume_in(&dir, "mail.log", vec![told.clone(), current]);

    assert_eq!(resumption.files.len(), 1, "{:?}", resumption.files);
    assert_eq!(resumption.files[0].identity.inode, inode(&dir, "mail.log.1"));
    assert_eq!((resumption.lost, resumption.read), (vec![], vec![]), "{told:?} is as it was");
}

#[test]
fn a_file_of_which_nothing_was_read_is_known_by_its_first_bytes() {
    let dir = TempDir::new();
    dir.write("mail.log.1", LOG);
    let nothing = mark(&dir, "mail.log.1", 0);
    let nothing = Mark { path: dir.path("mail.log"), before: LOG[..CHECKED_BYTES].to_vec(), ..nothing };
    // Noted later than it was written to.
    set_modified(&dir, "mail.log.1", 2_999_999_990);
    pack(&dir, "mail.log.1", "xz");
    dir.write("mail.log.2", &[b'o'; 100]);
    set_modified(&dir, "mail.log.2", 2_999_999_980);
    pack(&dir, "mail.log.2", "xz");
    dir.write("mail.log", &[b'n'; 100]);
    let current = mark(&dir, "mail.log", 100);

    let resumption = resume_in(&dir, "mail.log", vec![nothing.clone(), current]);

    assert_eq!(resumption.files.len(), 2, "{:?}", resumption.files);
    assert_eq!(resumption.files[0].identity.inode, inode(&dir, "mail.log.1.xz"));
    assert_eq!(resumption.files[0].start, Start::Resume(Position::default()));
    assert_eq!(resumption.lost, [nothing]);
}

#[test]
fn what_is_being_compressed_is_read_as_it_is_and_not_beside() {
    let dir = TempDir::new();
    dir.write("mail.log", LOG);
    let mark = mark(&dir, "mail.log", 80);
    dir.rename("mail.log", "mail.log.1");
    dir.write("mail.log.0", LOG);
    pack(&dir, "mail.log.0", "gzip");
    dir.rename("mail.log.0.gz", "mail.log.1.gz");
    set_modified(&dir, "mail.log.1.gz", FUTURE);
    dir.write("mail.log", b"new\n");

    let resumption = resume_in(&dir, "mail.log", vec![mark]);

    let inodes: Vec<u64> = resumption.files.iter().map(|file| file.identity.inode).collect();
    assert_eq!(inodes, [inode(&dir, "mail.log.1")]);
}

#[test]
fn a_copy_that_was_compressed_is_read_on_and_then_what_was_truncated() {
    let dir = TempDir::new();
    dir.write("mail.log", LOG);
    let mark = mark(&dir, "mail.log", 80);
    dir.write("mail.log.1", LOG);
    set_modified(&dir, "mail.log.1", 3_000_000_000);
    pack(&dir, "mail.log.1", "bzip2");
    dir.write("mail.log", b"new\n");

    let resumption = resume_in(&dir, "mail.log", vec![mark.clone()]);

    assert_eq!(read(&resumption), [("mail.log".into(), Standing::Rotated, Start::Resume(mark.position()))]);
    assert_eq!(resumption.lost, [mark]);
}

#[test]
fn files_in_forms_that_are_not_read_and_broken_ones_are_left_out() {
    let dir = TempDir::new();
    dir.write("mail.log", LOG);
    let mark = mark(&dir, "mail.log", 80);
    for name in ["mail.log.1.lz4", "mail.log.2.gz", "mail.log.3.zst"] {
        dir.write(name, b"no compressed file");
        set_modified(&dir, name, 2_999_999_990);
    }
    dir.write("mail.log", b"new\n");

    let resumption = resume_in(&dir, "mail.log", vec![mark.clone()]);

    assert_eq!((resumption.files.len(), resumption.lost), (0, vec![mark]));
}

#[test]
fn nobody_waits_for_a_search_that_is_not_wanted() {
    let dir = TempDir::new();
    dir.write("mail.log", LOG);
    let mark = mark(&dir, "mail.log", 80);
    dir.rename("mail.log", "mail.log.1");
    pack(&dir, "mail.log.1", "zstd");

    let resumption = resume(Marks { is_known: true, files: vec![mark] }, &mut Vec::new, &|| false).0;

    assert_eq!(resumption.lost.len(), 1);
}

/// Though marks of other files were noted since, and another file may have its inode.
#[test]
fn a_file_that_was_empty_when_it_was_found_is_read_when_it_is_compressed() {
    for has_current in [false, true] {
        let dir = TempDir::new();
        let text = b"one that was read whole, and is known by what is in it: that is long enough\n";
        dir.write("mail.log.2", text);
        dir.write("mail.log", b"");
        let noted = Reading::take().wall_ns();
        let read_mark = Mark { path: dir.path("mail.log"), noted, ..mark(&dir, "mail.log.2", text.len()) };
        let empty = Mark { noted, ..mark(&dir, "mail.log", 0) };
        pack(&dir, "mail.log.2", "gzip");
        dir.write("mail.log", b"a line that came before the other mark was noted\n");
        dir.rename("mail.log", "mail.log.1");
        pack(&dir, "mail.log.1", "xz");
        // The clock of a file system goes in ticks.
        let is_later = || {
            dir.write("mail.log", LOG);
            let metadata = fs::metadata(dir.path("mail.log")).expect("it is there");
            born(&metadata).is_none_or(|born| born > noted)
        };
        while !is_later() {
            dir.remove("mail.log");
        }
        let current = Mark { noted: noted + 60_000_000_000, ..mark(&dir, "mail.log", 80) };
        let marks = [Some(read_mark), Some(empty.clone()), has_current.then_some(current)];

        let resumption = resume_in(&dir, "mail.log", marks.into_iter().flatten().collect());

        let first = &resumption.files[0];
        assert_eq!(first.identity.inode, inode(&dir, "mail.log.1.xz"));
        assert_eq!((first.standing, &first.start), (Standing::Rotated, &Start::Beginning));
        assert_eq!(resumption.files.len(), 1 + usize::from(has_current), "{resumption:?}");
        assert!(resumption.lost.contains(&empty));
    }
}
