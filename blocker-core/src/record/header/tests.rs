//! Header forms, one by one; the forms of stamps are in `stamp`.

use proptest::prelude::*;

use super::*;

/// Host, program, pid and message, as text.
type Parts<'a> = (Option<&'a str>, &'a str, Option<u32>, &'a str);

fn parts(line: &str) -> Result<Parts<'_>, Malformed> {
    let text = |bytes| str::from_utf8(bytes).unwrap();
    parse(line.as_bytes()).map(|record| {
        let Record { line: _, stamp: _, front: _, body: _, host, program, pid, message, repeats: _ } = record;
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
fn sogo_sets_its_number_apart() {
    assert_eq!(parts("Nov 23 01:00:00 sogod [123]: x"), Ok((None, "sogod", Some(123), "x")));
    for line in ["Nov 23 01:00:00 sogod [123] x", "Nov 23 01:00:00 sogod [x]: y", "Nov 23 01:00:00 auth(x [123]: y"] {
        assert!(parts(line).is_err(), "{line}");
    }
    assert_eq!(parts("2026-11-23 01:00:00 a [123]: x"), Ok((None, "", None, "a [123]: x")), "a file without programs");
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
fn a_service_that_does_not_name_itself_has_all_behind_the_stamp() {
    for (line, pid, message) in [
        (
            "2026-11-23 01:00:00 login authenticator failed for (x) [192.0.2.9]",
            None,
            "login authenticator failed for (x) [192.0.2.9]",
        ),
        (
            "2026-11-23 01:00:00 +0100 [77] SMTP connection from [192.0.2.9]",
            Some(77),
            "SMTP connection from [192.0.2.9]",
        ),
        ("2026-11-23 01:00:00.123 [77] SMTP connection lost", Some(77), "SMTP connection lost"),
        ("2013-11-16 21:59:30,121 fail2ban.actions [7]: NOTICE x", None, "fail2ban.actions [7]: NOTICE x"),
        ("[Sat Jun 01 02:17:42 2013] [error] [client 192.0.2.9] x", None, "[error] [client 192.0.2.9] x"),
        ("[17/Jun/2011 17:00:45] IP address 192.0.2.9 x", None, "IP address 192.0.2.9 x"),
        ("[20220407-12:11:06] [INFO ] x", None, "[INFO ] x"),
        ("[2012-02-13 17:21:54] NOTICE[1638] chan_sip.c: x", None, "NOTICE[1638] chan_sip.c: x"),
        ("1373330716.415   1234 192.0.2.9 TCP_DENIED/403 x", None, "  1234 192.0.2.9 TCP_DENIED/403 x"),
        ("130324  0:04:00 [Warning] x", None, "[Warning] x"),
        ("2014:07:02-00:17:45: '192.0.2.9' x", None, "'192.0.2.9' x"),
        ("L 01/01/2014 - 01:25:17: rcon from 192.0.2.9 x", None, "rcon from 192.0.2.9 x"),
        ("<W>2015-11-29 16:38:01.818 <W>1 => x", None, "<W>1 => x"),
        ("<co ts=\"2015-11-29T16:38:01.818\" pi=\"x\">", None, "pi=\"x\">"),
        ("t=2014-01-13T05:02:22+0000 lvl=info x", None, "lvl=info x"),
        ("type=USER_LOGIN msg=audit(1373330717.000:4068): user pid=12 x", None, "user pid=12 x"),
        ("@400000004c91b044077a9e94 {x}", None, "{x}"),
        ("12:57:32.907 [http-bio-0.0.0.0] x", None, "[http-bio-0.0.0.0] x"),
    ] {
        assert_eq!(parts(line), Ok((None, "", pid, message)), "{line}");
        assert!(parse(line.as_bytes()).unwrap().stamp.is_some(), "{line}");
    }
}

#[test]
fn an_access_log_has_its_stamp_behind_the_client() {
    let line = b"192.0.2.9 - bob smith [05/Mar/2007:14:39:21 +0100] \"GET / HTTP/1.1\" 401 x";
    let record = parse(line).unwrap();

    assert_eq!(record.front, b"192.0.2.9 - bob smith ");
    assert_eq!(record.body, b"\"GET / HTTP/1.1\" 401 x");
    assert!(record.stamp.is_some());
}

#[test]
fn a_log_without_stamps_is_read() {
    for (line, host) in [
        ("mx1 dovecot[7]: imap-login: x", Some("mx1")),
        ("dovecot[7]: imap-login: x", None),
        ("<22>dovecot[7]: imap-login: x", None),
    ] {
        assert_eq!(parts(line), Ok((host, "dovecot", Some(7), "imap-login: x")), "{line}");
        assert_eq!(parse(line.as_bytes()).unwrap().stamp, None, "{line}");
    }
    assert_eq!(parts("imap-login: Info: x"), Ok((None, "imap-login", None, "Info: x")));
}

#[test]
fn a_time_in_a_message_hides_no_program() {
    for line in [
        "mx1 dovecot: user=<x [05/Mar/2007:14:39:21 +0100] y>",
        "dovecot: user=<x [05/Mar/2007:14:39:21 +0100] y>",
        "Nov 23 01:06:25 mx1 dovecot: user=<x [05/Mar/2007:14:39:21 +0100] y>",
        "2026-11-23 01:06:25 mx1 dovecot: user=<x [05/Mar/2007:14:39:21 +0100] y>",
        "<22>1 2026-11-23T01:13:28Z mx1 dovecot - - - user=<x [05/Mar/2007:14:39:21 +0100] y>",
    ] {
        let record = parse(line.as_bytes()).unwrap();
        assert_eq!((record.program, record.front), (&b"dovecot"[..], &b""[..]), "{line}");
        assert_eq!(record.message, b"user=<x [05/Mar/2007:14:39:21 +0100] y>", "{line}");
    }
}

#[test]
fn busybox_names_the_facility_behind_the_host() {
    for (line, program, pid) in [
        ("Nov 23 01:06:25 mx1 mail.info dovecot: x", "dovecot", None),
        ("Nov 23 01:06:25 mx1 local0.err postfix/smtpd[7]: x", "postfix/smtpd", Some(7)),
    ] {
        assert_eq!(parts(line), Ok((Some("mx1"), program, pid, "x")), "{line}");
    }
    assert_eq!(parts("Nov 23 01:06:25 mx1 mail.x dovecot: x"), Err(Malformed::Program));
}

#[test]
fn a_date_that_the_service_wrote_behind_syslog_s_is_no_part_of_its_message() {
    let line = "Nov 23 01:00:00 mx1 exim[77]: 2026-11-23 01:00:00 +0100 login authenticator failed";

    assert_eq!(parts(line), Ok((Some("mx1"), "exim", Some(77), "login authenticator failed")));
}

#[test]
fn what_may_stand_in_front_of_a_header_is_skipped() {
    let line = "Nov 23 01:06:25 mx1 dovecot: x";
    for front in ["\0\0\0", "\u{feff}", "\x1b[0m", "\x1b[1;31m", "\x1b[m\0\x1b[33m"] {
        assert_eq!(parts(&format!("{front}{line}\r\n")), Ok((Some("mx1"), "dovecot", None, "x")), "{front:?}");
    }
    for front in ["\x1b", "\x1b[", "\x1b[2J", "\x1b]0;x\x07", "\r"] {
        assert_eq!(parts(&format!("{front}{line}")), Err(Malformed::Stamp), "{front:?}");
    }
}

#[test]
fn a_repeated_message_is_the_message_and_a_number() {
    let record = parse(b"Nov 23 01:06:25 mx1 dovecot: message repeated 5 times: [ imap-login: x]").unwrap();
    assert_eq!((record.message, record.repeats), (&b"imap-login: x"[..], 5));
    for line in [
        "Nov 23 01:06:25 mx1 dovecot: imap-login: message repeated 5 times: [ x]",
        "Nov 23 01:06:25 mx1 dovecot: message repeated 5 times: [ x",
    ] {
        assert_eq!(parse(line.as_bytes()).unwrap().repeats, 1, "{line}");
    }
}

#[test]
fn only_the_log_daemon_says_that_the_last_message_was_repeated() {
    for (line, host) in [
        ("Nov 23 01:06:25 mx1 last message repeated 5 times", Some("mx1")),
        ("<46>Nov 23 01:06:25 mx1 last message repeated 5 times", Some("mx1")),
        ("2026-11-23T01:06:25Z mx1 last message repeated 5 times\r\n", Some("mx1")),
        ("Nov 23 01:06:25 mx1 syslog.info last message repeated 5 times", Some("mx1")),
        ("Nov 23 01:06:25 last message repeated 5 times", None),
    ] {
        let Ok(Entry::Again { stamp: Some(_), host: said, times: 5 }) = read(line.as_bytes(), &mut Learnt::default())
        else {
            panic!("{line}")
        };
        assert_eq!(said, host.map(str::as_bytes), "{line}");
    }
    for line in [
        "Nov 23 01:06:25 mx1 dovecot: last message repeated 5 times",
        "Nov 23 01:06:25 mx1 last: message repeated 5 times",
        "Nov 23 01:06:25 last: last message repeated 5 times",
    ] {
        assert!(matches!(read(line.as_bytes(), &mut Learnt::default()), Ok(Entry::Record(_))), "{line}");
    }
}

#[test]
fn a_form_is_learnt_and_learnt_again_when_it_changes() {
    let mut learnt = Learnt::default();
    for (line, form) in [
        ("rubbish", None),
        ("Nov 23 01:06:25 mx1 dovecot: x", Some(Form::MonthDay)),
        ("rubbish", Some(Form::MonthDay)),
        ("2026-11-23T01:06:25Z mx1 dovecot: x", Some(Form::Iso)),
        ("[Sat Jun 01 02:17:42 2013] [error] x", Some(Form::Weekday)),
        ("mx1 dovecot: x", None),
        ("Nov 23 01:06:25 mx1 dovecot: x", Some(Form::MonthDay)),
    ] {
        read(line.as_bytes(), &mut learnt).ok();
        assert_eq!(learnt.form(), form, "{line}");
    }
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

/// Pieces of lines, from which lines are put together that are nearly of some form.
const PIECES: [&[u8]; 44] = [
    b"Nov 23 01:06:25",
    b"Nov  3 01:06:25",
    b"2026-11-23T01:11:33.070638+00:00",
    b"2026-11-23 01:00:00",
    b"Sat Jun 01 02:17:42 2013",
    b"05/Mar/2007:14:39:21 +0100",
    b"1373330716.415",
    b"130324  0:04:00",
    b"PDT Apr 16 21:05:29",
    b"apr 16, 2013 8:32:13 AM",
    b"01/01/2014 - 01:25:17",
    b"@400000004c91b044077a9e94",
    b"12:57:32.907",
    b"last message repeated 5 times",
    b"message repeated 5 times: [ ",
    b"<22>",
    b"<22>1 ",
    b"<co ts=\"",
    b"type=X msg=audit(",
    b":12): ",
    b"t=",
    b"L ",
    b"[",
    b"]",
    b" ",
    b" ",
    b" ",
    b": ",
    b":",
    b"mx1",
    b"dovecot",
    b"dovecot: ",
    b"postfix/smtpd[7]: ",
    b"mail.info",
    b"imap-login: Login",
    b"- - - ",
    b"\0",
    b"\x1b[1m",
    b"\xff",
    b"192.0.2.9 - - [",
    b"mx1 - bob [",
    b"mx1 dovecot: user=<x [",
    b"dovecot: [",
    b" [",
];

/// A line that may be one: what may stand in front, a stamp or none, a host or none, a program, anything.
fn stamped() -> impl Strategy<Value = Vec<&'static [u8]>> {
    let one = |pieces: &'static [&'static [u8]]| prop::sample::select(pieces);
    (
        one(&[
            b"",
            b"<22>",
            b"[",
            b"t=",
            b"type=X msg=audit(",
            b"<co ts=\"",
            b"L ",
            b"mx1 - bob [",
            b"mx1 dovecot: x [",
            b"\0",
        ]),
        one(&PIECES[..13]),
        any::<bool>(),
        one(&[b" ", b"] ", b"\" ", b":12): ", b": ", b", ", b""]),
        one(&[b"", b"mx1 ", b"mx1 mail.info ", b"- "]),
        one(&[b"dovecot: ", b"postfix/smtpd[7]: ", b"last message repeated 5 times", b"[7] ", b"- - - - ", b"x "]),
        one(&PIECES),
    )
        .prop_map(|(front, stamp, has_stamp, end, host, program, text)| {
            if has_stamp { vec![front, stamp, end, host, program, text] } else { vec![front, host, program, text] }
        })
}

fn line() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(prop::sample::select(&PIECES[..]), 0..9).prop_map(|pieces| pieces.concat()),
        prop::collection::vec(prop::sample::select(&PIECES[..]), 2..6).prop_map(|pieces| pieces.join(&b" "[..])),
        (0..6_usize, stamped()).prop_map(|(place, mut pieces)| {
            // One piece somewhere else.
            let piece = pieces.remove(place % pieces.len());
            pieces.push(piece);
            pieces.concat()
        }),
        stamped().prop_map(|pieces| pieces.concat()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn what_was_learnt_never_changes_what_is_read(lines in prop::collection::vec(line(), 1..40)) {
        let mut learnt = Learnt::default();
        for line in &lines {
            prop_assert_eq!(read(line, &mut learnt), read(line, &mut Learnt::default()));
        }
    }
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
