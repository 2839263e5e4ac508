//! From one run to the next: the files that an earlier run was reading, and what a later one must know.

use std::time::Instant;

use tracing::{debug, info, warn};

use super::super::find::{Found, find};
use super::super::problems::Problems;
use super::super::reader::Reader;
use super::super::resume::{Resumed, resume};
use super::super::tail::Identity;
use super::super::{Batch, Mark, number_log};
use super::followed::Followed;
use super::{Follower, MAX_FILES};

/// Most deleted files of which the place is kept for the next run, at 250 bytes each.
const MAX_GONE: usize = 64;

impl Follower {
    /// Opens the files that an earlier run has read, and those that came after them, whatever they are called by now.
    /// Returns what the patterns lead to when that is done, and which lead to nothing.
    pub(super) fn resume(&mut self, now: Instant, problems: &mut Problems) -> (Vec<Found>, Vec<String>) {
        let marks = std::mem::take(&mut self.marks);
        let marked = marks.files.len();
        let mut waiting = Vec::new();
        let mut look = || {
            let found;
            (found, waiting) = find(&self.patterns, problems);
            found
        };
        let is_wanted = || self.receiver.as_ref().is_none_or(|receiver| !receiver.is_closed());
        let (resumption, found) = resume(marks, &mut look, &is_wanted);
        self.receiver = None;
        for (identity, start) in resumption.later {
            self.remembered.put(identity, start);
        }
        for mark in &resumption.lost {
            debug!(file = ?mark.path, inode = mark.inode, "a log that was read is gone");
        }
        self.lost = resumption.lost;
        for mark in resumption.read {
            self.tell_read(mark);
        }
        for Resumed { file, packed, identity, path, standing, start, .. } in resumption.files {
            if self.followed.len() >= MAX_FILES {
                self.remembered.put(identity, start);
                continue;
            }
            match Reader::new(file, packed, start, self.max_line_bytes) {
                Ok(tail) => {
                    let offset = tail.position().offset;
                    info!(file = ?path, offset, is_packed = tail.is_packed(), marked, "going on with log file");
                    self.followed.push(Followed::begin(tail, path, standing, self.scanned_at, now));
                }
                Err(error) => warn!(file = ?path, %error, "a log that was read cannot be gone on with"),
            }
        }
        (found, waiting)
    }

    /// A file was read and deleted. What was compressed of it is known by its mark.
    pub(super) fn note_gone(&mut self, mark: Mark) {
        self.gone.push_back(mark);
        if self.gone.len() > MAX_GONE {
            self.lost.extend(self.gone.pop_front());
        }
    }

    /// Another file has the inode of one that is gone.
    pub(super) fn forget_gone(&mut self, identity: Identity) {
        let is_it = |mark: &Mark| (mark.device, mark.inode) == (identity.device, identity.inode);
        if let Some(mark) = self.gone.iter().position(is_it).and_then(|index| self.gone.remove(index)) {
            self.lost.push(mark);
        }
    }

    /// Has it told how far a compressed file was read, with all its lines.
    pub(super) fn tell_read(&mut self, mark: Mark) {
        let mut batch = Batch::new(self.source, number_log(), true);
        batch.set_mark(mark);
        self.read.push_back(batch);
    }
}
