//! Lines that were in their log before reading of it began.

use super::*;

#[test]
fn past_lines_count_from_when_they_were_written_and_their_ban_begins_now() {
    let mut engine = engine_at_noon();
    for (stamp, from) in [
        ("Nov 23 11:49:59", "192.0.2.1"),
        ("Nov 23 11:50:01", "192.0.2.2"),
        ("Nov 23 11:50:02", "192.0.2.2"),
        ("Nov 23 11:59:59", "192.0.2.2"),
    ] {
        past(&mut engine, stamp, &failed(from, 1));
    }

    assert_eq!(for_kernel(&mut engine), [enforce("192.0.2.2", &[DOVECOT], at(NOON + 3_600))]);
    let stats = engine.stats();
    assert_eq!((stats.failures, stats.jails[0].failures, stats.jails[0].too_old), (4, 3, 1));
    assert_eq!(stats.tracked, 0, "the one of ten minutes ago and a second is too old");
}

#[test]
fn a_past_line_from_the_future_counts_now() {
    let mut engine = engine_at_noon();
    past(&mut engine, "Nov 23 12:05:00", &failed("192.0.2.9", 1));

    let [Event::Found(found)] = &for_people(&mut engine)[..] else { panic!("found") };
    assert_eq!(found.made, secs(NOON));
}

#[test]
fn a_past_line_without_a_time_is_ignored_and_counted() {
    let mut engine = engine_at_noon();
    let bytes = format!("mx1 dovecot: {}", failed("192.0.2.9", 9));
    engine.handle_line(Line { past: true, ..live(bytes.as_bytes()) }, secs(NOON));

    let events = for_people(&mut engine);
    assert!(matches!(events[..], [Event::Ignored { why: IgnoreReason::Undated, .. }]), "{events:?}");
    assert_eq!((engine.stats().jails[0].ignored, engine.stats().jails[0].too_old), (1, 1));
    engine.handle_line(live(bytes.as_bytes()), secs(NOON));
    assert_eq!(for_kernel(&mut engine).len(), 1, "live it counts");
}

#[test]
fn a_live_line_is_judged_at_its_arrival_whatever_it_says() {
    let mut engine = engine_at_noon();
    for stamp in ["Jan  1 00:00:00", "2099-11-23T12:00:00Z", "1000000000.5"] {
        let bytes = format!("{stamp} mx1 dovecot: {}", failed("192.0.2.9", 1));
        engine.handle_line(live(bytes.as_bytes()), secs(NOON));
    }

    assert_eq!(for_kernel(&mut engine), [enforce("192.0.2.9", &[DOVECOT], at(NOON + 3_600))]);
}

#[test]
fn past_and_live_lines_add_up() {
    let mut engine = engine_at_noon();
    past(&mut engine, "Nov 23 11:55:00", &failed("192.0.2.9", 1));
    line(&mut engine, "192.0.2.9", 1, NOON + 10);
    assert_eq!(for_kernel(&mut engine), []);
    line(&mut engine, "192.0.2.9", 1, NOON + 299);

    assert_eq!(for_kernel(&mut engine), [enforce("192.0.2.9", &[DOVECOT], at(NOON + 299 + 3_600))]);
}

#[test]
fn a_clock_that_was_set_moves_no_past_line_that_is_read_after_the_calendar_was() {
    let mut engine = engine_at_noon();
    // An hour later on the engine's clock the wall clock has been set back to noon.
    let later = Calendar::new(secs(NOON + 3_600), "2026-11-23T12:00:00Z".parse().unwrap(), TimeZone::UTC);
    engine.set_calendar(later);
    let bytes = format!("Nov 23 11:59:00 mx1 dovecot: {}", failed("192.0.2.9", 1));
    engine.handle_line(Line { past: true, ..live(bytes.as_bytes()) }, secs(NOON + 3_600));

    let [Event::Found(found)] = &for_people(&mut engine)[..] else { panic!("found") };
    assert_eq!(found.made, secs(NOON + 3_540));
}
