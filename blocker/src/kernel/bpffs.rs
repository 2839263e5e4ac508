//! The BPF file system that pins live in: found, or mounted where it belongs.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, anyhow, bail};
use nix::mount::{MsFlags, mount};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use super::capabilities;
use crate::exit::{Failure, is_permission};

/// Where every distribution has it.
const STANDARD: &str = "/sys/fs/bpf";

/// Makes sure that `directory` is, or can be made, in a BPF file system.
///
/// # Errors
///
/// If it is not, and mounting one is not permitted or would not help: with the command that does.
pub(super) fn ensure(directory: &Path) -> Result<()> {
    if is_bpffs(directory)? {
        return Ok(());
    }
    if !directory.starts_with(STANDARD) {
        bail!(
            "{} is in no BPF file system: mount one there (mount -t bpf bpf DIRECTORY), or set `daemon.pins` below {STANDARD}",
            directory.display()
        );
    }
    mount(Some("bpf"), STANDARD, Some("bpf"), MsFlags::empty(), Some("mode=0700")).map_err(|error| {
        let text = format!("no BPF file system at {STANDARD} ({error}): mount it with `mount -t bpf bpf {STANDARD}`");
        if is_permission(&error.into()) { Failure::Permission(text).into() } else { anyhow!(text) }
    })?;
    tracing::info!(at = STANDARD, "mounted a BPF file system");
    Ok(())
}

/// How it is with the BPF file system that a directory is to be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bpffs {
    /// It is in one, or can be made there.
    There,
    /// None is mounted where it belongs; the daemon does it if it may.
    NotMounted {
        /// Whether this process may.
        may_mount: bool,
    },
    /// The kernel has none.
    Unknown,
    /// The directory is where the daemon would mount none.
    Elsewhere,
}

/// Looks at `directory`, and mounts nothing.
///
/// # Errors
///
/// The file system's.
pub fn bpffs(directory: &Path) -> Result<Bpffs> {
    if is_bpffs(directory)? {
        return Ok(Bpffs::There);
    }
    if !directory.starts_with(STANDARD) {
        return Ok(Bpffs::Elsewhere);
    }
    let known = fs::read_to_string("/proc/filesystems").context("reading /proc/filesystems")?;
    let is_known = known.lines().any(|line| line.split_ascii_whitespace().next_back() == Some("bpf"));
    Ok(if is_known { Bpffs::NotMounted { may_mount: capabilities::may_mount() } } else { Bpffs::Unknown })
}

/// Whether the nearest existing ancestor of `directory` is in one.
fn is_bpffs(directory: &Path) -> Result<bool> {
    let existing = directory.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let stat = statfs(existing).with_context(|| format!("looking at {}", existing.display()))?;
    Ok(stat.filesystem_type() == BPF_FS_MAGIC)
}

/// A directory for maps that are to be pinned nowhere: the object says that they are, by name, so they pass through here.
/// Removed with what is in it.
pub(super) struct Passing(PathBuf);

impl Passing {
    /// Makes one that nobody else has.
    ///
    /// # Errors
    ///
    /// As [`ensure`]; the file system's.
    pub(super) fn new() -> Result<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        ensure(Path::new(STANDARD))?;
        let name = format!("blocker-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(STANDARD).join(name);
        // Whoever had this process's number has ended.
        remove(&path);
        fs::create_dir(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

fn remove(directory: &Path) {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(directory = %directory.display(), %error, "a directory of pins cannot be removed");
        }
        Ok(()) | Err(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_elsewhere_is_in_none() {
        assert_eq!(bpffs(Path::new("/proc/no/such/directory")).unwrap(), Bpffs::Elsewhere);
    }
}
