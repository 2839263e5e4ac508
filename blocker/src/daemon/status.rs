//! What the daemon says of itself.

use std::collections::BTreeMap;

use anyhow::Result;
use blocker_common::{Counter, Outcome};
use blocker_core::attempts::Attempts;
use blocker_core::config::Mode;
use blocker_core::engine::{BanInfo, BrakeStats, Held, HoldReason, JailStats, Origin, SourceId, Stats};
use blocker_core::filter::fail2ban;
use blocker_core::time::format_span;

use super::interfaces::State;
use super::{Daemon, fill, taken};
use crate::clock::Reading;
use crate::control::status::{
    Alarms, BanCounts, InterfaceStatus, JailStatus, LineCounts, PacketCount, SourceStatus, Status,
};
use crate::control::wire::Ban;
use crate::kernel::{MANUAL_JAIL, Totals};
use crate::source::{FollowedFile, SourceCounters, SourceState};

impl Daemon<'_> {
    pub(super) fn status(&self) -> Result<Status> {
        let stats = self.engine.stats();
        let by_interface = self.kernel.totals_by_interface()?;
        let counters = self.kernel.totals()?.0;
        Ok(Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime_s: self.started.elapsed().as_secs(),
            mode: mode_name(self.mode()).to_owned(),
            confirm: self.confirmation(Reading::take()),
            config: self.config_path.display().to_string(),
            pins: self.config.daemon.pins.display().to_string(),
            interfaces: self
                .interfaces
                .states()
                .map(|(name, state)| self.interface(name, state, &by_interface))
                .collect(),
            jails: stats.jails.iter().map(|jail| self.jail(jail)).collect(),
            bans: BanCounts { ipv4: stats.bans_v4, ipv6: stats.bans_v6, networks: stats.networks },
            allowed: stats.allowed,
            lines: LineCounts {
                judged: stats.lines,
                malformed: stats.malformed,
                overlong: self.sources.states().map(|state| state.counters.overlong_lines).sum(),
                ignored: stats.ignored,
                no_match: stats.no_match,
            },
            counters: counts(counters),
            tables: fill::tables(&stats, self.capacity).iter().map(fill::Table::status).collect(),
            sources: self.source_states(),
            receivers: self.notifier.status().collect(),
            alarms: Alarms {
                refused_updates: self.refused.0,
                waiting_updates: self.unsettled.waiting() as u64,
                lost_updates: self.unsettled.lost(),
                evicted_bans: stats.evicted,
                refused_bans: stats.refused,
                held_bans: stats.brake.too_many.failures,
                held_logins: stats.brake.logged_in.failures,
                holding: stats.brake.too_many.on.is_some() || stats.brake.logged_in.on.is_some(),
                forgotten_counts: stats.forgotten,
                forgotten_sessions: stats.sessions_forgotten,
                unkept_accounts: stats.notes_left_out,
                connections_left: self.closer.left_out(),
                forgotten_ends: stats.late_forgotten,
                lost_log_lines: self.log_lines_lost(),
                store_problems: self.keeper.problems().count() as u64,
            },
            problems: self.problems(&stats),
        })
    }

    fn interface(&self, name: &str, state: &State, totals: &[(String, Totals)]) -> InterfaceStatus {
        let totals = totals.iter().find(|(held, _)| held == name).map(|(_, Totals(counters))| counts(counters.clone()));
        let absent = |error| InterfaceStatus {
            name: name.to_owned(),
            error,
            counters: totals.clone().unwrap_or_default(),
            ..InterfaceStatus::default()
        };
        match state {
            State::Detached { why } => absent(Some(why.clone())),
            State::Attached { index, carries } => {
                let found = self.kernel.attachments().find(|attachment| attachment.index == *index);
                found.map_or_else(
                    || absent(None),
                    |attachment| InterfaceStatus {
                        index: Some(*index),
                        mode: Some(attachment.mode.to_string()),
                        observes: attachment.observes,
                        refusals: attachment.refusals.clone(),
                        carries: carries.clone(),
                        ..absent(None)
                    },
                )
            }
        }
    }

    fn jail(&self, stats: &JailStats) -> JailStatus {
        let numbered = self.numbered.jails.iter().find(|jail| jail.id == stats.id);
        let sources = numbered.map_or(&[][..], |jail| jail.sources.as_slice());
        let states: Vec<&SourceState> = self.sources.states_of(sources).collect();
        let limits = numbered.map(|jail| &jail.config);
        JailStatus {
            name: stats.name.clone(),
            filter: limits.map(|config| config.filter.title()),
            ports: limits.map_or_else(|| "all".to_owned(), |config| config.ports.to_string()),
            max_retry: limits.map_or(0, |config| config.max_retry),
            find_time: limits.map_or_else(String::new, |config| format_span(config.find_time)),
            ban_time: limits.map_or_else(|| "forever".to_owned(), |config| config.ban_time.to_string()),
            files: states.iter().flat_map(|state| &state.files).map(|file| file.path.display().to_string()).collect(),
            unannounced: states.iter().flat_map(|state| &state.files).filter_map(unannounced).collect(),
            streams: states.iter().flat_map(|state| state.streams.clone()).collect(),
            journal: states.iter().filter_map(|state| state.journal.clone()).collect(),
            waiting: states.iter().flat_map(|state| state.waiting.clone()).collect(),
            failures: stats.failures,
            attempts: number(stats.attempts),
            forgiven: number(stats.forgiven),
            tracked: stats.tracked,
            bans: stats.bans_made,
            in_force: stats.bans_in_force,
            ignored: stats.ignored,
            too_old: stats.too_old,
            mode: mode_name(limits.map_or(Mode::Enforce, |config| config.mode)).to_owned(),
        }
    }

    /// All sources, with the names of the jails that they are read for.
    fn source_states(&self) -> Vec<SourceStatus> {
        let status = |(id, kind, state): (SourceId, &str, &SourceState)| {
            let SourceCounters {
                lines,
                bytes,
                overlong_lines,
                untrusted,
                unfinished_lines,
                truncations,
                rotations,
                closed_early: _,
                queue_overflows: _,
            } = state.counters;
            let jails = self.numbered.jails.iter().filter(|jail| jail.sources.contains(&id));
            SourceStatus {
                kind: kind.to_owned(),
                jails: jails.map(|jail| jail.config.name.clone()).collect(),
                lines,
                bytes,
                overlong: overlong_lines,
                untrusted,
                unfinished: unfinished_lines,
                truncations,
                rotations,
                problems: state.problems.len(),
            }
        };
        self.sources.states_by_kind().map(status).collect()
    }

    /// Lines of the daemon's own log that were never written.
    fn log_lines_lost(&self) -> u64 {
        self.events.left_out() + crate::logging::left_out() as u64
    }

    fn problems(&self, stats: &Stats) -> Vec<String> {
        let mut problems: Vec<String> = self
            .interfaces
            .states()
            .filter_map(|(name, state)| match state {
                State::Detached { why } => Some(format!("{name} is not attached: {why}")),
                State::Attached { .. } => None,
            })
            .chain(self.trial_problem())
            .chain(self.interfaces.problem())
            .chain(self.keeper.problems())
            .chain(self.allow_files.problems())
            .chain(taken::problems(&self.config))
            .chain(self.notifier.problems())
            .chain(self.sources.states().flat_map(|state| state.problems.iter().cloned()))
            .collect();
        problems.extend(fill::warnings(stats, self.capacity));
        let (times, words) = &self.refused;
        if *times > 0 {
            problems.push(format!("the kernel refused {times} changes of its maps, the last one so: {words}"));
        }
        let waiting = self.unsettled.waiting();
        if waiting > 0 {
            problems.push(format!("{waiting} changes that the kernel refused are tried again every second"));
        }
        let lost = self.unsettled.lost();
        if lost > 0 {
            problems.push(format!(
                "{lost} refused changes are tried no more: restart the daemon to have the maps compared"
            ));
        }
        if stats.evicted > 0 {
            problems.push(format!("{} bans gave way because their table was full", stats.evicted));
        }
        problems.extend(held(stats.brake));
        let left_out = self.log_lines_lost();
        if left_out > 0 {
            problems.push(format!("{left_out} lines are missing from the daemon's log: its reader is too slow"));
        }
        if stats.notes_left_out > 0 {
            let left_out = stats.notes_left_out;
            problems.push(format!(
                "of {left_out} bans not all is kept that `blocker why` tells: the database takes too long"
            ));
        }
        let left_open = self.closer.left_out();
        if left_open > 0 {
            problems.push(format!(
                "the connections of {left_open} banned sources were left to time out: bans came too fast to end them all"
            ));
        }
        if stats.late_forgotten > 0 {
            let forgotten = stats.late_forgotten;
            problems
                .push(format!("{forgotten} ended bans were forgotten early: lines about tries before them may count"));
        }
        if stats.sessions_forgotten > 0 {
            let forgotten = stats.sessions_forgotten;
            problems
                .push(format!("{forgotten} connections were forgotten early: what is still told of them counts again"));
        }
        let fail2ban::Counts { out_of_steps, sessions_forgotten, buffers_emptied, named: _, sessions: _ } =
            stats.fail2ban;
        if out_of_steps > 0 {
            problems.push(format!(
                "{out_of_steps} searches by a fail2ban filter took too long and found nothing: a line may be made so, or a \
                 failregex be simpler"
            ));
        }
        if sessions_forgotten > 0 {
            problems.push(format!(
                "{sessions_forgotten} connections were forgotten by fail2ban filters: too many at once, failures in them may be missed"
            ));
        }
        if buffers_emptied > 0 {
            problems.push(format!(
                "the lines that fail2ban filters look at together were dropped {buffers_emptied} times: too many logs"
            ));
        }
        let closed_early: u64 = self.sources.states().map(|state| state.counters.closed_early).sum();
        if closed_early > 0 {
            problems.push(format!("{closed_early} rotated logs were closed while they might still be written to"));
        }
        if stats.forgotten > 0 {
            problems.push(format!("{} counts were forgotten because too many addresses fail at once", stats.forgotten));
        }
        problems
    }
}

/// What is to be said of the brake, if it has held anything.
fn held(brake: BrakeStats) -> impl Iterator<Item = String> {
    let BrakeStats { too_many, logged_in } = brake;
    let one = |one: Held, was: &str| {
        let Held { failures, on: _ } = one;
        holding(one).or_else(|| (failures > 0).then(|| format!("{}: {was}", were_held(failures))))
    };
    one(too_many, "too many fell due within a minute")
        .into_iter()
        .chain(one(logged_in, "too large a share was of users who had logged in lately"))
}

/// Why bans are held, if any are now.
pub(super) fn holding(one: Held) -> Option<String> {
    let Held { failures, on } = one;
    let were = were_held(failures);
    Some(match on? {
        HoldReason::TooMany { limit } => format!(
            "bans are held: the logs have earned {limit} within a minute, as many as `brake.bans_per_minute` says; is one of \
             them wrong about who fails? {were} since the start"
        ),
        HoldReason::LoggedIn { percent } => format!(
            "bans of users who logged in lately are held: more than {percent} % of the bans within an hour would be such, which \
             is what `brake.logged_in_percent` allows; does a service refuse right passwords? {were} since the start"
        ),
    })
}

fn were_held(failures: u64) -> String {
    format!("{failures} failures that would have earned a ban were held")
}

/// A file on a file system that may not announce writes, and which it is.
fn unannounced(file: &FollowedFile) -> Option<(String, String)> {
    file.file_system.map(|name| (file.path.display().to_string(), name.to_owned()))
}

fn counts(counters: Vec<(Outcome, Counter)>) -> BTreeMap<String, PacketCount> {
    let count = |counter: Counter| PacketCount { packets: counter.packets, bytes: counter.bytes };
    counters.into_iter().map(|(outcome, counter)| (Outcome::name(outcome).to_owned(), count(counter))).collect()
}

/// The mode in words.
pub(super) fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Enforce => "enforce",
        Mode::Observe => "observe",
    }
}

/// A ban for people and scripts.
pub(super) fn ban(info: BanInfo, clock: Reading) -> Ban {
    let BanInfo { prefix, jail: _, jail_name, started, until, origin, evidence: _ } = info;
    let (origin, attempts, reason) = match origin {
        Origin::Log { attempts, user: _, pattern } => ("log", number(attempts), Some(pattern.to_string())),
        Origin::Command { reason, by: _ } => ("command", 0.0, reason.map(|reason| reason.to_string())),
        Origin::Adopted => ("adopted", 0.0, None),
    };
    Ban {
        prefix,
        jail: if jail_name.is_empty() { MANUAL_JAIL.to_owned() } else { jail_name.to_string() },
        since: clock.wall(started),
        until: clock.end(until),
        remaining_s: clock.remaining_secs(until),
        origin: origin.to_owned(),
        attempts,
        reason,
    }
}

/// Attempts as a number, perhaps with a fraction.
pub(super) fn number(attempts: Attempts) -> f64 {
    f64::from(attempts.as_tenths()) / 10.0
}
