//! A virtual machine: a kernel, its initial file system, and a console on which it tells how the tests went.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::release::Kernel;

/// A machine that is to be run.
pub(crate) struct Machine<'a> {
    /// What it boots.
    pub(crate) kernel: &'a Kernel,
    /// Its devices, as arguments of qemu: it has no others.
    pub(crate) devices: Vec<String>,
    /// How long it may take.
    pub(crate) limit: Duration,
}

/// How the tests went.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// Tests that passed.
    pub(crate) passed: u32,
    /// Tests that did not.
    pub(crate) failed: u32,
    /// What else was wrong, a sentence each.
    pub(crate) faults: Vec<String>,
}

impl Report {
    /// Whether there were tests, and nothing was wrong.
    pub(super) fn is_good(&self) -> bool {
        self.passed > 0 && self.failed == 0 && self.faults.is_empty()
    }
}

impl Machine<'_> {
    /// Boots the kernel with this initial file system, which runs the tests, and shows the console meanwhile.
    ///
    /// # Errors
    ///
    /// If the machine cannot be started. What goes wrong in it is in the report.
    pub(crate) fn run(&self, initial: &[u8]) -> Result<Report> {
        let Self { kernel, devices, limit } = self;
        let initrd = kernel.console.with_file_name("initrd");
        fs::write(&initrd, initial).with_context(|| format!("writing {}", initrd.display()))?;
        eprintln!("Booting Linux {} (at most {} minutes)", kernel.version, limit.as_secs() / 60);
        let mut command = Command::new("qemu-system-x86_64");
        // No devices but those named. `max` is all that the emulation has.
        command.args(["-nodefaults", "-no-user-config", "-accel", "tcg", "-machine", "q35", "-cpu", "max"]);
        command.args(["-smp", "1", "-m", "2048", "-display", "none", "-monitor", "none", "-serial", "stdio"]);
        command.args(devices).arg("-kernel").arg(&kernel.image).arg("-initrd").arg(&initrd);
        // Its clock counts instructions: how busy this machine is changes no deadline, and what sleeps costs no time.
        command.args(["-icount", "shift=2,sleep=off", "-rtc", "clock=vm"]);
        command.args(["-append", "console=ttyS0 quiet panic=-1 rdinit=/init"]);
        let mut child = Guest::start(command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
        let mut console = Console::new(kernel)?;
        child.read_lines(*limit, |line| console.read(line))?;
        Ok(console.report(&self.limit))
    }
}

/// The machine's process; killed on drop.
struct Guest {
    child: Child,
}

impl Guest {
    fn start(command: &mut Command) -> Result<Self> {
        Ok(Self { child: command.spawn().context("starting qemu-system-x86_64")? })
    }

    /// Hands out what it prints, line by line, until it ends or the time is up.
    fn read_lines(&mut self, limit: Duration, mut each: impl FnMut(&str) -> Result<()>) -> Result<()> {
        let output = self.child.stdout.take().context("the console is piped")?;
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            let mut reader = BufReader::new(output);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                if sender.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() {
                    return;
                }
                line.clear();
            }
        });
        let end = Instant::now() + limit;
        while let Ok(line) = lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            each(&line)?;
        }
        Ok(())
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // It has ended, unless its time was up.
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            eprintln!("qemu was not ended: {error}");
        }
    }
}

/// What has been read from the console.
struct Console {
    name: &'static str,
    log: File,
    started: Instant,
    report: Report,
    /// The program that runs.
    running: Option<String>,
    is_over: bool,
}

impl Console {
    fn new(kernel: &Kernel) -> Result<Self> {
        let log = File::create(&kernel.console).with_context(|| format!("making {}", kernel.console.display()))?;
        Ok(Self {
            name: kernel.name,
            log,
            started: Instant::now(),
            report: Report::default(),
            running: None,
            is_over: false,
        })
    }

    fn read(&mut self, line: &str) -> Result<()> {
        let line = printable(line);
        println!("{:>4} {:4} s  {line}", self.name, self.started.elapsed().as_secs());
        writeln!(self.log, "{line}").context("writing the console's log")?;
        self.understand(&line);
        Ok(())
    }

    /// Reads what `init.sh` and the test programs say.
    fn understand(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["@begin", name] => self.running = Some((*name).to_owned()),
            ["@end", name, code] => {
                self.running = None;
                if *code != "0" {
                    self.report.faults.push(format!("{name} ended with {code}"));
                }
            }
            ["@fault", fault @ ..] => self.report.faults.push(fault.join(" ")),
            ["@over"] => self.is_over = true,
            ["test", "result:", _, passed, "passed;", failed, "failed;", ..] => {
                self.report.passed += passed.parse::<u32>().unwrap_or(0);
                self.report.failed += failed.parse::<u32>().unwrap_or(0);
            }
            _ => {}
        }
    }

    fn report(self, limit: &Duration) -> Report {
        let Self { mut report, running, is_over, started, .. } = self;
        if !is_over {
            let when = running.map_or_else(|| "before the first test".to_owned(), |name| format!("in {name}"));
            let how = if started.elapsed() < *limit { "the kernel stopped" } else { "the time was up" };
            report.faults.push(format!("{how} {when}"));
        }
        report
    }
}

/// The line without what would move a terminal's cursor: firmware and kernels write such.
fn printable(line: &str) -> String {
    line.chars().filter(|letter| !letter.is_control()).collect()
}
