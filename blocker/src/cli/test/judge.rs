//! What the filters make of one line, as the daemon would read it.

use std::net::IpAddr;

use blocker_core::attempts::Attempts;
use blocker_core::engine::{JailId, LastFailures};
use blocker_core::filter::{Failure, Judgement, Label};
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

/// The outcome of a line, in the first jail that has one. No filter yet has lines of which none is a failure of its own but
/// which make others one.
#[derive(Debug)]
pub(super) enum Outcome<'a> {
    Failure { jail: &'a NumberedJail, addr: IpAddr, user: Option<Vec<u8>>, attempts: Attempts, pattern: Label },
    Ignored { jail: &'a NumberedJail, why: Label },
    NoMatch,
}

impl Told<'_> {
    /// Of a line that is skipped, or has no header.
    pub(super) fn unreadable() -> Self {
        Self { outcome: Outcome::NoMatch, time: None, is_stamped: false, is_unreadable: true }
    }
}

/// Judges `line` of `log`. Each failure that a jail sees in it goes to `found`, with when it was made.
pub(super) fn judge<'a>(
    jails: &'a Jails,
    clock: &Clock,
    log: &mut Log,
    line: &[u8],
    mut found: impl FnMut(JailId, Failure<'_>, Option<Timestamp>),
) -> Told<'a> {
    match record::read(line, &mut log.learnt) {
        Ok(Entry::Record(record)) => {
            let time = log.made(clock, record.stamp);
            let outcome = ask(jails, &record, 1, |jail, failure| found(jail, failure, time));
            log.last.note(record.host, line, matches!(outcome, Outcome::Failure { .. }));
            Told { outcome, time, is_stamped: record.stamp.is_some(), is_unreadable: false }
        }
        Ok(Entry::Again { stamp, host, times }) => {
            let time = log.made(clock, stamp);
            let again = log.last.of(host).map(<[u8]>::to_vec);
            let outcome = match again.as_deref().map(|line| record::read(line, &mut Learnt::default())) {
                Some(Ok(Entry::Record(record))) => {
                    ask(jails, &record, times, |jail, failure| found(jail, failure, time))
                }
                // Only failures are remembered: of anything else the repetition is nothing.
                Some(Ok(Entry::Again { .. }) | Err(_)) | None => Outcome::NoMatch,
            };
            Told { outcome, time, is_stamped: stamp.is_some(), is_unreadable: false }
        }
        Err(_) => {
            log.last.note_unreadable();
            Told::unreadable()
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

/// Asks every jail. A failure in one of them goes before what another one knows and ignores.
fn ask<'a>(
    jails: &'a Jails,
    record: &Record<'_>,
    times: u32,
    mut found: impl FnMut(JailId, Failure<'_>),
) -> Outcome<'a> {
    let mut outcome = Outcome::NoMatch;
    for jail in &jails.jails {
        match (jail.filter.judge(record), &outcome) {
            (Judgement::Failure(failure), _) => {
                let failure = failure.times(times);
                if !matches!(outcome, Outcome::Failure { .. }) {
                    outcome = Outcome::Failure {
                        jail,
                        addr: failure.addr,
                        user: failure.user.map(<[u8]>::to_vec),
                        attempts: failure.attempts,
                        pattern: failure.pattern.clone(),
                    };
                }
                found(jail.id, failure);
            }
            (Judgement::Ignored(why), Outcome::NoMatch) => outcome = Outcome::Ignored { jail, why },
            (Judgement::Ignored(_), Outcome::Ignored { .. } | Outcome::Failure { .. }) | (Judgement::NoMatch, _) => {}
        }
    }
    outcome
}
