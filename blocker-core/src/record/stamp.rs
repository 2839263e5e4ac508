//! When a line says it was written: the fields as they stand, checked but not interpreted.
//!
//! What instant is meant needs a zone and perhaps a year or a day; that is for whoever knows them (see
//! [`crate::calendar`]). The [`Form`]s in which logs write it are in the modules below, by family:
//!
//! - `months`: the month by its name (`Nov 23 01:06:25`, `05/Mar/2007:14:39:21 +0100`);
//! - `numbers`: all in numbers (`2026-11-23T01:11:33.070638+00:00`, `130324  0:04:00`);
//! - `instants`: a number of seconds (`1373330716.415`, TAI64N).

mod fields;
mod form;
mod instants;
mod months;
mod numbers;

pub use form::Form;

/// When a line says it was written.
///
/// One that came from a line has a day that its month has (29 February only in a leap year, or without a year), a time of
/// day that exists, and an offset of less than a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stamp {
    /// As a clock and a calendar show it.
    Civil {
        /// The day.
        date: Date,
        /// The time of that day.
        time: Time,
        /// Whose day and time.
        zone: Zone,
    },
    /// As a length of time since 1970 began in UTC, leap seconds not counted.
    Unix {
        /// Whole seconds.
        secs: i64,
        /// Nanoseconds beyond them.
        nanos: u32,
    },
}

/// A day as a line shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Date {
    /// All of it.
    Full {
        /// 0 to 9999.
        year: i16,
        /// 1 to 12.
        month: u8,
        /// 1 to 31.
        day: u8,
    },
    /// Without a year, as in RFC 3164.
    Yearless {
        /// 1 to 12.
        month: u8,
        /// 1 to 31.
        day: u8,
    },
    /// No date at all.
    Missing,
}

/// A time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Time {
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 60: 60 is a leap second.
    pub second: u8,
    /// Nanoseconds within the second.
    pub nanos: u32,
}

/// Whose clock it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Zone {
    /// The line does not say: the machine's.
    Local,
    /// Seconds east of UTC.
    Offset(i32),
    /// By an abbreviation, which also tells summer time from winter time.
    Named {
        /// The abbreviation: `PDT`.
        name: &'static str,
        /// What it means if the machine's zone does not use it, in seconds east of UTC.
        offset: i32,
    },
}

impl Zone {
    /// Coordinated universal time.
    pub const UTC: Self = Self::Offset(0);
}

impl Stamp {
    /// A day and a time, if they exist.
    #[inline]
    fn civil(date: Date, time: Time, zone: Zone) -> Option<Self> {
        let Time { hour, minute, second, nanos } = time;
        let is_real = date.is_real() && hour < 24 && minute < 60 && second <= 60 && nanos < 1_000_000_000;
        is_real.then_some(Self::Civil { date, time, zone })
    }
}

impl Date {
    #[inline]
    fn is_real(self) -> bool {
        let (year, month, day) = match self {
            Self::Full { year, month, day } => (Some(year), month, day),
            Self::Yearless { month, day } => (None, month, day),
            Self::Missing => return true,
        };
        let days = match month {
            2 if year.is_none_or(is_leap) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            _ => return false,
        };
        (1..=days).contains(&day)
    }
}

fn is_leap(year: i16) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

#[cfg(test)]
mod tests;
