//! What happens to bans, one by one, for whoever keeps an account of them: how each began and by which lines, who prolonged it,
//! who lifted it, and whether it logged in after all. That a ban has come to its end is no news: it was known from the beginning.
//!
//! Bans of a long list are not noted one by one: the ban itself knows whose the list was. Of those that it prolongs, and of those of
//! others that give way to it in a full table, some are noted, and the others counted. When nobody takes the notes, because
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

/// Prefixes of one command whose bans are noted one by one; and of a command with more of them, bans that it prolongs, and that give
/// way to it.
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
    /// While a long list is gone through: of what else happens, how much has been noted.
    list: Option<Summed>,
    summed: Summed,
    left_out: u64,
}

/// What long lists have done to bans and was not noted one by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summed {
    /// They were prolonged, or shortened.
    pub renewed: u64,
    /// They were over before their ends: mostly, they gave way in a full table.
    pub ended: u64,
}

impl Account {
    /// Begins to note.
    pub(super) fn begin(&mut self) {
        self.is_on = true;
    }

    /// Whether bans that begin are noted.
    pub(super) fn wants_beginnings(&self) -> bool {
        self.wants() && self.list.is_none()
    }

    fn wants(&self) -> bool {
        self.is_on && !self.is_paused
    }

    /// A long list begins, or is over.
    pub(super) fn set_list(&mut self, is_list: bool) {
        self.list = is_list.then(Summed::default);
    }

    /// How much of what long lists did was not noted, since this was asked last.
    pub(super) fn take_summed(&mut self) -> Summed {
        std::mem::take(&mut self.summed)
    }

    /// Whether it is left at counting this one.
    fn is_summed(&mut self, note: &Note) -> bool {
        let Some(noted) = &mut self.list else { return false };
        let (noted, summed) = match note {
            // The ban itself knows whose the list was.
            Note::Began { .. } => return true,
            Note::Renewed { .. } => (&mut noted.renewed, &mut self.summed.renewed),
            Note::Ended { .. } => (&mut noted.ended, &mut self.summed.ended),
            Note::LoggedIn { .. } | Note::AllEnded { .. } => return false,
        };
        let is_summed = *noted >= MAX_NOTED_SINGLY as u64;
        *if is_summed { summed } else { noted } += 1;
        is_summed
    }

    /// Notes something, if somebody wants to know and there is room.
    pub(super) fn note(&mut self, mut note: Note) {
        if !self.wants() || self.is_summed(&note) {
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
