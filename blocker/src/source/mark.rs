//! How far a log has been read: what a store keeps, and a later run begins from.

use std::path::PathBuf;

use super::journal::is_cursor;

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
    /// The bytes before `offset`, as many as tell this file from others; at offset 0 the first bytes behind it, if they are
    /// known.
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

/// A place in a journal that was read up to there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JournalMark {
    /// Nothing was in it.
    Beginning,
    /// Behind the entry of this cursor.
    Behind(String),
}

impl JournalMark {
    /// Behind the entries of a time, in microseconds since 1970: as those of a cursor that is known by nothing else.
    pub fn behind_time(micros: u64) -> Self {
        Self::Behind(format!("t={:x}", micros.saturating_add(1)))
    }

    /// From what a store holds: a cursor, or none for the beginning. `None` if that is no cursor.
    pub fn from_cursor(cursor: Option<String>) -> Option<Self> {
        match cursor {
            None => Some(Self::Beginning),
            Some(cursor) => is_cursor(&cursor).then_some(Self::Behind(cursor)),
        }
    }

    /// When the entry was written: microseconds since 1970, as its cursor says.
    pub fn written_us(&self) -> Option<u64> {
        let mut fields = self.cursor()?.split(';');
        fields.find_map(|field| u64::from_str_radix(field.strip_prefix("t=")?, 16).ok())
    }

    /// The cursor, unless it is the beginning.
    pub fn cursor(&self) -> Option<&str> {
        match self {
            Self::Beginning => None,
            Self::Behind(cursor) => Some(cursor),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_tells_when_its_entry_was_written() {
        let mark = |cursor: &str| JournalMark::Behind(cursor.to_owned()).written_us();

        assert_eq!(mark("s=6e9d;i=18f;b=97c8;m=1d2e;t=06445b3c0a2f0000;x=8a"), Some(0x0644_5b3c_0a2f_0000));
        assert_eq!((mark("s=6e9d;t=zz"), mark(""), JournalMark::Beginning.written_us()), (None, None, None));
    }
}
