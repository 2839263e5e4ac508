//! What the engine says of somebody, and the account of bans.

use super::*;
use crate::allowlist::{AllowReason, Allowed};
use crate::engine::account::{MAX_NOTED_SINGLY, Note, Summed};

const ROOT: Option<Uid> = Some(Uid(0));

#[test]
fn who_is_counted_is_told_with_limits_and_lines() {
    let mut engine = engine();
    line(&mut engine, "192.0.2.9", 2, 10);

    let story = engine.why(whom("192.0.2.9"), secs(11));

    assert!(story.bans.is_empty() && story.allowed.is_none());
    assert_eq!(story.judges, ["dovecot"]);
    let [counting] = &story.counts[..] else { panic!("one jail: {story:?}") };
    assert_eq!((counting.prefix, counting.jail, counting.last), (prefix("192.0.2.9"), DOVECOT, secs(10)));
    assert_eq!((counting.count, counting.of), (Attempts::whole(2), 3));
    assert_eq!(&*counting.evidence[0].line, failed_login("192.0.2.9", 2).as_bytes());
    assert_eq!(engine.why(whom("192.0.2.9"), secs(610)).counts, [], "it has left the window");
    assert_eq!(engine.why(whom("192.0.2.8"), secs(610)).counts, []);
}

#[test]
fn who_is_banned_is_told_by_all_that_cover_it_the_narrowest_first() {
    let mut engine = engine();
    line(&mut engine, "192.0.2.9", 3, 0);
    ban(&mut engine, "192.0.2.0/24", Some(60));
    ban(&mut engine, "192.0.3.0/24", Some(60));
    line(&mut engine, "2001:db8::9", 3, 0);

    let banned = |engine: &mut Engine, named: &str| -> Vec<String> {
        let bans = engine.why(whom(named), secs(1)).bans;
        bans.iter().map(|ban| format!("{} by {}", ban.prefix, ban.jail_name)).collect()
    };
    assert_eq!(banned(&mut engine, "192.0.2.9"), ["192.0.2.9 by dovecot", "192.0.2.0/24 by manual"]);
    assert_eq!(banned(&mut engine, "192.0.2.8"), ["192.0.2.0/24 by manual"]);
    assert_eq!(banned(&mut engine, "2001:db8::8"), ["2001:db8::/64 by dovecot"], "a neighbour of the same network");
    assert_eq!(banned(&mut engine, "198.51.100.1"), [""; 0]);

    let story = engine.why(whom("192.0.2.0/23"), secs(1));
    assert_eq!((story.bans.len(), story.banned_inside, story.inside.len()), (0, 3, 3));
    let story = engine.why(whom("192.0.2.9"), secs(1));
    assert_eq!(story.earlier.iter().map(|(jail, earlier)| (*jail, earlier.bans)).collect::<Vec<_>>(), [(DOVECOT, 1)]);
    assert_eq!(story.counts, [], "they are answered");
}

#[test]
fn what_counts_inside_a_network_is_told_too() {
    let mut engine = engine();
    for from in ["192.0.2.9", "192.0.2.200", "192.0.3.1", "2001:db8:0:1::1", "2001:db8:0:2::1", "2001:db9::1"] {
        line(&mut engine, from, 1, 0);
    }
    let counted = |engine: &mut Engine, named: &str| -> Vec<String> {
        engine.why(whom(named), secs(1)).counts.iter().map(|counting| counting.prefix.to_string()).collect()
    };

    assert_eq!(counted(&mut engine, "192.0.2.0/24"), ["192.0.2.9", "192.0.2.200"]);
    assert_eq!(counted(&mut engine, "2001:db8::/32"), ["2001:db8:0:1::/64", "2001:db8:0:2::/64"]);
    assert_eq!(counted(&mut engine, "2001:db8:0:1::7"), ["2001:db8:0:1::/64"]);
}

#[test]
fn what_keeps_somebody_from_being_banned_is_told_with_its_reason() {
    let mut settings = settings();
    let allowed = Allowed { prefix: prefix("192.0.2.0/28"), why: AllowReason::Configured };
    settings.allow.push(allowed);
    let mut engine = Engine::new(settings);
    line(&mut engine, "192.0.2.9", 3, 0);

    assert_eq!(engine.why(whom("192.0.2.9"), secs(1)).allowed, Some(allowed));
    assert_eq!(engine.why(whom("192.0.2.16"), secs(1)).allowed, None);
    let story = engine.why(whom("192.0.2.0/24"), secs(1));
    assert_eq!((story.allowed, story.allowed_inside), (None, vec![prefix("192.0.2.0/28")]));
}

#[test]
fn the_account_has_what_began_was_prolonged_and_was_lifted_by_whom() {
    let mut engine = engine();
    engine.track_changes();
    line(&mut engine, "192.0.2.9", 3, 0);
    by_root(
        &mut engine,
        Request::Ban { whom: vec![whom("192.0.2.9")], jail: Some("dovecot".into()), ban_time: None, reason: None },
    );
    by_root(&mut engine, Request::Unban { prefixes: vec![prefix("192.0.2.9")] });
    let reason = Some("spam".into());
    by_root(&mut engine, Request::Ban { whom: vec![whom("192.0.2.8")], jail: None, ban_time: None, reason });
    by_root(&mut engine, Request::UnbanAll);

    let account = engine.take_changes().account;

    let [Note::Began { prefix: _, jail: DOVECOT, ban, limits, evidence }, rest @ ..] = &account[..] else {
        panic!("{account:?}")
    };
    assert_eq!((ban.until, *limits, evidence.len()), (at(3_600), Some((3, Duration::from_secs(600))), 1));
    let by_command = Ban {
        started: secs(5),
        until: Until::Forever,
        origin: Origin::Command { reason: Some("spam".into()), by: ROOT },
    };
    let expected = [
        Note::Renewed { prefix: prefix("192.0.2.9"), jail: DOVECOT, at: secs(5), until: at(3_605) },
        Note::Ended { prefix: prefix("192.0.2.9"), jail: DOVECOT, at: secs(5), why: UnbanReason::ByCommand, by: ROOT },
        Note::Began {
            prefix: prefix("192.0.2.8"),
            jail: MANUAL,
            ban: by_command,
            limits: None,
            evidence: Arc::default(),
        },
        Note::AllEnded { at: secs(5), by: ROOT },
    ];
    assert_eq!(rest, expected);
    assert!(engine.take_changes().account.is_empty());
}

#[test]
fn of_a_long_list_each_ban_knows_whose_it_was_and_none_is_noted() {
    let mut engine = engine();
    engine.track_changes();
    let list = |n: usize| (0..n).map(|n| whom(&format!("198.51.100.{n}"))).collect::<Vec<_>>();
    let request = |n| Request::Ban { whom: list(n), jail: None, ban_time: None, reason: None };
    by_root(&mut engine, request(MAX_NOTED_SINGLY + 1));

    assert!(engine.take_changes().account.is_empty());
    let is_roots = |ban: &BanInfo| ban.origin == Origin::Command { reason: None, by: ROOT };
    assert!(engine.bans().iter().all(is_roots));
    by_root(&mut engine, Request::UnbanAll);
    by_root(&mut engine, request(MAX_NOTED_SINGLY));
    assert_eq!(engine.take_changes().account.len(), 1 + MAX_NOTED_SINGLY);
}

#[test]
fn of_what_a_long_list_does_to_other_bans_some_are_noted_and_the_rest_is_counted() {
    const MANY: usize = MAX_NOTED_SINGLY + 6;
    let mut settings = settings();
    settings.bounds.max_bans_v4 = MANY;
    let mut engine = Engine::new(settings);
    engine.track_changes();
    let list = |net: u8| (0..MANY).map(|n| whom(&format!("198.51.{net}.{n}"))).collect::<Vec<_>>();
    let ban = |net, secs| Request::Ban {
        whom: list(net),
        jail: None,
        ban_time: Some(BanTime::For(Duration::from_secs(secs))),
        reason: None,
    };
    by_root(&mut engine, ban(100, 60));
    assert!(engine.take_changes().account.is_empty());

    // The same once more: all are prolonged. Then others: all of these give way.
    by_root(&mut engine, ban(100, 90));
    by_root(&mut engine, ban(101, 60));

    let account = engine.take_changes().account;
    let is_renewed = |note: &&Note| matches!(note, Note::Renewed { .. });
    let has_given_way = |note: &&Note| matches!(note, Note::Ended { why: UnbanReason::Evicted, by: ROOT, .. });
    assert_eq!(account.iter().filter(is_renewed).count(), MAX_NOTED_SINGLY);
    assert_eq!(account.iter().filter(has_given_way).count(), MAX_NOTED_SINGLY);
    assert_eq!(account.len(), 2 * MAX_NOTED_SINGLY, "of the lists' own nothing");
    assert_eq!(engine.take_summed(), Summed { renewed: 6, ended: 6 });
    assert_eq!(engine.take_summed(), Summed::default(), "it is told once");

    // What comes by itself is noted as ever.
    line(&mut engine, "192.0.2.9", 3, 10);
    assert!(engine.take_changes().account.iter().any(|note| matches!(note, Note::Began { .. })));
}

fn by_root(engine: &mut Engine, request: Request) {
    engine.handle_request_by(request, ROOT, secs(5));
}
