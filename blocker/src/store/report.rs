//! What happened in some time, put together from the account of bans ([`account`](super::account)) by the database itself: rows are summed
//! up where they are, and only what is told is kept in memory. Networks are the exception, which SQL does not know: their sums are made while
//! rows pass, for at most as many networks as there are bans in the account.
//!
//! The daemon's thread does it for who asks the daemon. If that is down, [`read`] opens the file as it is, for reading alone.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};
use blocker_core::prefix::Prefix;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, Result, Row};

use super::schema::{APPLICATION_ID, MIGRATIONS};
use super::{FILE_NAME, account};
use crate::clock::{Reading, rfc3339};
use crate::control::report::{
    Ban, Jail, MAX_JAILS, MAX_ROWS, MAX_SINCE_S, MAX_TIMES, Network, Offender, Report, Suspect, Time, Totals, User,
};
use crate::exit::{Failure, io_failure};
use crate::regular;

/// How long a database is read that the daemon does not have. It waits for five seconds for the file when it starts.
const READ_WITHIN: Duration = Duration::from_secs(4);

/// A time, and how it is divided.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// Wall time, in nanoseconds since 1970.
    from: i64,
    to: i64,
    /// Added to universal time, in nanoseconds.
    utc_offset: i64,
    /// In nanoseconds.
    step: i64,
    /// From when on nothing was forgotten for its age.
    kept_from: i64,
}

impl Span {
    /// The last `since_s` seconds, divided into hours or days of a zone that is `utc_offset_s` seconds ahead.
    #[must_use]
    pub fn new(since_s: u64, utc_offset_s: i32, clock: Reading) -> Self {
        let to = clock.wall_ns();
        let seconds = i64::try_from(since_s.clamp(1, MAX_SINCE_S)).unwrap_or(i64::MAX);
        let from = to.saturating_sub(seconds.saturating_mul(SECOND));
        // A zone is at most a day from another.
        let utc_offset = i64::from(utc_offset_s.clamp(-86_400, 86_400)) * SECOND;
        let fits = |step: &i64| seconds / step + 2 <= MAX_TIMES;
        let step = STEPS.into_iter().find(fits).unwrap_or(STEPS[STEPS.len() - 1]);
        Self { from, to, utc_offset, step: step * SECOND, kept_from: i64::MIN }
    }

    /// The same where what was over for so long is forgotten: `daemon.remember_bans`.
    #[must_use]
    pub fn remembered(self, remember_bans: Duration) -> Self {
        let age = i64::try_from(remember_bans.as_nanos()).unwrap_or(i64::MAX);
        Self { kept_from: self.to.saturating_sub(age), ..self }
    }

    /// The number of the hour or day in which `at` is.
    fn slot(self, at: i64) -> i64 {
        at.saturating_add(self.utc_offset).div_euclid(self.step)
    }

    /// When the hour or day of this number begins.
    fn start(self, slot: i64) -> i64 {
        slot.saturating_mul(self.step).saturating_sub(self.utc_offset)
    }
}

const SECOND: i64 = 1_000_000_000;

/// An hour, six, a day, a week, four, sixteen: in seconds.
const STEPS: [i64; 6] = [3_600, 6 * 3_600, 86_400, 7 * 86_400, 28 * 86_400, 112 * 86_400];

/// Puts it together.
///
/// # Errors
///
/// SQLite's.
pub(super) fn of(connection: &Connection, span: Span) -> Result<Report> {
    // Of one instant, whoever writes besides.
    let transaction = connection.unchecked_transaction()?;
    let report = Report {
        from: rfc3339(span.from),
        to: rfc3339(span.to),
        known_from: known_from(connection, span)?,
        bans: totals(connection, span)?,
        jails: jails(connection, span)?,
        step_s: u64::try_from(span.step / SECOND).unwrap_or_default(),
        times: times(connection, span)?,
        networks: networks(connection, span)?,
        users: users(connection, span)?,
        offenders: offenders(connection, span)?,
        longest: longest(connection, span)?,
        suspects: suspects(connection, span)?,
    };
    transaction.finish()?;
    Ok(report)
}

/// Reads the database in `state` while no daemon has it, and changes nothing.
///
/// # Errors
///
/// If there is none, it is another version's, somebody has it, or it takes too long.
pub fn read(state: &Path, span: Span) -> anyhow::Result<Report> {
    let path = state.join(FILE_NAME);
    // SQLite says little of why it cannot open a file.
    if let Err(error) = regular::open(&path) {
        if error.kind() == ErrorKind::NotFound {
            let path = path.display();
            let why = format!("no daemon answers, and there is no {path}: no daemon has run with this `daemon.state`");
            return Err(Failure::NotRunning(why).into());
        }
        return Err(io_failure(error, format!("reading {}", path.display())));
    }
    let doing = || format!("reading {}", path.display());
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&path, flags).with_context(doing)?;
    let interrupt = connection.get_interrupt_handle();
    // Ends with the process, or finds nothing to interrupt.
    thread::spawn(move || {
        thread::sleep(READ_WITHIN);
        interrupt.interrupt();
    });
    let read = || -> Result<Result<Report, i64>> {
        let application: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
        let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if application != APPLICATION_ID || usize::try_from(version) != Ok(MIGRATIONS.len()) {
            return Ok(Err(version));
        }
        of(&connection, span).map(Ok)
    };
    match read() {
        Ok(Ok(report)) => Ok(report),
        Ok(Err(version)) => {
            let is_later = usize::try_from(version).is_ok_and(|version| version > MIGRATIONS.len());
            let remedy =
                if is_later { "use the later blocker" } else { "start the daemon, which brings them up to date" };
            bail!(
                "{}: its tables are of version {version}, this version of blocker knows {}: {remedy}",
                path.display(),
                MIGRATIONS.len()
            )
        }
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
            bail!("{}: a daemon has it, which does not answer: is it about to start or stop?", path.display())
        }
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
            bail!("{}: reading it takes more than {} s: start the daemon", path.display(), READ_WITHIN.as_secs())
        }
        Err(error) => Err(error).with_context(doing),
    }
}

/// From when on every ban is known, if that is later than what was asked: the account may be full, and what is old is forgotten.
fn known_from(connection: &Connection, span: Span) -> Result<Option<String>> {
    let (count, first): (i64, Option<i64>) =
        connection.query_row("SELECT count(*), min(started) FROM account", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let first = first.filter(|_| count >= account::MAX_BANS);
    Ok(first.max(Some(span.kept_from)).filter(|known_from| *known_from > span.from).map(rfc3339))
}

/// Bans of long lists that are in force. A list that was loaded again has another row, of what began when the first did: of these the longest
/// counts. What of a list is too little for a row of its own has rows like single bans, and no account.
const LISTED: &str = "SELECT (SELECT coalesce(sum(longest), 0) FROM (
            SELECT max(size) AS longest FROM lists
            WHERE started >= ?1 AND origin = 'command' AND (until IS NULL OR until > ?2) GROUP BY jail, started))
        + (SELECT count(*) FROM bans
            WHERE started >= ?1 AND origin = 'command' AND NOT ended AND (until IS NULL OR until > ?2)
            AND NOT EXISTS (SELECT 1 FROM account AS known
                WHERE known.prefix = bans.prefix AND known.jail = bans.jail AND known.started = bans.started))";

fn totals(connection: &Connection, span: Span) -> Result<Totals> {
    let mut totals = connection.query_row(
        "SELECT count(*), count(*) FILTER (WHERE origin = 'log'), count(*) FILTER (WHERE origin = 'command'),
            count(DISTINCT prefix), coalesce(sum(attempts), 0), count(*) FILTER (WHERE why = 'command'),
            count(*) FILTER (WHERE why LIKE 'allow-listed%'), count(*) FILTER (WHERE why = 'table full'),
            count(*) FILTER (WHERE ended IS NULL AND (until IS NULL OR until > ?2))
         FROM account WHERE started >= ?1",
        [span.from, span.to],
        |row| {
            Ok(Totals {
                made: number(row, 0)?,
                by_log: number(row, 1)?,
                by_command: number(row, 2)?,
                by_list: 0,
                prefixes: number(row, 3)?,
                attempts: attempts(row, 4)?,
                lifted: number(row, 5)?,
                allowed: number(row, 6)?,
                gave_way: number(row, 7)?,
                in_force: number(row, 8)?,
            })
        },
    )?;
    totals.by_list = connection.query_row(LISTED, [span.from, span.to], |row| number(row, 0))?;
    Ok(totals)
}

fn jails(connection: &Connection, span: Span) -> Result<Vec<Jail>> {
    let mut select = connection.prepare(&format!(
        "SELECT jail, count(*), coalesce(sum(attempts), 0) FROM account WHERE started >= ?1
         GROUP BY jail ORDER BY 2 DESC, 1 LIMIT {MAX_JAILS}"
    ))?;
    let jail = |row: &Row<'_>| Ok(Jail { jail: row.get(0)?, bans: number(row, 1)?, attempts: attempts(row, 2)? });
    select.query_map([span.from], jail)?.collect()
}

fn times(connection: &Connection, span: Span) -> Result<Vec<Time>> {
    // As `Span::slot`: nothing in the account is from before 1970.
    let mut select = connection.prepare(
        "SELECT (started + ?2) / ?3, count(*) FROM account WHERE started >= ?1 AND started + ?2 >= 0 GROUP BY 1",
    )?;
    let rows = select.query_map([span.from, span.utc_offset, span.step], |row| Ok((row.get(0)?, number(row, 1)?)))?;
    let counts: HashMap<i64, u64> = rows.collect::<Result<_>>()?;
    let slots = span.slot(span.from)..=span.slot(span.to);
    Ok(slots
        .take(usize::try_from(MAX_TIMES).unwrap_or_default())
        .map(|slot| Time { start: rfc3339(span.start(slot)), bans: counts.get(&slot).copied().unwrap_or_default() })
        .collect())
}

fn networks(connection: &Connection, span: Span) -> Result<Vec<Network>> {
    let mut select = connection.prepare("SELECT prefix, coalesce(attempts, 0) FROM account WHERE started >= ?1")?;
    let mut rows = select.query([span.from])?;
    // At most as many as there are rows: `account::MAX_BANS`.
    let mut sums: HashMap<Prefix, (u64, i64)> = HashMap::new();
    while let Some(row) = rows.next()? {
        let Ok(prefix) = row.get_ref(0)?.as_str()?.parse::<Prefix>() else { continue };
        let len = if matches!(prefix.addr(), IpAddr::V4(_)) { 24 } else { 48 };
        let network = prefix.shortened(len).unwrap_or(prefix);
        let sum = sums.entry(network).or_default();
        sum.0 += 1;
        sum.1 = sum.1.saturating_add(row.get(1)?);
    }
    let mut networks: Vec<Network> = sums
        .into_iter()
        .map(|(network, (bans, tenths))| Network { network, bans, attempts: of_tenths(tenths) })
        .collect();
    networks
        .sort_by(|a, b| b.bans.cmp(&a.bans).then(b.attempts.total_cmp(&a.attempts)).then(a.network.cmp(&b.network)));
    networks.truncate(MAX_ROWS);
    Ok(networks)
}

fn users(connection: &Connection, span: Span) -> Result<Vec<User>> {
    let mut select = connection.prepare(&format!(
        "SELECT user, sum(evidence.attempts), count(DISTINCT ban) FROM account JOIN evidence ON ban = id
         WHERE started >= ?1 AND user IS NOT NULL GROUP BY user ORDER BY 2 DESC, 3 DESC, 1 LIMIT {MAX_ROWS}"
    ))?;
    let user = |row: &Row<'_>| Ok(User { user: text(row, 0)?, attempts: attempts(row, 1)?, bans: number(row, 2)? });
    select.query_map([span.from], user)?.collect()
}

fn offenders(connection: &Connection, span: Span) -> Result<Vec<Offender>> {
    let mut select = connection.prepare(&format!(
        "SELECT prefix, count(*), max(started) FROM account WHERE started >= ?1 AND origin = 'log'
         GROUP BY prefix HAVING count(*) > 1 ORDER BY 2 DESC, 3 DESC, 1 LIMIT {MAX_ROWS}"
    ))?;
    let mut history = connection.prepare("SELECT coalesce(sum(bans), 0) FROM history WHERE prefix = ?1")?;
    let mut rows = select.query([span.from])?;
    let mut offenders = Vec::new();
    while let Some(row) = rows.next()? {
        let (Some(prefix), bans) = (prefix(row, 0)?, number(row, 1)?) else { continue };
        let ever = history.query_row([row.get_ref(0)?.as_str()?], |row| number(row, 0)).optional()?.unwrap_or_default();
        offenders.push(Offender { prefix, bans, ever: ever.max(bans), last: rfc3339(row.get(2)?) });
    }
    Ok(offenders)
}

fn longest(connection: &Connection, span: Span) -> Result<Vec<Ban>> {
    let mut select = connection.prepare(&format!(
        "SELECT prefix, jail, started, coalesce(ended, until) AS over FROM account WHERE started >= ?1
         ORDER BY over IS NULL DESC, over - started DESC, id DESC LIMIT {MAX_ROWS}"
    ))?;
    let mut rows = select.query([span.from])?;
    let mut bans = Vec::new();
    while let Some(row) = rows.next()? {
        let Some(prefix) = prefix(row, 0)? else { continue };
        let (since, over): (i64, Option<i64>) = (row.get(2)?, row.get(3)?);
        bans.push(Ban {
            prefix,
            jail: row.get(1)?,
            since: rfc3339(since),
            until: over.map_or_else(|| "forever".to_owned(), rfc3339),
            lasts_s: over.map(|over| u64::try_from(over.saturating_sub(since) / SECOND).unwrap_or_default()),
        });
    }
    Ok(bans)
}

/// Bans of somebody who has logged in, who was let in again by hand, or who was allowed since. The first is the better sign.
fn suspects(connection: &Connection, span: Span) -> Result<Vec<Suspect>> {
    let mut select = connection.prepare(&format!(
        "SELECT prefix, jail, started, logged_in, ended, why,
            (SELECT user FROM evidence WHERE ban = account.id AND user IS NOT NULL ORDER BY number DESC LIMIT 1)
         FROM account WHERE started >= ?1 AND origin = 'log'
            AND (logged_in IS NOT NULL OR why = 'command' OR why LIKE 'allow-listed%')
         ORDER BY logged_in IS NULL, id DESC LIMIT {MAX_ROWS}"
    ))?;
    let mut rows = select.query([span.from])?;
    let mut suspects = Vec::new();
    while let Some(row) = rows.next()? {
        let Some(prefix) = prefix(row, 0)? else { continue };
        let (logged_in, ended): (Option<i64>, Option<i64>) = (row.get(3)?, row.get(4)?);
        let by_hand = row.get::<_, Option<String>>(5)?.is_some_and(|why| why == "command");
        let (why, at) = match (logged_in, by_hand) {
            (Some(at), _) => ("logged-in", at),
            (None, true) => ("lifted", ended.unwrap_or_default()),
            (None, false) => ("allowed", ended.unwrap_or_default()),
        };
        suspects.push(Suspect {
            prefix,
            jail: row.get(1)?,
            since: rfc3339(row.get(2)?),
            user: row.get::<_, Option<Vec<u8>>>(6)?.map(|user| String::from_utf8_lossy(&user).into_owned()),
            why: why.to_owned(),
            at: rfc3339(at),
        });
    }
    Ok(suspects)
}

fn prefix(row: &Row<'_>, column: usize) -> Result<Option<Prefix>> {
    Ok(row.get_ref(column)?.as_str()?.parse().ok())
}

fn number(row: &Row<'_>, column: usize) -> Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or_default())
}

fn text(row: &Row<'_>, column: usize) -> Result<String> {
    Ok(String::from_utf8_lossy(&row.get::<_, Vec<u8>>(column)?).into_owned())
}

/// Attempts, which are kept in tenths.
fn attempts(row: &Row<'_>, column: usize) -> Result<f64> {
    Ok(of_tenths(row.get(column)?))
}

#[expect(clippy::cast_precision_loss, reason = "sums of attempts are far below 2^53 tenths")]
fn of_tenths(tenths: i64) -> f64 {
    tenths as f64 / 10.0
}
