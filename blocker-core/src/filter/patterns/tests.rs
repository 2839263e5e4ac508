//! What a filter of patterns makes of messages.

use super::*;
use crate::record::{self, Record};

fn filter(text: &str) -> Patterns {
    let head = "name = 'x'\ndescription = 'x'\nprogram = ['postfix*/smtpd']\n";
    Patterns::compile(toml::from_str(&format!("{head}{text}")).unwrap(), None).unwrap()
}

fn record(line: &str) -> Record<'_> {
    record::parse(line.as_bytes()).unwrap()
}

const SASL: &str = r"
    [[pattern]]
    name = 'SASL'
    match = 'warning: [^\[ ]+\[<ADDR>\]: SASL [A-Z]+ authentication failed: .*sasl_username=<USER>'
    weight = 0.5
    service = 'smtp'
    [[ignore]]
    name = 'trouble'
    match = '.*temporary.*'
";

fn smtpd(message: &str) -> String {
    format!("Nov 23 01:06:25 mx1 postfix/smtpd[1]: {message}")
}

#[test]
fn a_failure_has_what_the_groups_and_the_file_say() {
    let filter = filter(SASL);
    let line = smtpd("warning: unknown[::ffff:192.0.2.9]: SASL LOGIN authentication failed: x, sasl_username=bob");

    let Judgement::Failure(failure) = filter.judge(&record(&line)) else { panic!("a failure") };

    assert_eq!(failure.addr, "192.0.2.9".parse::<IpAddr>().unwrap());
    assert_eq!(failure.user, Some(&b"bob"[..]));
    assert_eq!((failure.attempts, &*failure.service, &*failure.pattern), (Attempts::tenths(5), "smtp", "SASL"));
}

#[test]
fn what_is_ignored_goes_before_what_fails_and_other_programs_say_nothing() {
    let filter = filter(SASL);
    let trouble = smtpd("warning: unknown[192.0.2.9]: SASL LOGIN authentication failed: temporary, sasl_username=bob");
    let other = trouble.replace("postfix/smtpd", "sshd");

    assert_eq!(filter.judge(&record(&trouble)), Judgement::Ignored("trouble".into()));
    assert_eq!(filter.judge(&record(&other)), Judgement::NoMatch);
}

#[test]
fn a_group_called_attempts_multiplies_the_weight_and_both_have_bounds() {
    let filter = filter(
        "[[pattern]]\nname = 'x'\nmatch = '(?P<attempts>[0-9]*) tries in (?P<span>[0-9]*)s from <ADDR>'\nweight = 0.3",
    );
    let judged = |message: &str| {
        let line = smtpd(message);
        match filter.judge(&record(&line)) {
            Judgement::Failure(failure) => Some((failure.attempts.as_tenths(), failure.span.as_secs())),
            Judgement::Success(_) | Judgement::Ignored(_) | Judgement::Helper(_) | Judgement::NoMatch => None,
        }
    };

    assert_eq!(judged("4 tries in 7s from 192.0.2.9"), Some((12, 7)));
    assert_eq!(judged(" tries in s from 192.0.2.9"), Some((3, 0)));
    assert_eq!(judged("99999999999999999999999 tries in 4294967296s from 192.0.2.9"), Some((3_000, 600)));
    assert_eq!(judged("0 tries in 7s from 192.0.2.9"), None);
}

#[test]
fn an_address_is_read_strictly() {
    let filter = filter("[[pattern]]\nname = 'x'\nmatch = 'from <ADDR>'");
    for value in ["192.0.2", "192.0.2.09", "1", "abc", "1.2.3.4.5", ":::"] {
        let line = smtpd(&format!("from {value}"));
        assert!(matches!(filter.judge(&record(&line)), Judgement::Ignored(_)), "{value}");
    }
}

#[test]
fn a_line_that_names_no_program_is_of_the_empty_one_and_has_its_message_behind_the_time() {
    let text = "name = 'x'\ndescription = ''\nprogram = ['']\n[[pattern]]\nname = 'x'\nmatch = 'refused <ADDR>'";
    let filter = Patterns::compile(toml::from_str(text).unwrap(), None).unwrap();
    let is_failure = |line: &str| matches!(filter.judge(&record(line)), Judgement::Failure(_));

    assert!(is_failure("2026-11-23 01:00:00 refused 192.0.2.9"));
    assert!(is_failure("2026-11-23 01:00:00 [77] refused 192.0.2.9"));
    assert!(!is_failure("2026-11-23 01:00:00 mx1 shop: refused 192.0.2.9"));
    assert!(!is_failure("192.0.2.1 - x [23/Nov/2026:01:00:00 +0000] refused 192.0.2.9"), "something stands in front");
}

#[test]
fn what_stands_in_front_of_the_time_has_an_expression_of_its_own() {
    let pattern = |front: &str, message: &str| {
        let text = format!(
            "name = 'x'\ndescription = ''\nprogram = ['']\n[[pattern]]\nname = 'x'\nfront = '{front}'\nmatch = '{message}'"
        );
        Patterns::compile(toml::from_str(&text).unwrap(), None)
    };
    let filter = pattern("<ADDR> - <USER> ", "\"[^\"]*\" 401 (?P<attempts>[0-9]+)").unwrap();
    let line = "192.0.2.9 - bob smith [23/Nov/2026:01:00:00 +0000] \"GET / HTTP/1.1\" 401 3";

    let Judgement::Failure(failure) = filter.judge(&record(line)) else { panic!("a failure") };

    assert_eq!((failure.addr, failure.user), ("192.0.2.9".parse().unwrap(), Some(&b"bob smith"[..])));
    assert_eq!(failure.attempts, Attempts::whole(3));
    assert_eq!(filter.judge(&record("2026-11-23 01:00:00 \"x\" 401 3")), Judgement::NoMatch);
    assert_eq!(filter.attacks(), []);
    assert_eq!(pattern(".* <ADDR> .*", "x").unwrap().attacks().len(), 1, "the lint looks there too");
    let error = |front: &str, message: &str| pattern(front, message).map(|_| ()).unwrap_err().to_string();
    assert!(error("<ADDR>(", "x").starts_with("pattern `x`, `front` at character 7: unclosed group"));
    assert_eq!(
        error("<ADDR>", "<ADDR>"),
        "pattern `x`: `match` and `front` both have a group called `addr`: one of them is enough"
    );
}

#[test]
fn a_file_that_is_none_says_what_is_wrong_and_where() {
    let head = "name = 'x'\ndescription = 'x'\nprogram = []\n";
    for (text, said) in [
        ("[[pattern]]\nname = 'x'\nmatch = 'no address'", "there is no <ADDR> in it"),
        ("[[pattern]]\nname = 'x'\nmatch = '<ADDR'", "there is no <ADDR> in it"),
        ("[[pattern]]\nname = 'x'\nmatch = '<ADDR>'\nweight = 0", "must be 0.1 to 100"),
        ("[[pattern]]\nname = 'x'\nmatch = '<ADDR>'\nwieght = 1", "unknown field `wieght`"),
    ] {
        let error = match toml::from_str::<Definition>(&format!("{head}{text}")) {
            Ok(definition) => Patterns::compile(definition, None).map(|_| ()).unwrap_err().to_string(),
            Err(error) => error.to_string(),
        };
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn an_extension_adds_patterns_and_may_ignore_what_the_other_finds() {
    let text = "name = 'x'\ndescription = ''\nextends = true\nprogram = ['dovecot']
        [[pattern]]\nname = 'own'\nmatch = 'own: <ADDR>'
        [[ignore]]\nname = 'monitoring'\nmatch = '.*user=<monitor>.*'";
    let filter = Patterns::compile(toml::from_str(text).unwrap(), Some(Filter::Dovecot)).unwrap();
    let judged = |message: &str| {
        let line = format!("Nov 23 01:06:25 mx1 dovecot: {message}");
        match filter.judge(&record(&line)) {
            Judgement::Failure(failure) => failure.pattern.to_string(),
            Judgement::Ignored(why) => why.to_string(),
            Judgement::Success(_) | Judgement::Helper(_) | Judgement::NoMatch => String::new(),
        }
    };
    let failed = |user: &str| {
        format!(
            "imap-login: Disconnected (auth failed, 1 attempts in 2 secs): user=<{user}>, method=PLAIN, rip=192.0.2.9"
        )
    };

    assert_eq!(judged(&failed("bob")), "auth failed");
    assert_eq!(judged(&failed("monitor")), "monitoring");
    assert_eq!(judged("own: 192.0.2.9"), "own");
    assert_eq!(judged("nothing"), "");
}
