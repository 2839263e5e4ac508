//! A form of time that a filter spells out, as `strptime` does: `%d.%m.%Y %H:%M:%S`, with fail2ban's `%ExY` and the like.
//!
//! The pattern becomes an expression with a group for each field. What the fields say is written anew in one of the forms
//! that [`crate::record`] reads, and read by that: so a date that does not exist is none.

use std::fmt::Write;

use super::{CUT, Cut, LINE_BEGIN, unsupported};
use crate::filter::fail2ban::expression::{Expression, Groups, InvalidExpression, Searched};
use crate::record::{Form, Stamp};

/// Letters of names, in Latin script.
const NAME: &str = r"[A-Za-z\x80-\u024f]{2,10}\.?";

#[derive(Debug)]
pub(super) struct Own(Expression);

impl Own {
    pub(super) fn read(line: &str) -> Result<Self, InvalidExpression> {
        let (body, is_free_before) = match line.strip_prefix("**") {
            Some(body) => (body, true),
            None => (line, line.starts_with(['^', '{'])),
        };
        let (body, is_free_behind) = match body.strip_suffix("**") {
            Some(body) => (body, true),
            None => (body, false),
        };
        let Spelled { text, has_group } = spell(line, body)?;
        let text = if has_group { text } else { format!("(?P<{CUT}>{text})") };
        let before = if is_free_before { "" } else { r"(?:^|\b|\W)" };
        let behind = if is_free_behind { "" } else { r"(?:\b|\W|$)" };
        Expression::compile("datepattern", &format!("{before}{text}{behind}"), false)
            .map(Self)
            .map_err(|error| unsupported(line, &error.what))
    }

    pub(super) fn find(&self, line: &str) -> Option<Cut> {
        let Searched::Found(found) = self.0.search(line) else { return None };
        let (start, end) = found.span(self.0.group(CUT)?)?;
        Some(Cut { start, end, stamp: self.stamp(&found) })
    }

    /// What the fields say; `None` if they say too little, or what does not exist.
    fn stamp(&self, found: &Groups<'_>) -> Option<Stamp> {
        let text = |name: &str| found.text(self.0.group(name)?).map(str::trim_start);
        if let Some(seconds) = text("s") {
            return Form::Epoch.read(seconds.as_bytes()).map(|(stamp, _)| stamp);
        }
        if let Some(label) = text("tai") {
            return Form::Tai64n.read(label.as_bytes()).map(|(stamp, _)| stamp);
        }
        let number = |name: &str| text(name).and_then(|digits| digits.parse::<u16>().ok());
        let is_afternoon = text("p").is_some_and(|half| half.starts_with(['P', 'p']));
        let hour = number("H").or_else(|| number("I").map(|hour| hour % 12 + if is_afternoon { 12 } else { 0 }))?;
        let (minute, second) = (number("M").unwrap_or(0), number("S").unwrap_or(0));
        let fraction = text("f").unwrap_or("0");
        let clock = format!("{hour:02}:{minute:02}:{second:02}");
        let year = number("Y").or_else(|| number("y").map(|year| 2_000 + year));
        let zone = text("z").filter(|zone| zone.starts_with(['+', '-', 'Z', 'U', 'G'])).unwrap_or_default();
        let blank_zone = if zone.is_empty() { String::new() } else { format!(" {}", zone.replace('Z', "UTC")) };
        let (form, written) = match (year, number("m"), text("b"), number("d")) {
            (Some(year), _, Some(name), Some(day)) => {
                (Form::DaySlashMonth, format!("{day:02}/{name}/{year:04}:{clock}.{fraction}{blank_zone}"))
            }
            (Some(year), Some(month), None, Some(day)) => {
                (Form::Iso, format!("{year:04}-{month:02}-{day:02} {clock}.{fraction}{blank_zone}"))
            }
            (None, _, Some(name), Some(day)) => {
                (Form::MonthDay, format!("{} {day:02} {clock}.{fraction}", name.get(..3)?))
            }
            (None, Some(month), None, Some(day)) => {
                (Form::NumberedMonthDay, format!("{month:02}-{day:02} {clock}.{fraction}"))
            }
            _ => (Form::TimeAlone, format!("{clock}.{fraction}")),
        };
        form.read(written.as_bytes()).filter(|(_, rest)| rest.is_empty()).map(|(stamp, _)| stamp)
    }
}

struct Spelled {
    text: String,
    /// Whether it says itself what is cut out.
    has_group: bool,
}

/// The expression of `body`, a part of `line`.
fn spell(line: &str, body: &str) -> Result<Spelled, InvalidExpression> {
    let mut text = String::new();
    let mut has_group = false;
    let mut rest = body;
    while let Some(char) = rest.chars().next() {
        let taken = match char {
            '\\' => {
                let len = 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
                text.push_str(&rest[..len]);
                len
            }
            '%' => {
                let (field, len) = field(rest).ok_or_else(|| {
                    let token: String = rest.chars().take(2).collect();
                    unsupported(line, &format!("`{token}` is not supported"))
                })?;
                text.push_str(&field);
                len
            }
            '{' if rest.starts_with("{^LN-BEG}") => {
                text.push_str(LINE_BEGIN);
                "{^LN-BEG}".len()
            }
            '{' if rest[1..].starts_with(|char: char| char.is_ascii_uppercase()) => {
                let end = rest.find('}').map_or(rest.len(), |end| end + 1);
                return Err(unsupported(line, &format!("`{}` is not supported", &rest[..end])));
            }
            'E' if rest.starts_with("EPOCH") => {
                text.push_str(r"(?P<s>[0-9]{10})[0-9]?(?:\.[0-9]{3,6})?");
                "EPOCH".len()
            }
            'L' if rest.starts_with("LEPOCH") => {
                text.push_str("(?P<s>[0-9]{10})[0-9]{0,6}");
                "LEPOCH".len()
            }
            'T' if rest.starts_with("TAI64N") => {
                text.push_str("(?P<tai>@[0-9a-f]{24})");
                "TAI64N".len()
            }
            '(' if !rest.starts_with("(?") && !has_group => {
                has_group = true;
                let _written = write!(text, "(?P<{CUT}>");
                1
            }
            _ => {
                text.push(char);
                char.len_utf8()
            }
        };
        rest = &rest[taken..];
    }
    Ok(Spelled { text, has_group })
}

/// The expression of the field at the start of `text`, and the length of its name.
fn field(text: &str) -> Option<(String, usize)> {
    let (name, len) = match text.strip_prefix("%Ex") {
        Some(rest) => (rest.chars().next()?, 4),
        None => (text[1..].chars().next()?, 2),
    };
    let field = match name {
        'Y' => "(?P<Y>[0-9]{4})".to_owned(),
        'y' => "(?P<y>[0-9]{2})".to_owned(),
        'm' => "(?P<m>1[0-2]|0?[1-9])".to_owned(),
        'd' => "(?P<d>3[01]|[12][0-9]|[0 ]?[1-9])".to_owned(),
        'H' | 'k' => "(?P<H>2[0-3]|[01 ]?[0-9])".to_owned(),
        'I' | 'l' => "(?P<I>1[0-2]|[0 ]?[1-9])".to_owned(),
        'M' => "(?P<M>[0-5]?[0-9])".to_owned(),
        'S' => "(?P<S>6[01]|[0-5]?[0-9])".to_owned(),
        'f' => "(?P<f>[0-9]{1,9})".to_owned(),
        'p' => "(?P<p>[AaPp][Mm])".to_owned(),
        'b' | 'B' => format!("(?P<b>{NAME})"),
        'a' | 'A' => format!("(?:{NAME})"),
        'z' | 'Z' => r"(?P<z>Z|UTC|GMT|[+-][0-9]{2}:?[0-9]{2}|[A-Z]{3,5})".to_owned(),
        '%' => "%".to_owned(),
        _ => return None,
    };
    Some((field, len))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Date, Time, Zone};

    #[test]
    fn fields_say_a_time() {
        let full = Date::Full { year: 2026, month: 11, day: 3 };
        let time = |hour, nanos| Time { hour, minute: 6, second: 25, nanos };
        let civil = |date, time, zone| Some(Stamp::Civil { date, time, zone });
        for (pattern, line, stamp) in [
            ("%d.%m.%Y %H:%M:%S", "3.11.2026 01:06:25 x", civil(full, time(1, 0), Zone::Local)),
            ("%d-%b-%y %k:%M:%S", "03-Nov-26  1:06:25 x", civil(full, time(1, 0), Zone::Local)),
            ("%Y%m%d %I:%M:%S %p", "20261103 01:06:25 PM x", civil(full, time(13, 0), Zone::Local)),
            ("%Y%m%d %I:%M:%S %p", "20261103 12:06:25 AM x", civil(full, time(0, 0), Zone::Local)),
            (
                "%ExY-%Exm-%ExdT%ExH:%ExM:%ExS.%f%z",
                "2026-11-03T01:06:25.5+0100 x",
                civil(full, time(1, 500_000_000), Zone::Offset(3_600)),
            ),
            ("%d/%b/%Y:%H:%M:%S %z", "03/nov./2026:01:06:25 Z x", civil(full, time(1, 0), Zone::UTC)),
            (
                "%b %d %H:%M:%S",
                "Nov 3 01:06:25 x",
                civil(Date::Yearless { month: 11, day: 3 }, time(1, 0), Zone::Local),
            ),
            (
                "%m-%d %H:%M:%S",
                "11-03 01:06:25 x",
                civil(Date::Yearless { month: 11, day: 3 }, time(1, 0), Zone::Local),
            ),
            ("%H:%M:%S", "01:06:25 x", civil(Date::Missing, time(1, 0), Zone::Local)),
            ("^LEPOCH", "1373330716415 x", Some(Stamp::Unix { secs: 1_373_330_716, nanos: 0 })),
            ("^WARNING:()**", "WARNING: x", None),
            ("^%Y(?P<_sep>[-/])%m(?P=_sep)%d %H:%M:%S", "2026/11/03 01:06:25 x", civil(full, time(1, 0), Zone::Local)),
            ("%d.%m.%Y %H:%M:%S", "31.11.2026 01:06:25 x", None),
        ] {
            let found = Own::read(pattern).unwrap().find(line).unwrap_or_else(|| panic!("{pattern}: {line}"));
            assert_eq!(found.stamp, stamp, "{pattern}: {line}");
        }
    }
}
