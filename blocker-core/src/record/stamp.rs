//! When a line says it was written: the fields as they stand, checked but not interpreted.
//!
//! Two shapes occur in front of log lines: RFC 3164 (`Nov 23 01:06:25`, no year, no zone) and ISO 8601
//! (`2026-11-23T01:11:33.070638+00:00`, also with a blank for the `T` and without an offset). What instant is meant
//! needs a zone and perhaps a year; that is for whoever knows them.

/// A date and a time of day, as a log line shows them.
///
/// A `Stamp` that came from a line has a day that its month has (29 February only in a leap year, or without a year)
/// and a time of day that exists; second 60 is a leap second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// The year, absent in RFC 3164.
    pub year: Option<i16>,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 60.
    pub second: u8,
    /// Nanoseconds within the second.
    pub nanos: u32,
    /// Seconds east of UTC, if the line says so.
    pub offset: Option<i32>,
}

impl Stamp {
    /// Reads a stamp at the start of `line` and gives what follows, beginning with the blank behind it.
    ///
    /// `None` if no stamp stands there, or if something other than a blank or the end follows.
    pub(super) fn read(line: &[u8]) -> Option<(Self, &[u8])> {
        let (stamp, rest) = match line.first()? {
            b'0'..=b'9' => read_iso(line)?,
            _ => read_rfc3164(line)?,
        };
        matches!(rest.first(), None | Some(b' ')).then_some(())?;
        stamp.is_real().then_some((stamp, rest))
    }

    fn is_real(self) -> bool {
        let Self { year, month, day, hour, minute, second, nanos, offset: _ } = self;
        let days = match month {
            2 if year.is_none_or(is_leap) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            _ => return false,
        };
        (1..=days).contains(&day) && hour < 24 && minute < 60 && second <= 60 && nanos < 1_000_000_000
    }
}

fn is_leap(year: i16) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// `Nov 23 01:06:25`, `Nov  3 01:06:25`, `Nov 3 01:06:25`.
fn read_rfc3164(line: &[u8]) -> Option<(Stamp, &[u8])> {
    let (name, rest) = line.split_first_chunk::<3>()?;
    let month = MONTHS.iter().zip(1..).find_map(|(known, number)| (*known == name).then_some(number))?;
    let rest = rest.strip_prefix(b" ")?;
    let rest = rest.strip_prefix(b" ").unwrap_or(rest);
    let digits = if rest.get(1)?.is_ascii_digit() { 2 } else { 1 };
    let (day, rest) = number(rest, digits)?;
    let (hour, minute, second, rest) = read_time(rest.strip_prefix(b" ")?)?;
    let day = u8::try_from(day).ok()?;
    Some((Stamp { year: None, month, day, hour, minute, second, nanos: 0, offset: None }, rest))
}

/// `2026-11-23T01:11:33.070638+00:00`, the fraction and the offset optional, a blank allowed for the `T`.
fn read_iso(line: &[u8]) -> Option<(Stamp, &[u8])> {
    let (year, rest) = number(line, 4)?;
    let (month, rest) = number(rest.strip_prefix(b"-")?, 2)?;
    let (day, rest) = number(rest.strip_prefix(b"-")?, 2)?;
    let rest = rest.strip_prefix(b"T").or_else(|| rest.strip_prefix(b" "))?;
    let (hour, minute, second, rest) = read_time(rest)?;
    let (nanos, rest) = match rest.strip_prefix(b".") {
        Some(fraction) => read_fraction(fraction)?,
        None => (0, rest),
    };
    let (offset, rest) = read_offset(rest)?;
    let year = Some(i16::try_from(year).ok()?);
    let (month, day) = (u8::try_from(month).ok()?, u8::try_from(day).ok()?);
    Some((Stamp { year, month, day, hour, minute, second, nanos, offset }, rest))
}

/// `01:06:25`.
fn read_time(text: &[u8]) -> Option<(u8, u8, u8, &[u8])> {
    let (hour, rest) = number(text, 2)?;
    let (minute, rest) = number(rest.strip_prefix(b":")?, 2)?;
    let (second, rest) = number(rest.strip_prefix(b":")?, 2)?;
    Some((u8::try_from(hour).ok()?, u8::try_from(minute).ok()?, u8::try_from(second).ok()?, rest))
}

/// One to nine digits behind the point, in nanoseconds.
fn read_fraction(text: &[u8]) -> Option<(u32, &[u8])> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (value, rest) = number(text, (1..=9).contains(&digits).then_some(digits)?)?;
    let missing = u32::try_from(9 - digits).ok()?;
    Some((value * 10_u32.pow(missing), rest))
}

/// `Z`, `+01:00`, `-0530`, or nothing.
fn read_offset(text: &[u8]) -> Option<(Option<i32>, &[u8])> {
    let sign = match text.first() {
        Some(b'Z') => return Some((Some(0), &text[1..])),
        Some(b'+') => 1,
        Some(b'-') => -1,
        Some(_) | None => return Some((None, text)),
    };
    let (hours, rest) = number(&text[1..], 2)?;
    let (minutes, rest) = number(rest.strip_prefix(b":").unwrap_or(rest), 2)?;
    let seconds = i32::try_from(hours * 3_600 + minutes * 60).ok()?;
    (hours < 24 && minutes < 60).then_some((Some(sign * seconds), rest))
}

/// Exactly `digits` decimal digits, at most nine.
fn number(text: &[u8], digits: usize) -> Option<(u32, &[u8])> {
    let (head, rest) = text.split_at_checked(digits)?;
    let value = head
        .iter()
        .try_fold(0_u32, |value, byte| byte.is_ascii_digit().then(|| value * 10 + u32::from(byte - b'0')))?;
    Some((value, rest))
}

const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(text: &str) -> Option<Stamp> {
        Stamp::read(text.as_bytes()).map(|(stamp, _)| stamp)
    }

    const NIGHT: Stamp =
        Stamp { year: None, month: 11, day: 23, hour: 1, minute: 6, second: 25, nanos: 0, offset: None };
    const ISO_NIGHT: Stamp = Stamp { year: Some(2026), ..NIGHT };

    #[test]
    fn reads_rfc3164_with_any_padding_of_the_day() {
        assert_eq!(stamp("Nov 23 01:06:25 mx1"), Some(NIGHT));
        assert_eq!(stamp("Nov  3 01:06:25"), Some(Stamp { day: 3, ..NIGHT }));
        assert_eq!(stamp("Nov 3 01:06:25"), Some(Stamp { day: 3, ..NIGHT }));
    }

    #[test]
    fn reads_iso_8601_with_and_without_fraction_and_offset() {
        for (text, nanos, offset) in [
            ("2026-11-23T01:06:25", 0, None),
            ("2026-11-23 01:06:25", 0, None),
            ("2026-11-23 01:06:25.5", 500_000_000, None),
            ("2026-11-23T01:06:25Z", 0, Some(0)),
            ("2026-11-23T01:06:25.070638+00:00", 70_638_000, Some(0)),
            ("2026-11-23T01:06:25.123456789Z", 123_456_789, Some(0)),
            ("2026-11-23T01:06:25+0000", 0, Some(0)),
            ("2026-11-23T01:06:25-05:30", 0, Some(-19_800)),
            ("2026-11-23 01:06:25+02:00", 0, Some(7_200)),
        ] {
            assert_eq!(stamp(text), Some(Stamp { nanos, offset, ..ISO_NIGHT }), "{text}");
        }
    }

    #[test]
    fn gives_back_what_follows_from_the_blank_on() {
        assert_eq!(Stamp::read(b"Nov 23 01:06:25 mx1 x").map(|(_, rest)| rest), Some(&b" mx1 x"[..]));
        assert_eq!(Stamp::read(b"2026-11-23T01:06:25Z").map(|(_, rest)| rest), Some(&b""[..]));
    }

    #[test]
    fn a_leap_day_needs_a_leap_year_or_none() {
        assert!(stamp("Feb 29 00:00:00").is_some());
        assert!(stamp("2028-02-29T00:00:00").is_some());
        assert!(stamp("2000-02-29T00:00:00").is_some());
        assert!(stamp("2026-02-29T00:00:00").is_none());
        assert!(stamp("2100-02-29T00:00:00").is_none());
        assert!(stamp("Feb 30 00:00:00").is_none());
    }

    #[test]
    fn refuses_dates_and_times_that_do_not_exist() {
        for text in [
            "",
            "Nov",
            "nov 23 01:06:25",
            "Nov 0 01:06:25",
            "Nov 31 01:06:25",
            "Nov 23 24:06:25",
            "Nov 23 01:60:25",
            "Nov 23 01:06:61",
            "Nov 23 1:06:25",
            "Nov   3 01:06:25",
            "Nov 23 01:06:25mx1",
            "2026-13-01T00:00:00",
            "2026-00-01T00:00:00",
            "2026-11-23T01:06:25.",
            "2026-11-23T01:06:25.1234567890",
            "2026-11-23T01:06:25+24:00",
            "2026-11-23T01:06:25+0",
            "2026-11-23T01:06",
            "26-11-23T01:06:25",
        ] {
            assert_eq!(stamp(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_leap_second_is_a_second() {
        assert_eq!(stamp("Nov 23 23:59:60").map(|stamp| stamp.second), Some(60));
    }
}
