//! Too many bans by logs within a minute are held, and nothing is forgotten for it.

use super::*;
use crate::brake::{LEAST_LOGGED_IN, Limits};

const LIMIT: u32 = 3;

fn braked() -> Engine {
    Engine::new(Settings { brake: Limits { per_minute: Some(LIMIT), ..Limits::default() }, ..settings() })
}

fn source(number: u32) -> String {
    format!("198.51.100.{number}")
}

#[test]
fn beyond_the_limit_bans_are_held_and_who_goes_on_is_banned_when_there_is_room() {
    let mut engine = braked();
    for number in 0..5 {
        line(&mut engine, &source(number), 3, 10);
    }
    assert_eq!(engine.bans().len(), LIMIT as usize);
    let told: Vec<Event> =
        for_people(&mut engine).into_iter().filter(|event| matches!(event, Event::Brake(_))).collect();
    assert_eq!(told, [Event::Brake(BrakeChange::On(HoldReason::TooMany { limit: LIMIT }))], "once");
    let Held { failures, on } = engine.stats().brake.too_many;
    assert_eq!((failures, on.is_some(), engine.stats().tracked), (2, true, 2), "what was held stays counted");

    line(&mut engine, &source(3), 1, 69);
    assert_eq!(engine.bans().len(), LIMIT as usize, "there is no room yet");
    line(&mut engine, &source(3), 1, 71);

    assert_eq!(engine.bans().len(), LIMIT as usize + 1, "who went on is banned by a single try");
    assert!(!engine.bans().iter().any(|ban| ban.prefix == prefix(&source(4))), "who did not go on is not");
    drain(&mut engine);
    assert_eq!(engine.poll_timeout().map(|due| due <= secs(129)), Some(true));
    engine.handle_timeout(secs(129));
    let off = Event::Brake(BrakeChange::Off { why: HoldReason::TooMany { limit: LIMIT }, held: 3 });
    assert!(for_people(&mut engine).contains(&off), "a minute after the last");
    assert_eq!(engine.stats().brake.too_many, Held { failures: 3, on: None });
}

#[test]
fn commands_are_never_braked_and_need_no_room() {
    let mut engine = braked();
    for number in 0..10 {
        assert_eq!(ban(&mut engine, &format!("192.0.2.{number}"), None), BanOutcome::Banned);
    }
    for number in 0..LIMIT {
        line(&mut engine, &source(number), 3, 1);
    }
    line(&mut engine, &source(LIMIT), 3, 1);
    assert_eq!(engine.bans().len(), 10 + LIMIT as usize);

    assert_eq!(ban(&mut engine, "192.0.2.99", None), BanOutcome::Banned);
}

#[test]
fn whoever_is_held_for_long_takes_no_more_room_than_a_ban_would_need() {
    let mut engine = braked();
    for number in 0..LIMIT {
        line(&mut engine, &source(number), 3, 0);
    }
    for tries in 0..50 {
        line(&mut engine, &source(9), 1, 1 + tries);
    }

    assert_eq!(engine.tracker.failures(DOVECOT, prefix(&source(9))).len(), 3, "max_retry is 3");
}

#[test]
fn a_reload_that_takes_the_limit_away_lets_everything_go_on() {
    let mut engine = braked();
    for number in 0..5 {
        line(&mut engine, &source(number), 3, 10);
    }

    engine.reconfigure(settings(), secs(11));
    line(&mut engine, &source(4), 1, 11);

    assert_eq!(engine.bans().len(), LIMIT as usize + 1);
}

#[test]
fn customers_are_held_when_too_many_of_the_banned_are_such_and_strangers_are_banned_as_ever() {
    let mut engine = sharing();
    for number in 0..10 {
        logged_in(&mut engine, &source(number), "bob", 0);
    }
    // The directory refuses everybody.
    for number in 0..10 {
        line(&mut engine, &source(number), 3, 100);
    }

    assert_eq!(engine.bans().len(), LEAST_LOGGED_IN as usize);
    let told = brake_events(&mut engine);
    assert_eq!(told, [Event::Brake(BrakeChange::On(HoldReason::LoggedIn { percent: 25 }))], "once");
    let stats = engine.stats();
    assert_eq!((stats.brake.logged_in.failures, stats.brake.too_many.failures, stats.tracked), (5, 0, 5));

    for number in 100..112 {
        line(&mut engine, &source(number), 3, 101);
    }
    assert_eq!(engine.bans().len(), LEAST_LOGGED_IN as usize + 12, "strangers");
    line(&mut engine, &source(9), 1, 102);
    assert!(!is_banned(&engine, &source(9)), "6 of 18 are more than 25 %");

    engine.handle_timeout(secs(162));
    let off = BrakeChange::Off { why: HoldReason::LoggedIn { percent: 25 }, held: 6 };
    assert_eq!(brake_events(&mut engine), [Event::Brake(off)]);
    for number in 112..118 {
        line(&mut engine, &source(number), 3, 163);
    }
    line(&mut engine, &source(9), 1, 164);
    assert!(is_banned(&engine, &source(9)), "6 of 24 are not: by a single try");
}

#[test]
fn who_has_an_account_has_no_hold_for_his_guesses_at_others() {
    let mut engine = sharing();
    for number in 0..20 {
        logged_in(&mut engine, &source(number), "mallory", 0);
    }
    for number in 0..20 {
        line(&mut engine, &source(number), 3, 100);
    }
    assert_eq!(engine.bans().len(), 20, "nobody logged in as bob");
    assert_eq!(brake_events(&mut engine), []);
}

#[test]
fn a_login_counts_for_the_brake_wherever_it_is_told_and_whether_or_not_it_forgives() {
    let mut engine = sharing();
    let mut settings = sharing_settings();
    for jail in &mut settings.jails {
        jail.forgives = false;
    }
    engine.reconfigure(settings, secs(0));
    for number in 0..6 {
        // Of an address that is counted the line is read whole, of others it is not.
        if number % 2 == 0 {
            line(&mut engine, &source(number), 1, 0);
        }
        logged_in(&mut engine, &source(number), "bob", 1);
        line(&mut engine, &source(number), 3, 2);
    }

    assert_eq!((engine.bans().len(), engine.stats().brake.logged_in.failures), (5, 1));
}

#[test]
fn without_the_limit_nobody_is_held_and_no_login_is_kept() {
    let mut engine = sharing();
    engine.reconfigure(settings(), secs(0));
    for number in 0..10 {
        logged_in(&mut engine, &source(number), "bob", 0);
        line(&mut engine, &source(number), 3, 1);
    }
    assert_eq!(engine.bans().len(), 10);
    assert!(!engine.logins.has(prefix(&source(1)), b"bob", secs(1)));
}

fn sharing() -> Engine {
    Engine::new(sharing_settings())
}

fn sharing_settings() -> Settings {
    Settings { brake: Limits { per_minute: None, logged_in_percent: Some(25) }, ..settings() }
}

fn logged_in(engine: &mut Engine, from: &str, user: &str, at_secs: i64) {
    let bytes = format!(
        "2026-11-23T01:11:33.070638+00:00 mx1 dovecot: imap-login: Login: user=<{user}>, method=PLAIN, rip={from}, lip=203.0.113.1, mpid=77, TLS"
    );
    engine.handle_line(live(bytes.as_bytes()), secs(at_secs));
}

fn is_banned(engine: &Engine, whom: &str) -> bool {
    engine.bans().iter().any(|ban| ban.prefix == prefix(whom))
}

fn brake_events(engine: &mut Engine) -> Vec<Event> {
    for_people(engine).into_iter().filter(|event| matches!(event, Event::Brake(_))).collect()
}
