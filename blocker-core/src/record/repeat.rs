//! What log daemons write instead of the same line again and again.
//!
//! ```text
//! Nov 23 01:06:25 mx1 dovecot: message repeated 5 times: [ imap-login: Disconnected …]     rsyslog
//! Nov 23 01:06:25 mx1 last message repeated 5 times                                         sysklogd, the BSDs, busybox
//! Nov 23 01:06:25 last message repeated 5 times                                             also without the host
//! ```
//!
//! Both stand for that many messages more. The first names the program, which wrote the message from its very beginning
//! on. The second has no program in front: behind one it is anybody's text, and no message of the log daemon's.

use super::words::number;

/// Most repetitions believed of one line.
pub const MAX_REPEATS: u32 = 1_000;

/// `message repeated N times: [ message]`: the number and the message.
pub(super) fn unwrap(message: &[u8]) -> Option<(u32, &[u8])> {
    let (times, rest) = number(message.strip_prefix(b"message repeated ")?, MAX_REPEATS)?;
    let inner = rest.strip_prefix(b" times: [").or_else(|| rest.strip_prefix(b" time: ["))?.strip_suffix(b"]")?;
    Some((times, inner.strip_prefix(b" ").unwrap_or(inner)))
}

/// `last message repeated N times`, and nothing else: the number.
pub(super) fn last_message(text: &[u8]) -> Option<u32> {
    let (times, rest) = number(text.strip_prefix(b"last message repeated ")?, MAX_REPEATS)?;
    matches!(rest.trim_ascii_end(), b" times" | b" time").then_some(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unwraps_what_rsyslog_repeats_and_nothing_cut_off() {
        for (text, read) in [
            ("message repeated 5 times: [ imap-login: x [y]]", Some((5, "imap-login: x [y]"))),
            ("message repeated 5 times: [x]", Some((5, "x"))),
            ("message repeated 1 time: [ x]", Some((1, "x"))),
            ("message repeated 4294967297 times: [ x]", Some((MAX_REPEATS, "x"))),
            ("message repeated 5 times: [ x", None),
            ("message repeated times: [ x]", None),
            ("message repeated -5 times: [ x]", None),
            (" message repeated 5 times: [ x]", None),
            ("x message repeated 5 times: [ x]", None),
        ] {
            let expected = read.map(|(times, text)| (times, text.as_bytes()));
            assert_eq!(unwrap(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn the_last_message_s_line_has_nothing_else() {
        for (text, times) in [
            ("last message repeated 5 times", Some(5)),
            ("last message repeated 1 time", Some(1)),
            ("last message repeated 1000000 times", Some(MAX_REPEATS)),
            ("last message repeated 5 times.", None),
            ("last message repeated 5 times x", None),
            ("last message repeated x times", None),
            ("Last message repeated 5 times", None),
        ] {
            assert_eq!(last_message(text.as_bytes()), times, "{text}");
        }
    }
}
