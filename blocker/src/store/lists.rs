//! Many bans of one command in few rows.
//!
//! Bans that one command made, or that were found together in the kernel's maps, differ in their prefix alone. A row for each
//! would scatter over the whole table, and writing a million of them would take far longer than banning them. So where there
//! are [`FEWEST`] or more, a row of `lists` holds the prefixes of all, a line each, with what they have in common.
//!
//! What is said of a prefix and jail later holds: a row of `bans` before every list, one of `lifted` before every list too,
//! and of lists the last. When more than half of what lists and `lifted` hold is of no use any more, the database asks to be
//! written anew as a whole.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;

use blocker_core::bans::Uid;
use blocker_core::engine::account::MAX_NOTED_SINGLY;
use blocker_core::engine::{Ban, Entry, JailId, Key, Origin};
use blocker_core::prefix::Prefix;
use blocker_core::time::{Timestamp, Until};
use rusqlite::{Connection, Result, params};

use super::Loaded;
use super::wall::Offset;

/// Bans in common from which on they are a list: of fewer by one command there is an account of each.
pub(super) const FEWEST: usize = MAX_NOTED_SINGLY + 1;

/// Most prefixes of one row: about a megabyte.
const MOST: usize = 65_536;

/// What may be of no use any more, beside as much again as bans are in force.
const MAX_OF_NO_USE: usize = 65_536;

/// What a database has for lists.
pub(super) const TABLES: &str = "CREATE TABLE lists (
        id INTEGER PRIMARY KEY,
        jail TEXT NOT NULL,
        started INTEGER NOT NULL,
        until INTEGER,
        origin TEXT NOT NULL CHECK (origin IN ('command', 'adopted')),
        reason TEXT,
        size INTEGER NOT NULL,
        prefixes TEXT NOT NULL
    ) STRICT;
    CREATE TABLE lifted (
        prefix TEXT NOT NULL,
        jail TEXT NOT NULL,
        PRIMARY KEY (prefix, jail)
    ) STRICT, WITHOUT ROWID;";

/// What is known of the tables without asking them.
#[derive(Debug, Default)]
pub(super) struct Lists {
    /// Prefixes in all lists, one that is in several as often.
    listed: usize,
    /// Rows of `lifted`.
    lifted: usize,
    in_lists: Perhaps,
    /// In `bans` or `lifted`.
    in_rows: Perhaps,
}

/// What the bans of a list have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Common<'a> {
    jail: JailId,
    started: Timestamp,
    until: Until,
    is_adopted: bool,
    reason: Option<&'a str>,
    by: Option<Uid>,
}

impl<'a> Common<'a> {
    /// Of a ban that may be in a list.
    fn of((_, jail): Key, entry: Option<&'a Entry>) -> Option<Self> {
        let Some(Entry::InForce(Ban { started, until, origin })) = entry else { return None };
        let (is_adopted, reason, by) = match origin {
            Origin::Log { .. } => return None,
            Origin::Command { reason, by } => (false, reason.as_deref(), *by),
            Origin::Adopted => (true, None, None),
        };
        Some(Self { jail, started: *started, until: *until, is_adopted, reason, by })
    }
}

/// Changes that go into lists, and the others.
pub(super) type Split<'a> = (Vec<List<'a>>, Vec<(Key, Option<&'a Entry>)>);

/// Bans with all but the prefix in common.
pub(super) struct List<'a> {
    common: Common<'a>,
    prefixes: Vec<Prefix>,
}

impl List<'_> {
    /// One of its keys.
    pub(super) fn any(&self) -> Key {
        (self.prefixes[0], self.common.jail)
    }
}

/// Tells the bans that become lists from what becomes rows.
pub(super) fn split(bans: &[(Key, Option<Entry>)]) -> Split<'_> {
    if bans.len() < FEWEST {
        return (Vec::new(), bans.iter().map(|(key, entry)| (*key, entry.as_ref())).collect());
    }
    let mut rows = Vec::new();
    let mut places: HashMap<Common<'_>, usize> = HashMap::new();
    let mut lists: Vec<List<'_>> = Vec::new();
    for (key, entry) in bans {
        match Common::of(*key, entry.as_ref()) {
            None => rows.push((*key, entry.as_ref())),
            Some(common) => {
                let place = *places.entry(common).or_insert(lists.len());
                match lists.get_mut(place) {
                    Some(list) => list.prefixes.push(key.0),
                    None => lists.push(List { common, prefixes: vec![key.0] }),
                }
            }
        }
    }
    let few = lists.extract_if(.., |list| list.prefixes.len() < FEWEST);
    let few: HashSet<Common<'_>> = few.map(|list| list.common).collect();
    if !few.is_empty() {
        let is_few = |key: Key, entry| Common::of(key, entry).is_some_and(|common| few.contains(&common));
        rows.extend(bans.iter().map(|(key, entry)| (*key, entry.as_ref())).filter(|(key, entry)| is_few(*key, *entry)));
    }
    (lists, rows)
}

impl Lists {
    /// Notes that a row of `bans` was written.
    pub(super) fn note_row(&mut self, key: Key) {
        self.in_rows.add(key);
    }

    /// Whether there may be a row of `bans` for a key.
    pub(super) fn may_have_row(&self, key: Key) -> bool {
        self.in_rows.has(key)
    }

    /// Writes that there is nothing of a key any more. Its row of `bans` is removed by the caller.
    pub(super) fn lift(&mut self, connection: &Connection, key: Key, names: (&str, &str)) -> Result<()> {
        if !self.in_lists.has(key) {
            return Ok(());
        }
        let mut put = connection.prepare_cached("INSERT OR IGNORE INTO lifted (prefix, jail) VALUES (?1, ?2)")?;
        self.lifted += put.execute(names)?;
        self.in_rows.add(key);
        Ok(())
    }

    /// Writes a list, which holds before all there is of its prefixes.
    pub(super) fn put(&mut self, connection: &Connection, list: &List<'_>, jail: &str, offset: Offset) -> Result<()> {
        let List { common: Common { jail: id, started, until, is_adopted, reason, by }, prefixes } = list;
        let until = match until {
            Until::At(end) => Some(offset.wall(*end)),
            Until::Forever => None,
        };
        let origin = if *is_adopted { "adopted" } else { "command" };
        for part in prefixes.chunks(MOST) {
            let mut text = String::with_capacity(16 * part.len());
            for prefix in part {
                writeln!(text, "{prefix}").expect("writing to a string never fails");
                let key = (*prefix, *id);
                if self.in_rows.has(key) {
                    let prefix = prefix.to_string();
                    for table in ["bans", "lifted"] {
                        let delete = format!("DELETE FROM {table} WHERE prefix = ?1 AND jail = ?2");
                        connection.prepare_cached(&delete)?.execute([&prefix, jail])?;
                    }
                }
                self.in_lists.add(key);
            }
            let mut put = connection.prepare_cached(
                "INSERT INTO lists (jail, started, until, origin, reason, size, prefixes, uid)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?;
            let size = i64::try_from(part.len()).unwrap_or(i64::MAX);
            put.execute(params![
                jail,
                offset.wall(*started),
                until,
                origin,
                reason,
                size,
                text,
                by.map(|Uid(uid)| uid)
            ])?;
            self.listed += part.len();
        }
        Ok(())
    }

    /// Whether most of what lists and `lifted` hold is of no use any more, where so many bans are in force.
    pub(super) fn are_sprawling(&self, in_force: usize) -> bool {
        self.listed + self.lifted > 2 * in_force + MAX_OF_NO_USE
    }

    /// Reads what is in lists, behind what was read of `bans`: from here on there is one entry for each key, in order.
    pub(super) fn load(
        &mut self,
        connection: &Connection,
        offset: Offset,
        jail: impl Fn(&str) -> Option<JailId>,
        loaded: &mut Loaded,
    ) -> Result<()> {
        for (key, _) in &loaded.memory.bans {
            self.in_rows.add(*key);
        }
        let mut lifted = HashSet::new();
        let mut statement = connection.prepare("SELECT prefix, jail FROM lifted")?;
        let mut found = statement.query([])?;
        while let Some(row) = found.next()? {
            self.lifted += 1;
            if let (Ok(prefix), Some(jail)) = (row.get_ref(0)?.as_str()?.parse(), jail(row.get_ref(1)?.as_str()?)) {
                self.in_rows.add((prefix, jail));
                lifted.insert((prefix, jail));
            }
        }
        let bans = &mut loaded.memory.bans;
        let mut statement = connection
            .prepare("SELECT jail, started, until, origin, reason, prefixes, uid FROM lists ORDER BY id DESC")?;
        let mut found = statement.query([])?;
        while let Some(row) = found.next()? {
            let started = offset.boot(row.get(1)?);
            let until = row.get::<_, Option<i64>>(2)?.map_or(Until::Forever, |until| Until::At(offset.boot(until)));
            let origin = match row.get_ref(3)?.as_str()? {
                "adopted" => Origin::Adopted,
                _ => Origin::Command {
                    reason: row.get::<_, Option<String>>(4)?.map(Arc::from),
                    by: row.get::<_, Option<u32>>(6)?.map(Uid),
                },
            };
            let jail = jail(row.get_ref(0)?.as_str()?);
            for line in row.get_ref(5)?.as_str()?.lines() {
                self.listed += 1;
                let (Ok(prefix), Some(jail)) = (line.parse(), jail) else {
                    loaded.unused += 1;
                    continue;
                };
                let key = (prefix, jail);
                self.in_lists.add(key);
                if lifted.is_empty() || !lifted.contains(&key) {
                    bans.push((key, Entry::InForce(Ban { started, until, origin: origin.clone() })));
                }
            }
        }
        if self.listed > 0 {
            // The first of each key came from a row, or from the last list that has it.
            bans.sort_by_key(|(key, _)| *key);
            bans.dedup_by_key(|(key, _)| *key);
        }
        Ok(())
    }

    /// Removes the lists that ended before `before`, wall time.
    pub(super) fn clean(&mut self, connection: &Connection, before: i64) -> Result<()> {
        if connection.execute("DELETE FROM lists WHERE until < ?1", [before])? == 0 {
            return Ok(());
        }
        let listed: i64 = connection.query_row("SELECT coalesce(sum(size), 0) FROM lists", [], |row| row.get(0))?;
        self.listed = usize::try_from(listed).unwrap_or(0);
        if self.listed == 0 {
            connection.execute("DELETE FROM lifted", [])?;
            self.lifted = 0;
        }
        Ok(())
    }
}

/// A set of keys that may say of one that it has it when it has not, and never the other way round: 2 MiB, of which none are
/// taken before it holds anything. With a million keys it errs about one of sixteen, which costs a statement in vain.
#[derive(Debug, Default)]
struct Perhaps(Vec<u64>);

impl Perhaps {
    /// Bits, as a power of two.
    const BITS: u32 = 24;

    fn add(&mut self, key: Key) {
        if self.0.is_empty() {
            self.0 = vec![0; 1 << (Self::BITS - 6)];
        }
        let (word, mask) = Self::place(key);
        if let Some(word) = self.0.get_mut(word) {
            *word |= mask;
        }
    }

    fn has(&self, key: Key) -> bool {
        let (word, mask) = Self::place(key);
        self.0.get(word).is_some_and(|word| word & mask != 0)
    }

    fn place((prefix, jail): Key) -> (usize, u64) {
        let (high, low) = match prefix.addr() {
            IpAddr::V4(addr) => (1, u64::from(addr.to_bits())),
            IpAddr::V6(addr) => {
                let [a, b, c, d, e, f, g, h] = addr.segments().map(u64::from);
                (a << 48 | b << 32 | c << 16 | d, e << 48 | f << 32 | g << 16 | h)
            }
        };
        let mixed = low ^ high.rotate_left(29) ^ u64::from(prefix.len()) << 40 ^ u64::from(jail.index()) << 56;
        // Of a product by an odd number the upper bits depend on all of the factor's.
        let bit = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - Self::BITS);
        (usize::try_from(bit >> 6).unwrap_or(0), 1 << (bit & 63))
    }
}

#[cfg(test)]
mod tests;
