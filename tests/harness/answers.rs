//! The daemon's JSON, as far as the laboratory reads it.

use std::collections::BTreeMap;

use serde::{Deserialize, de::DeserializeOwned};

/// A line of `blocker bans --json`.
#[derive(Clone, Debug, Deserialize)]
pub struct Ban {
    /// An address, or a network as `203.0.113.0/24`.
    pub prefix: String,
    /// Whose jail.
    pub jail: String,
    /// RFC 3339.
    pub since: String,
    /// RFC 3339, or `forever`.
    pub until: String,
    /// Seconds left; `None` for ever.
    pub remaining_s: Option<f64>,
    /// What the evidence adds up to.
    pub attempts: f64,
    /// `log`, `command` or `adopted`.
    pub origin: String,
    /// Why, for people.
    pub reason: Option<String>,
}

/// A line of `blocker bans --kernel --json`.
#[derive(Clone, Debug, Deserialize)]
pub struct KernelBan {
    /// An address, or a network.
    pub prefix: String,
    /// Whose jails' ports are closed to it.
    pub jails: Vec<String>,
    /// Packets dropped.
    pub packets: u64,
    /// Bytes dropped.
    pub bytes: u64,
    /// When the first was, on `CLOCK_BOOTTIME`.
    pub first_drop_boot_ns: Option<u64>,
    /// When the last was.
    pub last_drop_boot_ns: Option<u64>,
}

/// `blocker status --json`.
#[derive(Clone, Debug, Deserialize)]
pub struct Status {
    /// The daemon's version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// `enforce` or `observe`.
    pub mode: String,
    /// The interfaces it is to protect, attached or not.
    pub interfaces: Vec<Interface>,
    /// The jails.
    pub jails: Vec<Jail>,
    /// How many bans there are.
    pub bans: BanCounts,
    /// Lines of logs.
    pub lines: LineCounts,
    /// Packets and bytes per reason, over all interfaces.
    pub counters: BTreeMap<String, Counter>,
    /// Who is told of bans.
    #[serde(default)]
    pub receivers: Vec<Receiver>,
    /// What is not as it should be.
    pub problems: Vec<String>,
}

impl Status {
    /// What it tells of the jail `name`.
    ///
    /// # Panics
    ///
    /// If there is no such jail.
    #[must_use]
    pub fn jail(&self, name: &str) -> &Jail {
        self.jails.iter().find(|jail| jail.name == name).unwrap_or_else(|| panic!("no jail {name} in {self:?}"))
    }
}

/// Somebody who is told of bans, in [`Status`].
#[derive(Clone, Debug, Deserialize)]
pub struct Receiver {
    /// As its table is called.
    pub name: String,
    /// What went well.
    pub sent: u64,
    /// Tries that did not.
    pub failed: u64,
    /// What was never told, or only its number.
    pub dropped: u64,
}

/// An interface in [`Status`].
#[derive(Clone, Debug, Deserialize)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// `native` or `generic`; `None` where not attached.
    pub mode: Option<String>,
    /// Why it is not attached.
    pub error: Option<String>,
    /// Why not in a better mode.
    pub refusals: Vec<String>,
    /// The interfaces that lie on it and are protected there.
    #[serde(default)]
    pub carries: Vec<String>,
}

/// A jail in [`Status`].
#[derive(Clone, Debug, Deserialize)]
pub struct Jail {
    /// Its name.
    pub name: String,
    /// Files that are read.
    pub files: Vec<String>,
    /// Those of them that are looked at every second, and on which file system they are.
    pub unannounced: BTreeMap<String, String>,
    /// What else is read.
    pub streams: Vec<String>,
    /// Matches by which it reads the journal.
    pub journal: Vec<String>,
    /// What it waits for.
    pub waiting: Vec<String>,
    /// Lines that told of a failure.
    pub failures: u64,
    /// Attempts they stood for.
    pub attempts: f64,
    /// Attempts that logins have taken back.
    pub forgiven: f64,
    /// Bans it made.
    pub bans: u64,
    /// Failures of the past that were too old to count.
    pub too_old: u64,
}

/// Bans in [`Status`].
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct BanCounts {
    /// Single IPv4 hosts.
    pub ipv4: u64,
    /// IPv6 /64s and hosts.
    pub ipv6: u64,
    /// Wider or other prefixes.
    pub networks: u64,
}

/// Lines in [`Status`].
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct LineCounts {
    /// Judged.
    pub judged: u64,
    /// Too long, skipped whole.
    pub overlong: u64,
}

/// A counter in [`Status`].
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct Counter {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Reads one JSON value per line.
///
/// # Errors
///
/// With the line that is not one.
pub fn per_line<T: DeserializeOwned>(text: &str) -> anyhow::Result<Vec<T>> {
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| serde_json::from_str(line).map_err(|error| anyhow::anyhow!("{error} in {line}")))
        .collect()
}
