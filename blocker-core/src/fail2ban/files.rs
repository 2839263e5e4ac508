//! The files of a configuration, as the caller read them.

use std::collections::BTreeMap;

/// Files by their paths within the directory of the configuration: `jail.conf`, `filter.d/sshd.conf`.
#[derive(Clone, Debug, Default)]
pub struct Files {
    directory: String,
    by_path: BTreeMap<String, Vec<u8>>,
    bytes: usize,
}

/// A file more than is read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooMuch {
    /// It is longer than a file may be.
    #[error("{0} is longer than {MAX_FILE_BYTES} bytes: is it a file of fail2ban's?")]
    File(String),
    /// There are more files, or more bytes in them, than a configuration has.
    #[error("more than {MAX_FILES} files or {MAX_BYTES} bytes: is it fail2ban's directory?")]
    All,
}

impl Files {
    /// Those of this directory, none of them yet. Its path is what `%(fail2ban_confpath)s` stands for.
    #[must_use]
    pub fn of(directory: &str) -> Self {
        Self { directory: directory.to_owned(), ..Self::default() }
    }

    pub(super) fn directory(&self) -> &str {
        &self.directory
    }

    /// Adds a file, in place of the one that has its path.
    ///
    /// # Errors
    ///
    /// [`TooMuch`] at the bounds; what was there before stays.
    pub fn add(&mut self, path: &str, text: Vec<u8>) -> Result<(), TooMuch> {
        if text.len() > MAX_FILE_BYTES {
            return Err(TooMuch::File(path.to_owned()));
        }
        if self.by_path.len() >= MAX_FILES || self.bytes + text.len() > MAX_BYTES {
            return Err(TooMuch::All);
        }
        self.bytes += text.len();
        if let Some(before) = self.by_path.insert(path.to_owned(), text) {
            self.bytes -= before.len();
        }
        Ok(())
    }

    /// The bytes of the file at `path`.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&[u8]> {
        self.by_path.get(path).map(Vec::as_slice)
    }

    /// All of them, by their paths.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.by_path.iter().map(|(path, text)| (path.as_str(), text.as_slice()))
    }

    /// The paths of the files right in `directory`, sorted.
    pub fn within<'a>(&'a self, directory: &'a str) -> impl Iterator<Item = &'a str> {
        self.by_path.keys().map(String::as_str).filter(move |path| {
            path.strip_prefix(directory).and_then(|rest| rest.strip_prefix('/')).is_some_and(|name| !name.contains('/'))
        })
    }
}

/// Largest file, in bytes; fail2ban's own largest has 40,000.
pub const MAX_FILE_BYTES: usize = 1024 * 1024;

/// Most files; fail2ban 1.1 brings some 200.
pub const MAX_FILES: usize = 2_048;

/// Most bytes of all files together.
pub const MAX_BYTES: usize = 16 * 1024 * 1024;
