//! What the tests of the sources share: a directory of their own.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// An empty directory that is removed with all that is in it.
#[derive(Debug)]
pub(crate) struct TempDir {
    root: PathBuf,
}

impl TempDir {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("blocker-source-{}-{next}", std::process::id()));
        fs::create_dir(&root).expect("the temporary directory is writable");
        Self { root: root.canonicalize().expect("the directory exists") }
    }

    /// The path of `name` in the directory; of "" the directory itself.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.root.clone() } else { self.root.join(name) }
    }

    /// The path of `name` as it stands in a configuration.
    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).into_os_string().into_string().expect("the temporary directory has a UTF-8 name")
    }

    /// Creates or replaces the content of a file, in place.
    pub(crate) fn write(&self, name: &str, content: &[u8]) {
        fs::write(self.path(name), content).expect("the file can be written");
    }

    /// Appends to a file, which is created if need be.
    pub(crate) fn append(&self, name: &str, content: &[u8]) {
        appender(&self.path(name)).write_all(content).expect("the file can be written");
    }

    pub(crate) fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).expect("the file can be renamed");
    }

    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).expect("the file can be removed");
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.root) {
            eprintln!("{} is left behind: {error}", self.root.display());
        }
    }
}

/// Opens a file as a logger does: created if need be, appended to.
pub(crate) fn appender(path: &Path) -> File {
    OpenOptions::new().append(true).create(true).open(path).expect("the file can be opened")
}
