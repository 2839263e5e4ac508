//! The time of a line, which fail2ban cuts out before its expressions see the rest.
//!
//! Forms of time are those that [`crate::record`] reads, by code. A filter's `datepattern` says where one stands
//! (`{^LN-BEG}`, text around `{DATE}`), or is a form of its own (`%d.%m.%Y %H:%M:%S`, see [`own`]). Its lines are tried in
//! their order. Without one, a time at the beginning is taken, else the first in the line.
//!
//! Only the time goes: of `[Nov 23 01:06:25] x` there is left `[] x`, and of `Nov 23 01:06:25 mx1 x` there is ` mx1 x`. An
//! entry of the journal has a time of its own in front, as its source writes it; expressions for the journal see what
//! stands behind it and the blank: `mx1 sshd[7]: x`.

mod own;

use regex::Regex;

use super::expression::InvalidExpression;
use super::translate;
use crate::record::{Form, Stamp};
use own::Own;

/// How far from the beginning of a line a time is looked for, in bytes.
const MAX_OFFSET: usize = 1_024;

/// Where a line's time stands, and what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// What is cut out, in bytes.
    pub(super) start: usize,
    pub(super) end: usize,
    /// `None` if the filter means that there is none.
    pub(super) stamp: Option<Stamp>,
}

/// How the time is found.
#[derive(Debug)]
pub(super) struct Dates(Vec<Pattern>);

#[derive(Debug)]
enum Pattern {
    /// At the beginning, behind at most two signs.
    Begin,
    /// There, or anywhere else.
    Anywhere,
    /// Seconds since 1970, at the beginning or behind `audit(`.
    Epoch,
    /// Nowhere.
    Never,
    /// With text around it.
    Around(Box<Around>),
    Own(Box<Own>),
}

#[derive(Debug)]
struct Around {
    /// Ends where the time begins; what is cut out begins where its group [`CUT`] does.
    before: Regex,
    /// Begins where the time ends; what is cut out ends where its group [`CUT`] does.
    behind: Regex,
}

/// The group for what is cut out besides the time.
const CUT: &str = "CUT";

impl Dates {
    /// What `pattern`, a filter's `datepattern`, says; `None` is what is usual.
    pub(super) fn read(pattern: Option<&str>) -> Result<Self, InvalidExpression> {
        let lines = pattern.unwrap_or_default().lines().map(str::trim).filter(|line| !line.is_empty());
        let patterns = lines.map(read_line).collect::<Result<Vec<_>, _>>()?;
        Ok(Self(if patterns.is_empty() { vec![Pattern::Anywhere] } else { patterns }))
    }

    /// Whether times are found by what is usual: then no word can be made of what stands on both sides of one.
    pub(super) fn are_usual(&self) -> bool {
        self.0.iter().all(|pattern| match pattern {
            Pattern::Begin | Pattern::Anywhere | Pattern::Epoch | Pattern::Never => true,
            Pattern::Around(_) | Pattern::Own(_) => false,
        })
    }

    /// Finds the time of a line.
    pub(super) fn find(&self, line: &str) -> Option<Cut> {
        journal_entry(line).or_else(|| self.0.iter().find_map(|pattern| pattern.find(line)))
    }
}

/// The time in front of an entry of the journal, and the blank: `1795708535.000000 mx1 sshd[7]: x`.
fn journal_entry(line: &str) -> Option<Cut> {
    const LEN: usize = 17;
    let digits = line.as_bytes().get(..LEN)?;
    let is_digit = |at: usize| digits[at].is_ascii_digit();
    let is_stamp = (0..LEN).all(|at| if at == 10 { digits[at] == b'.' } else { is_digit(at) });
    if !is_stamp || line.as_bytes().get(LEN) != Some(&b' ') {
        return None;
    }
    let (stamp, _) = Form::Epoch.read(line.as_bytes())?;
    Some(Cut { start: 0, end: LEN + 1, stamp: Some(stamp) })
}

impl Pattern {
    fn find(&self, line: &str) -> Option<Cut> {
        match self {
            Self::Begin => begin(line, Allowed::All),
            Self::Anywhere => begin(line, Allowed::All).or_else(|| anywhere(line)),
            Self::Epoch => begin(line, Allowed::Epoch).or_else(|| audit(line)),
            Self::Never => Some(Cut { start: 0, end: 0, stamp: None }),
            Self::Around(around) => around.find(line),
            Self::Own(own) => own.find(line),
        }
    }
}

/// Which forms may stand in a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Allowed {
    /// At the beginning of a line.
    All,
    /// Ten digits in the middle of a line are a number of any kind, and a time without a date is a part of anything.
    Dates,
    Epoch,
}

impl Allowed {
    /// Whether fail2ban knows the form by itself, and looks for it there.
    fn has(self, form: Form) -> bool {
        match form {
            Form::NumberedMonthDay | Form::EightDigits | Form::Colons => false,
            Form::Epoch => self != Self::Dates,
            Form::TimeAlone => self == Self::All,
            Form::MonthDay
            | Form::Iso
            | Form::Weekday
            | Form::DaySlashMonth
            | Form::YearFirst
            | Form::DayDashMonth
            | Form::Tai64n
            | Form::MonthDayYear
            | Form::MonthDayYearHalf
            | Form::MonthDashed
            | Form::ZoneMonthDay
            | Form::DayMonthYear
            | Form::Slashes
            | Form::SixDigits => self != Self::Epoch,
        }
    }
}

/// The places where a time may begin.
fn word_starts(line: &str) -> impl Iterator<Item = usize> {
    let mut is_in_word = false;
    line.char_indices().take_while(|(at, _)| *at < MAX_OFFSET).filter_map(move |(at, char)| {
        let starts = !is_in_word;
        is_in_word = is_of_words(char);
        (starts && (char.is_ascii_alphanumeric() || char == '@')).then_some(at)
    })
}

fn is_of_words(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

/// Behind at most two characters that are of no word.
fn begin(line: &str, allowed: Allowed) -> Option<Cut> {
    let mut rest = line.char_indices();
    for _ in 0..3 {
        let (at, char) = rest.next()?;
        if let Some(cut) = read(line, at, allowed) {
            return Some(cut);
        }
        if is_of_words(char) {
            return None;
        }
    }
    None
}

fn anywhere(line: &str) -> Option<Cut> {
    word_starts(line).find_map(|at| read(line, at, Allowed::Dates)).or_else(|| audit(line))
}

fn audit(line: &str) -> Option<Cut> {
    let at = line.find("audit(")? + "audit(".len();
    read(line, at, Allowed::Epoch)
}

/// The time at `at`.
fn read(line: &str, at: usize, allowed: Allowed) -> Option<Cut> {
    let text = line.as_bytes().get(at..)?;
    let Some((form, stamp, rest)) = Form::read_any(text) else {
        return if allowed == Allowed::All { whole_time(text, at) } else { None };
    };
    if !allowed.has(form) {
        return None;
    }
    let len = text.len() - rest.len();
    let len = if form == Form::Epoch {
        // Of its fraction, three to six digits are known to be one.
        match len.saturating_sub(EPOCH_DIGITS + 1) {
            0..=2 => EPOCH_DIGITS,
            digits => EPOCH_DIGITS + 1 + digits.min(6),
        }
    } else if form == Form::TimeAlone {
        // The fraction of a time without a date stays.
        TIME_LEN
    } else {
        len
    };
    Some(Cut { start: at, end: at + len, stamp: Some(stamp) })
}

/// `01:06:25` without a fraction.
fn whole_time(text: &[u8], at: usize) -> Option<Cut> {
    let (time, rest) = text.split_at_checked(TIME_LEN)?;
    let is_end = rest.first().is_none_or(|byte| !byte.is_ascii_alphanumeric() && !b"_:".contains(byte));
    let (stamp, _) = Form::TimeAlone.read(&[time, b".0"].concat()).filter(|_| is_end)?;
    Some(Cut { start: at, end: at + TIME_LEN, stamp: Some(stamp) })
}

/// Digits of the seconds since 1970, until the year 2286.
const EPOCH_DIGITS: usize = 10;

/// Length of `01:06:25`.
const TIME_LEN: usize = 8;

impl Around {
    /// What stands around `{DATE}` in `line`.
    fn read(line: &str, before: &str, behind: &str) -> Result<Self, InvalidExpression> {
        let before = before.trim_start_matches("**").replace("{^LN-BEG}", LINE_BEGIN);
        let behind = behind.trim_end_matches("**");
        let groups = |text: &str| {
            group_end(text).ok_or_else(|| {
                unsupported(line, "a group may only be around {DATE}, and {DATE} may stand there but once")
            })
        };
        let (before, behind) = match (groups(&before)?, groups(behind)?) {
            (Side::Open(at), Side::Closed(end)) => (
                format!("{}(?P<{CUT}>{})$", &before[..at], &before[at + 1..]),
                format!("^(?P<{CUT}>{})(?:{})", &behind[..end], &behind[end + 1..]),
            ),
            (Side::Even, Side::Even) => (format!("(?P<{CUT}>{before})$"), format!("^(?P<{CUT}>{behind})")),
            (Side::Open(_) | Side::Closed(_) | Side::Even, _) => {
                return Err(unsupported(line, "the group around {DATE} has but one end"));
            }
        };
        Ok(Self { before: compile(line, &before)?, behind: compile(line, &behind)? })
    }

    fn find(&self, line: &str) -> Option<Cut> {
        word_starts(line).find_map(|at| {
            let date = read(line, at, Allowed::All)?;
            let start = self.before.captures(&line[..date.start])?.name(CUT)?.start();
            let end = date.end + self.behind.captures(line.get(date.end..)?)?.name(CUT)?.end();
            Some(Cut { start, end, ..date })
        })
    }
}

/// Whether a part of an expression holds an end of a group that has no name: where, in bytes.
enum Side {
    Even,
    /// Its beginning.
    Open(usize),
    /// Its end.
    Closed(usize),
}

/// `None` if there is more than one, or a whole group.
fn group_end(text: &str) -> Option<Side> {
    // Of each group that is open: where it begins, and whether it counts.
    let mut open: Vec<(usize, bool)> = Vec::new();
    let mut side = Side::Even;
    let mut is_class = false;
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '\\' => drop(chars.next()),
            '[' => is_class = true,
            ']' => is_class = false,
            '(' if !is_class => open.push((at, !text[at + 1..].starts_with('?'))),
            ')' if !is_class => match (open.pop(), &side) {
                (Some((_, false)), _) => {}
                (None, Side::Even) => side = Side::Closed(at),
                (Some((_, true)) | None, _) => return None,
            },
            _ => {}
        }
    }
    match (open.as_slice(), side) {
        ([], side) => Some(side),
        ([(at, true)], Side::Even) => Some(Side::Open(*at)),
        _ => None,
    }
}

/// What one line of a `datepattern` says.
fn read_line(line: &str) -> Result<Pattern, InvalidExpression> {
    match line {
        "{^LN-BEG}" | "{^LN-BEG}{DATE}" | "^{DATE}" => return Ok(Pattern::Begin),
        "{DATE}" | "{DEFAULT}" => return Ok(Pattern::Anywhere),
        "{NONE}" => return Ok(Pattern::Never),
        "EPOCH" | "{^LN-BEG}EPOCH" | "^EPOCH" => return Ok(Pattern::Epoch),
        _ => {}
    }
    let Some((before, behind)) = line.split_once("{DATE}") else {
        return Own::read(line).map(|own| Pattern::Own(Box::new(own)));
    };
    Around::read(line, before, behind).map(|around| Pattern::Around(Box::new(around)))
}

/// The beginning of a line, with two signs at most.
const LINE_BEGIN: &str = r"^\W{0,2}";

/// Compiles a part of the pattern `line`.
fn compile(line: &str, source: &str) -> Result<Regex, InvalidExpression> {
    let translated = translate::translate(source).map_err(|fault| unsupported(line, &fault.what))?;
    if translated.is_fancy {
        return Err(unsupported(line, "it looks around or refers back, which is not supported in it"));
    }
    Regex::new(&translated.text)
        .map_err(|error| unsupported(line, error.to_string().trim().replace('\n', " ").as_str()))
}

fn unsupported(line: &str, what: &str) -> InvalidExpression {
    InvalidExpression::whole("datepattern", line, what)
}

#[cfg(test)]
mod tests;
