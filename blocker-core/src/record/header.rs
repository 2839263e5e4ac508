//! The header in front of a message: priority, stamp, host, program, pid.
//!
//! ```text
//! [<PRI>] STAMP [<PRI>] HOST PROGRAM[PID]: message     syslog files, journalctl, Postfix's own file
//! STAMP PROGRAM: message                               Dovecot's own file: the first word ends in a colon
//! <PRI>1 STAMP HOST APP PROCID MSGID SD message        RFC 5424; `-` for what is missing
//! ```
//!
//! STAMP is what [`Stamp`] reads. A host is made of the bytes of names and addresses only: were it any word, a user
//! name with a blank in the log prefix of an authentication worker (`auth(x imap-login: …`) could pose as a host with a
//! program behind it. One pass, no allocation; the message itself is not looked at.

use super::{Record, Stamp};

/// What a line lacks to be a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// No date and time in front, or one that does not exist.
    #[error("no timestamp in front")]
    Stamp,
    /// The word behind the stamp is no host name, no address and no program.
    #[error("no host behind the timestamp")]
    Host,
    /// No `program:` or `program[pid]:` behind the host.
    #[error("no program name")]
    Program,
    /// `[…]` behind the program holds no number.
    #[error("no number in the brackets behind the program name")]
    Pid,
    /// RFC 5424 structured data without an end.
    #[error("structured data without an end")]
    StructuredData,
}

/// Takes the header off `line`.
///
/// The message is all that follows, whatever its bytes, less carriage returns and line feeds at its end.
///
/// # Errors
///
/// [`Malformed`] says what was missing.
pub fn parse(line: &[u8]) -> Result<Record<'_>, Malformed> {
    let line = trim_line_end(line);
    let (priority, rest) = skip_priority(line);
    if priority && let Some(rest) = rest.strip_prefix(b"1 ") {
        return parse_rfc5424(rest);
    }
    let (stamp, rest) = Stamp::read(rest.strip_prefix(b" ").unwrap_or(rest)).ok_or(Malformed::Stamp)?;
    let rest = rest.strip_prefix(b" ").ok_or(Malformed::Host)?;
    let rest = match skip_priority(rest) {
        (true, behind) => behind.strip_prefix(b" ").ok_or(Malformed::Host)?,
        (false, rest) => rest,
    };

    let (first, behind) = split_word(rest);
    let (host, rest) = if first.ends_with(b":") {
        (None, rest)
    } else if is_host(first) {
        (Some(first), behind)
    } else {
        return Err(Malformed::Host);
    };
    let Tag { program, pid, message } = read_tag(rest)?;
    Ok(Record { stamp, host, program, pid, message })
}

/// What follows `<PRI>1 `: the fields of RFC 5424, section 6.
fn parse_rfc5424(line: &[u8]) -> Result<Record<'_>, Malformed> {
    let (stamp, rest) = Stamp::read(line).ok_or(Malformed::Stamp)?;
    let rest = rest.strip_prefix(b" ").ok_or(Malformed::Host)?;
    let (host, rest) = split_word(rest);
    let host = if is_host(host) { Some(host).filter(|host| host != b"-") } else { return Err(Malformed::Host) };
    let (program, rest) = split_word(rest);
    if program == b"-" || !is_program(program) {
        return Err(Malformed::Program);
    }
    let (process, rest) = split_word(rest);
    let (_message_id, rest) = split_word(rest);
    let rest = skip_structured_data(rest).ok_or(Malformed::StructuredData)?;
    // rsyslog puts a second blank in front of the text: it keeps the one that stood behind the tag.
    let rest = rest.trim_ascii_start();
    let message = rest.strip_prefix(b"\xef\xbb\xbf").unwrap_or(rest);
    Ok(Record { stamp, host, program, pid: read_pid(process), message })
}

fn trim_line_end(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1);
    &line[..end]
}

/// Skips `<22>`, or a priority in words, `<mail.info>` or `<2.6>`; says whether there was one.
fn skip_priority(line: &[u8]) -> (bool, &[u8]) {
    let inner = line.strip_prefix(b"<").and_then(|rest| {
        let len = rest.iter().take(MAX_PRIORITY_BYTES + 1).position(|byte| *byte == b'>')?;
        let is_priority = len > 0 && rest[..len].iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'.');
        is_priority.then(|| &rest[len + 1..])
    });
    (inner.is_some(), inner.unwrap_or(line))
}

/// `word rest`, without the blank between them; all of it is the word if there is no blank.
fn split_word(text: &[u8]) -> (&[u8], &[u8]) {
    match text.iter().position(|byte| *byte == b' ') {
        Some(blank) => (&text[..blank], &text[blank + 1..]),
        None => (text, b""),
    }
}

fn is_host(word: &[u8]) -> bool {
    let of_names = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'%');
    (1..=MAX_HOST_BYTES).contains(&word.len()) && word.iter().all(of_names)
}

fn is_program(word: &[u8]) -> bool {
    let of_programs = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b':' | b'[');
    (1..=MAX_PROGRAM_BYTES).contains(&word.len()) && word.iter().all(of_programs)
}

/// What the line's program said, and which one it was.
struct Tag<'a> {
    program: &'a [u8],
    pid: Option<u32>,
    message: &'a [u8],
}

/// `PROGRAM: message` or `PROGRAM[PID]: message`.
fn read_tag(text: &[u8]) -> Result<Tag<'_>, Malformed> {
    // One byte beyond the bound is enough to see that there is no end within it.
    let len = text.iter().take(MAX_PROGRAM_BYTES + 1).position(|byte| matches!(byte, b':' | b'[' | b' '));
    let (program, rest) = text.split_at(len.ok_or(Malformed::Program)?);
    if !is_program(program) {
        return Err(Malformed::Program);
    }
    let (pid, rest) = match rest.strip_prefix(b"[") {
        Some(inner) => {
            let len = inner.iter().take(MAX_PID_BYTES + 1).position(|byte| *byte == b']').ok_or(Malformed::Pid)?;
            (Some(read_pid(&inner[..len]).ok_or(Malformed::Pid)?), &inner[len + 1..])
        }
        None => (None, rest),
    };
    let message = rest.strip_prefix(b":").ok_or(Malformed::Program)?;
    match message.split_first() {
        None => Ok(Tag { program, pid, message }),
        Some((b' ', message)) => Ok(Tag { program, pid, message }),
        Some(_) => Err(Malformed::Program),
    }
}

fn read_pid(text: &[u8]) -> Option<u32> {
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(text).ok()?.parse().ok()
}

/// Skips `-` or `[id name="value" …][…]`; inside the quotes a backslash takes the next byte's meaning away.
fn skip_structured_data(text: &[u8]) -> Option<&[u8]> {
    let mut rest = match text.strip_prefix(b"-") {
        Some(rest) => rest,
        None if text.starts_with(b"[") => text,
        None => return None,
    };
    while let Some(inner) = rest.strip_prefix(b"[") {
        let mut quoted = false;
        let mut escaped = false;
        let end = inner.iter().position(|byte| {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                b']' => return !quoted,
                _ => {}
            }
            false
        })?;
        rest = &inner[end + 1..];
    }
    matches!(rest.first(), None | Some(b' ')).then_some(rest)
}

/// Longest priority between `<` and `>`: `authpriv.warning` has 16.
const MAX_PRIORITY_BYTES: usize = 16;
/// Longest host: 255 is the limit of RFC 5424 and of DNS.
const MAX_HOST_BYTES: usize = 255;
/// Longest program: 48 is the limit of RFC 5424's APP-NAME.
const MAX_PROGRAM_BYTES: usize = 48;
/// Longest pid: the digits of the largest `u32`.
const MAX_PID_BYTES: usize = 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Host, program, pid and message, as text.
    type Parts<'a> = (Option<&'a str>, &'a str, Option<u32>, &'a str);

    fn parts(line: &str) -> Result<Parts<'_>, Malformed> {
        let text = |bytes| str::from_utf8(bytes).unwrap();
        parse(line.as_bytes()).map(|record| {
            let Record { stamp: _, host, program, pid, message } = record;
            (host.map(text), text(program), pid, text(message))
        })
    }

    #[test]
    fn reads_every_form_of_syslog_line() {
        for line in [
            "Nov 23 01:06:25 mx1 dovecot: imap-login: Login",
            "Nov  3 01:06:25 mx1 dovecot: imap-login: Login",
            "<22>Nov 23 01:06:25 mx1 dovecot: imap-login: Login",
            "<mail.info> Nov 23 01:06:25 mx1 dovecot: imap-login: Login",
            "Nov 23 01:06:25 <2.6> mx1 dovecot: imap-login: Login",
            "2026-11-23T01:11:33.070638+00:00 mx1 dovecot: imap-login: Login",
            "2026-11-23 01:11:33 mx1 dovecot: imap-login: Login",
            "<22>1 2026-11-23T01:13:28.524430+00:00 mx1 dovecot - - - imap-login: Login",
            "<22>1 2026-11-23T01:13:28.524430+00:00 mx1 dovecot - - -  imap-login: Login",
            "<22>1 2026-11-23T01:13:28Z mx1 dovecot - - [a b=\"]\\\"]\"][c] \u{feff}imap-login: Login",
        ] {
            assert_eq!(parts(line), Ok((Some("mx1"), "dovecot", None, "imap-login: Login")), "{line}");
        }
    }

    #[test]
    fn reads_the_pid_and_a_program_with_slashes() {
        assert_eq!(
            parts("Nov 23 01:16:05 mail postfix/submission/smtpd[18205]: connect"),
            Ok((Some("mail"), "postfix/submission/smtpd", Some(18205), "connect"))
        );
        assert_eq!(
            parts("2026-11-23T01:06:25+0000 mx1 dovecot[123]: imap-login: x"),
            Ok((Some("mx1"), "dovecot", Some(123), "imap-login: x"))
        );
        assert_eq!(
            parts("<22>1 2026-11-23T01:13:28Z - postfix/smtpd 7 - - x"),
            Ok((None, "postfix/smtpd", Some(7), "x"))
        );
    }

    #[test]
    fn a_first_word_with_a_colon_is_the_program_of_a_service_s_own_file() {
        let line = "Nov 23 01:13:57 imap-login: Info: Disconnected: x";

        assert_eq!(parts(line), Ok((None, "imap-login", None, "Info: Disconnected: x")));
    }

    #[test]
    fn an_ipv6_address_is_a_host() {
        assert_eq!(parts("Nov 23 01:06:25 2001:db8::1 dovecot: x"), Ok((Some("2001:db8::1"), "dovecot", None, "x")));
    }

    #[test]
    fn a_user_name_with_a_blank_in_a_log_prefix_is_no_host() {
        let line =
            "Nov 23 01:13:57 auth(x imap-login: Login aborted: a (auth_failed): rip=203.0.113.66,192.0.2.9,plain): y";

        assert_eq!(parts(line), Err(Malformed::Host));
    }

    #[test]
    fn the_message_keeps_every_byte_but_the_line_end() {
        let record = parse(b"Nov 23 01:06:25 mx1 dovecot: a\0\xff\x1b[31m \r\n").unwrap();

        assert_eq!(record.message, b"a\0\xff\x1b[31m ");
    }

    #[test]
    fn says_what_is_missing() {
        for (line, missing) in [
            ("", Malformed::Stamp),
            ("imap-login: Login", Malformed::Stamp),
            ("<1234>", Malformed::Stamp),
            ("<22>1 - mx1 dovecot - - - x", Malformed::Stamp),
            ("Nov 23 01:06:25", Malformed::Host),
            ("Nov 23 01:06:25 ", Malformed::Host),
            ("Nov 23 01:06:25  mx1 dovecot: x", Malformed::Host),
            ("Nov 23 01:06:25 mx1", Malformed::Program),
            ("Nov 23 01:06:25 mx1 last message repeated 5 times", Malformed::Program),
            ("Nov 23 01:06:25 mx1 dovecot:x", Malformed::Program),
            ("Nov 23 01:06:25 :", Malformed::Program),
            ("Nov 23 01:06:25 mx1 sshd[x]: y", Malformed::Pid),
            ("Nov 23 01:06:25 mx1 sshd[]: y", Malformed::Pid),
            ("Nov 23 01:06:25 mx1 sshd[4294967296]: y", Malformed::Pid),
            ("<22>1 2026-11-23T01:13:28Z mx1 - - - - x", Malformed::Program),
            ("<22>1 2026-11-23T01:13:28Z mx1 dovecot - - [a b=\"]", Malformed::StructuredData),
            ("<22>1 2026-11-23T01:13:28Z mx1 dovecot", Malformed::StructuredData),
        ] {
            assert_eq!(parts(line), Err(missing), "{line:?}");
        }
    }

    #[test]
    fn a_program_has_at_most_48_bytes() {
        let line = |len| format!("Nov 23 01:06:25 mx1 {}: x", "p".repeat(len));

        assert!(parts(&line(48)).is_ok());
        assert_eq!(parts(&line(49)), Err(Malformed::Program));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            parse(&line).ok();
        }

        #[test]
        fn arbitrary_bytes_behind_a_header_are_the_message(
            message in proptest::collection::vec(any::<u8>(), 0..200).prop_filter(
                "a line end is not the message's",
                |message| !matches!(message.last(), Some(b'\r' | b'\n')),
            ),
        ) {
            let line = [b"Nov 23 01:06:25 mx1 dovecot: ", &message[..]].concat();

            prop_assert_eq!(parse(&line).map(|record| record.message), Ok(&message[..]));
        }

        #[test]
        fn fragments_of_headers_never_panic(
            fragments in proptest::collection::vec(
                prop::sample::select(vec!["<22>", "1 ", "Nov 23 01:06:25 ", "2026-11-23T01:06:25Z ", "mx1 ", "-", " ", "a[", "1]", ":", "[\"\\", "]"]),
                0..12,
            ),
        ) {
            parse(fragments.concat().as_bytes()).ok();
        }
    }
}
