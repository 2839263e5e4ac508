//! Tests of following, on a real directory with the kernel's notifications; time is an argument.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};

use blocker_core::engine::LogId;

use super::super::testing::{TempDir, appender};
use super::*;

mod compressed;
mod model;

const NONE: [&str; 0] = [];

#[test]
fn a_file_there_at_the_start_is_read_from_its_end_and_a_later_one_from_its_beginning() {
    let dir = TempDir::new();
    dir.write("a.log", b"old\n");
    let mut subject = Subject::new(&[dir.text("*.log")]);

    dir.append("a.log", b"a1\n");
    dir.write("b.log", b"b1\n");

    let mut lines = subject.settle();
    lines.sort_unstable();
    assert_eq!(lines, ["a1", "b1"]);
}

#[test]
fn what_a_file_holds_when_it_is_found_is_past_and_each_file_is_a_log_of_its_own() {
    let dir = TempDir::new();
    dir.write("a.log", b"old\n");
    let mut subject = Subject::new(&[dir.text("*.log")]);
    dir.append("a.log", b"a1\n");
    dir.write("b.log", b"b1\n");

    let mut first = subject.settle_batches();
    first.sort_unstable_by_key(|(text, ..)| text.clone());
    let [(a1, false, a), (b1, true, b)] = &first[..] else { panic!("live and past: {first:?}") };
    assert_eq!((a1.as_str(), b1.as_str()), ("a1", "b1"));
    assert_ne!(a, b);

    dir.append("b.log", b"b2\n");
    assert_eq!(subject.settle_batches(), [("b2".to_owned(), false, *b)]);

    dir.write("a.log", b"rewritten\n");
    assert_eq!(subject.settle_batches(), [("rewritten".to_owned(), true, *a)]);
}

#[test]
fn says_once_that_it_waits_for_a_file_and_finds_it() {
    let dir = TempDir::new();
    let mut subject = Subject::new(&[dir.text("mail.log")]);
    assert_eq!(subject.state.waiting, [dir.text("mail.log")]);
    assert!(subject.follower.take_state().is_none(), "nothing has changed since");

    dir.write("mail.log", b"one\n");

    assert_eq!(subject.settle(), ["one"]);
    assert_eq!(subject.state.waiting, NONE);
    assert_eq!(subject.state.files[0].path, dir.path("mail.log"));
}

#[test]
fn finds_a_file_whose_directories_appear_later() {
    let dir = TempDir::new();
    let mut subject = Subject::new(&[dir.text("sub/*/mail.log")]);

    fs::create_dir(dir.path("sub")).expect("a directory can be made");
    assert_eq!(subject.settle(), NONE);
    fs::create_dir(dir.path("sub/x")).expect("a directory can be made");
    assert_eq!(subject.settle(), NONE);
    dir.write("sub/x/mail.log", b"one\n");

    assert_eq!(subject.settle(), ["one"]);
}

#[test]
fn a_rotated_file_is_read_to_its_end_before_the_new_one() {
    let dir = TempDir::new();
    let mut writer = appender(&dir.path("mail.log"));
    let mut subject = Subject::new(&[dir.text("mail.log")]);

    put(&mut writer, "old 1\n");
    dir.rename("mail.log", "mail.log.1");
    dir.write("mail.log", b"new 1\n");
    put(&mut writer, "old 2\n");
    assert_eq!(subject.settle(), ["old 1", "old 2", "new 1"]);

    put(&mut writer, "old 3\n");
    assert_eq!(subject.settle(), ["old 3"], "its writer has not been told yet");
    assert_eq!(subject.standings(), [Standing::Rotated, Standing::Current]);
    assert_eq!(subject.state.counters.rotations, 1);
}

#[test]
fn a_rotated_file_is_closed_when_it_is_quiet_and_replaced_not_before() {
    let dir = TempDir::new();
    let mut writer = appender(&dir.path("mail.log"));
    let mut subject = Subject::new(&[dir.text("mail.log")]);
    dir.rename("mail.log", "mail.log.1");
    subject.pass(QUIET_TIME * 2);
    assert_eq!(subject.standings(), [Standing::Rotated], "nothing has replaced it");

    dir.write("mail.log", b"");
    put(&mut writer, "late\n");
    assert_eq!(subject.settle(), ["late"]);
    subject.pass(QUIET_TIME - Duration::from_secs(1));
    assert_eq!(subject.standings(), [Standing::Rotated, Standing::Current], "it is not quiet for long enough");

    put(&mut writer, "last\n");
    assert_eq!(subject.pass(Duration::from_secs(1)), ["last"], "read before it would be closed");
    assert_eq!(subject.standings(), [Standing::Rotated, Standing::Current], "it was not quiet after all");
    subject.pass(QUIET_TIME);
    assert_eq!(subject.standings(), [Standing::Current]);
}

#[test]
fn a_deleted_file_is_read_to_its_end_and_closed_when_it_is_quiet() {
    let dir = TempDir::new();
    let mut writer = appender(&dir.path("mail.log"));
    let mut subject = Subject::new(&[dir.text("mail.log")]);

    put(&mut writer, "one\nunfinished");
    dir.remove("mail.log");
    put(&mut writer, " two\nthr");
    assert_eq!(subject.settle(), ["one", "unfinished two"]);
    subject.pass(QUIET_TIME);

    assert_eq!(subject.standings(), []);
    assert_eq!(subject.state.counters.unfinished_lines, 1);
    assert_eq!(subject.state.waiting, [dir.text("mail.log")]);
}

#[test]
fn a_closed_file_that_comes_back_is_read_from_where_it_was_left() {
    let dir = TempDir::new();
    let mut writer = appender(&dir.path("mail.log"));
    let mut subject = Subject::new(&[dir.text("mail.log")]);
    put(&mut writer, "one\n");
    dir.rename("mail.log", "mail.log.1");
    dir.write("mail.log", b"new\n");
    assert_eq!(subject.settle(), ["one", "new"]);
    subject.pass(QUIET_TIME);
    put(&mut writer, "two\n");

    dir.rename("mail.log.1", "mail.log");

    assert_eq!(subject.settle(), ["two"]);
}

#[test]
fn no_more_rotated_files_are_kept_than_the_bound_and_none_is_lost() {
    let dir = TempDir::new();
    let mut subject = Subject::new(&[dir.text("mail.log")]);
    let rotations = MAX_ROTATED + 3;
    for number in 0..=rotations {
        dir.append("mail.log", format!("first {number}\n").as_bytes());
        assert_eq!(subject.settle(), [format!("first {number}")]);
        dir.append("mail.log", format!("last {number}\n").as_bytes());
        dir.rename("mail.log", &format!("mail.log.{number}"));
        assert_eq!(subject.settle(), [format!("last {number}")]);
    }

    assert_eq!(subject.standings(), [Standing::Rotated; MAX_ROTATED]);
    assert_eq!(subject.state.counters.closed_early, rotations as u64 + 1 - MAX_ROTATED as u64);
}

#[test]
fn a_rotated_file_that_still_matches_is_not_read_twice() {
    let dir = TempDir::new();
    dir.write("mail.log", b"");
    let mut subject = Subject::new(&[dir.text("mail.log*")]);
    dir.append("mail.log", b"one\n");
    assert_eq!(subject.settle(), ["one"]);

    dir.rename("mail.log", "mail.log.1");
    dir.write("mail.log", b"two\n");

    assert_eq!(subject.settle(), ["two"]);
    assert_eq!(subject.pass(QUIET_TIME * 3), NONE);
    assert_eq!(subject.standings(), [Standing::Current, Standing::Current]);
}

#[test]
fn a_file_with_many_names_is_followed_once() {
    let dir = TempDir::new();
    dir.write("a.log", b"");
    fs::hard_link(dir.path("a.log"), dir.path("b.log")).expect("a link can be made");
    symlink(dir.path("a.log"), dir.path("c.log")).expect("a link can be made");
    let mut subject = Subject::new(&[dir.text("*.log"), dir.text("a.log")]);

    dir.append("b.log", b"one\n");

    assert_eq!(subject.settle(), ["one"]);
    dir.remove("a.log");
    dir.append("b.log", b"two\n");
    assert_eq!(subject.settle(), ["two"], "it has another name left");
    assert_eq!(subject.standings(), [Standing::Current]);
}

#[test]
fn a_symbolic_link_is_followed_again_when_it_points_elsewhere() {
    let dir = TempDir::new();
    dir.write("today", b"old\n");
    symlink(dir.path("today"), dir.path("mail.log")).expect("a link can be made");
    let mut subject = Subject::new(&[dir.text("mail.log")]);

    dir.append("today", b"one\n");
    dir.remove("mail.log");
    dir.write("tomorrow", b"two\n");
    symlink(dir.path("tomorrow"), dir.path("mail.log")).expect("a link can be made");

    assert_eq!(subject.settle(), ["one", "two"]);
}

#[test]
fn what_is_no_file_is_told_and_replaced_by_a_file_it_is_followed() {
    let dir = TempDir::new();
    fs::create_dir(dir.path("mail.log")).expect("a directory can be made");
    let mut subject = Subject::new(&[dir.text("mail.log")]);
    assert!(subject.state.problems[0].ends_with("is not a regular file"), "{:?}", subject.state.problems);

    fs::remove_dir(dir.path("mail.log")).expect("the directory is empty");
    dir.write("mail.log", b"one\n");

    assert_eq!(subject.settle(), ["one"]);
    assert_eq!(subject.state.problems, NONE);
}

#[test]
fn a_file_that_may_not_be_read_at_the_start_is_told_and_read_from_there_when_it_may() {
    let dir = TempDir::new();
    dir.write("mail.log", b"old\n");
    fs::set_permissions(dir.path("mail.log"), Permissions::from_mode(0o000)).expect("the file is ours");
    if fs::File::open(dir.path("mail.log")).is_ok() {
        // Whoever runs the tests may read everything.
        return;
    }
    let mut subject = Subject::new(&[dir.text("mail.log")]);
    assert!(subject.state.problems[0].contains("ermission denied"), "{:?}", subject.state.problems);

    fs::set_permissions(dir.path("mail.log"), Permissions::from_mode(0o600)).expect("the file is ours");
    dir.append("mail.log", b"new\n");

    assert_eq!(subject.settle(), ["new"]);
    assert_eq!(subject.state.problems, NONE);
}

#[test]
fn utf16_is_told_and_not_read_and_the_text_in_its_place_is() {
    let dir = TempDir::new();
    dir.write("mail.log", b"\xff\xfeo\0l\0d\0\n\0");
    let mut subject = Subject::new(&[dir.text("mail.log")]);
    let problem = format!("reading {:?}: this is UTF-16: have it written as UTF-8", dir.path("mail.log"));
    assert_eq!(subject.state.problems, [problem]);

    dir.append("mail.log", b"n\0e\0w\0\n\0");
    assert_eq!(subject.settle(), NONE);
    assert_eq!(subject.state.problems.len(), 1);
    dir.write("mail.log", b"one of those that are longer than before\n");

    assert_eq!(subject.settle(), ["one of those that are longer than before"]);
    assert_eq!(subject.state.problems, NONE);
}

#[test]
fn of_more_files_than_the_bound_all_are_followed_that_there_is_room_for_and_the_rest_is_told() {
    let dir = TempDir::new();
    let name = |number: usize| format!("{number:04}.log");
    for number in 0..=MAX_FILES {
        dir.write(&name(number), b"old\n");
    }
    let mut subject = Subject::new(&[dir.text("*.log")]);
    assert_eq!(subject.state.files.len(), MAX_FILES);
    assert_eq!(subject.state.problems, ["1 more files match than the 1024 that are followed at once"]);

    for number in 0..=MAX_FILES {
        dir.append(&name(number), b"new\n");
    }
    assert_eq!(subject.settle().len(), MAX_FILES);
    dir.remove(&name(0));
    subject.settle();
    subject.pass(QUIET_TIME);

    assert_eq!(subject.pass(Duration::from_secs(1)), ["new"], "from where it ended at the start");
    assert_eq!(subject.state.problems, NONE);
}

#[test]
fn without_notifications_everything_is_found_at_the_next_tick() {
    let dir = TempDir::new();
    dir.write("mail.log", b"");
    let mut subject = Subject::with_watch(&[dir.text("mail.log")], Watch::deaf());

    dir.append("mail.log", b"one\n");
    dir.rename("mail.log", "mail.log.1");
    dir.write("mail.log", b"two\n");
    assert_eq!(subject.settle(), NONE);

    assert_eq!(subject.pass(Duration::from_secs(1)), ["one", "two"]);
}

#[test]
fn a_queue_overflow_makes_it_look_at_everything() {
    let dir = TempDir::new();
    dir.write("mail.log", b"");
    let mut subject = Subject::new(&[dir.text("mail.log")]);
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").expect("the limit can be read");
    let limit: usize = limit.trim().parse().expect("the limit is a number");
    for number in 0..limit / 2 + 1 {
        // Two notifications each.
        dir.write(if number % 2 == 0 { "x" } else { "y" }, b"");
        dir.rename(if number % 2 == 0 { "x" } else { "y" }, "z");
    }

    dir.append("mail.log", b"one\n");
    dir.write("mail.log.2", b"");

    assert_eq!(subject.settle(), ["one"]);
    subject.pass(Duration::from_secs(1));
    assert!(subject.state.counters.queue_overflows > 0);
}

#[test]
fn a_busy_file_does_not_hide_a_quiet_one() {
    let dir = TempDir::new();
    dir.write("a.log", b"");
    dir.write("b.log", b"");
    let mut subject = Subject::new(&[dir.text("*.log")]);
    dir.append("a.log", &b"busy\n".repeat(100_000));
    dir.append("b.log", b"quiet\n");
    subject.look();

    let batches: Vec<_> = std::iter::from_fn(|| subject.follower.read(subject.now)).take(2).collect();

    assert!(batches.iter().any(|batch| batch.lines().any(|line| line == b"quiet")));
}

/// A follower, a clock, and what it told last.
struct Subject {
    follower: Follower,
    now: Instant,
    state: SourceState,
    /// The lines that were past.
    past: HashSet<String>,
    /// As the daemon keeps them.
    marks: Vec<Mark>,
}

impl Subject {
    fn new(patterns: &[String]) -> Self {
        Self::with_watch(patterns, Watch::new())
    }

    fn with_watch(patterns: &[String], watch: Watch) -> Self {
        let mut subject = Self::begin(patterns, Marks::default(), watch);
        assert_eq!(subject.settle(), NONE, "what was there is not read");
        subject
    }

    /// One that goes on where another has been killed, whose marks these are.
    fn going_on(patterns: &[String], marks: Vec<Mark>, watch: Watch) -> Self {
        Self::begin(patterns, Marks { is_known: true, files: marks }, watch)
    }

    fn begin(patterns: &[String], marks: Marks, watch: Watch) -> Self {
        let patterns = patterns.iter().map(|text| PathPattern::parse(text.clone()).expect("the pattern is good"));
        let follower = Follower::new(SourceId::new(0), patterns.collect(), marks.clone(), watch, 8192);
        let mut subject = Self {
            follower,
            now: Instant::now(),
            state: SourceState::default(),
            past: HashSet::new(),
            marks: marks.files,
        };
        while subject.follower.scan(subject.now) {}
        subject
    }

    /// Reads one piece, as the source does: what is gone, where files begin, and lines.
    fn read(&mut self) -> Option<Batch> {
        for lost in self.follower.take_lost().into_iter().flatten() {
            self.marks.retain(|mark| (mark.device, mark.inode) != (lost.device, lost.inode));
        }
        let batch = self.follower.take_begun().or_else(|| self.follower.read(self.now))?;
        if let Some(mark) = batch.mark() {
            let known = self.marks.iter_mut().find(|known| (known.device, known.inode) == (mark.device, mark.inode));
            match known {
                Some(known) => *known = mark.clone(),
                None => self.marks.push(mark.clone()),
            }
        }
        Some(batch)
    }

    /// Does what the notifications ask for, and reads everything. Returns the lines.
    fn settle(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let is_quiet = self.look();
            while let Some(batch) = self.read() {
                let read: Vec<_> = batch.lines().map(|line| String::from_utf8_lossy(line).into_owned()).collect();
                if batch.is_past() {
                    self.past.extend(read.iter().cloned());
                }
                lines.extend(read);
            }
            if let Some(state) = self.follower.take_state() {
                self.state = state;
            }
            if is_quiet {
                return lines;
            }
        }
    }

    /// The same: each line, whether it is past, and its log.
    fn settle_batches(&mut self) -> Vec<(String, bool, LogId)> {
        let mut lines = Vec::new();
        while !self.look() {
            while let Some(batch) = self.read() {
                let text = |line| String::from_utf8_lossy(line).into_owned();
                lines.extend(batch.lines().map(|line| (text(line), batch.is_past(), batch.log())));
            }
        }
        lines
    }

    /// Takes notifications and looks for files if they ask for it. Returns whether there were none.
    fn look(&mut self) -> bool {
        let noticed = self.follower.notice().expect("inotify works");
        if noticed.is_scan_needed {
            while self.follower.scan(self.now) {}
        }
        noticed.is_empty
    }

    /// Lets time pass, with a tick at its end.
    fn pass(&mut self, time: Duration) -> Vec<String> {
        self.now += time;
        self.follower.tick(self.now);
        while self.follower.scan(self.now) {}
        self.settle()
    }

    fn standings(&self) -> Vec<Standing> {
        self.state.files.iter().map(|file| file.standing).collect()
    }
}

fn put(writer: &mut fs::File, text: &str) {
    io::Write::write_all(writer, text.as_bytes()).expect("the file can be written");
}
