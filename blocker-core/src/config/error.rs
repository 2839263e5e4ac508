//! What can be wrong with a configuration, in words an administrator can act on.

use std::fmt;

use super::MAX_JAIL_NAME_BYTES;
use crate::escalation::InvalidFormula;

/// One thing that is wrong, and where.
///
/// Its text is one line, whatever the file contains: values and odd keys are quoted, escaped and cut.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", Sentence(self))]
pub struct Error {
    /// The line it is on, from 1.
    pub line: Option<usize>,
    /// The key it is about, from the top: `jails.dovecot.max_retry`.
    pub key: Option<String>,
    /// What is wrong there.
    pub problem: Problem,
}

/// What is wrong. Texts are ready for printing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The text is no TOML, in the parser's own words.
    Syntax(String),
    /// Nothing reads this key.
    UnknownKey(Hint),
    /// The value is of another kind or outside the limits.
    Value {
        /// As written, or what kind of value it is.
        found: String,
        /// What may stand there.
        expected: &'static str,
    },
    /// The same of one entry of a list.
    Entry {
        /// As written, or what kind of value it is.
        found: String,
        /// What may stand there.
        expected: &'static str,
    },
    /// The value names something that does not exist.
    NoSuch {
        /// As written.
        found: String,
        /// What it should name: `filter`.
        what: &'static str,
        /// What may have been meant.
        hint: Hint,
    },
    /// The filter in a file of fail2ban's cannot be used, and why: one line.
    FilterFile(String),
    /// The key is needed here and absent.
    Missing {
        /// What may stand there.
        expected: &'static str,
    },
    /// Another key says already what it would.
    Excluded {
        /// The other key.
        by: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// The key means nothing without another one.
    Needs {
        /// The other key.
        other: &'static str,
    },
    /// What should be a formula is none.
    Formula(InvalidFormula),
    /// Any user of the machine can write entries that match, in the service's name.
    AnybodysEntries,
    /// An entry of a list is in it twice.
    Twice {
        /// As written.
        found: String,
    },
    /// A list has more entries than this.
    TooManyEntries(usize),
    /// A jail beyond this number of them.
    TooManyJails(usize),
    /// A jail's name has other characters, or too many.
    JailName,
    /// The same of a receiver.
    ReceiverName,
    /// A receiver beyond this number of its kind.
    TooManyReceivers(usize),
    /// A jail's name that has a meaning of its own.
    ReservedName,
    /// More errors than are reported at once.
    More(usize),
}

/// What may have been meant by a name that is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// Probably this.
    Near(String),
    /// One of these.
    OneOf(Vec<String>),
    /// There are too many to list.
    None,
}

/// An error in words.
struct Sentence<'a>(&'a Error);

impl fmt::Display for Sentence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Error { line, key, problem } = self.0;
        if let Some(line) = line {
            write!(f, "line {line}: ")?;
        }
        let key = key.as_deref().unwrap_or_default();
        match problem {
            Problem::Syntax(words) => write!(f, "this is no TOML: {words}"),
            Problem::UnknownKey(hint) => write!(f, "unknown key `{key}`{hint}"),
            Problem::Value { found, expected } => write!(f, "`{key}` is {found}, expected {expected}"),
            Problem::Entry { found, expected } => write!(f, "`{key}` has {found}, expected {expected}"),
            Problem::NoSuch { found, what, hint } => write!(f, "`{key}`: no {what} is called {found}{hint}"),
            Problem::FilterFile(wrong) => write!(f, "`{key}`: {wrong}"),
            Problem::Missing { expected } => write!(f, "`{key}` is missing, expected {expected}"),
            Problem::Excluded { by, hint } => write!(f, "`{key}` and `{by}` exclude each other: {hint}"),
            Problem::Needs { other } => write!(f, "`{key}` needs `{other}`, which is missing"),
            Problem::Formula(fault) => write!(f, "`{key}` is no formula: {fault}"),
            Problem::AnybodysEntries => write!(
                f,
                "any user of the machine can write what `{key}` asks for: name the sender in each alternative, by _SYSTEMD_UNIT, \
                 _UID, _EXE or the like, or set `journal_trust`; [] trusts everybody"
            ),
            Problem::Twice { found } => write!(f, "`{key}` has {found} twice"),
            Problem::TooManyEntries(most) => write!(f, "`{key}` has more than {most} entries"),
            Problem::TooManyJails(most) => write!(f, "`{key}` is one jail too many: at most {most}"),
            Problem::JailName => {
                write!(f, "`{key}` is no name for a jail: use 1 to {MAX_JAIL_NAME_BYTES} of a-z, 0-9, _ and -")
            }
            Problem::ReceiverName => {
                write!(f, "`{key}` is no name for a receiver: use 1 to {MAX_JAIL_NAME_BYTES} of a-z, 0-9, _ and -")
            }
            Problem::TooManyReceivers(most) => write!(f, "`{key}` is one receiver too many: at most {most}"),
            Problem::ReservedName => write!(f, "`{key}`: this name is kept for bans made by command"),
            Problem::More(count) => write!(f, "and {count} more errors"),
        }
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Near(name) => write!(f, ": did you mean `{name}`?"),
            Self::OneOf(names) => write!(f, ": known are `{}`", names.join("`, `")),
            Self::None => Ok(()),
        }
    }
}
