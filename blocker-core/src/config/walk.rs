//! The walk over the document: tables, the keys known in them, and where the faults are.
//!
//! A [`Section`] is one table, present or not. Asking it for a key makes that key known; when the section is done,
//! every key that nobody asked for is unknown. So the keys, their defaults and their kinds are written once, in
//! [`super::keys`], and nothing has to be kept in step with them.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::MAX_ERRORS;
use super::Names;
use super::error::{Error, Problem};
use super::value::{self, Fault, Kind, Reading};
use crate::filter::registry::Filters;

/// Reads `text` by `root`, which returns `None` only after a fault.
pub(super) fn read<T>(
    text: &str,
    names: &Names,
    root: impl FnOnce(&mut Section<'_, '_>) -> Option<T>,
) -> Result<T, Vec<Error>> {
    let lines = Lines::of(text);
    let (document, syntax) = DeTable::parse_recoverable(text);
    if !syntax.is_empty() {
        return Err(errors(&lines, syntax_fault(text, &syntax).into_iter().collect()));
    }
    let mut walk = Walk { names, faults: Vec::new() };
    match walk.section(String::new(), 0, Some(document.get_ref()), root) {
        Some(read) if walk.faults.is_empty() => Ok(read),
        Some(_) | None => Err(errors(&lines, walk.faults)),
    }
}

/// Reads what can be read of `text` by `root`, whatever is wrong elsewhere.
pub(super) fn read_leniently<T>(text: &str, names: &Names, root: impl FnOnce(&mut Section<'_, '_>) -> T) -> T {
    let (document, _) = DeTable::parse_recoverable(text);
    let mut walk = Walk { names, faults: Vec::new() };
    walk.section(String::new(), 0, Some(document.get_ref()), root)
}

/// The first thing the parser stumbled over. What it says of later places is often only a consequence.
fn syntax_fault(text: &str, syntax: &[toml::de::Error]) -> Option<KeyFault> {
    let place = |error: &toml::de::Error| error.span().map_or(text.len(), |span| span.start);
    let first = syntax.iter().min_by_key(|error| place(error))?;
    let words = first.message().split_whitespace().collect::<Vec<_>>().join(" ");
    Some(KeyFault { at: place(first), key: None, problem: Problem::Syntax(words) })
}

/// The faults in the order of the text, with their lines; beyond the limit they are only counted.
fn errors(lines: &Lines, mut faults: Vec<KeyFault>) -> Vec<Error> {
    faults.sort_by_key(|fault| fault.at);
    let kept = if faults.len() > MAX_ERRORS { MAX_ERRORS - 1 } else { faults.len() };
    let surplus = faults.split_off(kept).len();
    let mut errors: Vec<Error> = faults
        .into_iter()
        .map(|KeyFault { at, key, problem }| Error { line: Some(lines.line(at)), key, problem })
        .collect();
    if surplus > 0 {
        errors.push(Error { line: None, key: None, problem: Problem::More(surplus) });
    }
    errors
}

/// Where the lines of a text begin.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(std::iter::once(0).chain(text.match_indices('\n').map(|(end, _)| end + 1)).collect())
    }

    /// The line, from 1, of the byte at `at`.
    fn line(&self, at: usize) -> usize {
        self.0.partition_point(|&start| start <= at)
    }
}

/// Something wrong, the offset in the text where it stands, and the key it is about.
struct KeyFault {
    at: usize,
    key: Option<String>,
    problem: Problem,
}

struct Walk<'d> {
    names: &'d Names,
    faults: Vec<KeyFault>,
}

impl<'d> Walk<'d> {
    fn section<T>(
        &mut self,
        path: String,
        at: usize,
        table: Option<&'d DeTable<'d>>,
        body: impl FnOnce(&mut Section<'_, 'd>) -> T,
    ) -> T {
        let mut section = Section { walk: self, path, at, table, known: Vec::new() };
        let read = body(&mut section);
        section.report_unknown_keys();
        read
    }
}

/// One table of the document, present or not.
pub(super) struct Section<'w, 'd> {
    walk: &'w mut Walk<'d>,
    path: String,
    /// Where its key stands.
    at: usize,
    table: Option<&'d DeTable<'d>>,
    /// The keys asked for so far.
    known: Vec<&'d str>,
}

/// A table whose name is the administrator's choice.
#[derive(Clone, Copy)]
pub(super) struct Named<'d> {
    /// Its name, unchecked.
    pub(super) name: &'d str,
    at: usize,
    table: Option<&'d DeTable<'d>>,
}

impl<'d> Named<'d> {
    /// A table that is not in the document.
    pub(super) fn absent(name: &'d str) -> Self {
        Self { name, at: 0, table: None }
    }

    /// Whether there is anything in it.
    pub(super) fn has_keys(self) -> bool {
        self.table.is_some_and(|table| !table.is_empty())
    }
}

impl<'d> Section<'_, 'd> {
    /// The filters there are.
    pub(super) fn filters(&self) -> &'d Filters {
        &self.walk.names.filters
    }

    /// The value of `key`, or `default` if it is absent or faulty.
    pub(super) fn get<T>(&mut self, key: &'static str, kind: &Kind<T>, default: T) -> T {
        match self.find(key, kind) {
            Found::Value(value) => value,
            Found::Faulty | Found::Absent => default,
        }
    }

    /// The value of `key`, or `default` if it is absent; to be absent without a default is a fault.
    pub(super) fn need<T>(&mut self, key: &'static str, kind: &Kind<T>, default: Option<T>) -> Option<T> {
        match self.find(key, kind) {
            Found::Value(value) => Some(value),
            Found::Faulty => None,
            Found::Absent => {
                if default.is_none() {
                    self.fault(self.at, key, Problem::Missing { expected: kind.expected });
                }
                default
            }
        }
    }

    /// Notes a fault of `key`, which is there.
    pub(super) fn fault_at(&mut self, key: &'static str, problem: Problem) {
        let at = self.entry(key).map_or(self.at, |(at, _)| at);
        self.fault(at, key, problem);
    }

    /// Reads the table `key` by `body`; an absent one is an empty one.
    pub(super) fn table<T>(&mut self, key: &'static str, body: impl FnOnce(&mut Section<'_, 'd>) -> T) -> T {
        let (at, table) = match self.entry(key) {
            Some((at, value)) => (at, self.as_table(at, key, value)),
            None => (self.at, None),
        };
        let path = self.path_of(key);
        self.walk.section(path, at, table, body)
    }

    /// The tables in this one, whatever they are called, in the order of the file.
    pub(super) fn named(&mut self) -> Vec<Named<'d>> {
        let mut entries: Vec<_> = self.table.into_iter().flatten().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        entries
            .into_iter()
            .filter_map(|(key, value)| {
                let (name, at): (&'d str, usize) = (key.get_ref(), key.span().start);
                self.known.push(name);
                self.as_table(at, name, value).map(|table| Named { name, at, table: Some(table) })
            })
            .collect()
    }

    /// Reads one of the tables in this one by `body`.
    pub(super) fn enter<T>(&mut self, entry: Named<'d>, body: impl FnOnce(&mut Section<'_, 'd>) -> T) -> T {
        let path = self.path_of(entry.name);
        self.walk.section(path, entry.at, entry.table, body)
    }

    /// Notes a fault of one of the tables in this one.
    pub(super) fn fault_of(&mut self, entry: Named<'d>, problem: Problem) {
        self.fault(entry.at, entry.name, problem);
    }

    /// Whether the table is there.
    pub(super) fn is_there(&self) -> bool {
        self.table.is_some()
    }

    /// Whether `key` is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// The value of `key`, if there is one without a fault.
    pub(super) fn find<T>(&mut self, key: &'static str, kind: &Kind<T>) -> Found<T> {
        let Some((_, value)) = self.entry(key) else {
            return Found::Absent;
        };
        match (kind.read)(Reading::new(value, kind.expected, self.walk.names)) {
            Ok(value) => Found::Value(value),
            Err(faults) => {
                for Fault { at, problem } in faults {
                    self.fault(at, key, problem);
                }
                Found::Faulty
            }
        }
    }

    /// Where `key` stands, and its value.
    fn entry(&mut self, key: &'static str) -> Option<(usize, &'d Spanned<DeValue<'d>>)> {
        self.known.push(key);
        self.table?.get_key_value(key).map(|(key, value)| (key.span().start, value))
    }

    fn as_table(&mut self, at: usize, key: &str, value: &'d Spanned<DeValue<'d>>) -> Option<&'d DeTable<'d>> {
        let table = value.get_ref().as_table();
        if table.is_none() {
            let found = value::shown(value.get_ref());
            self.fault(at, key, Problem::Value { found, expected: "a table" });
        }
        table
    }

    fn report_unknown_keys(mut self) {
        for (key, _) in self.table.into_iter().flatten() {
            let name: &str = key.get_ref();
            if !self.known.contains(&name) {
                let hint = value::hint(name, self.known.iter().copied(), true);
                self.fault(key.span().start, name, Problem::UnknownKey(hint));
            }
        }
    }

    fn fault(&mut self, at: usize, key: &str, problem: Problem) {
        let key = Some(self.path_of(key));
        self.walk.faults.push(KeyFault { at, key, problem });
    }

    /// `key` from the top of the document, in quotes where TOML would have them.
    fn path_of(&self, key: &str) -> String {
        let is_bare = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
        let key = if is_bare { value::cut(key) } else { value::quoted(key) };
        if self.path.is_empty() { key } else { format!("{}.{key}", self.path) }
    }
}

/// What is found at a key.
pub(super) enum Found<T> {
    /// A value.
    Value(T),
    /// Something else, of which the faults are noted.
    Faulty,
    /// Nothing.
    Absent,
}

impl<T> Found<T> {
    /// The value as something else.
    pub(super) fn map<U>(self, make: impl FnOnce(T) -> U) -> Found<U> {
        match self {
            Self::Value(value) => Found::Value(make(value)),
            Self::Faulty => Found::Faulty,
            Self::Absent => Found::Absent,
        }
    }
}
