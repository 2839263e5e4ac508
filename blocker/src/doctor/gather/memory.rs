//! Limits on memory: of control groups, which maps count in since Linux 5.11, and on locked memory before.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};

use super::super::facts::MemoryLimit;

/// The limit on locked memory in bytes; none if there is none.
pub(super) fn memlock() -> Option<u64> {
    let limit = getrlimit(Resource::RLIMIT_MEMLOCK).map_or(RLIM_INFINITY, |(soft, _)| soft);
    (limit != RLIM_INFINITY).then_some(limit)
}

/// The narrowest limit of the control groups of the process `daemon`, or of this one.
///
/// # Errors
///
/// If the kernel does not tell the control groups.
pub(super) fn limit(daemon: Option<u32>) -> Result<Option<MemoryLimit>> {
    let place = daemon.map_or_else(|| "/proc/self/cgroup".to_owned(), |pid| format!("/proc/{pid}/cgroup"));
    let groups = fs::read_to_string(&place).with_context(|| format!("reading {place}"))?;
    let narrowest = narrowest(&groups, |file| fs::read_to_string(file).ok());
    Ok(narrowest.map(|(bytes, file)| MemoryLimit { bytes, file, is_daemons: daemon.is_some() }))
}

/// Where each version of control groups is mounted, and the file that tells a group's limit.
const V1: (&str, &str) = ("/sys/fs/cgroup/memory", "memory.limit_in_bytes");
const V2: (&str, &str) = ("/sys/fs/cgroup", "memory.max");

/// Version 1 writes the largest number of pages there is where there is no limit.
const UNLIMITED: u64 = 1 << 62;

/// The narrowest limit that holds in `groups`, the text of `/proc/PID/cgroup`: of the group and those above it.
fn narrowest(groups: &str, read: impl Fn(&Path) -> Option<String>) -> Option<(u64, PathBuf)> {
    let group = |line: &str| -> Option<((&str, &str), String)> {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let version = if controllers.split(',').any(|name| name == "memory") {
            V1
        } else if controllers.is_empty() {
            V2
        } else {
            return None;
        };
        Some((version, path.trim_start_matches('/').to_owned()))
    };
    let limits = groups.lines().filter_map(group).flat_map(|((root, file), path)| {
        let group = Path::new(root).join(path);
        let above: Vec<PathBuf> =
            group.ancestors().take_while(|at| at.starts_with(root)).map(|at| at.join(file)).collect();
        above
    });
    let limit = |file: PathBuf| -> Option<(u64, PathBuf)> {
        let bytes: u64 = read(&file)?.trim().parse().ok()?;
        (bytes < UNLIMITED).then_some((bytes, file))
    };
    limits.filter_map(limit).min_by_key(|(bytes, _)| *bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn narrowest_of(groups: &str, limits: &[(&str, &str)]) -> Option<(u64, PathBuf)> {
        narrowest(groups, |file| {
            let found = limits.iter().find(|(path, _)| Path::new(path) == file)?;
            Some(format!("{}\n", found.1))
        })
    }

    #[test]
    fn the_narrowest_limit_of_a_group_and_those_above_holds() {
        let limits = [
            ("/sys/fs/cgroup/system.slice/blocker.service/memory.max", "max"),
            ("/sys/fs/cgroup/system.slice/memory.max", "1073741824"),
            ("/sys/fs/cgroup/other.slice/memory.max", "1"),
        ];

        let found = narrowest_of("0::/system.slice/blocker.service\n", &limits);

        assert_eq!(found, Some((1 << 30, "/sys/fs/cgroup/system.slice/memory.max".into())));
    }

    #[test]
    fn version_1_counts_in_a_hierarchy_of_its_own() {
        let groups = "4:memory:/mail\n1:cpu:/\n0::/\n";
        let unlimited = ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712");

        assert_eq!(narrowest_of(groups, &[unlimited]), None);
        let limit = ("/sys/fs/cgroup/memory/mail/memory.limit_in_bytes", "4096");
        assert_eq!(narrowest_of(groups, &[unlimited, limit]).map(|(bytes, _)| bytes), Some(4096));
    }

    #[test]
    fn the_groups_of_this_process_are_told() {
        limit(None).unwrap();
        limit(Some(std::process::id())).unwrap();
        assert!(limit(Some(u32::MAX)).is_err(), "nobody has that number");
    }
}
