//! Many banned hosts become one ban of their network.

use super::*;
use crate::aggregate::Aggregate;

const AFTER: u32 = 3;

fn aggregating() -> Settings {
    let mut settings = settings();
    for jail in &mut settings.jails {
        jail.repeat.aggregate = Some(Aggregate { after: AFTER, ipv4: 24, ipv6: 48 });
    }
    settings
}

fn network(engine: &Engine, named: &str) -> Option<BanInfo> {
    engine.bans().into_iter().find(|ban| ban.prefix == prefix(named))
}

#[test]
fn as_many_as_were_asked_for_have_their_network_banned_and_are_banned_on_themselves() {
    let mut engine = Engine::new(aggregating());
    for (number, at) in [(1, 0), (2, 10)] {
        line(&mut engine, &format!("198.51.100.{number}"), 3, at);
    }
    // Neither another network's nor what a command bans counts.
    line(&mut engine, "198.51.101.1", 3, 11);
    assert_eq!(ban(&mut engine, "198.51.100.99", None), BanOutcome::Banned);
    assert_eq!(network(&engine, "198.51.100.0/24"), None);

    line(&mut engine, "198.51.100.3", 3, 20);

    let wide = network(&engine, "198.51.100.0/24").expect("it is banned");
    assert_eq!((wide.jail, wide.started, wide.until), (DOVECOT, secs(20), at(3_620)));
    let Origin::Log { attempts, user: None, pattern } = &wide.origin else { panic!("{wide:?}") };
    assert_eq!((*attempts, &**pattern), (Attempts::whole(9), "3 of the network are banned"));
    assert_eq!(engine.bans().len(), 6, "the narrow ones stay");
    // Neighbours count no more, and the narrow bans end by themselves.
    line(&mut engine, "198.51.100.4", 9, 21);
    engine.handle_timeout(secs(3_615));
    let left: Vec<String> = engine.bans().iter().map(|ban| ban.prefix.to_string()).collect();
    assert_eq!(left, ["198.51.100.0/24", "198.51.100.3", "198.51.100.99"]);
}

#[test]
fn whoever_is_allowed_inside_passes_and_a_network_that_is_allowed_is_not_banned() {
    let office = Allowed { prefix: prefix("198.51.100.77"), why: AllowReason::Configured };
    let mut engine = Engine::new(Settings { allow: vec![office], ..aggregating() });
    for number in 1..=3 {
        line(&mut engine, &format!("198.51.100.{number}"), 3, 0);
    }

    assert!(network(&engine, "198.51.100.0/24").is_some());
    assert_eq!(engine.allowed_in(prefix("198.51.100.0/24")), [office.prefix], "the kernel lets it pass");
    line(&mut engine, "198.51.100.77", 9, 1);
    assert!(engine.bans().iter().all(|ban| ban.prefix != office.prefix));
}

#[test]
fn customers_have_no_network_banned_nor_does_a_stranger_while_bans_of_customers_are_held() {
    let brake = crate::brake::Limits { per_minute: None, logged_in_percent: Some(25) };
    let mut engine = Engine::new(Settings { brake, ..aggregating() });
    for number in 0..10 {
        let login = format!(
            "2026-11-23T01:11:33Z mx1 dovecot: imap-login: Login: user=<bob>, method=PLAIN, rip=198.51.100.{number}, \
             lip=203.0.113.1, mpid=77, TLS"
        );
        engine.handle_line(live(login.as_bytes()), secs(0));
    }
    // The directory refuses everybody.
    for number in 0..10 {
        line(&mut engine, &format!("198.51.100.{number}"), 3, 100);
    }
    line(&mut engine, "198.51.100.200", 3, 101);
    let banned = engine.bans().len();
    assert!(banned > AFTER as usize && engine.stats().brake.logged_in.on.is_some(), "{banned}");
    assert_eq!(network(&engine, "198.51.100.0/24"), None);

    engine.handle_timeout(secs(200));
    line(&mut engine, "198.51.100.201", 3, 201);
    assert!(network(&engine, "198.51.100.0/24").is_some());
}

#[test]
fn the_64s_of_one_48_are_neighbours_and_hosts_behind_a_translator_are_not() {
    let mut engine = Engine::new(aggregating());
    for number in 1..=3 {
        line(&mut engine, &format!("2001:db8:7:{number}::9"), 3, 0);
        line(&mut engine, &format!("64:ff9b::192.0.2.{number}"), 3, 0);
    }

    let wide: Vec<String> =
        engine.bans().iter().filter(|ban| ban.prefix.len() < 64).map(|ban| ban.prefix.to_string()).collect();
    assert_eq!(wide, ["2001:db8:7::/48"]);
}

#[test]
fn a_network_that_comes_back_is_banned_for_longer_and_none_ends_before_its_hosts() {
    let growth = Escalation { growth: Growth::Doubling, factor: Factor::ONE, max_time: None, random: Duration::ZERO };
    let engine_settings = || {
        let mut settings = aggregating();
        for jail in &mut settings.jails {
            jail.repeat.escalation = Some(growth.clone());
        }
        settings
    };
    let mut engine = Engine::new(engine_settings());
    for number in 1..=3 {
        line(&mut engine, &format!("198.51.100.{number}"), 3, 0);
    }
    assert_eq!(network(&engine, "198.51.100.0/24").expect("it is banned").until, at(3_600));

    for number in 4..=6 {
        line(&mut engine, &format!("198.51.100.{number}"), 3, 10_000);
    }
    assert_eq!(network(&engine, "198.51.100.0/24").expect("again").until, at(10_000 + 7_200), "for twice as long");

    let mut engine = Engine::new(engine_settings());
    line(&mut engine, "198.51.100.1", 3, 0);
    line(&mut engine, "198.51.100.1", 3, 4_000);
    for number in 2..=3 {
        line(&mut engine, &format!("198.51.100.{number}"), 3, 4_001);
    }
    let wide = network(&engine, "198.51.100.0/24").expect("it is banned");
    assert_eq!(wide.until, at(4_000 + 7_200), "as long as the host that came back");
}
