//! A filter made of patterns: what its own file says (see [`definition`]), compiled.
//!
//! ```toml
//! name = "postfix"
//! description = "Refused passwords at Postfix's SMTP servers"
//! program = ["postfix*/smtpd"]
//!
//! [[pattern]]
//! name = "SASL authentication failed"
//! match = 'warning: [^\[ ]+\[<ADDR>\]: SASL [A-Z0-9-]+ authentication failed:.*'
//!
//! [[ignore]]
//! name = "the server's own trouble"
//! match = 'warning: .* authentication failed: temporary authentication failure'
//! ```
//!
//! A pattern must match the message from its first byte to its last; in an access log, where something stands in front of the
//! time, a second expression, `front`, must match that. `<ADDR>` (or `<HOST>`) stands once in each, and is the
//! only place an address is taken from; it is read strictly, and no name is ever resolved. `<USER>`, and groups called
//! `attempts`, `span` and `session`, give the rest. What is ignored is looked at first, then the patterns in their order, then
//! the logins that succeeded.
//!
//! Expressions run in time that is linear in the line (`regex`), on bytes: a line need not be UTF-8. Before one is run, the line
//! must hold a text that every match of it has ([`literal`]).

pub mod definition;
pub(super) mod lint;
pub(super) mod literal;
mod program;
mod template;

use std::net::IpAddr;
use std::time::Duration;

use memchr::memmem::Finder;
use regex::bytes::{Captures, Regex};

use super::{Failure, Filter, Judgement, Label, MAX_SPAN, MAX_WRITTEN, Session, Success, Teller};
use crate::attempts::Attempts;
use crate::record::Record;
use definition::Definition;
use program::Programs;

pub use lint::Attack;
pub use template::InvalidPattern;

/// A compiled filter.
#[derive(Debug)]
pub struct Patterns {
    definition: Definition,
    /// What it extends: asked first, but for what is ignored here.
    base: Option<Filter>,
    programs: Programs,
    ignored: Vec<Matcher>,
    patterns: Vec<Pattern>,
    successes: Vec<Welcome>,
}

/// Equal if their files say the same.
impl PartialEq for Patterns {
    fn eq(&self, other: &Self) -> bool {
        self.definition == other.definition && self.base == other.base
    }
}

impl Eq for Patterns {}

/// One expression, and what must be in a line before it is worth running.
#[derive(Debug)]
struct Matcher {
    name: Label,
    regex: Regex,
    needle: Option<Finder<'static>>,
}

/// An expression for failures.
#[derive(Debug)]
struct Pattern {
    matcher: Matcher,
    /// For what stands in front of the time; nothing may, if it is absent.
    front: Option<Matcher>,
    weight: Attempts,
    service: Label,
    groups: Groups,
}

/// An expression for logins that succeeded.
#[derive(Debug)]
struct Welcome {
    matcher: Matcher,
    addr: usize,
    user: usize,
}

/// The groups of a pattern's expressions.
#[derive(Debug)]
struct Groups {
    addr: Group,
    user: Option<Group>,
    attempts: Option<Group>,
    span: Option<Group>,
    session: Option<Group>,
}

/// A group's number, and in which of the two expressions.
#[derive(Clone, Copy, Debug)]
enum Group {
    Front(usize),
    Message(usize),
}

/// What the two expressions of a pattern found in a line.
struct Found<'a> {
    front: Option<Captures<'a>>,
    message: Captures<'a>,
}

impl Patterns {
    /// Compiles what a filter's file says, on top of `base` if there is one.
    ///
    /// # Errors
    ///
    /// [`InvalidPattern`] for the first pattern that is none: which, where in it, and what would be right.
    pub fn compile(definition: Definition, base: Option<Filter>) -> Result<Self, InvalidPattern> {
        let programs = Programs::new(&definition.program);
        let ignored = definition
            .ignored
            .iter()
            .map(|ignored| Matcher::compile(&ignored.name, &ignored.expression))
            .collect::<Result<_, _>>()?;
        let patterns = definition
            .patterns
            .iter()
            .map(|pattern| {
                let matcher = Matcher::compile(&pattern.name, &pattern.expression)?;
                let front = pattern
                    .front
                    .as_ref()
                    .map(|front| Matcher::compile(&pattern.name, front).map_err(InvalidPattern::in_front))
                    .transpose()?;
                let groups = Groups::of(&matcher, front.as_ref())?;
                let service = pattern.service.as_ref().or(definition.service.as_ref()).unwrap_or(&definition.name);
                Ok(Pattern { matcher, front, weight: pattern.weight, service: service.clone().into(), groups })
            })
            .collect::<Result<_, InvalidPattern>>()?;
        let successes = definition
            .successes
            .iter()
            .map(|success| Welcome::compile(&success.name, &success.expression))
            .collect::<Result<_, _>>()?;
        Ok(Self { definition, base, programs, ignored, patterns, successes })
    }

    /// What its file says.
    #[must_use]
    pub fn definition(&self) -> &Definition {
        &self.definition
    }

    /// What it extends.
    pub(super) fn base(&self) -> Option<&Filter> {
        self.base.as_ref()
    }

    /// Texts of which every line has at least one that a pattern here is of, or what is ignored here; `None` if there are none.
    /// The names of the programs will do, and else what each expression must have.
    pub(super) fn needles(&self) -> Option<Vec<Vec<u8>>> {
        self.programs.needles().or_else(|| {
            let patterns = self.patterns.iter().map(|pattern| &pattern.matcher);
            let successes = self.successes.iter().map(|success| &success.matcher);
            let matchers = self.ignored.iter().chain(patterns).chain(successes);
            matchers.map(|matcher| Some(matcher.needle.as_ref()?.needle().to_vec())).collect()
        })
    }

    /// Patterns that can be made to name somebody else: each with a line that does.
    #[must_use]
    pub fn attacks(&self) -> Vec<Attack> {
        let of_successes = self
            .successes
            .iter()
            .filter_map(|success| lint::attack_on(&success.matcher.name, &success.matcher.regex, success.addr));
        self.patterns
            .iter()
            .filter_map(|pattern| match (pattern.groups.addr, &pattern.front) {
                (Group::Front(addr), Some(front)) => lint::attack_on(&front.name, &front.regex, addr),
                (Group::Front(addr) | Group::Message(addr), _) => {
                    lint::attack_on(&pattern.matcher.name, &pattern.matcher.regex, addr)
                }
            })
            .chain(of_successes)
            .collect()
    }

    /// Says what `record` tells.
    #[must_use]
    pub fn judge<'a>(&self, record: &Record<'a>) -> Judgement<'a> {
        let is_ours = self.programs.has(record.program);
        if is_ours && let Some(ignored) = self.ignored.iter().find(|ignored| ignored.is_match(record.message)) {
            return Judgement::Ignored(ignored.name.clone());
        }
        match self.base.as_ref().map_or(Judgement::NoMatch, |base| base.judge_once(record)) {
            Judgement::NoMatch if is_ours => {
                let failure = self.patterns.iter().find_map(|pattern| pattern.judge(record));
                let success = || self.successes.iter().find_map(|success| success.judge(record));
                failure.or_else(success).unwrap_or(Judgement::NoMatch)
            }
            judgement @ (Judgement::Failure(_)
            | Judgement::Success(_)
            | Judgement::Ignored(_)
            | Judgement::Helper(_)
            | Judgement::NoMatch) => judgement,
        }
    }
}

impl Matcher {
    fn compile(name: &str, expression: &str) -> Result<Self, InvalidPattern> {
        let (regex, hir) = template::compile(name, expression)?;
        let needle = literal::required(&hir).map(|needle| Finder::new(&needle).into_owned());
        Ok(Self { name: name.to_owned().into(), regex, needle })
    }

    fn is_worth_a_try(&self, message: &[u8]) -> bool {
        self.needle.as_ref().is_none_or(|needle| needle.find(message).is_some())
    }

    fn is_match(&self, message: &[u8]) -> bool {
        self.is_worth_a_try(message) && self.regex.is_match(message)
    }

    fn captures<'a>(&self, text: &'a [u8]) -> Option<Captures<'a>> {
        if self.is_worth_a_try(text) { self.regex.captures(text) } else { None }
    }

    fn group(&self, name: &str) -> Option<usize> {
        self.regex.capture_names().position(|group| group == Some(name))
    }
}

impl Groups {
    fn of(message: &Matcher, front: Option<&Matcher>) -> Result<Self, InvalidPattern> {
        let group = |name: &str| match (message.group(name), front.and_then(|front| front.group(name))) {
            (Some(_), Some(_)) => Err(InvalidPattern::twice(&message.name, name)),
            (Some(number), None) => Ok(Some(Group::Message(number))),
            (None, number) => Ok(number.map(Group::Front)),
        };
        Ok(Self {
            addr: group("addr")?.ok_or_else(|| InvalidPattern::no_address(&message.name))?,
            user: group("user")?,
            attempts: group("attempts")?,
            span: group("span")?,
            session: group("session")?,
        })
    }
}

impl<'a> Found<'a> {
    /// The text of a group, if it has taken part.
    fn text(&self, group: Group) -> Option<&'a [u8]> {
        let found = match group {
            Group::Front(number) => self.front.as_ref()?.get(number)?,
            Group::Message(number) => self.message.get(number)?,
        };
        Some(found.as_bytes())
    }
}

impl Pattern {
    /// What `record` tells if the pattern is of it.
    fn judge<'a>(&self, record: &Record<'a>) -> Option<Judgement<'a>> {
        let front = match &self.front {
            Some(front) => Some(front.captures(record.front)?),
            None if record.front.is_empty() => None,
            None => return None,
        };
        let found = Found { front, message: self.matcher.captures(record.message)? };
        let Some(addr) = found.text(self.groups.addr).and_then(address) else {
            return Some(Judgement::Ignored("the peer has no address that could be banned".into()));
        };
        let tries = number(&found, self.groups.attempts, MAX_WRITTEN).unwrap_or(1);
        let attempts = self.weight.times(tries);
        if attempts.is_zero() {
            return Some(Judgement::Ignored("no attempt was counted".into()));
        }
        let secs = number(&found, self.groups.span, MAX_SPAN.as_secs()).unwrap_or(0);
        let text = |group: Option<Group>| found.text(group?).filter(|text| !text.is_empty());
        let user = text(self.groups.user);
        Some(Judgement::Failure(Failure {
            addr,
            user,
            attempts,
            // Of several attempts, who is named made the last.
            forgivable: if user.is_some() { self.weight } else { Attempts::ZERO },
            span: Duration::from_secs(secs.into()),
            session: text(self.groups.session).map(|id| Session { id, teller: Teller::Login }),
            service: self.service.clone(),
            pattern: self.matcher.name.clone(),
        }))
    }
}

impl Welcome {
    fn compile(name: &str, expression: &str) -> Result<Self, InvalidPattern> {
        let matcher = Matcher::compile(name, expression)?;
        let addr = matcher.group("addr").ok_or_else(|| InvalidPattern::no_address(name))?;
        let user = matcher.group("user").ok_or_else(|| InvalidPattern::no_user(name))?;
        Ok(Self { matcher, addr, user })
    }

    /// What `record` tells if the pattern is of it.
    fn judge<'a>(&self, record: &Record<'a>) -> Option<Judgement<'a>> {
        if !record.front.is_empty() {
            return None;
        }
        let found = self.matcher.captures(record.message)?;
        let text = |group: usize| found.get(group).map(|found| found.as_bytes()).filter(|text| !text.is_empty());
        let pattern = self.matcher.name.clone();
        Some(match (text(self.addr).and_then(address), text(self.user)) {
            (Some(addr), Some(user)) => Judgement::Success(Success { addr, user, pattern }),
            (None, _) | (_, None) => Judgement::Ignored(pattern),
        })
    }
}

/// An address as systems print it, canonical. A zone (`fe80::1%eth0`) is refused: no ban could reach it.
fn address(text: &[u8]) -> Option<IpAddr> {
    str::from_utf8(text).ok()?.parse::<IpAddr>().ok().map(|addr| addr.to_canonical())
}

/// The number in a group, at most `most`; `None` if there is none.
fn number(found: &Found<'_>, group: Option<Group>, most: u64) -> Option<u32> {
    let digits = found.text(group?)?;
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // More digits than a number has are more than any bound.
    let number = str::from_utf8(digits).ok()?.parse().unwrap_or(u64::MAX);
    u32::try_from(number.min(most)).ok()
}

#[cfg(test)]
mod tests;
