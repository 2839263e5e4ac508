//! Objects for scripts, a line for each, in ASCII: what an attacker wrote moves no terminal either.

use std::borrow::Cow;
use std::io;
use std::net::IpAddr;

use anyhow::{Context, Result};
use blocker_core::attempts::Attempts;
use blocker_core::prefix::Prefix;
use blocker_core::time::Until;
use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;

use super::clock::{show, show_end};
use super::judge::{Outcome, Told};
use super::replay::Banned;

/// One line of a log. `file` only where there are several.
#[derive(Debug, Serialize)]
struct LineObject<'a> {
    line: u64,
    outcome: &'static str,
    #[serde(flatten)]
    failure: Option<FailureFields<'a>>,
    time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filter: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pattern: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct FailureFields<'a> {
    addr: IpAddr,
    user: Option<Cow<'a, str>>,
    attempts: Attempts,
}

#[derive(Debug, Serialize)]
struct BanObject<'a> {
    ban: BanFields<'a>,
}

#[derive(Debug, Serialize)]
struct BanFields<'a> {
    line: u64,
    time: String,
    prefix: Prefix,
    jail: &'a str,
    until: String,
    /// Seconds; `null` for ever.
    lasts_s: Option<u64>,
    attempts: Attempts,
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
}

/// Puts what `told` tells of the line numbered `line` into `out`.
pub(super) fn put_line(out: &mut Vec<u8>, file: Option<&str>, line: u64, told: &Told<'_>) -> Result<()> {
    let time = told.time.map(show);
    let object = match &told.outcome {
        Outcome::Failure { jail, addr, user, attempts, pattern } => LineObject {
            line,
            outcome: "failure",
            failure: Some(FailureFields {
                addr: *addr,
                user: user.as_deref().map(String::from_utf8_lossy),
                attempts: *attempts,
            }),
            time,
            filter: Some(jail.filter.name()),
            pattern: jail.number(pattern),
            file,
        },
        Outcome::Ignored { jail, why: _ } => LineObject {
            line,
            outcome: "ignored",
            failure: None,
            time,
            filter: Some(jail.filter.name()),
            pattern: None,
            file,
        },
        Outcome::Helper { jail, pattern } => LineObject {
            line,
            outcome: "helper",
            failure: None,
            time,
            filter: Some(jail.filter.name()),
            pattern: jail.number(pattern),
            file,
        },
        Outcome::NoMatch => {
            LineObject { line, outcome: "no-match", failure: None, time, filter: None, pattern: None, file }
        }
    };
    put(out, &object)
}

/// The same of a ban that the line earned.
pub(super) fn put_ban(out: &mut Vec<u8>, file: Option<&str>, line: u64, ban: &Banned) -> Result<()> {
    let Banned { prefix, jail, started, until, attempts, pattern, number: _ } = ban;
    let lasts_s = match until {
        Until::At(end) => Some(end.saturating_since(*started).as_secs()),
        Until::Forever => None,
    };
    let ban = BanFields {
        line,
        time: show(*started),
        prefix: *prefix,
        jail,
        until: show_end(*until),
        lasts_s,
        attempts: *attempts,
        reason: pattern.as_deref(),
        file,
    };
    put(out, &BanObject { ban })
}

/// Puts `value` into `out` as a line.
pub(in crate::cli) fn put(out: &mut Vec<u8>, value: &impl Serialize) -> Result<()> {
    value.serialize(&mut Serializer::with_formatter(&mut *out, Ascii)).context("writing JSON")?;
    out.push(b'\n');
    Ok(())
}

/// Compact JSON in which every character beyond printable ASCII is written by its number.
#[derive(Debug)]
struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let is_plain = |byte: u8| (b' '..=b'~').contains(&byte);
        if fragment.bytes().all(is_plain) {
            return writer.write_all(fragment.as_bytes());
        }
        for character in fragment.chars() {
            let mut units = [0; 2];
            match u8::try_from(character) {
                Ok(byte) if is_plain(byte) => writer.write_all(&[byte])?,
                Ok(_) | Err(_) => {
                    for unit in character.encode_utf16(&mut units) {
                        write!(writer, "\\u{unit:04x}")?;
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_ascii_and_means_the_same() {
        let text = "a\u{1b}[31m\u{9b}\u{7f}\u{202e}ü𝄞\"\\\n";
        let mut out = Vec::new();
        put(&mut out, &text).unwrap();

        assert!(out.strip_suffix(b"\n").unwrap().iter().all(|byte| (b' '..=b'~').contains(byte)));
        assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
    }
}
