//! `blocker` under test: its own configuration, directories and pins, on the server; its commands; its end.

use std::{
    fmt::Write as _,
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, ensure};
use nix::sys::{
    signal::Signal,
    statfs::{BPF_FS_MAGIC, statfs},
};

use crate::{
    answers::{Ban, KernelBan, Status, per_line},
    leftovers::{self, BPFFS, Scratch},
    log_file::LogFile,
    netns::{Host, Net},
    process::{self, Finished, Process},
    wait,
};

/// What a test wants of the configuration; the rest is as shipped.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to attach.
    pub interfaces: Vec<String>,
    /// Never to be banned.
    pub allow: Vec<String>,
    /// Attempts before a ban.
    pub max_retry: u32,
    /// How long attempts are remembered, as written in the configuration.
    pub find_time: String,
    /// How long a ban lasts, as written in the configuration.
    pub ban_time: String,
    /// What is closed to the banned.
    pub ports: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            interfaces: vec!["eth0".into()],
            allow: Vec::new(),
            max_retry: 5,
            find_time: "10m".into(),
            ban_time: "1h".into(),
            ports: ["pop3", "pop3s", "imap", "imaps", KNOCKED_PORT].map(String::from).into(),
        }
    }
}

/// An instance of the daemon: its configuration, running or not. On drop it is killed and its pins are removed.
#[derive(Debug)]
pub struct Daemon<'net> {
    net: &'net Net,
    binary: PathBuf,
    scratch: Scratch,
    pins: PathBuf,
    log: Arc<LogFile>,
    process: Option<Process>,
}

impl<'net> Daemon<'net> {
    /// Writes the configuration and an empty log; starts nothing.
    ///
    /// # Errors
    ///
    /// If `binary` does not exist, or bpffs can neither be found nor mounted.
    pub fn configure(net: &'net Net, binary: &Path, settings: &Settings) -> Result<Self> {
        ensure!(binary.is_file(), "{} is not there; build it with `cargo build -p blocker`", binary.display());
        mount_bpffs()?;
        let scratch = Scratch::new()?;
        let log = Arc::new(LogFile::create(scratch.join("mail.log"))?);
        let pins = Path::new(BPFFS).join(leftovers::unique_name());
        let daemon = Self { net, binary: binary.to_owned(), scratch, pins, log, process: None };
        daemon.write_configuration(&daemon.configuration(settings))?;
        Ok(daemon)
    }

    /// The same, and started.
    ///
    /// # Errors
    ///
    /// As [`Self::configure`] and [`Self::start`].
    pub fn launch(net: &'net Net, binary: &Path, settings: &Settings) -> Result<Self> {
        let mut daemon = Self::configure(net, binary, settings)?;
        daemon.start()?;
        Ok(daemon)
    }

    /// Starts it and waits until it answers and has attached to every interface.
    ///
    /// # Errors
    ///
    /// If it ends, or is not ready within 60 s.
    pub fn start(&mut self) -> Result<Status> {
        self.spawn()?;
        self.await_attached()
    }

    /// The same on a machine whose zone is `zone`, as a rule of POSIX: `<-07>7` is seven hours west of Greenwich.
    ///
    /// # Errors
    ///
    /// If it ends, or is not ready within 15 s.
    pub fn start_in_zone(&mut self, zone: &str) -> Result<Status> {
        ensure!(self.process.is_none(), "blocker is started already");
        let mut command = self.command(&["run"]);
        command.env("TZ", zone);
        self.process = Some(Process::spawn("blocker", command)?);
        self.await_attached()
    }

    /// The same, all jails reading standard input, which is the file or FIFO at `path`.
    ///
    /// # Errors
    ///
    /// If it ends, or is not ready within 15 s.
    pub fn start_reading(&mut self, path: &Path) -> Result<Status> {
        let mut shell = Command::new("sh");
        shell.args(["-c", "exec \"$@\" <\"$0\""]).arg(path);
        self.start_by(shell, &["run", "--stdin"])
    }

    /// The same, run by `runner`, whose last arguments are the command and its own.
    ///
    /// # Errors
    ///
    /// If it ends, or is not ready within 15 s.
    pub fn start_by(&mut self, mut runner: Command, arguments: &[&str]) -> Result<Status> {
        ensure!(self.process.is_none(), "blocker is started already");
        let command = self.command(arguments);
        runner.arg(command.get_program()).args(command.get_args());
        self.process = Some(Process::spawn("blocker", runner)?);
        self.await_attached()
    }

    /// The same, run on the server by `runner`, a program and its first arguments; it may have no right to enter the server.
    ///
    /// # Errors
    ///
    /// If it ends, or is not ready within 60 s.
    pub fn start_confined(&mut self, runner: &[&str]) -> Result<Status> {
        ensure!(self.process.is_none(), "blocker is started already");
        let (program, arguments) = runner.split_first().context("a runner is a program")?;
        let mut command = self.net.command(Host::Server, program);
        command.args(arguments).arg(&self.binary).arg("--config").arg(self.config_path()).arg("run");
        self.process = Some(Process::spawn("blocker", command)?);
        self.await_attached()
    }

    fn await_attached(&self) -> Result<Status> {
        wait::until("blocker to answer and attach", READY, || {
            let status = self.status().map_err(|error| format!("{error:#}\n{}", self.printed()))?;
            match status.interfaces.iter().find(|interface| interface.mode.is_none()) {
                None if !status.interfaces.is_empty() => Ok(status),
                missing => Err(format!("{missing:?}\n{}", self.printed())),
            }
        })
    }

    /// Starts it and waits only until it answers, whatever it is attached to.
    ///
    /// # Errors
    ///
    /// If it ends, or does not answer within 60 s.
    pub fn start_unattached(&mut self) -> Result<Status> {
        self.spawn()?;
        wait::until("blocker to answer", READY, || {
            self.status().map_err(|error| format!("{error:#}\n{}", self.printed()))
        })
    }

    /// Starts it and waits for nothing.
    ///
    /// # Errors
    ///
    /// If it is started already.
    pub fn start_without_waiting(&mut self) -> Result<()> {
        self.spawn()
    }

    /// The watched log, to be written by whoever plays the mail server.
    #[must_use]
    pub fn log(&self) -> &Arc<LogFile> {
        &self.log
    }

    /// Where its pins are.
    #[must_use]
    pub fn pins(&self) -> &Path {
        &self.pins
    }

    /// Its configuration file.
    #[must_use]
    pub fn config_path(&self) -> PathBuf {
        self.scratch.join("blocker.toml")
    }

    /// A directory that goes with the instance.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.scratch.path()
    }

    /// The configuration for `settings`, as text.
    #[must_use]
    pub fn configuration(&self, settings: &Settings) -> String {
        let Settings { interfaces, allow, max_retry, find_time, ban_time, ports } = settings;
        let root = self.scratch.path().display();
        let mut text = String::new();
        // Lists of plain strings look the same in Rust's debug form and in TOML.
        let written = write!(
            text,
            "[daemon]\ninterfaces = {interfaces:?}\nmode = \"enforce\"\nallow = {allow:?}\n\
             state = \"{root}/state\"\nruntime = \"{root}/run\"\npins = \"{pins}\"\n\n\
             [jails.dovecot]\nlog = [\"{log}\"]\nmax_retry = {max_retry}\nfind_time = \"{find_time}\"\n\
             ban_time = \"{ban_time}\"\nports = {ports:?}\n",
            pins = self.pins.display(),
            log = self.log.path().display(),
        );
        written.expect("writing to a string never fails");
        text
    }

    /// The same, the jail `dovecot` having another input than the log: `input` is the line that says it.
    #[must_use]
    pub fn configuration_with_input(&self, settings: &Settings, input: &str) -> String {
        let log = format!("log = [\"{}\"]", self.log.path().display());
        self.configuration(settings).replacen(&log, input, 1)
    }

    /// Replaces the configuration file; a running daemon is not told.
    ///
    /// # Errors
    ///
    /// The file system's.
    pub fn write_configuration(&self, text: &str) -> Result<()> {
        fs::write(self.config_path(), text).context("writing the configuration")
    }

    /// Runs a command of `blocker` on the server, with this instance's configuration, to its end.
    ///
    /// # Errors
    ///
    /// Only if it cannot be started or takes longer than 60 s: its exit code is part of the answer.
    pub fn cli(&self, arguments: &[&str]) -> Result<Finished> {
        process::run(self.command(arguments), PATIENCE)
    }

    /// The same command, not yet started.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.net.command(Host::Server, &self.binary);
        command.arg("--config").arg(self.config_path()).args(arguments);
        command
    }

    /// `status --json`.
    ///
    /// # Errors
    ///
    /// If the command fails or its answer has another shape.
    pub fn status(&self) -> Result<Status> {
        let finished = self.cli(&["status", "--json"])?.success()?;
        serde_json::from_str(&finished.stdout).with_context(|| format!("reading {}", finished.stdout))
    }

    /// `bans --json`.
    ///
    /// # Errors
    ///
    /// If the command fails or its answer has another shape.
    pub fn bans(&self) -> Result<Vec<Ban>> {
        per_line(&self.cli(&["bans", "--json"])?.success()?.stdout)
    }

    /// `bans --kernel --json`.
    ///
    /// # Errors
    ///
    /// If the command fails or its answer has another shape.
    pub fn kernel_bans(&self) -> Result<Vec<KernelBan>> {
        per_line(&self.cli(&["bans", "--kernel", "--json"])?.success()?.stdout)
    }

    /// Waits until `source` is banned, and returns the ban.
    ///
    /// # Errors
    ///
    /// After `limit`.
    pub fn await_ban(&self, source: IpAddr, limit: Duration) -> Result<Ban> {
        wait::until(&format!("the ban of {source}"), limit, || {
            let bans = self.bans().map_err(|error| format!("{error:#}\n{}", self.printed()))?;
            let found = bans.iter().find(|ban| covers(&ban.prefix, source)).cloned();
            found.ok_or_else(|| format!("bans {bans:?}; blocker says:\n{}", self.printed()))
        })
    }

    /// Waits until the kernel has dropped a packet of `source`, and returns its entry.
    ///
    /// # Errors
    ///
    /// After `limit`.
    pub fn await_drop(&self, source: IpAddr, limit: Duration) -> Result<KernelBan> {
        wait::until(&format!("the first dropped packet of {source}"), limit, || {
            let bans = self.kernel_bans().map_err(|error| format!("{error:#}\n{}", self.printed()))?;
            let found = bans.iter().find(|ban| covers(&ban.prefix, source) && ban.first_drop_boot_ns.is_some());
            found.cloned().ok_or_else(|| format!("{bans:?}"))
        })
    }

    /// What the running daemon printed.
    #[must_use]
    pub fn printed(&self) -> String {
        self.process.as_ref().map_or_else(String::new, Process::printed)
    }

    /// Its process id, if it was started and not ended by us.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// Fails if it has ended by itself.
    ///
    /// # Errors
    ///
    /// With how it ended and what it printed.
    pub fn check_alive(&mut self) -> Result<()> {
        let process = self.process.as_mut().context("blocker is not started")?;
        match process.ended()? {
            None => Ok(()),
            Some(status) => Err(anyhow!("blocker ended with {status}:\n{}", process.printed())),
        }
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    ///
    /// If it does not end within 20 s, or ends with another code than 0.
    pub fn await_end(&mut self) -> Result<()> {
        let mut process = self.process.take().context("blocker is not started")?;
        let status = process.wait(PATIENCE)?;
        ensure!(status.success(), "blocker ended with {status}:\n{}", process.printed());
        Ok(())
    }

    /// Asks it to end, as systemd does, and waits.
    ///
    /// # Errors
    ///
    /// If it does not end within 60 s, or ends with another code than 0.
    pub fn stop(&mut self) -> Result<()> {
        let mut process = self.process.take().context("blocker is not started")?;
        process.signal(Signal::SIGTERM)?;
        let status = process.wait(PATIENCE)?;
        ensure!(status.success(), "blocker stopped with {status}:\n{}", process.printed());
        Ok(())
    }

    /// Kills it, with no chance to do anything.
    ///
    /// # Errors
    ///
    /// If it is not running.
    pub fn kill9(&mut self) -> Result<()> {
        let mut process = self.process.take().context("blocker is not started")?;
        process.signal(Signal::SIGKILL)?;
        process.wait(PATIENCE)?;
        Ok(())
    }

    /// Sends it a signal.
    ///
    /// # Errors
    ///
    /// If it is not running.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process.as_ref().context("blocker is not started")?.signal(signal)
    }

    fn spawn(&mut self) -> Result<()> {
        ensure!(self.process.is_none(), "blocker is started already");
        self.process = Some(Process::spawn("blocker", self.command(&["run"]))?);
        Ok(())
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        drop(self.process.take());
        if !self.pins.exists() {
            return;
        }
        // Not by `cli`, which gives up on Ctrl-C: that is when this matters.
        if let Err(error) = self.command(&["detach"]).output() {
            eprintln!("blocker did not detach: {error}");
        }
        // Its directory remains, and all of it if `detach` failed.
        if self.pins.exists()
            && let Err(error) = fs::remove_dir_all(&self.pins)
        {
            eprintln!("{} was not removed: {error}", self.pins.display());
        }
    }
}

/// The binary to test: `BLOCKER_BIN`, else `blocker` in the target directory that the running program is from.
///
/// # Errors
///
/// If there is none.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("BLOCKER_BIN") {
        return Ok(path.into());
    }
    // target/debug/deps/e2e-… → target/debug/blocker
    let program = std::env::current_exe()?;
    let built = program.ancestors().skip(1).take(2).map(|directory| directory.join("blocker"));
    built.into_iter().find(|path| path.is_file()).with_context(|| {
        format!("no `blocker` beside {}; build it with `cargo build -p blocker`, or set BLOCKER_BIN", program.display())
    })
}

/// Whether a ban of `prefix` as the daemon writes it is the ban of this one source: the address, or its /64.
#[must_use]
pub fn covers(prefix: &str, source: IpAddr) -> bool {
    let (address, length) = prefix.split_once('/').unwrap_or((prefix, ""));
    match (address.parse(), source) {
        (Ok(IpAddr::V4(banned)), IpAddr::V4(source)) => banned == source && matches!(length, "" | "32"),
        (Ok(IpAddr::V6(banned)), IpAddr::V6(source)) => {
            (banned == source && matches!(length, "" | "128"))
                || (length == "64" && banned.segments()[..4] == source.segments()[..4])
        }
        (Ok(IpAddr::V4(_) | IpAddr::V6(_)) | Err(_), _) => false,
    }
}

/// The port that [`crate::knocker`]s knock at: protected like IMAP, but UDP, so that knocking costs Dovecot nothing.
pub const KNOCKED_PORT: &str = "143/udp";

/// From the start to the first answer: loading and verifying the program on a busy machine included.
const READY: Duration = Duration::from_secs(60);

/// For a command, or an orderly end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Mounts the BPF file system where it is not, and says so.
fn mount_bpffs() -> Result<()> {
    if statfs(BPFFS).is_ok_and(|fs| fs.filesystem_type() == BPF_FS_MAGIC) {
        return Ok(());
    }
    let mut command = Command::new("mount");
    command.args(["-t", "bpf", "bpf", BPFFS]);
    process::run(command, PATIENCE)?.success().with_context(|| format!("mounting the BPF file system on {BPFFS}"))?;
    eprintln!("mounted the BPF file system on {BPFFS}");
    Ok(())
}
