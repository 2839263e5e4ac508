//! What outlives the daemon, and a reboot: bans with their evidence, counts, and how far the logs have been read.
//!
//! # Theory of operation
//!
//! The daemon's task owns the truth; the store follows. What lines have caused and the place up to which they were read go
//! into the database in one transaction ([`Transaction`]), so whatever is found there after a crash is of one instant:
//! beginning again at that place repeats nothing and loses nothing.
//!
//! A thread of its own ([`writer`]) writes. Its queue is short; when it is full, the daemon goes on collecting what has
//! changed, keys only, and hands over later. So a disk that hangs or is full delays no ban.
//!
//! SQLite, because its file survives kill -9 and power loss at any instant, and anybody can read it. The write-ahead log is
//! synced for what an administrator has asked for, before the answer. What lines caused is not: after a power loss the lines
//! are read again, from the place that belongs to what is left.
//!
//! Bans of one command that differ in their prefix alone share a row ([`lists`]).
//!
//! A database that is damaged is set aside and begun anew; one of a later version is left alone. Both are told, and neither
//! keeps the daemon from enforcing. See [`schema`] for the tables and [`wall`] for their times.

mod account;
mod begin;
mod database;
mod grants;
mod history;
mod lists;
mod logins;
mod printed;
mod questions;
mod report;
mod rows;
mod schema;
mod sessions;
#[cfg(test)]
mod tests;
mod twins;
mod wall;
mod writer;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use blocker_core::engine::{Changes, Grant, JailId, Memory, SourceId};
use blocker_core::keyed::HashKey;
use blocker_core::logins::SavedLogins;
use blocker_core::prefix::Prefix;

use crate::clock::Reading;
use crate::source::{JournalMark, Mark, Marks};

pub use account::{MAX_TOLD, PastBan, PastLine};
pub use begin::{Known, NotNoted, Places, begin_logs};
pub use database::{Database, Opened};
pub use questions::{Answer, Question, Questions};
pub use report::{Span, read as read_report};
pub use wall::boot_id;
pub use writer::{Report, Writer};

/// The database in the directory `daemon.state`.
pub const FILE_NAME: &str = "blocker.db";

/// What is written at once, or not at all.
#[derive(Default)]
pub struct Transaction {
    /// Bans and counts that have changed.
    pub changes: Changes,
    /// The jails' names: numbers change, names stay.
    pub jails: BTreeMap<JailId, String>,
    /// The same of sources.
    pub sources: BTreeMap<SourceId, String>,
    /// By which the texts in `changes` were hashed.
    pub hash_key: HashKey,
    /// Sources that run, by what they are called in the configuration, and how far each has read the files that it read on.
    pub logs: Vec<(String, Vec<Mark>)>,
    /// Files that are gone: source, device and inode. Removed before `logs` are written.
    pub lost_logs: Vec<(String, u64, u64)>,
    /// When all of this was collected: wall time, in nanoseconds since 1970.
    pub collected: i64,
    /// Whether `logs` are all there are, so that what is not among them is gone.
    pub all_logs: bool,
    /// How far each source has read its journal, by what it is called in the configuration.
    pub cursors: Vec<(String, JournalMark)>,
    /// Whether `cursors` are all there are, so that what is not among them is gone.
    pub all_cursors: bool,
    /// What commands have printed: of each the number of its first piece, and the pieces that have changed.
    pub printed: Vec<(String, i64, Vec<PrintedPiece>)>,
    /// Whether `printed` is all there is, so that what is not in it is gone.
    pub all_printed: bool,
    /// Who logged in lately, if that is to be written: `Some(None)` if nothing of it is to be kept.
    pub logins: Option<Option<SavedLogins>>,
    /// How long what is over is kept in the account.
    pub remember_bans: Duration,
    /// What is asked, to be answered when this is written.
    pub questions: Questions,
    /// How many bans are in force, or lately ended.
    pub in_force: usize,
    /// Whether it must outlast a power loss from here on.
    pub durable: bool,
    /// Told when it is written, or why it could not be yet.
    pub told: Waiting,
}

/// Lines that a command has printed one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrintedPiece {
    /// Which of the pieces it is; the next has the next number.
    pub number: i64,
    /// Of each line a hash by the transaction's key.
    pub lines: Vec<u64>,
}

/// Whoever waits until something is written, or hears why it could not be.
pub type Told = Box<dyn FnOnce(Result<(), &str>) + Send>;

/// All who wait for one transaction. Whoever comes first tells them: the thread that has written it, or failed to; or the
/// daemon's task, if another transaction before it cannot be written.
#[derive(Clone, Default)]
pub struct Waiting(Arc<Mutex<Vec<Told>>>);

impl From<Vec<Told>> for Waiting {
    fn from(told: Vec<Told>) -> Self {
        Self(Arc::new(Mutex::new(told)))
    }
}

impl Waiting {
    /// Tells them, unless they have been told.
    pub fn tell(&self, result: Result<(), &str>) {
        for told in std::mem::take(&mut *self.locked()) {
            told(result);
        }
    }

    /// Whether nobody waits, or nobody any more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.locked().is_empty()
    }

    fn locked(&self) -> MutexGuard<'_, Vec<Told>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was found at the start.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Bans and counts, on the present boot's clock.
    pub memory: Memory,
    /// What is allowed by command over a restart, on the same clock.
    pub grants: Vec<(Prefix, Grant)>,
    /// Who logged in lately, on the same clock.
    pub logins: Option<SavedLogins>,
    /// By which texts in it were hashed, if there are any.
    pub hash_key: Option<HashKey>,
    /// What was read of each source.
    pub logs: BTreeMap<String, Marks>,
    /// How far each source had read its journal.
    pub cursors: BTreeMap<String, JournalMark>,
    /// What each command has printed, in the order of the pieces.
    pub printed: BTreeMap<String, Vec<PrintedPiece>>,
    /// Whether it was written since this boot: then the kernel was told all of it.
    pub is_of_this_boot: bool,
    /// Rows that could not be used: of jails that are gone, or not understood.
    pub unused: usize,
}

/// Opens the database in `state` and reads what is in it.
///
/// `jail` gives the number of a jail that is there, `source` that of a source.
///
/// # Errors
///
/// A sentence for people: why nothing can be kept. What is there is left as it is.
pub fn open(
    state: &Path,
    clock: Reading,
    jail: impl Fn(&str) -> Option<JailId>,
    source: impl Fn(&str) -> Option<SourceId>,
) -> Result<(Opened, Loaded), String> {
    let mut opened = Database::open(state)?;
    match opened.database.load(clock, &jail, &source) {
        Ok(loaded) => Ok((opened, loaded)),
        Err(error) if database::is_damage(&error) => {
            let why = error.to_string();
            opened = Database::begin_anew(opened.database, &why)?;
            let loaded = opened.database.load(clock, &jail, &source);
            Ok((opened, loaded.map_err(|error| database::sentence(state, &error))?))
        }
        Err(error) => Err(database::sentence(state, &error)),
    }
}
