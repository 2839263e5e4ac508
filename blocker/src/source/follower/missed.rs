//! Files that had a path and lost it between two looks.
//!
//! A rename is announced and looked at within milliseconds; but a busy machine, or one that stood still, may rotate a log twice
//! before it is. What came after the last look, and has a name that a rotation gives, was such a file.

use std::path::Path;
use std::time::Instant;

use tracing::info;

use super::super::Standing;
use super::super::family::{Member, family, is_copy_of, is_copy_of_path, open};
use super::super::find::Found;
use super::super::reader::Reader;
use super::super::resume::TICKS_NS;
use super::super::tail::Start;
use super::{Followed, Follower, MAX_FILES};

impl Follower {
    /// Begins the files that had `path` since it last led to one that is followed, and are neither known nor `found`. To be
    /// called before what has the path now is opened. On file systems that do not note when a file was born there are none.
    pub(super) fn open_missed(&mut self, path: &Path, found: &[Found], now: Instant) {
        let before = self.followed.iter().filter(|followed| followed.path == path).map(|followed| followed.current_at);
        let Some(since) = before.max().map(|at| at.saturating_sub(TICKS_NS)) else { return };
        let is_new = |member: &Member| {
            member.born.is_some_and(|born| born > since)
                && member.path != path
                && !found.iter().any(|found| found.identity == member.identity)
        };
        for member in family(path).into_iter().filter(is_new) {
            let is_followed = self.followed.iter().any(|followed| followed.tail.identity() == member.identity);
            if is_followed || self.remembered.get(member.identity).is_some() || self.followed.len() >= MAX_FILES {
                continue;
            }
            let Ok(file) = open(&member.path, member.identity) else { continue };
            // An administrator's, or one that copytruncate makes.
            let is_copy = |other: &Followed| other.path == path && is_copy_of(&file, other.tail.file());
            if is_copy_of_path(&file, path) || self.followed.iter().any(is_copy) {
                continue;
            }
            let Ok(tail) = Reader::new(file, None, Start::Beginning, self.max_line_bytes) else { continue };
            info!(file = ?member.path, "reading a log file that was rotated away before it was found");
            self.forget_gone(member.identity);
            self.followed.push(Followed::begin(tail, path.to_owned(), Standing::Rotated, 0, now));
            self.counters.rotations += 1;
        }
    }
}
