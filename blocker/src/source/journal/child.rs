//! `journalctl` as a child: how it is called, what it says, why it ends.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::process::Stdio;

use blocker_core::journal::Matches;
use tokio::io::AsyncReadExt;
use tokio::process::{self, ChildStderr, ChildStdout, Command};

use super::JournalPlace;
use super::input::Reading;

/// What is wanted of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The last entry there is, whatever it is.
    Last,
    /// All that is there.
    CatchUp,
    /// All that is there of this boot, and all that comes.
    Follow,
}

/// What keeps the journal from being read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// There is no `journalctl`.
    NoProgram,
    /// Nobody has written a journal here. Its own words, if they tell more.
    NoJournal(Option<String>),
    /// The daemon may not read it.
    NoRight,
    /// It does not know the cursor's form.
    Cursor,
    /// It has ended otherwise: its own words, or the kernel's.
    Ended(String),
}

impl Trouble {
    /// Whether the machine simply has no journal.
    pub(super) fn is_absence(&self) -> bool {
        match self {
            Self::NoProgram | Self::NoJournal(_) => true,
            Self::NoRight | Self::Cursor | Self::Ended(_) => false,
        }
    }

    /// Reads what `journalctl` printed besides entries; `None` if that is nothing of importance.
    pub(super) fn read(printed: &str) -> Option<Self> {
        let says = |words| printed.contains(words);
        if says("insufficient permissions") || says("not seeing messages from other users") {
            Some(Self::NoRight)
        } else if says("No journal files were found") || says("No journal boot entry found") {
            Some(Self::NoJournal(None))
        } else if says("Failed to open") && says("No such file or directory") {
            Some(Self::NoJournal(Some(last_words(printed))))
        } else if says("seek to cursor") {
            Some(Self::Cursor)
        } else {
            None
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoProgram => f.write_str("there is no journalctl on this machine"),
            Self::NoJournal(None) => f.write_str("no journal has been written on this machine"),
            Self::NoJournal(Some(words)) => f.write_str(words),
            Self::NoRight => f.write_str(
                "only root and the group systemd-journal may; run the daemon as root, or add its user to the group",
            ),
            Self::Cursor => f.write_str("journalctl did not take the place to go on from; beginning at the end"),
            Self::Ended(words) => f.write_str(words),
        }
    }
}

/// A running `journalctl`; killed on drop.
#[derive(Debug)]
pub(super) struct Child {
    process: process::Child,
    stdout: ChildStdout,
    stderr: ChildStderr,
    is_stderr_open: bool,
    buffer: Vec<u8>,
    /// What it printed besides entries, the beginning of it.
    printed: Vec<u8>,
}

impl Child {
    /// Starts it for what all the `readings` want, from the entry of `cursor` on.
    pub(super) fn spawn(
        place: &JournalPlace,
        phase: Phase,
        cursor: Option<&str>,
        readings: &[Reading],
    ) -> Result<Self, Trouble> {
        let mut command = Command::new("journalctl");
        command.args(arguments(place, phase, cursor, readings));
        // Its words are looked at.
        command.env("LC_ALL", "C").env("SYSTEMD_COLORS", "0");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().map_err(|error| {
            if error.kind() == io::ErrorKind::NotFound {
                Trouble::NoProgram
            } else {
                Trouble::Ended(format!("starting journalctl: {error}"))
            }
        })?;
        let (Some(stdout), Some(stderr)) = (process.stdout.take(), process.stderr.take()) else {
            return Err(Trouble::Ended("journalctl was started without pipes".to_owned()));
        };
        let (buffer, printed) = (vec![0; CHUNK_BYTES], Vec::new());
        Ok(Self { process, stdout, stderr, is_stderr_open: true, buffer, printed })
    }

    /// The next bytes of its output; none when that has ended. May be given up while it waits.
    pub(super) async fn read(&mut self) -> io::Result<&[u8]> {
        let mut words = [0; 512];
        loop {
            tokio::select! {
                read = self.stdout.read(&mut self.buffer) => {
                    let read = read?;
                    return Ok(&self.buffer[..read]);
                }
                read = self.stderr.read(&mut words), if self.is_stderr_open => {
                    let read = read.unwrap_or(0);
                    self.is_stderr_open = read > 0;
                    let room = MAX_PRINTED_BYTES.saturating_sub(self.printed.len());
                    self.printed.extend_from_slice(&words[..read.min(room)]);
                }
            }
        }
    }

    /// Waits for its end, once its output has ended. Says what was in its way, if anything was.
    pub(super) async fn end(mut self) -> Option<Trouble> {
        let mut rest = Vec::new();
        let room = MAX_PRINTED_BYTES.saturating_sub(self.printed.len()) as u64;
        if self.is_stderr_open
            && let Err(error) = (&mut self.stderr).take(room).read_to_end(&mut rest).await
        {
            return Some(Trouble::Ended(format!("reading from journalctl: {error}")));
        }
        self.printed.append(&mut rest);
        let status = match self.process.wait().await {
            Ok(status) => status,
            Err(error) => return Some(Trouble::Ended(format!("waiting for journalctl: {error}"))),
        };
        let printed = String::from_utf8_lossy(&self.printed);
        if let Some(trouble) = Trouble::read(&printed) {
            return Some(trouble);
        }
        if status.success() {
            return None;
        }
        Some(Trouble::Ended(format!("journalctl ended with {status}: {}", last_words(&printed))))
    }
}

/// The last line of what it printed.
fn last_words(printed: &str) -> String {
    let words = printed.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("without a word");
    words.escape_debug().to_string()
}

/// What it is called with.
pub(super) fn arguments(place: &JournalPlace, phase: Phase, cursor: Option<&str>, readings: &[Reading]) -> Vec<String> {
    let mut arguments: Vec<String> = ["--output=export", "--no-pager", "--all"].map(str::to_owned).into();
    let JournalPlace { namespace, directory } = place;
    arguments.extend(namespace.iter().map(|namespace| format!("--namespace={namespace}")));
    if let Some(directory) = directory {
        arguments.push(format!("--directory={}", directory.display()));
        // In a directory there is nothing but what was named; without this only the last boot of it is followed.
        arguments.push("--merge".to_owned());
    }
    let wanted = readings.iter().map(Reading::input);
    let fields =
        wanted.clone().flat_map(|input| input.matches.fields().chain(input.trust.iter().flat_map(Matches::fields)));
    let fields: BTreeSet<&str> = if phase == Phase::Last { BTreeSet::new() } else { fields.chain(FIELDS).collect() };
    let fields: Vec<&str> = if fields.is_empty() { vec!["_BOOT_ID"] } else { fields.into_iter().collect() };
    arguments.push(format!("--output-fields={}", fields.join(",")));
    match phase {
        Phase::Last => {
            arguments.push("--lines=1".to_owned());
            return arguments;
        }
        Phase::CatchUp => {}
        Phase::Follow => arguments.extend(["--follow", "--no-tail"].map(str::to_owned)),
    }
    arguments.extend(cursor.map(|cursor| format!("--cursor={cursor}")));
    let mut is_first = true;
    for input in wanted {
        if !std::mem::take(&mut is_first) {
            arguments.push("+".to_owned());
        }
        arguments.extend(input.matches.words());
    }
    arguments
}

/// The fields of which a line is made.
const FIELDS: [&str; 5] = ["MESSAGE", "SYSLOG_IDENTIFIER", "_COMM", "_HOSTNAME", "_PID"];

/// Most bytes read at once.
const CHUNK_BYTES: usize = 16 * 1024;

/// Most that is kept of what it prints besides entries.
const MAX_PRINTED_BYTES: usize = 4 * 1024;
