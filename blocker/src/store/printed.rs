//! What commands have printed, as rows: hashes of lines, 8 bytes each, little-endian, a piece to a row.

use std::collections::BTreeMap;

use rusqlite::{Connection, Result, params};

use super::PrintedPiece;

/// Bytes of a hash.
const HASH_BYTES: usize = 8;

/// Reads them, by source, the youngest last.
pub(super) fn load(connection: &Connection) -> Result<BTreeMap<String, Vec<PrintedPiece>>> {
    let mut printed: BTreeMap<String, Vec<PrintedPiece>> = BTreeMap::new();
    let mut statement = connection.prepare("SELECT source, piece, lines FROM printed ORDER BY source, piece")?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let hash = |bytes: &[u8]| bytes.try_into().ok().map(u64::from_le_bytes);
        let lines = row.get_ref(2)?.as_blob()?.chunks_exact(HASH_BYTES).filter_map(hash).collect();
        printed.entry(row.get(0)?).or_default().push(PrintedPiece { number: row.get(1)?, lines });
    }
    Ok(printed)
}

/// Writes pieces of a source in place of earlier ones, and removes those before `first`.
pub(super) fn put(connection: &Connection, source: &str, first: i64, pieces: &[PrintedPiece]) -> Result<()> {
    let mut put =
        connection.prepare_cached("INSERT OR REPLACE INTO printed (source, piece, lines) VALUES (?1, ?2, ?3)")?;
    for PrintedPiece { number, lines } in pieces {
        let lines: Vec<u8> = lines.iter().flat_map(|line| line.to_le_bytes()).collect();
        put.execute(params![source, number, lines])?;
    }
    let mut remove = connection.prepare_cached("DELETE FROM printed WHERE source = ?1 AND piece < ?2")?;
    remove.execute(params![source, first]).map(drop)
}
