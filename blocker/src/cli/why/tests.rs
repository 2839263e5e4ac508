//! The words, as they are read at three in the morning.

use super::*;
use crate::control::why::{Allowed, Dropped, Earlier};

#[test]
fn a_ban_by_a_log_is_told_with_its_lines() {
    let why = Why {
        verdict: "banned".into(),
        bans: vec![Ban { cause: earned(vec![line("Nov 26 09:59:58 mx1 dovecot: imap-login: …")]), ..ban("dovecot") }],
        earlier: vec![Earlier { jail: "dovecot".into(), bans: 1, last: "2026-11-26T10:00:00Z".into() }],
        ..nothing("192.0.2.9")
    };

    assert_eq!(
        story(&why, nobody),
        r#"192.0.2.9 is banned
banned by jail dovecot until 2026-11-26T11:00:00Z (59m53s left); closed are 143,993/tcp
  since 2026-11-26T10:00:00Z: 5 of 5 attempts in 10m, filter dovecot, pattern "auth failed"
  packets dropped since: 17 (1222 bytes), the last one 3s ago (2026-11-26T10:00:04Z)
  the lines that earned it:
    2026-11-26T09:59:58Z  +2, 5 in all: dovecot "auth failed", user "bob"
      Nov 26 09:59:58 mx1 dovecot: imap-login: …
  the lines before these are not kept
to let it in again: blocker unban 192.0.2.9
"#
    );
}

#[test]
fn a_ban_by_hand_of_a_network_is_told_with_who_and_why() {
    let cause = Cause { by_uid: Some(0), reason: Some("scans for open relays".into()), ..Cause::default() };
    let by_hand = Ban {
        prefix: "192.0.2.0/24".parse().unwrap(),
        until: "forever".into(),
        remaining_s: None,
        ports: Some("all".into()),
        origin: "command".into(),
        cause,
        dropped: Some(Dropped { packets: 0, bytes: 0, last: None, last_ago_s: None }),
        ..ban("manual")
    };
    let why = Why { verdict: "banned".into(), bans: vec![by_hand], ..nothing("192.0.2.9") };

    assert_eq!(
        story(&why, |uid| (uid == 0).then(|| "root".into())),
        r#"192.0.2.9 is banned
192.0.2.0/24 banned by jail manual for ever; all ports are closed
  since 2026-11-26T10:00:00Z: by hand, by root (user 0): "scans for open relays"
  no packet of it has been dropped so far
to let it in again: blocker unban 192.0.2.0/24
"#
    );
}

#[test]
fn who_is_not_banned_is_told_why_not() {
    assert_eq!(
        story(&nothing("192.0.2.9"), nobody),
        "192.0.2.9 is not banned: nothing counts against it
  no jail has counted a failure of it lately; these judge lines: dovecot, sshd
"
    );
    let allowed = Allowed { prefix: "192.0.2.0/28".parse().unwrap(), reason: "allowed by the configuration".into() };
    let why = Why { verdict: "allowed".into(), allowed: Some(allowed), ..nothing("192.0.2.9") };
    assert_eq!(
        story(&why, nobody),
        "192.0.2.9 is not banned, and never will be: 192.0.2.0/28 is allowed by the configuration\n"
    );
    let why = Why { bans: vec![Ban { prefix: "192.0.2.0/24".parse().unwrap(), ..ban("manual") }], ..why };
    let told = story(&why, nobody);
    assert!(
        told.starts_with("192.0.2.9 is let through, although it lies in what is banned: 192.0.2.0/28 is"),
        "{told}"
    );
    assert!(!told.contains("blocker unban"), "{told}");

    let count = Count {
        prefix: "2001:db8::/64".parse().unwrap(),
        jail: "dovecot".into(),
        count: 3.4,
        max_retry: 5,
        find_time: "10m".into(),
        last: "2026-11-26T10:00:00Z".into(),
        evidence: vec![],
    };
    let why = Why {
        verdict: "counted".into(),
        prefix: "2001:db8::/64".parse().unwrap(),
        counts: vec![count.clone()],
        ..nothing("2001:db8::9")
    };
    assert_eq!(
        story(&why, nobody),
        "2001:db8::9 is not banned: it has failed, and not often enough
  it is counted, and banned, with its whole network 2001:db8::/64
3.4 of 5 attempts in 10m in jail dovecot, the last one at 2026-11-26T10:00:00Z
  the lines are not kept: they are from before a restart, or too many came since
"
    );
    let why = Why { counts: vec![Count { count: 5.0, ..count }], ..why };
    let told = story(&why, nobody);
    assert!(told.starts_with("2001:db8::9 is not banned yet: it has failed often enough, and its next try"), "{told}");
}

#[test]
fn bans_that_are_over_are_told_with_their_ends() {
    let past = |how: &str, ended: Option<&str>| Past {
        prefix: "192.0.2.9".parse().unwrap(),
        jail: "dovecot".into(),
        since: "2026-11-25T10:00:00Z".into(),
        ended: ended.map(str::to_owned),
        how: how.into(),
        lifted_by_uid: Some(1_000),
        origin: "log".into(),
        cause: earned(vec![]),
    };
    let why = Why {
        past: vec![
            past("command", Some("T4")),
            past("over", Some("T3")),
            past("table full", Some("T2")),
            past("unknown", None),
        ],
        earlier: vec![Earlier { jail: "dovecot".into(), bans: 4, last: "T4".into() }],
        missing: None,
        ..nothing("192.0.2.9")
    };

    assert_eq!(
        story(&why, nobody).lines().skip(2).collect::<Vec<_>>(),
        [
            "earlier bans, the last one first:",
            r#"  2026-11-25T10:00:00Z  by jail dovecot: 5 of 5 attempts in 10m, pattern "auth failed"; lifted by hand at T4 by user 1000"#,
            r#"  2026-11-25T10:00:00Z  by jail dovecot: 5 of 5 attempts in 10m, pattern "auth failed"; ended at T3"#,
            r#"  2026-11-25T10:00:00Z  by jail dovecot: 5 of 5 attempts in 10m, pattern "auth failed"; ended at T2: table full"#,
            r#"  2026-11-25T10:00:00Z  by jail dovecot: 5 of 5 attempts in 10m, pattern "auth failed"; lifted, nobody knows when"#,
            "logs have had it banned 4 times by jail dovecot, the last time at T4",
        ]
    );
}

#[test]
fn what_is_only_observed_is_not_said_to_be_dropped() {
    let banned = Why { verdict: "banned".into(), bans: vec![ban("dovecot")], ..nothing("192.0.2.9") };
    let observed = "192.0.2.9 is banned, but only observed: its packets are counted and pass\n";
    let everywhere = Why { mode: "observe".into(), ..banned.clone() };
    assert!(story(&everywhere, nobody).starts_with(observed));
    let one = Ban { observes: true, ..ban("dovecot") };
    let jail = Why { bans: vec![one.clone()], ..banned.clone() };
    let told = story(&jail, nobody);
    assert!(told.starts_with(observed) && told.contains("; its jail only observes\n"), "{told}");
    let both = Why { bans: vec![one, ban("sshd")], ..banned };
    assert!(story(&both, nobody).starts_with("192.0.2.9 is banned\n"), "one of them drops");
}

#[test]
fn a_network_is_told_of_what_is_in_it() {
    let why = Why {
        banned_inside: 30,
        inside: vec![Ban { cause: earned(vec![]), ..ban("dovecot") }],
        allowed_inside: vec!["192.0.2.1".parse().unwrap()],
        ..nothing("192.0.2.0/24")
    };

    assert_eq!(
        story(&why, nobody),
        r#"192.0.2.0/24 is not banned as a whole
banned inside: 30, the first 1 of them
  192.0.2.9 by jail dovecot until 2026-11-26T11:00:00Z: 5 of 5 attempts in 10m, pattern "auth failed"
never dropped inside, by the allowlist: 192.0.2.1
"#
    );
}

#[test]
fn nothing_that_an_attacker_wrote_moves_the_terminal_or_begins_a_line() {
    let hostile = "\u{1b}[2J\u{1b}]0;x\u{7}\0\r\n\u{9b}31m\u{202e}\u{7f}\u{2028}ü\"'\\";
    let cause = Cause {
        pattern: Some(hostile.into()),
        reason: Some(hostile.into()),
        by_uid: Some(7),
        evidence: vec![Line {
            line: hostile.into(),
            user: Some(hostile.into()),
            filter: hostile.into(),
            pattern: hostile.into(),
            ..line("")
        }],
        ..earned(vec![])
    };
    let by_hand = Ban { origin: "command".into(), cause: cause.clone(), ..ban(hostile) };
    let past = Past {
        prefix: "192.0.2.9".parse().unwrap(),
        jail: hostile.into(),
        since: "T".into(),
        ended: Some("T".into()),
        how: hostile.into(),
        lifted_by_uid: Some(7),
        origin: "command".into(),
        cause: cause.clone(),
    };
    let why = Why {
        bans: vec![by_hand, Ban { cause, ..ban(hostile) }],
        past: vec![past],
        missing: Some(hostile.into()),
        judges: vec![hostile.into()],
        earlier: vec![Earlier { jail: hostile.into(), bans: 2, last: "T".into() }],
        ..nothing("192.0.2.9")
    };

    let told = story(&why, |_| Some(hostile.into()));

    let is_harmless = |c: char| c == '\n' || !c.is_control() && !"\u{202e}\u{2028}\u{2029}".contains(c);
    assert!(told.chars().all(is_harmless), "{told:?}");
    assert_eq!(told.matches('\n').count(), story(&tame(&why, hostile), |_| Some("x".into())).matches('\n').count());
    assert!(told.contains(r#"\u{1b}[2J"#) && told.contains("ü"), "{told}");
}

/// The same without what is hostile.
fn tame(why: &Why, hostile: &str) -> Why {
    let text = serde_json::to_string(why).unwrap();
    let quoted = serde_json::to_string(hostile).unwrap();
    serde_json::from_str(&text.replace(quoted.trim_matches('"'), "x")).unwrap()
}

fn nothing(asked: &str) -> Why {
    Why {
        asked: asked.into(),
        prefix: asked.parse().unwrap(),
        time: "2026-11-26T10:00:07Z".into(),
        verdict: "not-banned".into(),
        mode: "enforce".into(),
        bans: vec![],
        inside: vec![],
        banned_inside: 0,
        allowed: None,
        allowed_inside: vec![],
        counts: vec![],
        earlier: vec![],
        past: vec![],
        missing: None,
        judges: vec!["dovecot".into(), "sshd".into()],
    }
}

fn ban(jail: &str) -> Ban {
    Ban {
        prefix: "192.0.2.9".parse().unwrap(),
        jail: jail.into(),
        since: "2026-11-26T10:00:00Z".into(),
        until: "2026-11-26T11:00:00Z".into(),
        remaining_s: Some(3_593),
        ports: Some("143,993/tcp".into()),
        observes: false,
        origin: "log".into(),
        cause: Cause::default(),
        dropped: Some(Dropped {
            packets: 17,
            bytes: 1_222,
            last: Some("2026-11-26T10:00:04Z".into()),
            last_ago_s: Some(3),
        }),
    }
}

fn earned(evidence: Vec<Line>) -> Cause {
    Cause {
        attempts: Some(5.0),
        max_retry: Some(5),
        find_time: Some("10m".into()),
        pattern: Some("auth failed".into()),
        by_uid: None,
        reason: None,
        evidence,
    }
}

fn line(text: &str) -> Line {
    Line {
        time: "2026-11-26T09:59:58Z".into(),
        line: text.into(),
        is_cut: false,
        addr: "192.0.2.9".into(),
        user: Some("bob".into()),
        filter: "dovecot".into(),
        pattern: "auth failed".into(),
        attempts: 2.0,
        count: 5.0,
    }
}

fn nobody(_: u32) -> Option<String> {
    None
}
