//! A real `systemd-journald` in namespaces of its own: mounts, processes, control groups. What writes to it is what
//! it says of the sender: user and unit are the kernel's word.
//!
//! The machine's own journal, if it has one, is not touched: the sockets are in a directory that is mounted over
//! `/run/systemd` for these processes alone, and the files in the scratch directory.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    leftovers::{self, Scratch},
    process::Process,
    wait,
};

/// A running journald; it ends with the value.
#[derive(Debug)]
pub struct Journald {
    process: Option<Process>,
    /// Outside: the first process in its namespaces.
    pid: u32,
    _scratch: Scratch,
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
        let mut journald = Self { process, pid: 0, _scratch: scratch, group };
        journald.pid = wait::until("journald", Duration::from_secs(10), || journald.find())?;
        Ok(journald)
    }

    /// `command`, for which this is the machine's journal.
    #[must_use]
    pub fn around(&self, command: &Command) -> Command {
        let mut around = Command::new("nsenter");
        // The processes too: /proc there is theirs.
        around.args(["--mount", "--pid", "--target", &self.pid.to_string(), "--"]);
        around.arg(command.get_program()).args(command.get_args());
        around
    }

    /// Has it begin a new file, as it does when one is full.
    ///
    /// # Errors
    ///
    /// If it is not there.
    pub fn rotate(&self) -> Result<()> {
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.pid))?;
        let pid =
            children.split_whitespace().next().and_then(|pid| pid.parse().ok()).context("journald is not there")?;
        Ok(kill(Pid::from_raw(pid), Signal::SIGUSR2)?)
    }

    /// Begins a process that says things to syslog in the name of `dovecot`: as `user`, in the control group of `unit` if
    /// one is named.
    ///
    /// It runs until it is dropped: journald asks the kernel about a sender when it takes the entry, and may find nobody.
    ///
    /// # Errors
    ///
    /// If it does not start.
    pub fn speaker(&self, unit: Option<&str>, user: u32) -> Result<Speaker> {
        let logger = format!("logger --socket {SYSLOG} --tag dovecot");
        let mut command =
            self.command(unit, &format!("exec setpriv --reuid={user} --regid={user} --clear-groups {logger}"));
        let mut child = command.stdin(Stdio::piped()).spawn().context("starting logger")?;
        let input = child.stdin.take();
        Ok(Speaker { child, input })
    }

    /// Hands over an entry by journald's own protocol, in which the sender names the fields: as `user`.
    ///
    /// # Errors
    ///
    /// If `logger` fails.
    pub fn send_fields(&self, user: u32, fields: &[&str]) -> Result<()> {
        let script = format!("exec setpriv --reuid={user} --regid={user} --clear-groups logger --journald");
        let mut child = self.command(None, &script).stdin(Stdio::piped()).spawn().context("starting logger")?;
        let text = fields.join("\n") + "\n";
        child.stdin.take().context("it has an input")?.write_all(text.as_bytes())?;
        ensure!(child.wait()?.success(), "logger failed");
        Ok(())
    }

    /// A shell's `script` beside it, in the control group of `unit` if one is named.
    fn command(&self, unit: Option<&str>, script: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--mount", "--pid", "--cgroup", "--target", &self.pid.to_string(), "--", "sh", "-euc"]);
        let enter = unit.map_or_else(String::new, |unit| {
            let group = format!("/sys/fs/cgroup/system.slice/{unit}");
            format!("mkdir -p {group}\necho $$ > {group}/cgroup.procs\n")
        });
        command.arg(enter + script);
        command
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

/// A process that speaks to syslog until it is dropped.
#[derive(Debug)]
pub struct Speaker {
    child: Child,
    input: Option<ChildStdin>,
}

impl Speaker {
    /// Says one line.
    ///
    /// # Errors
    ///
    /// If the process is gone.
    pub fn say(&mut self, line: &str) -> Result<()> {
        let input = self.input.as_mut().context("it has an input")?;
        input.write_all(format!("{line}\n").as_bytes()).context("speaking to logger")
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        // Its end is the end of what it is told.
        drop(self.input.take());
        if let Err(error) = self.child.wait() {
            eprintln!("logger was not reaped: {error}");
        }
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

const SYSLOG: &str = "/run/systemd/journal/dev-log";

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
