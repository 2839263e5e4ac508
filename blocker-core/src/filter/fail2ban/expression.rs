//! One expression, compiled: by the linear engine if that can run it, else by a backtracking one whose steps are bounded.

use std::collections::BTreeMap;

use memchr::memmem::Finder;

use super::tags::SKIPLINES;
use super::translate::{self, Translated};
use crate::filter::patterns::literal;

/// Largest compiled expression, in bytes: Unicode's letters take their room.
const MAX_COMPILED_BYTES: usize = 8 * 1024 * 1024;

/// Longest expression, in bytes, tags not yet expanded.
const MAX_EXPRESSION_BYTES: usize = 64 * 1024;

/// Deepest nesting of an expression.
const MAX_NESTING: u32 = 64;

/// Most steps back that the backtracking engine takes over one line: some milliseconds. Then the line does not match.
pub(super) const MAX_STEPS: usize = 100_000;

/// Why an expression cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} `{expression}`{place}: {what}")]
pub struct InvalidExpression {
    /// Which: `failregex 3`.
    pub name: String,
    /// As the filter says it.
    pub expression: String,
    /// Where in it, in characters from 1, for people: ` at character 7`; empty if it is the whole of it.
    pub place: String,
    /// What is wrong, and what would be right.
    pub what: String,
}

impl InvalidExpression {
    pub(super) fn whole(name: &str, expression: &str, what: impl Into<String>) -> Self {
        Self { name: name.to_owned(), expression: expression.to_owned(), place: String::new(), what: what.into() }
    }

    fn at(name: &str, expression: &str, byte: usize, what: impl Into<String>) -> Self {
        let character = 1 + expression.char_indices().take_while(|(index, _)| *index < byte).count();
        Self { place: format!(" at character {character}"), ..Self::whole(name, expression, what) }
    }
}

/// An expression that is searched for in a text.
#[derive(Debug)]
pub(super) struct Expression {
    engine: Engine,
    /// Its groups by their names; of those that fill another, in their order.
    groups: BTreeMap<String, usize>,
    /// A text that is in every match.
    needle: Option<Finder<'static>>,
}

#[derive(Debug)]
enum Engine {
    Linear(regex::Regex),
    Backtracking(Box<fancy_regex::Regex>),
}

/// What a search found.
pub(super) enum Searched<'t> {
    Found(Groups<'t>),
    Nothing,
    /// The steps did not suffice to find out.
    OutOfSteps,
}

/// The groups of a match, by number.
pub(super) struct Groups<'t> {
    text: &'t str,
    spans: Vec<Option<(usize, usize)>>,
}

impl Expression {
    /// Compiles `source`, which is called `name`; with `across_lines`, `^` and `$` are of each line.
    pub(super) fn compile(name: &str, source: &str, across_lines: bool) -> Result<Self, InvalidExpression> {
        if source.len() > MAX_EXPRESSION_BYTES {
            let what = format!("it has {} bytes, expected at most {MAX_EXPRESSION_BYTES}", source.len());
            return Err(InvalidExpression::whole(name, "…", what));
        }
        let translated =
            translate::translate(source).map_err(|fault| InvalidExpression::at(name, source, fault.at, fault.what))?;
        let (engine, needle) = if translated.is_fancy {
            (backtracking(name, source, &translated, across_lines)?, None)
        } else {
            linear(name, source, &translated, across_lines)?
        };
        let names: Vec<Option<String>> = match &engine {
            Engine::Linear(regex) => regex.capture_names().map(|name| name.map(str::to_owned)).collect(),
            Engine::Backtracking(regex) => regex.capture_names().map(|name| name.map(str::to_owned)).collect(),
        };
        let groups = names.into_iter().enumerate().filter_map(|(number, name)| Some((name?, number))).collect();
        Ok(Self { engine, groups, needle: needle.map(|needle| Finder::new(&needle).into_owned()) })
    }

    /// The number of a group.
    pub(super) fn group(&self, name: &str) -> Option<usize> {
        self.groups.get(name).copied()
    }

    /// The groups whose names begin so, in the order of their names.
    pub(super) fn groups_like(&self, prefix: &str) -> Vec<usize> {
        self.groups.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(_, number)| *number).collect()
    }

    /// The groups of `<SKIPLINES>`.
    pub(super) fn skipped(&self) -> Vec<usize> {
        self.groups_like(SKIPLINES)
    }

    /// A text that every match has.
    pub(super) fn needle(&self) -> Option<&[u8]> {
        self.needle.as_ref().map(Finder::needle)
    }

    /// Whether the linear engine runs it.
    #[cfg(test)]
    pub(super) fn is_linear(&self) -> bool {
        matches!(self.engine, Engine::Linear(_))
    }

    /// Looks for the first match in `text`.
    pub(super) fn search<'t>(&self, text: &'t str) -> Searched<'t> {
        if self.needle.as_ref().is_some_and(|needle| needle.find(text.as_bytes()).is_none()) {
            return Searched::Nothing;
        }
        self.run(text)
    }

    /// The same, whatever the text has in it.
    pub(super) fn run<'t>(&self, text: &'t str) -> Searched<'t> {
        let spans: Vec<Option<(usize, usize)>> = match &self.engine {
            Engine::Linear(regex) => match regex.captures(text) {
                Some(found) => found.iter().map(|group| group.map(|group| (group.start(), group.end()))).collect(),
                None => return Searched::Nothing,
            },
            Engine::Backtracking(regex) => match regex.captures(text) {
                Ok(Some(found)) => found.iter().map(|group| group.map(|group| (group.start(), group.end()))).collect(),
                Ok(None) => return Searched::Nothing,
                Err(_) => return Searched::OutOfSteps,
            },
        };
        Searched::Found(Groups { text, spans })
    }
}

impl<'t> Groups<'t> {
    /// The text of a group, if it has taken part.
    pub(super) fn text(&self, number: usize) -> Option<&'t str> {
        let (start, end) = self.span(number)?;
        self.text.get(start..end)
    }

    /// Where it stands.
    pub(super) fn span(&self, number: usize) -> Option<(usize, usize)> {
        self.spans.get(number).copied().flatten()
    }
}

type Compiled = (Engine, Option<Vec<u8>>);

fn linear(
    name: &str,
    source: &str,
    translated: &Translated,
    across_lines: bool,
) -> Result<Compiled, InvalidExpression> {
    let hir = regex_syntax::ParserBuilder::new()
        .multi_line(across_lines)
        .nest_limit(MAX_NESTING)
        .build()
        .parse(&translated.text)
        .map_err(|error| {
            let (at, what) = match &error {
                regex_syntax::Error::Parse(error) => (error.span().start.offset, error.kind().to_string()),
                regex_syntax::Error::Translate(error) => (error.span().start.offset, error.kind().to_string()),
                other => (0, other.to_string()),
            };
            InvalidExpression::at(name, source, translated.original(at), what)
        })?;
    let regex = regex::RegexBuilder::new(&translated.text)
        .multi_line(across_lines)
        .nest_limit(MAX_NESTING)
        .size_limit(MAX_COMPILED_BYTES)
        .build()
        .map_err(|_| too_large(name, source))?;
    Ok((Engine::Linear(regex), literal::required(&hir)))
}

fn backtracking(
    name: &str,
    source: &str,
    translated: &Translated,
    across_lines: bool,
) -> Result<Engine, InvalidExpression> {
    let regex = fancy_regex::RegexBuilder::new(&translated.text)
        .multi_line(across_lines)
        .backtrack_limit(MAX_STEPS)
        .delegate_size_limit(MAX_COMPILED_BYTES)
        .max_prog_size(MAX_COMPILED_BYTES / 64)
        .build()
        .map_err(|error| {
            if let fancy_regex::Error::ParseError(at, error) = &error {
                return InvalidExpression::at(name, source, translated.original(*at), error.to_string());
            }
            InvalidExpression::whole(name, source, error.to_string())
        })?;
    Ok(Engine::Backtracking(Box::new(regex)))
}

fn too_large(name: &str, source: &str) -> InvalidExpression {
    let what = format!("it is more than {MAX_COMPILED_BYTES} bytes when compiled: write fewer or smaller repetitions");
    InvalidExpression::whole(name, source, what)
}
