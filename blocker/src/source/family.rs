//! A log and what rotations made of it: files in the same directory, under the log's name and what is put behind it.

use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::packed::PackedName;
use super::tail::{CHECKED_BYTES, Identity, Tail, bytes_before};

/// Most names of a directory that are looked at for a path.
const MAX_NAMES: usize = 16_384;

/// A file that has or had a path.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) path: PathBuf,
    pub(super) identity: Identity,
    /// When it was last written to: wall time, in nanoseconds.
    pub(super) modified: i64,
    /// When it was made, if the file system tells: the same.
    pub(super) born: Option<i64>,
}

/// The file at `path` and those that a rotation may have made of it, the one last written to last. None that are compressed.
pub(super) fn family(path: &Path) -> Vec<Member> {
    members(path, |path| PackedName::of(path).is_none())
}

/// Those of these files that are of a kind.
pub(super) fn members(path: &Path, is_of_kind: impl Fn(&Path) -> bool) -> Vec<Member> {
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
        .filter(|entry| is_of_kind(&entry.path()))
        .filter_map(|entry| {
            let path = entry.path();
            let metadata = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?;
            let modified = metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec());
            Some(Member { path, identity: Identity::of(&metadata), modified, born: born(&metadata) })
        })
        .collect();
    members.sort_by(|one, other| (one.modified, &one.path).cmp(&(other.modified, &other.path)));
    members
}

/// When a file was made, if the file system tells: wall time, in nanoseconds.
pub(super) fn born(metadata: &fs::Metadata) -> Option<i64> {
    let since = metadata.created().ok()?.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_nanos()).ok()
}

/// Opens a file, if it is still that one.
pub(super) fn open(path: &Path, identity: Identity) -> io::Result<File> {
    let file = Tail::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() && Identity::of(&metadata) == identity {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::NotFound, "another file took its place"))
    }
}

/// Finds a file of the family that is called otherwise by now.
pub(super) fn find_again(path: &Path, identity: Identity) -> Option<(PathBuf, File)> {
    let member = family(path).into_iter().find(|member| member.identity == identity)?;
    Some((member.path.clone(), open(&member.path, identity).ok()?))
}

/// Whether a file has all that `copy` has, and may have more. Of less than a line nobody can tell.
pub(super) fn is_copy_of(copy: &File, original: &File) -> bool {
    let is_in = || {
        let length = copy.metadata()?.len();
        Ok::<_, io::Error>(
            length >= CHECKED_BYTES as u64 && bytes_before(copy, length)? == bytes_before(original, length)?,
        )
    };
    is_in().unwrap_or(false)
}

/// The same of the file at `path`.
pub(super) fn is_copy_of_path(copy: &File, path: &Path) -> bool {
    Tail::open(path).is_ok_and(|original| is_copy_of(copy, &original))
}
