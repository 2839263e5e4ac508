//! Lines that are understood together: of one connection, or one behind the other.

use super::*;

fn session() -> Fail2ban {
    filter(&[
        "^ s\\[<F-MLFID>\\d+</F-MLFID>\\]: bad <F-USER>\\S+</F-USER>$",
        "^ s\\[<F-MLFID>\\d+</F-MLFID>\\]: <F-NOFAIL>from</F-NOFAIL> <HOST>$",
        "^ s\\[<F-MLFID>\\d+</F-MLFID>\\]: <F-NOFAIL>try</F-NOFAIL> <F-USER>\\S+</F-USER> <HOST>$",
        "^ s\\[<F-MLFID>\\d+</F-MLFID>\\]: <F-MLFFORGET>bye</F-MLFFORGET>$",
        "^ s\\[<F-MLFID>\\d+</F-MLFID>\\]: <F-MLFFORGET><F-NOFAIL>nbye</F-NOFAIL></F-MLFFORGET>$",
        "^ s\\[<F-MLFID>\\d+</F-MLFID>\\]: <F-MLFFORGET>end</F-MLFFORGET> <HOST>$",
        "^ s\\[<F-MLFID>\\d+</F-MLFID>\\]: <F-MLFGAINED>ok</F-MLFGAINED> <F-USER>\\S+</F-USER>$",
    ])
}

/// What fail2ban 1.0.2 makes of the same lines; where that says "matched" without a failure, a helper.
#[test]
fn lines_of_one_connection_tell_together_what_they_tell_to_fail2ban() {
    const A: &str = "192.0.2.4";
    const B: &str = "192.0.2.8";
    for (messages, told) in [
        (vec!["bad u1", "bad u1", "from A", "from A", "bad u1"], vec!["helper", "helper", A, "helper", A]),
        (vec!["from A", "bad u1", "bad u1", "nbye", "bad u1"], vec!["helper", A, A, "helper", "helper"]),
        (vec!["bad u1", "ok u1", "from A"], vec!["helper", "helper", "helper"]),
        (vec!["bad u1", "ok u2", "from A"], vec!["helper", "helper", A]),
        (vec!["from A", "bad u1", "ok u1", "from A"], vec!["helper", A, "helper", "helper"]),
        (vec!["from A", "bad u1", "ok u2", "from A"], vec!["helper", A, A, A]),
        (vec!["try u1 A", "try u1 A", "try u2 A", "try u2 A", "from A"], vec!["helper", "helper", A, A, A]),
        (vec!["bad u1", "bye", "from A"], vec!["helper", "helper", "helper"]),
        (vec!["bye", "end A", "from A", "end A", "bad u1", "from A"], vec!["helper", A, "helper", A, "helper", A]),
        (vec!["from A", "bye", "bad u1"], vec!["helper", A, "helper"]),
        (vec!["from A", "from B", "bad u1", "from B"], vec!["helper", "helper", B, "helper"]),
        (vec!["bad u1", "bad u2", "from B", "from B"], vec!["helper", "helper", B, B]),
        (vec!["bad u1", "nbye", "from A"], vec!["helper", "helper", "helper"]),
        (vec!["from A", "nbye", "bad u1", "from A"], vec!["helper", "helper", "helper", A]),
    ] {
        let lines: Vec<String> = messages
            .iter()
            .map(|message| format!("2026-11-23 01:06:25 s[7]: {}", message.replace('A', A).replace('B', B)))
            .collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();

        assert_eq!(judge_all(&session(), &lines), told, "{messages:?}");
    }
}

#[test]
fn connections_of_other_names_logs_and_jails_are_others() {
    let filter = session();
    let mut memory = Memory::default();
    let mut judged = |jail: u8, log: u32, text: &str| {
        let line = format!("2026-11-23 01:06:25 s{text}");
        let owner = Owner::new(JailId::new(jail).unwrap(), LogId::new(log));
        let record = record::parse(line.as_bytes()).unwrap_or_else(|_| Record::bare(line.as_bytes()));
        shown(&filter.judge(&record, owner, Timestamp::from_secs(0), &mut memory))
    };

    assert_eq!(judged(1, 1, "[7]: bad u1"), "helper");
    assert_eq!(judged(1, 1, "[8]: from 192.0.2.9"), "helper");
    assert_eq!(judged(1, 2, "[7]: from 192.0.2.9"), "helper");
    assert_eq!(judged(2, 1, "[7]: from 192.0.2.9"), "helper");
    assert_eq!(judged(1, 1, "[7]: from 192.0.2.9"), "192.0.2.9");
}

#[test]
fn a_group_that_is_empty_makes_no_helper() {
    assert_eq!(find("^ bad <HOST><F-NOFAIL></F-NOFAIL>$", "bad 192.0.2.9"), "192.0.2.9");
    assert_eq!(find("^ <F-NOFAIL>bad</F-NOFAIL> <HOST>$", "bad 192.0.2.9"), "helper");
}

fn several(failregex: &str, maxlines: u32) -> Fail2ban {
    compile(Definition { failregex: vec![failregex.into()], maxlines, ..definition() }).unwrap()
}

/// The same lines, with what fail2ban 1.0.2 finds.
#[test]
fn lines_one_behind_the_other_are_looked_at_together() {
    let lines =
        |texts: &[&str]| -> Vec<String> { texts.iter().map(|text| format!("2026-11-23 01:06:25 {text}")).collect() };
    let judged = |filter: &Fail2ban, texts: &[&str]| {
        let lines = lines(texts);
        judge_all(filter, &lines.iter().map(String::as_str).collect::<Vec<_>>())
    };

    let filter = several("^ a1 <HOST><SKIPLINES>^ a2$", 4);
    assert_eq!(
        judged(&filter, &["a1 192.0.2.4", "b", "a2", "a2", "a1 192.0.2.5", "b", "b", "b", "a2"]),
        ["", "", "192.0.2.4", "", "", "", "", "", ""],
        "the last is too far behind"
    );
    let filter = several("^ a1 <HOST>$<SKIPLINES>^ a2 (?P<x>\\d)$", 10);
    assert_eq!(
        judged(&filter, &["a1 192.0.2.4", "a2 1", "a1 192.0.2.5", "a1 192.0.2.6", "a2 2", "a2 3"]),
        ["", "192.0.2.4", "", "", "192.0.2.5", "192.0.2.6"],
        "what was passed over stays"
    );
}

#[test]
fn lines_of_other_logs_do_not_stand_between() {
    let filter = several("^ a1 <HOST>\\n a2$", 2);
    let mut memory = Memory::default();
    let mut judged = |log: u32, text: &str| {
        let line = format!("2026-11-23 01:06:25 {text}");
        let owner = Owner::new(JailId::MIN, LogId::new(log));
        shown(&filter.judge(&Record::bare(line.as_bytes()), owner, Timestamp::from_secs(0), &mut memory))
    };

    assert_eq!(judged(1, "a1 192.0.2.9"), "");
    assert_eq!(judged(2, "a2"), "");
    assert_eq!(judged(1, "a2"), "192.0.2.9");
}
