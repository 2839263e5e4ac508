//! Where what is pinned, and the lock that lets only one daemon write there.
//!
//! ```text
//! /sys/fs/bpf/blocker/        locked (flock) by the daemon
//!   v2/                       the layout's version: blocker_common::LAYOUT
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
        Self { root: root.to_owned() }
    }

    /// The configured directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The directory of this layout.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        self.root.join(format!("v{LAYOUT}"))
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

    /// The programs that are pinned.
    ///
    /// # Errors
    ///
    /// If the directory is there and cannot be read.
    pub(super) fn programs(&self) -> io::Result<Vec<PathBuf>> {
        Ok(self.entries()?.into_iter().filter(|(name, _)| name.starts_with("program-")).map(|(_, path)| path).collect())
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

    /// Makes the directories and takes the lock.
    ///
    /// # Errors
    ///
    /// If another daemon has it, or the directory cannot be made.
    pub(super) fn lock(&self) -> Result<Lock> {
        let directory = self.directory();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)
            .map_err(|error| io_failure(error, format!("making {}", directory.display())))?;
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

fn parse_link(name: &str) -> Option<(u32, AttachMode)> {
    let (index, mode) = name.strip_prefix("link-")?.split_once('-')?;
    Some((index.parse().ok()?, AttachMode::by_name(mode)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_links_pin_tells_its_interface_and_mode() {
        let path = Pins::new(Path::new("/pins")).link(7, AttachMode::Generic);

        assert_eq!(path, Path::new("/pins/v2/link-7-generic"));
        assert_eq!(parse_link("link-7-generic"), Some((7, AttachMode::Generic)));
        assert_eq!(parse_link("link-x-generic"), None);
        assert_eq!(parse_link("BANS4"), None);
    }
}
