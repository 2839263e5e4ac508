//! What the filters make of one line, as the daemon would read it.

use std::net::IpAddr;

use blocker_core::attempts::Attempts;
use blocker_core::engine::{JailId, LastFailures, LogId};
use blocker_core::filter::fail2ban::{Memory, Owner};
use blocker_core::filter::{Failure, Filter, Judgement, Label, Success};
use blocker_core::record::{self, Entry, Learnt, Record, Stamp};
use blocker_core::time::Timestamp;

use super::clock::Clock;
use super::jails::{Jails, NumberedJail};

/// What is known of the log that is read.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) learnt: Learnt,
    before: Option<Timestamp>,
    last: LastFailures,
    /// What filters of fail2ban remember of its lines.
    memory: Memory,
}

/// What a line tells.
#[derive(Debug)]
pub(super) struct Told<'a> {
    pub(super) outcome: Outcome<'a>,
    /// When it was written, as far as it says.
    pub(super) time: Option<Timestamp>,
    /// Whether it says a time, in whatever form.
    pub(super) is_stamped: bool,
    /// Whether its header cannot be read.
    pub(super) is_unreadable: bool,
}

/// The outcome of a line: of the jails that have one, the first in which it is a failure, else the first.
#[derive(Debug)]
pub(super) enum Outcome<'a> {
    Failure {
        jail: &'a NumberedJail,
        addr: IpAddr,
        user: Option<Vec<u8>>,
        attempts: Attempts,
        pattern: Label,
    },
    Ignored {
        jail: &'a NumberedJail,
        why: Label,
    },
    /// It helps to understand others.
    Helper {
        jail: &'a NumberedJail,
        pattern: Label,
    },
    NoMatch,
}

impl Told<'_> {
    /// Of a line that is skipped.
    pub(super) fn unreadable() -> Self {
        Self { outcome: Outcome::NoMatch, time: None, is_stamped: false, is_unreadable: true }
    }
}

/// What becomes of what the jails see.
pub(super) trait Counting {
    /// Takes in a failure in a jail that was `made` then, and says what it adds to what lines of its connection have told: the
    /// same failure, with its attempts.
    fn fail<'f>(&mut self, jail: JailId, failure: Failure<'f>, made: Option<Timestamp>) -> Failure<'f>;

    /// Takes in a login that succeeded.
    fn succeed(&mut self, jail: JailId, success: &Success<'_>, made: Option<Timestamp>);
}

/// Judges `line` of `log`. What a jail sees in it goes to `counting`, with when it was made.
pub(super) fn judge<'a>(
    jails: &'a Jails,
    clock: &Clock,
    log: &mut Log,
    line: &[u8],
    counting: &mut impl Counting,
) -> Told<'a> {
    match record::read(line, &mut log.learnt) {
        Ok(Entry::Record(record)) => {
            let time = log.made(clock, jails.find_stamp(line, record.stamp));
            let asked = Asked { jails, clock, time, times: 1, is_whole: true };
            let outcome = asked.ask(&record, &mut log.memory, counting);
            log.last.note(record.host, line, matches!(outcome, Outcome::Failure { .. }));
            Told { outcome, time, is_stamped: record.stamp.is_some(), is_unreadable: false }
        }
        Ok(Entry::Again { stamp, host, times }) => {
            let time = log.made(clock, stamp);
            let again = log.last.of(host).map(<[u8]>::to_vec);
            let outcome = match again.as_deref().map(|line| record::read(line, &mut Learnt::default())) {
                Some(Ok(Entry::Record(record))) => {
                    let asked = Asked { jails, clock, time, times, is_whole: true };
                    asked.ask(&record, &mut log.memory, counting)
                }
                // Only failures are remembered: of anything else the repetition is nothing.
                Some(Ok(Entry::Again { .. }) | Err(_)) | None => Outcome::NoMatch,
            };
            Told { outcome, time, is_stamped: stamp.is_some(), is_unreadable: false }
        }
        Err(_) => {
            log.last.note_unreadable();
            let time = log.made(clock, jails.find_stamp(line, None));
            let asked = Asked { jails, clock, time, times: 1, is_whole: false };
            let outcome = asked.ask(&Record::bare(line), &mut log.memory, counting);
            let is_unreadable = matches!(outcome, Outcome::NoMatch);
            Told { outcome, time, is_stamped: false, is_unreadable }
        }
    }
}

impl Log {
    fn made(&mut self, clock: &Clock, stamp: Option<Stamp>) -> Option<Timestamp> {
        let made = stamp.and_then(|stamp| clock.calendar.instant(&stamp, self.before));
        self.before = made.or(self.before);
        made
    }
}

/// Who is asked of a record, and how.
struct Asked<'a, 'c> {
    jails: &'a Jails,
    clock: &'c Clock,
    /// When it was written.
    time: Option<Timestamp>,
    /// How often it came.
    times: u32,
    /// Whether its header could be read; else only filters of fail2ban are asked.
    is_whole: bool,
}

impl<'a> Asked<'a, '_> {
    /// Asks every jail. A failure in one of them goes before what another one knows and ignores.
    fn ask(self, record: &Record<'_>, memory: &mut Memory, counting: &mut impl Counting) -> Outcome<'a> {
        let Self { jails, clock, time, times, is_whole } = self;
        let mut outcome = Outcome::NoMatch;
        let is_asked = |filter: &Filter| is_whole || filter.fail2ban().is_some();
        for jail in jails.jails.iter().filter(|jail| is_asked(&jail.filter)) {
            let owner = Owner::new(jail.id, LogId::new(0));
            let at = time.unwrap_or(clock.now());
            match (jail.filter.judge_with(record, owner, at, memory), &outcome) {
                (Judgement::Failure(failure), _) => {
                    let failure = counting.fail(jail.id, failure.times(times), time);
                    if !matches!(outcome, Outcome::Failure { .. }) {
                        outcome = Outcome::Failure {
                            jail,
                            addr: failure.addr,
                            user: failure.user.map(<[u8]>::to_vec),
                            attempts: failure.attempts,
                            pattern: failure.pattern.clone(),
                        };
                    }
                }
                (Judgement::Success(success), before) => {
                    counting.succeed(jail.id, &success, time);
                    if matches!(before, Outcome::NoMatch) {
                        outcome = Outcome::Ignored { jail, why: success.pattern };
                    }
                }
                (Judgement::Ignored(why), Outcome::NoMatch) => outcome = Outcome::Ignored { jail, why },
                (Judgement::Helper(pattern), Outcome::NoMatch) => outcome = Outcome::Helper { jail, pattern },
                (
                    Judgement::Ignored(_) | Judgement::Helper(_),
                    Outcome::Ignored { .. } | Outcome::Helper { .. } | Outcome::Failure { .. },
                )
                | (Judgement::NoMatch, _) => {}
            }
        }
        outcome
    }
}
