//! Which files are followed, and until when.
//!
//! A [`Follower`] owns all that a file source has: the patterns, the watch, the open files and what was counted. It is
//! synchronous and given the time; `file` waits on its behalf.
//!
//! # The life of a file
//!
//! ```text
//!                 found at the first start: read from its end
//!                 read by an earlier run: read on (`resume`)
//!                 found later: read from its beginning
//!   not known ────────────────────────────────────────────▶ current ◀─┐
//!       ▲                                                      │      │ the path leads
//!       │ quiet for QUIET_TIME, and deleted                    │      │ to it again
//!       │   or another file at its path;                       ▼      │
//!       └── or more than MAX_ROTATED of them ◀───────────── rotated ──┘
//!           (after a last read)           its path leads nowhere or elsewhere
//! ```
//!
//! A file is one device and inode, followed once however many paths lead to it. While its descriptor is held no other file
//! can have its inode. What is closed and may come back is remembered with its position.
//!
//! A rotated file is read to its end before the file that took its path. It is kept because its writers go on writing to it
//! until they are told to open the new one.

mod followed;
mod missed;
mod runs;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use blocker_core::engine::SourceId;
use nix::errno::Errno;
use tokio::sync::mpsc::Sender;
use tracing::{debug, info, warn};

use super::family::open;
use super::find::{Found, find, leads_elsewhere};
use super::pattern::PathPattern;
use super::problems::Problems;
use super::reader::Reader;
use super::remembered::Remembered;

use super::tail::{Buffer, Identity, Start};
use super::watch::Watch;
use super::{Batch, FollowedFile, Mark, Marks, SourceCounters, SourceEvent, SourceState, Standing};
use crate::clock::Reading;
use followed::{Closing, Followed};

/// Most files one source follows at once; more that match are told and counted as a problem. Each takes a descriptor, some
/// 500 bytes, and up to twice the longest line while a line in it is unfinished: 16 MiB in all at the default of 8 KiB.
const MAX_FILES: usize = 1024;

/// Most rotated files kept open by one source. Beyond that the one followed longest is read to its end and closed.
const MAX_ROTATED: usize = 8;

/// How long nobody must have written to a rotated file before it is closed. Writers are told to reopen their logs within
/// seconds of the rotation.
pub(super) const QUIET_TIME: Duration = Duration::from_secs(60);

/// The files of one source.
#[derive(Debug)]
pub(super) struct Follower {
    source: SourceId,
    patterns: Vec<PathPattern>,
    watch: Watch,
    max_line_bytes: usize,
    /// The open files, in the order in which they were found.
    followed: Vec<Followed>,
    /// Where to begin in files that are not open: closed ones, and those that were there at the start and could not be
    /// opened.
    remembered: Remembered,
    /// Where an earlier run left off, until the first scan.
    marks: Marks,
    /// Whether there was an earlier run: what it has not read is to be read.
    is_known: bool,
    /// Marks whose files are gone, not yet told.
    lost: Vec<Mark>,
    /// Marks of files that were read and then deleted: there may be something of them that was compressed, for the next run to
    /// know. The oldest in front.
    gone: VecDeque<Mark>,
    /// Compressed files that have been read whole, not yet told: batches without lines.
    read: VecDeque<Batch>,
    /// Who waits for what is found, until the first scan: looking for where an earlier run left off may take its time.
    receiver: Option<Sender<SourceEvent>>,
    /// Whether the files that are found were there when the source began.
    is_first_scan: bool,
    /// When the last scan began: wall time, in nanoseconds.
    scanned_at: i64,
    /// Where in `followed` to look first for something to read, so that a busy file does not hide the others.
    next: usize,
    buffer: Buffer,
    counters: SourceCounters,
    waiting: Vec<String>,
    /// What hindered the last scan.
    problems: Problems,
    /// Whether there is a state to tell.
    is_state_new: bool,
    /// What was last told of the counters.
    told: SourceCounters,
}

impl Follower {
    /// Follows nothing yet, and will begin where `marks` say that an earlier run left off.
    pub(super) fn new(
        source: SourceId,
        patterns: Vec<PathPattern>,
        marks: Marks,
        watch: Watch,
        max_line_bytes: usize,
    ) -> Self {
        Self {
            is_known: marks.is_known,
            marks,
            lost: Vec::new(),
            gone: VecDeque::new(),
            read: VecDeque::new(),
            receiver: None,
            source,
            patterns,
            watch,
            max_line_bytes,
            followed: Vec::new(),
            remembered: Remembered::default(),
            is_first_scan: true,
            scanned_at: 0,
            next: 0,
            buffer: Buffer::new(),
            counters: SourceCounters::default(),
            waiting: Vec::new(),
            problems: Problems::default(),
            is_state_new: true,
            told: SourceCounters::default(),
        }
    }

    /// Has the first scan end early when nobody receives any more.
    pub(super) fn set_receiver(&mut self, receiver: Sender<SourceEvent>) {
        self.receiver = Some(receiver);
    }

    /// A descriptor that is readable when [`notice`](Self::notice) has something to do, if there is one.
    pub(super) fn descriptor(&self) -> io::Result<Option<OwnedFd>> {
        self.watch.descriptor()
    }

    /// Takes the notifications that are there. Returns whether there were any; an error if there never will be.
    pub(super) fn notice(&mut self) -> io::Result<Noticed> {
        let noticed = self.watch.notice()?;
        if noticed.is_overflown {
            self.counters.queue_overflows += 1;
            self.look_at_all();
        }
        for followed in &mut self.followed {
            followed.is_dirty |= noticed.files.contains(&followed.tail.identity());
        }
        Ok(Noticed { is_scan_needed: noticed.is_scan_needed || noticed.is_overflown, is_empty: noticed.is_empty })
    }

    /// Looks at every file, whether it is said to have changed or not, and closes those that are done with. To be called
    /// every second, before a [`scan`](Self::scan).
    pub(super) fn tick(&mut self, now: Instant) {
        self.look_at_all();
        let taken: HashSet<PathBuf> = self.current().map(|followed| followed.path.clone()).collect();
        for followed in &mut self.followed {
            let is_quiet = now.saturating_duration_since(followed.active_at) >= QUIET_TIME;
            if followed.standing == Standing::Rotated && is_quiet && followed.closing.is_none() {
                let is_deleted = followed.tail.is_deleted().unwrap_or(false);
                if is_deleted || taken.contains(&followed.path) {
                    followed.closing = Some(Closing::Quiet);
                }
            }
        }
        self.is_state_new |= self.told != self.counters;
    }

    /// Looks for files: begins to follow new ones, and notes whose path leads elsewhere. Returns whether to look again
    /// soon, because something may have been missed.
    pub(super) fn scan(&mut self, now: Instant) -> bool {
        let mut problems = Problems::default();
        if let Some(problem) = self.watch.problem() {
            problems.add(problem.to_owned());
        }
        let directories: BTreeSet<_> = self.patterns.iter().flat_map(PathPattern::directories).collect();
        let mut is_again_needed = self.watch.set_directories(directories, &mut problems);
        self.scanned_at = Reading::take().wall_ns();
        let (found, waiting) =
            if self.is_first_scan { self.resume(now, &mut problems) } else { find(&self.patterns, &mut problems) };
        let known_paths: HashSet<PathBuf> = self.followed.iter().map(|followed| followed.path.clone()).collect();
        self.update_standings(&found, now);
        let known: HashSet<Identity> = self.followed.iter().map(|followed| followed.tail.identity()).collect();
        let mut left_out = 0_usize;
        for file in found.iter().filter(|file| !known.contains(&file.identity)) {
            let room = self.followed.len() < MAX_FILES;
            let is_rotation = known_paths.contains(&file.path);
            if is_rotation {
                self.open_missed(&file.path, &found, now);
            }
            match self.open(file, room, now) {
                Ok(true) => self.counters.rotations += u64::from(is_rotation),
                Ok(false) => left_out += usize::from(!room),
                // It was rotated away since it was found.
                Err(error) if error.kind() == io::ErrorKind::NotFound => is_again_needed = true,
                Err(error) => problems.add(format!("opening {:?}: {error}", file.path)),
            }
        }
        if left_out > 0 {
            problems.add(format!("{left_out} more files match than the {MAX_FILES} that are followed at once"));
        }
        self.crowd_out();
        self.watch_unwatched(&mut problems);

        self.is_first_scan = false;
        for problem in problems.told().iter().filter(|problem| !self.problems.told().contains(problem)) {
            warn!(problem, "log source is hindered");
        }
        for pattern in waiting.iter().filter(|pattern| !self.waiting.contains(pattern)) {
            info!(pattern, "no log file there, waiting for one");
        }
        self.is_state_new |= problems != self.problems || waiting != self.waiting;
        self.problems = problems;
        self.waiting = waiting;
        is_again_needed
    }

    /// Whether [`take_state`](Self::take_state) or [`read`](Self::read) has something to do.
    pub(super) fn is_busy(&self) -> bool {
        self.is_state_new
            || !self.lost.is_empty()
            || !self.read.is_empty()
            || self.followed.iter().any(|followed| followed.is_dirty || !followed.is_told)
    }

    /// Where the reading of a file begins, or that one was read whole, and that was not told: a batch without lines.
    pub(super) fn take_begun(&mut self) -> Option<Batch> {
        if let Some(read) = self.read.pop_front() {
            return Some(read);
        }
        let followed = self.followed.iter_mut().find(|followed| !followed.is_told)?;
        followed.is_told = true;
        let mut batch = Batch::new(self.source, followed.log, followed.tail.is_past());
        batch.set_mark(followed.mark());
        Some(batch)
    }

    /// Marks whose files are gone: they are of no use any more.
    pub(super) fn take_lost(&mut self) -> Option<Vec<Mark>> {
        Some(std::mem::take(&mut self.lost)).filter(|lost| !lost.is_empty())
    }

    /// What the source is doing, if that has changed since it was last told.
    pub(super) fn take_state(&mut self) -> Option<SourceState> {
        if !std::mem::take(&mut self.is_state_new) {
            return None;
        }
        self.told = self.counters;
        let file = |followed: &Followed| FollowedFile {
            path: followed.path.clone(),
            offset: followed.tail.offset(),
            standing: followed.standing,
            file_system: followed.file_system,
        };
        let mut problems = self.problems.clone();
        for problem in self.followed.iter().filter_map(|followed| followed.problem.as_ref()) {
            problems.add(problem.clone());
        }
        Some(SourceState {
            files: self.followed.iter().map(file).collect(),
            streams: Vec::new(),
            journal: None,
            waiting: self.waiting.clone(),
            problems: problems.into_sentences(),
            counters: self.counters,
        })
    }

    /// Reads one piece of one file. The batch is empty if no line ends in it; `None` if there was nothing to read.
    pub(super) fn read(&mut self, now: Instant) -> Option<Batch> {
        while let Some(index) = self.next_to_read() {
            let followed = &mut self.followed[index];
            let mut batch = Batch::new(self.source, followed.log, followed.tail.is_past());
            let progress = match followed.tail.read(&mut self.buffer, &mut batch) {
                Ok(progress) => progress,
                Err(error) => {
                    self.fail(index, &error);
                    continue;
                }
            };
            self.is_state_new |= followed.problem.take().is_some();
            followed.is_dirty = progress.has_more;
            if progress.is_truncated {
                info!(file = ?followed.path, "log file was truncated, reading it from its beginning");
            }
            if progress.bytes > 0 {
                followed.active_at = now;
                if followed.closing == Some(Closing::Quiet) {
                    followed.closing = None;
                }
            }
            self.counters.lines += batch.len() as u64;
            self.counters.bytes += progress.bytes as u64;
            self.counters.overlong_lines += progress.overlong_lines;
            self.counters.truncations += u64::from(progress.is_truncated);
            self.counters.unfinished_lines += u64::from(progress.is_line_dropped);
            if !batch.is_empty() {
                batch.set_mark(followed.mark());
            }
            if followed.closing.is_some() && !progress.has_more {
                self.close(index);
            }
            if progress.bytes > 0 {
                return Some(batch);
            }
        }
        None
    }

    fn look_at_all(&mut self) {
        for followed in &mut self.followed {
            followed.is_dirty = true;
        }
    }

    fn current(&self) -> impl Iterator<Item = &Followed> {
        self.followed.iter().filter(|followed| followed.standing == Standing::Current)
    }

    fn update_standings(&mut self, found: &[Found], now: Instant) {
        let found: HashMap<Identity, &Path> = found.iter().map(|file| (file.identity, file.path.as_path())).collect();
        for followed in &mut self.followed {
            let before = (followed.standing, followed.path.clone());
            if let Some(&path) = found.get(&followed.tail.identity()) {
                followed.standing = Standing::Current;
                followed.current_at = self.scanned_at;
                followed.closing = None;
                if followed.path != path {
                    followed.path = path.to_path_buf();
                }
            } else if followed.standing == Standing::Current
                && leads_elsewhere(&followed.path, followed.tail.identity())
            {
                followed.standing = Standing::Rotated;
                followed.active_at = now;
                // To its end, before the file that took its path.
                followed.is_dirty = true;
            }
            self.is_state_new |= before != (followed.standing, followed.path.clone());
        }
    }

    /// Begins to follow a file if there is `room`. Returns whether it does.
    fn open(&mut self, found: &Found, room: bool, now: Instant) -> io::Result<bool> {
        let opened = if room { self.open_in_room(found, now) } else { Ok(false) };
        // What it holds at the start is not for this source to judge, even if it can be opened only later.
        if self.is_first_scan && !self.is_known && (!room || opened.is_err()) {
            self.remembered.put(found.identity, Start::After(found.length));
        }
        opened
    }

    fn open_in_room(&mut self, found: &Found, now: Instant) -> io::Result<bool> {
        let identity = found.identity;
        let file = open(&found.path, identity)?;
        if self.followed.iter().any(|followed| followed.tail.identity() == identity) {
            return Ok(false);
        }
        let start = match self.remembered.get(identity) {
            Some(start) => start.clone(),
            None if self.is_first_scan && !self.is_known => Start::After(file.metadata()?.len()),
            None => Start::Beginning,
        };
        let tail = Reader::new(file, None, start, self.max_line_bytes)?;
        self.remembered.forget(identity);
        self.forget_gone(identity);
        let followed = Followed::begin(tail, found.path.clone(), Standing::Current, self.scanned_at, now);
        let (offset, file_system) = (followed.tail.offset(), followed.file_system);
        info!(file = ?found.path, offset, file_system, "following log file");
        self.followed.push(followed);
        self.is_state_new = true;
        Ok(true)
    }

    /// Watches the files that are not. What is written before that is read because a new file is dirty.
    fn watch_unwatched(&mut self, problems: &mut Problems) {
        for followed in self.followed.iter_mut().filter(|followed| !followed.is_watched) {
            match self.watch.add_file(followed.tail.file(), followed.tail.identity()) {
                Ok(()) => {
                    followed.is_watched = true;
                    followed.is_dirty = true;
                }
                Err(errno) => problems.add(format!(
                    "watching {:?}, reading it every second instead: {}",
                    followed.path,
                    errno.desc()
                )),
            }
        }
    }

    fn crowd_out(&mut self) {
        let is_kept = |followed: &&mut Followed| followed.standing == Standing::Rotated && followed.closing.is_none();
        let rotated = self.followed.iter_mut().filter(is_kept).count();
        for followed in self.followed.iter_mut().filter(is_kept).take(rotated.saturating_sub(MAX_ROTATED)) {
            followed.closing = Some(Closing::Crowded);
            followed.is_dirty = true;
            self.counters.closed_early += 1;
        }
    }

    /// The next file to read: in turn, but none before the file whose path it took.
    fn next_to_read(&mut self) -> Option<usize> {
        let count = self.followed.len();
        // One compressed file at a time: that takes memory.
        let unpacking = self.followed.iter().position(|file| file.tail.is_unpacking());
        let index = (0..count).map(|step| (self.next + step) % count).find(|&index| {
            let file = &self.followed[index];
            let is_older =
                |older: &Followed| older.is_dirty && older.standing == Standing::Rotated && older.path == file.path;
            let has_room = !file.tail.is_packed() || unpacking.is_none_or(|other| other == index);
            file.is_dirty && has_room && !self.followed[..index].iter().any(is_older)
        })?;
        self.next = index + 1;
        Some(index)
    }

    fn fail(&mut self, index: usize, error: &io::Error) {
        let followed = &mut self.followed[index];
        followed.is_dirty = false;
        let problem = format!("reading {:?}: {error}", followed.path);
        if followed.problem.as_ref() != Some(&problem) {
            warn!(problem, "log source is hindered");
            followed.problem = Some(problem);
            self.is_state_new = true;
        }
        // A stale NFS handle stays stale; the path may lead to the file again.
        if followed.closing.is_some() || error.raw_os_error() == Some(Errno::ESTALE as i32) {
            self.close(index);
        }
    }

    fn close(&mut self, index: usize) {
        let Followed { tail, path, .. } = self.followed.remove(index);
        debug!(file = ?path, offset = tail.offset(), "closing log file");
        self.is_state_new = true;
        self.watch.remove_file(tail.identity());
        self.counters.unfinished_lines += u64::from(tail.is_packed() && tail.has_unfinished_line());
        if tail.is_packed() {
            self.tell_read(Mark::new(&path, tail.identity(), tail.position()));
        } else if tail.is_deleted().is_ok_and(|is_deleted| !is_deleted) {
            self.remembered.put(tail.identity(), Start::Resume(tail.position().clone()));
        } else {
            self.counters.unfinished_lines += u64::from(tail.has_unfinished_line());
            self.note_gone(Mark::new(&path, tail.identity(), tail.position()));
        }
    }
}

/// What [`Follower::notice`] found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Noticed {
    /// It is time for a [`Follower::scan`].
    pub(super) is_scan_needed: bool,
    /// There was no notification.
    pub(super) is_empty: bool,
}

#[cfg(test)]
mod tests;
