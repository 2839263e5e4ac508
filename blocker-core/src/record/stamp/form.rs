//! The forms of stamps, in the order in which they are tried.

use super::fields::Field;
use super::{Stamp, instants, months, numbers};

/// A way to write a stamp.
///
/// No text is a stamp in two forms: which is tried first costs time and changes nothing. Where people disagree what a form
/// means, the form itself decides, never the log's other lines: `10/06/2013` has the month first and `10-06-2013` the day,
/// as the programs that write them do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// `Nov 23 01:06:25`.
    MonthDay,
    /// `2026-11-23T01:11:33.070638+00:00`, `2026-11-23 01:11:33`.
    Iso,
    /// `Sat Jun 01 02:17:42 2013`.
    Weekday,
    /// `05/Mar/2007:14:39:21 +0100`.
    DaySlashMonth,
    /// `2015/01/21 10:56:10`.
    YearFirst,
    /// `22-Jan-2013 22:28:21`.
    DayDashMonth,
    /// `1373330716.415`.
    Epoch,
    /// `@400000004c91b044077a9e94`.
    Tai64n,
    /// `Oct 27 2015 09:24:46`.
    MonthDayYear,
    /// `apr 16, 2013 8:32:13 AM`.
    MonthDayYearHalf,
    /// `Apr-07-13 07:08:36`.
    MonthDashed,
    /// `PDT Apr 16 21:05:29`.
    ZoneMonthDay,
    /// `11-06-2013 02:09:40`, the day first.
    DayMonthYear,
    /// `10/06/2013 15:50:41`, the month first; `01/01/2014 - 01:25:17`, the day first.
    Slashes,
    /// `08-03 07:56:53.026292`, month and day.
    NumberedMonthDay,
    /// `130324  0:04:00`.
    SixDigits,
    /// `20220407-12:11:06`.
    EightDigits,
    /// `2014:07:02-00:17:45`.
    Colons,
    /// `12:57:32.907`.
    TimeAlone,
}

impl Form {
    /// All of them, the usual ones first.
    pub const ALL: [Self; 19] = [
        Self::MonthDay,
        Self::Iso,
        Self::Weekday,
        Self::DaySlashMonth,
        Self::YearFirst,
        Self::DayDashMonth,
        Self::Epoch,
        Self::Tai64n,
        Self::MonthDayYear,
        Self::MonthDayYearHalf,
        Self::MonthDashed,
        Self::ZoneMonthDay,
        Self::DayMonthYear,
        Self::Slashes,
        Self::NumberedMonthDay,
        Self::SixDigits,
        Self::EightDigits,
        Self::Colons,
        Self::TimeAlone,
    ];

    /// Reads a stamp of this form at the start of `text` and gives what follows.
    ///
    /// `None` if none stands there, or if a word goes on behind it.
    #[must_use]
    pub fn read(self, text: &[u8]) -> Option<(Stamp, &[u8])> {
        let (stamp, rest) = self.parse(text)?;
        let is_whole = is_end(rest) || matches!((self, rest), (Self::Epoch, [b':', ..]));
        is_whole.then_some((stamp, rest))
    }

    /// Reads a stamp of any form, and says which it was.
    #[must_use]
    pub fn read_any(text: &[u8]) -> Option<(Self, Stamp, &[u8])> {
        Self::ALL.into_iter().find_map(|form| form.read(text).map(|(stamp, rest)| (form, stamp, rest)))
    }

    /// Whether it is syslog's: no program has it in a log file of its own without naming itself.
    pub(in crate::record) fn is_syslog(self) -> bool {
        matches!(self, Self::MonthDay)
    }

    fn parse(self, text: &[u8]) -> Field<'_, Stamp> {
        match self {
            Self::MonthDay => months::month_day(text),
            Self::Iso => numbers::iso(text),
            Self::Weekday => months::weekday(text),
            Self::DaySlashMonth => months::day_slash_month(text),
            Self::YearFirst => numbers::year_first(text),
            Self::DayDashMonth => months::day_dash_month(text),
            Self::Epoch => instants::epoch(text),
            Self::Tai64n => instants::tai64n(text),
            Self::MonthDayYear => months::month_day_year(text),
            Self::MonthDayYearHalf => months::month_day_year_half(text),
            Self::MonthDashed => months::month_dashed(text),
            Self::ZoneMonthDay => months::zone_month_day(text),
            Self::DayMonthYear => numbers::day_month_year(text),
            Self::Slashes => numbers::slashes(text),
            Self::NumberedMonthDay => numbers::month_day(text),
            Self::SixDigits => numbers::six_digits(text),
            Self::EightDigits => numbers::eight_digits(text),
            Self::Colons => numbers::colons(text),
            Self::TimeAlone => numbers::time_alone(text),
        }
    }
}

/// Whether a stamp may end in front of `rest`.
#[inline]
fn is_end(rest: &[u8]) -> bool {
    match rest {
        [] | [b' ' | b'\t' | b']' | b')' | b'"' | b'|' | b';', ..] | [b':' | b','] => true,
        // With a digit behind it, it may be the middle of a longer number.
        [b':' | b',', next, ..] => !next.is_ascii_digit(),
        [_, ..] => false,
    }
}
