//! Earlier bans as rows.

use blocker_core::engine::{JailId, Key};
use blocker_core::escalation::Earlier;
use rusqlite::{Connection, Result, params};

use super::database::key;
use super::wall::Offset;

/// Reads them. Returns also how many rows were not understood, or of no jail: these are kept, for when it comes back.
pub(super) fn load(
    connection: &Connection,
    jail: impl Fn(&str) -> Option<JailId>,
    offset: Offset,
) -> Result<(Vec<(Key, Earlier)>, usize)> {
    let (mut history, mut unused) = (Vec::new(), 0);
    let mut statement = connection.prepare("SELECT prefix, jail, bans, last FROM history")?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let earlier = Earlier { bans: row.get(2)?, last: offset.boot(row.get(3)?) };
        match key(row, &jail)? {
            Some(key) => history.push((key, earlier)),
            None => unused += 1,
        }
    }
    Ok((history, unused))
}

/// Writes how often somebody was banned, or removes it.
pub(super) fn put(
    connection: &Connection,
    (prefix, jail): (&str, &str),
    earlier: Option<Earlier>,
    offset: Offset,
) -> Result<()> {
    let Some(Earlier { bans, last }) = earlier else {
        let mut delete = connection.prepare_cached("DELETE FROM history WHERE prefix = ?1 AND jail = ?2")?;
        return delete.execute([prefix, jail]).map(drop);
    };
    let mut put = connection
        .prepare_cached("INSERT OR REPLACE INTO history (prefix, jail, bans, last) VALUES (?1, ?2, ?3, ?4)")?;
    put.execute(params![prefix, jail, bans, offset.wall(last)]).map(drop)
}
