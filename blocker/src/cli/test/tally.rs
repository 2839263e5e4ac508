//! What came together over all lines: counts, and a bounded number of what people want to see.

use std::collections::BTreeMap;

use blocker_core::attempts::Attempts;
use blocker_core::record::Form;
use blocker_core::time::Timestamp;
use serde::Serialize;

use super::judge::{Outcome, Told};
use super::replay::{Banned, NotCounted, Replay};

/// Most missed lines that are shown.
pub(super) const MAX_MISSED: usize = 20;

/// Most bans that are shown.
pub(super) const MAX_BANS: usize = 100;

/// Most bytes kept of a missed line.
const MAX_MISSED_BYTES: usize = 400;

/// Of entries of the journal, which have their time beside them.
pub(super) const JOURNAL: &str = "journal";

/// The counts. Tables are as long as the filters have patterns and reasons.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) lines: u64,
    pub(super) failures: u64,
    pub(super) ignored: u64,
    pub(super) no_match: u64,
    pub(super) helpers: u64,
    /// Of those without a match.
    pub(super) unreadable: u64,
    pub(super) too_long: u64,
    pub(super) looks_like_failure: u64,
    pub(super) attempts: Attempts,
    /// By filter and number of the pattern: its name, and how many lines.
    pub(super) hits: BTreeMap<(String, usize), (String, u64)>,
    /// By filter and reason.
    pub(super) reasons: BTreeMap<(String, String), u64>,
    /// How many lines have their time in which form.
    pub(super) forms: BTreeMap<&'static str, u64>,
    pub(super) first: Option<Timestamp>,
    pub(super) last: Option<Timestamp>,
    pub(super) missed: Vec<Missed>,
    pub(super) bans: u64,
    pub(super) banned: Vec<Banned>,
}

/// A line that looks like a failure and is none to the filters.
#[derive(Debug)]
pub(super) struct Missed {
    pub(super) file: String,
    pub(super) line: u64,
    pub(super) text: Vec<u8>,
    pub(super) is_cut: bool,
}

/// The last object of `--json`.
#[derive(Debug, Serialize)]
pub(super) struct Summary<'a> {
    summary: SummaryFields<'a>,
}

#[derive(Debug, Serialize)]
struct SummaryFields<'a> {
    lines: u64,
    failures: u64,
    ignored: u64,
    /// Unreadable and overlong lines are among them.
    no_match: u64,
    helpers: u64,
    unreadable: u64,
    too_long: u64,
    attempts: Attempts,
    /// Of those without a match.
    looks_like_failure: u64,
    patterns: Vec<Hits<'a>>,
    times: Vec<Times<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bans: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_counted: Option<NotCounted>,
    /// After how many of the bans somebody logged in from there.
    #[serde(skip_serializing_if = "Option::is_none")]
    logged_in_later: Option<usize>,
}

#[derive(Debug, Serialize)]
struct Hits<'a> {
    filter: &'a str,
    pattern: usize,
    name: &'a str,
    lines: u64,
}

#[derive(Debug, Serialize)]
struct Times<'a> {
    form: &'a str,
    lines: u64,
}

impl Tally {
    /// Takes in a line; `form` is that of its time.
    pub(super) fn add(&mut self, told: &Told<'_>, form: Option<&'static str>) {
        self.lines += 1;
        match &told.outcome {
            Outcome::Failure { jail, addr: _, user: _, attempts, pattern } => {
                self.failures += 1;
                self.attempts += *attempts;
                let key = (jail.filter.name().to_owned(), jail.number(pattern).unwrap_or(0));
                self.hits.entry(key).or_insert_with(|| (pattern.to_string(), 0)).1 += 1;
            }
            Outcome::Ignored { jail, why } => {
                self.ignored += 1;
                *self.reasons.entry((jail.filter.name().to_owned(), why.to_string())).or_default() += 1;
            }
            Outcome::Helper { jail, pattern } => {
                self.helpers += 1;
                let key = (jail.filter.name().to_owned(), jail.number(pattern).unwrap_or(0));
                self.hits.entry(key).or_insert_with(|| (pattern.to_string(), 0)).1 += 1;
            }
            Outcome::NoMatch => self.no_match += 1,
        }
        self.unreadable += u64::from(told.is_unreadable);
        if !told.is_unreadable {
            *self.forms.entry(form.unwrap_or("none")).or_default() += 1;
        }
        if let Some(time) = told.time {
            self.first = Some(self.first.map_or(time, |first| first.min(time)));
            self.last = self.last.max(Some(time));
        }
    }

    /// Takes in a line that was skipped.
    pub(super) fn add_too_long(&mut self) {
        self.lines += 1;
        self.no_match += 1;
        self.too_long += 1;
    }

    /// Takes in that a line without a match looks like a failure.
    pub(super) fn add_missed(&mut self, file: &str, line: u64, text: &[u8]) {
        self.looks_like_failure += 1;
        if self.missed.len() < MAX_MISSED {
            let kept = text.get(..MAX_MISSED_BYTES).unwrap_or(text);
            let is_cut = kept.len() < text.len();
            self.missed.push(Missed { file: file.to_owned(), line, text: kept.to_vec(), is_cut });
        }
    }

    /// Takes in a ban.
    pub(super) fn add_ban(&mut self, ban: Banned) {
        self.bans += 1;
        if self.banned.len() < MAX_BANS {
            self.banned.push(ban);
        }
    }

    /// For scripts. Of counting tells only a replay.
    pub(super) fn summary(&self, replay: Option<&Replay>) -> Summary<'_> {
        let hits = self.hits.iter();
        let patterns =
            hits.map(|((filter, pattern), (name, lines))| Hits { filter, pattern: *pattern, name, lines: *lines });
        Summary {
            summary: SummaryFields {
                lines: self.lines,
                failures: self.failures,
                ignored: self.ignored,
                no_match: self.no_match,
                helpers: self.helpers,
                unreadable: self.unreadable,
                too_long: self.too_long,
                attempts: self.attempts,
                looks_like_failure: self.looks_like_failure,
                patterns: patterns.collect(),
                times: self.forms.iter().map(|(form, &lines)| Times { form, lines }).collect(),
                bans: replay.map(|_| self.bans),
                not_counted: replay.map(|replay| replay.not_counted),
                logged_in_later: replay.map(|replay| replay.later.count()),
            },
        }
    }
}

/// A form of time, by an example.
pub(super) fn example(form: Form) -> &'static str {
    match form {
        Form::MonthDay => "Nov 23 01:06:25",
        Form::Iso => "2026-11-23T01:11:33",
        Form::Weekday => "Sat Jun 01 02:17:42 2013",
        Form::DaySlashMonth => "05/Mar/2007:14:39:21 +0100",
        Form::YearFirst => "2015/01/21 10:56:10",
        Form::DayDashMonth => "22-Jan-2013 22:28:21",
        Form::Epoch => "1373330716.415",
        Form::Tai64n => "@400000004c91b044077a9e94",
        Form::MonthDayYear => "Oct 27 2015 09:24:46",
        Form::MonthDayYearHalf => "apr 16, 2013 8:32:13 AM",
        Form::MonthDashed => "Apr-07-13 07:08:36",
        Form::ZoneMonthDay => "PDT Apr 16 21:05:29",
        Form::DayMonthYear => "11-06-2013 02:09:40",
        Form::Slashes => "10/06/2013 15:50:41",
        Form::NumberedMonthDay => "08-03 07:56:53",
        Form::SixDigits => "130324  0:04:00",
        Form::EightDigits => "20220407-12:11:06",
        Form::Colons => "2014:07:02-00:17:45",
        Form::TimeAlone => "12:57:32.907",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_of_a_form_is_of_that_form() {
        for form in Form::ALL {
            assert_eq!(Form::read_any(example(form).as_bytes()).map(|(read, _, _)| read), Some(form), "{form:?}");
        }
    }

    #[test]
    fn what_is_kept_for_people_is_bounded() {
        let mut tally = Tally::default();
        for line in 0..1_000 {
            tally.add_missed("mail.log", line, &[b'x'; 10_000]);
        }

        assert_eq!((tally.looks_like_failure, tally.missed.len()), (1_000, MAX_MISSED));
        assert!(tally.missed.iter().all(|missed| missed.text.len() == MAX_MISSED_BYTES && missed.is_cut));
    }
}
