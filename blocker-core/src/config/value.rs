//! One value of the document, on its way to a checked one.
//!
//! A [`Kind`] says in one place what may stand at a key: the words for people, and the reading. A reading returns every
//! fault it finds, each where it stands; [`super::walk`] adds which key it was.

use toml::Spanned;
use toml::de::DeValue;

use super::error::{Hint, Problem};
use super::services::Services;
use super::{FilterFile, Names};
use crate::filter::Filter;
use crate::filter::registry::Filters;

/// What may stand at a key.
pub(super) struct Kind<T> {
    /// In words, to follow "expected".
    pub(super) expected: &'static str,
    /// The reading.
    pub(super) read: fn(Reading<'_>) -> Read<T>,
}

/// What a reading yields: the value, or at least one fault.
pub(super) type Read<T> = Result<T, Vec<Fault>>;

/// Something wrong, and the offset in the text where it stands.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) problem: Problem,
}

/// A value as written, with what its reading may need.
#[derive(Clone, Copy)]
pub(super) struct Reading<'a> {
    value: &'a Spanned<DeValue<'a>>,
    expected: &'static str,
    names: &'a Names,
    in_list: bool,
}

impl<'a> Reading<'a> {
    pub(super) fn new(value: &'a Spanned<DeValue<'a>>, expected: &'static str, names: &'a Names) -> Self {
        Self { value, expected, names, in_list: false }
    }

    /// The names that a port may have.
    pub(super) fn services(self) -> &'a Services {
        &self.names.services
    }

    /// The filters there are.
    pub(super) fn filters(self) -> &'a Filters {
        &self.names.filters
    }

    /// What is known of a filter in a file of fail2ban's.
    pub(super) fn filter_file(self, file: &FilterFile) -> Option<&'a Result<Filter, Vec<String>>> {
        self.names.files.get(file)
    }

    /// The value, if it is a string.
    pub(super) fn text(self) -> Option<&'a str> {
        self.value.get_ref().as_str()
    }

    /// The value, if it is a whole number of 64 bits.
    pub(super) fn number(self) -> Option<i64> {
        let integer = self.value.get_ref().as_integer()?;
        i64::from_str_radix(integer.as_str(), integer.radix()).ok()
    }

    /// The value, if it is a number.
    pub(super) fn decimal(self) -> Option<f64> {
        decimal(self.value.get_ref())
    }

    /// The value, if it is a list of numbers.
    pub(super) fn decimals(self) -> Option<Vec<f64>> {
        self.value.get_ref().as_array()?.iter().map(|value| decimal(value.get_ref())).collect()
    }

    /// The value, if it is `true` or `false`.
    pub(super) fn truth(self) -> Option<bool> {
        self.value.get_ref().as_bool()
    }

    /// The value's reading, or that it is something else than expected.
    pub(super) fn or_unexpected<T>(self, read: Option<T>) -> Read<T> {
        let (found, expected) = (shown(self.value.get_ref()), self.expected);
        read.ok_or_else(|| {
            self.fault(if self.in_list {
                Problem::Entry { found, expected }
            } else {
                Problem::Value { found, expected }
            })
        })
    }

    /// That nothing has the name which the value is; `known` are the names there are, and are listed if `listed`.
    pub(super) fn no_such<'n>(
        self,
        what: &'static str,
        known: impl Iterator<Item = &'n str>,
        listed: bool,
    ) -> Vec<Fault> {
        let found = shown(self.value.get_ref());
        self.fault(Problem::NoSuch { found, what, hint: hint(self.text().unwrap_or_default(), known, listed) })
    }

    /// The entries of a list; a value by itself is a list of one.
    pub(super) fn entries(self) -> Vec<Self> {
        match self.value.get_ref().as_array() {
            Some(values) => values.iter().map(|value| Self { value, in_list: true, ..self }).collect(),
            None => vec![self],
        }
    }

    /// Reads a list of at least `least` entries, none of them written twice; a value by itself is a list of one.
    pub(super) fn list<T>(self, least: usize, entry: impl Fn(Self) -> Read<T>) -> Read<Vec<T>> {
        let Some(values) = self.value.get_ref().as_array() else {
            return entry(self).map(|one| vec![one]);
        };
        if values.len() < least {
            return self.or_unexpected(None);
        }
        let mut seen = std::collections::HashSet::new();
        let mut entries = Vec::new();
        let mut faults = Vec::new();
        for value in values.iter().take(MAX_ENTRIES) {
            let one = Self { value, in_list: true, ..self };
            match entry(one) {
                Ok(_) if !seen.insert(written(value.get_ref())) => {
                    faults.extend(one.fault(Problem::Twice { found: shown(value.get_ref()) }));
                }
                Ok(entry) => entries.push(entry),
                Err(found) => faults.extend(found),
            }
        }
        if let Some(surplus) = values.get(MAX_ENTRIES) {
            faults.extend(Self { value: surplus, ..self }.fault(Problem::TooManyEntries(MAX_ENTRIES)));
        }
        if faults.is_empty() { Ok(entries) } else { Err(faults) }
    }

    /// The value, if it is a list of strings.
    pub(super) fn texts(self) -> Option<Vec<&'a str>> {
        self.value.get_ref().as_array()?.iter().map(|value| value.get_ref().as_str()).collect()
    }

    /// That there is something wrong with it.
    pub(super) fn fault(self, problem: Problem) -> Vec<Fault> {
        vec![Fault { at: self.value.span().start, problem }]
    }
}

fn decimal(value: &DeValue<'_>) -> Option<f64> {
    let whole = || {
        let integer = value.as_integer()?;
        let number = i32::from_str_radix(integer.as_str(), integer.radix()).ok()?;
        Some(f64::from(number))
    };
    value.as_float().and_then(|float| float.as_str().parse().ok()).or_else(whole)
}

/// Most entries of one list.
pub(super) const MAX_ENTRIES: usize = 1_024;

/// What may have been meant by `name`: the nearest of `known`, or else all of them, if they are to be listed.
pub(super) fn hint<'n>(name: &str, known: impl Iterator<Item = &'n str>, listed: bool) -> Hint {
    let known: Vec<&str> = known.collect();
    // A third of the letters may be wrong. Among equals the last by the alphabet, so that letters go before digits:
    // `imaps` rather than `imap2`.
    let most_edits = (name.chars().count() / 3).max(1);
    let near = known
        .iter()
        .filter(|candidate| candidate.len().abs_diff(name.len()) <= most_edits)
        .map(|candidate| {
            (strsim::damerau_levenshtein(name, candidate), candidate.len().abs_diff(name.len()), candidate)
        })
        .filter(|&(edits, _, _)| edits <= most_edits)
        .min_by_key(|&(edits, longer, candidate)| (edits, longer, std::cmp::Reverse(candidate)));
    match near {
        Some((_, _, candidate)) => Hint::Near((*candidate).to_owned()),
        None if listed => Hint::OneOf(known.into_iter().map(str::to_owned).collect()),
        None => Hint::None,
    }
}

/// A value for people: one line, escaped, cut.
pub(super) fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => quoted(text),
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => cut(&written(value)),
        DeValue::Array(entries) if entries.is_empty() => "an empty list".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// A text for people, in quotes: one line, escaped, cut.
pub(super) fn quoted(text: &str) -> String {
    format!("{:?}", cut(text))
}

/// The first characters of a text.
pub(super) fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Most characters of a value that an error shows.
const MAX_SHOWN_CHARS: usize = 60;

/// A single value, so that two are equal if they were written alike; lists and tables are never read as entries.
fn written(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("\"{text}"),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(truth) => truth.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(_) | DeValue::Table(_) => String::new(),
    }
}
