//! A real `systemd-journald` in namespaces of its own: mounts, processes, control groups. What writes to it is what
//! it says of the sender: user and unit are the kernel's word.
//!
//! The machine's own journal, if it has one, is not touched: the sockets are in a directory that is mounted over
//! `/run/systemd` for these processes alone, and the files in the scratch directory.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};

use crate::{
    leftovers::{self, Scratch},
    process::{self, Finished, Process},
    wait,
};

/// A running journald; it ends with the value.
#[derive(Debug)]
pub struct Journald {
    process: Option<Process>,
    /// Outside: the first process in its namespaces.
    pid: u32,
    scratch: Scratch,
    group: PathBuf,
}

impl Journald {
    /// Starts one with an empty journal.
    ///
    /// # Errors
    ///
    /// If it is not installed, control groups of version 2 are not mounted anywhere, or it is not ready within 10 s.
    pub fn start() -> Result<Self> {
        let scratch = Scratch::new()?;
        let group = leftovers::control_groups()?.join(leftovers::unique_name());
        fs::create_dir(&group).with_context(|| format!("creating {}", group.display()))?;
        fs::create_dir(scratch.join("log"))?;
        let mut command = Command::new("sh");
        command.args(["-euc", OUTSIDE, "sh"]).arg(&group).arg(scratch.path()).arg(INSIDE);
        let process = Some(Process::spawn("journald", command)?);
        let mut journald = Self { process, pid: 0, scratch, group };
        journald.pid = wait::until("journald", Duration::from_secs(10), || journald.find())?;
        Ok(journald)
    }

    /// The directory of its files.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        self.scratch.join("log/journal")
    }

    /// Runs a shell's `script` beside it, to its end: as root, in the control group of `unit` if one is named.
    ///
    /// # Errors
    ///
    /// If it fails.
    pub fn run(&self, unit: Option<&str>, script: &str) -> Result<Finished> {
        let mut command = Command::new("nsenter");
        command.args(["--mount", "--pid", "--cgroup", "--target", &self.pid.to_string(), "--", "sh", "-euc"]);
        let enter = unit.map_or_else(String::new, |unit| {
            let group = format!("/sys/fs/cgroup/system.slice/{unit}");
            format!("mkdir -p {group}\necho $$ > {group}/cgroup.procs\n")
        });
        command.arg(enter + script);
        process::run(command, Duration::from_secs(20))?.success()
    }

    /// The first process in its namespaces, once journald listens.
    fn find(&self) -> Result<u32, String> {
        let printed = self.process.as_ref().map_or_else(String::new, Process::printed);
        // `unshare --fork` is the only process of the group outside that has a child.
        let outside = self.process.as_ref().map(Process::pid).ok_or("it has ended")?;
        let children = fs::read_to_string(format!("/proc/{outside}/task/{outside}/children")).unwrap_or_default();
        let pid: u32 = children.trim().parse().map_err(|_| format!("no child yet; {printed}"))?;
        let socket = format!("/proc/{pid}/root/run/systemd/journal/socket");
        if Path::new(&socket).exists() { Ok(pid) } else { Err(format!("no socket yet; {printed}")) }
    }
}

impl Drop for Journald {
    fn drop(&mut self) {
        // With the first process of a namespace all the others end.
        drop(self.process.take());
        let removed = wait::until("the end of journald's processes", Duration::from_secs(10), || {
            leftovers::remove_control_group(&self.group).map_err(|error| error.to_string())
        });
        if let Err(error) = removed {
            eprintln!("{}: {error:#}", self.group.display());
        }
    }
}

/// In the control group that is to be the root of the new namespace. Arguments: group, directory, the script inside.
const OUTSIDE: &str = r#"
echo $$ > "$1/cgroup.procs"
exec unshare --mount --pid --fork --kill-child --mount-proc --cgroup sh -euc "$3" sh "$2"
"#;

/// As the first process in the namespaces. Argument: the directory.
const INSIDE: &str = r#"
mount --make-rprivate /
mount --bind "$1/log" /run/log
mkdir -p /run/systemd
mount -t tmpfs tmpfs /run/systemd
mkdir /run/systemd/journal /run/log/journal
mount -t tmpfs tmpfs /etc/systemd
printf '[Journal]\nStorage=volatile\nReadKMsg=no\nAudit=no\nForwardToSyslog=no\nRateLimitBurst=0\n' > /etc/systemd/journald.conf
mount -t cgroup2 none /sys/fs/cgroup
/usr/lib/systemd/systemd-journald &
wait
"#;
