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
    Around(Around),
    Own(Own),
}

#[derive(Debug)]
struct Around {
    /// Ends where the time begins.
    before: Regex,
    /// Begins where it ends.
    behind: Regex,
    /// Whether the text around it stays.
    keeps_text: bool,
    /// Whether any text may stand before it at all.
    is_bare: bool,
}

impl Dates {
    /// What `pattern`, a filter's `datepattern`, says; `None` is what is usual.
    pub(super) fn read(pattern: Option<&str>) -> Result<Self, InvalidExpression> {
        let lines = pattern.unwrap_or_default().lines().map(str::trim).filter(|line| !line.is_empty());
        let patterns = lines.map(read_line).collect::<Result<Vec<_>, _>>()?;
        Ok(Self(if patterns.is_empty() { vec![Pattern::Anywhere] } else { patterns }))
    }

    /// Whether no word of a line can be made of what stands on both sides of its time.
    pub(super) fn parts_words(&self) -> bool {
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
    fn find(&self, line: &str) -> Option<Cut> {
        word_starts(line).find_map(|at| {
            let date = read(line, at, Allowed::All)?;
            let before = if self.is_bare { None } else { Some(self.before.find(&line[..date.start])?) };
            let behind = self.behind.find(line.get(date.end..)?)?;
            let start = before.map_or(date.start, |before| before.start());
            if self.keeps_text { Some(date) } else { Some(Cut { start, end: date.end + behind.end(), ..date }) }
        })
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
    let Some((before, behind)) = line.split_once("{DATE}") else { return Own::read(line).map(Pattern::Own) };
    let (before, behind) = (before.trim_start_matches("**"), behind.trim_end_matches("**"));
    let (before, behind, keeps_text) = match (before.strip_suffix('('), behind.strip_prefix(')')) {
        (Some(before), Some(behind)) if !before.ends_with('\\') => (before, behind, true),
        _ => (before, behind, false),
    };
    let has_group = |text: &str| {
        text.match_indices('(').any(|(at, _)| !text[..at].ends_with('\\') && !text[at..].starts_with("(?"))
    };
    if has_group(before) || has_group(behind) || behind.contains("{DATE}") {
        return Err(unsupported(line, "a group may only be around {DATE}, and {DATE} may stand there but once"));
    }
    let before_text = before.replace("{^LN-BEG}", LINE_BEGIN);
    Ok(Pattern::Around(Around {
        before: compile(line, &format!("(?:{before_text})$"))?,
        behind: compile(line, &format!("^(?:{behind})"))?,
        keeps_text,
        is_bare: before.is_empty(),
    }))
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
