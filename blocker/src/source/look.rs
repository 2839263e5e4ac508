//! What the patterns of a jail lead to at this moment, for `blocker doctor`: looked at, and not followed.

use std::path::PathBuf;

use super::SourceError;
use super::find::find;
use super::pattern::PathPattern;
use super::problems::Problems;
use crate::regular;

/// A pattern and what it leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The pattern as it was written.
    pub pattern: String,
    /// The files, at most as many as are looked at for a pattern.
    pub files: Vec<SeenFile>,
    /// What was in the way of looking, one sentence each.
    pub problems: Vec<String>,
}

/// A log that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenFile {
    /// Its path.
    pub path: PathBuf,
    /// In bytes.
    pub length: u64,
    /// Why it cannot be read, if it cannot.
    pub refusal: Option<String>,
}

/// Looks for the files that `patterns` name, and tries whether this process may read them.
///
/// # Errors
///
/// If a pattern is none.
pub fn look(patterns: &[String]) -> Result<Vec<Seen>, SourceError> {
    patterns.iter().map(|text| PathPattern::parse(text.clone()).map(|pattern| seen(text, pattern))).collect()
}

fn seen(text: &str, pattern: PathPattern) -> Seen {
    let mut problems = Problems::default();
    let (found, _) = find(&[pattern], &mut problems);
    let file = |path: PathBuf, length| {
        let refusal = regular::open(&path).err().map(|error| error.to_string());
        SeenFile { path, length, refusal }
    };
    Seen {
        pattern: text.to_owned(),
        files: found.into_iter().map(|found| file(found.path, found.length)).collect(),
        problems: problems.into_sentences(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::TempDir;
    use super::*;

    #[test]
    fn logs_are_seen_with_their_length_and_a_pattern_without_any_is_empty() {
        let dir = TempDir::new();
        dir.write("mail.log", b"four");
        dir.write("mail.err", b"");

        let seen = look(&[dir.text("mail.*"), dir.text("nothing.log")]).unwrap();

        let lengths: Vec<_> = seen[0].files.iter().map(|file| (file.length, file.refusal.clone())).collect();
        assert_eq!(lengths, [(0, None), (4, None)]);
        assert_eq!((seen[1].files.len(), seen[1].problems.len()), (0, 0));
        assert!(look(&["mail.log".to_owned()]).is_err(), "relative");
    }
}
