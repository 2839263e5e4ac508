//! What the daemon takes: memory of its own, of its maps in the kernel, and processor time by thread.

use std::{collections::BTreeMap, fmt, fs, path::PathBuf};

use anyhow::{Context as _, Result};
use blocker_tests::daemon::Daemon;

/// Memory in bytes.
pub(crate) struct Cost {
    daemon: u64,
    maps: u64,
}

impl Cost {
    /// What it takes now.
    pub(crate) fn of(daemon: &Daemon<'_>) -> Result<Self> {
        let process = process(daemon)?;
        let status = fs::read_to_string(process.join("status")).context("reading the daemon's status in /proc")?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("it tells no VmRSS")?;
        let kibibytes: u64 = resident.trim().trim_end_matches(" kB").parse()?;
        // Several descriptors may be of one map.
        let mut maps = BTreeMap::new();
        for entry in fs::read_dir(process.join("fdinfo")).context("reading the daemon's descriptors")? {
            // One that was closed meanwhile is no map.
            let Ok(info) = fs::read_to_string(entry?.path()) else { continue };
            let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
            if let (Some(id), Some(bytes)) = (field("map_id:"), field("memlock:")) {
                maps.insert(id, bytes);
            }
        }
        Ok(Self { daemon: 1024 * kibibytes, maps: maps.values().sum() })
    }

    /// Of the process, resident.
    pub(crate) fn daemon_mib(&self) -> f64 {
        mib(self.daemon)
    }

    /// Of the maps, as the kernel counts them.
    pub(crate) fn maps_mib(&self) -> f64 {
        mib(self.maps)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a machine's memory")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Nanoseconds on a processor, by thread.
pub(crate) struct Threads(BTreeMap<String, u64>);

impl Threads {
    /// What they have taken so far.
    pub(crate) fn of(daemon: &Daemon<'_>) -> Result<Self> {
        let mut threads: BTreeMap<String, u64> = BTreeMap::new();
        for entry in fs::read_dir(process(daemon)?.join("task")).context("reading the daemon's threads")? {
            let thread = entry?.path();
            let name = fs::read_to_string(thread.join("comm")).context("reading a thread's name")?;
            let times = fs::read_to_string(thread.join("schedstat")).context("reading a thread's times")?;
            let on_cpu = times.split(' ').next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0);
            *threads.entry(name.trim().to_owned()).or_default() += on_cpu;
        }
        Ok(Self(threads))
    }

    /// What they have taken since.
    pub(crate) fn since(self, earlier: &Self) -> Self {
        let before = |name: &String| earlier.0.get(name).copied().unwrap_or(0);
        Self(
            self.0
                .into_iter()
                .map(|(name, ns)| {
                    let ns = ns.saturating_sub(before(&name));
                    (name, ns)
                })
                .collect(),
        )
    }
}

impl fmt::Display for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.iter().map(|(name, ns)| format!("{name} {} ms", ns / 1_000_000));
        f.write_str(&shown.collect::<Vec<_>>().join(", "))
    }
}

fn process(daemon: &Daemon<'_>) -> Result<PathBuf> {
    Ok(PathBuf::from(format!("/proc/{}", daemon.pid().context("the daemon does not run")?)))
}
