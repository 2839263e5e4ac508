//! Whole lines: the true peer or nobody, whatever a client writes. Plain lines are in `dovecot.toml`.

use std::net::IpAddr;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::attempts::Attempts;
use crate::record;

const SERVER: &str = "198.51.100.1";
const VICTIM: &str = "203.0.113.66";

fn judged(line: &[u8]) -> Judgement<'_> {
    record::parse(line).map_or(Judgement::NoMatch, |record| judge(&record))
}

/// Who was named, if anybody.
fn named(line: &str) -> Option<IpAddr> {
    match judged(line.as_bytes()) {
        Judgement::Failure(failure) => Some(failure.addr),
        Judgement::Success(success) => Some(success.addr),
        Judgement::Ignored(_) | Judgement::Helper(_) | Judgement::NoMatch => None,
    }
}

#[test]
fn a_failure_carries_all_that_the_line_tells() {
    let session = session::of("192.0.2.9".parse().unwrap());
    let line = format!(
        "Nov 23 01:06:25 mx1 dovecot: pop3-login: Disconnected: Aborted login by logging out (auth failed, 54 attempts in \
         27 secs): user=<bob>, method=PLAIN, rip=192.0.2.9, lip=198.51.100.1, TLS, session=<{session}>"
    );

    assert_eq!(
        judged(line.as_bytes()),
        Judgement::Failure(Failure {
            addr: "192.0.2.9".parse().unwrap(),
            user: Some(b"bob"),
            attempts: Attempts::whole(54),
            forgivable: Attempts::whole(1),
            span: Duration::from_secs(27),
            session: Some(Session { id: session.as_bytes(), teller: Teller::Login }),
            service: "pop3".into(),
            pattern: "auth failed".into(),
        })
    );
}

#[test]
fn a_count_of_zero_is_no_failure() {
    let line = "Nov 23 01:06:25 mx1 dovecot: imap-login: Disconnected (auth failed, 0 attempts in 1 secs): user=<>, \
                method=PLAIN, rip=192.0.2.9, lip=198.51.100.1";

    assert_eq!(judged(line.as_bytes()), Judgement::Ignored("no attempt was counted".into()));
}

#[test]
fn bytes_that_are_no_text_are_a_user_like_any_other() {
    let line = b"Nov 23 01:06:25 mx1 dovecot: imap-login: Disconnected (auth failed, 1 attempts in 1 secs): \
                 user=<\xff\0>, method=PLAIN, rip=192.0.2.9, lip=198.51.100.1";

    assert!(matches!(judged(line), Judgement::Failure(Failure { user: Some(b"\xff\0"), .. })));
}

/// What a client may try to be called: pieces of real lines, and anything else of what Dovecot lets through.
fn hostile_text() -> impl Strategy<Value = String> {
    let session = session::of(VICTIM.parse().unwrap());
    let pieces = prop::sample::select(vec![
        ">".to_owned(),
        "<".to_owned(),
        ", ".to_owned(),
        ": ".to_owned(),
        "): ".to_owned(),
        "user=<x".to_owned(),
        "method=PLAIN".to_owned(),
        ">, method=PLAIN".to_owned(),
        "lip=198.51.100.2".to_owned(),
        "TLS".to_owned(),
        " (auth failed, 99 attempts in 1 secs)".to_owned(),
        " (no auth attempts in 0 secs)".to_owned(),
        "(no_auth_attempts)".to_owned(),
        format!("rip={VICTIM}"),
        format!(", rip={VICTIM}, lip=198.51.100.2"),
        format!("session=<{session}>"),
        format!(", session=<{session}"),
        "session=<".to_owned(),
    ]);
    let any_text = "[ -~\u{a0}-\u{ff}\u{2028}\u{202e}]{0,6}";
    prop::collection::vec(prop_oneof![4 => pieces, 1 => any_text], 0..9).prop_map(|pieces| pieces.concat())
}

fn peer() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u8>().prop_map(|last| IpAddr::from([192, 0, 2, last])),
        any::<u16>().prop_map(|last| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, last])),
    ]
}

fn header() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "Nov 23 01:06:25 mx1 dovecot: imap-login: ",
        "2026-11-23T01:11:33.070638+00:00 mx1 dovecot: pop3-login: ",
        "Nov 23 01:13:57 submission-login: Info: ",
    ])
}

fn head() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "Disconnected (auth failed, 3 attempts in 8 secs)",
        "Disconnected: Connection closed (auth failed, 3 attempts in 8 secs)",
        "Login aborted: Logged out (auth failed, 3 attempts in 8 secs) (auth_failed)",
    ])
}

proptest! {
    #[test]
    fn a_user_name_changes_nothing_but_the_user(
        header in header(), head in head(), user in hostile_text(), peer in peer(), has_method: bool, has_session: bool,
    ) {
        let method = if has_method { ", method=PLAIN" } else { "" };
        let session = if has_session { format!(", TLS, session=<{}>", session::of(peer)) } else { String::new() };
        let line = format!("{header}{head}: user=<{user}>{method}, rip={peer}, lip={SERVER}{session}");

        let Judgement::Failure(failure) = judged(line.as_bytes()) else {
            return Err(TestCaseError::fail(format!("nobody was named: {line}")));
        };

        prop_assert_eq!(failure.addr, peer, "{}", line);
        prop_assert_eq!(failure.user, Some(user.as_bytes()), "{}", line);
        let attempts = if has_method { Attempts::whole(3) } else { Attempts::tenths(1) };
        prop_assert_eq!(failure.attempts, attempts, "{}", line);
    }

    #[test]
    fn a_success_stays_a_success(header in header(), user in hostile_text(), peer in peer()) {
        let line = format!("{header}Login: user=<{user}>, method=PLAIN, rip={peer}, lip={SERVER}");

        let expected = if user.is_empty() {
            Judgement::Ignored("login succeeded".into())
        } else {
            Judgement::Success(Success { addr: peer, user: user.as_bytes(), pattern: "login succeeded".into() })
        };
        prop_assert_eq!(judged(line.as_bytes()), expected, "{}", line);
    }

    #[test]
    fn text_in_any_field_names_the_peer_or_nobody(
        header in header(), head in head(), user in hostile_text(), name in hostile_text(), peer in peer(), order in 0..5,
    ) {
        let session = session::of(peer);
        let fields = match order {
            0 => format!("user=<{user}>, method=PLAIN, rip={peer}, lip={SERVER}, TLS: {name}, session=<{session}>"),
            1 => format!("user=<{user}>, rip={peer}, lip={SERVER}, local_name={name}, session=<{session}>"),
            2 => format!("user=<{user}>, local_name={name}, rip={peer}, lip={SERVER}, session=<{session}>"),
            3 => format!("rip={peer}, lip={SERVER}, user=<{user}>, local_name={name}, session=<{session}>"),
            _ => format!("local_name={name}, rip={peer}, user=<{user}>, session=<{session}>"),
        };

        let named = named(&format!("{header}{head}: {fields}"));

        prop_assert!(named.is_none_or(|named| named == peer), "{named:?} was named in {fields}");
    }

    #[test]
    fn a_head_without_a_reason_names_nobody(header in header(), user in hostile_text(), peer in peer()) {
        let line = format!("{header}Disconnected: Connection queue full: user=<{user}>, rip={peer}, lip={SERVER}");

        prop_assert_eq!(named(&line), None);
    }

    #[test]
    fn arbitrary_bytes_never_panic(message in prop::collection::vec(any::<u8>(), 0..200)) {
        judged(&message);
        judged(&[b"Nov 23 01:06:25 mx1 dovecot: imap-login: Disconnected (auth failed, 3 attempts): ", &message[..]].concat());
        judged(&[b"Nov 23 01:06:25 mx1 dovecot: imap-login: Login aborted: ", &message[..]].concat());
    }

    #[test]
    fn a_line_cut_anywhere_never_panics(user in hostile_text(), head in head(), cut in 0_usize..400) {
        let line = format!("Nov 23 01:13:57 imap-login: Info: {head}: user=<{user}>, rip=192.0.2.9, session=<y>");

        judged(&line.as_bytes()[..cut.min(line.len())]);
    }
}
