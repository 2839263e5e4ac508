//! Random schedules of what happens to log files, against a model of which lines must be seen, and which of them as past.

use std::cell::Cell;
use std::fs::File;
use std::time::Instant;

use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};

use super::*;

/// What happens next.
#[derive(Debug, Clone)]
enum Action {
    /// A part of a line of this many tags is written.
    Write(usize),
    /// The line is finished.
    Finish,
    /// A line is written by whoever has not been told of the last rotation.
    WriteToOld,
    /// Rename and create.
    Rotate,
    /// Everything is read, then the file is emptied in place and this many lines are written before anybody looks.
    CopyTruncate(usize),
    /// Delete and create.
    Recreate,
    /// The reader has its turn.
    Read,
    /// The reader has its turn without a notification, a second later.
    Tick,
    /// Nothing happens until old files are closed.
    Rest,
    /// How far the reader is, and what it has seen, is written down.
    Save,
    /// The reader is killed: what it has seen since it was written down is forgotten. Another goes on at its next turn.
    Kill,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => (1_usize..40).prop_map(Action::Write),
        6 => Just(Action::Finish),
        2 => Just(Action::WriteToOld),
        2 => Just(Action::Rotate),
        1 => (0_usize..30).prop_map(Action::CopyTruncate),
        1 => Just(Action::Recreate),
        4 => Just(Action::Read),
        1 => Just(Action::Tick),
        1 => Just(Action::Rest),
        2 => Just(Action::Save),
        2 => Just(Action::Kill),
    ]
}

/// Schedules that are tried if there is time, and in any case.
const CASES: u32 = 2000;
const LEAST: u32 = 400;

/// The time that there is for what goes beyond the least.
const TIME: Duration = Duration::from_secs(60);

#[test]
fn every_line_is_seen_once_and_in_order() {
    let config = ProptestConfig {
        cases: CASES,
        rng_seed: RngSeed::Fixed(0x000b_10c4),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    // Most without notifications, since the kernel takes 10 ms to close an inotify instance.
    let schedule = (proptest::collection::vec(action(), 1..60), any::<bool>(), prop::bool::weighted(0.8));
    let (begin, tried) = (Instant::now(), Cell::new(0));

    let outcome = TestRunner::new(config).run(&schedule, |(actions, is_glob, is_deaf)| {
        if tried.get() >= LEAST && begin.elapsed() > TIME {
            return Ok(());
        }
        tried.set(tried.get() + 1);
        let mut model = Model::new(is_glob, is_deaf);
        for action in &actions {
            model.act(action);
            prop_assert!(model.is_right(), "after {action:?}: {:#?}", model.files);
        }
        model.read();
        prop_assert!(model.is_right(), "at the end: {:#?}", model.files);
        Ok(())
    });

    outcome.unwrap_or_else(|failure| panic!("{failure}"));
    assert!(tried.get() >= LEAST, "{} schedules were tried", tried.get());
}

/// A file that was ever written.
#[derive(Debug, Default)]
struct Written {
    /// The lines that were finished and must be seen, then those that were.
    expected: Vec<String>,
    seen: Vec<String>,
    partial: String,
    /// Whether the reader had its turn since the file was made.
    is_found: bool,
    /// The lines that were finished before the reader had its turn since the file was made or emptied.
    past: Vec<String>,
    /// Whether it was emptied, and the reader had no turn since.
    is_emptied: bool,
    is_deleted: bool,
    /// How many of the seen lines were written down.
    saved: usize,
    /// How many lines were expected when it was last emptied.
    emptied: usize,
}

impl Written {
    fn finish(&mut self) {
        let line = std::mem::take(&mut self.partial);
        if line.is_empty() {
            return;
        }
        if !self.is_found || self.is_emptied {
            self.past.push(line.clone());
        }
        self.expected.push(line);
    }
}

struct Model {
    dir: TempDir,
    patterns: [String; 1],
    /// `None` while it is dead.
    subject: Option<Subject>,
    /// Where the next one goes on.
    marks: Vec<Mark>,
    /// The lines that a reader took for past, and did not forget.
    told_past: HashSet<String>,
    /// Whether the reader learns of changes at ticks alone.
    is_deaf: bool,
    files: Vec<Written>,
    writer: File,
    /// The number and the writer of the file before, until it is told.
    old: Option<(usize, File)>,
    tags: usize,
}

impl Model {
    fn new(is_glob: bool, is_deaf: bool) -> Self {
        let dir = TempDir::new();
        let writer = appender(&dir.path("log"));
        let patterns = [dir.text(if is_glob { "log*" } else { "log" })];
        let subject = Subject::with_watch(&patterns, if is_deaf { Watch::deaf() } else { Watch::new() });
        let files = vec![Written { is_found: true, ..Written::default() }];
        let marks = subject.marks.clone();
        Self {
            dir,
            patterns,
            subject: Some(subject),
            marks,
            told_past: HashSet::new(),
            is_deaf,
            files,
            writer,
            old: None,
            tags: 0,
        }
    }

    fn subject(&mut self) -> &mut Subject {
        let watch = || if self.is_deaf { Watch::deaf() } else { Watch::new() };
        self.subject.get_or_insert_with(|| Subject::going_on(&self.patterns, self.marks.clone(), watch()))
    }

    fn save(&mut self) {
        let Some(subject) = &self.subject else { return };
        self.marks = subject.marks.clone();
        for file in &mut self.files {
            file.saved = file.seen.len();
        }
    }

    fn kill(&mut self) {
        if self.subject.take().is_none() {
            return;
        }
        if self.old.as_ref().is_some_and(|(number, _)| self.files[*number].is_deleted) {
            self.old = None;
        }
        for file in &mut self.files {
            for forgotten in file.seen.drain(file.saved..) {
                self.told_past.remove(&forgotten);
            }
            // Another reader finds it as it is.
            let unread = file.expected.iter().skip(file.saved).filter(|line| !file.past.contains(line));
            let unread: Vec<_> = unread.cloned().collect();
            file.past.extend(unread);
            // What was emptied away can be read no more.
            let lost = file.saved..file.emptied.max(file.saved);
            file.expected.drain(lost);
            file.emptied = file.saved;
            if file.is_deleted {
                file.expected.truncate(file.saved);
            }
            file.is_found = false;
        }
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::Write(tags) => self.write(*tags),
            Action::Finish => self.finish(),
            Action::WriteToOld => {
                if let Some((number, mut writer)) = self.old.take() {
                    let tag = self.tag(number);
                    put(&mut writer, &format!("{tag}\n"));
                    let file = &mut self.files[number];
                    file.partial.push_str(&tag);
                    file.finish();
                    self.old = Some((number, writer));
                }
            }
            Action::Rotate => {
                let number = self.files.len() - 1;
                self.dir.rename("log", &format!("log.{number}"));
                // Whether it was found before or not: the names of rotations are looked for, too.
                self.replace(true);
            }
            Action::CopyTruncate(lines) => {
                self.read();
                let content = fs::read(self.dir.path("log")).expect("the file is there");
                if content.iter().all(|byte| *byte == b'\n') {
                    // Or nobody could tell: what is written next may begin with the same bytes.
                    self.write(1);
                    self.finish();
                    self.read();
                }
                self.writer.set_len(0).expect("the file is open");
                let current = self.current();
                current.partial.clear();
                current.is_emptied = true;
                current.emptied = current.expected.len();
                for _ in 0..*lines {
                    self.write(1);
                    self.finish();
                }
            }
            Action::Recreate => {
                self.dir.remove("log");
                let is_open = self.current().is_found && self.subject.is_some();
                let current = self.current();
                current.is_deleted = true;
                if !is_open {
                    // Nobody can read a file that came and was deleted between two looks.
                    current.expected.truncate(current.seen.len());
                }
                self.replace(is_open);
            }
            Action::Read => self.read(),
            Action::Tick => {
                let lines = self.subject().pass(Duration::from_secs(1));
                self.note(lines);
            }
            Action::Rest => {
                self.read();
                self.old = None;
                for time in [QUIET_TIME, Duration::from_secs(1)] {
                    let lines = self.subject().pass(time);
                    self.note(lines);
                }
            }
            Action::Save => self.save(),
            Action::Kill => self.kill(),
        }
    }

    fn read(&mut self) {
        let is_deaf = self.is_deaf;
        let subject = self.subject();
        let lines = if is_deaf { subject.pass(Duration::ZERO) } else { subject.settle() };
        self.note(lines);
        for file in &self.files {
            assert_eq!(file.seen.len(), file.expected.len(), "the reader is behind: {file:?}");
        }
    }

    fn note(&mut self, lines: Vec<String>) {
        if let Some(subject) = &mut self.subject {
            self.told_past.extend(subject.past.drain());
        }
        for line in lines {
            let (number, _) = line.split_once(':').expect("a line begins with the number of its file");
            let number: usize = number.parse().expect("a line begins with the number of its file");
            self.files[number].seen.push(line);
        }
        for file in &mut self.files {
            file.is_found = true;
            file.is_emptied = false;
        }
    }

    fn is_right(&self) -> bool {
        let is_judged_right = |file: &Written, line: &String| self.told_past.contains(line) == file.past.contains(line);
        self.files.iter().all(|file| {
            file.expected.starts_with(&file.seen) && file.seen.iter().all(|line| is_judged_right(file, line))
        })
    }

    /// Another file takes the place of the current one, to which somebody goes on writing if it `can_be_read`.
    fn replace(&mut self, can_be_read: bool) {
        let old = std::mem::replace(&mut self.writer, appender(&self.dir.path("log")));
        self.old = can_be_read.then_some((self.files.len() - 1, old));
        self.files.push(Written::default());
    }

    fn write(&mut self, tags: usize) {
        let text: String = (0..tags).map(|_| self.tag(self.files.len() - 1)).collect();
        put(&mut self.writer, &text);
        self.current().partial.push_str(&text);
    }

    fn finish(&mut self) {
        put(&mut self.writer, "\n");
        self.current().finish();
    }

    /// Text that is written once only, and tells its file.
    fn tag(&mut self, number: usize) -> String {
        self.tags += 1;
        format!("{number}:{:06},", self.tags)
    }

    fn current(&mut self) -> &mut Written {
        self.files.last_mut().expect("there is always a file")
    }
}
