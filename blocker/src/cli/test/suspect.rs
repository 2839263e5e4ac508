//! Which of the missed lines look like failures all the same: those with a word that speaks of one, and with an address.
//!
//! No more than a hint for people. Words are those with which services tell that a login was refused; capital letters
//! do not matter. Without an address nobody could be banned for the line, so it is none that a filter misses.

use std::net::IpAddr;

use memchr::memmem::Finder;

/// Words that speak of a failure, in small letters.
const WORDS: &[&str] = &[
    "fail",
    "refused",
    "denied",
    "invalid",
    "incorrect",
    "wrong",
    "bad password",
    "reject",
    "unauthorized",
    "not authorized",
    "unknown user",
    "no such user",
    "illegal user",
    "mismatch",
    "not allowed",
];

/// Looks for them.
#[derive(Debug)]
pub(super) struct Suspect {
    words: Vec<Finder<'static>>,
    /// The line in small letters.
    lower: Vec<u8>,
}

impl Suspect {
    pub(super) fn new() -> Self {
        Self { words: WORDS.iter().map(Finder::new).collect(), lower: Vec::new() }
    }

    /// Whether `line` looks like a failure.
    pub(super) fn is(&mut self, line: &[u8]) -> bool {
        self.lower.clear();
        self.lower.extend(line.iter().map(u8::to_ascii_lowercase));
        let lower = &self.lower;
        self.words.iter().any(|word| word.find(lower).is_some()) && has_address(line)
    }
}

fn has_address(line: &[u8]) -> bool {
    let is_of_address = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':');
    line.split(|byte| !is_of_address(byte)).any(|word| {
        // What stands behind an address in a sentence, or in front of a port.
        let dots = word.iter().filter(|byte| **byte == b'.').count();
        let short = word.strip_suffix(b":").or_else(|| word.strip_suffix(b".")).unwrap_or(word);
        let before_port = (dots == 3).then(|| short.split(|byte| *byte == b':').next()).flatten();
        [Some(short), before_port].into_iter().flatten().any(|text| {
            let addr = str::from_utf8(text).ok().and_then(|text| text.parse::<IpAddr>().ok());
            addr.is_some_and(|addr| !addr.is_unspecified())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_such_a_word_and_an_address_looks_like_a_failure() {
        let mut suspect = Suspect::new();
        for (line, expected) in [
            ("mx1 shop[7]: Login FAILED for bob from 192.0.2.9", true),
            ("mx1 shop[7]: access denied (client 2001:db8::9)", true),
            ("mx1 shop[7]: invalid user bob at 192.0.2.9:4711, bye", true),
            ("mx1 shop[7]: wrong password by 192.0.2.9.", true),
            ("Nov 23 01:06:25 mx1 shop[7]: login failed for bob", false),
            ("mx1 shop[7]: connect from 192.0.2.9", false),
            ("mx1 shop[7]: failed to bind :: at 1.2.3", false),
            ("", false),
        ] {
            assert_eq!(suspect.is(line.as_bytes()), expected, "{line}");
        }
        assert!(suspect.is(b"\xff\x1b[31m failed \xfe[192.0.2.9]"));
    }
}
