//! The kernel and what this process may do with it.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use blocker_core::config::{Config, Places};
use nix::unistd::Uid;

use super::super::facts::{Daemon, Machine, Told};
use super::{memory, told};
use crate::kernel::{self, Capacity};

/// Looks at the machine.
pub(super) fn machine(config: &Config, places: &Places, daemon: &Daemon) -> Machine {
    let pid = match daemon {
        Daemon::Running(status) => Some(status.pid),
        Daemon::NotRunning | Daemon::Unknown(_) => None,
    };
    Machine {
        release: told(kernel::running_kernel()),
        has_btf: Path::new("/sys/kernel/btf/vmlinux").exists(),
        jit: number("/proc/sys/net/core/bpf_jit_enable"),
        pins: places.pins.clone(),
        bpffs: told(kernel::bpffs(&places.pins)),
        memlock: memory::memlock(),
        may_raise_limits: kernel::may_raise_limits(),
        memory_limit: told(memory::limit(pid)),
        capacity: Capacity::configured(config.daemon.max_bans_ipv4, config.daemon.max_bans_ipv6),
        missing_capabilities: told(kernel::missing_capabilities()),
        is_root: Uid::effective().is_root(),
        is_in_user_namespace: fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| !is_whole(&map)),
        lockdown: lockdown(),
        unprivileged_bpf_disabled: number("/proc/sys/kernel/unprivileged_bpf_disabled"),
        possible_cpus: text("/sys/devices/system/cpu/possible")
            .and_then(|list| cpus(&list).ok_or_else(|| format!("`{}` is no list of CPUs", list.trim()))),
    }
}

fn text(path: &str) -> Told<String> {
    fs::read_to_string(path).map_err(|error| {
        // Some are shown in the first network namespace alone.
        let where_else = if error.kind() == ErrorKind::NotFound { " in this network namespace" } else { "" };
        format!("{path}: {error}{where_else}")
    })
}

fn number(path: &str) -> Told<u32> {
    let text = text(path)?;
    text.trim().parse().map_err(|_| format!("{path} has `{}`, not a number", text.trim().escape_debug()))
}

/// How many numbers of CPUs there are, in a list such as `0-3,8`: one more than the highest.
fn cpus(list: &str) -> Option<u32> {
    let last = list.trim().rsplit([',', '-']).next()?;
    last.parse::<u32>().ok()?.checked_add(1)
}

/// Whether a map of user numbers is that of the first user namespace.
fn is_whole(map: &str) -> bool {
    map.split_ascii_whitespace().eq(["0", "0", "4294967295"])
}

/// The word in brackets; none where the kernel has no lockdown.
fn lockdown() -> Told<Option<String>> {
    let path = "/sys/kernel/security/lockdown";
    match fs::read_to_string(path) {
        Ok(text) => Ok(chosen(&text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{path}: {error}")),
    }
}

fn chosen(text: &str) -> Option<String> {
    let word = text.split_ascii_whitespace().find_map(|word| word.strip_prefix('[')?.strip_suffix(']'))?;
    Some(word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus_and_users_and_choices_are_read() {
        assert_eq!((cpus("0-3\n"), cpus("0"), cpus("0-3,8\n"), cpus("")), (Some(4), Some(1), Some(9), None));
        assert!(is_whole("         0          0 4294967295\n") && !is_whole("0 1000 1\n"));
        assert_eq!(chosen("none [integrity] confidentiality\n").as_deref(), Some("integrity"));
        assert_eq!(chosen("none"), None);
    }

    #[test]
    fn this_machine_is_looked_at() {
        let places = Places {
            runtime: "/nonexistent".into(),
            pins: "/sys/fs/bpf/blocker".into(),
            state: "/nonexistent".into(),
            ipv6_prefix: 64,
        };

        let machine = machine(&Config::default(), &places, &Daemon::NotRunning);

        assert!(machine.release.is_ok(), "{machine:?}");
        assert!(machine.missing_capabilities.is_ok() && machine.memory_limit.is_ok(), "{machine:?}");
        assert!(machine.possible_cpus.is_ok_and(|cpus| cpus > 0));
    }
}
