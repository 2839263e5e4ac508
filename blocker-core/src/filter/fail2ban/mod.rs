//! Filters in fail2ban's language.
//!
//! What a filter's files say comes as a [`Definition`]; it is compiled here, and judges lines by fail2ban's rules:
//!
//! 1. The line, as text: bytes that are no UTF-8 become `U+FFFD`, as fail2ban does it in a UTF-8 locale. Its time is cut out
//!    ([`dates`]), and of its end nothing is left; `$` is that end.
//! 2. `ignoreregex` if there are fewer of them than `failregex` less two; else it is asked last, of what `failregex` saw.
//! 3. `prefregex`, whose `<F-CONTENT>` is what `failregex` sees; else that is the whole line.
//! 4. `failregex` in their order; the first that matches counts, whatever comes of it.
//! 5. Lines that name the same connection are joined ([`sessions`]).
//!
//! With `maxlines` of more than 1 the text is the last lines of the log, joined by line feeds ([`buffers`]).
//!
//! Expressions are Python's; [`translate`] writes them for two engines ([`expression`]): a linear one, and one that goes back,
//! for those that look around or refer back. The latter takes [`expression::MAX_STEPS`] steps and no more over a line, which
//! then does not match, and is counted.
//!
//! Where this differs from fail2ban on purpose: no name is ever resolved, so who is named by one is nobody; addresses are read
//! strictly; a ban is of an address, never of another `<F-ID>` nor, by `<SUBNET>`, of a network; a group called `host` holds an
//! address, as it did before fail2ban 0.10; `message repeated N times: [ … ]` counts N.

mod attacks;
mod buffers;
mod dates;
mod definition;
mod expression;
mod fields;
mod memory;
mod sessions;
mod tags;
mod translate;

use std::borrow::Cow;

use super::{Failure, Judgement, Label};
use crate::record::{Record, Stamp};
use crate::time::Timestamp;
use dates::Dates;
use expression::{Expression, Groups, Searched};
use fields::{Fields, Layout, Whom};
use sessions::{Joined, Sessions};

pub use definition::Definition;
pub use expression::InvalidExpression;
pub use memory::{Counts, Memory, Owner};

/// Most expressions of one filter.
pub const MAX_EXPRESSIONS: usize = 1_024;

/// A compiled filter. Cheap to share: what it remembers of earlier lines is in a [`Memory`].
#[derive(Debug)]
pub struct Fail2ban {
    definition: Definition,
    dates: Dates,
    prefix: Option<Compiled>,
    failures: Vec<Compiled>,
    ignored: Vec<Compiled>,
    /// Whether what is ignored is looked at first.
    ignores_first: bool,
    service: Label,
}

/// Equal if their files say the same.
impl PartialEq for Fail2ban {
    fn eq(&self, other: &Self) -> bool {
        self.definition == other.definition
    }
}

impl Eq for Fail2ban {}

#[derive(Debug)]
struct Compiled {
    name: Label,
    expression: Expression,
    layout: Layout,
}

impl Compiled {
    fn new(name: String, source: &str, across_lines: bool) -> Result<Self, InvalidExpression> {
        let expression = Expression::compile(&name, source, across_lines)?;
        Ok(Self { name: name.into(), layout: Layout::of(&expression), expression })
    }

    fn search<'t>(&self, text: &'t str, counts: &mut Counts) -> Option<Groups<'t>> {
        match self.expression.search(text) {
            Searched::Found(found) => Some(found),
            Searched::Nothing => None,
            Searched::OutOfSteps => {
                counts.out_of_steps += 1;
                None
            }
        }
    }
}

impl Fail2ban {
    /// Compiles what a filter's files say.
    ///
    /// # Errors
    ///
    /// [`InvalidExpression`] for the first expression that cannot be used: which, where in it, and what would be right.
    pub fn compile(definition: Definition) -> Result<Self, InvalidExpression> {
        let across_lines = definition.maxlines > 1;
        let whole = |name: &str, what: String| Err(InvalidExpression::whole(name, &definition.name, what));
        if definition.maxlines > buffers::MAX_LINES {
            return whole(
                "maxlines of",
                format!("is {}, expected at most {}", definition.maxlines, buffers::MAX_LINES),
            );
        }
        let count = definition.failregex.len() + definition.ignoreregex.len();
        if count > MAX_EXPRESSIONS {
            return whole("filter", format!("it has {count} expressions, expected at most {MAX_EXPRESSIONS}"));
        }
        if definition.failregex.is_empty() {
            return whole("filter", "it has no failregex: nothing would ever be a failure".to_owned());
        }
        let compiled = |kind: &str, sources: &[String]| {
            let numbered = (1..).zip(sources);
            let compiled = numbered.map(|(n, source)| Compiled::new(format!("{kind} {n}"), source, across_lines));
            compiled.collect::<Result<Vec<_>, _>>()
        };
        let dates = Dates::read(definition.datepattern.as_deref())?;
        let prefix = definition.prefregex.as_deref();
        let prefix = prefix.map(|source| Compiled::new("prefregex".to_owned(), source, across_lines)).transpose()?;
        let failures = compiled("failregex", &definition.failregex)?;
        let ignored = compiled("ignoreregex", &definition.ignoreregex)?;
        let is_somebody = |layout: &Layout| layout.names_somebody() || layout.has_session();
        let by_prefix = prefix.as_ref().is_some_and(|prefix| is_somebody(&prefix.layout));
        if let Some((of, source)) =
            failures.iter().zip(&definition.failregex).find(|(of, _)| !by_prefix && !is_somebody(&of.layout))
        {
            let what = "it names nobody: write <HOST> or <ADDR> where the service writes the peer's address";
            return Err(InvalidExpression::whole(&of.name, source, what));
        }
        Ok(Self {
            ignores_first: ignored.len() + 2 < failures.len(),
            service: definition.name.clone().into(),
            definition,
            dates,
            prefix,
            failures,
            ignored,
        })
    }

    /// What its files say.
    #[must_use]
    pub fn definition(&self) -> &Definition {
        &self.definition
    }

    /// The names of its expressions for failures, in their order.
    pub(super) fn pattern_names(&self) -> impl Iterator<Item = Label> {
        self.failures.iter().map(|failure| failure.name.clone())
    }

    /// What it means otherwise than fail2ban does, for people: a sentence each.
    #[must_use]
    pub fn differences(&self) -> Vec<String> {
        let layouts = || self.prefix.iter().chain(&self.failures).map(|compiled| &compiled.layout);
        let mut differences = Vec::new();
        if layouts().any(Layout::has_own_id) {
            differences.push("<F-ID>: the address counts and is banned, whatever else is in it".to_owned());
        }
        if self.definition.failregex.iter().any(|source| source.contains("<SUBNET>") || source.contains("<CIDR>")) {
            differences.push("<SUBNET>, <CIDR>: the address alone is banned, not its network".to_owned());
        }
        differences
    }

    /// When `line` was written, as far as it says; `read` is what its header says, which a form of time of the filter's own
    /// goes before: `05/11/2026` may mean either.
    #[must_use]
    pub fn stamp(&self, line: &[u8], read: Option<Stamp>) -> Option<Stamp> {
        if read.is_some() && self.dates.are_usual() {
            return read;
        }
        self.dates.find(&String::from_utf8_lossy(line)).and_then(|cut| cut.stamp).or(read)
    }

    /// Texts of which every line has at least one that this filter knows; `None` if there are none.
    ///
    /// Only whole words are sure to stand in the line as they do in the text without its time.
    pub(super) fn needles(&self) -> Option<Vec<Vec<u8>>> {
        if self.definition.maxlines > 1 || !self.dates.are_usual() {
            return None;
        }
        let word = |compiled: &Compiled| longest_word(compiled.expression.needle()?);
        let ignored = self.ignored.iter().filter(|_| self.ignores_first).map(word);
        match self.prefix.as_ref().and_then(word) {
            Some(prefix) => ignored.chain([Some(prefix)]).collect(),
            None => ignored.chain(self.failures.iter().map(word)).collect(),
        }
    }

    /// Says what `record` of `owner` tells, a line of `at`, with what was told before it.
    #[must_use]
    pub fn judge<'a>(&self, record: &Record<'a>, owner: Owner, at: Timestamp, memory: &mut Memory) -> Judgement<'a> {
        match self.judge_line(record.line, record.line, owner, at, memory) {
            Judgement::NoMatch => {}
            judgement @ (Judgement::Failure(_)
            | Judgement::Success(_)
            | Judgement::Ignored(_)
            | Judgement::Helper(_)) => return judgement,
        }
        // What fail2ban does not understand: the message by itself, of one that is told to have been repeated.
        match memchr::memmem::find(record.line, b"message repeated ") {
            Some(header) if !record.message.is_empty() && !record.line.ends_with(record.message) => {
                let line = [&record.line[..header], record.message].concat();
                self.judge_line(record.line, &line, owner, at, memory)
            }
            Some(_) | None => Judgement::NoMatch,
        }
    }

    /// Judges `line`, a part of `original`.
    fn judge_line<'a>(
        &self,
        original: &'a [u8],
        line: &[u8],
        owner: Owner,
        at: Timestamp,
        memory: &mut Memory,
    ) -> Judgement<'a> {
        let decoded = String::from_utf8_lossy(line);
        let decoded = decoded.trim_end_matches(['\r', '\n']);
        let text = match self.dates.find(decoded) {
            Some(cut) if cut.start == 0 => Cow::Borrowed(&decoded[cut.end..]),
            Some(cut) => Cow::Owned([&decoded[..cut.start], &decoded[cut.end..]].concat()),
            None => Cow::Borrowed(decoded),
        };
        let Memory { sessions, buffers, counts } = memory;
        if self.definition.maxlines <= 1 {
            return match self.look(&text, counts) {
                Some(Look { hit, .. }) => self.conclude(hit, original, owner, at, sessions, counts),
                None => Judgement::NoMatch,
            };
        }
        let lines = buffers.add(owner, &text, self.definition.maxlines);
        let joined = lines.join("\n");
        match self.look(&joined, counts) {
            Some(Look { hit, span, skipped }) => {
                if let Some(span) = span {
                    buffers::take(lines, span, &skipped);
                }
                self.conclude(hit, original, owner, at, sessions, counts)
            }
            None => Judgement::NoMatch,
        }
    }

    /// Runs the expressions over `text`.
    fn look<'f, 't>(&'f self, text: &'t str, counts: &mut Counts) -> Option<Look<'f, 't>> {
        let ignore = |text: &'t str, counts: &mut Counts| {
            self.ignored.iter().find(|ignored| ignored.search(text, counts).is_some()).map(|ignored| &ignored.name)
        };
        if self.ignores_first
            && let Some(name) = ignore(text, counts)
        {
            return Some(Look { hit: Hit::Ignored(name.clone()), span: None, skipped: Vec::new() });
        }
        let before = match &self.prefix {
            Some(prefix) => prefix.layout.read(&prefix.search(text, counts)?),
            None => Fields::default(),
        };
        let content = before.content.unwrap_or(text);
        let (failure, found) =
            self.failures.iter().find_map(|failure| Some((failure, failure.search(content, counts)?)))?;
        let hit = match ignore(content, counts).filter(|_| !self.ignores_first) {
            Some(name) => Hit::Ignored(name.clone()),
            None => Hit::Failure(failure, failure.layout.read(&found).over(&before)),
        };
        // Where the match stands among the lines is known if it was looked for among all of them.
        let span = before.content.is_none().then(|| found.span(0)).flatten();
        let skipped = failure.layout.skipped().iter().filter_map(|&group| found.span(group)).collect();
        Some(Look { hit, span, skipped })
    }

    /// What follows from a match.
    fn conclude<'a>(
        &self,
        hit: Hit<'_, '_>,
        original: &'a [u8],
        owner: Owner,
        at: Timestamp,
        sessions: &mut Sessions,
        counts: &mut Counts,
    ) -> Judgement<'a> {
        let (failure, fields) = match hit {
            Hit::Ignored(why) => return Judgement::Ignored(why),
            Hit::Failure(failure, fields) => (failure, fields),
        };
        let joined = sessions.join(owner, &fields, at).or(match (fields.is_helper, fields.whom) {
            (true, _) => Some(Joined::Helper),
            (false, Whom::Addr(addr)) => Some(Joined::Failure(addr)),
            (false, Whom::Named) => Some(Joined::Named),
            (false, Whom::Nobody) => None,
        });
        match joined {
            Some(Joined::Helper) => Judgement::Helper(failure.name.clone()),
            // Its filters know of no login that succeeded.
            Some(Joined::Failure(addr)) => Judgement::Failure(Failure {
                // The same bytes stand in the line, unless they were no UTF-8, or stood in an earlier one.
                user: fields.user.and_then(|user| {
                    let at = memchr::memmem::find(original, user.as_bytes())?;
                    original.get(at..at + user.len())
                }),
                ..Failure::of_one(addr, self.service.clone(), failure.name.clone())
            }),
            Some(Joined::Named) => {
                counts.named += 1;
                Judgement::NoMatch
            }
            None => Judgement::NoMatch,
        }
    }
}

/// What the expressions found in a text.
struct Look<'f, 't> {
    hit: Hit<'f, 't>,
    /// Where, if it was looked for in all of the text.
    span: Option<(usize, usize)>,
    /// What was passed over in it.
    skipped: Vec<(usize, usize)>,
}

enum Hit<'f, 't> {
    Ignored(Label),
    Failure(&'f Compiled, Fields<'t>),
}

/// The longest run of letters, digits and `_` in `text` that is worth a search of its own.
fn longest_word(text: &[u8]) -> Option<Vec<u8>> {
    let words = text.split(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_');
    words.max_by_key(|word| word.len()).filter(|word| word.len() >= SHORTEST_WORD).map(<[u8]>::to_vec)
}

/// Shortest word that lines are looked through for, in bytes.
const SHORTEST_WORD: usize = 4;

#[cfg(test)]
mod tests;
