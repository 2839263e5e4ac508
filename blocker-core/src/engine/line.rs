//! From a line to what the filters of the jails make of it.

use memchr::{memchr, memrchr};

use super::logs::Log;
use super::stats::Counters;
use super::{Engine, IgnoreReason};
use crate::filter::fail2ban::Owner;
use crate::filter::{Found, Judgement, Prefilter};
use crate::jail::{LogId, SourceId};
use crate::policy;
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
    text: Text<'a>,
    /// The first that has neither been judged nor passed over.
    next: Place,
    /// How many have been counted neither as judged nor as passed over, if nobody knows where they end.
    uncounted: usize,
    found: Found,
}

impl<'a> Lines<'a> {
    /// The lines in `bytes`, which end at `ends`, each with or without its newline; see [`Line`] for the rest.
    ///
    /// Ends must ascend and lie within `bytes`: a line of which that is not true is empty.
    #[must_use]
    pub fn new(source: SourceId, log: LogId, past: bool, bytes: &'a [u8], ends: &'a [usize]) -> Self {
        Self::of(source, log, past, Text { bytes, ends: Some(ends) })
    }

    /// The lines in `bytes`, each of which ends with its newline, so many in all; empty ones may be among them.
    ///
    /// Cheaper where most are passed over, since nobody need know where each of those ends.
    #[must_use]
    pub fn by_newlines(source: SourceId, log: LogId, past: bool, bytes: &'a [u8], count: usize) -> Self {
        Self { uncounted: count, ..Self::of(source, log, past, Text { bytes, ends: None }) }
    }

    fn of(source: SourceId, log: LogId, past: bool, text: Text<'a>) -> Self {
        Self { source, log, past, text, next: Place::default(), uncounted: 0, found: Found::default() }
    }

    /// Goes to the next line that `prefilter` is for, or to the end.
    fn pass(&mut self, prefilter: &Prefilter) -> Passed<'a> {
        let from = self.next;
        let worth_it = prefilter.find(self.text.bytes, from.at, &mut self.found);
        self.next = self.text.pass(from, worth_it);
        Passed { text: self.text, from, to: self.next }
    }

    /// How many have been passed over since that was last asked: of lines of which nobody knows where they end, all at the end.
    fn count_passed(&mut self, passed: Passed<'_>) -> u64 {
        match self.text.ends {
            Some(_) => (passed.to.number - passed.from.number) as u64,
            None if self.is_over() => std::mem::take(&mut self.uncounted) as u64,
            None => 0,
        }
    }

    /// Takes the next line.
    fn take(&mut self) -> Option<Line<'a>> {
        let (bytes, next) = self.text.line(self.next)?;
        self.next = next;
        self.uncounted = self.uncounted.saturating_sub(1);
        Some(Line { source: self.source, log: self.log, bytes, past: self.past })
    }

    /// Whether all have been judged or passed over.
    fn is_over(&self) -> bool {
        match self.text.ends {
            Some(ends) => self.next.number >= ends.len(),
            None => self.next.at >= self.text.bytes.len(),
        }
    }
}

/// Where a line begins, and how many are before it; those that were passed over only if it is known where each ends.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    at: usize,
    number: usize,
}

/// The bytes of lines, and where each ends: behind its newline if nothing is said.
#[derive(Clone, Copy, Debug)]
struct Text<'a> {
    bytes: &'a [u8],
    ends: Option<&'a [usize]>,
}

impl<'a> Text<'a> {
    /// The line at a place, without its newline, and the place of the next; `None` behind the last.
    fn line(self, Place { at, number }: Place) -> Option<(&'a [u8], Place)> {
        let end = match self.ends {
            Some(ends) => *ends.get(number)?,
            None => {
                let rest = self.bytes.get(at..).filter(|rest| !rest.is_empty())?;
                memchr(b'\n', rest).map_or(self.bytes.len(), |newline| at + newline + 1)
            }
        };
        let line = self.bytes.get(at..end).unwrap_or_default();
        let line = line.strip_suffix(b"\n").map_or(line, |line| line.strip_suffix(b"\r").unwrap_or(line));
        Some((line, Place { at: end, number: number + 1 }))
    }

    /// The first place at or behind `from` whose line has the byte at `worth_it`; the end if there is none.
    fn pass(self, from: Place, worth_it: Option<usize>) -> Place {
        let Some(ends) = self.ends else {
            let rest = self.bytes.get(from.at..).unwrap_or_default();
            let passed = match worth_it.and_then(|worth_it| rest.get(..worth_it.checked_sub(from.at)?)) {
                Some(before) => memrchr(b'\n', before).map_or(0, |newline| newline + 1),
                None => rest.len(),
            };
            return Place { at: from.at + passed, ..from };
        };
        let rest = ends.get(from.number..).unwrap_or_default();
        let passed = match worth_it {
            Some(worth_it) => rest.iter().take_while(|end| **end <= worth_it).count(),
            None => rest.len(),
        };
        let at = passed.checked_sub(1).and_then(|last| rest.get(last)).copied().unwrap_or(from.at);
        Place { at, number: from.number + passed }
    }
}

/// Lines that have been passed over, one after the other.
#[derive(Clone, Copy, Debug)]
struct Passed<'a> {
    text: Text<'a>,
    from: Place,
    to: Place,
}

impl<'a> Passed<'a> {
    const NONE: Self = Self {
        text: Text { bytes: &[], ends: None },
        from: Place { at: 0, number: 0 },
        to: Place { at: 0, number: 0 },
    };

    fn lines(self) -> impl Iterator<Item = &'a [u8]> {
        let mut place = self.from;
        std::iter::from_fn(move || {
            let is_one = match self.text.ends {
                Some(_) => place.number < self.to.number,
                None => place.at < self.to.at,
            };
            let (line, next) = self.text.line(place).filter(|_| is_one)?;
            place = next;
            Some(line)
        })
    }
}

impl Engine {
    /// Judges the next of `lines` that can matter, and passes over those before it that cannot: no filter knows them, whatever
    /// their header. Says whether there may be more. Commands are to be carried out after each call.
    ///
    /// Past lines are looked at one by one: each tells when the next was written.
    pub fn handle_next(&mut self, lines: &mut Lines<'_>, now: Timestamp) -> bool {
        let mut passed = Passed::NONE;
        if !lines.past
            && let Some(prefilter) = self.prefilters.get(&lines.source)
        {
            passed = lines.pass(prefilter);
        }
        match lines.take() {
            Some(line) => self.judge_line(line, passed, now),
            None => self.logs.of(lines.log).note_all(passed),
        }
        let count = lines.count_passed(passed);
        self.counters.lines += count;
        self.counters.no_match += count;
        !lines.is_over()
    }

    /// Judges a line, by each jail that has its source.
    pub fn handle_line(&mut self, line: Line<'_>, now: Timestamp) {
        self.judge_line(line, Passed::NONE, now);
    }

    /// The same for a line that comes behind those that were `passed` over.
    fn judge_line(&mut self, line: Line<'_>, passed: Passed<'_>, now: Timestamp) {
        self.advance(now);
        self.counters.lines += 1;
        let Line { source, log, bytes, past } = line;
        if bytes.is_empty() {
            // No log daemon writes one; to what may come again it is as if it were not there.
            self.counters.malformed += 1;
            return self.logs.of(log).note_all(passed);
        }
        match record::read(bytes, &mut self.logs.of(log).learnt) {
            Ok(Entry::Record(record)) => {
                let stamp = if past { self.find_stamp(source, bytes, record.stamp) } else { record.stamp };
                let made = self.made(log, stamp, past, now);
                let seen = self.judge(Origin { source, log, line: bytes, made, now, is_bare: false }, &record, 1);
                seen.count(&mut self.counters, |counters| &mut counters.no_match);
                let log = self.logs.of(log);
                // Else it does not matter whose those lines are: only this host has a last one, and this is it.
                if !log.last.is_only_of(record.host) {
                    log.note_all(passed);
                }
                log.last.note(record.host, bytes, seen.is_failure());
            }
            Ok(Entry::Again { stamp, host, times }) => {
                let made = self.made(log, stamp, past, now);
                let log_id = log;
                let log = self.logs.of(log);
                log.note_all(passed);
                let again = log.last.of(host).map(<[u8]>::to_vec);
                let line = again.as_deref().unwrap_or_default();
                match again.as_deref().map(|line| record::read(line, &mut Learnt::default())) {
                    Some(Ok(Entry::Record(record))) => {
                        let origin = Origin { source, log: log_id, line, made, now, is_bare: false };
                        let seen = self.judge(origin, &record, times);
                        seen.count(&mut self.counters, |counters| &mut counters.no_match);
                    }
                    // Only failures are remembered, so this repeats nothing that matters.
                    Some(Ok(Entry::Again { .. }) | Err(_)) | None => self.counters.no_match += 1,
                }
            }
            Err(_) => {
                let stamp = if past { self.find_stamp(source, bytes, None) } else { None };
                let made = self.made(log, stamp, past, now);
                let origin = Origin { source, log, line: bytes, made, now, is_bare: true };
                let seen = self.judge(origin, &Record::bare(bytes), 1);
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

    /// Has each jail of a source judge a record that came `times` times.
    fn judge(&mut self, origin: Origin<'_>, record: &Record<'_>, times: u32) -> Seen {
        let Origin { source, log, line, made, now, is_bare } = origin;
        let times = times.saturating_mul(record.repeats);
        let (mut counted, mut told_before, mut known) = (false, false, false);
        for place in 0..self.jails.len() {
            let Some(jail) = self.jails.get(place).filter(|jail| jail.sources.contains(&source)) else { continue };
            // What cannot be read is for filters that read it themselves.
            let Some(filter) = jail.filter.as_ref().filter(|filter| !is_bare || filter.fail2ban().is_some()) else {
                continue;
            };
            let owner = Owner::new(jail.id, log);
            let Self { tracker, memory, logins, awaited, ipv6_prefix, now: latest, .. } = self;
            let mut is_counted = |addr, user: &[u8]| {
                let prefix = policy::counted_by(addr, *ipv6_prefix);
                let is_counted = tracker.is_tracked(jail.id, prefix) || awaited.awaits(prefix);
                if !is_counted {
                    logins.note(prefix, user, made, *latest);
                }
                is_counted
            };
            match filter.judge_counted(record, owner, made.unwrap_or(*latest), memory, &mut is_counted) {
                Judgement::Failure(failure) => {
                    let counts = match jail.sources.len() {
                        0 | 1 => times,
                        _ => self.twins.count(jail.id, source, record.message, times, self.now),
                    };
                    if counts == 0 {
                        told_before = true;
                        continue;
                    }
                    let failure = self.sessions.join(jail.id, failure.times(counts), self.now);
                    if failure.attempts.is_zero() {
                        told_before = true;
                        continue;
                    }
                    counted = true;
                    match made {
                        Some(made) => self.judge_failure(place, &failure, line, made, now),
                        None => self.ignored(jail.id, failure.addr, IgnoreReason::Undated),
                    }
                }
                Judgement::Success(success) => {
                    known = true;
                    if let Some(made) = made {
                        self.judge_success(place, &success, made, now);
                    }
                }
                Judgement::Ignored(_) | Judgement::Helper(_) => known = true,
                Judgement::NoMatch => {}
            }
        }
        match (counted, told_before, known) {
            (true, _, _) => Seen::Failure,
            (false, true, _) => Seen::ToldBefore,
            (false, false, true) => Seen::Known,
            (false, false, false) => Seen::Nothing,
        }
    }
}

impl Log {
    /// Notes whose the lines are that were passed over, as far as that matters to what may come again.
    fn note_all(&mut self, passed: Passed<'_>) {
        if self.last.is_empty() {
            return;
        }
        for line in passed.lines().filter(|line| !line.is_empty()) {
            if self.last.is_empty() {
                return;
            }
            match record::read(line, &mut self.learnt) {
                Ok(Entry::Record(record)) => self.last.note(record.host, b"", false),
                Ok(Entry::Again { .. }) | Err(_) => self.last.note_unreadable(),
            }
        }
    }
}

/// Where a record comes from, and when it was written.
#[derive(Clone, Copy, Debug)]
struct Origin<'a> {
    source: SourceId,
    log: LogId,
    /// As it was written; of one that came again, the first time.
    line: &'a [u8],
    /// The last time if it came several times; `None` if nobody knows.
    made: Option<Timestamp>,
    now: Timestamp,
    /// Whether its header could not be read.
    is_bare: bool,
}

/// What the jails make of a line, together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// A failure to one of them.
    Failure,
    /// One that another log, or another line of its connection, told before.
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
