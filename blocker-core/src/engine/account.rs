//! What happens to bans, one by one, for whoever keeps an account of them: how each began and by which lines, who prolonged it,
//! who lifted it, and whether it logged in after all. That a ban has come to its end is no news: it was known from the beginning.
//!
//! Bans of a long list are not noted one by one: the ban itself knows whose the list was. When nobody takes the notes, because
//! a disk is full, further ones are left out and counted; the bans themselves do not depend on them.

use std::sync::Arc;
use std::time::Duration;

use super::{Ban, Evidence, JailId, UnbanReason};
use crate::bans::Uid;
use crate::prefix::Prefix;
use crate::time::{Timestamp, Until};

/// Notes that wait to be taken, of some 200 bytes: 6 MiB.
pub const MAX_NOTES: usize = 32_768;

/// Bytes of lines in them; beyond it bans are noted without.
pub const MAX_NOTED_BYTES: usize = 32 * 1024 * 1024;

/// Prefixes of one command whose bans are noted one by one.
pub const MAX_NOTED_SINGLY: usize = 64;

/// Something that happened to a ban.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// It began.
    Began {
        /// Whom it bans.
        prefix: Prefix,
        /// Whose it is.
        jail: JailId,
        /// The ban.
        ban: Ban,
        /// Of a ban that a log earned: what earns one, and within which time.
        limits: Option<(u32, Duration)>,
        /// The lines that earned it.
        evidence: Arc<[Evidence]>,
    },
    /// An administrator gave it another end.
    Renewed {
        /// Whom it bans.
        prefix: Prefix,
        /// Whose it is.
        jail: JailId,
        /// When.
        at: Timestamp,
        /// The new end.
        until: Until,
    },
    /// It was over before its end.
    Ended {
        /// Whom it banned.
        prefix: Prefix,
        /// Whose it was.
        jail: JailId,
        /// When.
        at: Timestamp,
        /// Why.
        why: UnbanReason,
        /// Who lifted it, if somebody did and that is known.
        by: Option<Uid>,
    },
    /// Somebody logged in, for the first time since a log earned a ban of it.
    LoggedIn {
        /// Whom that bans, or banned.
        prefix: Prefix,
        /// When.
        at: Timestamp,
    },
    /// All bans were lifted by command.
    AllEnded {
        /// When.
        at: Timestamp,
        /// By whom.
        by: Option<Uid>,
    },
}

/// The notes that nobody has taken yet.
#[derive(Debug, Default)]
pub(super) struct Account {
    notes: Vec<Note>,
    /// Of lines in them.
    bytes: usize,
    is_on: bool,
    is_paused: bool,
    left_out: u64,
}

impl Account {
    /// Begins to note.
    pub(super) fn begin(&mut self) {
        self.is_on = true;
    }

    /// Whether anything is noted.
    pub(super) fn wants(&self) -> bool {
        self.is_on && !self.is_paused
    }

    /// Notes something, if somebody wants to know and there is room.
    pub(super) fn note(&mut self, mut note: Note) {
        if !self.wants() {
            return;
        }
        if self.notes.len() >= MAX_NOTES {
            self.left_out += 1;
            return;
        }
        if let Note::Began { evidence, .. } = &mut note {
            let size: usize = evidence.iter().map(|told| told.line.len() + OF_A_LINE).sum();
            if self.bytes + size <= MAX_NOTED_BYTES {
                self.bytes += size;
            } else {
                self.left_out += 1;
                *evidence = Arc::default();
            }
        }
        self.notes.push(note);
    }

    /// Has nothing noted, or again.
    pub(super) fn pause(&mut self, is_paused: bool) {
        self.is_paused = is_paused;
    }

    /// The notes, in their order.
    pub(super) fn take(&mut self) -> Vec<Note> {
        self.bytes = 0;
        std::mem::take(&mut self.notes)
    }

    pub(super) fn len(&self) -> usize {
        self.notes.len()
    }

    /// Notes, or the lines of one, that were left out.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out
    }
}

/// What a line takes besides its bytes, a user name of the usual length included.
const OF_A_LINE: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_that_nobody_takes_are_bounded_and_counted() {
        let mut account = Account::default();
        let note = Note::AllEnded { at: Timestamp::from_secs(1), by: None };
        account.note(note.clone());
        assert_eq!(account.len(), 0, "nobody wants to know");

        account.begin();
        for _ in 0..MAX_NOTES + 3 {
            account.note(note.clone());
        }
        assert_eq!((account.len(), account.left_out()), (MAX_NOTES, 3));
        assert_eq!(account.take().len(), MAX_NOTES);
        account.pause(true);
        account.note(note.clone());
        account.pause(false);
        account.note(note.clone());
        assert_eq!(account.take(), [note]);
    }
}
