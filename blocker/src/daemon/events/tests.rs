//! The words that administrators' programs look for, and how many of them there may be.

use blocker_core::attempts::Attempts;
use blocker_core::engine::{Ban, Found, JailId};
use blocker_core::time::{Timestamp, Until};

use super::*;

const JAIL: JailId = JailId::MIN;

#[test]
fn events_have_fail2ban_s_words_and_fields_behind_them() {
    let clock = Reading::at(secs(100), 1_000_000_000_000_000_000);
    let prefix: Prefix = "192.0.2.9".parse().unwrap();
    let ignored = |why| Event::Ignored { jail: JAIL, addr: prefix.addr(), why };
    let unbanned = |why| Event::Unbanned { prefix, jail: JAIL, why, by: None };
    let words = |event: &Event| told("dovecot", event, clock).text();

    let made = clock.local(secs(90));
    assert_eq!(
        words(&Event::Found(found("192.0.2.9"))),
        format!(r#"[dovecot] Found 192.0.2.9 - {made} attempts=2 count=3 of=5 service=imap pattern="auth failed""#)
    );
    assert_eq!(made.len(), "2026-11-26 10:00:00".len(), "{made}");
    assert_eq!(
        words(&Event::Banned(info(Some(7)))),
        r#"[dovecot] Ban 192.0.2.9 until=2001-09-09T01:56:40Z origin="command of user 7, \"x\\n[sshd] Ban 192.0.2.1\"""#
    );
    assert_eq!(words(&Event::Restored(info(None))), "[dovecot] Restore Ban 192.0.2.9 until=2001-09-09T01:56:40Z");
    assert_eq!(words(&unbanned(UnbanReason::Expired)), "[dovecot] Unban 192.0.2.9");
    assert_eq!(words(&unbanned(UnbanReason::ByCommand)), r#"[dovecot] Unban 192.0.2.9 why="by command""#);
    assert_eq!(
        words(&ignored(IgnoreReason::AlreadyBanned { by: prefix })),
        "[dovecot] 192.0.2.9 already banned by=192.0.2.9"
    );
    let priorities = [Event::Found(found("192.0.2.9")), Event::Banned(info(None)), ignored(IgnoreReason::Undated)];
    assert_eq!(priorities.each_ref().map(|event| told("dovecot", event, clock).priority()), ["6", "5", "7"]);
}

#[test]
fn a_flood_of_failures_is_told_as_far_as_it_may_and_bans_are_told_all_the_same() {
    let mut log = EventLog::start(None).expect("there can be a thread");
    let mut events: Vec<Event> = (0..5_000).map(|_| Event::Found(found("192.0.2.9"))).collect();
    log.send_all(&mut events, |_| "dovecot".to_owned());
    log.send(Event::Banned(info(None)), |_| "dovecot".to_owned());

    assert_eq!(log.left_out(), 0, "what is told is written");
    assert_eq!(log.failures.due(0, Instant::now()), Some(4_000));
}

fn found(addr: &str) -> Found {
    let prefix: Prefix = addr.parse().unwrap();
    Found {
        jail: JAIL,
        addr: prefix.addr(),
        prefix,
        user: Some(b"bob's password".to_vec()),
        made: secs(90),
        attempts: Attempts::whole(2),
        span: std::time::Duration::ZERO,
        service: "imap".into(),
        pattern: "auth failed".into(),
        count: Attempts::whole(3),
        of: 5,
    }
}

fn info(by: Option<u32>) -> BanInfo {
    let origin = Origin::Command { reason: Some("x\n[sshd] Ban 192.0.2.1".into()), by: by.map(Uid) };
    let Ban { started, until, origin } = Ban { started: secs(90), until: Until::At(secs(700)), origin };
    let (prefix, jail_name, evidence) = ("192.0.2.9".parse().unwrap(), "dovecot".into(), [].into());
    BanInfo { prefix, jail: JAIL, jail_name, started, until, origin, evidence }
}

fn secs(n: i64) -> Timestamp {
    Timestamp::from_secs(n)
}
