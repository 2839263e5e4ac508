//! What is shown, and printed by `--json`: what the daemon tells, and rates, from how it was an interval before.

use std::collections::{BTreeMap, HashMap};

use blocker_common::Outcome;
use blocker_core::prefix::Prefix;
use serde::Serialize;

use super::places::Log;
use crate::control::status::{Alarms, BanCounts, Confirmation, InterfaceStatus, JailStatus, PacketCount, TableStatus};
use crate::control::watch::{Attacker, JournalPlace, NewBan, Watch};
use crate::kernel::Fate;

/// How it is, and how fast it changes. Rates are per second; there are none the first time, nor after a restart of the daemon.
#[derive(Clone, Debug, Serialize)]
pub(super) struct View {
    /// When, RFC 3339.
    pub(super) time: String,
    /// Whether there is a daemon; else there is nothing but `time` and `error`.
    pub(super) running: bool,
    /// Over how many seconds rates are made.
    pub(super) interval_s: Option<f64>,
    pub(super) version: String,
    pub(super) uptime_s: u64,
    /// `enforce` or `observe`.
    pub(super) mode: String,
    pub(super) confirm: Option<Confirmation>,
    /// Of all interfaces.
    #[serde(flatten)]
    pub(super) packets: Packets,
    pub(super) interfaces: Vec<Interface>,
    pub(super) jails: Vec<Jail>,
    pub(super) bans: BanCounts,
    pub(super) tables: Vec<TableStatus>,
    pub(super) lines: Lines,
    /// The bans that began since the last time, the first one first; the first time, those that are remembered.
    pub(super) new_bans: Vec<NewBan>,
    /// How many began besides.
    pub(super) new_bans_left_out: u64,
    pub(super) attackers: Vec<Fought>,
    pub(super) logs: Vec<Log>,
    pub(super) journals: Vec<JournalPlace>,
    /// Pieces of logs that wait to be judged, and how many may.
    pub(super) waiting_batches: (usize, usize),
    /// Why bans are held, if they are.
    pub(super) holding: Option<String>,
    /// For how many seconds the service manager waits for the daemon.
    pub(super) watchdog_s: Option<u64>,
    pub(super) alarms: Alarms,
    pub(super) problems: Vec<String>,
}

/// Packets by what was done with them.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Packets {
    pub(super) dropped: Flow,
    pub(super) would_drop: Flow,
    pub(super) passed: Flow,
}

/// A sum and its rate.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Flow {
    pub(super) packets: u64,
    pub(super) bytes: u64,
    pub(super) packets_per_s: Option<f64>,
    pub(super) bytes_per_s: Option<f64>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Interface {
    pub(super) name: String,
    /// `native`, `generic`, `tcx` or `dispatcher`, if attached.
    pub(super) mode: Option<String>,
    pub(super) observes: bool,
    /// Why it is not attached.
    pub(super) error: Option<String>,
    #[serde(flatten)]
    pub(super) packets: Packets,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Jail {
    pub(super) name: String,
    pub(super) mode: String,
    pub(super) in_force: usize,
    /// Bans made since the daemon started.
    pub(super) bans: u64,
    /// Addresses whose failures count.
    pub(super) counted: usize,
    pub(super) failures: u64,
    pub(super) failures_per_s: Option<f64>,
    pub(super) attempts_per_s: Option<f64>,
}

/// Lines of logs.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Lines {
    pub(super) judged: u64,
    pub(super) unreadable: u64,
    pub(super) overlong: u64,
    pub(super) judged_per_s: Option<f64>,
    pub(super) unreadable_per_s: Option<f64>,
    pub(super) overlong_per_s: Option<f64>,
}

/// An attacker, and how fast.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Fought {
    #[serde(flatten)]
    pub(super) attacker: Attacker,
    pub(super) packets_per_s: Option<f64>,
}

impl View {
    /// How it is, with rates since `before`.
    pub(super) fn new(before: Option<&Watch>, now: &Watch, logs: Vec<Log>) -> Self {
        let status = &now.status;
        // Counters begin anew with each run of the daemon.
        let before = before.filter(|before| before.status.pid == status.pid && before.boot_ms < now.boot_ms);
        let seconds = before.map(|before| float(now.boot_ms - before.boot_ms) / 1_000.0);
        let since = Since { seconds };
        let earlier = before.map(|before| &before.status);
        let lines = |get: fn(&Watch) -> u64| since.rate(before.map(get), get(now));
        Self {
            time: now.time.clone(),
            running: true,
            interval_s: seconds.map(rounded),
            version: status.version.clone(),
            uptime_s: status.uptime_s,
            mode: status.mode.clone(),
            confirm: status.confirm.clone(),
            packets: since.packets(earlier.map(|status| &status.counters), &status.counters),
            interfaces: status
                .interfaces
                .iter()
                .map(|interface| {
                    let InterfaceStatus { name, mode, observes, error, counters, .. } = interface;
                    let known = earlier.and_then(|status| status.interfaces.iter().find(|known| known.name == *name));
                    let packets = since.packets(known.map(|known| &known.counters), counters);
                    let (name, mode, error) = (name.clone(), mode.clone(), error.clone());
                    Interface { name, mode, observes: *observes, error, packets }
                })
                .collect(),
            jails: status
                .jails
                .iter()
                .map(|jail| {
                    let JailStatus { name, mode, in_force, bans, tracked, failures, attempts, .. } = jail;
                    let known = earlier.and_then(|status| status.jails.iter().find(|known| known.name == *name));
                    Jail {
                        name: name.clone(),
                        mode: mode.clone(),
                        in_force: *in_force,
                        bans: *bans,
                        counted: *tracked,
                        failures: *failures,
                        failures_per_s: since.rate(known.map(|known| known.failures), *failures),
                        attempts_per_s: since.rate_of(known.map(|known| known.attempts), *attempts),
                    }
                })
                .collect(),
            bans: status.bans,
            tables: status.tables.clone(),
            lines: Lines {
                judged: status.lines.judged,
                unreadable: status.lines.malformed,
                overlong: status.lines.overlong,
                judged_per_s: lines(|watch| watch.status.lines.judged),
                unreadable_per_s: lines(|watch| watch.status.lines.malformed),
                overlong_per_s: lines(|watch| watch.status.lines.overlong),
            },
            new_bans: now.new_bans.clone(),
            new_bans_left_out: now.left_out,
            attackers: since.attackers(before, &now.attackers),
            logs,
            journals: now.journals.clone(),
            waiting_batches: now.waiting_batches,
            holding: now.holding.clone(),
            watchdog_s: now.watchdog_s,
            alarms: status.alarms,
            problems: status.problems.clone(),
        }
    }
}

type Counters = BTreeMap<String, PacketCount>;

/// Over which time rates are made, if over any.
#[derive(Clone, Copy)]
struct Since {
    seconds: Option<f64>,
}

impl Since {
    fn rate(self, before: Option<u64>, now: u64) -> Option<f64> {
        self.rate_of(before.map(float), float(now))
    }

    /// A counter that was set back has no rate below nothing.
    fn rate_of(self, before: Option<f64>, now: f64) -> Option<f64> {
        Some(rounded((now - before?).max(0.0) / self.seconds?))
    }

    fn packets(self, before: Option<&Counters>, now: &Counters) -> Packets {
        let flow = |is_of: fn(Outcome) -> bool| {
            let sum = |counters: &Counters| {
                let counts = Outcome::ALL.into_iter().filter(|outcome| is_of(*outcome));
                let counts = counts.filter_map(|outcome| counters.get(outcome.name()));
                counts.fold((0, 0), |(packets, bytes), count| (packets + count.packets, bytes + count.bytes))
            };
            let (earlier, (packets, bytes)) = (before.map(sum), sum(now));
            Flow {
                packets,
                bytes,
                packets_per_s: self.rate(earlier.map(|(packets, _)| packets), packets),
                bytes_per_s: self.rate(earlier.map(|(_, bytes)| bytes), bytes),
            }
        };
        Packets {
            dropped: flow(|outcome| Fate::of(outcome) == Fate::Dropped),
            would_drop: flow(|outcome| Fate::of(outcome) == Fate::WouldBeDropped),
            passed: flow(|outcome| Fate::of(outcome) == Fate::Passed),
        }
    }

    fn attackers(self, before: Option<&Watch>, now: &[Attacker]) -> Vec<Fought> {
        let earlier = before.map(|before| before.attackers.as_slice()).unwrap_or_default();
        let earlier: HashMap<Prefix, &Attacker> = earlier.iter().map(|known| (known.prefix, known)).collect();
        now.iter()
            .map(|attacker| {
                let known = earlier.get(&attacker.prefix).and_then(|known| known.packets);
                let packets_per_s = attacker.packets.and_then(|packets| self.rate(known, packets));
                Fought { attacker: attacker.clone(), packets_per_s }
            })
            .collect()
    }
}

/// To a tenth.
fn rounded(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

#[expect(clippy::cast_precision_loss, reason = "rates are shown to a tenth")]
fn float(number: u64) -> f64 {
    number as f64
}
