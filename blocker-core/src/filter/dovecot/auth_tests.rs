//! Single tries, as the authentication processes tell them. Plain lines are in `dovecot.toml`.

use super::*;
use crate::attempts::Attempts;
use crate::record;

fn judged(line: &str) -> Judgement<'_> {
    record::parse(line.as_bytes()).map_or(Judgement::NoMatch, |record| judge(&record))
}

fn failure(line: &str) -> Option<(String, Option<String>, Attempts, Option<String>)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match judged(line) {
        Judgement::Failure(Failure { addr, user, attempts, forgivable, session, .. }) => {
            assert_eq!(forgivable, if user.is_some() { attempts } else { Attempts::ZERO }, "{line}");
            assert!(session.is_none_or(|session| session.teller == Teller::Auth), "{line}");
            Some((addr.to_string(), user.map(text), attempts, session.map(|session| text(session.id))))
        }
        Judgement::Success(_) | Judgement::Ignored(_) | Judgement::Helper(_) | Judgement::NoMatch => None,
    }
}

#[test]
fn every_wording_of_a_refusal_is_one() {
    for text in auth::refusals() {
        for line in [
            format!("Nov 23 01:16:05 mx1 dovecot: auth: sql(bob,192.0.2.9,<abc>): {text}"),
            format!("Nov 23 01:16:05 auth: Info: sql(bob,192.0.2.9,<abc>): {text}"),
            format!("Nov 23 01:16:05 auth-worker(77): Info: sql(bob,192.0.2.9,<abc>): {text}"),
            format!("Nov 23 01:16:05 mx1 dovecot: auth(bob,192.0.2.9,sasl:plain)<abc>: Info: sql: {text}"),
            format!(
                "Nov 23 01:16:05 mx1 dovecot: auth-worker(bob,192.0.2.9,sasl:scram-sha-256)<7><abc>: request [77]: sql: {text}"
            ),
            format!("Nov 23 01:16:05 mx1 mail: auth: sql(bob,192.0.2.9,<abc>): {text} (given password: x y)"),
            format!("Nov 23 01:16:05 mx1 mail: auth: sql(bob,192.0.2.9,<abc>): {text} (SHA1 of given password: 0a1b)"),
        ] {
            let expected = ("192.0.2.9".into(), Some("bob".into()), Attempts::whole(1), Some("abc".into()));
            assert_eq!(failure(&line), Some(expected), "{line}");
        }
        let line =
            format!("Nov 23 01:16:05 mx1 dovecot: auth: sql(bob,192.0.2.9,<abc>): {text} - trying the next passdb");
        assert!(matches!(judged(&line), Judgement::Ignored(_)), "{line}");
        for line in [
            format!("Nov 23 01:16:05 mx1 dovecot: auth: sql(bob,192.0.2.9,<abc>): {text} and more"),
            format!("Nov 23 01:16:05 mx1 dovecot: auth: sql(b)ob,192.0.2.9,<abc>): {text}"),
            format!("Nov 23 01:16:05 mx1 dovecot: auth: sql(bob,192.0.2.9,<abc>): {text} (given password: x"),
            format!("Nov 23 01:16:05 mx1 dovecot: auth: sql(bob): {text}"),
            format!("Nov 23 01:16:05 mx1 dovecot: auth: Error: sql(bob,192.0.2.9,<abc>): {text}"),
            format!("Nov 23 01:16:05 mx1 dovecot: auth: SQL(bob,192.0.2.9,<abc>): {text}"),
            format!("Nov 23 01:16:05 mx1 dovecot: imap(bob): sql(bob,192.0.2.9,<abc>): {text}"),
        ] {
            assert_eq!(judged(&line), Judgement::NoMatch, "{line}");
        }
    }
}

#[test]
fn the_session_is_a_witness_of_single_tries_too() {
    let line = |peer: &str| {
        let session = session::of("192.0.2.9".parse().unwrap());
        format!("Nov 23 01:16:05 mx1 dovecot: auth: passwd-file(bob,{peer},<{session}>): Password mismatch")
    };

    assert!(failure(&line("192.0.2.9")).is_some());
    assert_eq!(judged(&line("192.0.2.10")), Judgement::Ignored("the session was another address's".into()));
}

#[test]
fn a_try_without_a_name_is_nobodys() {
    for user in ["", "?"] {
        let line = format!(
            "Nov 23 01:16:05 mx1 dovecot: auth: login({user},192.0.2.9,<abc>): Invalid base64 data in initial response"
        );
        assert_eq!(failure(&line), Some(("192.0.2.9".into(), None, Attempts::tenths(3), Some("abc".into()))), "{line}");
    }
}

#[test]
fn a_name_that_says_it_is_not_allowed_names_nobody_else() {
    let begin = "Nov 23 01:16:05 mx1 dovecot: auth: passwd-file(?,203.0.113.6): Username character disallowed by auth_username_chars: ";
    for line in
        [format!("{begin},192.0.2.9,<abc>): unknown user"), format!("{begin}0x3e,192.0.2.9,<abc>): unknown user")]
    {
        assert_eq!(judged(&line), Judgement::NoMatch, "{line}");
    }
}

#[test]
fn a_needle_is_in_every_line_of_which_something_is_said() {
    for example in crate::filter::Filter::Dovecot.examples().map_err(|error| error.to_string()).unwrap().examples {
        let is_known = judged(&example.line) != Judgement::NoMatch;
        let has_needle = NEEDLES.iter().any(|needle| memchr::memmem::find(example.line.as_bytes(), needle).is_some());
        assert!(!is_known || has_needle, "{}", example.line);
    }
}
