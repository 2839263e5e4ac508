//! Where an earlier run left off: which files its marks belong to, whatever they are called by now, and what came after them.
//!
//! Looks at the first scan alone, before anything is read. A marked file is, in this order:
//!
//! 1. the file with its inode, if it has before the mark what was read there: at its path, or in the same directory under
//!    the name that a rotation gave it (the path's, and `.` or `-` behind it);
//! 2. a file at the path or of such a name that has the same bytes before the mark: a copy, made by copytruncate or an
//!    editor.
//!
//! If there is neither, what was written to it after the mark is lost. Files of such names that were written to after the
//! last mark was noted, and that nobody knows, came and went between two runs: they are read from their beginning, the
//! oldest first, before the file that has the path now. A copy of what is still at the path is none of them: copytruncate
//! is at work at this moment, and the original is read.

use std::cell::LazyCell;
use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::find::Found;
use super::follower::QUIET_TIME;
use super::tail::{CHECKED_BYTES, Identity, Position, Start, Tail, bytes_before};
use super::{Mark, Marks, Standing};

/// Most names of a directory that are looked at for a path.
const MAX_NAMES: usize = 16_384;

/// A file system's clock is behind by at most a tick, 10 ms; in nanoseconds.
const TICKS_NS: i64 = 20_000_000;

/// Ends of names under which a rotated log lies compressed.
const COMPRESSED: [&str; 6] = [".gz", ".xz", ".bz2", ".zst", ".lz4", ".Z"];

/// A file that is to be read before what is found besides.
#[derive(Debug)]
pub(super) struct Resumed {
    pub(super) file: File,
    pub(super) identity: Identity,
    /// The path by which it is followed.
    pub(super) path: PathBuf,
    pub(super) standing: Standing,
    pub(super) start: Start,
}

/// What is made of the marks.
#[derive(Debug, Default)]
pub(super) struct Resumption {
    /// To be read in this order.
    pub(super) files: Vec<Resumed>,
    /// Where to begin in files that cannot be opened now.
    pub(super) later: Vec<(Identity, Start)>,
    /// Marks whose file is gone, or goes on as another.
    pub(super) lost: Vec<Mark>,
}

impl Mark {
    /// The mark of a file that was read up to a position.
    pub(super) fn new(path: &Path, identity: Identity, position: &Position) -> Self {
        let Position { offset, before, skipping } = position.clone();
        let Identity { device, inode } = identity;
        Self { path: path.to_owned(), device, inode, offset, before, skipping, noted: 0 }
    }

    fn identity(&self) -> Identity {
        Identity { device: self.device, inode: self.inode }
    }

    fn position(&self) -> Position {
        Position { offset: self.offset, before: self.before.clone(), skipping: self.skipping }
    }
}

/// Finds the files of `marks` among those `found` now and around them.
pub(super) fn resume(marks: Marks, found: &[Found]) -> Resumption {
    let Marks { is_known, files: marks } = marks;
    let mut search = Search { found, claimed: HashSet::new(), resumption: Resumption::default() };
    if !is_known {
        // Of other sources: they tell of files that this one has, too, and of nothing else.
        for mark in &marks {
            search.claim_found(mark);
        }
        return search.resumption;
    }
    let mut paths: Vec<&Path> = Vec::new();
    for mark in &marks {
        if !paths.contains(&mark.path.as_path()) {
            paths.push(&mark.path);
        }
    }
    for path in paths {
        // Not looked for where all is as it was: a glob may name a thousand files.
        let family = LazyCell::new(|| family(path));
        let (mut is_current, mut since) = (false, i64::MIN);
        for mark in marks.iter().filter(|mark| mark.path == path) {
            let has_path = search.claim_found(mark) || search.claim(mark, &family, &mut since);
            // At its beginning every file is the same: another may have the inode.
            is_current |= has_path && mark.offset > 0;
            since = since.max(mark.noted.saturating_sub(TICKS_NS));
        }
        if !is_current {
            search.begin_unknown(path, since, &family);
        }
    }
    // Of the files that are found, none was written to before one that was rotated away.
    search.resumption.files.sort_by_key(|file| file.standing == Standing::Current);
    search.resumption
}

/// A file that has or had a path.
#[derive(Debug)]
struct Member {
    path: PathBuf,
    identity: Identity,
    /// When it was last written to: wall time, in nanoseconds.
    modified: i64,
}

/// The file at `path` and those that a rotation may have made of it, the one last written to last.
fn family(path: &Path) -> Vec<Member> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else { return Vec::new() };
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let is_of_family = |other: &[u8]| {
        let rest = other.strip_prefix(name.as_bytes());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b".") || rest.starts_with(b"-"))
    };
    let mut members: Vec<Member> = entries
        .take(MAX_NAMES)
        .filter_map(Result::ok)
        .filter(|entry| is_of_family(entry.file_name().as_bytes()))
        .filter(|entry| !COMPRESSED.iter().any(|end| entry.file_name().as_bytes().ends_with(end.as_bytes())))
        .filter_map(|entry| {
            let path = entry.path();
            let metadata = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?;
            let modified = metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec());
            Some(Member { path, identity: Identity::of(&metadata), modified })
        })
        .collect();
    members.sort_by(|one, other| (one.modified, &one.path).cmp(&(other.modified, &other.path)));
    members
}

struct Search<'a> {
    found: &'a [Found],
    claimed: HashSet<Identity>,
    resumption: Resumption,
}

impl Search<'_> {
    /// Takes the file of a mark if it is at its path still.
    fn claim_found(&mut self, mark: &Mark) -> bool {
        let identity = mark.identity();
        let is_there = |found: &Found| found.identity == identity && found.path == mark.path;
        if self.claimed.contains(&identity) || !self.found.iter().any(is_there) {
            return false;
        }
        let Ok(file) = open(&mark.path, identity) else { return false };
        if !mark.position().is_in(&file) {
            return false;
        }
        self.claimed.insert(identity);
        let (path, start) = (mark.path.clone(), Start::Resume(mark.position()));
        self.resumption.files.push(Resumed { file, identity, path, standing: Standing::Current, start });
        true
    }

    /// Finds the file of a mark, wherever it is. Returns whether it still has its path. If it is a copy, what came after it
    /// was written to `since` the copy was.
    fn claim(&mut self, mark: &Mark, family: &[Member], since: &mut i64) -> bool {
        let candidates = || {
            let found = self.found.iter().map(|found| (found.path.clone(), found.identity));
            found.chain(family.iter().map(|member| (member.path.clone(), member.identity)))
        };
        let is_same = |identity: Identity| identity == mark.identity();
        // Numbers of devices may change at a reboot.
        let has_inode = |identity: Identity| !is_same(identity) && identity.inode == mark.inode;
        let is_copy = |identity: Identity| identity.inode != mark.inode && mark.before.len() == CHECKED_BYTES;
        let ways: [&dyn Fn(Identity) -> bool; 3] = [&is_same, &has_inode, &is_copy];
        let place = ways.into_iter().find_map(|is_it| {
            let mut places = candidates().filter(|(_, identity)| is_it(*identity) && !self.claimed.contains(identity));
            places.find_map(|(path, identity)| match open(&path, identity) {
                Ok(file) => mark.position().is_in(&file).then_some((path, identity, Some(file))),
                // It is there, and may be readable later.
                Err(_) if is_same(identity) => Some((path, identity, None)),
                Err(_) => None,
            })
        });
        let Some((path, identity, file)) = place else {
            self.resumption.lost.push(mark.clone());
            return false;
        };
        if identity != mark.identity() {
            // It will be noted as another.
            self.resumption.lost.push(mark.clone());
        }
        self.claimed.insert(identity);
        if identity.inode != mark.inode
            && let Some(copy) = family.iter().find(|member| member.identity == identity)
        {
            *since = copy.modified.max(*since);
        }
        let is_found = self.found.iter().any(|found| found.identity == identity);
        let is_current = path == mark.path;
        let start = Start::Resume(mark.position());
        match file {
            None => self.resumption.later.push((identity, start)),
            Some(file) if !is_found && is_read_and_quiet(&file, mark) => self.resumption.later.push((identity, start)),
            Some(file) => {
                let (path, standing) =
                    if is_found { (path, Standing::Current) } else { (mark.path.clone(), Standing::Rotated) };
                self.resumption.files.push(Resumed { file, identity, path, standing, start });
            }
        }
        is_current
    }

    /// Takes in the files that were written to `since` then and do not have their `path` any more.
    fn begin_unknown(&mut self, path: &Path, since: i64, family: &[Member]) {
        for member in family.iter().filter(|member| member.modified > since && member.path != path) {
            let is_found = self.found.iter().any(|found| found.identity == member.identity);
            if is_found || self.claimed.contains(&member.identity) {
                continue;
            }
            let Ok(file) = open(&member.path, member.identity) else { continue };
            if is_copy_of(&file, path) {
                continue;
            }
            self.claimed.insert(member.identity);
            self.resumption.files.push(Resumed {
                file,
                identity: member.identity,
                path: path.to_owned(),
                standing: Standing::Rotated,
                start: Start::Beginning,
            });
        }
    }
}

/// Whether the file at `path` has all that this one has, and may have more. Of less than a line nobody can tell.
fn is_copy_of(file: &File, path: &Path) -> bool {
    let is_in = |original: &File| {
        let length = file.metadata()?.len();
        Ok::<_, io::Error>(
            length >= CHECKED_BYTES as u64 && bytes_before(file, length)? == bytes_before(original, length)?,
        )
    };
    Tail::open(path).and_then(|original| is_in(&original)).unwrap_or(false)
}

/// Whether a file that was rotated away has been read to its end, and nobody writes to it any more.
fn is_read_and_quiet(file: &File, mark: &Mark) -> bool {
    let Ok(metadata) = file.metadata() else { return false };
    let age = metadata.modified().ok().and_then(|modified| modified.elapsed().ok());
    metadata.len() == mark.offset && age.is_some_and(|age| age >= QUIET_TIME)
}

/// Opens a file, if it is still that one.
fn open(path: &Path, identity: Identity) -> io::Result<File> {
    let file = Tail::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() && Identity::of(&metadata) == identity {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::NotFound, "another file took its place"))
    }
}

#[cfg(test)]
mod tests;
