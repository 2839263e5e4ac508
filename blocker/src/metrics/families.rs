//! Which metrics there are: their names, units and labels, and what each is in a status.

use std::fmt;

use blocker_common::Outcome;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, prometheus_text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::control::status::{JailStatus, PacketCount, ReceiverStatus, SourceStatus, Status};
use crate::kernel::Fate;

/// All metrics in Prometheus' text format. `started` is when the daemon did, in seconds since 1970.
///
/// # Errors
///
/// None that is known: writing to a string does not fail.
pub(super) fn text(status: &Status, started: f64) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Families(families(status, started))));
    let mut text = String::new();
    prometheus_text::encode(&mut text, &registry)?;
    Ok(text)
}

/// What is told by the name of one metric.
#[derive(Debug)]
struct Family {
    /// Without the `_total` of a counter, which the library adds.
    name: &'static str,
    /// For people.
    help: &'static str,
    kind: MetricType,
    samples: Vec<Sample>,
}

/// A number and its labels.
#[derive(Debug)]
struct Sample {
    labels: Vec<(&'static str, String)>,
    value: f64,
}

/// All of them.
#[derive(Debug)]
struct Families(Vec<Family>);

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for Family { name, help, kind, samples } in &self.0 {
            if samples.is_empty() {
                continue;
            }
            let mut family = encoder.encode_descriptor(name, help, None, *kind)?;
            for Sample { labels, value } in samples {
                let labels = labels.as_slice();
                let mut sample = family.encode_family(&labels)?;
                if matches!(kind, MetricType::Counter) {
                    sample.encode_counter::<NoLabelSet, f64, f64>(value, None)?;
                } else {
                    sample.encode_gauge(value)?;
                }
            }
        }
        Ok(())
    }
}

fn families(status: &Status, started: f64) -> Vec<Family> {
    let mut families = whole(status, started);
    families.extend(jails(&status.jails));
    families.extend(sources(&status.sources));
    families.extend(receivers(&status.receivers));
    families.extend(interfaces(status));
    families
}

/// What there is once for the daemon.
fn whole(status: &Status, started: f64) -> Vec<Family> {
    let Status { version, alarms, lines, tables, .. } = status;
    let failures = lines.judged.saturating_sub(lines.malformed + lines.ignored + lines.no_match);
    let lines = [
        ("failure", failures),
        ("ignored", lines.ignored),
        ("no_match", lines.no_match),
        ("malformed", lines.malformed),
    ];
    let lines = lines.into_iter().map(|(result, value)| sample([("result", result)], float(value)));
    let table =
        |value: fn(&_) -> usize| tables.iter().map(move |table| sample([("table", &table.name)], float(value(table))));
    vec![
        gauge("blocker_build_info", "Which version runs; always 1", [sample([("version", version)], 1.0)]),
        gauge("blocker_start_time_seconds", "When the daemon started, in seconds since 1970", [sample([], started)]),
        gauge(
            "blocker_enforcing",
            "1 if banned packets are dropped, 0 if they only count",
            [sample([], (status.mode == "enforce").into())],
        ),
        counter("blocker_lines", "Lines judged, by what became of them", lines),
        gauge("blocker_allowed_prefixes", "Prefixes on the allowlist", [sample([], float(status.allowed))]),
        gauge("blocker_table_bans", "Bans in a table of the kernel", table(|table| table.bans)),
        gauge(
            "blocker_table_capacity_bans",
            "Most bans that a table of the kernel takes",
            table(|table| table.capacity),
        ),
        gauge(
            "blocker_table_nearly_full",
            "1 if at least four fifths of a table of the kernel are taken",
            table(|table| usize::from(table.nearly_full)),
        ),
        alarm("blocker_refused_updates", "Changes of its maps that the kernel refused", alarms.refused_updates),
        alarm("blocker_lost_updates", "Refused changes of maps that are tried no more", alarms.lost_updates),
        alarm("blocker_evicted_bans", "Bans that gave way because their table was full", alarms.evicted_bans),
        alarm("blocker_refused_bans", "Bans that were refused, whatever asked for them", alarms.refused_bans),
        alarm(
            "blocker_held_bans",
            "Failures that would have earned a ban and were held because too many had within a minute",
            alarms.held_bans,
        ),
        alarm(
            "blocker_held_logins",
            "Failures that would have earned a ban and were held because too large a share was of users who had logged in lately",
            alarms.held_logins,
        ),
        alarm(
            "blocker_forgotten_counts",
            "Counts of failures forgotten because too many addresses failed at once",
            alarms.forgotten_counts,
        ),
        gauge("blocker_holding_bans", "1 while the brake holds bans", [sample([], alarms.holding.into())]),
        alarm(
            "blocker_forgotten_sessions",
            "Connections forgotten early: what is still told of them counts again",
            alarms.forgotten_sessions,
        ),
        alarm(
            "blocker_unkept_accounts",
            "Bans of which not all is kept that blocker why and blocker report tell",
            alarms.unkept_accounts,
        ),
        alarm(
            "blocker_connections_left",
            "Banned sources whose connections were left to time out, because bans came too fast",
            alarms.connections_left,
        ),
        alarm("blocker_forgotten_ends", "Ended bans forgotten early: late lines may count", alarms.forgotten_ends),
        alarm("blocker_lost_log_lines", "Lines of the daemon's own log that were left out", alarms.lost_log_lines),
        gauge(
            "blocker_waiting_updates",
            "Refused changes of maps that are tried again",
            [sample([], float(alarms.waiting_updates))],
        ),
        gauge("blocker_store_problems", "What is wrong with the database", [sample([], float(alarms.store_problems))]),
        gauge("blocker_problems", "Problems that `blocker status` shows", [sample([], float(status.problems.len()))]),
    ]
}

fn jails(jails: &[JailStatus]) -> Vec<Family> {
    let of = |value: fn(&JailStatus) -> f64| jails.iter().map(move |jail| sample([("jail", &jail.name)], value(jail)));
    vec![
        counter(
            "blocker_failures",
            "Lines that told a jail of failures and were counted",
            of(|jail| float(jail.failures)),
        ),
        counter("blocker_attempts", "Failed attempts in them, by their weight", of(|jail| jail.attempts)),
        counter(
            "blocker_forgiven_attempts",
            "Failed attempts taken back because their user logged in from there",
            of(|jail| jail.forgiven),
        ),
        counter(
            "blocker_ignored_failures",
            "Failures that were not counted: too old, allow-listed, already banned, made before a ban",
            of(|jail| float(jail.ignored)),
        ),
        counter("blocker_bans", "Bans made, by log and by command", of(|jail| float(jail.bans))),
        gauge("blocker_bans_in_force", "Bans in force", of(|jail| float(jail.in_force))),
        gauge("blocker_tracked_addresses", "Addresses with failures that still count", of(|jail| float(jail.tracked))),
        gauge(
            "blocker_jail_enforcing",
            "1 if a jail's bans drop packets, 0 if they only count",
            of(|jail| f64::from(jail.mode == "enforce")),
        ),
    ]
}

fn sources(sources: &[SourceStatus]) -> Vec<Family> {
    let of = |value: fn(&SourceStatus) -> u64| {
        sources.iter().map(move |source| {
            sample([("jails", &source.jails.join(",")), ("kind", &source.kind)], float(value(source)))
        })
    };
    vec![
        counter("blocker_source_lines", "Lines read from a source", of(|source| source.lines)),
        counter("blocker_source_bytes", "Bytes read from a source", of(|source| source.bytes)),
        counter("blocker_source_overlong_lines", "Lines too long to be judged", of(|source| source.overlong)),
        counter(
            "blocker_source_untrusted_entries",
            "Entries of the journal that match and are not from where they would have to be to count",
            of(|source| source.untrusted),
        ),
        counter("blocker_source_unfinished_lines", "Lines whose end can not come", of(|source| source.unfinished)),
        counter("blocker_source_truncations", "Files found truncated or rewritten", of(|source| source.truncations)),
        counter("blocker_source_rotations", "Files that were rotated", of(|source| source.rotations)),
        gauge("blocker_source_problems", "What hinders a source", of(|source| source.problems as u64)),
    ]
}

fn receivers(receivers: &[ReceiverStatus]) -> Vec<Family> {
    let of = |value: fn(&ReceiverStatus) -> u64| {
        receivers.iter().map(move |receiver| sample([("receiver", &receiver.name)], float(value(receiver))))
    };
    vec![
        counter("blocker_notifications_sent", "Mails, POSTs and runs of programs that went well", of(|one| one.sent)),
        counter("blocker_notifications_failed", "Those that did not, each try by itself", of(|one| one.failed)),
        counter(
            "blocker_notifications_dropped",
            "Bans and ends of bans that were never told, or only their number",
            of(|one| one.dropped),
        ),
        gauge("blocker_notifications_waiting", "What waits to be told", of(|one| one.waiting as u64)),
        gauge("blocker_notifications_failing", "1 if the last try failed", of(|one| one.error.is_some().into())),
    ]
}

fn interfaces(status: &Status) -> Vec<Family> {
    let attached = status.interfaces.iter().map(|interface| {
        let mode = interface.mode.as_deref().unwrap_or("none");
        sample([("interface", &interface.name), ("mode", mode)], interface.mode.is_some().into())
    });
    let observes = status.interfaces.iter().map(|interface| {
        sample([("interface", &interface.name)], (!interface.observes && interface.mode.is_some()).into())
    });
    let packets = |value: fn(PacketCount) -> u64| {
        status.interfaces.iter().flat_map(move |interface| {
            Outcome::ALL.into_iter().map(move |outcome| {
                let count = interface.counters.get(outcome.name()).copied().unwrap_or_default();
                let (action, reason) = action(outcome);
                let labels = [("interface", interface.name.as_str()), ("action", action), ("reason", reason)];
                sample(labels, float(value(count)))
            })
        })
    };
    vec![
        gauge("blocker_interface_attached", "1 if the program is attached to an interface", attached),
        gauge("blocker_interface_enforcing", "1 if packets may be dropped on an interface", observes),
        counter("blocker_packets", "Packets by what was done with them, and why", packets(|count| count.packets)),
        counter("blocker_packet_bytes", "Bytes of these packets", packets(|count| count.bytes)),
    ]
}

/// What is done with a packet, and why.
fn action(outcome: Outcome) -> (&'static str, &'static str) {
    let name = outcome.name();
    match Fate::of(outcome) {
        Fate::Dropped => ("drop", name.trim_start_matches("drop_")),
        Fate::WouldBeDropped => ("would_drop", name.trim_start_matches("pass_")),
        Fate::Passed => ("pass", name.trim_start_matches("pass_")),
    }
}

fn counter(name: &'static str, help: &'static str, samples: impl IntoIterator<Item = Sample>) -> Family {
    Family { name, help, kind: MetricType::Counter, samples: samples.into_iter().collect() }
}

fn gauge(name: &'static str, help: &'static str, samples: impl IntoIterator<Item = Sample>) -> Family {
    Family { name, help, kind: MetricType::Gauge, samples: samples.into_iter().collect() }
}

fn alarm(name: &'static str, help: &'static str, value: u64) -> Family {
    counter(name, help, [sample([], float(value))])
}

fn sample<const N: usize>(labels: [(&'static str, &str); N], value: f64) -> Sample {
    Sample { labels: labels.map(|(name, text)| (name, text.to_owned())).into(), value }
}

/// Prometheus keeps 64 bits of floating point of every number.
#[expect(clippy::cast_precision_loss, reason = "whoever reads it loses the same")]
fn float(number: impl TryInto<u64>) -> f64 {
    number.try_into().unwrap_or(u64::MAX) as f64
}

#[cfg(test)]
mod tests;
