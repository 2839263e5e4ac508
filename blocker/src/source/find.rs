//! Which files the patterns lead to at this moment.
//!
//! Asks for names and metadata alone; `follower` decides what to open.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::packed::PackedName;
use super::pattern::PathPattern;
use super::problems::Problems;
use super::tail::Identity;

/// A file to which a pattern leads.
#[derive(Debug)]
pub(super) struct Found {
    /// The first path that leads to it.
    pub(super) path: PathBuf,
    pub(super) identity: Identity,
    /// In bytes.
    pub(super) length: u64,
}

/// The files to which the patterns lead, each once, and the patterns that lead to none.
pub(super) fn find(patterns: &[PathPattern], problems: &mut Problems) -> (Vec<Found>, Vec<String>) {
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    let mut waiting = Vec::new();
    for pattern in patterns {
        let mut is_waiting = true;
        for path in pattern.paths(problems) {
            // What a glob names besides. Read as they are, such files are no text.
            if pattern.has_glob() && PackedName::of(&path).is_some() {
                continue;
            }
            match fs::metadata(&path) {
                Ok(metadata) if metadata.is_file() => {
                    is_waiting = false;
                    let identity = Identity::of(&metadata);
                    if seen.insert(identity) {
                        found.push(Found { path, identity, length: metadata.len() });
                    }
                }
                Ok(_) if pattern.has_glob() => {}
                Ok(_) => problems.add(format!("{path:?} is not a regular file")),
                Err(error) if is_absence(&error) => {}
                Err(error) => problems.add(format!("looking for {path:?}: {error}")),
            }
        }
        if is_waiting {
            waiting.push(pattern.as_str().to_owned());
        }
    }
    (found, waiting)
}

/// Whether it is certain that `path` no longer leads to the file.
pub(super) fn leads_elsewhere(path: &Path, identity: Identity) -> bool {
    match fs::metadata(path) {
        Ok(metadata) => Identity::of(&metadata) != identity,
        Err(error) => is_absence(&error),
    }
}

fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::testing::TempDir;
    use super::*;

    #[test]
    fn finds_each_file_once_and_tells_which_patterns_find_none() {
        let dir = TempDir::new();
        dir.write("a.log", b"four");
        fs::create_dir(dir.path("d.log")).expect("a directory can be made");
        symlink(dir.path("a.log"), dir.path("b.log")).expect("a link can be made");
        symlink(dir.path("nowhere"), dir.path("c.log")).expect("a link can be made");
        dir.write("a.log.1.gz", b"compressed");
        let texts = ["*.log*", "b.log", "c.log", "d.log", "a.log/x"].map(|name| dir.text(name));
        let patterns = texts.clone().map(|text| PathPattern::parse(text).expect("the pattern is good"));
        let mut problems = Problems::default();

        let (found, waiting) = find(&patterns, &mut problems);

        assert_eq!(found.len(), 1);
        assert_eq!((found[0].path.clone(), found[0].length), (dir.path("a.log"), 4));
        assert_eq!(waiting, texts[2..]);
        assert_eq!(problems.told().len(), 1, "the directory that is named as a file: {problems:?}");
    }

    #[test]
    fn a_path_leads_elsewhere_when_it_is_gone_or_taken() {
        let dir = TempDir::new();
        dir.write("a.log", b"");
        let path = dir.path("a.log");
        let identity = Identity::of(&fs::metadata(&path).expect("the file exists"));
        assert!(!leads_elsewhere(&path, identity));

        dir.rename("a.log", "a.log.1");
        assert!(leads_elsewhere(&path, identity));
        dir.write("a.log", b"");
        assert!(leads_elsewhere(&path, identity));
    }
}
