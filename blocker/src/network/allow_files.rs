//! Files of addresses that are never banned, read again when they change.

use std::fmt;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use blocker_core::prefix::Prefix;

use crate::regular;

/// Addresses and networks in all files together, at most: half of what the kernel's list takes of each family, so that
/// what is found on the machine has room.
pub const MAX_LISTED: usize = 2048;

/// Largest file that is read, in bytes.
const MAX_BYTES: u64 = 1024 * 1024;

/// The files, with what they said when they were last in order.
#[derive(Debug, Default)]
pub struct AllowFiles {
    files: Vec<AllowFile>,
}

#[derive(Debug)]
struct AllowFile {
    path: PathBuf,
    prefixes: Vec<Prefix>,
    /// What was read last, whether in order or not.
    seen: Option<Seen>,
    /// Why it is not what it says now that counts.
    problem: Option<String>,
}

/// By what a file that changed is told from one that did not: device, inode, size, and both times in nanoseconds.
type Seen = (u64, u64, u64, (i64, i64), (i64, i64));

impl AllowFiles {
    /// Names the files. What those that were there before have said is kept.
    pub fn set_paths(&mut self, paths: &[PathBuf]) {
        let mut old = std::mem::take(&mut self.files);
        let file = |path: &PathBuf| match old.iter().position(|file| file.path == *path) {
            Some(index) => old.swap_remove(index),
            None => AllowFile { path: path.clone(), prefixes: Vec::new(), seen: None, problem: None },
        };
        self.files = paths.iter().map(file).collect();
    }

    /// Reads what has changed. A file that is faulty or gone counts as it was, and is told of once.
    pub fn look(&mut self) {
        let mut room = MAX_LISTED;
        for file in &mut self.files {
            let problem = file.look(room).err().map(|error| error.to_string());
            if let Some(problem) = problem.as_ref().filter(|problem| file.problem.as_ref() != Some(problem)) {
                tracing::error!("{problem}; it counts as it was: {} addresses and networks", file.prefixes.len());
            }
            file.problem = problem;
            room = room.saturating_sub(file.prefixes.len());
        }
    }

    /// Who is never banned.
    pub fn prefixes(&self) -> impl Iterator<Item = Prefix> {
        self.files.iter().flat_map(|file| file.prefixes.iter().copied())
    }

    /// The same, each with the file that names it.
    pub fn named(&self) -> impl Iterator<Item = (Prefix, &Path)> {
        self.files.iter().flat_map(|file| file.prefixes.iter().map(|&prefix| (prefix, file.path.as_path())))
    }

    /// Where they are.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| file.path.as_path())
    }

    /// What is wrong with them, a sentence each.
    pub fn problems(&self) -> impl Iterator<Item = String> {
        self.files.iter().filter_map(|file| {
            let problem = file.problem.as_ref()?;
            Some(format!("{problem}; it counts as it was: {} addresses and networks", file.prefixes.len()))
        })
    }
}

impl AllowFile {
    fn look(&mut self, room: usize) -> Result<(), Fault> {
        let fault = |error| Fault { path: self.path.clone(), line: None, what: What::Unreadable(error) };
        let seen = fs::metadata(&self.path).map(|metadata| seen(&metadata)).map_err(fault)?;
        if self.problem.is_none() && self.seen == Some(seen) && self.prefixes.len() <= room {
            return Ok(());
        }
        self.prefixes = read(&self.path, room)?;
        self.seen = Some(seen);
        tracing::info!(file = %self.path.display(), prefixes = self.prefixes.len(), "never bans what the file names");
        Ok(())
    }
}

fn seen(metadata: &fs::Metadata) -> Seen {
    let modified = (metadata.mtime(), metadata.mtime_nsec());
    let changed = (metadata.ctime(), metadata.ctime_nsec());
    (metadata.dev(), metadata.ino(), metadata.size(), modified, changed)
}

/// Reads all files, as [`AllowFiles`] would at its first look.
///
/// # Errors
///
/// What is wrong with the first that is not in order.
pub fn check(paths: &[PathBuf]) -> Result<(), Fault> {
    let mut room = MAX_LISTED;
    for path in paths {
        room -= read(path, room)?.len();
    }
    Ok(())
}

/// The addresses and networks in a file, one a line; what follows `#` is a comment.
fn read(path: &Path, room: usize) -> Result<Vec<Prefix>, Fault> {
    let fault = |line, what| Fault { path: path.to_owned(), line, what };
    let text = text(path).map_err(|error| fault(None, What::Unreadable(error)))?;
    let mut prefixes = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let entry = line.split('#').next().unwrap_or_default().trim();
        if entry.is_empty() {
            continue;
        }
        let prefix: Prefix = entry
            .parse()
            .map_err(|_| fault(Some(number), What::NoAddress(entry.chars().take(MAX_SHOWN_CHARS).collect())))?;
        // A later look must not take away what an address as this one has.
        if entry.parse::<IpAddr>().is_ok_and(|addr| addr.is_unspecified()) {
            return Err(fault(Some(number), What::NoAddress(entry.to_owned())));
        }
        if prefixes.len() == room {
            return Err(fault(Some(number), What::TooMany));
        }
        prefixes.push(prefix);
    }
    Ok(prefixes)
}

fn text(path: &Path) -> io::Result<String> {
    regular::read_text(path, MAX_BYTES)
}

/// Most characters of an entry that an error shows.
const MAX_SHOWN_CHARS: usize = 60;

/// What is wrong with a file.
#[derive(Debug)]
pub struct Fault {
    path: PathBuf,
    line: Option<usize>,
    what: What,
}

#[derive(Debug)]
enum What {
    Unreadable(io::Error),
    NoAddress(String),
    TooMany,
}

impl std::error::Error for Fault {}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        match &self.what {
            What::Unreadable(error) => write!(f, ": {error}"),
            What::NoAddress(entry) => {
                write!(f, ": {entry:?}, expected an address or a network such as \"192.0.2.9\" or \"2001:db8::/64\"")
            }
            What::TooMany => {
                write!(f, ": all `allow_files` together name more than {MAX_LISTED}: allow networks instead")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::testing::TempDir;

    #[test]
    fn a_file_names_one_a_line_and_says_why_beside_it() {
        let dir = TempDir::new();
        dir.write("allow", b"# our own\n192.0.2.0/28  # the office\n\n  2001:db8::9\r\n");

        assert_eq!(looked(&dir), ["192.0.2.0/28", "2001:db8::9"]);
    }

    #[test]
    fn a_faulty_file_is_refused_with_its_line() {
        let dir = TempDir::new();
        for (text, expected) in [
            ("192.0.2.9\nmail.example.org\n", "line 2: \"mail.example.org\", expected an address or a network"),
            ("0.0.0.0/0\n", "line 1: \"0.0.0.0/0\""),
            ("0.0.0.0\n", "line 1: \"0.0.0.0\""),
            ("192.0.2.9 192.0.2.10\n", "line 1: \"192.0.2.9 192.0.2.10\""),
        ] {
            dir.write("allow", text.as_bytes());
            let error = check(&[dir.path("allow")]).expect_err(text).to_string();
            assert!(error.contains(expected), "{error}");
        }
        let many: String = (0..=MAX_LISTED).map(|number| format!("2001:db8::{number:x}\n")).collect();
        dir.write("allow", many.as_bytes());
        let error = check(&[dir.path("allow")]).expect_err("there are too many").to_string();
        assert!(error.contains("line 2049: all `allow_files` together name more than 2048"), "{error}");
        assert!(check(&[dir.path("none")]).is_err() && check(&[dir.path(".")]).is_err());
    }

    #[test]
    fn what_changes_counts_and_what_becomes_faulty_counts_as_it_was() {
        let dir = TempDir::new();
        dir.write("allow", b"192.0.2.9\n");
        let mut files = AllowFiles::default();
        files.set_paths(&[dir.path("allow")]);
        let look = |files: &mut AllowFiles| {
            files.look();
            (files.prefixes().map(|prefix| prefix.to_string()).collect::<Vec<_>>(), files.problems().count())
        };
        assert_eq!(look(&mut files), (vec!["192.0.2.9".to_owned()], 0));

        dir.write("allow", b"192.0.2.10\n");
        assert_eq!(look(&mut files), (vec!["192.0.2.10".to_owned()], 0));
        dir.write("allow", b"192.0.2.11\nnobody\n");
        assert_eq!(look(&mut files), (vec!["192.0.2.10".to_owned()], 1));
        dir.remove("allow");
        assert_eq!(look(&mut files), (vec!["192.0.2.10".to_owned()], 1));
        dir.write("allow", b"192.0.2.12\n");
        assert_eq!(look(&mut files), (vec!["192.0.2.12".to_owned()], 0));

        files.set_paths(&[]);
        assert_eq!(look(&mut files), (vec![], 0), "no file any more");
    }

    fn looked(dir: &TempDir) -> Vec<String> {
        let mut files = AllowFiles::default();
        files.set_paths(&[dir.path("allow")]);
        files.look();
        assert_eq!(files.problems().count(), 0);
        files.prefixes().map(|prefix| prefix.to_string()).collect()
    }
}
