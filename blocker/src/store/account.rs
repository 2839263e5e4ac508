//! The account of single bans: how each began, by which lines, and what became of it.
//!
//! - `account`: a ban of `prefix` by `jail`, from `started` to `until` (NULL: for ever), as a log earned it (`attempts` of
//!   `max_retry` within `find_time`, by `pattern` at last) or user `uid` asked for it (`reason`). If it was over before that, `ended`
//!   says when, `why` for which reason, and `lifted_by` which user did it. If somebody logged in from there after it had begun, `logged_in`
//!   says when first.
//! - `evidence`: the lines that earned the `ban` with this id, as they were written, in their order, cut if `is_cut`; the time each
//!   was `made`, the tenths of `attempts` that it added and of those that had come together with it, `count`.
//!
//! Users are numbers. The account is bounded by [`MAX_BANS`] and by age; a ban in force keeps its row as long as that is among them.

use std::time::Duration;

use blocker_core::attempts::Attempts;
use blocker_core::bans::Uid;
use blocker_core::engine::account::Note;
use blocker_core::engine::{Ban, Evidence, Origin, UnbanReason};
use blocker_core::prefix::Prefix;
use blocker_core::time::Until;
use rusqlite::{Connection, Result, Row, params};

use super::wall::Offset;

/// Bans of which there is an account; beyond it the first noted is forgotten. With [`MAX_EVIDENCE_BYTES`] of lines each, which
/// takes an attacker who writes long lines, 300 MiB; as a rule 80 MiB.
///
/// [`MAX_EVIDENCE_BYTES`]: blocker_core::engine::evidence::MAX_EVIDENCE_BYTES
pub(super) const MAX_BANS: i64 = 65_536;

/// Bans that are told to who asks: the last ones.
pub const MAX_TOLD: usize = 20;

/// What a database has for it.
pub(super) const TABLES: &str = "ALTER TABLE bans ADD COLUMN uid INTEGER;
    ALTER TABLE lists ADD COLUMN uid INTEGER;
    CREATE TABLE account (
        id INTEGER PRIMARY KEY,
        prefix TEXT NOT NULL,
        jail TEXT NOT NULL,
        started INTEGER NOT NULL,
        until INTEGER,
        origin TEXT NOT NULL CHECK (origin IN ('log', 'command', 'adopted')),
        attempts INTEGER,
        max_retry INTEGER,
        find_time INTEGER,
        pattern TEXT,
        uid INTEGER,
        reason TEXT,
        ended INTEGER,
        why TEXT,
        lifted_by INTEGER
    ) STRICT;
    CREATE INDEX account_of ON account (prefix, jail);
    CREATE TABLE evidence (
        ban INTEGER NOT NULL,
        number INTEGER NOT NULL,
        line BLOB NOT NULL,
        is_cut INTEGER NOT NULL CHECK (is_cut IN (0, 1)),
        addr TEXT NOT NULL,
        user BLOB,
        filter TEXT NOT NULL,
        pattern TEXT NOT NULL,
        made INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        count INTEGER NOT NULL,
        PRIMARY KEY (ban, number)
    ) STRICT, WITHOUT ROWID;
    CREATE TRIGGER evidence_goes AFTER DELETE ON account BEGIN
        DELETE FROM evidence WHERE ban = old.id;
    END;";

/// What it has besides: when somebody logged in whom a ban bans, or banned.
pub(super) const LOGGED_IN: &str = "ALTER TABLE account ADD COLUMN logged_in INTEGER;";

/// A ban as the account has it. Times are wall time, in nanoseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastBan {
    /// Whom it bans, or banned.
    pub prefix: Prefix,
    /// Whose it is, or was.
    pub jail: String,
    /// When it began.
    pub started: i64,
    /// When it ends, or would have; `None` for never.
    pub until: Option<i64>,
    /// `log` or `command`.
    pub origin: String,
    /// What a log had told of.
    pub attempts: Option<Attempts>,
    /// What earned a ban.
    pub max_retry: Option<u32>,
    /// Within which time.
    pub find_time: Option<Duration>,
    /// The pattern that matched last.
    pub pattern: Option<String>,
    /// Who asked for it.
    pub by: Option<Uid>,
    /// Why, in their words.
    pub reason: Option<String>,
    /// When it was over, if that was before its end; why; and who did it.
    pub ended: Option<(i64, String, Option<Uid>)>,
    /// The lines that earned it.
    pub lines: Vec<PastLine>,
}

/// A line that a ban was earned by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastLine {
    /// As it was written.
    pub line: Vec<u8>,
    /// Whether it was longer.
    pub is_cut: bool,
    /// Who failed.
    pub addr: String,
    /// Who that claimed to be.
    pub user: Option<Vec<u8>>,
    /// The filter that knew the line.
    pub filter: String,
    /// Its pattern.
    pub pattern: String,
    /// When it was made: wall time, in nanoseconds since 1970.
    pub made: i64,
    /// What it added.
    pub attempts: Attempts,
    /// What had come together with it.
    pub count: Attempts,
}

/// Writes what has happened to a ban whose jail has this name.
pub(super) fn write(connection: &Connection, note: &Note, jail: &str, offset: Offset) -> Result<()> {
    let end = |until: &Until| match until {
        Until::At(end) => Some(offset.wall(*end)),
        Until::Forever => None,
    };
    // The last one that there is an account of, if that is not over.
    const LAST: &str = "id = (SELECT max(id) FROM account WHERE prefix = ?1 AND jail = ?2)
        AND ended IS NULL AND (until IS NULL OR until > ?3)";
    match note {
        Note::Began { prefix, jail: _, ban: Ban { started, until, origin }, limits, evidence } => {
            let (word, attempts, pattern, by, reason) = match origin {
                Origin::Log { attempts, user: _, pattern } => {
                    ("log", Some(attempts.as_tenths()), Some(&**pattern), None, None)
                }
                Origin::Command { reason, by } => ("command", None, None, by.map(|Uid(uid)| uid), reason.as_deref()),
                Origin::Adopted => ("adopted", None, None, None, None),
            };
            let (max_retry, find_time) = limits.unzip();
            let find_time = find_time.map(|span| i64::try_from(span.as_nanos()).unwrap_or(i64::MAX));
            let mut put = connection.prepare_cached(
                "INSERT INTO account (prefix, jail, started, until, origin, attempts, max_retry, find_time, pattern, uid, reason)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            )?;
            let times = (offset.wall(*started), end(until));
            let prefix = prefix.to_string();
            put.execute(params![
                prefix, jail, times.0, times.1, word, attempts, max_retry, find_time, pattern, by, reason
            ])?;
            write_lines(connection, connection.last_insert_rowid(), evidence, offset)
        }
        Note::Renewed { prefix, jail: _, at, until } => {
            let mut renew = connection.prepare_cached(&format!("UPDATE account SET until = ?4 WHERE {LAST}"))?;
            renew.execute(params![prefix.to_string(), jail, offset.wall(*at), end(until)]).map(drop)
        }
        Note::Ended { prefix, jail: _, at, why, by } => {
            let at = offset.wall(*at);
            let mut lift = connection
                .prepare_cached(&format!("UPDATE account SET ended = ?3, why = ?4, lifted_by = ?5 WHERE {LAST}"))?;
            let why = match why {
                UnbanReason::Expired => "over".to_owned(),
                UnbanReason::ByCommand => "command".to_owned(),
                UnbanReason::AllowListed(allowed) => format!("allow-listed: {allowed}"),
                UnbanReason::Evicted => "table full".to_owned(),
            };
            lift.execute(params![prefix.to_string(), jail, at, why, by.map(|Uid(uid)| uid)]).map(drop)
        }
        Note::LoggedIn { prefix, at } => {
            let mut log_in = connection.prepare_cached(
                "UPDATE account SET logged_in = ?2 WHERE logged_in IS NULL
                 AND id = (SELECT max(id) FROM account WHERE prefix = ?1 AND origin = 'log')",
            )?;
            log_in.execute(params![prefix.to_string(), offset.wall(*at)]).map(drop)
        }
        Note::AllEnded { at, by } => {
            let mut lift = connection.prepare_cached(
                "UPDATE account SET ended = ?1, why = 'command', lifted_by = ?2
                 WHERE ended IS NULL AND (until IS NULL OR until > ?1)",
            )?;
            lift.execute(params![offset.wall(*at), by.map(|Uid(uid)| uid)]).map(drop)
        }
    }
}

fn write_lines(connection: &Connection, ban: i64, lines: &[Evidence], offset: Offset) -> Result<()> {
    let mut put = connection.prepare_cached(
        "INSERT OR REPLACE INTO evidence (ban, number, line, is_cut, addr, user, filter, pattern, made, attempts, count)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?;
    for (number, told) in (1_i64..).zip(lines) {
        let Evidence { line, is_cut, addr, user, filter, pattern, made, attempts, count, of: _ } = told;
        put.execute(params![
            ban,
            number,
            line,
            is_cut,
            addr.to_string(),
            user,
            &**filter,
            &**pattern,
            offset.wall(*made),
            attempts.as_tenths(),
            count.as_tenths()
        ])?;
    }
    Ok(())
}

/// Forgets the first noted beyond [`MAX_BANS`].
pub(super) fn trim(connection: &Connection) -> Result<()> {
    let mut trim = connection.prepare_cached("DELETE FROM account WHERE id <= (SELECT max(id) FROM account) - ?1")?;
    trim.execute([MAX_BANS]).map(drop)
}

/// Forgets what was over before `before`, wall time.
pub(super) fn clean(connection: &Connection, before: i64) -> Result<()> {
    connection.execute("DELETE FROM account WHERE coalesce(ended, until) < ?1", [before]).map(drop)
}

/// What is moved when the clock is set.
pub(super) const TIMES: [(&str, &[&str]); 2] =
    [("account", &["started", "until", "ended", "logged_in"]), ("evidence", &["made"])];

const ROW: &str = "SELECT prefix, jail, started, until, origin, attempts, max_retry, find_time, pattern, uid, reason,
        ended, why, lifted_by, id FROM account";

/// The last [`MAX_TOLD`] bans that cover `whom` or lie in it, the last to begin first. Times in rows are of this offset, and told as
/// the clock shows them now.
pub(super) fn of(connection: &Connection, whom: Prefix) -> Result<Vec<PastBan>> {
    let mut found: Vec<(i64, PastBan)> = Vec::new();
    let mut by_prefix =
        connection.prepare_cached(&format!("{ROW} WHERE prefix = ?1 ORDER BY id DESC LIMIT {MAX_TOLD}"))?;
    for covering in (1..=whom.len()).filter_map(|len| whom.shortened(len)) {
        let mut rows = by_prefix.query([covering.to_string()])?;
        while let Some(row) = rows.next()? {
            found.extend(past_ban(row)?);
        }
    }
    if !whom.is_host() {
        // Texts have no order that prefixes have; there are not so many.
        let mut all = connection.prepare_cached(&format!("{ROW} ORDER BY id DESC"))?;
        let mut rows = all.query([])?;
        let mut inside = 0;
        while inside < MAX_TOLD
            && let Some(row) = rows.next()?
        {
            let is_inside =
                row.get_ref(0)?.as_str()?.parse().is_ok_and(|prefix: Prefix| prefix != whom && whom.covers(prefix));
            if is_inside && let Some(ban) = past_ban(row)? {
                found.push(ban);
                inside += 1;
            }
        }
    }
    found.sort_by_key(|&(id, _)| std::cmp::Reverse(id));
    found.truncate(MAX_TOLD);
    for (id, ban) in &mut found {
        ban.lines = lines(connection, *id)?;
    }
    Ok(found.into_iter().map(|(_, ban)| ban).collect())
}

fn past_ban(row: &Row<'_>) -> Result<Option<(i64, PastBan)>> {
    let Ok(prefix) = row.get_ref(0)?.as_str()?.parse() else { return Ok(None) };
    let nanos = row.get::<_, Option<i64>>(7)?.and_then(|nanos| u64::try_from(nanos).ok());
    let ended: Option<i64> = row.get(11)?;
    let lifted = (row.get::<_, Option<String>>(12)?.unwrap_or_default(), row.get::<_, Option<u32>>(13)?.map(Uid));
    let ban = PastBan {
        prefix,
        jail: row.get(1)?,
        started: row.get(2)?,
        until: row.get(3)?,
        origin: row.get(4)?,
        attempts: row.get::<_, Option<u32>>(5)?.map(Attempts::tenths),
        max_retry: row.get(6)?,
        find_time: nanos.map(Duration::from_nanos),
        pattern: row.get(8)?,
        by: row.get::<_, Option<u32>>(9)?.map(Uid),
        reason: row.get(10)?,
        ended: ended.map(|at| (at, lifted.0, lifted.1)),
        lines: Vec::new(),
    };
    Ok(Some((row.get(14)?, ban)))
}

fn lines(connection: &Connection, ban: i64) -> Result<Vec<PastLine>> {
    let mut select = connection.prepare_cached(
        "SELECT line, is_cut, addr, user, filter, pattern, made, attempts, count FROM evidence WHERE ban = ?1 ORDER BY number",
    )?;
    let line = |row: &Row<'_>| {
        Ok(PastLine {
            line: row.get(0)?,
            is_cut: row.get(1)?,
            addr: row.get(2)?,
            user: row.get(3)?,
            filter: row.get(4)?,
            pattern: row.get(5)?,
            made: row.get(6)?,
            attempts: Attempts::tenths(row.get(7)?),
            count: Attempts::tenths(row.get(8)?),
        })
    };
    select.query_map([ban], line)?.collect()
}
