//! Bans, counts and places in logs as rows, and back.
//!
//! A row that cannot be understood is left out: a database can be written by anybody who is root, and by bad memory.

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::sync::Arc;

use blocker_core::attempts::Attempts;
use blocker_core::bans::{MAX_USER_BYTES, Uid};
use blocker_core::engine::{Ban, Counted, Entry, Origin};
use blocker_core::keyed::Tag;
use blocker_core::time::Until;
use blocker_core::tracker::Tries;
use rusqlite::{Connection, Result, Row, params};

use super::wall::Offset;
use crate::source::{JournalMark, Mark};

/// Bytes of one failure in `failures.list`.
const FAILURE_BYTES: usize = 12;

pub(super) const BANS: &str =
    "SELECT prefix, jail, started, until, ended, origin, attempts, user, pattern, reason, uid FROM bans";

/// A ban from a row of [`BANS`].
pub(super) fn ban(row: &Row<'_>, offset: Offset) -> Result<Option<Entry>> {
    let started = offset.boot(row.get(2)?);
    if row.get(4)? {
        return Ok(Some(Entry::Ended { started }));
    }
    let until = row.get::<_, Option<i64>>(3)?.map_or(Until::Forever, |until| Until::At(offset.boot(until)));
    let origin: String = row.get(5)?;
    let origin = match origin.as_str() {
        "log" => Origin::Log {
            attempts: Attempts::tenths(row.get::<_, Option<u32>>(6)?.unwrap_or_default()),
            user: row.get::<_, Option<Vec<u8>>>(7)?.map(|mut user| {
                user.truncate(MAX_USER_BYTES);
                user.into_boxed_slice()
            }),
            pattern: row.get::<_, Option<String>>(8)?.unwrap_or_default().into(),
        },
        "command" => Origin::Command {
            reason: row.get::<_, Option<String>>(9)?.map(Arc::from),
            by: row.get::<_, Option<u32>>(10)?.map(Uid),
        },
        "adopted" => Origin::Adopted,
        _ => return Ok(None),
    };
    Ok(Some(Entry::InForce(Ban { started, until, origin })))
}

/// Writes a ban, or removes what there is of it.
pub(super) fn put_ban(
    connection: &Connection,
    (prefix, jail): (&str, &str),
    entry: Option<&Entry>,
    offset: Offset,
) -> Result<()> {
    let Some(entry) = entry else {
        let mut delete = connection.prepare_cached("DELETE FROM bans WHERE prefix = ?1 AND jail = ?2")?;
        return delete.execute([prefix, jail]).map(drop);
    };
    let mut put = connection.prepare_cached(
        "INSERT OR REPLACE INTO bans (prefix, jail, started, until, ended, origin, attempts, user, pattern, reason, uid)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?;
    match entry {
        Entry::Ended { started } => put.execute(params![
            prefix,
            jail,
            offset.wall(*started),
            None::<i64>,
            true,
            "log",
            None::<u32>,
            None::<&[u8]>,
            None::<&str>,
            None::<&str>,
            None::<u32>
        ]),
        Entry::InForce(Ban { started, until, origin }) => {
            let started = offset.wall(*started);
            let until = match until {
                Until::At(end) => Some(offset.wall(*end)),
                Until::Forever => None,
            };
            let (origin, attempts, user, pattern, reason, uid) = match origin {
                Origin::Log { attempts, user, pattern } => {
                    ("log", Some(attempts.as_tenths()), user.as_deref(), Some(&**pattern), None, None)
                }
                Origin::Command { reason, by } => {
                    ("command", None, None, None, reason.as_deref(), by.map(|Uid(uid)| uid))
                }
                Origin::Adopted => ("adopted", None, None, None, None, None),
            };
            put.execute(params![prefix, jail, started, until, false, origin, attempts, user, pattern, reason, uid])
        }
    }
    .map(drop)
}

/// Bytes of one user in `failures.users`.
const USER_BYTES: usize = 4;

pub(super) const FAILURES: &str = "SELECT prefix, jail, latest, list, users FROM failures";

/// Failures from a row of [`FAILURES`].
pub(super) fn failures(row: &Row<'_>, offset: Offset) -> Result<Counted> {
    let latest: i64 = row.get(2)?;
    let list = row.get_ref(3)?.as_blob()?;
    let users = row.get_ref(4)?.as_blob_or_null()?.unwrap_or_default();
    let users = users.chunks_exact(USER_BYTES).map(|bytes| Tag::new(u32::from_le_bytes(bytes.try_into().ok()?)));
    let failure = |(bytes, user): (&[u8], Option<Tag>)| {
        let (before, tenths) = bytes.split_at(8);
        let before = i64::from_le_bytes(before.try_into().ok()?);
        let attempts = Attempts::tenths(u32::from_le_bytes(tenths.try_into().ok()?));
        Some(Tries { at: offset.boot(latest.saturating_sub(before)), attempts, user })
    };
    Ok(list.chunks_exact(FAILURE_BYTES).zip(users.chain(std::iter::repeat(None))).filter_map(failure).collect())
}

/// Writes failures, or removes what there is of them.
pub(super) fn put_failures(
    connection: &Connection,
    (prefix, jail): (&str, &str),
    failures: &Counted,
    offset: Offset,
) -> Result<()> {
    let Some(latest) = failures.last().map(|tries| tries.at) else {
        let mut delete = connection.prepare_cached("DELETE FROM failures WHERE prefix = ?1 AND jail = ?2")?;
        return delete.execute([prefix, jail]).map(drop);
    };
    let mut list = Vec::with_capacity(FAILURE_BYTES * failures.len());
    for Tries { at, attempts, user: _ } in failures {
        list.extend(latest.as_nanos().saturating_sub(at.as_nanos()).to_le_bytes());
        list.extend(attempts.as_tenths().to_le_bytes());
    }
    let is_anybodys = failures.iter().any(|tries| tries.user.is_some());
    let users = failures.iter().flat_map(|tries| tries.user.map_or(0, Tag::number).to_le_bytes());
    let users: Option<Vec<u8>> = is_anybodys.then(|| users.collect());
    let mut put = connection.prepare_cached(
        "INSERT OR REPLACE INTO failures (prefix, jail, latest, list, users) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    put.execute(params![prefix, jail, offset.wall(latest), list, users]).map(drop)
}

pub(super) const LOGS: &str =
    "SELECT source, path, device, inode, offset, before, skipping, noted FROM logs ORDER BY source, id";

/// A place in a log from a row of [`LOGS`]. Numbers without a sign are stored with one, bit by bit.
pub(super) fn mark(row: &Row<'_>) -> Result<Mark> {
    Ok(Mark {
        path: PathBuf::from(std::ffi::OsString::from_vec(row.get(1)?)),
        device: row.get::<_, i64>(2)?.cast_unsigned(),
        inode: row.get::<_, i64>(3)?.cast_unsigned(),
        offset: row.get::<_, i64>(4)?.cast_unsigned(),
        before: row.get(5)?,
        skipping: row.get(6)?,
        noted: row.get(7)?,
    })
}

/// Writes a place in a log in place of an earlier one.
pub(super) fn put_mark(connection: &Connection, source: &str, mark: &Mark, now: i64) -> Result<()> {
    let Mark { path, device, inode, offset, before, skipping, noted: _ } = mark;
    let mut put = connection.prepare_cached(
        "INSERT INTO logs (source, path, device, inode, offset, before, skipping, noted)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (source, device, inode) DO UPDATE
         SET path = excluded.path, offset = excluded.offset, before = excluded.before, skipping = excluded.skipping,
             noted = excluded.noted",
    )?;
    let path = OsStr::as_bytes(path.as_os_str());
    let numbers = (device.cast_signed(), inode.cast_signed(), offset.cast_signed());
    put.execute(params![source, path, numbers.0, numbers.1, numbers.2, before, skipping, now]).map(drop)
}

/// Writes places in logs, and whose sources' they are.
pub(super) fn put_logs(connection: &Connection, logs: &[(String, Vec<Mark>)], noted: i64) -> Result<()> {
    for (source, marks) in logs {
        connection.prepare_cached("INSERT OR IGNORE INTO sources (source) VALUES (?1)")?.execute([source])?;
        for mark in marks {
            put_mark(connection, source, mark, noted)?;
        }
    }
    Ok(())
}

pub(super) const CURSORS: &str = "SELECT source, cursor FROM cursors LIMIT ?1";

/// Writes a place in a journal in place of an earlier one.
pub(super) fn put_cursor(connection: &Connection, source: &str, mark: &JournalMark) -> Result<()> {
    let mut put = connection.prepare_cached("INSERT OR REPLACE INTO cursors (source, cursor) VALUES (?1, ?2)")?;
    put.execute(params![source, mark.cursor()]).map(drop)
}

/// Forgets a place in a log.
pub(super) fn remove_mark(connection: &Connection, source: &str, device: u64, inode: u64) -> Result<()> {
    let mut remove = connection.prepare_cached("DELETE FROM logs WHERE source = ?1 AND device = ?2 AND inode = ?3")?;
    remove.execute(params![source, device.cast_signed(), inode.cast_signed()]).map(drop)
}
