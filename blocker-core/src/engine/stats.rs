//! Counters and gauges of the engine.

use std::collections::BTreeMap;

use super::{BrakeStats, Engine, Jail, JailId};
use crate::attempts::Attempts;
use crate::bans::Kind;
use crate::filter::fail2ban;

/// What the engine has seen and holds. Counters count from the start of the engine; "now" marks gauges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Lines handed in: the sum of the next four.
    pub lines: u64,
    /// Lines whose header could not be read.
    pub malformed: u64,
    /// Lines that no filter knows, or of a source that no jail judges.
    pub no_match: u64,
    /// Lines that a filter knows to be harmless, and no jail's filter takes for a failure.
    pub ignored: u64,
    /// Lines that at least one jail's filter takes for a failure.
    pub failures: u64,
    /// Per jail, in the order of the settings.
    pub jails: Vec<JailStats>,
    /// Allow-listed prefixes, now.
    pub allowed: usize,
    /// Single IPv4 hosts banned, now.
    pub bans_v4: usize,
    /// IPv6 /64 networks banned, now.
    pub bans_v6: usize,
    /// Other prefixes banned, now.
    pub networks: usize,
    /// (jail, prefix) pairs whose failures are counted, now.
    pub tracked: usize,
    /// Pairs forgotten because the tracker was full.
    pub forgotten: u64,
    /// Prefixes whose bans gave way because a table was full.
    pub evicted: u64,
    /// Bans refused, whatever asked for them.
    pub refused: u64,
    /// Bans that logs earned and that were held.
    pub brake: BrakeStats,
    /// Beginnings of ended bans that were forgotten early because their table was full.
    pub late_forgotten: u64,
    /// What happened to single bans and could not be noted, because nobody took the notes.
    pub notes_left_out: u64,
    /// Connections forgotten because there were too many: their lines may count twice.
    pub sessions_forgotten: u64,
    /// What filters of fail2ban met at their bounds.
    pub fail2ban: fail2ban::Counts,
}

/// What one jail has seen and holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JailStats {
    /// Its number.
    pub id: JailId,
    /// Its name.
    pub name: String,
    /// Failures that were counted.
    pub failures: u64,
    /// What they added up to; saturates.
    pub attempts: Attempts,
    /// What logins that succeeded have taken back of it; saturates.
    pub forgiven: Attempts,
    /// Failures that were not counted: too old, allow-listed, already banned, made before a ban.
    pub ignored: u64,
    /// Those of them that were in a log before it was read, and too old or without a time.
    pub too_old: u64,
    /// Bans begun, by log and by command.
    pub bans_made: u64,
    /// Bans in force, now.
    pub bans_in_force: usize,
    /// Prefixes whose failures are counted, now.
    pub tracked: usize,
}

impl Stats {
    /// Reads off all of them.
    pub(super) fn read(engine: &Engine) -> Self {
        let Counters { lines, malformed, no_match, ignored, failures, evicted, refused, untold: _, jails: _ } =
            engine.counters;
        Self {
            lines,
            malformed,
            no_match,
            ignored,
            failures,
            jails: engine.jails.iter().map(|jail| JailStats::read(engine, jail)).collect(),
            allowed: engine.allowlist.len(),
            bans_v4: engine.book.count(Kind::HostV4),
            bans_v6: engine.book.count(Kind::NetV6),
            networks: engine.book.count(Kind::Network),
            tracked: engine.tracker.len(),
            forgotten: engine.tracker.forgotten(),
            evicted,
            refused,
            brake: engine.brake.stats(),
            late_forgotten: engine.book.late_forgotten(),
            notes_left_out: engine.account.left_out(),
            sessions_forgotten: engine.sessions.forgotten(),
            fail2ban: engine.memory.counts(),
        }
    }
}

impl JailStats {
    fn read(engine: &Engine, jail: &Jail) -> Self {
        let JailCounters { failures, attempts, forgiven, ignored, too_old, bans_made } =
            engine.counters.jails.get(&jail.id).copied().unwrap_or_default();
        Self {
            id: jail.id,
            name: jail.name.clone(),
            failures,
            attempts,
            forgiven,
            ignored,
            too_old,
            bans_made,
            bans_in_force: engine.book.in_force(jail.id),
            tracked: engine.tracker.tracked_by(jail.id),
        }
    }
}

/// What [`Stats`] counts, as opposed to what it reads off.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) lines: u64,
    pub(super) malformed: u64,
    pub(super) no_match: u64,
    pub(super) ignored: u64,
    pub(super) failures: u64,
    pub(super) evicted: u64,
    pub(super) refused: u64,
    pub(super) untold: u64,
    pub(super) jails: BTreeMap<JailId, JailCounters>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct JailCounters {
    pub(super) failures: u64,
    pub(super) attempts: Attempts,
    pub(super) forgiven: Attempts,
    pub(super) ignored: u64,
    pub(super) too_old: u64,
    pub(super) bans_made: u64,
}

impl Counters {
    pub(super) fn jail(&mut self, jail: JailId) -> &mut JailCounters {
        self.jails.entry(jail).or_default()
    }
}
