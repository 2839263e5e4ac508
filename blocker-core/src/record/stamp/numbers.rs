//! Stamps in numbers alone.

use super::fields::{Field, byte, four, fraction, offset, time, time_and_fraction, two, zone};
use super::{Date, Stamp, Time, Zone};

/// `2026-11-23T01:11:33.070638+00:00`, with a blank for the `T`, without fraction or zone: ISO 8601 and RFC 3339.
pub(super) fn iso(text: &[u8]) -> Field<'_, Stamp> {
    // The form of most logs: looked at as a whole, without a branch for each digit.
    let (shown, rest) = text.split_first_chunk::<19>()?;
    let is_blank = shown[10] == b' ';
    let is_shape = (shown[4], shown[7], shown[13], shown[16]) == (b'-', b'-', b':', b':');
    if !is_shape || !(is_blank || matches!(shown[10], b'T' | b't')) {
        return None;
    }
    let digit = |at: usize| shown[at].wrapping_sub(b'0');
    let tens_of_hour = if is_blank && shown[11] == b' ' { 0 } else { digit(11) };
    let places = [0, 1, 2, 3, 5, 6, 8, 9, 12, 14, 15, 17, 18];
    if places.into_iter().fold(tens_of_hour, |largest, at| largest.max(digit(at))) > 9 {
        return None;
    }
    let pair = |at: usize| digit(at) * 10 + digit(at + 1);
    let date = Date::Full { year: i16::from(pair(0)) * 100 + i16::from(pair(2)), month: pair(5), day: pair(8) };
    let (nanos, rest) = fraction(rest)?;
    let time = Time { hour: tens_of_hour * 10 + digit(12), minute: pair(14), second: pair(17), nanos };
    let (zone, rest) = if is_blank { zone(rest)? } else { offset(rest)? };
    Some((Stamp::civil(date, time, zone)?, rest))
}

/// `2015/01/21 10:56:10`, `2011.11.21 14:29:16`.
pub(super) fn year_first(text: &[u8]) -> Field<'_, Stamp> {
    let (year, rest) = four(text)?;
    let [separator @ (b'/' | b'.'), rest @ ..] = rest else { return None };
    let (month, rest) = two(rest)?;
    let (day, rest) = two(byte(rest, *separator)?)?;
    behind_blank(Date::Full { year, month, day }, byte(rest, b' ')?)
}

/// A time with an optional fraction and zone, the zone perhaps behind a blank.
fn behind_blank(date: Date, text: &[u8]) -> Field<'_, Stamp> {
    let (time, rest) = time_and_fraction(text)?;
    let (zone, rest) = zone(rest)?;
    Some((Stamp::civil(date, time, zone)?, rest))
}

/// `11-06-2013 02:09:40`: the day first.
pub(super) fn day_month_year(text: &[u8]) -> Field<'_, Stamp> {
    let (day, rest) = two(text)?;
    let (month, rest) = two(byte(rest, b'-')?)?;
    let (year, rest) = four(byte(rest, b'-')?)?;
    let (time, rest) = time_and_fraction(byte(rest, b' ')?)?;
    Some((Stamp::civil(Date::Full { year, month, day }, time, Zone::Local)?, rest))
}

/// `10/06/2013 15:50:41`: the month first. `01/01/2014 - 01:25:17`: the day first.
///
/// Either way where it can only be the other: `25/06/2013` has no 25th month.
pub(super) fn slashes(text: &[u8]) -> Field<'_, Stamp> {
    let (first, rest) = two(text)?;
    let (second, rest) = two(byte(rest, b'/')?)?;
    let (year, rest) = four(byte(rest, b'/')?)?;
    let rest = byte(rest, b' ')?;
    let (is_day_first, rest) = match rest.strip_prefix(b"- ") {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let (time, rest) = time_and_fraction(rest)?;
    let date = |is_day_first| {
        let (day, month) = if is_day_first { (first, second) } else { (second, first) };
        Date::Full { year, month, day }
    };
    let stamp = Stamp::civil(date(is_day_first), time, Zone::Local)
        .or_else(|| Stamp::civil(date(!is_day_first), time, Zone::Local))?;
    Some((stamp, rest))
}

/// `08-03 07:56:53.026292`: month and day, no year.
pub(super) fn month_day(text: &[u8]) -> Field<'_, Stamp> {
    let (month, rest) = two(text)?;
    let (day, rest) = two(byte(rest, b'-')?)?;
    let (time, rest) = time_and_fraction(byte(rest, b' ')?)?;
    Some((Stamp::civil(Date::Yearless { month, day }, time, Zone::Local)?, rest))
}

/// `130324  0:04:00`: the year of this century.
pub(super) fn six_digits(text: &[u8]) -> Field<'_, Stamp> {
    let (year, rest) = two(text)?;
    let (month, rest) = two(rest)?;
    let (day, rest) = two(rest)?;
    let (time, rest) = time(byte(rest, b' ')?)?;
    Some((Stamp::civil(Date::Full { year: 2000 + i16::from(year), month, day }, time, Zone::Local)?, rest))
}

/// `20220407-12:11:06`.
pub(super) fn eight_digits(text: &[u8]) -> Field<'_, Stamp> {
    let (year, rest) = four(text)?;
    let (month, rest) = two(rest)?;
    let (day, rest) = two(rest)?;
    let (time, rest) = time_and_fraction(byte(rest, b'-')?)?;
    Some((Stamp::civil(Date::Full { year, month, day }, time, Zone::Local)?, rest))
}

/// `2014:07:02-00:17:45`.
pub(super) fn colons(text: &[u8]) -> Field<'_, Stamp> {
    let (year, rest) = four(text)?;
    let (month, rest) = two(byte(rest, b':')?)?;
    let (day, rest) = two(byte(rest, b':')?)?;
    let (time, rest) = time(byte(rest, b'-')?)?;
    Some((Stamp::civil(Date::Full { year, month, day }, time, Zone::Local)?, rest))
}

/// `12:57:32.907`: no date. The fraction must be there, or it could be the beginning of an address.
pub(super) fn time_alone(text: &[u8]) -> Field<'_, Stamp> {
    let (time, rest) = time(text)?;
    let (nanos, behind) = fraction(rest)?;
    (behind.len() < rest.len()).then_some(())?;
    Some((Stamp::civil(Date::Missing, Time { nanos, ..time }, Zone::Local)?, behind))
}
