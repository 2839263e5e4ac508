//! What filters in fail2ban's language make of lines. What is said to be as fail2ban does it was tried with
//! `fail2ban-regex` 1.0.2, with `--usedns=no`.

mod bounds;
mod expressions;
mod joined;
mod properties;

use std::net::IpAddr;

use super::*;
use crate::attempts::Attempts;
use crate::filter::Filter;
use crate::jail::{JailId, LogId};
use crate::record;

/// A filter of these expressions.
fn filter(failregex: &[&str]) -> Fail2ban {
    compile(Definition { failregex: failregex.iter().map(|&source| source.to_owned()).collect(), ..definition() })
        .unwrap()
}

fn definition() -> Definition {
    Definition { name: "x".to_owned(), maxlines: 1, ..Definition::default() }
}

fn compile(definition: Definition) -> Result<Fail2ban, String> {
    Fail2ban::compile(definition).map_err(|error| error.to_string())
}

/// What a line yields, in short: the address; `helper`, `ignored`, or nothing.
fn shown(judgement: &Judgement<'_>) -> String {
    match judgement {
        Judgement::Failure(failure) => failure.addr.to_string(),
        Judgement::Success(success) => format!("success of {}", success.addr),
        Judgement::Ignored(_) => "ignored".to_owned(),
        Judgement::Helper(_) => "helper".to_owned(),
        Judgement::NoMatch => String::new(),
    }
}

/// What each of the lines yields, one second after the other.
fn judge_all(filter: &Fail2ban, lines: &[&str]) -> Vec<String> {
    let mut memory = Memory::default();
    let seconds = (0..).map(Timestamp::from_secs);
    let judged = lines.iter().zip(seconds).map(|(line, at)| {
        let record = record::parse(line.as_bytes()).unwrap_or_else(|_| Record::bare(line.as_bytes()));
        shown(&filter.judge(&record, Owner::NOBODY, at, &mut memory))
    });
    judged.collect()
}

fn judge(filter: &Fail2ban, line: &str) -> String {
    judge_all(filter, &[line]).remove(0)
}

/// What is found behind the time of a line.
fn find(expression: &str, text: &str) -> String {
    judge(&filter(&[expression]), &format!("2026-11-23 01:06:25 {text}"))
}

#[test]
fn each_tag_takes_what_it_is_for() {
    for (tag, text, found) in [
        ("<HOST>", "192.0.2.9", "192.0.2.9"),
        ("<HOST>", "[192.0.2.9]", "192.0.2.9"),
        ("<HOST>", "::ffff:192.0.2.9", "192.0.2.9"),
        ("<HOST>", "2001:db8::9", "2001:db8::9"),
        ("<HOST>", "[2001:db8::9]", "2001:db8::9"),
        ("<HOST>", "::1", "::1"),
        ("<HOST>", "fe80::", "fe80::"),
        ("<HOST>", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"),
        ("<HOST>", "host.example", ""),
        ("<HOST>", "999.0.2.9", ""),
        ("<HOST>", "192.0.2.09", ""),
        ("<HOST>", "192.0.2", ""),
        ("<HOST>", "1:2:3", ""),
        ("<ADDR>", "192.0.2.9", "192.0.2.9"),
        ("<ADDR>", "[2001:db8::9]", "2001:db8::9"),
        ("<ADDR>", "host.example", ""),
        ("<IP4>", "192.0.2.9", "192.0.2.9"),
        ("<IP4>", "2001:db8::9", ""),
        ("<IP6>", "2001:db8::9", "2001:db8::9"),
        ("<IP6>", "192.0.2.9", ""),
        ("<SUBNET>", "192.0.2.9/24", "192.0.2.9"),
        ("<SUBNET>", "192.0.2.9", "192.0.2.9"),
        ("<ADDR>/<CIDR>", "192.0.2.9/24", "192.0.2.9"),
        ("<ADDR>:<F-PORT/>", "192.0.2.9:4242", "192.0.2.9"),
        ("<DNS>", "host.example", ""),
        ("<F-ID>\\S+</F-ID>", "192.0.2.9", "192.0.2.9"),
        ("<F-ID/>", "192.0.2.9", "192.0.2.9"),
        ("<F-ID/>", "bob", ""),
        ("<F-ID>bob <ADDR></F-ID>", "bob 192.0.2.9", "192.0.2.9"),
        ("(?P<host>\\S+)", "192.0.2.9", "192.0.2.9"),
        ("(?P<host>\\S+)", "host.example", ""),
        ("(?P<ip4>\\S+)", "192.0.2.9", "192.0.2.9"),
        ("(?P<ip6>\\S+)", "2001:db8::9", "2001:db8::9"),
        ("(?P<dns>\\S+)", "host.example", ""),
        ("<F-RHOST>\\S+</F-RHOST> <ADDR>", "host.example 192.0.2.9", "192.0.2.9"),
        ("<HOSTX> <ADDR>", "<HOSTX> 192.0.2.9", "192.0.2.9"),
        ("<mdre-><ADDR>", "<mdre->192.0.2.9", "192.0.2.9"),
    ] {
        assert_eq!(find(&format!("^ from {tag}$"), &format!("from {text}")), found, "{tag} of {text}");
    }
}

#[test]
fn an_address_ends_in_front_of_the_colon_of_the_line() {
    for text in ["2001:db8::9: bad", "2001:db8::9:4242 bad", "192.0.2.9:4242 bad", "192.0.2.9: bad"] {
        let addr = if text.starts_with("192") { "192.0.2.9" } else { "2001:db8::9" };
        assert_eq!(find("^ from <HOST>:\\d* bad", &format!("from {text}")), addr, "{text}");
    }
    assert_eq!(find("from <HOST>", "from 2001:db8::9: bad"), "2001:db8::9");
}

/// fail2ban would ask who that is; here nobody is, and no other text of the line is taken instead.
#[test]
fn who_is_named_by_a_name_is_nobody_and_nobody_else_takes_the_place() {
    let filter = filter(&["from <HOST>", "from (?:x|evil.example) from <ADDR>"]);
    let line = "2026-11-23 01:06:25 from evil.example from 203.0.113.66";
    let mut memory = Memory::default();

    let record = record::parse(line.as_bytes()).unwrap_or_else(|_| Record::bare(line.as_bytes()));
    let judgement = filter.judge(&record, Owner::NOBODY, Timestamp::from_secs(0), &mut memory);

    assert_eq!(judgement, Judgement::NoMatch);
    assert_eq!(memory.counts().named, 1);
}

#[test]
fn the_user_comes_from_its_group_or_from_one_that_fills_it() {
    let user = |expression: &str, text: &str| {
        let line = format!("2026-11-23 01:06:25 mx1 x: {text}");
        let record = record::parse(line.as_bytes()).unwrap();
        match filter(&[expression]).judge(&record, Owner::NOBODY, Timestamp::from_secs(0), &mut Memory::default()) {
            Judgement::Failure(failure) => failure.user.map(|user| String::from_utf8_lossy(user).into_owned()),
            other @ (Judgement::Success(_) | Judgement::Ignored(_) | Judgement::Helper(_) | Judgement::NoMatch) => {
                panic!("{other:?}")
            }
        }
    };

    assert_eq!(user("for <F-USER>.*</F-USER> from <HOST>$", "for bob x from 192.0.2.9").as_deref(), Some("bob x"));
    let either = "for \"<F-USER>[^\"]*</F-USER>\"(?: or <F-ALT_USER>\\S+</F-ALT_USER>)? from <HOST>$";
    assert_eq!(user(either, "for \"\" or bob from 192.0.2.9").as_deref(), Some("bob"));
    assert_eq!(user(either, "for \"x\" or bob from 192.0.2.9").as_deref(), Some("x"));
    assert_eq!(user(either, "for \"\" from 192.0.2.9"), None);
    let one = "for (?:<F-USER>\"\\w+\"</F-USER>|<F-ALT_USER1>\\S+</F-ALT_USER1>) from <HOST>$";
    assert_eq!(user(one, "for bob from 192.0.2.9").as_deref(), Some("bob"));
}

#[test]
fn prefregex_goes_first_and_failregex_sees_its_content() {
    let filter = compile(Definition {
        prefregex: Some("^ s <F-CONTENT>.+</F-CONTENT>$".to_owned()),
        failregex: ["^bad <HOST>$", "^bad from <HOST>"].map(str::to_owned).into(),
        ignoreregex: vec!["^bad 192.0.2.5".to_owned()],
        ..definition()
    })
    .unwrap();
    for (text, found) in [
        ("s bad 192.0.2.4", "192.0.2.4"),
        ("s bad from 192.0.2.5 and", "192.0.2.5"),
        ("s bad 192.0.2.5", "ignored"),
        ("t bad 192.0.2.4", ""),
        ("s good 192.0.2.4", ""),
    ] {
        assert_eq!(judge(&filter, &format!("2026-11-23 01:06:25 {text}")), found, "{text}");
    }
}

/// With many failregex what is ignored is asked first, of the whole line.
#[test]
fn what_is_ignored_goes_first_where_that_is_cheaper() {
    let ignoring = |count: usize| {
        compile(Definition {
            prefregex: Some("^ s <F-CONTENT>.+</F-CONTENT>$".to_owned()),
            failregex: ["^bad <HOST>$", "^a <HOST>", "^b <HOST>", "^c <HOST>"][..count]
                .iter()
                .map(|&s| s.into())
                .collect(),
            ignoreregex: vec!["^ s bad".to_owned()],
            ..definition()
        })
        .unwrap()
    };

    assert_eq!(judge(&ignoring(3), "2026-11-23 01:06:25 s bad 192.0.2.4"), "192.0.2.4", "asked last, of the content");
    assert_eq!(judge(&ignoring(4), "2026-11-23 01:06:25 s bad 192.0.2.4"), "ignored");
    assert_eq!(judge(&ignoring(4), "2026-11-23 01:06:25 s bad"), "ignored", "whatever the line is");
}

#[test]
fn what_prefregex_names_holds_where_failregex_names_nobody() {
    let filter = compile(Definition {
        prefregex: Some("^ s\\[<HOST>\\]: <F-CONTENT>.+</F-CONTENT>$".to_owned()),
        failregex: ["^bad$", "^worse from <HOST>$"].map(str::to_owned).into(),
        ..definition()
    })
    .unwrap();

    assert_eq!(judge(&filter, "2026-11-23 01:06:25 s[192.0.2.9]: bad"), "192.0.2.9");
    assert_eq!(judge(&filter, "2026-11-23 01:06:25 s[192.0.2.9]: worse from 192.0.2.8"), "192.0.2.8");
}

#[test]
fn a_filter_that_is_none_says_what_is_wrong() {
    let with = |failregex: &[&str]| {
        compile(Definition { failregex: failregex.iter().map(|&s| s.to_owned()).collect(), ..definition() })
            .unwrap_err()
    };

    assert!(with(&[]).contains("it has no failregex"));
    assert_eq!(
        with(&["^<HOST>$", "^x (?P<user>x)$"]),
        "failregex 2 `^x (?P<user>x)$`: it names nobody: write <HOST> or <ADDR> where the service writes the peer's address"
    );
    assert!(with(&["<HOST> <HOST>"]).starts_with("failregex 1 `<HOST> <HOST>` at character 8: duplicate"));
    assert!(with(&["<F-TUPLE_ID>x</F-TUPLE_ID> <ADDR>"]).contains("not of tuples"));
    let lines = compile(Definition { maxlines: 101, failregex: vec!["<HOST>".into()], ..definition() }).unwrap_err();
    assert!(lines.contains("is 101, expected at most 100"), "{lines}");
    let prefix = Definition { prefregex: Some("(".into()), failregex: vec!["<HOST>".into()], ..definition() };
    assert!(compile(prefix).unwrap_err().starts_with("prefregex `(` at character 1: unclosed group"));
}

#[test]
fn a_line_of_a_file_and_an_entry_of_the_journal_look_as_they_do_to_fail2ban() {
    let lenient = filter(&["^\\s*(?:\\S+ )?sshd\\[\\d+\\]: bad <HOST>$"]);

    assert_eq!(judge(&lenient, "Nov 23 01:06:25 mx1 sshd[7]: bad 192.0.2.9"), "192.0.2.9");
    assert_eq!(judge(&lenient, "Nov 23 01:06:25 mx1 sshd[7]: bad 192.0.2.9\r\n"), "192.0.2.9");
    assert_eq!(judge(&lenient, "1795708535.000000 mx1 sshd[7]: bad 192.0.2.9"), "192.0.2.9");
    let strict = filter(&["^mx1 sshd\\[\\d+\\]: bad <HOST>$"]);
    assert_eq!(judge(&strict, "1795708535.000000 mx1 sshd[7]: bad 192.0.2.9"), "192.0.2.9");
    assert_eq!(judge(&strict, "Nov 23 01:06:25 mx1 sshd[7]: bad 192.0.2.9"), "", "the blank behind the time stays");
}

#[test]
fn a_message_that_was_repeated_is_judged_by_itself() {
    let filter = Filter::Fail2ban(filter(&["^ mx1 sshd\\[\\d+\\]: bad <HOST>$"]).into());
    let line = b"Nov 23 01:06:25 mx1 sshd[7]: message repeated 5 times: [ bad 192.0.2.9]";

    let record = record::parse(line).unwrap();
    let Judgement::Failure(failure) = filter.judge(&record) else { panic!("a failure") };

    assert_eq!((failure.addr, failure.attempts), (IpAddr::from([192, 0, 2, 9]), Attempts::whole(5)));
}

#[test]
fn a_form_of_time_of_the_filter_s_own_goes_before_what_the_header_says() {
    let line = b"05/11/2026 01:06:25 x 192.0.2.9";
    let read = record::parse(line).unwrap().stamp;
    let day = |datepattern: Option<&str>| {
        let datepattern = datepattern.map(str::to_owned);
        let filter = compile(Definition { failregex: vec!["<HOST>".into()], datepattern, ..definition() }).unwrap();
        match filter.stamp(line, read) {
            Some(Stamp::Civil { date: record::Date::Full { month, day, .. }, .. }) => (month, day),
            other => panic!("{other:?}"),
        }
    };

    assert_eq!((day(None), day(Some("%d/%m/%Y %H:%M:%S"))), ((5, 11), (11, 5)));
}

#[test]
fn a_line_that_is_no_utf_8_is_looked_at_as_text() {
    let filter = filter(&["^ mx1 x: a.\\w z <HOST>$"]);
    let judged = |bytes: &[u8]| {
        let line = [b"Nov 23 01:06:25 mx1 x: ", bytes, b" 192.0.2.9"].concat();
        let record = record::parse(&line).unwrap();
        shown(&filter.judge(&record, Owner::NOBODY, Timestamp::from_secs(0), &mut Memory::default()))
    };

    assert_eq!(judged(b"a\xff\xc3\xa9 z"), "192.0.2.9", "a byte that is none, and a letter of two");
    assert_eq!(judged(b"a\xe2\x82b z"), "192.0.2.9", "the beginning of a character is one");
    assert_eq!(judged(b"a\xffb\xff z"), "");
}

#[test]
fn the_how_to_s_own_filter_is_accepted_and_shown_to_be_injectable() {
    let expression = ".*(?:pop3-login|imap-login):.*(?:Authentication failure|Aborted login \\(auth failed|Aborted login \
                      \\(tried to use disabled|Disconnected \\(auth failed).*rip=(?P<host>\\S*),.*";
    let filter =
        compile(Definition { name: "dovecot".into(), failregex: vec![expression.into()], ..definition() }).unwrap();
    let line = "Nov 23 01:06:25 mx1 dovecot: imap-login: Aborted login (auth failed, 1 attempts): user=<bob>, \
                method=PLAIN, rip=192.0.2.9, lip=198.51.100.1, TLS";
    assert_eq!(judge(&filter, line), "192.0.2.9");

    let attacks = filter.attacks();
    assert_eq!(attacks.len(), 1);
    let forged = format!("Nov 23 01:06:25 {}", attacks[0].message);
    assert!(forged.contains("rip=192.0.2.9,"), "{forged}");
    assert_eq!(judge(&filter, &forged), "203.0.113.66", "{forged}");
    assert_eq!(filter.remedy().as_deref(), Some("dovecot"));
}

#[test]
fn an_expression_that_is_anchored_by_what_the_service_writes_is_not_injectable() {
    for expression in [
        "^ mx1 sshd\\[\\d+\\]: Failed password for <F-USER>.*</F-USER> from <HOST> port \\d+ ssh2$",
        "^ mx1 x: login from <ADDR>$",
        "^ mx1 x\\[<ADDR>\\]: .*$",
    ] {
        assert_eq!(filter(&[expression]).attacks(), [], "{expression}");
    }
    for expression in ["from <HOST>", "^ mx1 x: .* from <HOST>", "bad .* rhost=<ADDR>\\s*.*$"] {
        assert_eq!(filter(&[expression]).attacks().len(), 1, "{expression}");
    }
}
