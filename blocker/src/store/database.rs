//! The database file: opened, read, written, and set aside if it is damaged.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use blocker_core::engine::account::Note;
use blocker_core::engine::{Changes, JailId, Key, SourceId};
use blocker_core::keyed::HashKey;
use blocker_core::prefix::Prefix;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Result, TransactionBehavior, params};

use super::begin::{Known, Places};
use super::lists::{self, Lists};
use super::report::{self, Span};
use super::schema::{self, Refusal};
use super::wall::{self, Offset, Stamp, boot_id};
use super::{
    FILE_NAME, Loaded, PastBan, Transaction, account, grants, history, logins, printed, rows, sessions, twins,
};
use crate::clock::Reading;
use crate::control::report::Report;
use crate::regular;
use crate::source::{JournalMark, Marks};

/// Most files remembered of one source; beyond it the one first read is forgotten. A source remembers fewer itself.
const MAX_LOGS: i64 = 2048;

/// Most places in journals that are read: one a jail, and these are fewer.
const MAX_CURSORS: i64 = 256;

/// Free pages given back to the file system after each cleaning: 4 MiB.
const PAGES_FREED: i64 = 1024;

/// An open database, and what had to be said of it.
pub struct Opened {
    /// The database.
    pub database: Database,
    /// Why the one that was there is not used any more, and where it is now.
    pub set_aside: Option<String>,
}

/// An open database. Nobody else has it.
pub struct Database {
    connection: Connection,
    state: PathBuf,
    /// Device and inode of the file.
    file: (u64, u64),
    boot: String,
    /// Of all rows.
    offset: Offset,
    lists: Lists,
}

impl Database {
    /// Opens the database in `state`, or makes it. A damaged one is set aside.
    ///
    /// # Errors
    ///
    /// A sentence that says why not.
    pub(super) fn open(state: &Path) -> Result<Opened, String> {
        match Self::open_file(state) {
            Ok(database) => Ok(Opened { database, set_aside: None }),
            Err(Refusal::Sqlite(error)) if is_damage(&error) => Self::replace(state, &error.to_string()),
            Err(error) => Err(sentence(state, &error)),
        }
    }

    /// Sets a database aside that was found to be damaged, and makes another.
    ///
    /// # Errors
    ///
    /// A sentence that says why not.
    pub(super) fn begin_anew(self, why: &str) -> Result<Opened, String> {
        let state = self.state.clone();
        drop(self);
        Self::replace(&state, why)
    }

    fn replace(state: &Path, why: &str) -> Result<Opened, String> {
        let path = state.join(FILE_NAME);
        let aside = state.join(format!("{FILE_NAME}.damaged"));
        for ending in ["", "-wal", "-shm"] {
            let name = |path: &Path| PathBuf::from(format!("{}{ending}", path.display()));
            // What was set aside before must not lend its log to this one.
            for done in [fs::remove_file(name(&aside)), fs::rename(name(&path), name(&aside))] {
                done.or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })
                    .map_err(|error| sentence(state, &error))?;
            }
        }
        let database = Self::open_file(state).map_err(|error| sentence(state, &error))?;
        let set_aside = format!("{}: {why}: set aside as {}, and begun anew", path.display(), aside.display());
        Ok(Opened { database, set_aside: Some(set_aside) })
    }

    /// Opens the database in `state`, or makes it. A damaged one is an error.
    ///
    /// # Errors
    ///
    /// Why it cannot be had.
    pub(super) fn open_file(state: &Path) -> Result<Self, Refusal> {
        let io = |error: std::io::Error| Refusal::Io(error);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(state).map_err(io)?;
        let path = state.join(FILE_NAME);
        // Before SQLite makes it, which would let others read it; its other files get the permissions of this one.
        let file = regular::append(&path, 0o600).map_err(io)?;
        let metadata = file.metadata().map_err(io)?;
        if metadata.permissions().mode() & 0o077 != 0 {
            file.set_permissions(fs::Permissions::from_mode(0o600)).map_err(io)?;
        }
        // Closed before SQLite locks the file: a lock goes with the first descriptor that is closed.
        drop(file);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(&path, flags)?;
        schema::prepare(&mut connection)?;
        Ok(Self {
            connection,
            state: state.to_owned(),
            file: (metadata.dev(), metadata.ino()),
            boot: boot_id(),
            offset: Offset(0),
            lists: Lists::default(),
        })
    }

    /// Whether the file that is written is still the one that is found.
    pub(super) fn is_in_place(&self) -> bool {
        fs::metadata(self.state.join(FILE_NAME)).is_ok_and(|found| (found.dev(), found.ino()) == self.file)
    }

    /// Makes it as if the disk had room for this many pages.
    #[cfg(test)]
    pub(super) fn limit_pages(&self, pages: i64) {
        self.connection.pragma_update(None, "max_page_count", pages).expect("it can be set");
    }

    /// How many rows a table has.
    #[cfg(test)]
    pub(super) fn count(&self, table: &str) -> i64 {
        let count = format!("SELECT count(*) FROM {table}");
        self.connection.query_row(&count, [], |row| row.get(0)).expect("the table is there")
    }

    /// Where it is.
    pub(super) fn state(&self) -> &Path {
        &self.state
    }

    /// Reads everything. To be called once, before anything is written.
    pub(super) fn load(
        &mut self,
        clock: Reading,
        jail: impl Fn(&str) -> Option<JailId>,
        source: impl Fn(&str) -> Option<SourceId>,
    ) -> Result<Loaded> {
        let meta = self.connection.query_row("SELECT boot, offset, written, hash_key FROM meta", [], |row| {
            let stamp = Stamp { boot: row.get(0)?, offset: Offset(row.get(1)?), written: row.get(2)? };
            Ok((stamp, row.get::<_, Option<Vec<u8>>>(3)?))
        });
        let (stamp, key) = meta.optional()?.unzip();
        let hash_key = key.flatten().and_then(|bytes| bytes.try_into().ok()).map(HashKey::new);
        self.offset = Offset::of_rows(stamp.as_ref(), &self.boot, clock);
        let down =
            stamp.as_ref().map_or(0, |stamp| self.offset.wall(clock.boot()).saturating_sub(stamp.written)).max(0);
        let is_of_this_boot = stamp.is_some_and(|stamp| stamp.boot == self.boot && !self.boot.is_empty());
        let mut loaded = Loaded { is_of_this_boot, hash_key, ..Loaded::default() };
        self.load_bans(&jail, &mut loaded)?;
        self.lists.load(&self.connection, self.offset, &jail, &mut loaded)?;
        let nobodys = self.load_failures(&jail, &mut loaded)?;
        loaded.logs = self.logs()?;
        self.load_cursors(&mut loaded)?;
        loaded.printed = printed::load(&self.connection)?;
        let (history, of_gone_jails) = history::load(&self.connection, &jail, self.offset)?;
        loaded.memory.history = history;
        loaded.unused += of_gone_jails;
        let (twins, of_no_jail) = twins::load(&self.connection, &jail, source, (self.offset, down))?;
        loaded.memory.twins = twins;
        let (allowed, not_understood) = grants::load(&self.connection, self.offset)?;
        loaded.grants = allowed;
        loaded.logins = logins::load(&self.connection, self.offset)?;
        let (sessions, of_nobody) = sessions::load(&self.connection, &jail, (self.offset, down))?;
        loaded.memory.sessions = sessions;
        loaded.unused += nobodys.len() + of_no_jail + not_understood + of_nobody;
        // A ban of a jail that is gone counts again when the jail comes back in time; counts do not.
        let dropped = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for row in nobodys {
            dropped.execute("DELETE FROM failures WHERE prefix = ?1 AND jail = ?2", row)?;
        }
        for table in ["twins", "sessions"] {
            twins::remove_nobodys(&dropped, table, &jail)?;
        }
        dropped.commit()?;
        Ok(loaded)
    }

    fn load_bans(&self, jail: impl Fn(&str) -> Option<JailId>, loaded: &mut Loaded) -> Result<()> {
        let mut statement = self.connection.prepare(rows::BANS)?;
        let mut found = statement.query([])?;
        while let Some(row) = found.next()? {
            match (key(row, &jail)?, rows::ban(row, self.offset)?) {
                (Some(key), Some(entry)) => loaded.memory.bans.push((key, entry)),
                (Some(_) | None, Some(_) | None) => loaded.unused += 1,
            }
        }
        Ok(())
    }

    /// Returns what is nobody's.
    fn load_failures(&self, jail: impl Fn(&str) -> Option<JailId>, loaded: &mut Loaded) -> Result<Vec<[String; 2]>> {
        let mut nobodys = Vec::new();
        let mut statement = self.connection.prepare(rows::FAILURES)?;
        let mut found = statement.query([])?;
        while let Some(row) = found.next()? {
            match key(row, &jail)? {
                Some(key) => loaded.memory.counts.push((key, rows::failures(row, self.offset)?)),
                None => nobodys.push([row.get(0)?, row.get(1)?]),
            }
        }
        Ok(nobodys)
    }

    /// Whether a daemon has written anything; else places were noted in it at most.
    fn is_of_a_daemon(&self) -> Result<bool> {
        self.connection.query_row("SELECT count(*) > 0 FROM meta", [], |row| row.get(0))
    }

    /// How far a daemon has read every source.
    pub(super) fn places(&self) -> Result<Known> {
        if !self.is_of_a_daemon()? {
            return Ok(Known::default());
        }
        let mut loaded = Loaded::default();
        self.load_cursors(&mut loaded)?;
        Ok(Known { logs: self.logs()?, cursors: loaded.cursors })
    }

    /// What was read of each source of files.
    fn logs(&self) -> Result<BTreeMap<String, Marks>> {
        let mut logs: BTreeMap<String, Marks> = BTreeMap::new();
        let mut statement = self.connection.prepare("SELECT source FROM sources")?;
        let mut found = statement.query([])?;
        while let Some(row) = found.next()? {
            logs.entry(row.get(0)?).or_default().is_known = true;
        }
        let mut statement = self.connection.prepare(rows::LOGS)?;
        let mut found = statement.query([])?;
        while let Some(row) = found.next()? {
            logs.entry(row.get(0)?).or_default().files.push(rows::mark(row)?);
        }
        Ok(logs)
    }

    /// Notes how far sources have been read, and nothing else: what is known of bans and of the kernel stays as it is. What was noted
    /// so before, and no daemon has begun from, is forgotten.
    pub(super) fn write_places(&mut self, places: &Places, noted: i64) -> Result<()> {
        let is_of_a_daemon = self.is_of_a_daemon()?;
        let written = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if !is_of_a_daemon {
            written.execute_batch("DELETE FROM logs; DELETE FROM sources; DELETE FROM cursors")?;
        }
        rows::put_logs(&written, &places.logs, noted)?;
        for (source, mark) in &places.cursors {
            rows::put_cursor(&written, source, mark)?;
        }
        written.commit()
    }

    fn load_cursors(&self, loaded: &mut Loaded) -> Result<()> {
        let mut statement = self.connection.prepare(rows::CURSORS)?;
        let mut found = statement.query([MAX_CURSORS])?;
        while let Some(row) = found.next()? {
            match JournalMark::from_cursor(row.get(1)?) {
                Some(mark) => drop(loaded.cursors.insert(row.get(0)?, mark)),
                None => loaded.unused += 1,
            }
        }
        Ok(())
    }

    /// Writes all of a transaction, or nothing.
    pub(super) fn write(&mut self, transaction: &Transaction, clock: Reading) -> Result<()> {
        let Transaction {
            changes,
            jails,
            sources,
            hash_key,
            logs,
            lost_logs,
            collected,
            all_logs,
            cursors,
            all_cursors,
            printed,
            all_printed,
            durable,
            logins,
            remember_bans: _,
            questions: _,
            in_force: _,
            told: _,
        } = transaction;
        let Changes { all_bans, bans, all_counts, counts, all_history, history, account: notes, grants, .. } = changes;
        let Changes { all_twins, twins, all_sessions, sessions, .. } = changes;
        let present = Offset::now(clock);
        let step = present.step_from(self.offset);
        let offset = if step.is_some() { present } else { self.offset };
        self.connection.pragma_update(None, "synchronous", if *durable { "FULL" } else { "NORMAL" })?;

        let written = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if let Some(step) = step {
            wall::move_rows(&written, step)?;
        }
        for (is_all, table) in [
            (all_bans, "bans"),
            (all_bans, "lists"),
            (all_bans, "lifted"),
            (all_counts, "failures"),
            (all_history, "history"),
            (all_twins, "twins"),
            (all_sessions, "sessions"),
            (all_logs, "logs"),
            (all_logs, "sources"),
            (all_cursors, "cursors"),
            (all_printed, "printed"),
        ] {
            if *is_all {
                written.execute(&format!("DELETE FROM {table}"), [])?;
            }
        }
        let mut names = Names::new(jails);
        // What is noted there of what is then not written makes it ask for more than it must, and nothing else.
        let mut anew = all_bans.then(Lists::default);
        let noted = anew.as_mut().unwrap_or(&mut self.lists);
        let (lists, bans) = lists::split(bans);
        for list in &lists {
            noted.put(&written, list, names.of(list.any()).1, offset)?;
        }
        for (key, entry) in bans {
            let names = names.of(key);
            match entry {
                Some(_) => noted.note_row(key),
                None => noted.lift(&written, key, names)?,
            }
            if entry.is_some() || noted.may_have_row(key) {
                rows::put_ban(&written, names, entry, offset)?;
            }
        }
        for (key, failures) in counts {
            rows::put_failures(&written, names.of(*key), failures, offset)?;
        }
        for (key, earlier) in history {
            history::put(&written, names.of(*key), *earlier, offset)?;
        }
        for note in notes {
            let jail = match note {
                Note::Began { jail, .. } | Note::Renewed { jail, .. } | Note::Ended { jail, .. } => Some(*jail),
                Note::AllEnded { .. } | Note::LoggedIn { .. } => None,
            };
            account::write(&written, note, jail.map_or("", |jail| names.of_jail(jail)), offset)?;
        }
        if !notes.is_empty() {
            account::trim(&written)?;
        }
        for ((jail, message), told) in twins {
            twins::put(&written, (names.of_jail(*jail), *message), told.as_ref(), sources, offset)?;
        }
        for ((jail, session), told) in sessions {
            sessions::put(&written, (names.of_jail(*jail), *session), *told, offset)?;
        }
        if let Some(grants) = grants {
            grants::replace(&written, grants, offset)?;
        }
        if let Some(saved) = logins {
            logins::replace(&written, saved.as_ref(), offset)?;
        }
        for (source, device, inode) in lost_logs {
            rows::remove_mark(&written, source, *device, *inode)?;
        }
        rows::put_logs(&written, logs, *collected)?;
        for (source, mark) in cursors {
            rows::put_cursor(&written, source, mark)?;
        }
        for (source, first, pieces) in printed {
            printed::put(&written, source, *first, pieces)?;
        }
        written
            .prepare_cached(
                "INSERT OR REPLACE INTO meta (id, boot, offset, written, hash_key) VALUES (1, ?1, ?2, ?3, ?4)",
            )?
            .execute(params![self.boot, offset.0, clock.wall_ns(), hash_key.as_bytes()])?;
        written.commit()?;
        self.offset = offset;
        if let Some(anew) = anew {
            self.lists = anew;
        }
        Ok(())
    }

    /// Whether it holds so much that is of no use any more that all bans should be written anew, of which so many are in force.
    pub(super) fn is_sprawling(&self, in_force: usize) -> bool {
        self.lists.are_sprawling(in_force)
    }

    /// The last bans of somebody that there is an account of.
    pub(super) fn account_of(&self, whom: Prefix) -> Result<Vec<PastBan>> {
        account::of(&self.connection, whom)
    }

    /// What happened.
    pub(super) fn report(&self, span: Span) -> Result<Report> {
        report::of(&self.connection, span)
    }

    /// Removes what is of no use any more: what was over longer than `remember_bans` ago, bans of jails that are gone, when they are over, and files beyond [`MAX_LOGS`];
    /// and gives room back to the file system.
    pub(super) fn clean(&mut self, remember_bans: Duration, clock: Reading) -> Result<()> {
        let now = self.offset.wall(clock.boot());
        let late = i64::try_from(blocker_core::bans::LATE_LINES.as_nanos()).unwrap_or(i64::MAX);
        let cleaned = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        cleaned.execute("DELETE FROM bans WHERE until < ?1 - ?2 OR ended AND started < ?1 - ?2", [now, late])?;
        self.lists.clean(&cleaned, now.saturating_sub(late))?;
        let age = i64::try_from(remember_bans.as_nanos()).unwrap_or(i64::MAX);
        account::clean(&cleaned, now.saturating_sub(age))?;
        cleaned.execute(
            "DELETE FROM logs WHERE id <= (SELECT max(id) FROM logs AS newer WHERE newer.source = logs.source) - ?1",
            [MAX_LOGS],
        )?;
        cleaned.commit()?;
        // It frees a page at each step: to take only the first is to free one page.
        let mut vacuum = self.connection.prepare(&format!("PRAGMA incremental_vacuum({PAGES_FREED})"))?;
        let mut steps = vacuum.query([])?;
        while steps.next()?.is_some() {}
        Ok(())
    }
}

/// Whose a row is, if it is somebody's.
pub(super) fn key(row: &rusqlite::Row<'_>, jail: impl Fn(&str) -> Option<JailId>) -> Result<Option<Key>> {
    let prefix = row.get_ref(0)?.as_str()?.parse().ok();
    let jail = jail(row.get_ref(1)?.as_str()?);
    Ok(prefix.zip(jail))
}

/// The texts of keys, in a buffer that serves them all.
struct Names<'a> {
    jails: &'a BTreeMap<JailId, String>,
    prefix: String,
    jail: String,
}

impl<'a> Names<'a> {
    fn new(jails: &'a BTreeMap<JailId, String>) -> Self {
        Self { jails, prefix: String::new(), jail: String::new() }
    }

    fn of(&mut self, (prefix, jail): Key) -> (&str, &str) {
        use std::fmt::Write as _;
        self.prefix.clear();
        write!(self.prefix, "{prefix}").expect("writing to a string never fails");
        self.set_jail(jail);
        (&self.prefix, &self.jail)
    }

    fn of_jail(&mut self, jail: JailId) -> &str {
        self.set_jail(jail);
        &self.jail
    }

    fn set_jail(&mut self, jail: JailId) {
        use std::fmt::Write as _;
        self.jail.clear();
        match self.jails.get(&jail) {
            Some(name) => self.jail.push_str(name),
            None => write!(self.jail, "{jail}").expect("writing to a string never fails"),
        }
    }
}

/// Whether what SQLite found is not a database any more.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
        // What a column holds that it cannot hold.
        || matches!(
            error,
            rusqlite::Error::InvalidColumnType(..) | rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
        )
}

/// What is wrong with the database, for people.
pub(super) fn sentence(state: &Path, error: &impl std::fmt::Display) -> String {
    format!("{}: {error}", state.join(FILE_NAME).display())
}
