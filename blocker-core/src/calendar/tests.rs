//! What stamps mean, as a table: now, the stamp, the instant.

use proptest::prelude::*;

use super::*;
use crate::record::Form;

/// Central Europe, as a rule: summer time from the last Sunday of March, 01:00 UTC, to the last of October.
const BERLIN: &str = "CET-1CEST,M3.5.0,M10.5.0/3";

/// New York.
const NEW_YORK: &str = "EST5EDT,M3.2.0,M11.1.0";

#[test]
fn a_missing_year_is_the_last_in_which_the_day_has_begun() {
    for (now, stamp, instant) in [
        ("2026-11-23T12:00:00Z", "Nov 23 01:06:25", "2026-11-23T00:06:25Z"),
        ("2026-01-01T00:30:00+01:00", "Dec 31 23:59:59", "2025-12-31T22:59:59Z"),
        ("2026-01-01T00:30:00+01:00", "Jan  1 00:00:00", "2025-12-31T23:00:00Z"),
        // The turn of the year is the machine's: in UTC it is still 2025.
        ("2025-12-31T23:30:00Z", "Jan  1 00:10:00", "2025-12-31T23:10:00Z"),
        // A clock that is fast at the turn of the year.
        ("2025-12-31T22:59:00Z", "Jan  1 00:00:10", "2025-12-31T23:00:10Z"),
        ("2026-11-23T12:00:00Z", "Nov 24 01:00:00", "2026-11-24T00:00:00Z"),
        ("2026-11-23T12:00:00Z", "Nov 25 01:00:00", "2025-11-25T00:00:00Z"),
        ("2026-06-01T12:00:00Z", "Dec 24 18:00:00", "2025-12-24T17:00:00Z"),
        ("2026-06-01T12:00:00Z", "08-03 07:56:53", "2025-08-03T05:56:53Z"),
    ] {
        assert_eq!(instant_of(BERLIN, now, stamp), Some(wall(instant)), "{stamp} at {now}");
    }
}

#[test]
fn the_29th_of_february_is_that_of_the_last_leap_year() {
    for (now, instant) in [
        ("2026-03-05T12:00:00Z", "2024-02-29T12:00:00Z"),
        ("2028-02-29T13:00:00Z", "2028-02-29T12:00:00Z"),
        ("2028-02-28T11:00:00Z", "2024-02-29T12:00:00Z"),
        ("2028-03-01T00:00:00Z", "2028-02-29T12:00:00Z"),
        // 2100 is no leap year.
        ("2103-06-01T00:00:00Z", "2096-02-29T12:00:00Z"),
        ("2104-02-28T00:00:00Z", "2096-02-29T12:00:00Z"),
    ] {
        assert_eq!(instant_of("UTC0", now, "Feb 29 12:00:00"), Some(wall(instant)), "at {now}");
    }
}

#[test]
fn a_missing_date_is_today_or_yesterday() {
    for (now, stamp, instant) in [
        ("2026-11-23T12:00:00Z", "12:57:32.907", "2026-11-23T11:57:32.907Z"),
        ("2026-11-23T12:00:00Z", "14:57:32.907", "2026-11-22T13:57:32.907Z"),
        ("2026-11-22T23:30:00Z", "23:59:59.5", "2026-11-22T22:59:59.5Z"),
        // A minute fast, at midnight.
        ("2026-11-22T22:59:30Z", "00:00:10.0", "2026-11-22T23:00:10Z"),
    ] {
        assert_eq!(instant_of(BERLIN, now, stamp), Some(wall(instant)), "{stamp} at {now}");
    }
}

#[test]
fn offsets_and_zones_in_the_line_decide() {
    for (stamp, instant) in [
        ("2026-11-23T01:06:25Z", "2026-11-23T01:06:25Z"),
        ("2026-11-23T01:06:25+02:00", "2026-11-22T23:06:25Z"),
        ("2026-11-23T01:06:25.5-0530", "2026-11-23T06:36:25.5Z"),
        ("2026-11-23T01:06:25", "2026-11-23T00:06:25Z"),
        ("2026-07-23 01:06:25", "2026-07-22T23:06:25Z"),
        ("2026-11-23 01:06:25 UTC", "2026-11-23T01:06:25Z"),
        ("2026-11-23 01:06:25 +0100", "2026-11-23T00:06:25Z"),
        ("23/Nov/2026:01:06:25 -0800", "2026-11-23T09:06:25Z"),
        ("PDT Apr 16 21:05:29", "2026-04-17T04:05:29Z"),
        ("PST Apr 16 21:05:29", "2026-04-17T05:05:29Z"),
        ("CEST Apr 16 21:05:29", "2026-04-16T19:05:29Z"),
        ("CET Apr 16 21:05:29", "2026-04-16T20:05:29Z"),
        ("Thu Apr 16 21:05:29 CEST 2026", "2026-04-16T19:05:29Z"),
        ("1795394785.25", "2026-11-23T00:46:25.25Z"),
        ("@400000004c91b044077a9e94", "2010-09-16T05:50:50.125476500Z"),
    ] {
        assert_eq!(instant_of(BERLIN, "2026-11-23T12:00:00Z", stamp), Some(wall(instant)), "{stamp}");
    }
}

#[test]
fn an_abbreviation_means_what_the_machine_s_zone_means_by_it() {
    // China's standard time, not the central one of America.
    assert_eq!(instant_of("CST-8", "2026-11-23T12:00:00Z", "CST Nov 23 09:00:00"), Some(wall("2026-11-23T01:00:00Z")));
}

#[test]
fn the_hour_that_comes_twice_follows_the_line_before_it() {
    // Summer time ended on 2026-10-25 at 01:00 UTC: 02:30 was at 00:30 and at 01:30 UTC.
    let (first, second) = ("2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z");
    for (before, now, instant) in [
        (Some("2026-10-25T00:29:59Z"), "2026-10-25T12:00:00Z", first),
        (Some("2026-10-25T00:30:30Z"), "2026-10-25T12:00:00Z", first),
        (Some("2026-10-25T00:59:59Z"), "2026-10-25T12:00:00Z", second),
        (Some("2026-10-25T01:29:59Z"), "2026-10-25T12:00:00Z", second),
        (None, "2026-10-25T12:00:00Z", second),
        (None, "2026-10-25T00:40:00Z", first),
        (None, "2026-10-25T01:40:00Z", second),
    ] {
        let calendar = calendar(BERLIN, now);
        let before = before.map(|before| calendar.on_engine_clock(wall(before).as_nanosecond()));
        for stamp in ["Oct 25 02:30:00", "2026-10-25T02:30:00", "2026-10-25 02:30:00.000"] {
            let meant = on_wall_clock(&calendar, calendar.instant(&read(stamp), before).unwrap());
            assert_eq!(meant, wall(instant), "{stamp} after {before:?} at {now}");
        }
    }
    for (stamp, instant) in [("CEST Oct 25 02:30:00", first), ("CET Oct 25 02:30:00", second)] {
        assert_eq!(instant_of(BERLIN, "2026-10-25T12:00:00Z", stamp), Some(wall(instant)), "{stamp}");
    }
}

#[test]
fn the_hour_that_is_left_out_is_read_off_the_clock_that_was_not_put_forward() {
    // On 2026-03-29 at 01:00 UTC it was 03:00 at once.
    for (stamp, instant) in [
        ("Mar 29 01:59:59", "2026-03-29T00:59:59Z"),
        ("Mar 29 02:30:00", "2026-03-29T01:30:00Z"),
        ("Mar 29 03:00:00", "2026-03-29T01:00:00Z"),
    ] {
        assert_eq!(instant_of(BERLIN, "2026-03-29T12:00:00Z", stamp), Some(wall(instant)), "{stamp}");
    }
    assert_eq!(
        instant_of(NEW_YORK, "2026-03-08T20:00:00Z", "Mar  8 02:30:00"),
        Some(wall("2026-03-08T07:30:00Z")),
        "03:30 in summer time"
    );
}

#[test]
fn a_leap_second_is_the_second_after_59() {
    for stamp in ["2016-12-31T23:59:60Z", "2017-01-01 00:59:60 +0100"] {
        assert_eq!(instant_of("UTC0", "2026-11-23T12:00:00Z", stamp), Some(wall("2017-01-01T00:00:00Z")), "{stamp}");
    }
    assert_eq!(
        instant_of("UTC0", "2017-01-02T12:00:00Z", "Dec 31 23:59:60"),
        Some(wall("2017-01-01T00:00:00Z")),
        "without a year too"
    );
}

#[test]
fn what_lies_between_stamp_and_now_is_the_same_on_both_clocks() {
    // The machine has been up for 1000 s.
    let now = "2026-11-23T12:00:00Z";
    let calendar = Calendar::new(Timestamp::from_secs(1_000), wall(now), TimeZone::UTC);
    for (stamp, secs) in
        [("2026-11-23T11:59:50Z", 990), ("2026-11-23T11:00:00Z", -2_600), ("2026-11-23T12:00:05Z", 1_005)]
    {
        assert_eq!(calendar.instant(&read(stamp), None), Some(Timestamp::from_secs(secs)), "{stamp}");
    }
}

#[test]
fn ends_of_the_calendar_are_no_panic() {
    for stamp in
        ["9999-12-31T23:59:60-23:59", "0000-01-01T00:00:00+23:59", "9999999999.999999999", "0001-01-01 00:00:00"]
    {
        for now in ["9999-12-30T22:00:00Z", "-009999-01-02T01:59:59Z", "2026-11-23T12:00:00Z"] {
            for zone in [BERLIN, NEW_YORK, "UTC0"] {
                for stamp in [stamp, "Feb 29 00:00:00", "12:57:32.907"] {
                    std::hint::black_box(calendar(zone, now).instant(&read(stamp), None));
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn a_time_that_rsyslog_wrote_is_found_again(
        now in 1_600_000_000..2_000_000_000_i64,
        ago in 0..300 * 86_400_i64,
        zone in prop_oneof![Just(BERLIN), Just(NEW_YORK), Just("UTC0"), Just("<+0545>-5:45")],
    ) {
        let zone = TimeZone::posix(zone).unwrap();
        let now = WallTime::from_second(now).unwrap();
        let then = WallTime::from_second(now.as_second() - ago).unwrap();
        let calendar = Calendar::new(Timestamp::from_secs(7), now, zone.clone());
        let shown = zone.to_datetime(then);
        // The line before it was written at the same time.
        let before = Some(calendar.on_engine_clock(then.as_nanosecond()));

        for format in ["%b %e %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y/%m/%d %H:%M:%S", "%a %b %d %H:%M:%S %Y"] {
            let text = shown.strftime(format).to_string();
            let meant = on_wall_clock(&calendar, calendar.instant(&read(&text), before).unwrap());
            prop_assert_eq!(meant, then, "{} at {}", text, now);
        }
        let text = then.to_zoned(zone).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
        prop_assert_eq!(on_wall_clock(&calendar, calendar.instant(&read(&text), None).unwrap()), then);
    }

    #[test]
    fn a_stamp_without_a_year_is_never_far_in_the_future(
        now in 0..4_000_000_000_i64, month in 1..=12u8, day in 1..=29u8, hour in 0..24u8,
    ) {
        let calendar = Calendar::new(Timestamp::from_secs(0), WallTime::from_second(now).unwrap(), TimeZone::UTC);
        let time = Time { hour, minute: 0, second: 0, nanos: 0 };
        let stamp = Stamp::Civil { date: Date::Yearless { month, day }, time, zone: Zone::Local };

        let instant = i128::from(calendar.instant(&stamp, None).unwrap().as_nanos());
        prop_assert!(instant <= AHEAD);
        prop_assert!(instant > -8 * 366 * 86_400 * SECOND);
    }
}

fn instant_of(zone: &str, now: &str, stamp: &str) -> Option<WallTime> {
    let calendar = calendar(zone, now);
    let stamp = Form::read_any(stamp.as_bytes())?.1;
    calendar.instant(&stamp, None).map(|instant| on_wall_clock(&calendar, instant))
}

fn calendar(zone: &str, now: &str) -> Calendar {
    Calendar::new(Timestamp::from_secs(1_000_000), wall(now), TimeZone::posix(zone).expect("the zone is a rule"))
}

fn on_wall_clock(calendar: &Calendar, instant: Timestamp) -> WallTime {
    let nanos = calendar.wall.as_nanosecond() + i128::from(instant.as_nanos()) - i128::from(calendar.now.as_nanos());
    WallTime::from_nanosecond(nanos).expect("it is on the calendar")
}

fn read(stamp: &str) -> Stamp {
    Form::read_any(stamp.as_bytes()).unwrap_or_else(|| panic!("{stamp:?} is a stamp")).1
}

fn wall(text: &str) -> WallTime {
    text.parse().expect("a time in RFC 3339")
}
