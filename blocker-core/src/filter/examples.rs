//! A filter's examples: lines, and what they must yield.
//!
//! Every filter carries them with it, hostile lines above all, and `blocker check` runs them on the machine where they
//! matter. They are TOML:
//!
//! ```toml
//! name = "dovecot"
//! description = "…"
//!
//! [[example]]
//! note = "why this line is here, if it is not plain"
//! line = '''Nov 23 01:06:25 mx1 dovecot: imap-login: …'''
//! expect = { outcome = "failure", addr = "192.0.2.9", user = "bob", attempts = 3, service = "imap" }
//! ```
//!
//! `outcome` is `failure`, `success`, `ignored` or `no-match`; a line without a header that can be read is `no-match` too. A
//! failure must give `addr` and `attempts`; `user`, `service` and `session` are compared where they are given, and an
//! empty `user` also stands for a line that shows none. A success must give `addr` and `user`; where they do not matter,
//! `ignored` will do for it.

use std::net::IpAddr;

use serde::{Deserialize, Deserializer};

use super::{Failure, Filter, Judgement, Success};
use crate::attempts::Attempts;
use crate::record;

/// A filter's own file: what it is, and its examples.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Examples {
    /// The filter's name.
    pub name: String,
    /// What it is for, in a sentence.
    pub description: String,
    /// The lines, in the file's order.
    #[serde(rename = "example")]
    pub examples: Vec<Example>,
}

/// One line and what it must yield.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// A line as a log has it, header included.
    pub line: String,
    /// What must come of it.
    pub expect: Expect,
    /// Why it is here; hostile lines have one.
    pub note: Option<String>,
}

/// What must come of a line.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Expect {
    /// A failure; what is `None` is not compared.
    Failure {
        /// Whose.
        addr: IpAddr,
        /// With which user name.
        user: Option<String>,
        /// What it adds to the count.
        #[serde(deserialize_with = "attempts")]
        attempts: Attempts,
        /// At what service.
        service: Option<String>,
        /// On which connection.
        session: Option<String>,
    },
    /// A login that succeeded.
    Success {
        /// Whose.
        addr: IpAddr,
        /// As which user.
        user: String,
    },
    /// Known, and nobody's failure.
    Ignored {},
    /// Nothing the filter knows.
    NoMatch {},
}

/// How one example went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The example's place in the file, from 1.
    pub number: usize,
    /// The example itself.
    pub example: Example,
    /// What differed, for people: `expected a failure by 192.0.2.9, got no-match`. `None` if it passed.
    pub difference: Option<String>,
}

/// A file of examples that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidExamples {
    /// Not TOML, or not of this shape.
    #[error("filter `{filter}`: {source}")]
    Syntax {
        /// Whose file it is.
        filter: String,
        /// What the parser says, with the place.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// Another filter's file.
    #[error("filter `{filter}`: its examples are named `{name}`")]
    Name {
        /// Whose file it should be.
        filter: String,
        /// What it calls itself.
        name: String,
    },
}

/// Runs every example of `filter`.
///
/// # Errors
///
/// [`InvalidExamples`] if the file itself cannot be used; examples that fail are in the verdicts.
pub fn run(filter: &Filter) -> Result<Vec<Verdict>, InvalidExamples> {
    let Examples { name, description: _, examples } = filter.examples()?;
    if name != filter.name() {
        return Err(InvalidExamples::Name { filter: filter.name().to_owned(), name });
    }
    Ok((1..).zip(examples).map(|(number, example)| check(filter, number, example)).collect())
}

/// Reads `text`, the examples of the filter called `filter`.
///
/// # Errors
///
/// [`InvalidExamples::Syntax`], with the place.
pub fn parse(filter: &str, text: &str) -> Result<Examples, InvalidExamples> {
    toml::from_str(text)
        .map_err(|source| InvalidExamples::Syntax { filter: filter.to_owned(), source: Box::new(source) })
}

fn check(filter: &Filter, number: usize, example: Example) -> Verdict {
    let judgement = record::parse(example.line.as_bytes()).map_or(Judgement::NoMatch, |record| filter.judge(&record));
    let difference = difference(&example.expect, &judgement);
    Verdict { number, example, difference }
}

fn difference(expect: &Expect, judgement: &Judgement<'_>) -> Option<String> {
    let shown = |bytes: Option<&[u8]>| bytes.unwrap_or_default().escape_ascii().to_string();
    let escaped = |text: &String| text.as_bytes().escape_ascii().to_string();
    match (expect, judgement) {
        (Expect::Failure { addr, user, attempts, service, session }, Judgement::Failure(failure)) => {
            let differences: Vec<String> = [
                differs("addr", Some(addr), &failure.addr),
                differs("attempts", Some(attempts), &failure.attempts),
                differs("user", user.as_ref().map(escaped).as_ref(), &shown(failure.user)),
                differs("service", service.as_deref().as_ref(), &&*failure.service),
                differs(
                    "session",
                    session.as_ref().map(escaped).as_ref(),
                    &shown(failure.session.map(|session| session.id)),
                ),
            ]
            .into_iter()
            .flatten()
            .collect();
            (!differences.is_empty()).then(|| differences.join("; "))
        }
        (Expect::Success { addr, user }, Judgement::Success(success)) => {
            let user = differs("user", Some(&escaped(user)), &shown(Some(success.user)));
            let differences: Vec<String> =
                [differs("addr", Some(addr), &success.addr), user].into_iter().flatten().collect();
            (!differences.is_empty()).then(|| differences.join("; "))
        }
        (Expect::Ignored {}, Judgement::Ignored(_) | Judgement::Success(_))
        | (Expect::NoMatch {}, Judgement::NoMatch) => None,
        (Expect::Failure { .. } | Expect::Success { .. } | Expect::Ignored {} | Expect::NoMatch {}, _) => {
            Some(format!("expected {}, got {}", name_expected(expect), name_judged(judgement)))
        }
    }
}

fn differs<T: PartialEq + std::fmt::Display>(field: &str, expected: Option<&T>, got: &T) -> Option<String> {
    let expected = expected.filter(|expected| *expected != got)?;
    Some(format!("{field}: expected `{expected}`, got `{got}`"))
}

fn name_expected(expect: &Expect) -> String {
    match expect {
        Expect::Failure { addr, .. } => format!("a failure by {addr}"),
        Expect::Success { addr, .. } => format!("a success by {addr}"),
        Expect::Ignored {} => "ignored".to_owned(),
        Expect::NoMatch {} => "no-match".to_owned(),
    }
}

fn name_judged(judgement: &Judgement<'_>) -> String {
    match judgement {
        Judgement::Failure(Failure { addr, pattern, attempts, .. }) => {
            format!("a failure by {addr} ({pattern}, counts {attempts})")
        }
        Judgement::Success(Success { addr, .. }) => format!("a success by {addr}"),
        Judgement::Ignored(why) => format!("ignored ({why})"),
        Judgement::Helper(what) => format!("helper ({what})"),
        Judgement::NoMatch => "no-match".to_owned(),
    }
}

/// Reads a number of attempts with at most one decimal: `3`, `0.2`.
fn attempts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Attempts, D::Error> {
    let tenths = (f64::deserialize(deserializer)? * 10.0).round();
    if !(0.0..=MAX_TENTHS).contains(&tenths) {
        return Err(serde::de::Error::custom("attempts must lie between 0 and 100000"));
    }
    // Whole and within the range of a u32 by now.
    Ok(Attempts::tenths(tenths as u32))
}

/// Largest number of attempts an example may ask for, in tenths.
const MAX_TENTHS: f64 = 1_000_000.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::registry::Filters;

    #[test]
    fn every_filter_s_examples_pass() {
        for filter in Filters::builtin().iter() {
            let verdicts = run(filter).map_err(|error| error.to_string()).unwrap();
            let failed: Vec<String> = verdicts
                .iter()
                .filter_map(|Verdict { number, example, difference }| {
                    difference.as_ref().map(|text| format!("{number}: {text}\n    {}", example.line))
                })
                .collect();

            assert!(failed.is_empty(), "{}:\n{}", filter.name(), failed.join("\n"));
        }
    }

    #[test]
    fn every_filter_has_plain_and_hostile_examples() {
        // One reads no lines.
        for filter in Filters::builtin().iter().filter(|&filter| *filter != Filter::Bans) {
            let examples = filter.examples().map_err(|error| error.to_string()).unwrap().examples;
            let hostile = examples.iter().filter(|example| example.note.is_some()).count();
            let (most_plain, most_hostile) = if *filter == Filter::Dovecot { (40, 20) } else { (3, 3) };

            assert!(
                examples.len() - hostile >= most_plain && hostile >= most_hostile,
                "{}: {} plain, {hostile} hostile",
                filter.name(),
                examples.len() - hostile
            );
        }
    }

    #[test]
    fn a_difference_says_what_was_expected_and_what_came() {
        let example = |expect: &str| {
            let text = format!(
                "name = 'x'\ndescription = ''\n[[example]]\nline = 'Nov 23 01:06:25 mx1 dovecot: imap-login: Disconnected \
                 (auth failed, 3 attempts in 8 secs): user=<bob>, method=PLAIN, rip=192.0.2.9'\nexpect = {{ {expect} }}"
            );
            let example = parse("x", &text).unwrap().examples.remove(0);
            check(&Filter::Dovecot, 1, example).difference
        };

        assert_eq!(example("outcome = 'failure', addr = '192.0.2.9', attempts = 3, user = 'bob'"), None);
        assert_eq!(
            example("outcome = 'failure', addr = '192.0.2.8', attempts = 0.3, user = 'eve'").unwrap(),
            "addr: expected `192.0.2.8`, got `192.0.2.9`; attempts: expected `0.3`, got `3`; user: expected `eve`, got `bob`"
        );
        assert_eq!(
            example("outcome = 'no-match'").unwrap(),
            "expected no-match, got a failure by 192.0.2.9 (auth failed, counts 3)"
        );
    }

    #[test]
    fn an_unknown_key_is_an_error_with_its_place() {
        let text =
            "name = 'x'\ndescription = ''\n[[example]]\nline = ''\nexpect = { outcome = 'ignored', adr = '192.0.2.9' }";

        let error = parse("x", text).unwrap_err().to_string();

        assert!(error.contains("adr"), "{error}");
    }
}
