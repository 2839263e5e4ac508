//! Which paths a pattern names, and which directories to watch for them.
//!
//! A pattern is an absolute path whose components may be globs (`*`, `?`, `[…]`). Hidden files match only where the dot
//! is written. This module looks at the file system and opens nothing.

use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};

use super::SourceError;
use super::problems::Problems;

/// Most paths looked at for one pattern. Beyond that the last in the order of names are left out, and it is told.
const MAX_MATCHES: usize = 4096;

const OPTIONS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// A path with globs.
///
/// Holding one proves that it is absolute, names something in a directory, is a valid glob and does not recurse.
#[derive(Debug)]
pub(super) struct PathPattern {
    text: String,
    /// `text` up to its last component that has no glob before it: the directory where looking begins.
    base: PathBuf,
    /// The directories below `base` that lead to the files, as globs: of `/srv/*/log/*.log`, `/srv/*` and `/srv/*/log`.
    steps: Vec<String>,
    has_glob: bool,
}

impl PathPattern {
    /// Reads a pattern.
    pub(super) fn parse(text: String) -> Result<Self, SourceError> {
        if !text.starts_with('/') {
            return Err(SourceError::Relative { pattern: text });
        }
        if text.contains("**") {
            return Err(SourceError::Recursive { pattern: text });
        }
        let parts: Vec<&str> = text.split('/').skip(1).filter(|part| !part.is_empty()).collect();
        if text.ends_with('/') || matches!(parts.last(), None | Some(&("." | ".."))) {
            return Err(SourceError::NoFileName { pattern: text });
        }
        if let Err(source) = Pattern::new(&text) {
            return Err(SourceError::Glob { pattern: text, source });
        }

        let first_glob = parts.iter().position(|part| is_glob(part));
        let base_parts = first_glob.unwrap_or(parts.len() - 1);
        let base = PathBuf::from(format!("/{}", parts[..base_parts].join("/")));
        let steps = (base_parts + 1..parts.len()).map(|count| format!("/{}", parts[..count].join("/"))).collect();
        Ok(Self { has_glob: first_glob.is_some(), base, steps, text })
    }

    /// The pattern as it was written.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the pattern can name more than one path.
    pub(super) fn has_glob(&self) -> bool {
        self.has_glob
    }

    /// The paths that may be meant: all that match, in their order; of a pattern without globs its path, whether it exists
    /// or not. Directories that cannot be read are told in `problems`.
    pub(super) fn paths(&self, problems: &mut Problems) -> Vec<PathBuf> {
        if !self.has_glob {
            return vec![PathBuf::from(&self.text)];
        }
        expand(&self.text, problems)
    }

    /// The directories in which a change can make the pattern match something else. Where the one to begin with does not
    /// exist, its nearest ancestor that does.
    pub(super) fn directories(&self) -> Vec<PathBuf> {
        if !self.base.is_dir() {
            return self.base.ancestors().find(|path| path.is_dir()).map(Path::to_path_buf).into_iter().collect();
        }
        // Directories that cannot be read are told by `paths`.
        let steps =
            self.steps.iter().flat_map(|step| expand(step, &mut Problems::default())).filter(|path| path.is_dir());
        std::iter::once(self.base.clone()).chain(steps).collect()
    }
}

fn is_glob(part: &str) -> bool {
    part.contains(['*', '?', '['])
}

fn expand(pattern: &str, problems: &mut Problems) -> Vec<PathBuf> {
    let paths = glob::glob_with(pattern, OPTIONS).expect("the pattern was checked in parse()");
    let mut found = Vec::new();
    for path in paths {
        if found.len() == MAX_MATCHES {
            problems.add(format!("more than {MAX_MATCHES} paths match {pattern:?}, the others are left out"));
            break;
        }
        match path {
            Ok(path) => found.push(path),
            // Gone between two looks.
            Err(error) if error.error().kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => problems.add(format!("looking into {:?}: {}", error.path(), error.error())),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::testing::TempDir;
    use super::*;

    #[test]
    fn refuses_what_names_no_file_or_too_many() {
        for (pattern, reason) in [
            ("mail.log", "relative"),
            ("", "relative"),
            ("/", "names no file"),
            ("/var/log/", "names no file"),
            ("/var/log/..", "names no file"),
            ("/var/**/mail.log", "each directory level"),
            ("/var/log/[a", "not a valid glob"),
        ] {
            let error = PathPattern::parse(pattern.to_owned()).expect_err(pattern).to_string();
            assert!(error.contains(reason), "{pattern}: {error}");
        }
    }

    #[test]
    fn a_plain_path_is_meant_whether_it_exists_or_not() {
        let pattern = parse("/nonexistent/mail.log");

        assert_eq!(pattern.paths(&mut Problems::default()), [PathBuf::from("/nonexistent/mail.log")]);
        assert_eq!(pattern.directories(), [PathBuf::from("/")], "the nearest ancestor that exists");
    }

    #[test]
    fn a_glob_names_what_matches_in_order_and_no_hidden_file() {
        let dir = TempDir::new();
        for name in ["b.log", "a.log", ".hidden.log", "a.txt"] {
            dir.write(name, b"");
        }

        let found = parse(&dir.text("*.log")).paths(&mut Problems::default());

        assert_eq!(found, [dir.path("a.log"), dir.path("b.log")]);
    }

    #[test]
    fn every_directory_on_the_way_is_watched() {
        let dir = TempDir::new();
        for name in ["one/log", "two"] {
            std::fs::create_dir_all(dir.path(name)).expect("a directory can be made");
        }

        let directories = parse(&dir.text("*/log/*.log")).directories();

        assert_eq!(directories, [dir.path(""), dir.path("one"), dir.path("two"), dir.path("one/log")]);
    }

    fn parse(text: &str) -> PathPattern {
        PathPattern::parse(text.to_owned()).expect("the pattern is good")
    }
}
