//! Stamps with the month by its name.

use super::fields::{
    Field, byte, day, four, fraction, month, month_or_french, time, time_and_fraction, time_from, two, zone, zone_name,
};
use super::{Date, Stamp, Time, Zone};

/// `Nov 23 01:06:25`, `Nov  3 01:06:25`, `Nov 3 01:06:25`, also with a fraction: RFC 3164 and its users.
#[inline]
pub(super) fn month_day(text: &[u8]) -> Field<'_, Stamp> {
    let (month, rest) = month(text)?;
    let (day, rest) = day(byte(rest, b' ')?)?;
    let (time, rest) = time_and_fraction(byte(rest, b' ')?)?;
    Some((Stamp::civil(Date::Yearless { month, day }, time, Zone::Local)?, rest))
}

/// `PDT Apr 16 21:05:29`.
pub(super) fn zone_month_day(text: &[u8]) -> Field<'_, Stamp> {
    let (zone, rest) = zone_name(text)?;
    let (stamp, rest) = month_day(byte(rest, b' ')?)?;
    match stamp {
        Stamp::Civil { date, time, zone: _ } => Some((Stamp::Civil { date, time, zone }, rest)),
        Stamp::Unix { secs: _, nanos: _ } => None,
    }
}

/// `Oct 27 2015 09:24:46`.
pub(super) fn month_day_year(text: &[u8]) -> Field<'_, Stamp> {
    let (month, rest) = month(text)?;
    let (day, rest) = day(byte(rest, b' ')?)?;
    let (year, rest) = four(byte(rest, b' ')?)?;
    let (time, rest) = time_and_fraction(byte(rest, b' ')?)?;
    Some((Stamp::civil(Date::Full { year, month, day }, time, Zone::Local)?, rest))
}

/// `apr 16, 2013 8:32:13 AM`.
pub(super) fn month_day_year_half(text: &[u8]) -> Field<'_, Stamp> {
    let (month, rest) = month(text)?;
    let (day, rest) = day(byte(rest, b' ')?)?;
    let (year, rest) = four(rest.strip_prefix(b", ")?)?;
    let (hour, rest) = self::day(byte(rest, b' ')?)?;
    let (time, rest) = time_from(hour, rest)?;
    let rest = byte(rest, b' ')?;
    let (is_afternoon, rest) = match rest {
        [b'A' | b'a', b'M' | b'm', rest @ ..] => (false, rest),
        [b'P' | b'p', b'M' | b'm', rest @ ..] => (true, rest),
        _ => return None,
    };
    // 12 AM is midnight, 12 PM is noon.
    let hour = match (hour, is_afternoon) {
        (12, false) => 0,
        (12, true) => 12,
        (1..=11, false) => hour,
        (1..=11, true) => hour + 12,
        _ => return None,
    };
    Some((Stamp::civil(Date::Full { year, month, day }, Time { hour, ..time }, Zone::Local)?, rest))
}

/// `Apr-07-13 07:08:36`: the year of this century.
pub(super) fn month_dashed(text: &[u8]) -> Field<'_, Stamp> {
    let (month, rest) = month(text)?;
    let (day, rest) = two(byte(rest, b'-')?)?;
    let (year, rest) = two(byte(rest, b'-')?)?;
    let (time, rest) = time_and_fraction(byte(rest, b' ')?)?;
    Some((Stamp::civil(Date::Full { year: 2000 + i16::from(year), month, day }, time, Zone::Local)?, rest))
}

/// `Sat Jun 01 02:17:42 2013`, also with a fraction, and with a zone in front of the year as date(1) writes it.
pub(super) fn weekday(text: &[u8]) -> Field<'_, Stamp> {
    let (name, rest) = text.split_first_chunk::<3>()?;
    matches!(name, b"Mon" | b"Tue" | b"Wed" | b"Thu" | b"Fri" | b"Sat" | b"Sun").then_some(())?;
    let (month, rest) = month(byte(rest, b' ')?)?;
    let (day, rest) = day(byte(rest, b' ')?)?;
    let (time, rest) = time_and_fraction(byte(rest, b' ')?)?;
    let rest = byte(rest, b' ')?;
    let (zone, rest) = match zone_name(rest) {
        Some((zone, rest)) => (zone, byte(rest, b' ')?),
        None => (Zone::Local, rest),
    };
    let (year, rest) = four(rest)?;
    Some((Stamp::civil(Date::Full { year, month, day }, time, zone)?, rest))
}

/// `05/Mar/2007:14:39:21 +0100`, `17/Jun/2011 17:00:45`, `02/sept./2015:00:11:31 +0200`.
pub(super) fn day_slash_month(text: &[u8]) -> Field<'_, Stamp> {
    let (day, rest) = two(text)?;
    let (month, rest) = month_or_french(byte(rest, b'/')?)?;
    let (year, rest) = four(byte(rest, b'/')?)?;
    let (time, rest) = time(byte(rest, b':').or_else(|| byte(rest, b' '))?)?;
    finish(Date::Full { year, month, day }, time, rest)
}

/// `22-Jan-2013 22:28:21 +0200`, `22-Jan-2013 22:28:21.093`.
pub(super) fn day_dash_month(text: &[u8]) -> Field<'_, Stamp> {
    let (day, rest) = two(text)?;
    let (month, rest) = month(byte(rest, b'-')?)?;
    let (year, rest) = four(byte(rest, b'-')?)?;
    let (time, rest) = time(byte(rest, b' ')?)?;
    finish(Date::Full { year, month, day }, time, rest)
}

/// A fraction and a zone, both optional.
fn finish(date: Date, time: Time, rest: &[u8]) -> Field<'_, Stamp> {
    let (nanos, rest) = fraction(rest)?;
    let (zone, rest) = zone(rest)?;
    Some((Stamp::civil(date, Time { nanos, ..time }, zone)?, rest))
}
