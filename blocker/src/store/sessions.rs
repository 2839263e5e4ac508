//! Connections of which another line may tell too, as rows.

use blocker_core::attempts::Attempts;
use blocker_core::engine::{JailId, MAX_SESSIONS, SessionKey, ToldSession};
use rusqlite::{Connection, Result, params};

use super::wall::Offset;

/// Reads them. They are given as younger by `down` nanoseconds: nothing could arrive while nothing ran. Returns also how
/// many rows were of no jail.
pub(super) fn load(
    connection: &Connection,
    jail: impl Fn(&str) -> Option<JailId>,
    (offset, down): (Offset, i64),
) -> Result<(Vec<(SessionKey, ToldSession)>, usize)> {
    let mut sessions = Vec::new();
    let mut unused = 0;
    let mut statement =
        connection.prepare("SELECT jail, session, login, auth, last FROM sessions ORDER BY last DESC LIMIT ?1")?;
    let mut found = statement.query([i64::try_from(MAX_SESSIONS).unwrap_or(i64::MAX)])?;
    while let Some(row) = found.next()? {
        let Some(jail) = jail(row.get_ref(0)?.as_str()?) else {
            unused += 1;
            continue;
        };
        let told = ToldSession {
            login: Attempts::tenths(row.get(2)?),
            auth: Attempts::tenths(row.get(3)?),
            last: offset.boot(row.get::<_, i64>(4)?.saturating_add(down)),
        };
        sessions.push(((jail, row.get::<_, i64>(1)?.cast_unsigned()), told));
    }
    Ok((sessions, unused))
}

/// Writes what is kept of a connection, in place of what there was.
pub(super) fn put(
    connection: &Connection,
    (jail, session): (&str, u64),
    told: Option<ToldSession>,
    offset: Offset,
) -> Result<()> {
    let session = session.cast_signed();
    let Some(ToldSession { last, login, auth }) = told else {
        let mut delete = connection.prepare_cached("DELETE FROM sessions WHERE jail = ?1 AND session = ?2")?;
        return delete.execute(params![jail, session]).map(drop);
    };
    let mut put = connection.prepare_cached(
        "INSERT OR REPLACE INTO sessions (jail, session, login, auth, last) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    put.execute(params![jail, session, login.as_tenths(), auth.as_tenths(), offset.wall(last)]).map(drop)
}
