//! Jails whose filter is one of fail2ban's.

use super::*;
use crate::filter::fail2ban::{Definition, Fail2ban};

const OTHER_LOG: LogId = LogId::new(4);

fn engine(failregex: &[&str], counter: Counter) -> Engine {
    let definition = Definition {
        name: "x".to_owned(),
        failregex: failregex.iter().map(|&source| source.to_owned()).collect(),
        maxlines: 1,
        ..Definition::default()
    };
    let filter = Filter::Fail2ban(Fail2ban::compile(definition).unwrap().into());
    let mut settings = settings();
    settings.jails[0] = jail(DOVECOT, "x", Some(filter), Limits { counter, ..limits() });
    Engine::new(settings)
}

fn found(engine: &mut Engine) -> usize {
    for_people(engine).iter().filter(|event| matches!(event, Event::Found(_))).count()
}

#[test]
fn a_line_of_whose_header_nothing_is_known_is_judged_too() {
    let mut engine = engine(&["^\\{\"failed\":\"<ADDR>\",\"at\":\"\"\\}$"], Counter::Exact);
    let bytes = b"{\"failed\":\"192.0.2.9\",\"at\":\"2026-11-23 01:06:25\"}";

    engine.handle_line(live(bytes), secs(0));
    engine.handle_line(live(b"{}"), secs(0));

    let stats = engine.stats();
    assert_eq!((found(&mut engine), stats.failures, stats.malformed, stats.lines), (1, 1, 1, 2));
}

#[test]
fn the_time_of_a_line_from_before_is_found_wherever_the_filter_finds_it() {
    let mut engine = engine(&["^\\{\"failed\":\"<ADDR>\",\"at\":\"\"\\}$"], Counter::Exact);
    engine.set_calendar(Calendar::new(secs(NOON), "2026-11-23T12:00:00Z".parse().unwrap(), TimeZone::UTC));
    for time in ["11:59:00", "11:40:00"] {
        let line = format!("{{\"failed\":\"192.0.2.9\",\"at\":\"2026-11-23 {time}\"}}");
        engine.handle_line(Line { past: true, ..live(line.as_bytes()) }, secs(NOON));
    }

    assert_eq!(found(&mut engine), 1);
    assert_eq!(engine.stats().jails[0].too_old, 1, "that of twenty minutes before is");
}

#[test]
fn what_only_helps_is_no_failure_and_joins_lines_of_its_own_log_alone() {
    let mut engine = engine(
        &[
            "^ mx1 s\\[<F-MLFID>\\d+</F-MLFID>\\]: <F-NOFAIL>from</F-NOFAIL> <HOST>$",
            "^ mx1 s\\[<F-MLFID>\\d+</F-MLFID>\\]: bad$",
        ],
        Counter::Exact,
    );
    let mut told = |log: LogId, text: &str| {
        let bytes = syslog(&format!("mx1 s[7]: {text}"));
        engine.handle_line(Line { log, ..live(bytes.as_bytes()) }, secs(0));
        found(&mut engine)
    };

    assert_eq!([told(LOG, "from 192.0.2.9"), told(OTHER_LOG, "bad"), told(LOG, "bad")], [0, 0, 1]);
    let stats = engine.stats();
    assert_eq!((stats.failures, stats.ignored, stats.no_match, stats.fail2ban.sessions), (1, 2, 0, 2));
}

/// Five failures that no window of 600 s holds together: fail2ban bans, and the exact window does not.
#[test]
fn the_counter_of_a_jail_is_what_its_limits_say() {
    for (counter, bans) in [(Counter::Exact, 0), (Counter::Fail2ban, 1)] {
        let mut engine = engine(&["^ bad <HOST>$"], counter);
        let mut settings = settings();
        settings.jails[0] =
            Jail { limits: Limits { max_retry: 5, ..engine.jails[0].limits }, ..engine.jails[0].clone() };
        engine.reconfigure(settings, secs(0));
        for second in [0, 0, 0, 500, 650] {
            engine.handle_line(live(b"2026-11-23 01:06:25 bad 192.0.2.9"), secs(second));
        }

        assert_eq!(engine.bans().len(), bans, "{counter:?}");
    }
}
