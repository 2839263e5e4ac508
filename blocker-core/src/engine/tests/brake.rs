//! Too many bans by logs within a minute are held, and nothing is forgotten for it.

use super::*;

const LIMIT: u32 = 3;

fn braked() -> Engine {
    Engine::new(Settings { bans_per_minute: Some(LIMIT), ..settings() })
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
    let BrakeStats { held, on } = engine.stats().brake;
    assert_eq!((held, on.is_some(), engine.stats().tracked), (2, true, 2), "what was held stays counted");

    line(&mut engine, &source(3), 1, 69);
    assert_eq!(engine.bans().len(), LIMIT as usize, "there is no room yet");
    line(&mut engine, &source(3), 1, 71);

    assert_eq!(engine.bans().len(), LIMIT as usize + 1, "who went on is banned by a single try");
    assert!(!engine.bans().iter().any(|ban| ban.prefix == prefix(&source(4))), "who did not go on is not");
    drain(&mut engine);
    assert_eq!(engine.poll_timeout().map(|due| due <= secs(129)), Some(true));
    engine.handle_timeout(secs(129));
    let off = Event::Brake(BrakeChange::Off { held: 3 });
    assert!(for_people(&mut engine).contains(&off), "a minute after the last");
    assert_eq!(engine.stats().brake, BrakeStats { held: 3, on: None });
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
