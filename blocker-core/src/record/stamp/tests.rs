//! Every form, as a table, and as a property: what was written is read.

use proptest::prelude::*;

use super::*;

const NIGHT: Time = Time { hour: 1, minute: 6, second: 25, nanos: 0 };
const TODAY: Date = Date::Full { year: 2026, month: 11, day: 23 };
const SOME_DAY: Date = Date::Yearless { month: 11, day: 23 };
const LOCAL: Zone = Zone::Local;

#[test]
fn reads_every_form() {
    let half = Time { nanos: 500_000_000, ..NIGHT };
    let east = Zone::Offset(7_200);
    let midnight = Time { hour: 0, ..NIGHT };
    let afternoon = Time { hour: 13, ..NIGHT };
    let third = Date::Full { year: 2026, month: 11, day: 3 };
    let pacific = Zone::Named { name: "PDT", offset: -25_200 };
    for (text, form, date, time, zone) in [
        ("Nov 23 01:06:25", Form::MonthDay, SOME_DAY, NIGHT, LOCAL),
        ("Nov 23 01:06:25.5", Form::MonthDay, SOME_DAY, half, LOCAL),
        ("PDT Nov 23 01:06:25", Form::ZoneMonthDay, SOME_DAY, NIGHT, pacific),
        ("2026-11-23 01:06:25", Form::Iso, TODAY, NIGHT, LOCAL),
        ("2026-11-23  1:06:25", Form::Iso, TODAY, NIGHT, LOCAL),
        ("2026-11-23 01:06:25.500000", Form::Iso, TODAY, half, LOCAL),
        ("2026-11-23 01:06:25,500", Form::Iso, TODAY, half, LOCAL),
        ("2026-11-23 01:06:25.50 +02:00", Form::Iso, TODAY, half, east),
        ("2026-11-23 01:06:25 UTC", Form::Iso, TODAY, NIGHT, Zone::UTC),
        ("2026-11-23 01:06:25 GMT", Form::Iso, TODAY, NIGHT, Zone::UTC),
        ("2026-11-23T01:06:25", Form::Iso, TODAY, NIGHT, LOCAL),
        ("2026-11-23T01:06:25.5", Form::Iso, TODAY, half, LOCAL),
        ("2026-11-23T01:06:25.5Z", Form::Iso, TODAY, half, Zone::UTC),
        ("2026-11-23T01:06:25.5+0200", Form::Iso, TODAY, half, east),
        ("2026-11-23T01:06:25+02:00", Form::Iso, TODAY, NIGHT, east),
        ("2026/11/23 01:06:25", Form::YearFirst, TODAY, NIGHT, LOCAL),
        ("2026.11.23 01:06:25", Form::YearFirst, TODAY, NIGHT, LOCAL),
        ("Mon Nov 23 01:06:25 2026", Form::Weekday, TODAY, NIGHT, LOCAL),
        ("Mon Nov  3 01:06:25 2026", Form::Weekday, third, NIGHT, LOCAL),
        ("Mon Nov 23 01:06:25.5 2026", Form::Weekday, TODAY, half, LOCAL),
        ("Mon Nov 23 01:06:25 PDT 2026", Form::Weekday, TODAY, NIGHT, pacific),
        ("Nov 23 2026 01:06:25", Form::MonthDayYear, TODAY, NIGHT, LOCAL),
        ("23/Nov/2026:01:06:25 +0200", Form::DaySlashMonth, TODAY, NIGHT, east),
        ("23/Nov/2026:01:06:25 GMT", Form::DaySlashMonth, TODAY, NIGHT, Zone::UTC),
        ("23/Nov/2026:01:06:25", Form::DaySlashMonth, TODAY, NIGHT, LOCAL),
        ("23/nov./2026:01:06:25 +0200", Form::DaySlashMonth, TODAY, NIGHT, east),
        ("23/Nov/2026 01:06:25", Form::DaySlashMonth, TODAY, NIGHT, LOCAL),
        ("23-Nov-2026 01:06:25 +0200", Form::DayDashMonth, TODAY, NIGHT, east),
        ("23-Nov-2026 01:06:25.500", Form::DayDashMonth, TODAY, half, LOCAL),
        ("Nov-23-26 01:06:25", Form::MonthDashed, TODAY, NIGHT, LOCAL),
        ("23-11-2026 01:06:25", Form::DayMonthYear, TODAY, NIGHT, LOCAL),
        ("23/11/2026 - 01:06:25", Form::Slashes, TODAY, NIGHT, LOCAL),
        ("11/23/2026 01:06:25", Form::Slashes, TODAY, NIGHT, LOCAL),
        ("11-23 01:06:25.500000", Form::NumberedMonthDay, SOME_DAY, half, LOCAL),
        ("nov 23, 2026 1:06:25 AM", Form::MonthDayYearHalf, TODAY, NIGHT, LOCAL),
        ("Nov 23, 2026 12:06:25 AM", Form::MonthDayYearHalf, TODAY, midnight, LOCAL),
        ("Nov 3, 2026 1:06:25 PM", Form::MonthDayYearHalf, third, afternoon, LOCAL),
        ("261123 01:06:25", Form::SixDigits, TODAY, NIGHT, LOCAL),
        ("261123  1:06:25", Form::SixDigits, TODAY, NIGHT, LOCAL),
        ("20261123-01:06:25", Form::EightDigits, TODAY, NIGHT, LOCAL),
        ("2026:11:23-01:06:25", Form::Colons, TODAY, NIGHT, LOCAL),
        ("01:06:25.5", Form::TimeAlone, Date::Missing, half, LOCAL),
        ("01:06:25,500", Form::TimeAlone, Date::Missing, half, LOCAL),
    ] {
        let stamp = Stamp::Civil { date, time, zone };
        assert_eq!(Form::read_any(text.as_bytes()), Some((form, stamp, &b""[..])), "{text}");
        let followed = format!("{text} mx1");
        assert_eq!(Form::read_any(followed.as_bytes()), Some((form, stamp, &b" mx1"[..])), "{text}");
    }
    for (text, form, secs, nanos) in [
        ("1373330716", Form::Epoch, 1_373_330_716, 0),
        ("1373330716.415", Form::Epoch, 1_373_330_716, 415_000_000),
        ("@400000004c91b044077a9e94", Form::Tai64n, 1_284_616_250, 125_476_500),
    ] {
        assert_eq!(Form::read_any(text.as_bytes()), Some((form, Stamp::Unix { secs, nanos }, &b""[..])), "{text}");
    }
}

#[test]
fn of_two_numbers_with_slashes_the_form_tells_which_is_the_month() {
    let date = |day, month| Stamp::Civil { date: Date::Full { year: 2013, month, day }, time: NIGHT, zone: LOCAL };
    for (text, stamp) in [
        ("10/06/2013 01:06:25", date(6, 10)),
        ("10/06/2013 - 01:06:25", date(10, 6)),
        ("25/06/2013 01:06:25", date(25, 6)),
        ("06/25/2013 - 01:06:25", date(25, 6)),
        ("10-06-2013 01:06:25", date(10, 6)),
    ] {
        assert_eq!(Form::read_any(text.as_bytes()).map(|read| read.1), Some(stamp), "{text}");
    }
    assert_eq!(Form::read_any(b"25/25/2013 01:06:25"), None);
    assert_eq!(Form::read_any(b"06-25-2013 01:06:25"), None, "with dashes nobody writes the month first");
}

#[test]
fn french_months_are_known_and_not_mistaken_for_english_ones() {
    for (name, month) in [
        ("janv.", 1),
        ("f\u{e9}vr.", 2),
        ("mars", 3),
        ("avr.", 4),
        ("mai", 5),
        ("juin", 6),
        ("juil.", 7),
        ("ao\u{fb}t", 8),
        ("sept.", 9),
        ("oct.", 10),
        ("nov.", 11),
        ("d\u{e9}c.", 12),
    ] {
        let text = format!("02/{name}/2015:00:11:31 +0200");
        let Some((_, Stamp::Civil { date, .. }, b"")) = Form::read_any(text.as_bytes()) else { panic!("{text}") };
        assert_eq!(date, Date::Full { year: 2015, month, day: 2 }, "{text}");
    }
}

#[test]
fn a_zone_s_name_behind_a_blank_is_a_whole_word_or_none() {
    for (text, rest) in [
        ("2026-11-23 01:06:25 UTC mx1", " mx1"),
        ("2026-11-23 01:06:25 UTCx mx1", " UTCx mx1"),
        ("2026-11-23 01:06:25 UTC-mx mx1", " UTC-mx mx1"),
        ("2026-11-23 01:06:25 GMT[7]: x", " GMT[7]: x"),
        ("2026-11-23 01:06:25 CET mx1", " CET mx1"),
        ("2026-11-23 01:06:25 -0500 mx1", " mx1"),
        ("2026-11-23 01:06:25 - mx1", " - mx1"),
        ("2026-11-23 01:06:25 -05003 x", " -05003 x"),
        ("2026-11-23 01:06:25 +99:99 x", " +99:99 x"),
    ] {
        assert_eq!(Form::read_any(text.as_bytes()).map(|read| read.2), Some(rest.as_bytes()), "{text}");
    }
}

#[test]
fn a_leap_day_needs_a_leap_year_or_none() {
    for text in ["Feb 29 00:00:00", "2028-02-29T00:00:00", "2000-02-29T00:00:00", "02-29 00:00:00"] {
        assert!(Form::read_any(text.as_bytes()).is_some(), "{text}");
    }
    for text in
        ["2026-02-29T00:00:00", "2100-02-29T00:00:00", "Feb 30 00:00:00", "29/Feb/2026:00:00:00", "260229 00:00:00"]
    {
        assert_eq!(Form::read_any(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn refuses_dates_and_times_that_do_not_exist() {
    for text in [
        "",
        "Nov",
        "NOV 23 01:06:25",
        "Nov 0 01:06:25",
        "Nov 31 01:06:25",
        "Nov 23 24:06:25",
        "Nov 23 01:60:25",
        "Nov 23 01:06:61",
        "Nov 23 1:06:25",
        "Nov   3 01:06:25",
        "Nov 23 01:06:25mx1",
        "Nov 23 01:06:25:17",
        "2026-13-01T00:00:00",
        "2026-00-01T00:00:00",
        "2026-11-23T01:06:25.",
        "2026-11-23T01:06:25.1234567890",
        "2026-11-23T01:06:25+24:00",
        "2026-11-23T01:06:25+0",
        "2026-11-23T01:06",
        "26-11-23T01:06:25",
        "Nov 23, 2026 0:06:25 AM",
        "Nov 23, 2026 13:06:25 PM",
        "Nov 23, 2026 1:06:25 XM",
        "23/Nov/26:01:06:25",
        "XYZ Nov 23 01:06:25",
        "UTCX Nov 23 01:06:25",
        "01:06:25",
        "137333071",
        "13733307160",
        "@400000004c91b044ffffffff",
        "@400000004c91b044077a9e9",
        "@000000004c91b044077a9eg4",
    ] {
        assert_eq!(Form::read_any(text.as_bytes()), None, "{text:?}");
    }
}

#[test]
fn a_leap_second_is_a_second() {
    let Some((_, Stamp::Civil { time, .. }, _)) = Form::read_any(b"Nov 23 23:59:60") else { panic!("a stamp") };
    assert_eq!(time.second, 60);
}

/// A form, and a random date and time in it.
#[derive(Clone, Debug)]
struct Written {
    form: Form,
    text: String,
    stamp: Stamp,
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

fn written() -> impl Strategy<Value = Written> {
    let date = (2000..2100_i16, 1..=12_u8, 1..=28_u8);
    let time = (0..24_u8, 0..60_u8, 0..=60_u8, prop_oneof![Just(0_u32), 0..1_000_000_u32]);
    let zone = prop_oneof![Just(0_i32), -1_439..1_440_i32];
    (prop::sample::select(&Form::ALL[..]), date, time, zone, 0..8_u32)
        .prop_map(|(form, date, time, zone, style)| write(form, date, time, zone, style))
}

/// Writes a stamp by itself; `style` chooses among what is optional in the form.
fn write(form: Form, (year, month, day): (i16, u8, u8), time: (u8, u8, u8, u32), minutes: i32, style: u32) -> Written {
    let (hour, minute, second, micros) = time;
    let name = MONTHS[usize::from(month) - 1];
    let weekday = WEEKDAYS[usize::from(day) % 7];
    let clock = format!("{hour:02}:{minute:02}:{second:02}");
    let fraction = match style & 1 {
        0 => String::new(),
        _ => format!(".{micros:06}"),
    };
    let sign = if minutes < 0 { '-' } else { '+' };
    let (hours_off, minutes_off) = (minutes.abs() / 60, minutes.abs() % 60);
    let offset = match style & 6 {
        0 => String::new(),
        2 => format!("{sign}{hours_off:02}{minutes_off:02}"),
        4 => format!("{sign}{hours_off:02}:{minutes_off:02}"),
        _ => "Z".to_owned(),
    };
    let behind_blank = match style & 6 {
        0 => String::new(),
        2 => format!(" {sign}{hours_off:02}{minutes_off:02}"),
        4 => format!(" {sign}{hours_off:02}:{minutes_off:02}"),
        _ => " UTC".to_owned(),
    };
    let padded_day = if style & 2 == 0 { format!("{day:2}") } else { format!("{day:02}") };
    let (half, half_name) = match hour {
        0 => (12, "AM"),
        1..=11 => (hour, "AM"),
        12 => (12, "PM"),
        _ => (hour - 12, "PM"),
    };
    let full = Date::Full { year, month, day };
    let yearless = Date::Yearless { month, day };
    let has_offset = [Form::Iso, Form::YearFirst, Form::DaySlashMonth, Form::DayDashMonth].contains(&form);
    let has_fraction = ![Form::MonthDayYearHalf, Form::SixDigits, Form::Colons].contains(&form);
    let secs = 1_000_000_000 + i64::from(year) * 100_000 + i64::from(second);
    let unix = |text, nanos| Written { form, text, stamp: Stamp::Unix { secs, nanos } };
    let (text, date) = match form {
        Form::MonthDay => (format!("{name} {padded_day} {clock}{fraction}"), yearless),
        Form::ZoneMonthDay => (format!("CET {name} {padded_day} {clock}{fraction}"), yearless),
        Form::Iso if style & 4 == 0 => (format!("{year:04}-{month:02}-{day:02} {clock}{fraction}{behind_blank}"), full),
        Form::Iso => (format!("{year:04}-{month:02}-{day:02}T{clock}{fraction}{offset}"), full),
        Form::YearFirst => (format!("{year:04}/{month:02}/{day:02} {clock}{fraction}{behind_blank}"), full),
        Form::Weekday => (format!("{weekday} {name} {padded_day} {clock}{fraction} {year:04}"), full),
        Form::DaySlashMonth => (format!("{day:02}/{name}/{year:04}:{clock}{fraction}{behind_blank}"), full),
        Form::DayDashMonth => (format!("{day:02}-{name}-{year:04} {clock}{fraction}{behind_blank}"), full),
        Form::MonthDayYear => (format!("{name} {padded_day} {year:04} {clock}{fraction}"), full),
        Form::MonthDayYearHalf => (format!("{name} {day}, {year:04} {half}:{minute:02}:{second:02} {half_name}"), full),
        Form::MonthDashed => (format!("{name}-{day:02}-{:02} {clock}{fraction}", year % 100), full),
        Form::DayMonthYear => (format!("{day:02}-{month:02}-{year:04} {clock}{fraction}"), full),
        Form::Slashes if style & 2 == 0 => (format!("{month:02}/{day:02}/{year:04} {clock}{fraction}"), full),
        Form::Slashes => (format!("{day:02}/{month:02}/{year:04} - {clock}{fraction}"), full),
        Form::NumberedMonthDay => (format!("{month:02}-{day:02} {clock}{fraction}"), yearless),
        Form::SixDigits => (format!("{:02}{month:02}{day:02} {clock}", year % 100), full),
        Form::EightDigits => (format!("{year:04}{month:02}{day:02}-{clock}{fraction}"), full),
        Form::Colons => (format!("{year:04}:{month:02}:{day:02}-{clock}"), full),
        Form::TimeAlone => (format!("{clock}.{micros:06}"), Date::Missing),
        Form::Epoch if style & 1 == 0 => return unix(format!("{secs}"), 0),
        Form::Epoch => return unix(format!("{secs}.{micros:06}"), micros * 1_000),
        Form::Tai64n => {
            let label = (1_i64 << 62) + 10 + secs;
            return unix(format!("@{label:016x}{:08x}", micros * 1_000), micros * 1_000);
        }
    };
    let zone = match style & 6 {
        _ if form == Form::ZoneMonthDay => Zone::Named { name: "CET", offset: 3_600 },
        2 | 4 if has_offset => Zone::Offset(minutes * 60),
        6 if has_offset => Zone::UTC,
        _ => Zone::Local,
    };
    let has_fraction = form == Form::TimeAlone || (has_fraction && style & 1 == 1);
    let nanos = if has_fraction { micros * 1_000 } else { 0 };
    Written { form, text, stamp: Stamp::Civil { date, time: Time { hour, minute, second, nanos }, zone } }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn what_was_written_is_read(written in written(), follows in prop::sample::select(&["", " mx1 x", "] x", "\tx"][..])) {
        let Written { form, text, stamp } = written;
        let line = format!("{text}{follows}");

        prop_assert_eq!(Form::read_any(line.as_bytes()), Some((form, stamp, follows.as_bytes())), "{}", line);
    }

    #[test]
    fn no_text_is_a_stamp_in_two_forms(
        written in written(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(&b" 0123456789:-/.,+TZPMAJNov[]@"[..]), 0..3_u8), 0..4),
    ) {
        let mut text = written.text.into_bytes();
        for (place, byte, kind) in edits {
            let place = place.index(text.len() + 1);
            match kind {
                0 => text.insert(place, byte),
                1 if place < text.len() => text[place] = byte,
                _ if place < text.len() => drop(text.remove(place)),
                _ => text.push(byte),
            }
        }
        let forms: Vec<Form> = Form::ALL.into_iter().filter(|form| form.read(&text).is_some()).collect();

        prop_assert!(forms.len() <= 1, "{:?} in {:?}", forms, text.escape_ascii().to_string());
    }

    #[test]
    fn arbitrary_bytes_never_panic(text in prop::collection::vec(any::<u8>(), 0..60)) {
        for form in Form::ALL {
            if let Some((_, rest)) = form.read(&text) {
                prop_assert!(text.ends_with(rest));
            }
        }
    }
}
