//! What can be wrong with fail2ban's configuration, in words an administrator can act on.

use std::fmt;
use std::sync::Arc;

/// Where something stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, within the directory of the configuration.
    pub file: Arc<str>,
    /// The line, from 1; that of the option's name for all of a longer value.
    pub line: usize,
}

/// One thing that is wrong, and where. Its text is one line, whatever the files contain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", Sentence(self))]
pub struct Fault {
    /// Where it stands; `None` if nothing stands there that should.
    pub place: Option<Place>,
    /// The section it is in.
    pub section: Option<String>,
    /// The option it is about.
    pub key: Option<String>,
    /// What is wrong.
    pub problem: Problem,
}

impl Fault {
    /// Of an option, which stands at `place`.
    pub(super) fn of(place: Option<&Place>, section: &str, key: &str, problem: Problem) -> Self {
        Self { place: place.cloned(), section: Some(section.to_owned()), key: Some(key.to_owned()), problem }
    }

    /// Of a line, or of a file.
    pub(super) fn at(file: &Arc<str>, line: Option<usize>, problem: Problem) -> Self {
        let place = Some(Place { file: Arc::clone(file), line: line.unwrap_or(0) });
        Self { place, section: None, key: None, problem }
    }
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// A file is not UTF-8 from this byte on, counted from 0.
    NotUtf8(usize),
    /// A file begins with a byte order mark.
    ByteOrderMark,
    /// There is no file by any of these names.
    NoFile(Vec<String>),
    /// A file is included that is not there, which fail2ban passes over.
    NoInclude(String),
    /// A file outside the directory is included.
    Outside(String),
    /// Files include one another too deeply, or too many of them.
    Includes,
    /// An option before any section.
    NoSection(String),
    /// A line that is no option, no section and no continuation.
    NoOption(String),
    /// A section that is in its file already, at this line.
    SectionTwice(usize),
    /// An option that is in its section already, at this line.
    OptionTwice(usize),
    /// A `%` with something else behind it than `%` or `(name)s`.
    Percent(String),
    /// `%(name)s` of what is not there.
    NoSuchOption(String),
    /// A value that is made of itself.
    Cycle(String),
    /// A value that grows beyond all reason.
    TooLong,
    /// Not `name[key=value, …]`.
    Parameters {
        /// As written.
        found: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A value of another kind.
    Value {
        /// As written.
        found: String,
        /// What may stand there.
        expected: &'static str,
    },
    /// An option that a jail needs.
    Missing(&'static str),
    /// A tag that nothing has a value for: it stays as text.
    Unresolved(String),
    /// A name that looks like an expression: a line of a value that is not indented.
    NotIndented,
    /// A jail and its filter say something else.
    InBoth,
    /// More is wrong than is reported.
    More(usize),
}

struct Sentence<'a>(&'a Fault);

impl fmt::Display for Sentence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fault { place, section, key, problem } = self.0;
        if let Some(Place { file, line }) = place {
            write!(f, "{}", plain(file))?;
            if *line > 0 {
                write!(f, ", line {line}")?;
            }
            f.write_str(": ")?;
        }
        match (section, key) {
            (Some(section), Some(key)) => write!(f, "[{}] `{}`: ", plain(section), plain(key))?,
            (Some(section), None) => write!(f, "[{}]: ", plain(section))?,
            (None, Some(key)) => write!(f, "`{}`: ", plain(key))?,
            (None, None) => {}
        }
        match problem {
            Problem::NotUtf8(at) => {
                write!(f, "byte {at} is not UTF-8, and fail2ban skips the whole file: save it as UTF-8")
            }
            Problem::ByteOrderMark => f.write_str("the file begins with a byte order mark: save it without one"),
            Problem::NoFile(names) => {
                write!(f, "there is no {}", names.iter().map(|name| plain(name)).collect::<Vec<_>>().join(" and no "))
            }
            Problem::NoInclude(name) => {
                write!(f, "{} is included and is not there: one file a line, relative to this one", shown(name))
            }
            Problem::Outside(name) => write!(f, "{} is outside this directory, and is not read", shown(name)),
            Problem::Includes => f.write_str("more than 256 files included, or more than 16 deep"),
            Problem::NoSection(found) => {
                write!(f, "{} stands before any section, expected a line such as [Definition]", shown(found))
            }
            Problem::NoOption(found) => write!(
                f,
                "{} is no option, expected `name = value`; lines that go on with a value are indented",
                shown(found)
            ),
            Problem::SectionTwice(line) => {
                write!(f, "the section is in line {line} already, and fail2ban would not start: make one of them")
            }
            Problem::OptionTwice(line) => {
                write!(f, "the option is in line {line} already, and fail2ban would not start: remove one")
            }
            Problem::Percent(found) => write!(
                f,
                "{} has a `%` alone: write `%%` for a percent sign, `%(name)s` for another option",
                shown(found)
            ),
            Problem::NoSuchOption(name) => write!(f, "there is no option {} to be put in", shown(name)),
            Problem::Cycle(name) => write!(f, "{} is made of itself", shown(name)),
            Problem::TooLong => f.write_str("with everything put in, the value is too long"),
            Problem::Parameters { found, why } => {
                write!(f, "{}: {why}, expected name[key=value, key=\"value\"]", shown(found))
            }
            Problem::Value { found, expected } => write!(f, "found {}, expected {expected}", shown(found)),
            Problem::Missing(expected) => write!(f, "it is missing, expected {expected}"),
            Problem::Unresolved(name) => write!(
                f,
                "nothing is called {}: it stays as text, and most likely nothing matches; is the mode right?",
                shown(name)
            ),
            Problem::NotIndented => f.write_str(
                "this is read as the name of an option, and does nothing: indent lines that go on with a value",
            ),
            Problem::InBoth => {
                f.write_str("the filter has another one: the jail's counts here, where fail2ban takes the filter's")
            }
            Problem::More(count) => write!(f, "and {count} more"),
        }
    }
}

/// A text for people, in quotes: one line, escaped, cut.
pub(super) fn shown(text: &str) -> String {
    format!("{:?}", cut(text))
}

/// The same without quotes.
pub(super) fn plain(text: &str) -> String {
    one_line(&cut(text))
}

/// The whole text on one line, and nothing in it that a terminal would obey.
pub(super) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '"' | '\'' | '\\') {
            line.push(c);
        } else {
            line.extend(c.escape_debug());
        }
    }
    line
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Most characters of a value that are shown.
const MAX_SHOWN_CHARS: usize = 80;
