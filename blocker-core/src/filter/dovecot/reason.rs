//! Why a connection ended without a login, and how much that weighs.
//!
//! 2.2 and 2.3 say it in the last parenthesis of the head, in words; 2.4 says it in words and then, in a parenthesis of
//! its own, in a machine's word, which decides:
//!
//! ```text
//! Disconnected: Inactivity (auth failed, 2 attempts in 180 secs)
//! Login aborted: Inactivity (auth failed, 2 attempts in 180 secs) (auth_failed)
//! ```
//!
//! # Weights
//!
//! One is a password that was looked at and refused. What tells only of a probe, or of a client that is not set up
//! well, weighs a fraction; what is the server's own trouble weighs nothing, or an outage of the user database would
//! ban everybody.
//!
//! Dovecot remembers the last thing that went wrong: six wrong passwords and then an unknown mechanism are logged as the
//! unknown mechanism. So that nobody hides guesses this way, such an end counts as the tries before it, if a user is
//! shown (without one nothing was ever checked).
//!
//! `auth failed` without a mechanism is a cleartext login that was refused before the password was looked at. Mail
//! programs with TLS switched off do that at every poll, and POP3 counts USER and PASS separately, so it weighs a tenth
//! for the line, whatever its number.
//!
//! The wordings and their causes are in [`super::table`].

use std::time::Duration;

use memchr::memrchr;

use super::super::bytes::begins;
use super::super::{MAX_SPAN, MAX_WRITTEN};
use super::table::{Cause, Hides, Row, TABLE};
use crate::attempts::Attempts;

/// What the head of a line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reason {
    row: &'static Row,
    /// The number of refused tries, if the line has one; at most [`MAX_WRITTEN`].
    attempts: Option<u32>,
    span: Duration,
}

impl Reason {
    /// Reads it from a head that ends with a parenthesis; `None` if it is none we know.
    pub(super) fn read(head: &[u8]) -> Option<Self> {
        let (front, last) = split_group(head)?;
        let of_events = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'_';
        let is_event = last.iter().all(of_events) && last.contains(&b'_');
        if is_event {
            let row = TABLE.iter().find(|row| row.events.contains(&last))?;
            // The words in front of it only add the numbers; where they have none, there are none.
            let numbers = split_group(front).and_then(|(_, words)| read_numbers(from_comma(words)));
            let Numbers { attempts, span } = numbers.unwrap_or_default();
            return Some(Self { row, attempts, span });
        }
        let (row, numbers) = TABLE.iter().find_map(|row| {
            let words = row.words.iter().find(|words| begins(last, words))?;
            Some((row, read_numbers(&last[words.len()..])?))
        })?;
        Some(Self { row, attempts: numbers.attempts, span: numbers.span })
    }

    /// Its head, for people: `auth failed`.
    pub(super) fn name(self) -> &'static str {
        self.row.name
    }

    /// How long before the line the first try may have been, at most [`MAX_SPAN`].
    pub(super) fn span(self) -> Duration {
        self.span
    }

    /// Why it counts for nothing, if it does so whatever the fields say.
    pub(super) fn harmless(self) -> Option<&'static str> {
        match self.row.cause {
            Cause::Harmless(why) => Some(why),
            Cause::Refused | Cause::RefusedByBackend | Cause::Probe { .. } | Cause::Once { .. } => None,
        }
    }

    /// What a login of the user that the line shows forgives: the last try, if that was his. All tries before it may have been
    /// at others, or whoever has an account of his own could have every guess on a connection forgiven by a last one at that.
    pub(super) fn forgivable(self, has_method: bool, has_user: bool) -> Attempts {
        match self.row.cause {
            Cause::Refused if has_method && has_user => Attempts::whole(1),
            Cause::RefusedByBackend if has_user => Attempts::whole(1),
            Cause::Refused
            | Cause::RefusedByBackend
            | Cause::Probe { .. }
            | Cause::Once { .. }
            | Cause::Harmless(_) => Attempts::ZERO,
        }
    }

    /// What it adds to the count; zero if the line itself says that there was no try.
    pub(super) fn weigh(self, has_method: bool, has_user: bool) -> Attempts {
        let tries = self.attempts.unwrap_or(1);
        match self.row.cause {
            Cause::Refused if has_method => Attempts::whole(tries),
            Cause::Refused => Attempts::tenths(tries.min(1)),
            Cause::RefusedByBackend => Attempts::whole(tries),
            Cause::Probe { tenths, hides } => match hides {
                Hides::Nothing => Attempts::tenths(tenths).times(tries),
                Hides::AllButLast if has_user && tries > 1 => Attempts::whole(tries - 1),
                Hides::AllButLast => Attempts::tenths(tenths),
                Hides::AtLeastOne if has_user => Attempts::whole(tries.saturating_sub(1).max(1)),
                Hides::AtLeastOne => Attempts::tenths(tenths).times(tries),
            },
            Cause::Once { tenths } => Attempts::tenths(tenths),
            Cause::Harmless(_) => Attempts::ZERO,
        }
    }
}

/// Splits `front (inner)`.
fn split_group(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.strip_suffix(b")")?;
    let mut end = text.len();
    let open = loop {
        let bracket = memrchr(b'(', &text[..end])?;
        if text[..bracket].ends_with(b" ") {
            break bracket - 1;
        }
        end = bracket;
    };
    Some((&text[..open], &text[open + 2..]))
}

/// The numbers' part of the words, from the first comma on.
fn from_comma(words: &[u8]) -> &[u8] {
    &words[words.iter().position(|byte| *byte == b',').unwrap_or(words.len())..]
}

#[derive(Default)]
struct Numbers {
    attempts: Option<u32>,
    span: Duration,
}

/// `, 3 attempts in 8 secs`, `, 1/3 successful auths in 8 secs`, `, 2 successful auths`, `, waited 8 secs`, ` in 8 secs`,
/// ` attempts` or `secs` for a single one too, or nothing; `None` for anything else.
fn read_numbers(text: &[u8]) -> Option<Numbers> {
    let mut numbers = Numbers::default();
    let mut rest = text;
    if let Some(waited) = rest.strip_prefix(b", waited ") {
        let (secs, behind) = read_number(waited, MAX_SPAN.as_secs())?;
        numbers.span = Duration::from_secs(secs);
        return (behind == b" secs").then_some(numbers);
    }
    if let Some(counted) = rest.strip_prefix(b", ") {
        let (first, behind) = read_number(counted, MAX_WRITTEN)?;
        let (attempts, behind) = if let Some(behind) = behind.strip_prefix(b" attempts") {
            (Some(first), behind)
        } else if let Some(of) = behind.strip_prefix(b"/") {
            let (all, behind) = read_number(of, MAX_WRITTEN)?;
            (Some(all.saturating_sub(first)), behind.strip_prefix(b" successful auths")?)
        } else {
            (None, behind.strip_prefix(b" successful auths")?)
        };
        numbers.attempts = attempts.and_then(|attempts| u32::try_from(attempts).ok());
        rest = behind;
    }
    if let Some(lasted) = rest.strip_prefix(b" in ") {
        let (secs, behind) = read_number(lasted, MAX_SPAN.as_secs())?;
        numbers.span = Duration::from_secs(secs);
        rest = behind.strip_prefix(b" secs")?;
    }
    rest.is_empty().then_some(numbers)
}

/// A decimal number, `bound` if it is larger than that, and what follows.
fn read_number(text: &[u8], bound: u64) -> Option<(u64, &[u8])> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = text.split_at(digits);
    let value =
        number.iter().fold(0_u64, |value, digit| value.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
    (digits > 0).then_some((value.min(bound), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(head: &str) -> Option<Reason> {
        Reason::read(head.as_bytes())
    }

    /// The weight of `Disconnected (words)` in tenths, by whether a method and a user are shown.
    fn tenths(words: &str, has_method: bool, has_user: bool) -> u32 {
        reason(&format!("Disconnected ({words})")).unwrap().weigh(has_method, has_user).as_tenths()
    }

    #[test]
    fn counts_refused_passwords_one_by_one() {
        assert_eq!(tenths("auth failed, 54 attempts in 27 secs", true, true), 540);
        assert_eq!(tenths("auth failed, 54 attempts", true, true), 540);
        assert_eq!(tenths("auth failed, 0 attempts in 2 secs", true, true), 0);
        assert_eq!(tenths("auth failed, 1/3 successful auths in 2 secs", true, true), 20);
        assert_eq!(tenths("proxy dest auth failed", true, true), 10);
        assert_eq!(tenths("proxy dest authentication failure, 4 attempts in 9 secs", false, true), 40);
    }

    #[test]
    fn untested_tries_weigh_a_tenth_for_the_line() {
        assert_eq!(tenths("auth failed, 8 attempts in 2 secs", false, true), 1);
        assert_eq!(tenths("tried to use disallowed plaintext auth", true, false), 2);
    }

    #[test]
    fn guesses_cannot_hide_behind_a_probe() {
        for probe in ["tried to use unsupported auth mechanism", "sent invalid base64 in response"] {
            assert_eq!(tenths(probe, true, false), 3, "{probe}");
            assert_eq!(tenths(probe, true, true), 10, "{probe}");
            assert_eq!(tenths(&format!("{probe}, 7 attempts in 9 secs"), true, true), 60, "{probe}");
            assert_eq!(tenths(&format!("{probe}, 1 attempts in 0 secs"), true, true), 10, "{probe}");
        }
        assert_eq!(tenths("client didn't finish SASL auth, waited 3 secs", true, false), 2);
        assert_eq!(tenths("client didn't finish SASL auth, 1 attempts in 3 secs", true, true), 2);
        assert_eq!(tenths("client didn't finish SASL auth, 5 attempts in 3 secs", true, true), 40);
        assert_eq!(tenths("client didn't finish SASL auth, 5 attempts in 3 secs", true, false), 2);
        assert_eq!(tenths("auth aborted by client, 5 attempts in 3 secs", true, true), 40);
        assert_eq!(tenths("aborted authentication", true, true), 1);
    }

    #[test]
    fn hostile_numbers_are_bounded() {
        let absurd =
            reason("Disconnected (auth failed, 99999999999999999999999 attempts in 88888888888888888888 secs)")
                .unwrap();

        assert_eq!(absurd.weigh(true, true), Attempts::whole(1_000));
        assert_eq!(absurd.span(), Duration::from_secs(600));
    }

    #[test]
    fn the_machine_s_word_decides() {
        let head = "Login aborted: Connection closed (auth failed, 3 attempts in 6 secs) (temp_fail)";

        assert!(reason(head).unwrap().harmless().is_some());
        assert_eq!(
            reason("Login aborted: Inactivity (whatever it says) (auth_failed)").map(Reason::name),
            Some("auth failed")
        );
        assert_eq!(reason("Login aborted: Inactivity (auth failed, 3 attempts in 6 secs) (brand_new_word)"), None);
    }

    #[test]
    fn words_must_match_to_the_end() {
        for words in [
            "auth failed, many",
            "auth failedx",
            "auth failed, 3 attempts in 6 secs!",
            "auth failed, 3 attempts in",
            "",
            "x",
        ] {
            assert_eq!(reason(&format!("Disconnected ({words})")), None, "{words:?}");
        }
        assert_eq!(reason("Disconnected"), None);
        assert_eq!(reason(")"), None);
    }

    #[test]
    fn spans_are_read_from_both_wordings() {
        let span = |words: &str| reason(&format!("Disconnected ({words})")).unwrap().span().as_secs();

        assert_eq!(span("auth failed, 3 attempts in 27 secs"), 27);
        assert_eq!(span("client didn't finish SASL auth, waited 9 secs"), 9);
        assert_eq!(span("no auth attempts in 4 secs"), 4);
        assert_eq!(span("user disabled"), 0);
    }
}
