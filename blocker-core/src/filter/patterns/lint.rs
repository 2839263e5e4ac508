//! Can a pattern be made to name somebody else?
//!
//! Whoever fails to log in writes part of the line: the user name above all. If such text stands where a pattern takes
//! anything, it may hold what the pattern looks for, with another's address. Whether that works is not argued about but tried:
//! lines are made of which the pattern must yield the peer, with such a forgery in each place that takes any text, and judged.
//! One that yields the other address is the proof, and shown.
//!
//! What a pattern says of the bytes in a place is believed: where it has `[^ ]+`, no blank is forged. Whoever writes `[^>]*` for
//! a name in which the service lets `>` stand is not warned.

use regex::bytes::Regex;
use regex_syntax::hir::{Class, Hir, HirKind};

use super::template;

/// A line that makes a pattern name somebody who has nothing to do with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attack {
    /// The pattern.
    pub pattern: String,
    /// The message: written about [`Attack::PEER`], it yields [`Attack::VICTIM`].
    pub message: String,
}

impl Attack {
    /// Whose line it is.
    pub const PEER: &str = "192.0.2.9";

    /// Whom it names.
    pub const VICTIM: &str = "203.0.113.66";
}

/// A part of an expression, in order.
enum Part<'a> {
    /// The address.
    Addr,
    /// Takes text of any length, of the bytes that this has.
    Free(&'a Hir),
    /// Anything else, by its shortest match.
    Fixed(&'a Hir),
}

/// Looks for an attack on `regex`, which is the pattern `name`; `addr` is the number of its address's group.
pub(super) fn attack_on(name: &str, regex: &Regex, addr: usize) -> Option<Attack> {
    // It was parsed before it was compiled.
    let hir = template::parser().parse(regex.as_str()).ok()?;
    attack(name, &hir, addr, |line| {
        let found = regex.captures(line).and_then(|found| found.get(addr));
        found.is_some_and(|found| found.as_bytes() == Attack::VICTIM.as_bytes())
    })
}

/// Looks for an attack on the pattern `name`, whose lines look as `hir` says, with the address in the group `addr`;
/// `yields_the_victim` says what the pattern makes of a line.
pub(in crate::filter) fn attack(
    name: &str,
    hir: &Hir,
    addr: usize,
    yields_the_victim: impl Fn(&[u8]) -> bool,
) -> Option<Attack> {
    let mut parts = Vec::new();
    flatten(hir, addr, &mut parts);
    let free: Vec<usize> = (0..parts.len()).filter(|&at| matches!(parts[at], Part::Free(_))).collect();
    // What the pattern looks for from each place on, with the victim's address: the forgery.
    let forgeries = free.iter().map(|&from| text(&parts[from + 1..], Attack::VICTIM, None));
    let forgeries: Vec<Vec<u8>> = std::iter::once(text(&parts, Attack::VICTIM, None)).chain(forgeries).collect();
    free.iter().find_map(|&place| {
        forgeries.iter().filter(|forgery| !forgery.is_empty()).find_map(|forgery| {
            // As it is, and with some text around it.
            let around = [b"x", &forgery[..], b" x"].concat();
            let fits = |forgery: &Vec<u8>| match parts[place] {
                Part::Free(of) => forgery.iter().all(|byte| takes(of, *byte)),
                Part::Addr | Part::Fixed(_) => false,
            };
            [forgery.clone(), around].into_iter().filter(fits).find_map(|forgery| {
                let line = text(&parts, Attack::PEER, Some((place, &forgery)));
                yields_the_victim(&line)
                    .then(|| Attack { pattern: name.to_owned(), message: line.escape_ascii().to_string() })
            })
        })
    })
}

/// A line as `hir` says, about the peer, without any forgery.
pub(in crate::filter) fn plain_line(hir: &Hir, addr: usize) -> Vec<u8> {
    let mut parts = Vec::new();
    flatten(hir, addr, &mut parts);
    text(&parts, Attack::PEER, None)
}

/// The number of the group called `name`.
pub(in crate::filter) fn group(hir: &Hir, name: &str) -> Option<usize> {
    match hir.kind() {
        HirKind::Capture(capture) if capture.name.as_deref() == Some(name) => Some(capture.index as usize),
        HirKind::Capture(capture) => group(&capture.sub, name),
        HirKind::Repetition(repetition) => group(&repetition.sub, name),
        HirKind::Concat(inner) | HirKind::Alternation(inner) => inner.iter().find_map(|hir| group(hir, name)),
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => None,
    }
}

fn flatten<'a>(hir: &'a Hir, addr: usize, parts: &mut Vec<Part<'a>>) {
    match hir.kind() {
        HirKind::Capture(capture) if capture.index as usize == addr => parts.push(Part::Addr),
        HirKind::Capture(capture) => flatten(&capture.sub, addr, parts),
        HirKind::Concat(inner) => inner.iter().for_each(|hir| flatten(hir, addr, parts)),
        HirKind::Repetition(repetition) if repetition.max.is_none() && takes_text(&repetition.sub) => {
            parts.push(Part::Free(&repetition.sub));
        }
        HirKind::Empty
        | HirKind::Literal(_)
        | HirKind::Class(_)
        | HirKind::Look(_)
        | HirKind::Repetition(_)
        | HirKind::Alternation(_) => parts.push(Part::Fixed(hir)),
    }
}

/// Whether what is repeated takes letters, digits and dots: what a forgery is made of.
fn takes_text(hir: &Hir) -> bool {
    b"a0.".iter().all(|byte| takes(hir, *byte))
}

/// Whether what is repeated takes `byte`.
fn takes(hir: &Hir, byte: u8) -> bool {
    match hir.kind() {
        HirKind::Class(class) => has(class, byte),
        HirKind::Capture(capture) => takes(&capture.sub, byte),
        HirKind::Alternation(inner) => inner.iter().any(|hir| takes(hir, byte)),
        HirKind::Empty | HirKind::Literal(_) | HirKind::Look(_) | HirKind::Repetition(_) | HirKind::Concat(_) => false,
    }
}

fn has(class: &Class, byte: u8) -> bool {
    match class {
        Class::Bytes(class) => class.ranges().iter().any(|range| (range.start()..=range.end()).contains(&byte)),
        Class::Unicode(class) => {
            class.ranges().iter().any(|range| (range.start()..=range.end()).contains(&char::from(byte)))
        }
    }
}

/// A line of which the parts are: each by its shortest match, the address as given, and in the place given that text.
fn text(parts: &[Part<'_>], addr: &str, forged: Option<(usize, &[u8])>) -> Vec<u8> {
    let mut line = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        match part {
            Part::Addr => line.extend_from_slice(addr.as_bytes()),
            Part::Free(_) => match forged {
                Some((place, forgery)) if place == at => line.extend_from_slice(forgery),
                Some(_) | None => line.push(b'x'),
            },
            Part::Fixed(hir) => shortest(hir, &mut line),
        }
    }
    line
}

fn shortest(hir: &Hir, line: &mut Vec<u8>) {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => line.extend_from_slice(&literal.0),
        HirKind::Class(class) => {
            let typical = b"x1 ".iter().copied().find(|byte| has(class, *byte));
            line.extend(typical.or_else(|| (0..=u8::MAX).find(|byte| has(class, *byte))));
        }
        HirKind::Repetition(repetition) => (0..repetition.min).for_each(|_| shortest(&repetition.sub, line)),
        HirKind::Capture(capture) => shortest(&capture.sub, line),
        HirKind::Concat(inner) => inner.iter().for_each(|hir| shortest(hir, line)),
        HirKind::Alternation(inner) => inner.iter().take(1).for_each(|hir| shortest(hir, line)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attack_on(expression: &str) -> Option<String> {
        let (regex, _) = template::compile("x", expression).unwrap();
        let addr = regex.capture_names().position(|name| name == Some("addr")).unwrap();
        super::attack_on("x", &regex, addr).map(|attack| attack.message)
    }

    #[test]
    fn free_text_in_front_of_the_address_that_is_not_told_apart_is_shown_with_the_line() {
        for expression in [
            ".*rip=<ADDR>.*",
            "user=<USER>, ip=<ADDR>.*",
            ".*(?:auth failed).*rip=<ADDR>,.*",
            "Failed password for .*? from <ADDR> .*",
            "[^ ]*: SASL [A-Z]+ failed: .*: unknown\\[<ADDR>\\].*",
        ] {
            let message = attack_on(expression).unwrap_or_else(|| panic!("{expression}"));
            assert!(message.contains(Attack::VICTIM) && message.contains(Attack::PEER), "{message}");
        }
    }

    #[test]
    fn what_is_told_apart_is_not() {
        for expression in [
            "warning: [^\\[ ]+\\[<ADDR>\\]: SASL [A-Z]+ authentication failed: .*",
            "Failed password for <USER> from <ADDR> port [0-9]+ ssh2",
            "login from <ADDR>",
            "<ADDR> said .*",
        ] {
            assert_eq!(attack_on(expression), None, "{expression}");
        }
    }
}
