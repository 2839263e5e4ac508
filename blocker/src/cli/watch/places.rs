//! How far the daemon is behind its logs. It tells how far it has judged each; how long they are is looked up here, so that a file system that
//! hangs has only who watches wait.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use serde::Serialize;

use crate::control::watch::LogPlace;

/// A log, and how far its judging is behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Log {
    /// Its path.
    pub(super) path: String,
    /// Bytes that were written and have not been judged; none if the file may not be looked at, or another one has its name by now.
    pub(super) behind_bytes: Option<u64>,
}

/// Looks them up; the one that is the farthest behind comes first.
pub(super) fn logs(places: &[LogPlace]) -> Vec<Log> {
    let mut logs: Vec<Log> = places.iter().map(log).collect();
    logs.sort_by(|a, b| b.behind_bytes.cmp(&a.behind_bytes).then(a.path.cmp(&b.path)));
    logs
}

fn log(place: &LogPlace) -> Log {
    // Of a file that is gone, or cannot be looked at, nobody knows how much is left.
    let found = fs::metadata(&place.path).ok();
    let same = found.filter(|found| (found.dev(), found.ino()) == (place.device, place.inode));
    Log { path: place.path.clone(), behind_bytes: same.map(|found| found.len().saturating_sub(place.offset)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::testing::TempDir;

    #[test]
    fn a_log_is_behind_by_what_was_written_and_not_judged_and_no_other_file_counts_for_it() {
        let dir = TempDir::new();
        let path = dir.path("mail.log");
        fs::write(&path, "twelve bytes").unwrap();
        let found = fs::metadata(&path).unwrap();
        let place = |inode, offset| LogPlace { path: path.display().to_string(), device: found.dev(), inode, offset };

        let behind: Vec<_> =
            logs(&[place(found.ino(), 12), place(found.ino() + 1, 0), place(found.ino(), 5), place(found.ino(), 99)])
                .into_iter()
                .map(|log| log.behind_bytes)
                .collect();

        assert_eq!(behind, [Some(7), Some(0), Some(0), None]);
    }
}
