//! Counting, as the daemon does it, in the time that the lines tell: an engine whose clock goes with them.
//!
//! Its clock never goes back, and never beyond now. Logs are replayed one after the other. What follows an earlier one in time
//! goes on with what that has counted; a log that begins more than [`OVERLAP`] before where the clock is, is another one of
//! the same days, and is counted anew.

use std::time::Duration;

use blocker_core::attempts::Attempts;
use blocker_core::engine::{Command, Engine, Event, IgnoreReason, JailId, Origin, Sessions, Settings};
use blocker_core::filter::{Failure, Label, Success};
use blocker_core::prefix::Prefix;
use blocker_core::time::{Timestamp, Until};

use super::judge::Counting;
use super::later::Later;

/// By how much lines of logs that follow one another may be out of order.
const OVERLAP: Duration = Duration::from_secs(3_600);

/// A ban that fell due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Banned {
    pub(super) prefix: Prefix,
    pub(super) jail: String,
    pub(super) started: Timestamp,
    pub(super) until: Until,
    pub(super) attempts: Attempts,
    pub(super) pattern: Option<Label>,
    /// By which [`Replay::later`] knows it.
    pub(super) number: u64,
}

/// How many failures did not count, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub(super) struct NotCounted {
    /// Of an address that is never banned.
    allow_listed: u64,
    /// Of an address that is banned already, or was when they were made.
    banned: u64,
    /// They stand behind younger ones, and had left the window.
    too_old: u64,
    /// Their lines tell no time.
    undated: u64,
}

impl NotCounted {
    pub(super) fn texts(self) -> impl Iterator<Item = String> {
        let Self { allow_listed, banned, too_old, undated } = self;
        [
            (allow_listed, "of addresses that are never banned"),
            (banned, "of addresses that are banned at the time"),
            (too_old, "that stand behind much younger lines"),
            (undated, "in lines without a time"),
        ]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
    }
}

/// The engine, and where its clock is.
#[derive(Debug)]
pub(super) struct Replay {
    settings: Settings,
    engine: Engine,
    /// The latest time seen in the logs that are counted together; `None` before the first.
    clock: Option<Timestamp>,
    /// No line is later.
    now: Timestamp,
    is_new_log: bool,
    banned: Vec<Banned>,
    /// What was told of connections, to join lines that tell of the same attempts.
    sessions: Sessions,
    /// Whether failures are counted, or only weighed.
    does_count: bool,
    pub(super) not_counted: NotCounted,
    /// Bans that could not be entered.
    pub(super) refused: u64,
    /// Who logged in after being banned.
    pub(super) later: Later,
}

impl Replay {
    /// Nothing counted, and `now` the end of time. If it does not count, it still tells what each line adds.
    pub(super) fn new(settings: Settings, now: Timestamp, does_count: bool) -> Self {
        let mut engine = Engine::new(settings.clone());
        while engine.poll_command().is_some() {}
        Self {
            settings,
            engine,
            clock: None,
            now,
            is_new_log: false,
            banned: Vec::new(),
            sessions: Sessions::default(),
            does_count,
            not_counted: NotCounted::default(),
            refused: 0,
            later: Later::default(),
        }
    }

    /// Another log begins.
    pub(super) fn begin_log(&mut self) {
        self.is_new_log = true;
    }

    /// A line was written at this time; to be told of every line that tells it, also of those without a failure.
    pub(super) fn advance(&mut self, time: Timestamp) {
        let time = time.min(self.now);
        if self.is_new_log {
            self.is_new_log = false;
            if self.clock.is_some_and(|clock| time.saturating_add(OVERLAP) < clock) {
                let Self { settings, now, does_count, not_counted, refused, later, .. } = self;
                let anew = Self::new(settings.clone(), *now, *does_count);
                *self = Self { not_counted: *not_counted, refused: *refused, later: std::mem::take(later), ..anew };
            }
        }
        self.clock = self.clock.max(Some(time));
    }

    /// The bans that fell due since this was asked.
    pub(super) fn take_banned(&mut self) -> Vec<Banned> {
        std::mem::take(&mut self.banned)
    }

    fn take_commands(&mut self) {
        while let Some(command) = self.engine.poll_command() {
            match command {
                Command::Notify(event) => self.note(event),
                Command::Enforce { .. } | Command::Lift { .. } | Command::LiftAll { .. } => {}
                Command::Allow { .. } | Command::Disallow { .. } => {}
            }
        }
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::Banned(ban) => {
                let (attempts, pattern) = match ban.origin {
                    Origin::Log { attempts, user: _, pattern } => (attempts, Some(pattern)),
                    Origin::Command { .. } | Origin::Adopted => (Attempts::ZERO, None),
                };
                let (prefix, jail, started, until) = (ban.prefix, ban.jail_name.to_string(), ban.started, ban.until);
                let number = self.later.ban(prefix, started);
                self.banned.push(Banned { prefix, jail, started, until, attempts, pattern, number });
            }
            Event::Ignored { jail: _, addr: _, why } => match why {
                IgnoreReason::AllowListed(_) => self.not_counted.allow_listed += 1,
                IgnoreReason::AlreadyBanned { .. } | IgnoreReason::BeforeBan { .. } => self.not_counted.banned += 1,
                IgnoreReason::TooOld { .. } => self.not_counted.too_old += 1,
                IgnoreReason::Undated => self.not_counted.undated += 1,
                IgnoreReason::NoAttempt => {}
            },
            Event::Refused { .. } => self.refused += 1,
            Event::Found(_) | Event::Renewed(_) | Event::Restored(_) | Event::Unbanned { .. } | Event::Full { .. } => {}
            Event::Allowlist { .. } | Event::Brake(_) => {}
        }
    }
}

impl Counting for Replay {
    /// Whoever does not know when, has nothing counted.
    fn fail<'f>(&mut self, jail: JailId, failure: Failure<'f>, made: Option<Timestamp>) -> Failure<'f> {
        if let Some(made) = made {
            self.advance(made);
        }
        let failure = self.sessions.join(jail, failure, self.clock.unwrap_or(self.now));
        match (made, failure.attempts.is_zero() || !self.does_count) {
            (_, true) => {}
            (None, false) => self.not_counted.undated += 1,
            (Some(made), false) => {
                self.engine.handle_failure(jail, &failure, made, self.clock.unwrap_or(made));
                self.take_commands();
            }
        }
        failure
    }

    fn succeed(&mut self, jail: JailId, success: &Success<'_>, made: Option<Timestamp>) {
        let Some(made) = made.filter(|_| self.does_count) else { return };
        self.advance(made);
        self.engine.handle_success(jail, success, made, self.clock.unwrap_or(made));
        self.take_commands();
        self.later.log_in(success.addr, success.user, made);
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::cli::Globals;
    use crate::cli::test::jails::Jails;

    const JAIL: JailId = JailId::new(1).unwrap();

    fn replay() -> Replay {
        let globals = Globals { config: "/nonexistent/blocker.toml".into(), json: false, verbose: 0 };
        Replay::new(
            Jails::of_filter(&globals, "dovecot", blocker_core::fail2ban::Logs::Files).unwrap().settings,
            Timestamp::from_secs(1_000_000),
            true,
        )
    }

    /// The bans after failures at these seconds.
    fn fail(replay: &mut Replay, seconds: &[i64]) -> Vec<i64> {
        for &second in seconds {
            let failure = Failure::of_one(IpAddr::from([192, 0, 2, 9]), "imap".into(), "auth failed".into());
            replay.fail(JAIL, failure, Some(Timestamp::from_secs(second)));
        }
        replay.take_banned().iter().map(|ban| ban.started.as_nanos() / 1_000_000_000).collect()
    }

    #[test]
    fn a_ban_falls_due_at_the_time_of_the_line_and_again_after_it_is_over() {
        let mut replay = replay();

        assert_eq!(fail(&mut replay, &[0, 150, 300, 450, 599]), [599]);
        assert_eq!(fail(&mut replay, &[700]), [0; 0], "it is banned");
        assert_eq!(replay.not_counted.banned, 1);
        assert_eq!(fail(&mut replay, &[4_300, 4_301, 4_302, 4_303, 4_304]), [4_304], "an hour later it is free again");
        assert_eq!(fail(&mut replay, &[9_000, 9_200, 9_400, 9_600, 9_800]), [0; 0], "never five within ten minutes");
    }

    #[test]
    fn a_log_that_follows_goes_on_and_one_of_the_same_days_is_counted_anew() {
        let mut replay = replay();
        fail(&mut replay, &[10_000, 10_001, 10_002]);
        replay.begin_log();
        assert_eq!(fail(&mut replay, &[10_003, 10_004]), [10_004]);

        replay.begin_log();
        assert_eq!(fail(&mut replay, &[100, 101, 102, 103]), [0; 0]);
        assert_eq!(fail(&mut replay, &[104]), [104]);
        assert_eq!(replay.not_counted, NotCounted::default());
    }

    #[test]
    fn a_line_of_the_future_is_of_now() {
        let mut replay = replay();

        assert_eq!(fail(&mut replay, &[2_000_000, 1_000_000, 3_000_000, 1_000_000, 1_000_001]), [1_000_000]);
    }
}
