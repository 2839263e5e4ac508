//! Where a jail's lines come from.

use std::fmt;

/// Where a jail's lines come from: the key `log` or `command` of its table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Input {
    /// Files: globs of absolute paths, each once. Empty only in a jail that is off.
    Files(Vec<String>),
}

impl fmt::Display for Input {
    /// For people: `/var/log/mail.log, /var/log/maillog`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Files(paths) => f.write_str(&paths.join(", ")),
        }
    }
}
