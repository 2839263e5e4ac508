//! The fields that stamps are made of: numbers of a fixed width, names of months, times of day, fractions, zones.
//!
//! Each function reads one field at the start of a text and gives what follows; `None` if it does not stand there.

use super::{Time, Zone};

/// A field and what follows it.
pub(super) type Field<'a, T> = Option<(T, &'a [u8])>;

/// Exactly two decimal digits.
#[inline]
pub(super) fn two(text: &[u8]) -> Field<'_, u8> {
    let [tens, ones, rest @ ..] = text else { return None };
    Some((digit(*tens)? * 10 + digit(*ones)?, rest))
}

/// Exactly four decimal digits: a year.
#[inline]
pub(super) fn four(text: &[u8]) -> Field<'_, i16> {
    let (high, rest) = two(text)?;
    let (low, rest) = two(rest)?;
    Some((i16::from(high) * 100 + i16::from(low), rest))
}

/// Two digits, of which the first may be a blank; or one.
#[inline]
pub(super) fn day(text: &[u8]) -> Field<'_, u8> {
    match text {
        [b' ', ones, rest @ ..] => Some((digit(*ones)?, rest)),
        [tens, ones, rest @ ..] if ones.is_ascii_digit() => Some((digit(*tens)? * 10 + digit(*ones)?, rest)),
        [ones, rest @ ..] => Some((digit(*ones)?, rest)),
        [] => None,
    }
}

/// The single byte `byte`.
#[inline]
pub(super) fn byte(text: &[u8], byte: u8) -> Option<&[u8]> {
    match text {
        [first, rest @ ..] if *first == byte => Some(rest),
        _ => None,
    }
}

/// `01:06:25`, the hour also as ` 1`.
#[inline]
pub(super) fn time(text: &[u8]) -> Field<'_, Time> {
    let [tens, ones, rest @ ..] = text else { return None };
    let tens = if *tens == b' ' { 0 } else { digit(*tens)? };
    time_from(tens * 10 + digit(*ones)?, rest)
}

/// `:06:25` behind an hour.
#[inline]
pub(super) fn time_from(hour: u8, text: &[u8]) -> Field<'_, Time> {
    let [b':', minute_tens, minute_ones, b':', second_tens, second_ones, rest @ ..] = text else { return None };
    let minute = digit(*minute_tens)? * 10 + digit(*minute_ones)?;
    let second = digit(*second_tens)? * 10 + digit(*second_ones)?;
    Some((Time { hour, minute, second, nanos: 0 }, rest))
}

/// `01:06:25`, `01:06:25.070638` or `01:06:25,121`.
#[inline]
pub(super) fn time_and_fraction(text: &[u8]) -> Field<'_, Time> {
    let (time, rest) = time(text)?;
    let (nanos, rest) = fraction(rest)?;
    Some((Time { nanos, ..time }, rest))
}

/// A point or a comma with one to nine digits, in nanoseconds; or nothing. A comma without a digit is none of ours.
#[inline]
pub(super) fn fraction(text: &[u8]) -> Field<'_, u32> {
    let digits = match text {
        [b'.', rest @ ..] => rest,
        [b',', rest @ ..] if rest.first().is_some_and(u8::is_ascii_digit) => rest,
        _ => return Some((0, text)),
    };
    let mut value = 0_u32;
    let mut rest = digits;
    while let [first, behind @ ..] = rest
        && let Some(digit) = digit(*first)
    {
        // Ten digits are no fraction that anybody writes; nine fit.
        value = value.checked_mul(10)?.checked_add(u32::from(digit))?;
        rest = behind;
    }
    let unit = *NANOS.get(digits.len() - rest.len())?;
    (unit > 0).then_some((value * unit, rest))
}

/// The number of a month by its English name of three letters, the first also small (`apr`).
#[inline]
pub(super) fn month(text: &[u8]) -> Field<'_, u8> {
    let ([first, second, third], rest) = text.split_first_chunk::<3>()?;
    // Of all bytes only the two cases of a letter become that letter so.
    let number = match &[first | 0x20, *second, *third] {
        b"jan" => 1,
        b"feb" => 2,
        b"mar" => 3,
        b"apr" => 4,
        b"may" => 5,
        b"jun" => 6,
        b"jul" => 7,
        b"aug" => 8,
        b"sep" => 9,
        b"oct" => 10,
        b"nov" => 11,
        b"dec" => 12,
        _ => return None,
    };
    Some((number, rest))
}

/// The same, or the abbreviation that French locales have: `janv.`, `févr.`, `sept.`.
pub(super) fn month_or_french(text: &[u8]) -> Field<'_, u8> {
    let french = FRENCH_MONTHS.iter().find_map(|(name, number)| Some((*number, text.strip_prefix(*name)?)));
    french.or_else(|| month(text))
}

/// `Z`, `+01:00`, `-0530`, or nothing: then the time is that of the daemon's zone.
#[inline]
pub(super) fn offset(text: &[u8]) -> Field<'_, Zone> {
    let sign = match text {
        [b'Z', rest @ ..] => return Some((Zone::UTC, rest)),
        [b'+', ..] => 1,
        [b'-', ..] => -1,
        _ => return Some((Zone::Local, text)),
    };
    let (hours, rest) = two(&text[1..])?;
    let (minutes, rest) = two(byte(rest, b':').unwrap_or(rest))?;
    let seconds = i32::from(hours) * 3_600 + i32::from(minutes) * 60;
    (hours < 24 && minutes < 60).then_some((Zone::Offset(sign * seconds), rest))
}

/// An offset behind the time or behind a blank, ` UTC`, ` GMT`, or nothing.
///
/// No other name: behind a blank it could be a host's.
pub(super) fn zone(text: &[u8]) -> Field<'_, Zone> {
    let Some(behind) = byte(text, b' ') else { return offset(text) };
    let named = behind.strip_prefix(b"UTC").or_else(|| behind.strip_prefix(b"GMT"));
    if let Some(rest) = named.filter(|rest| !rest.first().is_some_and(|next| is_of_words(*next))) {
        return Some((Zone::UTC, rest));
    }
    match behind.first() {
        Some(b'+' | b'-') => Some(match offset(behind) {
            Some((zone, rest)) if !rest.first().is_some_and(|next| is_of_words(*next)) => (zone, rest),
            Some(_) | None => (Zone::Local, text),
        }),
        Some(_) | None => Some((Zone::Local, text)),
    }
}

/// One of the abbreviations of zones that we know.
pub(super) fn zone_name(text: &[u8]) -> Field<'_, Zone> {
    let len = text.iter().take(MAX_ZONE_BYTES + 1).take_while(|byte| byte.is_ascii_uppercase()).count();
    let (word, rest) = text.split_at(len);
    let (name, offset) = ZONES.iter().find(|(name, _)| name.as_bytes() == word)?;
    Some((Zone::Named { name, offset: *offset }, rest))
}

/// Whether a byte goes on a word, so that a word that ends before it is not the whole one.
fn is_of_words(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'[')
}

/// The value of a decimal digit.
#[inline]
fn digit(byte: u8) -> Option<u8> {
    let value = byte.wrapping_sub(b'0');
    (value < 10).then_some(value)
}

/// As glibc and the JDK write them. `mai` and `mars` would be read as English but for the last letter.
const FRENCH_MONTHS: [(&[u8], u8); 16] = [
    (b"janv.", 1),
    (b"f\xc3\xa9vr.", 2),
    (b"f\xe9vr.", 2),
    (b"fevr.", 2),
    (b"mars", 3),
    (b"avr.", 4),
    (b"avril", 4),
    (b"mai", 5),
    (b"juin", 6),
    (b"juil.", 7),
    (b"ao\xc3\xbbt", 8),
    (b"ao\xfbt", 8),
    (b"sept.", 9),
    (b"oct.", 10),
    (b"nov.", 11),
    (b"d\xc3\xa9c.", 12),
];

/// Nanoseconds in the unit of a fraction's last digit, by the number of its digits.
const NANOS: [u32; 10] = [0, 100_000_000, 10_000_000, 1_000_000, 100_000, 10_000, 1_000, 100, 10, 1];

const MAX_ZONE_BYTES: usize = 4;

/// Abbreviations with one meaning that everybody takes first, in seconds east of UTC: those of RFC 5322, section 4.3, and
/// Europe's. A machine whose own zone uses the same letters otherwise means its own.
const ZONES: [(&str, i32); 20] = [
    ("UTC", 0),
    ("GMT", 0),
    ("EST", -5 * 3_600),
    ("EDT", -4 * 3_600),
    ("CST", -6 * 3_600),
    ("CDT", -5 * 3_600),
    ("MST", -7 * 3_600),
    ("MDT", -6 * 3_600),
    ("PST", -8 * 3_600),
    ("PDT", -7 * 3_600),
    ("WET", 0),
    ("WEST", 3_600),
    ("BST", 3_600),
    ("CET", 3_600),
    ("CEST", 2 * 3_600),
    ("EET", 2 * 3_600),
    ("EEST", 3 * 3_600),
    ("MSK", 3 * 3_600),
    ("JST", 9 * 3_600),
    ("AEST", 10 * 3_600),
];
