//! What `blocker watch` asks for once in an interval. Rates are made by who asks, from two of these.
//!
//! Texts that an attacker chose (names of users) are as they were, but for bytes that are no UTF-8, of which each is a U+FFFD:
//! who shows them escapes them.

use blocker_core::prefix::Prefix;
use serde::{Deserialize, Serialize};

use super::status::Status;

/// How it is at this moment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Watch {
    /// When this was so, RFC 3339.
    pub time: String,
    /// The same on the clock that nobody sets, in milliseconds since the boot.
    pub boot_ms: u64,
    /// Everything that `blocker status` tells.
    pub status: Status,
    /// Why bans are held, if they are.
    pub holding: Option<String>,
    /// How many seconds the service manager waits for the daemon, which would end it then; none if nobody waits.
    pub watchdog_s: Option<u64>,
    /// Pieces of logs that were read and wait to be judged, and how many may.
    pub waiting_batches: (usize, usize),
    /// The number of the next ban: to be asked with the next time.
    pub next_ban: u64,
    /// The bans that began since the number asked with, the first one first.
    pub new_bans: Vec<NewBan>,
    /// How many began besides, before these.
    pub left_out: u64,
    /// Who is dropped or fails while somebody watches.
    pub attackers: Vec<Attacker>,
    /// How far logs have been judged.
    pub logs: Vec<LogPlace>,
    /// The same of the journal.
    pub journals: Vec<JournalPlace>,
}

/// A ban that has begun.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewBan {
    /// When it began, RFC 3339.
    pub time: String,
    /// Whom.
    pub prefix: Prefix,
    /// Whose it is.
    pub jail: String,
    /// When it ends, RFC 3339, or `forever`.
    pub until: String,
    /// `log`, `command` or `adopted`.
    pub origin: String,
    /// Who the last attempt claimed to be.
    pub user: Option<String>,
    /// Failed attempts that earned it.
    pub attempts: f64,
}

/// Somebody who is dropped, or fails.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attacker {
    /// Who: as banned, if it is.
    pub prefix: Prefix,
    /// Packets dropped since the ban began; none without a ban.
    pub packets: Option<u64>,
    /// Their bytes.
    pub bytes: Option<u64>,
    /// Failed attempts since somebody watches; under a flood of them, of some.
    pub attempts: f64,
    /// Who the last of them claimed to be.
    pub user: Option<String>,
    /// Seconds since it was last dropped or failed.
    pub ago_s: u64,
}

/// How far a log has been judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPlace {
    /// Its path.
    pub path: String,
    /// Of the file.
    pub device: u64,
    /// Of the file.
    pub inode: u64,
    /// The first byte that has not been judged.
    pub offset: u64,
}

/// How far the journal has been judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalPlace {
    /// The matches by which it is read.
    pub matches: String,
    /// When the last entry was written that was judged, RFC 3339.
    pub last: Option<String>,
    /// How many seconds ago that was.
    pub ago_s: Option<u64>,
}

/// Most bans told at once; the last ones are.
pub const MAX_NEW_BANS: usize = 256;

/// Most attackers told at once.
pub const MAX_ATTACKERS: usize = 64;

/// Most logs, and most matches of the journal, of which it is told how far they are.
pub const MAX_PLACES: usize = 64;

/// Most seconds between two questions: then it is still known who was dropped meanwhile.
pub const MAX_INTERVAL_S: u64 = 60;
