//! Header forms, one by one; the forms of stamps are in `stamp`.

use proptest::prelude::*;

use super::*;

/// Host, program, pid and message, as text.
type Parts<'a> = (Option<&'a str>, &'a str, Option<u32>, &'a str);

fn parts(line: &str) -> Result<Parts<'_>, Malformed> {
    let text = |bytes| str::from_utf8(bytes).unwrap();
    parse(line.as_bytes()).map(|record| {
        let Record { stamp: _, front: _, body: _, host, program, pid, message, repeats: _ } = record;
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
    assert_eq!(parts("<22>1 2026-11-23T01:13:28Z - postfix/smtpd 7 - - x"), Ok((None, "postfix/smtpd", Some(7), "x")));
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
        ("imap-login Login", Malformed::Stamp),
        ("Nov 31 01:06:25 mx1 dovecot: x", Malformed::Stamp),
        ("2026-13-01T01:06:25Z dovecot: x", Malformed::Stamp),
        ("<1234>", Malformed::Stamp),
        ("<22>1 Nov 23 mx1 dovecot - - - x", Malformed::Stamp),
        ("Nov 23 01:06:25", Malformed::Host),
        ("Nov 23 01:06:25 ", Malformed::Host),
        ("Nov 23 01:06:25  mx1 dovecot: x", Malformed::Host),
        ("Nov 23 01:06:25 mx1", Malformed::Program),
        ("Nov 23 01:06:25 mx1 last message repeated 5 times", Malformed::Again),
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
