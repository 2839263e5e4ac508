//! Who logged in lately, as one row: hashes in two tables, see [`SavedLogins`].

use blocker_core::logins::{MAX_TABLE_BYTES, SavedLogins};
use rusqlite::{Connection, OptionalExtension as _, Result, Row, params};

use super::wall::Offset;

pub(super) const TABLE: &str = "CREATE TABLE logins (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        seed INTEGER NOT NULL,
        began INTEGER NOT NULL,
        current BLOB NOT NULL,
        before BLOB NOT NULL
    ) STRICT;";

/// Reads them.
pub(super) fn load(connection: &Connection, offset: Offset) -> Result<Option<SavedLogins>> {
    let bytes = |row: &Row<'_>, column| {
        let bytes = row.get_ref(column)?.as_blob()?;
        Ok::<_, rusqlite::Error>(bytes.get(..MAX_TABLE_BYTES).unwrap_or(bytes).to_vec())
    };
    let saved = connection.query_row("SELECT seed, began, current, before FROM logins", [], |row| {
        Ok(SavedLogins {
            seed: row.get::<_, i64>(0)?.cast_unsigned(),
            began: offset.boot(row.get(1)?),
            current: bytes(row, 2)?,
            before: bytes(row, 3)?,
        })
    });
    saved.optional()
}

/// Writes them in place of what was there; `None` if there is nothing to be kept.
pub(super) fn replace(connection: &Connection, saved: Option<&SavedLogins>, offset: Offset) -> Result<()> {
    let Some(SavedLogins { seed, began, current, before }) = saved else {
        return connection.execute("DELETE FROM logins", []).map(drop);
    };
    let mut put = connection.prepare_cached(
        "INSERT OR REPLACE INTO logins (id, seed, began, current, before) VALUES (1, ?1, ?2, ?3, ?4)",
    )?;
    put.execute(params![seed.cast_signed(), offset.wall(*began), current, before]).map(drop)
}
