//! The clock of a test: the engine's counts nanoseconds since 1970 in UTC, so that a line's own time is the engine's.

use blocker_core::calendar::Calendar;
use blocker_core::time::{Timestamp, Until};
use jiff::Timestamp as WallTime;
use jiff::tz::TimeZone;

/// What is now, and in which zone lines without one are.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    now: Timestamp,
    pub(super) calendar: Calendar,
}

impl Clock {
    /// At `now`, else at the present; in the zone of `$TZ`, else the machine's.
    pub(super) fn new(now: Option<Now>) -> Self {
        let Now(wall, now) =
            now.or_else(|| Now::of(WallTime::now())).unwrap_or(Now(WallTime::UNIX_EPOCH, Timestamp::default()));
        Self { now, calendar: Calendar::new(now, wall, TimeZone::system()) }
    }

    /// Now.
    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    /// The header of a journal's line that is written now: `1795708535.000000 `, as the daemon gives it to an entry.
    pub(super) fn stamp(&self) -> String {
        let micros = self.now.as_nanos() / 1_000;
        format!("{:010}.{:06} ", micros / 1_000_000, micros % 1_000_000)
    }
}

/// A time that `--now` may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Now(WallTime, Timestamp);

impl Now {
    /// `None` before 1970, and beyond 2262, which 64 bits of nanoseconds do not reach.
    fn of(wall: WallTime) -> Option<Self> {
        let nanos = i64::try_from(wall.as_nanosecond()).ok().filter(|nanos| *nanos >= 0)?;
        Some(Self(wall, Timestamp::from_nanos(nanos)))
    }
}

/// Reads `--now`.
pub(super) fn parse_now(text: &str) -> Result<Now, String> {
    let wall = match text.parse::<i64>() {
        Ok(secs) => WallTime::from_second(secs).ok(),
        Err(_) => text.parse().ok(),
    };
    wall.and_then(Now::of).ok_or_else(|| {
        "expected a time from 1970 to 2262 as 2026-11-23T01:02:03Z, with a zone, or in seconds since 1970".to_owned()
    })
}

/// A time of a line: RFC 3339 in UTC, to the second.
pub(super) fn show(at: Timestamp) -> String {
    WallTime::from_nanosecond(at.as_nanos().into())
        .map_or_else(|_| "beyond the calendar".to_owned(), |wall| format!("{wall:.0}"))
}

/// The end of a ban: the same, or `forever`.
pub(super) fn show_end(until: Until) -> String {
    match until {
        Until::At(at) => show(at),
        Until::Forever => "forever".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn now_is_read_as_rfc_3339_and_as_seconds_and_as_nothing_else() {
        let at = parse_now("2026-11-23T01:02:03Z").unwrap();

        assert_eq!(show(at.1), "2026-11-23T01:02:03Z");
        assert_eq!(parse_now("1795395723"), Ok(at));
        assert_eq!(parse_now("2026-11-23T02:02:03+01:00"), Ok(at));
        for text in ["", "now", "2026-11-23", "2026-11-23T01:02:03", "-1", "99999999999999", "9223372037"] {
            assert!(parse_now(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_journal_s_line_has_a_stamp_of_ten_digits() {
        assert_eq!(Clock::new(Some(parse_now("1").unwrap())).stamp(), "0000000001.000000 ");
    }
}
