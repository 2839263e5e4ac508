//! The configuration: text in, a checked [`Config`] or every error at once out.
//!
//! [`read`] is handed the text of `blocker.toml`, the service names of the machine, and the filters there are. Whatever it returns is valid:
//! nothing later checks a duration, a port or a name again. Every key has a default, so an empty text is a working
//! configuration: the built-in jail `dovecot`, on where Dovecot or its log is present. A `[jails.dovecot]` table changes
//! the keys it names and leaves the others; `enabled = false` in it turns the jail off.
//!
//! This module opens no file: that a log exists or an interface is up is for the daemon to find out.

mod brake;
mod control;
mod error;
mod filters;
mod input;
mod keys;
mod kinds;
mod metrics;
pub mod notify;
mod ports;
mod repeat;
mod services;
#[cfg(test)]
mod tests;
mod usual;
mod value;
mod walk;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

pub use self::control::Control;
pub use self::error::{Error, Hint, Problem};
pub use self::input::{Input, MAX_SOCKET_BYTES, SyslogSocket};
pub use self::metrics::MetricsSocket;
pub use self::notify::Notify;
pub use self::ports::{PortRange, Ports, Protocol};
pub use self::services::Services;
pub use crate::brake::Limits as Brake;
use crate::fail2ban::{Logs, Taken};
use crate::filter::Filter;
use crate::filter::registry::Filters;
use crate::jail::{Counter, Repeat};
use crate::journal::Matches;
use crate::prefix::Prefix;
use crate::time::BanTime;

/// What a configuration may name without defining it.
#[derive(Clone, Debug)]
pub struct Names {
    /// Names of ports.
    pub services: Services,
    /// Filters.
    pub filters: Filters,
    /// Filters in files of fail2ban's: of each what [`filter_files`] asks for, or what is wrong with it, a line each.
    pub files: BTreeMap<FilterFile, Result<Filter, Vec<String>>>,
}

/// A filter of fail2ban that a jail names by its file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FilterFile {
    /// Its absolute path, with parameters behind it: `/etc/fail2ban/filter.d/sshd.conf[mode=aggressive]`.
    pub words: String,
    /// Where the jail's lines come from: many filters look for another header in the journal.
    pub logs: Logs,
}

/// Finds out which files of fail2ban's the jails of `text` name as their filters, at most one for each of [`MAX_JAILS`].
#[must_use]
pub fn filter_files(text: &str) -> Vec<FilterFile> {
    walk::read_leniently(text, &Names::builtin(), filters::files)
}

/// A jail whose filter is called by a name that it has no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EarlierName {
    /// The jail.
    pub jail: String,
    /// What it calls its filter.
    pub earlier: String,
    /// What that is called.
    pub present: String,
}

/// Finds out which jails of `text` call a filter of `names` by a name that it had before.
#[must_use]
pub fn earlier_names(text: &str, names: &Names) -> Vec<EarlierName> {
    walk::read_leniently(text, names, filters::earlier)
}

impl Names {
    /// Those that are the same on every machine.
    #[must_use]
    pub fn builtin() -> Self {
        Self { services: Services::builtin(), filters: Filters::builtin(), files: BTreeMap::new() }
    }
}

/// What the daemon is to do. Holding one proves that [`read`] found no fault in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// What concerns the daemon as a whole.
    pub daemon: Daemon,
    /// The table `[control]`: who besides root may use the control socket.
    pub control: Control,
    /// The table `[brake]`: how many new bans logs may earn.
    pub brake: Brake,
    /// The table `[metrics]`: where metrics are told, if anywhere.
    pub metrics: Option<MetricsSocket>,
    /// The table `[notify]`: who is told of bans.
    pub notify: Notify,
    /// The jails, in the order of the file; a built-in jail that the file does not mention comes first. Names are
    /// unique; jails that are off are among them. Behind them come those of fail2ban, if they are read too.
    pub jails: Vec<Jail>,
    /// How a jail counts that says nothing about it, be it one of fail2ban's.
    pub counter: Counter,
    /// What became of fail2ban's jails; `None` until somebody has read them.
    pub taken: Option<Taken>,
    /// What may not be as it was meant, a sentence each.
    pub warnings: Vec<String>,
}

/// The table `[daemon]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Daemon {
    /// Where packets are looked at.
    pub interfaces: Interfaces,
    /// Whether packets of banned sources are dropped.
    pub mode: Mode,
    /// How to attach to an interface: the ways to try, the best first; at least one.
    pub attach: Vec<Attach>,
    /// Interfaces on which they are not, whatever the mode says.
    pub observe_interfaces: Vec<String>,
    /// The directory of fail2ban's configuration whose jails are run too; absolute.
    pub fail2ban: Option<PathBuf>,
    /// What is never banned, besides what the daemon finds by itself.
    pub allow: Vec<Prefix>,
    /// Files that name more of it; absolute, each once, at most [`MAX_ALLOW_FILES`].
    pub allow_files: Vec<PathBuf>,
    /// Whether it is never banned where somebody is logged in from, over the network and with authentication.
    pub allow_logins: bool,
    /// Whether connections that a banned source has open to the ports of its ban are ended.
    pub close_connections: bool,
    /// Most IPv4 hosts banned at once, 1,024 to 16,777,216; `None` for what the machine's memory allows.
    pub max_bans_ipv4: Option<u32>,
    /// The same of IPv6 /64s.
    pub max_bans_ipv6: Option<u32>,
    /// Bits of an IPv6 address by which failures are counted and banned, 32 to 128.
    pub ipv6_prefix: u8,
    /// How long after the last ban of somebody it counts that there was one.
    pub remember_bans: Duration,
    /// The longest line that is judged, in bytes before its newline, 1 to 64 KiB; longer ones are skipped whole. 8 KiB is what
    /// rsyslog keeps of a message by default; RFC 5424 asks of receivers no more than 2,048.
    pub max_line_bytes: usize,
    /// The file in which a log as fail2ban's is kept, if anywhere; absolute.
    pub fail2ban_log: Option<PathBuf>,
    /// The directory of what outlives a reboot; absolute.
    pub state: PathBuf,
    /// The directory of the control socket; absolute, and short enough for a socket in it.
    pub runtime: PathBuf,
    /// The directory of the pinned maps, program and links, in a BPF file system; absolute.
    pub pins: PathBuf,
}

/// The interfaces to attach to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interfaces {
    /// Those with a default route, as they come and go.
    Auto,
    /// These: at least one, each once. In a name `*`, `?` and `[]` may stand for what varies; whether such a pattern is
    /// well formed has not been looked at.
    Named(Vec<String>),
}

/// A way to attach to an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attach {
    /// By XDP in the driver.
    Native,
    /// By XDP after the driver.
    Generic,
    /// By tcx, beside other programs.
    Tcx,
    /// As a component of libxdp's dispatcher.
    Dispatcher,
}

/// What happens to a packet from a banned source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It is dropped and counted.
    Enforce,
    /// It is counted as one that would be dropped, and passes.
    Observe,
}

/// The table `[jails.NAME]`: a filter on some logs, with limits, and the ports it protects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jail {
    /// 1 to 31 bytes of `a-z`, `0-9`, `_` and `-`; never `manual`.
    pub name: String,
    /// Where it comes from.
    pub whose: Whose,
    /// Whether it runs.
    pub enabled: Enabled,
    /// What is a failure in its logs.
    pub filter: Filter,
    /// Where its lines come from, besides the journal if it reads that; `None` if it reads the journal alone, or is off.
    pub input: Option<Input>,
    /// What it reads of the journal.
    pub journal: Option<Journal>,
    /// What a ban closes.
    pub ports: Ports,
    /// Whether packets are dropped for its bans; [`Daemon::mode`] may say no for all of them.
    pub mode: Mode,
    /// Attempts within [`Jail::find_time`] that earn a ban, 1 to 1,000.
    pub max_retry: u32,
    /// How long an attempt counts.
    pub find_time: Duration,
    /// How long a ban lasts.
    pub ban_time: BanTime,
    /// What it means that somebody was banned before.
    pub repeat: Repeat,
    /// How attempts are counted.
    pub counter: Counter,
    /// Whether a login that succeeds forgives what its user failed at before, from the same address.
    pub forgive: bool,
}

/// What a jail reads of the systemd journal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Journal {
    /// Which entries.
    pub matches: Matches,
    /// Which of them count, by what the journal itself says of their sender; `None` for all.
    pub trust: Option<Matches>,
    /// Of a namespace: 1 to 64 bytes of letters, digits, `_`, `-`, `.` and `:`; `None` for the default one.
    pub namespace: Option<String>,
    /// Where its files are, if not where journald writes; absolute.
    pub directory: Option<PathBuf>,
}

/// Where a jail comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The file says something of it.
    Configured,
    /// It is there without that.
    Unmentioned,
    /// fail2ban's configuration has it.
    Fail2ban,
}

/// Whether a jail runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enabled {
    /// Yes, and where its log is not there yet it waits for it.
    Auto,
    /// In any case.
    Yes,
    /// Not at all.
    No,
}

impl Default for Config {
    /// What an empty file means.
    fn default() -> Self {
        read("", &Names::builtin()).expect("every key has a valid default")
    }
}

/// Reads the text of a configuration file, in which `names` may be used.
///
/// # Errors
///
/// Everything that is wrong, in the order of the file: at least one [`Error`], at most [`MAX_ERRORS`]. A text that is no
/// TOML yields the first thing the parser says about it, and nothing else.
pub fn read(text: &str, names: &Names) -> Result<Config, Vec<Error>> {
    walk::read(text, names, keys::config)
}

/// Where a running daemon is found, and by what it bans an IPv6 address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// [`Daemon::runtime`].
    pub runtime: PathBuf,
    /// [`Daemon::pins`].
    pub pins: PathBuf,
    /// [`Daemon::state`].
    pub state: PathBuf,
    /// [`Daemon::ipv6_prefix`].
    pub ipv6_prefix: u8,
}

/// Finds out where the daemon is, whatever else is wrong with the text: a slip in the file, made while the daemon runs,
/// must not keep an administrator from it. What cannot be read is the default.
#[must_use]
pub fn places(text: &str) -> Places {
    walk::read_leniently(text, &Names::builtin(), keys::places)
}

/// Most errors reported at once; the last one then says how many are left out.
pub const MAX_ERRORS: usize = 20;

/// Most jails, the built-in ones included.
pub const MAX_JAILS: usize = 60;

/// Most files of addresses that are never banned.
pub const MAX_ALLOW_FILES: usize = 16;

/// Longest name of a jail in bytes: the kernel's map of names holds 32, the last being zero.
pub const MAX_JAIL_NAME_BYTES: usize = 31;
