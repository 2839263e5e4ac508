//! What was looked at, before it is judged.

use std::collections::BTreeSet;
use std::path::PathBuf;

use blocker_core::config::{Attach, Config, Protocol};

use crate::control::status::Status;
use crate::kernel::{Bpffs, Capacity, OurLink, Release};
use crate::network::{Device, Suitability};
use crate::source::Seen;

/// A fact, or why it is not known.
pub(super) type Told<T> = Result<T, String>;

/// Everything that is judged.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The machine.
    pub machine: Machine,
    /// The configuration file.
    pub configuration: Configuration,
    /// The daemon, if one runs.
    pub daemon: Daemon,
    /// Where the program belongs, in the order of names.
    pub interfaces: Told<Interfaces>,
    /// The logs of each jail that is on; none of a configuration that cannot be used.
    pub logs: Vec<JailLogs>,
    /// The local ports at which somebody listens.
    pub listening: Told<BTreeSet<(Protocol, u16)>>,
}

/// The machine and what this process may do on it.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The kernel.
    pub release: Told<Release>,
    /// Whether the kernel tells its own types (`/sys/kernel/btf/vmlinux`).
    pub has_btf: bool,
    /// `net.core.bpf_jit_enable`.
    pub jit: Told<u32>,
    /// The pins' directory.
    pub pins: PathBuf,
    /// The BPF file system it is to be in.
    pub bpffs: Told<Bpffs>,
    /// The limit on locked memory in bytes; none if there is none.
    pub memlock: Option<u64>,
    /// Whether the daemon could raise it.
    pub may_raise_limits: bool,
    /// The narrowest limit on memory of the control groups that count, in bytes, and whose they are; none if there is none.
    pub memory_limit: Told<Option<MemoryLimit>>,
    /// How many bans there is to be room for.
    pub capacity: Capacity,
    /// The needed capabilities that this process has not.
    pub missing_capabilities: Told<Vec<&'static str>>,
    /// Whether this process is root.
    pub is_root: bool,
    /// Whether it is in a user namespace, where capabilities are not worth what they say.
    pub is_in_user_namespace: bool,
    /// The kernel's lockdown: `none`, `integrity` or `confidentiality`; none if it has no such thing.
    pub lockdown: Told<Option<String>>,
    /// `kernel.unprivileged_bpf_disabled`.
    pub unprivileged_bpf_disabled: Told<u32>,
    /// CPUs that there may be.
    pub possible_cpus: Told<u32>,
}

/// A limit of a control group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryLimit {
    /// In bytes.
    pub bytes: u64,
    /// The file that says so.
    pub file: PathBuf,
    /// Whether it is about the running daemon; else it is about this process.
    pub is_daemons: bool,
}

/// The configuration file.
#[derive(Clone, Debug)]
pub enum Configuration {
    /// It is in order.
    Good {
        /// Its path.
        path: PathBuf,
        /// What it says.
        config: Box<Config>,
    },
    /// It cannot be used.
    Faulty {
        /// Its path.
        path: PathBuf,
        /// What is wrong, a line for each fault.
        faults: String,
    },
    /// This process may not read it.
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// The system's words.
        why: String,
    },
}

impl Configuration {
    /// What it says, if it can be used.
    #[must_use]
    pub fn config(&self) -> Option<&Config> {
        match self {
            Self::Good { config, .. } => Some(config),
            Self::Faulty { .. } | Self::Unreadable { .. } => None,
        }
    }
}

/// The daemon.
#[derive(Clone, Debug)]
pub enum Daemon {
    /// It runs, and says this of itself.
    Running(Box<Status>),
    /// Nobody answers.
    NotRunning,
    /// It is not known whether it runs.
    Unknown(String),
}

/// Where the program belongs.
#[derive(Clone, Debug, Default)]
pub struct Interfaces {
    /// The ways to attach, the best first.
    pub ways: Vec<Attach>,
    /// Whether all routes could be read.
    pub are_routes_whole: bool,
    /// Whether interfaces are those with a default route.
    pub is_auto: bool,
    /// Each place.
    pub places: Vec<Place>,
}

/// An interface that the configuration wants, or that carries the packets of one.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its name.
    pub name: String,
    /// The interfaces that it carries, if it is not for its own sake.
    pub carries: Vec<String>,
    /// What is there, or why nothing is.
    pub link: Told<Link>,
}

/// An interface that is there.
#[derive(Clone, Debug)]
pub struct Link {
    /// Its index.
    pub index: u32,
    /// Whether its frames can be read.
    pub suitability: Suitability,
    /// What kind of software it is, in the kernel's words; none of a network card.
    pub kind: Option<String>,
    /// Its driver's settings and abilities.
    pub device: Device,
    /// The XDP program on it.
    pub program: Option<Program>,
    /// Our link to it, if there is one.
    pub ours: Told<Option<OurLink>>,
}

/// An XDP program that is attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its number in the kernel.
    pub number: u32,
    /// Its name, if it has one.
    pub name: Told<Option<String>>,
}

/// The logs of a jail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JailLogs {
    /// The jail's name.
    pub jail: String,
    /// By pattern.
    pub patterns: Vec<Seen>,
    /// The journal, if it reads that.
    pub journal: Option<JailJournal>,
    /// Whether lines come to it from a program or by syslog: nothing of that is looked at.
    pub is_sent_lines: bool,
}

/// The journal that a jail reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JailJournal {
    /// Which entries of it.
    pub matches: String,
    /// Whether there is one on this machine.
    pub is_there: bool,
}
