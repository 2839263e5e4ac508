//! Where sources that never ran are to begin, noted before the daemon's first run.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::ErrorCode;

use super::database::{Database, sentence};
use super::schema::Refusal;
use crate::clock::Reading;
use crate::source::{JournalMark, Mark, Marks};

/// Why nothing was noted.
#[derive(Debug, thiserror::Error)]
pub enum NotNoted {
    /// The daemon has the database.
    #[error("the daemon runs")]
    Running,
    /// This user may not.
    #[error("{0}")]
    Permission(String),
    /// What the disk or SQLite says.
    #[error("{0}")]
    Failed(String),
}

/// How far sources have been read, by what these are called.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Of files.
    pub logs: BTreeMap<String, Marks>,
    /// Of the journal.
    pub cursors: BTreeMap<String, JournalMark>,
}

/// Where sources are to begin, by what these are called.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// In files.
    pub logs: Vec<(String, Vec<Mark>)>,
    /// In the journal.
    pub cursors: Vec<(String, JournalMark)>,
}

/// Opens the database in `state`, or makes it, and notes the places that `begin` makes of what was read of each source so far. All
/// of them are noted, or none.
///
/// # Errors
///
/// Why nothing was noted.
pub fn begin_logs(state: &Path, begin: impl FnOnce(&Known) -> Places) -> Result<(), NotNoted> {
    let refused = |error: Refusal| match &error {
        Refusal::Sqlite(error) if is_busy(error) => NotNoted::Running,
        Refusal::Io(io) if io.kind() == std::io::ErrorKind::PermissionDenied => {
            NotNoted::Permission(sentence(state, &error))
        }
        Refusal::Sqlite(_) | Refusal::Io(_) | Refusal::Later(_) | Refusal::Foreign => {
            NotNoted::Failed(sentence(state, &error))
        }
    };
    let mut database = Database::open_file(state).map_err(refused)?;
    // Before the files are looked at, so that nothing that is written from here on is taken for read.
    let noted = Reading::take().wall_ns();
    let known = database.places().map_err(|error| refused(error.into()))?;
    let places = begin(&known);
    database.write_places(&places, noted).map_err(|error| refused(error.into()))
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

#[cfg(test)]
mod tests {
    use super::super::Transaction;
    use super::*;
    use crate::source::testing::TempDir;

    fn mark(offset: u64) -> Mark {
        let before = b"a line\n".to_vec();
        Mark { path: "/var/log/x".into(), device: 1, inode: 2, offset, before, skipping: false, noted: 0 }
    }

    #[test]
    fn what_is_noted_is_known_to_the_next_run_and_says_nothing_of_the_kernel() {
        let directory = TempDir::new();
        let state = directory.path("state");

        // Noted before, and nobody has begun from it: forgotten.
        begin_logs(&state, |_| Places { logs: vec![("gone".to_owned(), vec![mark(3)])], cursors: Vec::new() }).unwrap();
        begin_logs(&state, |known| {
            assert_eq!(*known, Known::default());
            let cursors = vec![("journal".to_owned(), JournalMark::behind_time(0xff))];
            Places { logs: vec![("log".to_owned(), vec![mark(7)])], cursors }
        })
        .unwrap();

        let mut opened = Database::open_file(&state).unwrap();
        let loaded = opened.load(Reading::take(), |_| None, |_| None).unwrap();
        assert_eq!(loaded.logs.len(), 1);
        let marks = &loaded.logs["log"];
        assert!(marks.is_known && !loaded.is_of_this_boot);
        assert_eq!(marks.files.iter().map(|mark| mark.offset).collect::<Vec<_>>(), [7]);
        assert!(marks.files[0].noted > 0);
        assert_eq!(loaded.cursors["journal"], JournalMark::Behind("t=100".to_owned()));
    }

    #[test]
    fn a_database_that_a_daemon_has_is_left_to_it() {
        let directory = TempDir::new();
        let running = Database::open_file(&directory.path("")).unwrap();
        let mut running = running;
        let places = Places { logs: vec![("log".to_owned(), vec![mark(7)])], ..Places::default() };
        running.write_places(&places, 1).unwrap();
        running.write(&Transaction::default(), Reading::take()).unwrap();

        let refused = begin_logs(&directory.path(""), |_| panic!("nobody is asked"));

        assert!(matches!(refused, Err(NotNoted::Running)), "{refused:?}");
        assert_eq!(running.places().unwrap().logs["log"].files.len(), 1);
    }
}
