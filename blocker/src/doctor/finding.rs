//! What the doctor says: findings, each with a level, and the whole of them.

use serde::Serialize;

use crate::network::Queues;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Worth knowing; nothing is wrong.
    Hint,
    /// Not known, because this process may not look.
    NotChecked,
    /// It protects, but not as well as it could.
    Warn,
    /// It keeps `blocker` from protecting.
    Problem,
}

impl Level {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Hint => "hint",
            Self::NotChecked => "not checked",
            Self::Warn => "warn",
            Self::Problem => "problem",
        }
    }
}

/// A finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What it is about: `kernel`, `interface eth0`, `log of dovecot`.
    pub subject: String,
    /// What was found.
    pub text: String,
    /// What helps: commands where there are some, one to a line.
    pub help: Option<String>,
}

impl Finding {
    pub(super) fn new(level: Level, subject: impl Into<String>, text: impl Into<String>) -> Self {
        Self { level, subject: subject.into(), text: text.into(), help: None }
    }

    pub(super) fn ok(subject: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(Level::Ok, subject, text)
    }

    pub(super) fn not_checked(subject: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(Level::NotChecked, subject, why)
    }

    /// The same with what helps.
    pub(super) fn helped_by(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}

/// All that the doctor says: what `blocker doctor --json` prints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Of this program.
    pub version: &'static str,
    /// Whether nothing keeps it from protecting, as far as could be looked.
    pub good: bool,
    /// In the order of machine, configuration, daemon, interfaces, logs and ports.
    pub findings: Vec<Finding>,
    /// The interfaces in detail.
    pub interfaces: Vec<InterfaceReport>,
    /// Whether the configuration cannot be used.
    pub faulty_configuration: bool,
}

impl Report {
    /// How many findings are of `level`.
    #[must_use]
    pub fn count(&self, level: Level) -> usize {
        self.findings.iter().filter(|finding| finding.level == level).count()
    }
}

/// An interface in detail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InterfaceReport {
    /// Its name.
    pub name: String,
    /// Its index, if it is there.
    pub index: Option<u32>,
    /// The interfaces whose packets it carries.
    pub carries: Vec<String>,
    /// The driver, or the kind of a device that is software.
    pub driver: Option<String>,
    /// Bytes of a packet at most.
    pub mtu: Option<u32>,
    /// Its queues.
    pub queues: Option<Queues>,
    /// Those offloads that are on and join packets, or keep a driver from XDP.
    pub offloads: Option<Vec<String>>,
    /// The number of the XDP program there, also if it is ours.
    pub xdp_program: Option<u32>,
    /// Its name, if it may be asked for.
    pub xdp_program_name: Option<String>,
    /// Whether our program is attached; null if that could not be looked at.
    pub attached: Option<bool>,
    /// `native`, `generic` or `tcx`: what it has, or would get.
    pub mode: Option<&'static str>,
    /// Whether native mode is possible.
    pub native: Option<NativeReport>,
}

/// Whether native mode is possible.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NativeReport {
    /// Null if only trying tells.
    pub possible: Option<bool>,
    /// What is in the way.
    pub obstacles: Vec<ObstacleReport>,
}

/// Something in the way of native mode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ObstacleReport {
    /// What it is.
    pub why: String,
    /// The command that removes it, or what else does; none if nothing does.
    pub help: Option<String>,
}
