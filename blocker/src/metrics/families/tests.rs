//! The text, read back; and that the files in `dist` name nothing else.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::control::status::{Alarms, BanCounts, InterfaceStatus, LineCounts, ReceiverStatus, TableStatus};

/// A text of metrics as Prometheus reads it.
#[derive(Debug, Default)]
struct Read {
    /// `counter` or `gauge`, by name; each has a help before it.
    kinds: BTreeMap<String, String>,
    /// By name with labels, as written.
    samples: BTreeMap<String, f64>,
}

impl Read {
    fn of(text: &str) -> Self {
        let mut read = Self::default();
        let mut helped = None;
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, words) = help.split_once(' ').expect("help has words");
                assert!(words.len() > 10, "{line}");
                helped = Some(name.to_owned());
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').expect("a type has a word");
                assert_eq!(helped.as_deref(), Some(name), "{line}");
                assert_eq!(read.kinds.insert(name.to_owned(), kind.to_owned()), None, "{name} is told twice");
            } else {
                let (name, value) = line.rsplit_once(' ').expect("a sample has a value");
                let family = name.split('{').next().unwrap_or_default();
                assert_eq!(helped.as_deref(), Some(family), "{line}: samples follow their type");
                let value = value.parse().unwrap_or_else(|_| panic!("{line}"));
                assert_eq!(read.samples.insert(name.to_owned(), value), None, "{name} is told twice");
            }
        }
        read
    }

    fn value(&self, sample: &str) -> f64 {
        *self.samples.get(sample).unwrap_or_else(|| panic!("no {sample} in {:#?}", self.samples))
    }
}

fn status() -> Status {
    let counters = |outcomes: &[(Outcome, u64, u64)]| {
        let count = |&(outcome, packets, bytes): &(Outcome, u64, u64)| {
            (outcome.name().to_owned(), PacketCount { packets, bytes })
        };
        outcomes.iter().map(count).collect::<BTreeMap<_, _>>()
    };
    Status {
        version: "0.1.0".to_owned(),
        pid: 1,
        uptime_s: 2,
        confirm: None,
        mode: "enforce".to_owned(),
        config: "/etc/blocker/blocker.toml".to_owned(),
        pins: "/sys/fs/bpf/blocker".to_owned(),
        interfaces: vec![
            InterfaceStatus {
                name: "eth0".to_owned(),
                mode: Some("native".to_owned()),
                counters: counters(&[(Outcome::DropBanned, 12, 900), (Outcome::PassObserved, 3, 180)]),
                ..InterfaceStatus::default()
            },
            InterfaceStatus {
                name: "eth\"1\\".to_owned(),
                error: Some("no carrier\nat all".to_owned()),
                ..InterfaceStatus::default()
            },
        ],
        jails: vec![JailStatus {
            name: "dovecot".to_owned(),
            filter: Some("dovecot".to_owned()),
            ports: "143/tcp".to_owned(),
            mode: "observe".to_owned(),
            max_retry: 5,
            find_time: "10m".to_owned(),
            ban_time: "1h".to_owned(),
            files: vec!["/var/log/mail.log".to_owned()],
            unannounced: BTreeMap::new(),
            streams: Vec::new(),
            journal: Vec::new(),
            waiting: Vec::new(),
            failures: 7,
            attempts: 9.5,
            forgiven: 2.0,
            tracked: 2,
            bans: 4,
            in_force: 3,
            ignored: 1,
            too_old: 1,
        }],
        bans: BanCounts::default(),
        allowed: 11,
        lines: LineCounts { judged: 100, malformed: 5, overlong: 2, ignored: 20, no_match: 68 },
        counters: BTreeMap::new(),
        tables: vec![
            TableStatus { name: "ipv4".to_owned(), bans: 800, capacity: 1000, nearly_full: true },
            TableStatus { name: "ipv6".to_owned(), bans: 3, capacity: 500, nearly_full: false },
        ],
        sources: vec![SourceStatus {
            kind: "log".to_owned(),
            jails: vec!["dovecot".to_owned(), "sshd".to_owned()],
            lines: 100,
            bytes: 1 << 53,
            overlong: 2,
            untrusted: 0,
            unfinished: 1,
            truncations: 0,
            rotations: 6,
            problems: 1,
        }],
        receivers: vec![ReceiverStatus {
            name: "webhook.chat".to_owned(),
            sent: 21,
            failed: 3,
            dropped: 17,
            waiting: 2,
            error: Some("no route to host".to_owned()),
        }],
        alarms: Alarms {
            refused_updates: 8,
            evicted_bans: 9,
            store_problems: 1,
            held_bans: 12,
            holding: true,
            forgotten_sessions: 13,
            unkept_accounts: 14,
            connections_left: 15,
            ..Alarms::default()
        },
        problems: vec!["eth1 is not attached".to_owned()],
    }
}

fn read() -> Read {
    Read::of(&text(&status(), 1_795_716_000.25).expect("it can be written"))
}

#[test]
fn every_number_is_read_back_with_its_labels() {
    let read = read();

    for (sample, value) in [
        (r#"blocker_build_info{version="0.1.0"}"#, 1.0),
        ("blocker_start_time_seconds", 1_795_716_000.25),
        ("blocker_enforcing", 1.0),
        (r#"blocker_jail_enforcing{jail="dovecot"}"#, 0.0),
        (r#"blocker_failures_total{jail="dovecot"}"#, 7.0),
        (r#"blocker_ignored_failures_total{jail="dovecot"}"#, 1.0),
        (r#"blocker_attempts_total{jail="dovecot"}"#, 9.5),
        (r#"blocker_forgiven_attempts_total{jail="dovecot"}"#, 2.0),
        (r#"blocker_bans_in_force{jail="dovecot"}"#, 3.0),
        (r#"blocker_bans_total{jail="dovecot"}"#, 4.0),
        (r#"blocker_lines_total{result="failure"}"#, 7.0),
        (r#"blocker_lines_total{result="malformed"}"#, 5.0),
        (r#"blocker_lines_total{result="no_match"}"#, 68.0),
        (r#"blocker_source_bytes_total{jails="dovecot,sshd",kind="log"}"#, 9_007_199_254_740_992.0),
        (r#"blocker_source_overlong_lines_total{jails="dovecot,sshd",kind="log"}"#, 2.0),
        (r#"blocker_source_problems{jails="dovecot,sshd",kind="log"}"#, 1.0),
        (r#"blocker_packets_total{interface="eth0",action="drop",reason="banned"}"#, 12.0),
        (r#"blocker_packet_bytes_total{interface="eth0",action="drop",reason="banned"}"#, 900.0),
        (r#"blocker_packets_total{interface="eth0",action="would_drop",reason="observed"}"#, 3.0),
        (r#"blocker_packets_total{interface="eth0",action="pass",reason="clean"}"#, 0.0),
        (r#"blocker_interface_attached{interface="eth0",mode="native"}"#, 1.0),
        (r#"blocker_table_bans{table="ipv4"}"#, 800.0),
        (r#"blocker_table_capacity_bans{table="ipv4"}"#, 1000.0),
        (r#"blocker_table_nearly_full{table="ipv4"}"#, 1.0),
        (r#"blocker_table_nearly_full{table="ipv6"}"#, 0.0),
        (r#"blocker_notifications_sent_total{receiver="webhook.chat"}"#, 21.0),
        (r#"blocker_notifications_failed_total{receiver="webhook.chat"}"#, 3.0),
        (r#"blocker_notifications_dropped_total{receiver="webhook.chat"}"#, 17.0),
        (r#"blocker_notifications_waiting{receiver="webhook.chat"}"#, 2.0),
        (r#"blocker_notifications_failing{receiver="webhook.chat"}"#, 1.0),
        ("blocker_refused_updates_total", 8.0),
        ("blocker_evicted_bans_total", 9.0),
        ("blocker_held_bans_total", 12.0),
        ("blocker_holding_bans", 1.0),
        ("blocker_forgotten_sessions_total", 13.0),
        ("blocker_unkept_accounts_total", 14.0),
        ("blocker_connections_left_total", 15.0),
        ("blocker_store_problems", 1.0),
        ("blocker_problems", 1.0),
    ] {
        assert!((read.value(sample) - value).abs() < f64::EPSILON, "{sample} is {}", read.value(sample));
    }
}

#[test]
fn a_label_cannot_end_its_line_or_its_quotes() {
    assert!(read().value(r#"blocker_interface_attached{interface="eth\"1\\",mode="none"}"#).abs() < f64::EPSILON);
}

#[test]
fn names_follow_the_conventions_of_prometheus() {
    let read = read();

    assert!(read.kinds.len() > 30, "{:?}", read.kinds.keys());
    for (name, kind) in &read.kinds {
        assert!(name.starts_with("blocker_"), "{name}");
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name} is a {kind}");
    }
}

/// The names of metrics in a file.
fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("blocker_")).collect()
}

#[test]
fn every_metric_of_the_dashboard_and_of_the_alerts_exists() {
    let read = read();

    for (file, least) in [
        (include_str!("../../../../dist/grafana-blocker.json"), 15),
        (include_str!("../../../../dist/prometheus-alerts.yml"), 10),
    ] {
        let named = named(file);
        assert!(named.len() >= least, "{named:?}");
        for name in named {
            assert!(read.kinds.contains_key(name), "no metric is called {name}");
        }
    }
}

/// What each panel shows: its expressions, each with how it is called.
fn expressions() -> Vec<(String, String)> {
    let text = include_str!("../../../../dist/grafana-blocker.json");
    let dashboard: serde_json::Value = serde_json::from_str(text).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("a list");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().expect("a list"));
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    targets.map(|target| (text(&target["expr"]), text(&target["legendFormat"]))).collect()
}

#[test]
fn every_label_that_the_dashboard_goes_by_is_one_of_the_metrics_beside_it() {
    let read = read();
    let labels_of = |name: &str| -> BTreeSet<String> {
        let samples = read.samples.keys().filter(|sample| sample.split('{').next() == Some(name));
        let labels = samples.filter_map(|sample| sample.split_once('{'));
        labels
            .flat_map(|(_, labels)| labels.split(','))
            .filter_map(|label| Some(label.split_once('=')?.0.to_owned()))
            .collect()
    };
    let between = |text: &str, open: &str, close: &str| -> Vec<String> {
        let pieces = text.split(open).skip(1).filter_map(|rest| Some(rest.split_once(close)?.0.to_owned()));
        pieces.collect()
    };

    let mut looked_at = 0;
    for (expression, legend) in expressions() {
        assert!(!named(&expression).is_empty(), "{expression}");
        for name in named(&expression) {
            let known = labels_of(name);
            let matched = between(&expression, "{", "}").join(",");
            let matched =
                matched.split(',').filter_map(|matcher| Some(matcher.split(['=', '!']).next()?.trim().to_owned()));
            let grouped = between(&expression, "by (", ")").join(",");
            let grouped = grouped.split(',').map(|label| label.trim().to_owned());
            for label in matched.chain(grouped).chain(between(&legend, "{{", "}}")) {
                // The first is Prometheus' own.
                if !label.is_empty() && label != "instance" {
                    assert!(known.contains(&label), "{expression}, {legend}: {name} has {known:?}, and no {label}");
                    looked_at += 1;
                }
            }
        }
    }
    assert!(looked_at > 30, "{looked_at}");
}

#[test]
fn what_is_held_told_to_people_and_allowed_has_a_panel() {
    let shown: BTreeSet<String> =
        expressions().iter().flat_map(|(expression, _)| named(expression).into_iter().map(str::to_owned)).collect();
    for name in [
        "blocker_held_bans_total",
        "blocker_holding_bans",
        "blocker_notifications_sent_total",
        "blocker_notifications_failed_total",
        "blocker_notifications_dropped_total",
        "blocker_notifications_waiting",
        "blocker_allowed_prefixes",
        "blocker_unkept_accounts_total",
        "blocker_forgiven_attempts_total",
    ] {
        assert!(shown.contains(name), "no panel shows {name}");
    }
}
