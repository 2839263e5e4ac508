//! What is allowed by command over a restart, as rows.

use std::sync::Arc;

use blocker_core::engine::Grant;
use blocker_core::grants::MAX_GRANTS;
use blocker_core::prefix::Prefix;
use blocker_core::time::Until;
use rusqlite::{Connection, Result, params};

use super::wall::Offset;

pub(super) const TABLE: &str = "CREATE TABLE allowed (
        prefix TEXT PRIMARY KEY,
        since INTEGER NOT NULL,
        until INTEGER,
        reason TEXT
    ) STRICT, WITHOUT ROWID;";

/// Reads them. Returns also how many rows were not understood.
pub(super) fn load(connection: &Connection, offset: Offset) -> Result<(Vec<(Prefix, Grant)>, usize)> {
    let (mut grants, mut unused) = (Vec::new(), 0);
    let mut statement = connection.prepare("SELECT prefix, since, until, reason FROM allowed LIMIT ?1")?;
    let mut found = statement.query([i64::try_from(MAX_GRANTS).unwrap_or(i64::MAX)])?;
    while let Some(row) = found.next()? {
        let grant = Grant {
            since: offset.boot(row.get(1)?),
            until: row.get::<_, Option<i64>>(2)?.map_or(Until::Forever, |until| Until::At(offset.boot(until))),
            persists: true,
            reason: row.get::<_, Option<String>>(3)?.map(Arc::from),
        };
        match row.get_ref(0)?.as_str()?.parse() {
            Ok(prefix) => grants.push((prefix, grant)),
            Err(_) => unused += 1,
        }
    }
    Ok((grants, unused))
}

/// Writes all of them in place of those that were there.
pub(super) fn replace(connection: &Connection, grants: &[(Prefix, Grant)], offset: Offset) -> Result<()> {
    connection.execute("DELETE FROM allowed", [])?;
    let mut put = connection
        .prepare_cached("INSERT OR REPLACE INTO allowed (prefix, since, until, reason) VALUES (?1, ?2, ?3, ?4)")?;
    for (prefix, Grant { since, until, persists: _, reason }) in grants {
        let until = match until {
            Until::At(end) => Some(offset.wall(*end)),
            Until::Forever => None,
        };
        put.execute(params![prefix.to_string(), offset.wall(*since), until, reason.as_deref()])?;
    }
    Ok(())
}
