//! fail2ban's database: the bans in force, read beside a fail2ban that runs.
//!
//! Schema 4, that of fail2ban 0.11 to 1.1, has them in the table `bips`: one row for each address and jail, with the time of the
//! ban and its length in seconds. A length of -1 is for ever; -2 is one that is not known, from a database of an older schema.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use blocker_core::prefix::Prefix;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use serde::Serialize;

use crate::exit::{Failure, is_permission};

/// How long fail2ban's own writing is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Most bans that are read; the kernel's tables hold as many.
pub const MAX_BANS: usize = 1_048_576;

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
    let open = |path: &Path| std::fs::File::open(path);
    if let Err(error) = open(path) {
        let sentence = format!("{}: {error}", path.display());
        return Err(if is_permission(&error) { Failure::Permission(sentence).into() } else { anyhow!("{sentence}") });
    }
    match read(path, false, now) {
        // In a directory that we may not write, SQLite cannot share the log of changes. Without one the file alone is the truth.
        Err(error) if is_unshareable(&error) && !has_changes(path) => read(path, true, now),
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

fn read(path: &Path, is_immutable: bool, now: i64) -> rusqlite::Result<Bans> {
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
        assert_eq!(read(&path, true, 1_500).unwrap(), expected(), "by its escaped name");
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
    fn what_is_no_database_of_fail2bans_is_told() {
        let directory = TempDir::new();
        let path = directory.path("f");
        assert!(bans(&path, 0).unwrap_err().to_string().contains("No such file"));
        fs::write(&path, "no database, and longer than a header of one would be, so that it is looked at as a whole")
            .unwrap();
        assert!(format!("{:#}", bans(&path, 0).unwrap_err()).contains("is it fail2ban's database?"));
    }
}
