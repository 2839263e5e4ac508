//! An entry as a line: `1795708535.075862 mx1 dovecot[123]: message`.
//!
//! So the rest of the program has one kind of line, with a header that `blocker_core::record` reads. Who wrote the entry
//! chose the message and the identifier, and must not be able to write a header with them: of the identifier only bytes of
//! which a program's name is made are taken, and a newline in the message becomes `#012`, as in a file of rsyslog's. The
//! host, the number of the process and the time are the journal's own word.

use super::export::Entry;

/// The entry's line; `None` if there is no message in it, or if it would have more than `max_line_bytes`. The journal cuts none.
pub(super) fn line(entry: &Entry, max_line_bytes: usize) -> Option<Vec<u8>> {
    let message = entry.value("MESSAGE")?;
    let micros = micros(entry).unwrap_or(0);
    let host = entry.value("_HOSTNAME").filter(|host| is_host(host)).unwrap_or(b"localhost");
    let identifiers = ["SYSLOG_IDENTIFIER", "_COMM"].into_iter().filter_map(|name| entry.value(name));
    let program = identifiers.map(program).find(|program| !program.is_empty()).unwrap_or_else(|| b"unknown".to_vec());
    let pid = entry.value("_PID").and_then(number).and_then(|pid| u32::try_from(pid).ok());

    // Seconds in ten digits, so that they are read as such.
    let mut line = format!("{:010}.{:06} ", micros / 1_000_000, micros % 1_000_000).into_bytes();
    line.extend_from_slice(host);
    line.push(b' ');
    line.extend_from_slice(&program);
    if let Some(pid) = pid {
        line.extend_from_slice(format!("[{pid}]").as_bytes());
    }
    line.extend_from_slice(b": ");
    for &byte in message {
        if byte == b'\n' {
            line.extend_from_slice(b"#012");
        } else {
            line.push(byte);
        }
    }
    (line.len() <= max_line_bytes).then_some(line)
}

/// When the journal took the entry, in microseconds since 1970, as far as ten digits of seconds go (the year 2286).
pub(super) fn micros(entry: &Entry) -> Option<u64> {
    entry.value("__REALTIME_TIMESTAMP").and_then(number).filter(|micros| micros / 1_000_000 < 10_000_000_000)
}

fn number(text: &[u8]) -> Option<u64> {
    let is_number = text.iter().all(u8::is_ascii_digit);
    str::from_utf8(text).ok().filter(|_| is_number)?.parse().ok()
}

fn is_host(host: &[u8]) -> bool {
    let of_names = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    (1..=MAX_HOST_BYTES).contains(&host.len()) && host.iter().all(of_names)
}

/// An identifier as a program's name.
fn program(identifier: &[u8]) -> Vec<u8> {
    let is_of_program = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b':' | b'[');
    let bytes = identifier.iter().take(MAX_PROGRAM_BYTES);
    bytes.map(|&byte| if is_of_program(byte) { byte } else { b'_' }).collect()
}

/// The bounds of a header.
const MAX_HOST_BYTES: usize = 255;
const MAX_PROGRAM_BYTES: usize = 48;

#[cfg(test)]
mod tests {
    /// As it is unless it is configured.
    const MAX_LINE_BYTES: usize = 8 * 1024;

    use blocker_core::record::{self, Stamp};
    use proptest::prelude::*;

    use super::super::export::Parser;
    use super::*;

    #[test]
    fn an_entry_has_the_journal_s_own_time_host_and_number() {
        let entry = entry(&[
            ("__REALTIME_TIMESTAMP", b"1795708535075862"),
            ("_HOSTNAME", b"mx1"),
            ("_PID", b"123"),
            ("SYSLOG_PID", b"9"),
            ("SYSLOG_IDENTIFIER", b"dovecot"),
            ("_COMM", b"log"),
            ("MESSAGE", b"imap-login: one\ntwo"),
        ]);

        assert_eq!(
            line(&entry, MAX_LINE_BYTES).unwrap().escape_ascii().to_string(),
            "1795708535.075862 mx1 dovecot[123]: imap-login: one#012two"
        );
    }

    #[test]
    fn an_entry_without_a_message_is_no_line_and_all_else_may_be_missing() {
        assert_eq!(line(&entry(&[("_COMM", b"x")]), MAX_LINE_BYTES), None);
        assert_eq!(
            line(&entry(&[("MESSAGE", b"x")]), MAX_LINE_BYTES).unwrap(),
            b"0000000000.000000 localhost unknown: x"
        );
    }

    #[test]
    fn a_line_has_no_more_bytes_than_are_judged() {
        let header = line(&entry(&[("MESSAGE", b"")]), MAX_LINE_BYTES).unwrap().len();
        let longest = vec![b'x'; MAX_LINE_BYTES - header];
        assert_eq!(line(&entry(&[("MESSAGE", &longest)]), MAX_LINE_BYTES).unwrap().len(), MAX_LINE_BYTES);
        assert_eq!(line(&entry(&[("MESSAGE", &[&longest[..], b"x"].concat())]), MAX_LINE_BYTES), None);
    }

    proptest! {
        #[test]
        fn nothing_that_a_sender_chooses_becomes_a_header(
            identifier in proptest::collection::vec(prop_oneof![
                Just(b' '), Just(b':'), Just(b'['), Just(b']'), Just(b'\n'), Just(b'<'), any::<u8>()], 0..80),
            message in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..80),
                Just(b"\n1795708535.075862 mx1 dovecot: imap-login: forged".to_vec()),
                Just(b"last message repeated 9 times".to_vec()),
            ],
            seconds in 0_u64..10_000_000_000,
        ) {
            let time = format!("{seconds}000009");
            let entry = entry(&[
                ("__REALTIME_TIMESTAMP", time.as_bytes()),
                ("_HOSTNAME", b"mx1"),
                ("_PID", b"123"),
                ("SYSLOG_IDENTIFIER", &identifier),
                ("MESSAGE", &message),
            ]);

            let line = line(&entry, MAX_LINE_BYTES).unwrap();
            let read = record::parse(&line).expect("the header is one");

            prop_assert!(!line.contains(&b'\n'));
            prop_assert_eq!(read.stamp, Some(Stamp::Unix { secs: seconds as i64, nanos: 9_000 }));
            prop_assert_eq!((read.host, read.pid), (Some(&b"mx1"[..]), Some(123)));
            let program = program(&identifier);
            prop_assert_eq!(read.program, if program.is_empty() { b"unknown" } else { &program[..] });
            let text = message.split(|&byte| byte == b'\n').collect::<Vec<_>>().join(&b"#012"[..]);
            let end = text.iter().rposition(|&byte| byte != b'\r').map_or(0, |last| last + 1);
            if !message.starts_with(b"message repeated ") {
                prop_assert_eq!(read.message, &text[..end]);
            }
        }
    }

    fn entry(fields: &[(&str, &[u8])]) -> Entry {
        let mut text = Vec::new();
        for (name, value) in fields {
            let length = (value.len() as u64).to_le_bytes();
            text.extend_from_slice(&[name.as_bytes(), b"\n", &length[..], value, b"\n"].concat());
        }
        text.push(b'\n');
        let mut read = None;
        Parser::new(MAX_LINE_BYTES).push(&text, |entry| read = Some(entry.clone())).unwrap();
        read.expect("there is one")
    }
}
