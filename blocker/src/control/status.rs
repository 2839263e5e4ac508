//! What `blocker status` tells.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `blocker status --json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// The daemon's version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Seconds since it started.
    pub uptime_s: u64,
    /// `enforce` or `observe`.
    pub mode: String,
    /// How it is with `run --confirm`; none without that.
    #[serde(default)]
    pub confirm: Option<Confirmation>,
    /// The configuration file.
    pub config: String,
    /// Where the maps are pinned.
    pub pins: String,
    /// Interfaces to protect, attached or not.
    pub interfaces: Vec<InterfaceStatus>,
    /// The jails.
    pub jails: Vec<JailStatus>,
    /// Bans in force.
    pub bans: BanCounts,
    /// Prefixes on the allowlist.
    pub allowed: usize,
    /// Lines of logs.
    pub lines: LineCounts,
    /// Packets and bytes by what was done with them, since the maps were made.
    pub counters: BTreeMap<String, PacketCount>,
    /// How full the tables of bans are.
    #[serde(default)]
    pub tables: Vec<TableStatus>,
    /// What lines are read from.
    #[serde(default)]
    pub sources: Vec<SourceStatus>,
    /// Who is told of bans.
    #[serde(default)]
    pub receivers: Vec<ReceiverStatus>,
    /// What must not happen, counted.
    #[serde(default)]
    pub alarms: Alarms,
    /// What is not as it should be, a sentence each.
    pub problems: Vec<String>,
}

/// Whether enforcement is confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    /// `pending`, `confirmed`, or `over`: not confirmed in time, so that nothing is dropped.
    pub state: String,
    /// While it is pending: when enforcement ends, RFC 3339.
    pub ends: Option<String>,
    /// While it is pending: seconds until then.
    pub remaining_s: Option<u64>,
}

/// A table of bans in the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableStatus {
    /// `ipv4`, `ipv6` or `networks`.
    pub name: String,
    /// Bans in it.
    pub bans: usize,
    /// Most bans that it takes.
    pub capacity: usize,
    /// Whether it is so full that this is a problem.
    pub nearly_full: bool,
}

/// A source of lines. No other one has the same kind and a jail in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceStatus {
    /// `log`, `command`, `syslog`, `stdin` or `journal`.
    pub kind: String,
    /// The jails that judge its lines, by name.
    pub jails: Vec<String>,
    /// Lines read since it began.
    pub lines: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Lines too long to be judged.
    pub overlong: u64,
    /// Entries of the journal that are not from where they would have to be to count.
    pub untrusted: u64,
    /// Lines whose end can not come: their file was truncated or closed.
    pub unfinished: u64,
    /// Files that were found truncated or rewritten.
    pub truncations: u64,
    /// Files that were rotated.
    pub rotations: u64,
    /// What hinders it now.
    pub problems: usize,
}

/// Somebody who is told of bans.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiverStatus {
    /// As the table is called: `mail`, `webhook.NAME` or `exec.NAME`.
    pub name: String,
    /// Mails, POSTs or runs that went well.
    pub sent: u64,
    /// Those that did not, each try by itself.
    pub failed: u64,
    /// Bans and ends of bans that were never told, or only their number.
    pub dropped: u64,
    /// What waits to be told.
    pub waiting: usize,
    /// What was wrong with the last try, if it failed.
    pub error: Option<String>,
}

/// What must not happen, counted since the daemon started; each is a problem in [`Status::problems`], too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarms {
    /// Changes of its maps that the kernel refused.
    pub refused_updates: u64,
    /// Those of them that are tried again, now.
    pub waiting_updates: u64,
    /// Those of them that are tried no more.
    pub lost_updates: u64,
    /// Bans that gave way because their table was full.
    pub evicted_bans: u64,
    /// Bans refused, whatever asked for them.
    pub refused_bans: u64,
    /// Failures that would have earned a ban, and were held because too many had within a minute.
    #[serde(default)]
    pub held_bans: u64,
    /// The same, because too large a share of the bans was of users who had logged in lately.
    #[serde(default)]
    pub held_logins: u64,
    /// Whether bans are held, now.
    #[serde(default)]
    pub holding: bool,
    /// Counts of failures forgotten because there were too many.
    pub forgotten_counts: u64,
    /// Connections forgotten early: what is still told of them counts again.
    #[serde(default)]
    pub forgotten_sessions: u64,
    /// Bans of which not all is kept that `blocker why` and `blocker report` tell.
    #[serde(default)]
    pub unkept_accounts: u64,
    /// Banned sources whose connections were left to time out.
    #[serde(default)]
    pub connections_left: u64,
    /// Ended bans forgotten early.
    pub forgotten_ends: u64,
    /// Lines of the daemon's own log that were left out.
    pub lost_log_lines: u64,
    /// What is wrong with the database, now.
    pub store_problems: u64,
}

/// One interface.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct InterfaceStatus {
    /// Its name.
    pub name: String,
    /// Its index, if it is there.
    pub index: Option<u32>,
    /// `native` or `generic` if attached.
    pub mode: Option<String>,
    /// Whether what would be dropped there only counts.
    pub observes: bool,
    /// Why it is not attached.
    pub error: Option<String>,
    /// Why not in a better mode.
    pub refusals: Vec<String>,
    /// Packets and bytes by what was done with them.
    pub counters: BTreeMap<String, PacketCount>,
    /// The interfaces that lie on it and are protected here, such as a VLAN; by name.
    #[serde(default)]
    pub carries: Vec<String>,
}

/// One jail.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JailStatus {
    /// Its name.
    pub name: String,
    /// Its filter; none for bans by command.
    pub filter: Option<String>,
    /// What its bans close.
    pub ports: String,
    /// `enforce` or `observe`.
    pub mode: String,
    /// Attempts that earn a ban.
    pub max_retry: u32,
    /// Within which time.
    pub find_time: String,
    /// How long the ban lasts.
    pub ban_time: String,
    /// Files that are read.
    pub files: Vec<String>,
    /// Of those the ones on a file system that may not announce writes, which are looked at every second; and which it is.
    #[serde(default)]
    pub unannounced: BTreeMap<String, String>,
    /// What else is read: the output of a command, a socket, standard input.
    pub streams: Vec<String>,
    /// Matches by which the journal is read.
    pub journal: Vec<String>,
    /// Patterns that match no file yet, and why there is no journal.
    pub waiting: Vec<String>,
    /// Lines that told of failures.
    pub failures: u64,
    /// Attempts in them.
    pub attempts: f64,
    /// Attempts that logins which succeeded have taken back.
    #[serde(default)]
    pub forgiven: f64,
    /// Addresses with failures that still count.
    pub tracked: usize,
    /// Bans it made since the daemon started.
    pub bans: u64,
    /// Its bans in force.
    pub in_force: usize,
    /// Failures that were not counted: too old, allow-listed, already banned, made before a ban.
    #[serde(default)]
    pub ignored: u64,
    /// Failures found in a log that was there before, too old to count or without a time.
    pub too_old: u64,
}

/// Bans in force, by kind.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct BanCounts {
    /// IPv4 hosts.
    pub ipv4: usize,
    /// IPv6 /64s.
    pub ipv6: usize,
    /// Other prefixes.
    pub networks: usize,
}

/// Lines of logs since the daemon started.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct LineCounts {
    /// Judged.
    pub judged: u64,
    /// Without a header that could be read.
    pub malformed: u64,
    /// Longer than is kept, skipped whole.
    pub overlong: u64,
    /// Known and harmless.
    pub ignored: u64,
    /// Of no interest to any filter.
    pub no_match: u64,
}

/// A counter of packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacketCount {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}
