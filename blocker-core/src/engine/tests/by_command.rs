//! Bans and their ends by command.

use super::*;

#[test]
fn unbanning_an_ipv6_address_from_the_log_lifts_its_64() {
    let mut engine = engine();
    line(&mut engine, "2001:db8::9", 3, 0);
    for_kernel(&mut engine);

    let rows = unban(&mut engine, &["2001:db8::9", "192.0.2.1"]);

    assert_eq!(rows, [(prefix("2001:db8::/64"), true), (prefix("192.0.2.1"), false)]);
    assert_eq!(for_kernel(&mut engine), [lift("2001:db8::/64")]);
}

#[test]
fn an_ipv6_address_is_banned_by_command_as_the_log_would_have_it() {
    let mut engine = engine();

    let rows = |engine: &mut Engine, named: &str| {
        let request = Request::Ban { whom: vec![whom(named)], jail: None, ban_time: None, reason: None };
        let response = engine.handle_request(request, secs(0));
        let Response::Ban(rows) = response else { panic!("{response:?}") };
        rows
    };
    assert_eq!(rows(&mut engine, "2001:db8::9"), [(prefix("2001:db8::/64"), BanOutcome::Banned)]);
    assert_eq!(rows(&mut engine, "2001:db8::9/128"), [(prefix("2001:db8::9"), BanOutcome::Banned)]);
    assert_eq!(rows(&mut engine, "64:ff9b::192.0.2.9"), [(prefix("64:ff9b::192.0.2.9"), BanOutcome::Banned)]);

    engine.reconfigure(Settings { ipv6_prefix: 56, ..settings() }, secs(1));
    line(&mut engine, "2001:db8:0:1ff::9", 3, 1);
    assert_eq!(rows(&mut engine, "2001:db8:0:200::9"), [(prefix("2001:db8:0:200::/56"), BanOutcome::Banned)]);
    let banned: Vec<String> = engine.bans().iter().map(|ban| ban.prefix.to_string()).collect();
    assert!(banned.contains(&"2001:db8:0:100::/56".to_owned()), "{banned:?}");
    assert_eq!(unban(&mut engine, &["2001:db8:0:1ff::7"]), [(prefix("2001:db8:0:100::/56"), true)]);
}

#[test]
fn no_neighbour_is_banned_for_an_allowed_ipv6_address() {
    let mut engine = engine();
    let friend = Allowed { prefix: prefix("2001:db8::7"), why: AllowReason::Configured };
    engine.reconfigure(Settings { allow: vec![friend], ..settings() }, secs(0));

    assert_eq!(ban(&mut engine, "2001:db8::7", None), BanOutcome::Refused(Refusal::AllowListed(friend)));
    assert_eq!(engine.bans().len(), 0);
    assert_eq!(ban(&mut engine, "2001:db8::9", None), BanOutcome::Banned);
}

#[test]
fn unbanning_forgets_what_was_counted() {
    let mut engine = engine();
    line(&mut engine, "192.0.2.9", 2, 0);
    line(&mut engine, "2001:db8::9", 2, 0);

    unban(&mut engine, &["192.0.2.9", "2001:db8::1"]);

    assert_eq!(engine.stats().tracked, 0);
}

#[test]
fn unbanning_all_lifts_every_ban_and_count() {
    let mut engine = engine();
    line(&mut engine, "192.0.2.9", 3, 0);
    ban(&mut engine, "192.0.2.9", None);
    ban(&mut engine, "198.51.100.0/24", None);
    line(&mut engine, "192.0.2.10", 1, 0);
    for_kernel(&mut engine);

    assert_eq!(engine.handle_request(Request::UnbanAll, secs(1)), Response::UnbanAll(3));

    assert_eq!(for_kernel(&mut engine), [lift("192.0.2.9"), lift("198.51.100.0/24")]);
    assert_eq!((engine.stats().tracked, engine.poll_timeout()), (0, None));
}

#[test]
fn unbanning_very_many_is_one_command_and_what_is_banned_later_stays() {
    let mut engine = engine();
    engine.track_changes();
    let many = u32::try_from(MAX_LIFTED_SINGLY).unwrap() + 1;
    let whom = (0..many).map(|number| Whom::Address(Ipv4Addr::from_bits(0x0a00_0000 + number).into())).collect();
    engine.handle_request(Request::Ban { whom, jail: None, ban_time: None, reason: None }, secs(0));
    line(&mut engine, "192.0.2.9", 3, 0);
    line(&mut engine, "192.0.2.10", 1, 0);
    for_kernel(&mut engine);
    engine.take_changes();
    let bans = MAX_LIFTED_SINGLY + 2;

    assert_eq!(engine.handle_request(Request::UnbanAll, secs(1)), Response::UnbanAll(bans));
    ban(&mut engine, "192.0.2.9", Some(60));

    assert_eq!(for_kernel(&mut engine), [Command::LiftAll { bans }, enforce("192.0.2.9", &[MANUAL], at(61))]);
    let stats = engine.stats();
    assert_eq!((stats.bans_v4, stats.tracked, engine.poll_timeout()), (1, 0, Some(secs(61))));
    let changes = engine.take_changes();
    assert!(changes.all_bans && changes.bans.len() == 1, "a store forgets all others");
    let dovecot = stats.jails.iter().find(|jail| jail.id == DOVECOT).expect("it is there");
    assert_eq!(dovecot.bans_in_force, 0);
}
