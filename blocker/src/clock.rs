//! The clocks: boot time, which the kernel's deadlines are on, and wall time, for people.

use std::time::Duration;

use blocker_core::calendar::Calendar;
use blocker_core::time::{Timestamp, Until};
use jiff::Timestamp as WallTime;
use jiff::tz::TimeZone;
use nix::time::{ClockId, clock_gettime};

/// Boot time: `CLOCK_BOOTTIME`, which runs on through a suspend and is never set.
#[must_use]
pub fn now() -> Timestamp {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or_else(
        |error| unreachable!("CLOCK_BOOTTIME exists since Linux 2.6.39: {error}"),
        |time| Timestamp::from_nanos(Duration::from(time).as_nanos().try_into().unwrap_or(i64::MAX)),
    )
}

/// A wall time, in nanoseconds since 1970, in RFC 3339 to the second.
#[must_use]
pub fn rfc3339(wall_ns: i64) -> String {
    WallTime::from_nanosecond(wall_ns.into())
        .map_or_else(|_| "beyond the calendar".to_owned(), |wall| format!("{wall:.0}"))
}

/// Both clocks, read together: to tell people what a boot time means.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    boot: Timestamp,
    wall: WallTime,
}

impl Reading {
    /// Reads both clocks.
    #[must_use]
    pub fn take() -> Self {
        Self { boot: now(), wall: WallTime::now() }
    }

    /// A reading of these times, the wall's in nanoseconds since 1970.
    #[cfg(test)]
    pub(crate) fn at(boot: Timestamp, wall_ns: i64) -> Self {
        let wall = WallTime::from_nanosecond(wall_ns.into()).expect("64 bits of nanoseconds are in the calendar");
        Self { boot, wall }
    }

    /// The wall time of this reading, in nanoseconds since 1970.
    #[must_use]
    pub fn wall_ns(self) -> i64 {
        i64::try_from(self.wall.as_nanosecond()).unwrap_or(i64::MAX)
    }

    /// The boot time of this reading.
    #[must_use]
    pub fn boot(self) -> Timestamp {
        self.boot
    }

    /// What a log line's own time means: in the machine's zone (`$TZ`, else /etc/localtime), which is read again every few
    /// minutes.
    #[must_use]
    pub fn calendar(self) -> Calendar {
        Calendar::new(self.boot, self.wall, TimeZone::system())
    }

    /// The wall time of a boot time, in RFC 3339 to the second.
    #[must_use]
    pub fn wall(self, at: Timestamp) -> String {
        let nanos = i128::from(at.as_nanos()) - i128::from(self.boot.as_nanos()) + self.wall.as_nanosecond();
        WallTime::from_nanosecond(nanos).map_or_else(|_| "beyond the calendar".to_owned(), |wall| format!("{wall:.0}"))
    }

    /// The wall time of a boot time in the machine's zone, as fail2ban writes it: `2026-11-26 10:00:00`.
    #[must_use]
    pub fn local(self, at: Timestamp) -> String {
        let nanos = i128::from(at.as_nanos()) - i128::from(self.boot.as_nanos()) + self.wall.as_nanosecond();
        WallTime::from_nanosecond(nanos).map_or_else(
            |_| "beyond the calendar".to_owned(),
            |wall| wall.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        )
    }

    /// The wall time of this reading in the machine's zone, as fail2ban writes it in front of a line:
    /// `2026-11-26 10:00:00,123`.
    #[must_use]
    pub fn local_millis(self) -> String {
        let millis = self.wall.subsec_millisecond();
        format!("{},{millis:03}", self.local(self.boot))
    }

    /// The end of a ban: RFC 3339, or `forever`.
    #[must_use]
    pub fn end(self, until: Until) -> String {
        match until {
            Until::At(at) => self.wall(at),
            Until::Forever => "forever".to_owned(),
        }
    }

    /// Whole seconds that remain until the end; `None` for ever.
    #[must_use]
    pub fn remaining_secs(self, until: Until) -> Option<u64> {
        until.remaining(self.boot).map(|left| left.as_secs())
    }
}
