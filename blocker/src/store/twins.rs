//! Messages that another log of a jail may tell too, as rows: one for each source that told one.

use std::collections::BTreeMap;

use blocker_core::engine::{JailId, SourceId, Twin, TwinKey};
use rusqlite::{Connection, Result, params};

use super::wall::Offset;

/// The number of a source that is none any more. No source has it: they are counted from 0.
const NOBODY: SourceId = SourceId::new(u32::MAX);

/// Reads them. They are given as younger by `down` nanoseconds: nothing could arrive while nothing ran. Returns also how
/// many rows were of no jail.
pub(super) fn load(
    connection: &Connection,
    jail: impl Fn(&str) -> Option<JailId>,
    source: impl Fn(&str) -> Option<SourceId>,
    (offset, down): (Offset, i64),
) -> Result<(Vec<(TwinKey, Twin)>, usize)> {
    let mut twins: BTreeMap<TwinKey, Twin> = BTreeMap::new();
    let mut unused = 0;
    let mut statement = connection.prepare("SELECT jail, message, source, times, last FROM twins")?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let Some(jail) = jail(row.get_ref(0)?.as_str()?) else {
            unused += 1;
            continue;
        };
        let told = twins.entry((jail, row.get::<_, i64>(1)?.cast_unsigned())).or_default();
        let teller = source(row.get_ref(2)?.as_str()?).unwrap_or(NOBODY);
        let times = row.get(3)?;
        match told.copies.iter_mut().find(|(known, _)| *known == teller) {
            Some((_, known)) => *known = known.saturating_add(times),
            None => told.copies.push((teller, times)),
        }
        told.last = told.last.max(offset.boot(row.get::<_, i64>(4)?.saturating_add(down)));
    }
    Ok((twins.into_iter().collect(), unused))
}

/// Writes what is kept of a message, in place of what there was.
pub(super) fn put(
    connection: &Connection,
    (jail, message): (&str, u64),
    told: Option<&Twin>,
    sources: &BTreeMap<SourceId, String>,
    offset: Offset,
) -> Result<()> {
    let message = message.cast_signed();
    let mut delete = connection.prepare_cached("DELETE FROM twins WHERE jail = ?1 AND message = ?2")?;
    delete.execute(params![jail, message])?;
    let Some(Twin { last, copies }) = told else { return Ok(()) };
    // Sources that are none any more share a row.
    let mut put = connection.prepare_cached(
        "INSERT INTO twins (jail, message, source, times, last) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (jail, message, source) DO UPDATE SET times = times + excluded.times",
    )?;
    for (source, times) in copies {
        let source = sources.get(source).map_or("", String::as_str);
        put.execute(params![jail, message, source, times, offset.wall(*last)])?;
    }
    Ok(())
}

/// Removes the rows of jails that are gone from `table`.
pub(super) fn remove_nobodys(
    connection: &Connection,
    table: &str,
    jail: impl Fn(&str) -> Option<JailId>,
) -> Result<()> {
    let mut statement = connection.prepare(&format!("SELECT DISTINCT jail FROM {table}"))?;
    let jails = statement.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>>>()?;
    for gone in jails.iter().filter(|name| jail(name).is_none()) {
        connection.execute(&format!("DELETE FROM {table} WHERE jail = ?1"), [gone])?;
    }
    Ok(())
}
