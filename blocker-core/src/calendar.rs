//! What instant a stamp means, on the engine's clock.
//!
//! A line shows a day and a time; the engine counts nanoseconds on a clock that nobody sets. A [`Calendar`] has both
//! clocks' readings of one moment, and the zone in which the machine writes its logs. It is handed in: the core reads
//! neither a clock nor the zone's file.
//!
//! # Where a stamp leaves a choice
//!
//! - **No year** (RFC 3164): the last such day that has begun, up to [`AHEAD`] from now on. In January, December was last
//!   year; 29 February is that of the last leap year. No date: today or yesterday, in the same way.
//! - **No zone**: the machine's. A zone's abbreviation means what the machine's zone means by it, if it does, and tells
//!   summer from winter in the hour that comes twice.
//! - **The hour that comes twice** when summer time ends: the first, as long as that is not before the line before it in
//!   the same log; where that is not known, the last that is not in the future.
//! - **The hour that is left out** when it begins: whoever wrote it had not put the clock forward.
//! - **A leap second**: the second after :59.
//! - **A clock that was set**: what is left between stamp and now on the wall clock is what counts. A stamp in the future
//!   is for the caller to bound; nothing here is later than what the line says.

use jiff::Timestamp as WallTime;
use jiff::civil;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};

use crate::record::{Date, Stamp, Time, Zone};
use crate::time::Timestamp;

/// Two clocks' readings of one moment, and the machine's zone.
#[derive(Clone, Debug)]
pub struct Calendar {
    now: Timestamp,
    wall: WallTime,
    zone: TimeZone,
}

impl Default for Calendar {
    /// The engine's clock counts from 1970 on, and the zone is UTC.
    fn default() -> Self {
        Self { now: Timestamp::default(), wall: WallTime::UNIX_EPOCH, zone: TimeZone::UTC }
    }
}

impl Calendar {
    /// The engine's clock shows `now` when the wall clock shows `wall`, on a machine in `zone`.
    #[must_use]
    pub fn new(now: Timestamp, wall: WallTime, zone: TimeZone) -> Self {
        Self { now, wall, zone }
    }

    /// The instant that `stamp` means, which may be later than now.
    ///
    /// `before`: when the line before it in the same log was written, if that is known.
    ///
    /// `None` if it lies beyond the calendar.
    #[must_use]
    pub fn instant(&self, stamp: &Stamp, before: Option<Timestamp>) -> Option<Timestamp> {
        let unix = match *stamp {
            Stamp::Unix { secs, nanos } => i128::from(secs) * SECOND + i128::from(nanos),
            Stamp::Civil { date, time, zone } => self.unix(date, time, zone, before)?,
        };
        Some(self.on_engine_clock(unix))
    }

    /// Nanoseconds since 1970.
    fn unix(&self, date: Date, time: Time, zone: Zone, before: Option<Timestamp>) -> Option<i128> {
        match date {
            Date::Full { year, month, day } => {
                self.resolve(civil::Date::new(year, i8(month)?, i8(day)?).ok()?, time, zone, before)
            }
            Date::Yearless { month, day } => {
                let (month, day) = (i8(month)?, i8(day)?);
                let today = self.today(zone);
                // A day ahead is next year's only on the last of this one.
                let latest = today.tomorrow().unwrap_or(today).year();
                // Without 29 February in a century's year, leap years are eight years apart.
                (latest - 8..=latest)
                    .rev()
                    .filter_map(|year| self.resolve(civil::Date::new(year, month, day).ok()?, time, zone, before))
                    .find(|&unix| unix <= self.wall.as_nanosecond() + AHEAD)
            }
            Date::Missing => {
                let today = self.today(zone);
                [today.tomorrow(), Ok(today), today.yesterday()]
                    .into_iter()
                    .filter_map(|date| self.resolve(date.ok()?, time, zone, before))
                    .find(|&unix| unix <= self.wall.as_nanosecond() + AHEAD_WITHOUT_DATE)
            }
        }
    }

    /// The present day where the stamp was made.
    fn today(&self, zone: Zone) -> civil::Date {
        match zone {
            Zone::Offset(seconds) => Offset::from_seconds(seconds).map_or_else(
                |_| self.zone.to_datetime(self.wall).date(),
                |offset| offset.to_datetime(self.wall).date(),
            ),
            Zone::Local | Zone::Named { .. } => self.zone.to_datetime(self.wall).date(),
        }
    }

    fn resolve(&self, date: civil::Date, time: Time, zone: Zone, before: Option<Timestamp>) -> Option<i128> {
        let Time { hour, minute, second, nanos } = time;
        let leap = i128::from(second / 60) * SECOND;
        let time = civil::Time::new(i8(hour)?, i8(minute)?, i8(second.min(59))?, i32::try_from(nanos).ok()?).ok()?;
        let shown = date.to_datetime(time);
        let at = |offset: Offset| Some(offset.to_timestamp(shown).ok()?.as_nanosecond() + leap);
        match zone {
            Zone::Offset(seconds) => at(Offset::from_seconds(seconds).ok()?),
            Zone::Named { name, offset } => match self.offsets(shown) {
                (first, _) if self.calls(shown, first, name) => at(first),
                (_, last) if self.calls(shown, last, name) => at(last),
                _ => at(Offset::from_seconds(offset).ok()?),
            },
            Zone::Local => match self.zone.to_ambiguous_timestamp(shown).offset() {
                AmbiguousOffset::Unambiguous { offset } => at(offset),
                AmbiguousOffset::Gap { before, after: _ } => at(before),
                AmbiguousOffset::Fold { before: first, after: last } => {
                    let (first, last) = (at(first)?, at(last)?);
                    let is_first = match before {
                        Some(before) => self.on_engine_clock(first + OUT_OF_ORDER) >= before,
                        None => last > self.wall.as_nanosecond(),
                    };
                    Some(if is_first { first } else { last })
                }
            },
        }
    }

    /// The offsets that the machine's zone may have at a time: twice the same but around a change.
    fn offsets(&self, shown: civil::DateTime) -> (Offset, Offset) {
        match self.zone.to_ambiguous_timestamp(shown).offset() {
            AmbiguousOffset::Unambiguous { offset } => (offset, offset),
            AmbiguousOffset::Gap { before, after } | AmbiguousOffset::Fold { before, after } => (before, after),
        }
    }

    /// Whether the machine's zone has this abbreviation when its clocks show `shown` with this offset.
    fn calls(&self, shown: civil::DateTime, offset: Offset, name: &str) -> bool {
        offset.to_timestamp(shown).is_ok_and(|at| {
            let info = self.zone.to_offset_info(at);
            info.offset() == offset && info.abbreviation() == name
        })
    }

    fn on_engine_clock(&self, unix: i128) -> Timestamp {
        let nanos = unix - self.wall.as_nanosecond() + i128::from(self.now.as_nanos());
        Timestamp::from_nanos(i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX }))
    }
}

fn i8(number: u8) -> Option<i8> {
    i8::try_from(number).ok()
}

const SECOND: i128 = 1_000_000_000;

/// How far a stamp without a year may be in the future before it is taken for last year's: clocks of other hosts may be
/// fast, and zones differ by up to 26 hours, the wrong one by less if it is on the right side.
const AHEAD: i128 = 86_400 * SECOND;

/// The same for a stamp without a date.
const AHEAD_WITHOUT_DATE: i128 = 3_600 * SECOND;

/// By how much lines of one log may be out of order: several programs write, each stamps its own.
const OUT_OF_ORDER: i128 = 60 * SECOND;

#[cfg(test)]
mod tests;
