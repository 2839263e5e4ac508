//! How far a log has been read: what a store keeps, and a later run begins from.

use std::path::PathBuf;

/// A place in a file that was read up to there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Where the file was found; it may have been renamed since.
    pub path: PathBuf,
    /// Of the file. May be another one after a reboot.
    pub device: u64,
    /// Of the file. May be another file's when this one is gone.
    pub inode: u64,
    /// The first byte of the first line that was not judged; within an overlong line, the first byte not read.
    pub offset: u64,
    /// The bytes before `offset`, as many as tell this file from others.
    pub before: Vec<u8>,
    /// Whether the rest of an overlong line comes first.
    pub skipping: bool,
    /// When this was last written down: wall time, in nanoseconds since 1970; 0 if it was not.
    pub noted: i64,
}

/// What is remembered of a source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marks {
    /// Whether the source has run before: then what its files hold beyond the marks has not been judged.
    pub is_known: bool,
    /// Its files, in the order in which they were first read; no file twice.
    pub files: Vec<Mark>,
}
