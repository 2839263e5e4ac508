//! Where what is pinned, and the lock that lets only one daemon write there.
//!
//! ```text
//! /sys/fs/bpf/blocker/        locked (flock) by the daemon
//!   v3/                       the layout's version: blocker_common::LAYOUT
//!     CONFIG, BANS4, …        the maps, by name
//!     program-2               the program on the interface of index 2
//!     link-2-native           the link to the interface of index 2, and its mode
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use blocker_common::{LAYOUT, MapName};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::AttachMode;
use crate::exit::io_failure;

/// The pins below one directory.
#[derive(Clone, Debug)]
pub struct Pins {
    root: PathBuf,
    directory: PathBuf,
}

/// Proof that no other daemon writes to the same pins; released when dropped, or when the process dies.
pub(super) struct Lock {
    _directory: Flock<File>,
}

/// A link's pin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LinkPin {
    pub(super) path: PathBuf,
    /// The interface.
    pub(super) index: u32,
    pub(super) mode: AttachMode,
}

impl Pins {
    /// The pins below `root`, whether they are there or not.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), directory: root.join(format!("v{LAYOUT}")) }
    }

    /// The same in another directory of the root.
    pub(super) fn at(&self, directory: PathBuf) -> Self {
        Self { root: self.root.clone(), directory }
    }

    /// The configured directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The directory of this layout.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        self.directory.clone()
    }

    /// The directory beside it that is on the way to or from it. Dots are not allowed in names here.
    pub(super) fn beside(&self, state: &str) -> PathBuf {
        self.root.join(format!("v{LAYOUT}-{state}"))
    }

    /// Directories of other layouts and capacities, the latest layout first.
    ///
    /// # Errors
    ///
    /// If the root is there and cannot be read.
    pub(super) fn others(&self) -> Result<Vec<PathBuf>> {
        let reading = || format!("reading {}", self.root.display());
        let entries = match fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(io_failure(error, reading())),
        };
        let mut others = Vec::new();
        for entry in entries {
            let path = entry.with_context(reading)?.path();
            if path != self.directory
                && let Some(layout) = layout_of(&path)
            {
                others.push((layout, path));
            }
        }
        others.sort_unstable();
        Ok(others.into_iter().rev().map(|(_, path)| path).collect())
    }

    /// That something is pinned here.
    ///
    /// # Errors
    ///
    /// If nothing is, by this version; or nobody may know.
    pub(super) fn require(&self) -> Result<()> {
        let directory = self.directory.display();
        match fs::read_dir(&self.directory) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => match self.others()?.first() {
                Some(other) => bail!(
                    "the pins in {} are another version's: start the daemon, which takes the bans over, or use that version",
                    other.display()
                ),
                None => bail!(
                    "nothing is pinned in {directory}, so no ban is in force: no daemon has run since the last boot or `blocker detach`"
                ),
            },
            Err(error) => Err(io_failure(error, format!("reading {directory}"))),
        }
    }

    /// Makes the directory.
    ///
    /// # Errors
    ///
    /// The file system's.
    pub(super) fn make_directory(&self) -> Result<()> {
        make(&self.directory)
    }

    /// Where a map is pinned.
    #[must_use]
    pub fn map(&self, name: MapName) -> PathBuf {
        self.directory().join(name.as_str())
    }

    /// Where the program that runs on an interface is pinned.
    pub(super) fn program(&self, index: u32) -> PathBuf {
        self.directory().join(format!("program-{index}"))
    }

    /// Where the link to an interface is pinned.
    pub(super) fn link(&self, index: u32, mode: AttachMode) -> PathBuf {
        self.directory().join(format!("link-{index}-{mode}"))
    }

    /// The links that are pinned.
    ///
    /// # Errors
    ///
    /// If the directory is there and cannot be read.
    pub(super) fn links(&self) -> io::Result<Vec<LinkPin>> {
        let pin =
            |(name, path): (String, PathBuf)| parse_link(&name).map(|(index, mode)| LinkPin { path, index, mode });
        Ok(self.entries()?.into_iter().filter_map(pin).collect())
    }

    /// Everything in the directory, by name; nothing if it is not there.
    fn entries(&self) -> io::Result<Vec<(String, PathBuf)>> {
        let entries = match fs::read_dir(self.directory()) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let entry = |entry: io::Result<fs::DirEntry>| {
            entry.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()))
        };
        entries.map(entry).collect()
    }

    /// Makes the root and takes the lock.
    ///
    /// # Errors
    ///
    /// If another daemon has it, or the directory cannot be made.
    pub(super) fn lock(&self) -> Result<Lock> {
        make(&self.root)?;
        let root = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_DIRECTORY)
            .open(&self.root)
            .map_err(|error| io_failure(error, format!("opening {}", self.root.display())))?;
        match Flock::lock(root, FlockArg::LockExclusiveNonblock) {
            Ok(directory) => Ok(Lock { _directory: directory }),
            Err((_, Errno::EWOULDBLOCK)) => bail!(
                "another blocker runs with the pins in {}: stop it first, or set `daemon.pins` and `daemon.runtime` to other directories",
                self.root.display()
            ),
            Err((_, error)) => Err(error).with_context(|| format!("locking {}", self.root.display())),
        }
    }
}

fn make(directory: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|error| io_failure(error, format!("making {}", directory.display())))
}

/// The layout that a directory's name tells: `v2`, also while it is made or going (`v2-next`, `v2-ready`, `v2-old`).
fn layout_of(directory: &Path) -> Option<u32> {
    let name = directory.file_name()?.to_str()?.strip_prefix('v')?;
    let (layout, state) = name.split_once('-').unwrap_or((name, ""));
    ["", "next", "ready", "old"].contains(&state).then(|| layout.parse().ok())?
}

fn parse_link(name: &str) -> Option<(u32, AttachMode)> {
    let (index, mode) = name.strip_prefix("link-")?.split_once('-')?;
    Some((index.parse().ok()?, AttachMode::by_name(mode)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_tells_its_layout() {
        let layout = |name: &str| layout_of(&Path::new("/pins").join(name));

        assert_eq!((layout("v1"), layout("v12"), layout("v2-old")), (Some(1), Some(12), Some(2)));
        assert_eq!((layout("maps"), layout("v"), layout("v2-mine"), layout("lock")), (None, None, None, None));
    }

    #[test]
    fn a_links_pin_tells_its_interface_and_mode() {
        let path = Pins::new(Path::new("/pins")).link(7, AttachMode::Generic);

        assert_eq!(path, Path::new(&format!("/pins/v{LAYOUT}/link-7-generic")));
        assert_eq!(parse_link("link-7-generic"), Some((7, AttachMode::Generic)));
        assert_eq!(parse_link("link-x-generic"), None);
        assert_eq!(parse_link("BANS4"), None);
    }
}
