//! The machine: could any program of ours be loaded, pinned and fed here?

use super::super::drivers::Version;
use super::super::facts::{Machine, MemoryLimit};
use super::super::finding::{Finding, Level};
use crate::kernel::{Bpffs, OLDEST_KERNEL};

/// What kernels bring that does without is possible: since when, and what it is.
const SINCE: [(Version, &str); 3] = [
    ((5, 11), "maps counted in control groups, not as locked memory (5.11)"),
    ((5, 18), "XDP on frames of several buffers (5.18)"),
    ((6, 6), "tcx (6.6)"),
];

/// Judges it.
pub(super) fn judge(machine: &Machine) -> Vec<Finding> {
    // Why it is not known is told of the kernel, below.
    let version = machine.release.as_ref().map(|release| release.version).ok();
    let mut findings = vec![kernel(machine), btf(machine), jit(machine), bpffs(machine), memory(machine)];
    if version.is_none_or(|version| version < (5, 11)) {
        findings.push(memlock(machine));
    }
    findings.extend([capabilities(machine), lockdown(machine), unprivileged(machine)]);
    findings
}

fn kernel(machine: &Machine) -> Finding {
    let release = match &machine.release {
        Ok(release) => release,
        Err(why) => return Finding::not_checked("kernel", why),
    };
    let (major, minor) = OLDEST_KERNEL;
    if release.version < OLDEST_KERNEL {
        let text = format!("Linux {} is too old: links for XDP came with {major}.{minor}", release.text);
        return Finding::new(Level::Problem, "kernel", text)
            .helped_by(format!("a kernel of version {major}.{minor} or later"));
    }
    let missing: Vec<&str> =
        SINCE.iter().filter(|(since, _)| release.version < *since).map(|(_, what)| *what).collect();
    let without = if missing.is_empty() { String::new() } else { format!(", without {}", missing.join(", ")) };
    Finding::ok("kernel", format!("Linux {}{without}", release.text))
}

fn btf(machine: &Machine) -> Finding {
    if machine.has_btf {
        Finding::ok("BTF", "the kernel tells its types")
    } else {
        Finding::new(Level::Hint, "BTF", "the kernel does not tell its types; blocker does without")
    }
}

fn jit(machine: &Machine) -> Finding {
    match &machine.jit {
        Ok(0) => Finding::new(Level::Warn, "JIT", "programs are interpreted, which is some ten times slower")
            .helped_by("sysctl -w net.core.bpf_jit_enable=1"),
        Ok(_) => Finding::ok("JIT", "programs are compiled"),
        Err(why) => Finding::not_checked("JIT", why),
    }
}

fn bpffs(machine: &Machine) -> Finding {
    let pins = machine.pins.display();
    let mount = "mount -t bpf bpf /sys/fs/bpf";
    match &machine.bpffs {
        Ok(Bpffs::There) => Finding::ok("bpffs", format!("{pins} is in a BPF file system")),
        Ok(Bpffs::NotMounted { may_mount: true }) => {
            Finding::ok("bpffs", format!("not mounted for {pins}; the daemon mounts it"))
        }
        Ok(Bpffs::NotMounted { may_mount: false }) => {
            let level = if machine.is_root { Level::Problem } else { Level::Hint };
            Finding::new(level, "bpffs", format!("not mounted for {pins}, and this process may not mount it"))
                .helped_by(mount)
        }
        Ok(Bpffs::Unknown) => Finding::new(
            Level::Problem,
            "bpffs",
            "the kernel has no BPF file system, in which bans would outlive the daemon",
        )
        .helped_by("a kernel with CONFIG_BPF_SYSCALL"),
        Ok(Bpffs::Elsewhere) => Finding::new(Level::Problem, "bpffs", format!("{pins} is in no BPF file system"))
            .helped_by(format!("mount -t bpf bpf {pins}, or set `daemon.pins` below /sys/fs/bpf")),
        Err(why) => Finding::not_checked("bpffs", why),
    }
}

fn memory(machine: &Machine) -> Finding {
    let needed = machine.capacity.bytes();
    let full =
        format!("full tables ({} IPv4, {} IPv6) take {}", machine.capacity.ipv4, machine.capacity.ipv6, mib(needed));
    match &machine.memory_limit {
        Ok(None) => Finding::ok("memory", format!("no limit of a control group; {full}")),
        Ok(Some(MemoryLimit { bytes, file, is_daemons })) => {
            let whose = if *is_daemons { "the daemon" } else { "this process" };
            let text = format!("{} for {whose} by {}; {full}", mib(*bytes), file.display());
            if *bytes >= needed {
                return Finding::ok("memory", text);
            }
            // A limit of this shell need not be the daemon's.
            let level = if *is_daemons { Level::Warn } else { Level::Hint };
            Finding::new(level, "memory", text)
                .helped_by("systemctl set-property blocker MemoryMax=infinity, or lower `daemon.max_bans_ipv4` and `max_bans_ipv6`")
        }
        Err(why) => Finding::not_checked("memory", why),
    }
}

fn memlock(machine: &Machine) -> Finding {
    let needed = machine.capacity.bytes();
    match machine.memlock {
        Some(limit) if limit < needed && !machine.may_raise_limits => {
            let text = format!("{} may be locked; before Linux 5.11 full tables lock {}", mib(limit), mib(needed));
            Finding::new(Level::Warn, "memlock", text)
                .helped_by("ulimit -l unlimited (in a systemd unit: LimitMEMLOCK=infinity)")
        }
        Some(limit) => Finding::ok("memlock", format!("{} may be locked, and the daemon raises it", mib(limit))),
        None => Finding::ok("memlock", "no limit"),
    }
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

fn capabilities(machine: &Machine) -> Finding {
    let subject = "capabilities";
    let missing = match &machine.missing_capabilities {
        Ok(missing) => missing,
        Err(why) => return Finding::not_checked(subject, why),
    };
    if !missing.is_empty() && !machine.is_root {
        let text = format!("this user has not {}, which the daemon needs", missing.join(", "));
        return Finding::not_checked(subject, text).helped_by("sudo blocker doctor");
    }
    if !missing.is_empty() {
        return Finding::new(Level::Problem, subject, format!("root here has not {}", missing.join(", "))).helped_by(
            format!(
                "give them to the container (docker run --cap-add {}), or leave them in the unit's CapabilityBoundingSet=",
                missing.iter().map(|name| name.trim_start_matches("CAP_")).collect::<Vec<_>>().join(" --cap-add ")
            ),
        );
    }
    if machine.is_in_user_namespace {
        return Finding::new(Level::Problem, subject, "they are those of a user namespace, which do not count for BPF")
            .helped_by("run it outside of the user namespace (a unit: without PrivateUsers=)");
    }
    Finding::ok(subject, "CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON")
}

fn lockdown(machine: &Machine) -> Finding {
    match &machine.lockdown {
        Ok(None) => Finding::ok("lockdown", "none"),
        Ok(Some(mode)) if mode == "none" => Finding::ok("lockdown", "none"),
        Ok(Some(mode)) => Finding::ok("lockdown", format!("{mode}; XDP and tcx are allowed all the same")),
        Err(why) => Finding::not_checked("lockdown", why),
    }
}

fn unprivileged(machine: &Machine) -> Finding {
    let subject = "unprivileged BPF";
    match &machine.unprivileged_bpf_disabled {
        Ok(0) => Finding::new(Level::Hint, subject, "every user may load BPF programs; blocker does not need it")
            .helped_by("sysctl -w kernel.unprivileged_bpf_disabled=2"),
        Ok(_) => Finding::ok(subject, "off"),
        Err(why) => Finding::not_checked(subject, why),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::well;
    use super::*;
    use crate::kernel::Release;

    /// The finding about `subject` on a machine that differs in one thing.
    fn finding(subject: &str, change: impl FnOnce(&mut Machine)) -> Finding {
        let mut machine = well().machine;
        change(&mut machine);
        judge(&machine).into_iter().find(|finding| finding.subject == subject).unwrap()
    }

    fn kernel_of(version: Version) -> impl Fn(&mut Machine) {
        move |machine| machine.release = Ok(Release { text: format!("{}.{}", version.0, version.1), version })
    }

    #[test]
    fn a_kernel_is_too_old_or_tells_what_it_lacks() {
        assert_eq!(finding("kernel", kernel_of((5, 8))).level, Level::Problem);
        let old = finding("kernel", kernel_of((5, 10)));
        assert!(old.level == Level::Ok && old.text.contains("5.18") && old.text.contains("tcx"), "{old:?}");
        assert_eq!(finding("kernel", kernel_of((6, 6))).text, "Linux 6.6");
    }

    #[test]
    fn each_problem_comes_with_what_helps() {
        for (subject, level, help, change) in [
            ("JIT", Level::Warn, "bpf_jit_enable=1", (|m| m.jit = Ok(0)) as fn(&mut Machine)),
            ("bpffs", Level::Problem, "mount -t bpf", |m| m.bpffs = Ok(Bpffs::NotMounted { may_mount: false })),
            ("bpffs", Level::Problem, "daemon.pins", |m| m.bpffs = Ok(Bpffs::Elsewhere)),
            ("bpffs", Level::Problem, "CONFIG_BPF", |m| m.bpffs = Ok(Bpffs::Unknown)),
            ("capabilities", Level::Problem, "--cap-add PERFMON", |m| m.missing_capabilities = Ok(vec!["CAP_PERFMON"])),
            ("capabilities", Level::Problem, "namespace", |m| m.is_in_user_namespace = true),
            ("unprivileged BPF", Level::Hint, "disabled=2", |m| m.unprivileged_bpf_disabled = Ok(0)),
        ] {
            let found = finding(subject, change);
            assert_eq!(found.level, level, "{found:?}");
            assert!(found.help.as_ref().is_some_and(|text| text.contains(help)), "{found:?}");
        }
    }

    #[test]
    fn of_a_user_who_is_not_root_the_daemons_rights_are_not_known() {
        let found = finding("capabilities", |machine| {
            machine.is_root = false;
            machine.missing_capabilities = Ok(vec!["CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"]);
        });

        assert!(found.level == Level::NotChecked && found.text.contains("CAP_NET_ADMIN"), "{found:?}");
    }

    #[test]
    fn memory_is_compared_with_full_tables() {
        let limited = |bytes, is_daemons| {
            finding("memory", move |machine| {
                machine.memory_limit =
                    Ok(Some(MemoryLimit { bytes, file: "/sys/fs/cgroup/memory.max".into(), is_daemons }));
            })
            .level
        };
        assert_eq!((limited(64 << 20, true), limited(64 << 20, false)), (Level::Warn, Level::Hint));
        assert_eq!(limited(1 << 30, true), Level::Ok);
    }

    #[test]
    fn locked_memory_matters_before_5_11() {
        let unraisable = |machine: &mut Machine| machine.may_raise_limits = false;
        let old = finding("memlock", |machine| {
            kernel_of((5, 10))(machine);
            unraisable(machine);
        });
        assert!(old.level == Level::Warn && old.help.is_some_and(|help| help.contains("ulimit -l")));
        assert!(!judge(&well().machine).iter().any(|finding| finding.subject == "memlock"));
    }

    #[test]
    fn what_may_not_be_looked_at_is_told_with_the_reason() {
        let found = finding("JIT", |machine| machine.jit = Err("not shown here".to_owned()));

        assert_eq!((found.level, found.text.as_str()), (Level::NotChecked, "not shown here"));
    }
}
