//! From a line to what the filters of the jails make of it.

use std::ops::Range;

use super::stats::Counters;
use super::{Engine, IgnoreReason, JailId};
use crate::filter::fail2ban::Owner;
use crate::filter::{Failure, Filter, Found, Judgement, Prefilter};
use crate::jail::{LogId, SourceId};
use crate::record::{self, Entry, Learnt, Record, Stamp};
use crate::time::Timestamp;

/// One line of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Where it comes from: decides which jails judge it.
    pub source: SourceId,
    /// The log within the source.
    pub log: LogId,
    /// The line, with or without its end.
    pub bytes: &'a [u8],
    /// Whether it was in its log already when reading of that began, so that its arrival does not tell when it was
    /// written.
    pub past: bool,
}

/// Lines of one log, one after the other, of which some have been judged.
#[derive(Clone, Debug)]
pub struct Lines<'a> {
    source: SourceId,
    log: LogId,
    past: bool,
    bytes: &'a [u8],
    ends: &'a [usize],
    /// How many of them have been judged.
    judged: usize,
    found: Found,
}

impl<'a> Lines<'a> {
    /// The lines in `bytes`, which end at `ends`, with nothing between them; see [`Line`] for the rest.
    ///
    /// Ends must ascend and lie within `bytes`: a line of which that is not true is empty.
    #[must_use]
    pub fn new(source: SourceId, log: LogId, past: bool, bytes: &'a [u8], ends: &'a [usize]) -> Self {
        Self { source, log, past, bytes, ends, judged: 0, found: Found::default() }
    }

    /// The line numbered `index`; empty if there is none.
    fn get(&self, index: usize) -> &'a [u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends.get(before).copied().unwrap_or(usize::MAX));
        let end = self.ends.get(index).copied().unwrap_or(start);
        self.bytes.get(start..end).unwrap_or_default()
    }

    /// Goes to the next line that `prefilter` is for, or to the end. Returns the numbers of those passed over.
    fn pass(&mut self, prefilter: &Prefilter) -> Range<usize> {
        let first = self.judged;
        let start = first.checked_sub(1).map_or(0, |before| self.ends.get(before).copied().unwrap_or(usize::MAX));
        self.judged = match prefilter.find(self.bytes, start, &mut self.found) {
            Some(at) => first + self.ends.get(first..).unwrap_or_default().partition_point(|&end| end <= at),
            None => self.ends.len(),
        };
        first..self.judged
    }

    /// Takes the next line.
    fn take(&mut self) -> Option<Line<'a>> {
        let index = self.judged;
        self.ends.get(index)?;
        self.judged += 1;
        Some(Line { source: self.source, log: self.log, bytes: self.get(index), past: self.past })
    }
}

impl Engine {
    /// Judges the next of `lines` that can matter, and passes over those before it that cannot: no filter knows them, whatever
    /// their header. Says whether there may be more. Commands are to be carried out after each call.
    ///
    /// Past lines are looked at one by one: each tells when the next was written.
    pub fn handle_next(&mut self, lines: &mut Lines<'_>, now: Timestamp) -> bool {
        let everything = Prefilter::default();
        let prefilter =
            if lines.past { &everything } else { self.prefilters.get(&lines.source).unwrap_or(&everything) };
        let passed_over = lines.pass(prefilter);
        self.counters.lines += passed_over.len() as u64;
        self.counters.no_match += passed_over.len() as u64;
        let log = self.logs.of(lines.log);
        for index in passed_over {
            // Whose they are matters only to what may come again.
            if log.last.is_empty() {
                break;
            }
            match record::read(lines.get(index), &mut log.learnt) {
                Ok(Entry::Record(record)) => log.last.note(record.host, b"", false),
                Ok(Entry::Again { .. }) | Err(_) => log.last.note_unreadable(),
            }
        }
        if let Some(line) = lines.take() {
            self.handle_line(line, now);
        }
        lines.judged < lines.ends.len()
    }

    /// Judges a line, by each jail that has its source.
    pub fn handle_line(&mut self, line: Line<'_>, now: Timestamp) {
        self.advance(now);
        self.counters.lines += 1;
        let Line { source, log, bytes, past } = line;
        match record::read(bytes, &mut self.logs.of(log).learnt) {
            Ok(Entry::Record(record)) => {
                let stamp = if past { self.find_stamp(source, bytes, record.stamp) } else { record.stamp };
                let made = self.made(log, stamp, past, now);
                let seen = self.judge(Origin { source, log, made, now }, &record, 1, &|_| true);
                seen.count(&mut self.counters, |counters| &mut counters.no_match);
                self.logs.of(log).last.note(record.host, bytes, seen.is_failure());
            }
            Ok(Entry::Again { stamp, host, times }) => {
                let made = self.made(log, stamp, past, now);
                let again = self.logs.of(log).last.of(host).map(<[u8]>::to_vec);
                match again.as_deref().map(|line| record::read(line, &mut Learnt::default())) {
                    Some(Ok(Entry::Record(record))) => {
                        let seen = self.judge(Origin { source, log, made, now }, &record, times, &|_| true);
                        seen.count(&mut self.counters, |counters| &mut counters.no_match);
                    }
                    // Only failures are remembered, so this repeats nothing that matters.
                    Some(Ok(Entry::Again { .. }) | Err(_)) | None => self.counters.no_match += 1,
                }
            }
            Err(_) => {
                let stamp = if past { self.find_stamp(source, bytes, None) } else { None };
                let made = self.made(log, stamp, past, now);
                let is_asked = |filter: &Filter| filter.fail2ban().is_some();
                let seen = self.judge(Origin { source, log, made, now }, &Record::bare(bytes), 1, &is_asked);
                seen.count(&mut self.counters, |counters| &mut counters.malformed);
                self.logs.of(log).last.note_unreadable();
            }
        }
    }

    /// When a line was written, as a filter that finds times by itself finds it; `read` is what its header says.
    fn find_stamp(&self, source: SourceId, bytes: &[u8], read: Option<Stamp>) -> Option<Stamp> {
        let jails = self.jails.iter().filter(|jail| jail.sources.contains(&source));
        let mut filters = jails.filter_map(|jail| jail.filter.as_ref()?.fail2ban());
        filters.find_map(|filter| filter.stamp(bytes, read)).or(read)
    }

    /// When a line was written: now, if it came as it was. `None` if nobody knows.
    fn made(&mut self, log: LogId, stamp: Option<Stamp>, past: bool, now: Timestamp) -> Option<Timestamp> {
        if !past {
            return Some(now);
        }
        let log = self.logs.of(log);
        let made = stamp.and_then(|stamp| self.calendar.instant(&stamp, log.before));
        log.before = made.or(log.before);
        made
    }

    /// Has each jail of a source whose filter `is_asked` judge a record that came `times` times.
    fn judge(&mut self, origin: Origin, record: &Record<'_>, times: u32, is_asked: &dyn Fn(&Filter) -> bool) -> Seen {
        let Origin { source, log, made, now } = origin;
        let times = times.saturating_mul(record.repeats);
        let mut failures: Vec<(JailId, Failure<'_>)> = Vec::new();
        let mut known = false;
        let mut told_before = false;
        for jail in self.jails.iter().filter(|jail| jail.sources.contains(&source)) {
            let Some(filter) = jail.filter.as_ref().filter(|filter| is_asked(filter)) else { continue };
            let record = &Record { repeats: 1, ..*record };
            let owner = Owner::new(jail.id, log);
            match filter.judge_with(record, owner, made.unwrap_or(self.now), &mut self.memory) {
                Judgement::Failure(failure) => {
                    let counts = match jail.sources.len() {
                        0 | 1 => times,
                        _ => self.twins.count(jail.id, source, record.message, times, self.now),
                    };
                    if counts > 0 {
                        failures.push((jail.id, failure.times(counts)));
                    } else {
                        told_before = true;
                    }
                }
                Judgement::Ignored(_) | Judgement::Helper(_) => known = true,
                Judgement::NoMatch => {}
            }
        }
        let seen = match (told_before || !failures.is_empty(), known) {
            (true, _) if failures.is_empty() => Seen::ToldBefore,
            (true, _) => Seen::Failure,
            (false, true) => Seen::Known,
            (false, false) => Seen::Nothing,
        };
        for (jail, failure) in failures {
            match made {
                Some(made) => self.judge_failure(jail, failure, made, now),
                None => self.ignored(jail, failure.addr, IgnoreReason::Undated),
            }
        }
        seen
    }
}

/// Where a record comes from, and when it was written.
#[derive(Clone, Copy, Debug)]
struct Origin {
    source: SourceId,
    log: LogId,
    /// The last time if it came several times; `None` if nobody knows.
    made: Option<Timestamp>,
    now: Timestamp,
}

/// What the jails make of a line, together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// A failure to one of them.
    Failure,
    /// One that another log told before.
    ToldBefore,
    /// Known, and no failure of its own.
    Known,
    Nothing,
}

impl Seen {
    fn is_failure(self) -> bool {
        matches!(self, Self::Failure | Self::ToldBefore)
    }

    /// Counts the line; `nothing` is the counter of one that nobody knows.
    fn count(self, counters: &mut Counters, nothing: impl FnOnce(&mut Counters) -> &mut u64) {
        match self {
            Self::Failure => counters.failures += 1,
            Self::ToldBefore | Self::Known => counters.ignored += 1,
            Self::Nothing => *nothing(counters) += 1,
        }
    }
}
