//! The kernel's notifications (inotify) about files and directories.
//!
//! A [`Watch`] says that something may have happened to a file, or that it is time to look for files again; never what.
//! It is a way to know early: everything is looked at every second in any case, so what cannot be watched (NFS, FUSE, an
//! exhausted `fs.inotify.max_user_watches`) is followed too, only later.
//!
//! Files are watched by their descriptor, so a rename between open and watch cannot make it watch another one.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};

use super::problems::Problems;
use super::tail::Identity;

/// What the notifications read at once come to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Noticed {
    /// Files that may have something new.
    pub(super) files: Vec<Identity>,
    /// The patterns may match other files.
    pub(super) is_scan_needed: bool,
    /// The kernel's queue overflowed: anything may have happened to anything.
    pub(super) is_overflown: bool,
    /// No notification was there.
    pub(super) is_empty: bool,
}

/// An inotify instance and what it watches.
#[derive(Debug)]
pub(super) struct Watch {
    /// `None` if there is none to be had.
    inotify: Option<Inotify>,
    files: HashMap<WatchDescriptor, Identity>,
    directories: HashMap<PathBuf, WatchDescriptor>,
    /// What the kernel said when the instance was made, or when it broke.
    problem: Option<String>,
}

impl Watch {
    /// Makes an instance that watches nothing. If that fails, it never notices anything and says why in
    /// [`problem`](Self::problem).
    pub(super) fn new() -> Self {
        let (inotify, problem) = match Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK) {
            Ok(inotify) => (Some(inotify), None),
            Err(errno) => (None, Some(format!("inotify is not to be had, looking every second: {}", errno.desc()))),
        };
        Self { inotify, files: HashMap::new(), directories: HashMap::new(), problem }
    }

    /// One that never notices anything.
    #[cfg(test)]
    pub(super) fn deaf() -> Self {
        Self { inotify: None, files: HashMap::new(), directories: HashMap::new(), problem: None }
    }

    /// Why nothing is noticed at all, if so.
    pub(super) fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// A second descriptor of the instance, readable when there is something to notice.
    pub(super) fn descriptor(&self) -> io::Result<Option<OwnedFd>> {
        self.inotify.as_ref().map(|inotify| inotify.as_fd().try_clone_to_owned()).transpose()
    }

    /// Takes the notifications that are there, without waiting.
    ///
    /// # Errors
    ///
    /// If the instance is broken. It notices nothing from then on.
    pub(super) fn notice(&mut self) -> io::Result<Noticed> {
        let Some(inotify) = &self.inotify else {
            return Ok(Noticed { is_empty: true, ..Noticed::default() });
        };
        match inotify.read_events() {
            Ok(events) => Ok(self.sort(&events)),
            Err(Errno::EAGAIN) => Ok(Noticed { is_empty: true, ..Noticed::default() }),
            Err(Errno::EINTR) => Ok(Noticed::default()),
            Err(errno) => {
                self.inotify = None;
                self.files.clear();
                self.directories.clear();
                self.problem = Some(format!("inotify broke, looking every second: {}", errno.desc()));
                Err(errno.into())
            }
        }
    }

    /// Watches an open file.
    pub(super) fn add_file(&mut self, file: &File, identity: Identity) -> Result<(), Errno> {
        let Some(inotify) = &self.inotify else { return Ok(()) };
        let flags = AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_ATTRIB
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_DELETE_SELF;
        let descriptor = inotify.add_watch(format!("/proc/self/fd/{}", file.as_raw_fd()).as_str(), flags)?;
        self.files.insert(descriptor, identity);
        Ok(())
    }

    /// Watches a file no more.
    pub(super) fn remove_file(&mut self, identity: Identity) {
        let Some(inotify) = &self.inotify else { return };
        self.files.retain(|&descriptor, &mut watched| {
            if watched == identity {
                remove(inotify, descriptor);
            }
            watched != identity
        });
    }

    /// Watches these directories and no others, each by what its path leads to at this moment. Returns whether one of
    /// them was not watched before, so that what happened in it a moment ago is not known. Failures are told in `problems`.
    pub(super) fn set_directories(&mut self, paths: BTreeSet<PathBuf>, problems: &mut Problems) -> bool {
        let Some(inotify) = &self.inotify else { return false };
        let flags = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_ATTRIB
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        let mut directories = HashMap::with_capacity(paths.len());
        for path in paths {
            match inotify.add_watch(&path, flags) {
                Ok(descriptor) => {
                    directories.insert(path, descriptor);
                }
                // Gone, or replaced by something else, between two looks.
                Err(Errno::ENOENT | Errno::ENOTDIR) => {}
                Err(errno) => {
                    problems.add(format!("watching {path:?}, looking there every second instead: {}", errno.desc()));
                }
            }
        }
        let old: BTreeSet<_> = self.directories.values().copied().collect();
        let new: BTreeSet<_> = directories.values().copied().collect();
        for &descriptor in old.difference(&new) {
            remove(inotify, descriptor);
        }
        self.directories = directories;
        !new.is_subset(&old)
    }

    fn sort(&mut self, events: &[InotifyEvent]) -> Noticed {
        let mut noticed = Noticed::default();
        for event in events {
            if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
                noticed.is_overflown = true;
            } else if event.mask.contains(AddWatchFlags::IN_IGNORED) {
                // The kernel has dropped the watch: by request, or because the file is gone.
                self.files.remove(&event.wd);
                self.directories.retain(|_, &mut descriptor| descriptor != event.wd);
                noticed.is_scan_needed = true;
            } else if let Some(&identity) = self.files.get(&event.wd) {
                noticed.is_scan_needed |= event.mask != AddWatchFlags::IN_MODIFY;
                if !noticed.files.contains(&identity) {
                    noticed.files.push(identity);
                }
            } else {
                noticed.is_scan_needed = true;
            }
        }
        noticed
    }
}

fn remove(inotify: &Inotify, descriptor: WatchDescriptor) {
    if let Err(errno) = inotify.rm_watch(descriptor) {
        // The kernel drops the watch of a deleted file by itself.
        tracing::trace!(watch = descriptor.as_raw(), %errno, "watch was gone already");
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::TempDir;
    use super::*;

    #[test]
    fn notices_a_write_by_descriptor_after_a_rename() {
        let dir = TempDir::new();
        dir.write("a", b"");
        let file = File::open(dir.path("a")).expect("the file exists");
        let identity = Identity::of(&file.metadata().expect("the file is open"));
        dir.rename("a", "b");
        let mut watch = Watch::new();
        watch.add_file(&file, identity).expect("the file can be watched");

        dir.append("b", b"x");

        let noticed = watch.notice().expect("inotify works");
        assert_eq!(noticed.files, [identity]);
        assert!(!noticed.is_scan_needed, "a write alone is no reason to look for files");
        assert!(watch.notice().expect("inotify works").is_empty);
    }

    #[test]
    fn notices_what_appears_and_vanishes_in_a_directory() {
        let dir = TempDir::new();
        let mut watch = Watch::new();
        let directories = || BTreeSet::from([dir.path("")]);
        assert!(watch.set_directories(directories(), &mut Problems::default()), "it was not watched before");
        assert!(!watch.set_directories(directories(), &mut Problems::default()), "it was watched already");

        dir.write("a", b"");
        assert!(watch.notice().expect("inotify works").is_scan_needed);
        dir.remove("a");
        assert!(watch.notice().expect("inotify works").is_scan_needed);

        assert!(!watch.set_directories(BTreeSet::new(), &mut Problems::default()));
        while !watch.notice().expect("inotify works").is_empty {}
        dir.write("b", b"");
        assert!(watch.notice().expect("inotify works").is_empty, "it is watched no more");
    }
}
