//! Instants, ends and lengths of time, without a clock.
//!
//! A [`Timestamp`] is whatever clock the caller drives the engine with: boot time in the daemon (the kernel's
//! `CLOCK_BOOTTIME`, which the XDP program reads too), the log's own time in a replay. Only differences and order matter
//! here, and they are exact to the nanosecond.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// An instant on the clock of whoever drives the engine, in nanoseconds from that clock's zero.
///
/// May be negative: a line read after the fact can be older than the boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The instant `nanos` nanoseconds after the clock's zero.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// The instant `secs` seconds after the clock's zero; saturates.
    #[must_use]
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1_000_000_000))
    }

    /// Nanoseconds since the clock's zero.
    #[must_use]
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// The instant `span` later; saturates at the end of time (292 years).
    #[must_use]
    pub fn saturating_add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(nanos(span)))
    }

    /// The instant `span` earlier; saturates.
    #[must_use]
    pub fn saturating_sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(span)))
    }

    /// The time from `earlier` to `self`, or zero if it is not earlier.
    #[must_use]
    pub fn saturating_since(self, earlier: Self) -> Duration {
        u64::try_from(self.0.saturating_sub(earlier.0)).map_or(Duration::ZERO, Duration::from_nanos)
    }
}

fn nanos(span: Duration) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)
}

/// When a ban ends. `Forever` is later than every instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Until {
    /// It is over at this instant: a packet that arrives then passes.
    At(Timestamp),
    /// It does not end by itself.
    Forever,
}

impl Until {
    /// Whether the end has come at `now`.
    #[must_use]
    pub fn is_past(self, now: Timestamp) -> bool {
        match self {
            Self::At(end) => end <= now,
            Self::Forever => false,
        }
    }

    /// What is left at `now`: `None` for ever, zero when it is over.
    #[must_use]
    pub fn remaining(self, now: Timestamp) -> Option<Duration> {
        match self {
            Self::At(end) => Some(end.saturating_since(now)),
            Self::Forever => None,
        }
    }
}

/// How long a ban lasts, as configured or asked for.
///
/// Written `90s`, `10m`, `1h30m`, `3d`, `1w`, bare seconds (`600`), or `forever`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BanTime {
    /// This long.
    For(Duration),
    /// Until somebody lifts it.
    Forever,
}

impl BanTime {
    /// The end of a ban that begins at `now`.
    #[must_use]
    pub fn end_from(self, now: Timestamp) -> Until {
        match self {
            Self::For(span) => Until::At(now.saturating_add(span)),
            Self::Forever => Until::Forever,
        }
    }
}

impl fmt::Display for BanTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::For(span) => f.write_str(&format_span(*span)),
            Self::Forever => f.write_str("forever"),
        }
    }
}

impl Serialize for BanTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for BanTime {
    type Err = InvalidSpan;

    fn from_str(text: &str) -> Result<Self, InvalidSpan> {
        if text.trim() == "forever" { Ok(Self::Forever) } else { parse_span(text).map(Self::For) }
    }
}

/// A text that is no length of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no length of time: write 90s, 10m, 1h30m, 3d, 1w, or bare seconds")]
pub struct InvalidSpan(pub String);

/// Reads `90s`, `10m`, `1h30m`, `3d`, `1w` or bare seconds.
///
/// # Errors
///
/// [`InvalidSpan`] for anything else, zero included, and for more than 200 years.
pub fn parse_span(text: &str) -> Result<Duration, InvalidSpan> {
    let invalid = || InvalidSpan(text.to_owned());
    let trimmed = text.trim();
    if let Ok(seconds) = trimmed.parse::<u64>() {
        return bounded(seconds).ok_or_else(invalid);
    }
    let mut rest = trimmed;
    let mut total: u64 = 0;
    let mut last_unit = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().map_err(|_| invalid())?;
        rest = &rest[digits..];
        let unit = match rest.bytes().next() {
            Some(b's') => 1,
            Some(b'm') => 60,
            Some(b'h') => 3_600,
            Some(b'd') => 86_400,
            Some(b'w') => 604_800,
            Some(_) | None => return Err(invalid()),
        };
        // From large to small, each unit once: `30m1h` is more likely a slip than a meaning.
        if unit >= last_unit {
            return Err(invalid());
        }
        last_unit = unit;
        rest = &rest[1..];
        total = number.checked_mul(unit).and_then(|part| total.checked_add(part)).ok_or_else(invalid)?;
    }
    bounded(total).ok_or_else(invalid)
}

/// Longest length of time taken, in seconds: 200 years, well inside a [`Timestamp`].
const MAX_SPAN_SECS: u64 = 200 * 366 * 86_400;

fn bounded(seconds: u64) -> Option<Duration> {
    (1..=MAX_SPAN_SECS).contains(&seconds).then(|| Duration::from_secs(seconds))
}

/// Writes a length of time the way [`parse_span`] reads it, cut to whole seconds: `1h30m`, `45s`, `0s`.
#[must_use]
pub fn format_span(span: Duration) -> String {
    let mut seconds = span.as_secs();
    if seconds == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, letter) in [(604_800, 'w'), (86_400, 'd'), (3_600, 'h'), (60, 'm'), (1, 's')] {
        if seconds >= unit {
            text.push_str(&(seconds / unit).to_string());
            text.push(letter);
            seconds %= unit;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_spans_as_administrators_write_them() {
        for (text, seconds) in
            [("90s", 90), ("10m", 600), ("1h30m", 5_400), ("3d", 259_200), ("1w", 604_800), ("600", 600)]
        {
            assert_eq!(parse_span(text), Ok(Duration::from_secs(seconds)), "{text}");
            assert_eq!(parse_span(&format_span(Duration::from_secs(seconds))), Ok(Duration::from_secs(seconds)));
        }
    }

    #[test]
    fn refuses_what_is_no_span() {
        for text in ["", "0", "-1", "10 m", "10x", "h", "30m1h", "1h1h", "99999999999999999999", "7000000000", "1.5h"] {
            assert!(parse_span(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn forever_outlasts_every_instant() {
        assert!(Until::Forever > Until::At(Timestamp::from_nanos(i64::MAX)));
        assert!(!Until::Forever.is_past(Timestamp::from_nanos(i64::MAX)));
    }

    #[test]
    fn a_ban_is_over_at_its_end_not_after_it() {
        let end = Timestamp::from_secs(10);

        assert!(Until::At(end).is_past(end));
        assert!(!Until::At(end).is_past(Timestamp::from_nanos(end.as_nanos() - 1)));
    }
}
