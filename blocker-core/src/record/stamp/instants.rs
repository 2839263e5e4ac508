//! Stamps that count seconds.

use super::Stamp;
use super::fields::{Field, fraction};

/// `1373330716`, `1373330716.415`: seconds since 1970, ten digits (until the year 2286).
pub(super) fn epoch(text: &[u8]) -> Field<'_, Stamp> {
    let (digits, rest) = text.split_first_chunk::<10>()?;
    let mut secs = 0_i64;
    for digit in digits {
        digit.is_ascii_digit().then_some(())?;
        secs = secs * 10 + i64::from(digit - b'0');
    }
    let (nanos, rest) = fraction(rest)?;
    Some((Stamp::Unix { secs, nanos }, rest))
}

/// `@400000004c91b044077a9e94`: TAI64N, as the daemontools' multilog and s6-log write it.
///
/// Both write the seconds since 1970 plus [`TAI_LABEL`] and nothing for leap seconds but the ten of 1972.
pub(super) fn tai64n(text: &[u8]) -> Field<'_, Stamp> {
    let (digits, rest) = text.strip_prefix(b"@")?.split_first_chunk::<24>()?;
    let mut value = 0_u128;
    for digit in digits {
        value = value << 4 | u128::from(char::from(*digit).to_digit(16)?);
    }
    let nanos = u32::try_from(value & 0xffff_ffff).ok().filter(|&nanos| nanos < 1_000_000_000)?;
    let secs = i64::try_from(value >> 32).ok()?.checked_sub(TAI_LABEL)?;
    Some((Stamp::Unix { secs, nanos }, rest))
}

/// The label of 1970-01-01 00:00:10 TAI, which is when 1970 began in UTC: cr.yp.to/libtai/tai64.html.
const TAI_LABEL: i64 = (1 << 62) + 10;
