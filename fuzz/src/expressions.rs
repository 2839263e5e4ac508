//! Expressions in fail2ban's language: whatever stands in one, and in the lines, nothing panics and the user named stands in
//! the line.

use blocker_core::engine::{JailId, LogId};
use blocker_core::filter::Judgement;
use blocker_core::filter::fail2ban::{Definition, Fail2ban, Memory, Owner};
use blocker_core::record::{self, Record};
use blocker_core::time::Timestamp;

/// Takes the first line for an expression, the second for a `datepattern`, and has the filter judge the others.
///
/// # Panics
///
/// If a failure weighs nothing, or names a user who is not in its line.
pub fn check(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let mut text = || lines.next().map(|line| String::from_utf8_lossy(line).into_owned()).unwrap_or_default();
    let (expression, datepattern) = (text(), text());
    let definition = Definition {
        name: "fuzz".to_owned(),
        failregex: vec![expression],
        maxlines: 1 + u32::from(datepattern.len() % 2 == 1),
        datepattern: Some(datepattern).filter(|pattern| !pattern.is_empty()),
        ..Definition::default()
    };
    let Ok(filter) = Fail2ban::compile(definition) else { return };
    let (owner, mut memory) = (Owner::new(JailId::MIN, LogId::new(0)), Memory::default());
    for line in lines {
        let record = record::parse(line).unwrap_or_else(|_| Record::bare(line));
        let Judgement::Failure(failure) = filter.judge(&record, owner, Timestamp::from_secs(0), &mut memory) else {
            continue;
        };
        assert!(!failure.attempts.is_zero(), "a failure of no weight: {}", line.escape_ascii());
        let user = failure.user.unwrap_or_default();
        let is_inside = user.is_empty() || line.windows(user.len()).any(|part| part == user);
        assert!(is_inside, "the user {} is not in {}", user.escape_ascii(), line.escape_ascii());
    }
}

/// Expressions with what is special in them, and lines for them.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let seeds = [
        "^ mx1 sshd\\[<F-MLFID>\\d+</F-MLFID>\\]: <F-NOFAIL>x</F-NOFAIL> for <F-USER>.*</F-USER> from <HOST>$\n\nNov 23 01:06:25 mx1 sshd[7]: x for bob from 192.0.2.9",
        "^(?P<a>x)?(?(a)y|(?!z)\\w+) (?P<host>\\S+)(?P=a)?\n{^LN-BEG}\n2026-11-23 01:06:25 xy 192.0.2.9",
        "[[a-f]&&\\d]{,2}\\<x\\>\\101 <ADDR>\n^(?:[^\\[]*)\\[({DATE})\nx [23/Nov/2026:01:06:25 +0000] 1<x>A 192.0.2.9",
        "^a <HOST><SKIPLINES>^b$\n%d.%m.%Y %H:%M:%S\n23.11.2026 01:06:25 a 192.0.2.9\n23.11.2026 01:06:26 b",
    ];
    seeds.map(Vec::from).into()
}
