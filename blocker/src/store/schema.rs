//! The tables, and how those of earlier versions become the present ones.
//!
//! `PRAGMA user_version` is the number of [`MIGRATIONS`] that a database has seen. A later version may have more; then this
//! one does not touch it.
//!
//! - `meta`: one row. `boot`, `offset`, `written`: see [`wall`](super::wall). `hash_key`: 16 secret bytes, by which texts that
//!   need only be known again are hashed ([`blocker_core::keyed`]).
//! - `bans`: a ban of `prefix` by `jail`, from `started` to `until` (NULL: for ever), and what it came from; `uid` is the user
//!   who asked for it. One that has
//!   `ended` is kept as long as lines about the time before it may come.
//! - `lists`: many bans that have all but the prefix in common, `size` of them, a line of `prefixes` each.
//! - `account`, `evidence`: how single bans began, and what became of them: see [`account`].
//! - `lifted`: what a list names and is banned no more. See [`lists`] for what holds if several tables name a prefix.
//! - `failures`: what counts against `prefix` in `jail`: the `latest` failure, and in `list` all of them in the order of time,
//!   12 bytes each: nanoseconds before the latest (8 bytes) and tenths of attempts (4 bytes), both little-endian. In `users` of each
//!   the hash of the user that it was tried as, 4 bytes, little-endian, zero where there is none; NULL if there is none at all.
//! - `sources`: the inputs of jails that have been read.
//! - `logs`: how far each file of a source was read: [`Mark`](crate::source::Mark).
//! - `cursors`: how far each source has read its journal: the cursor of the last entry, NULL if there was none.
//! - `twins`: how often a `source` of `jail` told a `message`, a hash, that another one may tell too: the last time at `last`.
//!   The source is empty if it is none any more.
//! - `sessions`: tenths of attempts that each teller told of a `session` of `jail`, a hash, of which another one may tell too: the
//!   last time at `last`.
//! - `history`: how many `bans` of `prefix` logs have earned in `jail`, the `last` of which began then.
//! - `allowed`: what is allowed by command over a restart, `since` when and `until` when (NULL: for ever), and why.
//! - `logins`: one row. Who logged in lately, as hashes by `seed`: [`SavedLogins`](blocker_core::logins::SavedLogins).
//! - `printed`: what a command has printed, in pieces: hashes of lines, 8 bytes each, little-endian.
//!
//! Times are wall time in nanoseconds since 1970. Paths are bytes.

use rusqlite::{Connection, Result, TransactionBehavior};

use super::{account, grants, lists, logins};

/// What makes a database of each version out of one of the version before.
pub(super) const MIGRATIONS: [&str; 11] = [
    FIRST,
    SECOND,
    THIRD,
    FOURTH,
    FIFTH,
    lists::TABLES,
    account::TABLES,
    grants::TABLE,
    SESSIONS,
    account::LOGGED_IN,
    logins::TABLE,
];

const FIRST: &str = "CREATE TABLE meta (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        boot TEXT NOT NULL,
        offset INTEGER NOT NULL,
        written INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE bans (
        prefix TEXT NOT NULL,
        jail TEXT NOT NULL,
        started INTEGER NOT NULL,
        until INTEGER,
        ended INTEGER NOT NULL CHECK (ended IN (0, 1)),
        origin TEXT NOT NULL CHECK (origin IN ('log', 'command', 'adopted')),
        attempts INTEGER,
        user BLOB,
        pattern TEXT,
        reason TEXT,
        PRIMARY KEY (prefix, jail)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE failures (
        prefix TEXT NOT NULL,
        jail TEXT NOT NULL,
        latest INTEGER NOT NULL,
        list BLOB NOT NULL,
        PRIMARY KEY (prefix, jail)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE sources (
        source TEXT PRIMARY KEY
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE logs (
        id INTEGER PRIMARY KEY,
        source TEXT NOT NULL,
        path BLOB NOT NULL,
        device INTEGER NOT NULL,
        inode INTEGER NOT NULL,
        offset INTEGER NOT NULL,
        before BLOB NOT NULL,
        skipping INTEGER NOT NULL CHECK (skipping IN (0, 1)),
        noted INTEGER NOT NULL,
        UNIQUE (source, device, inode)
    ) STRICT;";

const SECOND: &str = "CREATE TABLE cursors (
        source TEXT PRIMARY KEY,
        cursor TEXT
    ) STRICT, WITHOUT ROWID;";

const THIRD: &str = "ALTER TABLE meta ADD COLUMN hash_key BLOB;
    CREATE TABLE twins (
        jail TEXT NOT NULL,
        message INTEGER NOT NULL,
        source TEXT NOT NULL,
        times INTEGER NOT NULL,
        last INTEGER NOT NULL,
        PRIMARY KEY (jail, message, source)
    ) STRICT, WITHOUT ROWID;";

const FOURTH: &str = "CREATE TABLE printed (
        source TEXT NOT NULL,
        piece INTEGER NOT NULL,
        lines BLOB NOT NULL,
        PRIMARY KEY (source, piece)
    ) STRICT;";

const FIFTH: &str = "CREATE TABLE history (
        prefix TEXT NOT NULL,
        jail TEXT NOT NULL,
        bans INTEGER NOT NULL,
        last INTEGER NOT NULL,
        PRIMARY KEY (prefix, jail)
    ) STRICT, WITHOUT ROWID;";

const SESSIONS: &str = "ALTER TABLE failures ADD COLUMN users BLOB;
    CREATE TABLE sessions (
        jail TEXT NOT NULL,
        session INTEGER NOT NULL,
        login INTEGER NOT NULL,
        auth INTEGER NOT NULL,
        last INTEGER NOT NULL,
        PRIMARY KEY (jail, session)
    ) STRICT, WITHOUT ROWID;";

/// Marks a database as `blocker`'s: `blkr`.
pub(super) const APPLICATION_ID: i64 = 0x626c_6b72;

/// The database's pages are at most this many, of 4 KiB: 1 GiB. A million bans that logs earned take some 150 MiB.
const MAX_PAGES: i64 = 262_144;

/// The write-ahead log is cut to this many bytes when it has been written back.
const MAX_LOG_BYTES: i64 = 16 * 1024 * 1024;

/// Why a database is not used as it is.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// A later version's.
    #[error("its tables are of version {0}, this version of blocker knows {known}: use the later blocker, or move the file away", known = MIGRATIONS.len())]
    Later(i64),
    /// Another program's.
    #[error("it is another program's database: move it away, or set `daemon.state` to another directory")]
    Foreign,
    /// The directory or the file cannot be made.
    #[error(transparent)]
    Io(std::io::Error),
    /// SQLite's word.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

/// Sets the connection up, and brings the tables up to date.
pub(super) fn prepare(connection: &mut Connection) -> Result<(), Refusal> {
    // One process alone: this needs no shared memory beside the file, and keeps others from writing.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let application: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables == 0 {
        // Only before the file has a first page.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    } else if application != APPLICATION_ID {
        return Err(Refusal::Foreign);
    }
    let done = usize::try_from(version).ok().filter(|&done| done <= MIGRATIONS.len());
    let Some(done) = done else { return Err(Refusal::Later(version)) };
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "max_page_count", MAX_PAGES)?;
    connection.pragma_update(None, "journal_size_limit", MAX_LOG_BYTES)?;
    for (number, migration) in (1_i64..).zip(MIGRATIONS).skip(done) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "user_version", number)?;
        transaction.commit()?;
    }
    Ok(())
}
