//! Filters: what remains of their files when everything is put in.

use std::sync::Arc;

use super::chain::bounded;
use super::fault::{Fault, Place, Problem};
use super::files::Files;
use super::parameters::Named;
use super::part::{Part, unresolved};
use crate::filter::fail2ban::Definition;

/// Where filters are.
pub(super) const DIRECTORY: &str = "filter.d";

/// A filter, and what its author should know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// What it says.
    pub definition: Definition,
    /// What may not be as it was meant.
    pub warnings: Vec<Fault>,
}

/// Where a filter's lines come from: many of them look for another header in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Logs {
    /// Files.
    Files,
    /// The systemd journal.
    Journal,
}

impl Logs {
    /// Its name as the parameter `logtype`, for filters that are not given one.
    fn logtype(self) -> (&'static str, &'static str) {
        (
            "logtype",
            match self {
                Self::Files => "file",
                Self::Journal => "journal",
            },
        )
    }
}

/// Reads one filter: `sshd`, `sshd[mode=aggressive]`.
///
/// # Errors
///
/// Everything that is wrong with the words or with the files, and a filter without any expression.
pub fn load_filter(files: &Files, words: &str, logs: Logs) -> Result<Filter, Vec<Fault>> {
    let at = Place { file: Arc::from("the command line"), line: 0 };
    let named = Named::read(words)
        .map_err(|problem| vec![Fault { place: Some(at.clone()), section: None, key: None, problem }])?;
    let part = load(files, &named, &at, logs)?;
    let filter = read(&part, &named.name)?;
    if filter.definition.failregex.is_empty() {
        return Err(vec![without_expressions(&named.name)]);
    }
    Ok(filter)
}

/// That a filter has no expressions.
pub(super) fn without_expressions(name: &str) -> Fault {
    let place = Place { file: format!("{DIRECTORY}/{name}.conf").into(), line: 0 };
    Fault::of(
        Some(&place),
        "Definition",
        "failregex",
        Problem::Missing("at least one expression: is it a file that others include?"),
    )
}

/// Reads the files of a filter.
///
/// # Errors
///
/// What is wrong with them.
pub(super) fn load(files: &Files, named: &Named, at: &Place, logs: Logs) -> Result<Part, Vec<Fault>> {
    // What the program itself gives a filter, and what is in the way of none.
    Part::load(files, DIRECTORY, named, at, &[logs.logtype()])
}

/// What a filter says.
///
/// # Errors
///
/// What cannot be put together.
pub(super) fn read(part: &Part, name: &str) -> Result<Filter, Vec<Fault>> {
    let mut faults = Vec::new();
    let mut get = |key: &str| {
        part.get(key).unwrap_or_else(|fault| {
            faults.push(fault);
            None
        })
    };
    let one = |text: Option<String>| text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let definition = Definition {
        name: name.to_owned(),
        prefregex: one(get("prefregex")),
        failregex: lines(&get("failregex").unwrap_or_default()),
        ignoreregex: lines(&get("ignoreregex").unwrap_or_default()),
        datepattern: one(get("datepattern")),
        journalmatch: lines(&get("journalmatch").unwrap_or_default()),
        maxlines: 1,
    };
    let written = one(get("maxlines"));
    let maxlines = written.as_deref().map_or(Some(1), |text| text.parse().ok().filter(|count| *count > 0));
    if maxlines.is_none() {
        let problem = Problem::Value { found: written.unwrap_or_default(), expected: "a whole number from 1" };
        faults.push(Fault::of(part.place("maxlines"), "Definition", "maxlines", problem));
    }
    if !faults.is_empty() {
        return Err(bounded(faults));
    }
    let definition = Definition { maxlines: maxlines.unwrap_or(1), ..definition };
    let warnings = part.warnings.iter().cloned().chain(leftovers(part, &definition)).collect();
    Ok(Filter { definition, warnings: bounded(warnings) })
}

/// Tags in the expressions that look as if something should have been put in.
fn leftovers<'a>(part: &'a Part, definition: &'a Definition) -> impl Iterator<Item = Fault> + 'a {
    let all = [
        ("prefregex", definition.prefregex.as_slice()),
        ("failregex", &definition.failregex),
        ("ignoreregex", &definition.ignoreregex),
    ];
    all.into_iter().flat_map(move |(key, texts)| {
        let names = unresolved(&texts.join("\n"));
        names.into_iter().map(move |name| Fault::of(part.place(key), "Definition", key, Problem::Unresolved(name)))
    })
}

/// What is on a value's lines.
pub(super) fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}
