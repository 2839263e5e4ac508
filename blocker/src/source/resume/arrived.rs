//! What came while it was looked for where an earlier run left off, and was rotated away before that was over.
//!
//! Unpacking compressed files takes seconds, and a log may be rotated meanwhile. So there is a second look when the first is
//! over, and another one until nothing has changed between two: then every file that came is held open, or still has its path.

use std::collections::{BTreeSet, HashSet};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use tracing::warn;

use super::super::find::Found;
use super::super::packed::{Format, unpack};
use super::super::tail::Identity;
use super::{Search, family};

/// Most looks. Each takes milliseconds: a log that is rotated between any two of so many is not one.
const MAX_LOOKS: usize = 64;

/// By so many of its first bytes a file is told from others.
const TELLING_BYTES: usize = 4096;

impl Search<'_> {
    /// Takes in what has come since the first look, which `began` then: wall time, in nanoseconds.
    pub(super) fn look_again(&mut self, look: &mut dyn FnMut() -> Vec<Found>, began: i64) {
        for _ in 0..MAX_LOOKS {
            let found = look();
            let mut paths = changed_paths(&self.found, &found);
            if std::mem::take(&mut self.is_unsettled) {
                paths.extend(self.since.keys().cloned());
            }
            if paths.is_empty() {
                return;
            }
            self.seen.extend(self.found.iter().map(|found| found.identity));
            self.found = found;
            for path in paths {
                let since = self.since.get(&path).copied().filter(|&since| since > 0).unwrap_or(began);
                self.begin_unknown(&path, since, &family(&path));
                let compressed = self.compressed(&path, since, &[]);
                self.begin_compressed(&path, since, compressed);
            }
        }
        warn!("logs were rotated faster than they could be looked for: lines may have been lost");
    }

    /// Whether a compressed file is of one that is open here: it was compressed since.
    pub(super) fn is_open(&self, file: &File, format: Format, path: &Path) -> bool {
        let opened = || self.resumption.files.iter().filter(|file| file.packed.is_none() && file.path == path);
        if opened().next().is_none() {
            return false;
        }
        let Ok(first) = unpack(file, format).and_then(first_bytes) else { return false };
        let has_them = |other: &File| {
            let mut bytes = vec![0; first.len()];
            other.read_exact_at(&mut bytes, 0).is_ok() && bytes == first
        };
        !first.is_empty() && opened().any(|other| has_them(&other.file))
    }
}

/// The paths that lead to other files than before, or to one alone of both times.
fn changed_paths(before: &[Found], now: &[Found]) -> BTreeSet<PathBuf> {
    let places = |found: &[Found]| -> HashSet<(PathBuf, Identity)> {
        found.iter().map(|found| (found.path.clone(), found.identity)).collect()
    };
    places(before).symmetric_difference(&places(now)).map(|(path, _)| path.clone()).collect()
}

/// The first bytes of a text, at most [`TELLING_BYTES`].
fn first_bytes(text: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(TELLING_BYTES);
    text.take(TELLING_BYTES as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}
