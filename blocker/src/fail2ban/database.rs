//! fail2ban's database: the bans in force, and how far logs have been read. It is read beside a fail2ban that runs.
//!
//! Schema 4, that of fail2ban 0.11 to 1.1, has bans in the table `bips`: one row for each address and jail, with the time of the
//! ban and its length in seconds. A length of -1 is for ever; -2 is one that is not known, from a database of an older schema.
//!
//! The table `logs` has a row for each jail and path: the offset behind the last whole line that was read, and in `firstlinemd5` the
//! SHA-1 of the file's first line with its end, in hexadecimal digits; it is empty for a file that had no whole line. Rows of jails
//! that are off stay. While fail2ban runs, an offset is written with what is read, and not more often than every ten seconds. Of a
//! jail that reads the journal the path is `systemd-journal`, and the offset the time of the last entry that was read, in seconds since
//! 1970, with a fraction.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use blocker_core::prefix::Prefix;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use serde::Serialize;

use crate::exit::{Failure, is_permission};
use crate::regular;
use crate::source::{FirstLine, ReadLog};

/// How long fail2ban's own writing is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Most bans that are read; the kernel's tables hold as many.
pub const MAX_BANS: usize = 1_048_576;

/// Most rows about logs that are read.
const MAX_LOGS: i64 = 65_536;

/// A ban in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ban {
    /// Whom it is about.
    pub prefix: Prefix,
    /// The jail of fail2ban's.
    pub jail: String,
    /// Seconds that are left of it; `None` for ever.
    pub remaining_s: Option<u64>,
}

/// How far logs have been read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReadLogs {
    /// Files, by their paths.
    pub files: Vec<ReadLog>,
    /// The journal, by jail: when the last entry was written that the jail has read, in microseconds since 1970.
    pub journals: BTreeMap<String, u64>,
}

/// What the database holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bans {
    /// The bans in force, by jail and address.
    pub bans: Vec<Ban>,
    /// How many rows are about something that is no address.
    pub no_addresses: usize,
    /// How many are left out beyond [`MAX_BANS`].
    pub left_out: usize,
}

/// Reads the bans that are in force at `now`, in seconds since 1970, from the database at `path`. Writes nothing, not even where a
/// fail2ban that was killed left a change half done.
///
/// # Errors
///
/// Why it cannot be read.
pub fn bans(path: &Path, now: i64) -> Result<Bans> {
    query(path, |connection| read_bans(connection, now))
}

/// How far the jails of `are_wanted` have read their logs, by the database at `path`. Writes nothing, either.
///
/// # Errors
///
/// Why it cannot be read.
pub fn logs(path: &Path, are_wanted: impl Fn(&str) -> bool) -> Result<ReadLogs> {
    query(path, |connection| read_logs(connection, &are_wanted))
}

fn query<T>(path: &Path, read: impl Fn(&Connection) -> rusqlite::Result<T>) -> Result<T> {
    if let Err(error) = regular::open(path) {
        let sentence = format!("{}: {error}", path.display());
        return Err(if is_permission(&error) { Failure::Permission(sentence).into() } else { anyhow!("{sentence}") });
    }
    match open(path, false).and_then(|connection| read(&connection)) {
        // In a directory that we may not write, SQLite cannot share the log of changes. Without one the file alone is the truth.
        Err(error) if is_unshareable(&error) && !has_changes(path) => {
            open(path, true).and_then(|connection| read(&connection))
        }
        read => read,
    }
    .with_context(|| format!("reading {}: is it fail2ban's database?", path.display()))
}

fn is_unshareable(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly))
}

/// Whether there are changes beside the file that are not in it yet.
fn has_changes(path: &Path) -> bool {
    ["-wal", "-journal"].iter().any(|ending| {
        let beside = PathBuf::from(format!("{}{ending}", path.display()));
        std::fs::metadata(beside).is_ok_and(|found| found.len() > 0)
    })
}

fn open(path: &Path, is_immutable: bool) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = if is_immutable {
        let mut uri = "file:".to_owned();
        for &byte in path.as_os_str().as_encoded_bytes() {
            if byte.is_ascii_alphanumeric() || b"/._-".contains(&byte) {
                uri.push(char::from(byte));
            } else {
                uri.push_str(&format!("%{byte:02x}"));
            }
        }
        uri.push_str("?immutable=1");
        Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI)?
    } else {
        Connection::open_with_flags(path, flags)?
    };
    connection.busy_timeout(PATIENCE)?;
    Ok(connection)
}

fn read_bans(connection: &Connection, now: i64) -> rusqlite::Result<Bans> {
    let mut statement = connection.prepare(
        "SELECT CAST(ip AS TEXT), CAST(jail AS TEXT), CAST(timeofban AS INTEGER), CAST(bantime AS INTEGER) FROM bips
         WHERE bantime <= -1 OR timeofban + bantime > ?1 ORDER BY jail, ip",
    )?;
    let mut rows = statement.query([now])?;
    let mut found = Bans::default();
    while let Some(row) = rows.next()? {
        if found.bans.len() == MAX_BANS {
            found.left_out += 1;
            continue;
        }
        let address: String = row.get(0)?;
        let (begun, length): (i64, i64) = (row.get(2)?, row.get(3)?);
        let Ok(prefix) = address.parse() else {
            found.no_addresses += 1;
            continue;
        };
        let end = (length >= 0).then(|| begun.saturating_add(length));
        let remaining_s = end.map(|end| u64::try_from(end.saturating_sub(now)).unwrap_or(1).max(1));
        found.bans.push(Ban { prefix, jail: row.get(1)?, remaining_s });
    }
    Ok(found)
}

fn read_logs(connection: &Connection, are_wanted: &dyn Fn(&str) -> bool) -> rusqlite::Result<ReadLogs> {
    let mut statement = connection.prepare(
        "SELECT CAST(jail AS TEXT), CAST(path AS TEXT), CAST(coalesce(firstlinemd5, '') AS TEXT), CAST(lastfilepos AS INTEGER),
                CAST(round(lastfilepos * 1000000) AS INTEGER)
         FROM logs WHERE path IS NOT NULL ORDER BY path, jail LIMIT ?1",
    )?;
    let mut rows = statement.query([MAX_LOGS])?;
    let mut found = ReadLogs::default();
    while let Some(row) = rows.next()? {
        let (jail, path): (String, String) = (row.get(0)?, row.get(1)?);
        if !are_wanted(&jail) {
            continue;
        }
        if path.starts_with('/') {
            let (digest, offset): (String, Option<i64>) = (row.get(2)?, row.get(3)?);
            let first_line = if digest.is_empty() { FirstLine::None } else { FirstLine::Sha1(digest.to_lowercase()) };
            let offset = offset.and_then(|offset| u64::try_from(offset).ok()).unwrap_or(0);
            found.files.push(ReadLog { path: path.into(), first_line, offset });
        } else if let Some(micros) = row.get::<_, Option<i64>>(4)?.and_then(|micros| u64::try_from(micros).ok())
            && path == JOURNAL
            && micros > 0
        {
            found.journals.insert(jail, micros);
        }
    }
    Ok(found)
}

/// What the path is of a jail that reads the journal.
const JOURNAL: &str = "systemd-journal";

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::source::testing::TempDir;

    fn fill(connection: &Connection) {
        connection
            .execute_batch(
                "CREATE TABLE bips(ip TEXT NOT NULL, jail TEXT NOT NULL, timeofban INTEGER NOT NULL, bantime INTEGER NOT NULL,
                                   bancount INTEGER NOT NULL DEFAULT 1, data JSON, PRIMARY KEY(ip, jail));
                 INSERT INTO bips(ip, jail, timeofban, bantime) VALUES
                   ('192.0.2.1', 'a', 1000, 600), ('192.0.2.2', 'a', 1000, 500), ('192.0.2.3', 'a', 10, -1),
                   ('2001:db8::1', 'b', 1000, 1000000), ('192.0.2.1', 'b', 10, -2), ('bob', 'b', 10, -1),
                   ('198.51.100.0/24', 'b', 10, -1)",
            )
            .unwrap();
    }

    fn ban(prefix: &str, jail: &str, remaining_s: Option<u64>) -> Ban {
        Ban { prefix: prefix.parse().unwrap(), jail: jail.to_owned(), remaining_s }
    }

    fn expected() -> Bans {
        Bans {
            bans: vec![
                ban("192.0.2.1", "a", Some(100)),
                ban("192.0.2.3", "a", None),
                ban("192.0.2.1", "b", None),
                ban("198.51.100.0/24", "b", None),
                ban("2001:db8::1", "b", Some(999_500)),
            ],
            no_addresses: 1,
            left_out: 0,
        }
    }

    #[test]
    fn the_bans_in_force_come_out_and_the_file_stays_as_it_is() {
        let directory = TempDir::new();
        let path = directory.path("a b?.sqlite3");
        fill(&Connection::open(&path).unwrap());
        let before = fs::read(&path).unwrap();

        assert_eq!(bans(&path, 1_500).unwrap(), expected());
        assert_eq!(read_bans(&open(&path, true).unwrap(), 1_500).unwrap(), expected(), "by its escaped name");
        assert_eq!(fs::read(&path).unwrap(), before);
    }

    #[test]
    fn a_database_that_is_being_written_shows_what_was_committed() {
        let directory = TempDir::new();
        let path = directory.path("f.sqlite3");
        let running = Connection::open(&path).unwrap();
        running.pragma_update(None, "journal_mode", "WAL").unwrap();
        fill(&running);
        running
            .execute_batch(
                "BEGIN IMMEDIATE; INSERT INTO bips(ip, jail, timeofban, bantime) VALUES ('203.0.113.1', 'a', 10, -1)",
            )
            .unwrap();
        assert!(has_changes(&path), "the file alone would not do");

        assert_eq!(bans(&path, 1_500).unwrap(), expected());
    }

    #[test]
    fn of_the_logs_come_out_those_of_jails_that_are_wanted() {
        let directory = TempDir::new();
        let path = directory.path("f.sqlite3");
        let connection = Connection::open(&path).unwrap();
        connection
            .execute_batch(
                "CREATE TABLE logs(jail TEXT NOT NULL, path TEXT, firstlinemd5 TEXT, lastfilepos INTEGER DEFAULT 0);
                 INSERT INTO logs VALUES ('b', '/var/log/x', 'ABC', 7), ('a', '/var/log/x', '', 0), ('off', '/var/log/y', 'abc', 9),
                   ('a', 'systemd-journal', '2026', 1795748740.123456), ('a', '/var/log/z', NULL, -1),
                   ('off', 'systemd-journal', '2026', 1), ('b', 'systemd-journal', '', 0), ('b', 'else', '', 7), ('b', NULL, '', 7)",
            )
            .unwrap();
        drop(connection);
        let log = |path: &str, first_line, offset| ReadLog { path: path.into(), first_line, offset };

        let found = logs(&path, |jail| jail != "off").unwrap();
        assert_eq!(found.journals, BTreeMap::from([("a".to_owned(), 1_795_748_740_123_456)]));
        assert_eq!(
            found.files,
            [
                log("/var/log/x", FirstLine::None, 0),
                log("/var/log/x", FirstLine::Sha1("abc".to_owned()), 7),
                log("/var/log/z", FirstLine::None, 0)
            ]
        );
    }

    #[test]
    fn what_is_no_database_of_fail2bans_is_told() {
        let directory = TempDir::new();
        let path = directory.path("f");
        assert!(bans(&path, 0).unwrap_err().to_string().contains("No such file"));
        fs::write(&path, "no database, and longer than a header of one would be, so that it is looked at as a whole")
            .unwrap();
        assert!(format!("{:#}", bans(&path, 0).unwrap_err()).contains("is it fail2ban's database?"));
    }
}
