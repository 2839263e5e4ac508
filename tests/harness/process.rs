//! Child processes that end with the value that holds them, and what they print.

use std::{
    io::{self, BufRead, BufReader, Read},
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result, anyhow};
use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};

use crate::wait;

/// A running child in a process group of its own, so that Ctrl-C reaches the laboratory alone; killed on drop.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    printed: Arc<Mutex<String>>,
}

impl Process {
    /// Starts `command` and collects what it prints, both streams together.
    ///
    /// # Errors
    ///
    /// If it cannot be started.
    pub fn spawn(name: &str, command: Command) -> Result<Self> {
        Self::spawn_watched(name, command, |_| {})
    }

    /// The same, handing each printed line to `on_line` as it comes, without its line end.
    ///
    /// # Errors
    ///
    /// If it cannot be started.
    pub fn spawn_watched(
        name: &str,
        mut command: Command,
        mut on_line: impl FnMut(&[u8]) + Send + 'static,
    ) -> Result<Self> {
        let (reader, writer) = io::pipe()?;
        command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer).process_group(0);
        let child = command.spawn().with_context(|| format!("starting {name}"))?;
        let printed = Arc::new(Mutex::new(String::new()));
        let transcript = Arc::clone(&printed);
        // Ends with the last writer of the pipe, that is with the child and its children.
        thread::spawn(move || {
            let mut reader = BufReader::new(reader);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                let text = line.strip_suffix(b"\n").unwrap_or(&line);
                on_line(text);
                let mut transcript = lock(&transcript);
                if transcript.len() < MAX_TRANSCRIPT_BYTES {
                    transcript.push_str(&String::from_utf8_lossy(text));
                    transcript.push('\n');
                }
                line.clear();
            }
        });
        Ok(Self { name: name.to_owned(), child, printed })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed so far, up to a mebibyte.
    #[must_use]
    pub fn printed(&self) -> String {
        lock(&self.printed).clone()
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Sends it a signal.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(self.raw_pid(), signal).with_context(|| format!("sending {signal} to {}", self.name))
    }

    /// Waits for its end.
    ///
    /// # Errors
    ///
    /// If it still runs after `limit`; or when interrupted.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let (name, child, printed) = (&self.name, &mut self.child, &self.printed);
        wait::until(&format!("the end of {name}"), limit, || match child.try_wait() {
            Ok(Some(status)) => Ok(status),
            Ok(None) => Err(format!("it still runs, having printed:\n{}", lock(printed))),
            Err(error) => Err(error.to_string()),
        })
    }

    fn raw_pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Only a child not yet reaped still owns its number; its whole group goes, Dovecot's children with it.
        if matches!(self.child.try_wait(), Ok(None)) {
            killpg(self.raw_pid(), Signal::SIGKILL)
                .or_else(|_| kill(self.raw_pid(), Signal::SIGKILL))
                .unwrap_or_else(|error| eprintln!("{} was not killed: {error}", self.name));
            if let Err(error) = self.child.wait() {
                eprintln!("{} was not reaped: {error}", self.name);
            }
        }
    }
}

/// What a command that ran to its end left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Standard output; invalid UTF-8 replaced.
    pub stdout: String,
    /// Standard error; invalid UTF-8 replaced.
    pub stderr: String,
}

impl Finished {
    /// Itself, if the exit code is 0.
    ///
    /// # Errors
    ///
    /// Else, with what was printed.
    pub fn success(self) -> Result<Self> {
        if self.code == Some(0) { Ok(self) } else { Err(anyhow!("{self:?}")) }
    }
}

/// Runs `command` to its end, keeping the two streams apart.
///
/// # Errors
///
/// If it cannot be started or still runs after `limit`, in which case it is killed; or when interrupted.
pub fn run(mut command: Command, limit: Duration) -> Result<Finished> {
    let name = format!("{command:?}");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().with_context(|| format!("starting {name}"))?;
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let mut process = Process { name, child, printed: Arc::default() };
    let status = process.wait(limit)?;
    Ok(Finished { code: status.code(), stdout: joined(stdout)?, stderr: joined(stderr)? })
}

/// More of a child's output is not kept: enough for any failure's explanation.
const MAX_TRANSCRIPT_BYTES: usize = 1 << 20;

fn collect(stream: Option<impl Read + Send + 'static>) -> JoinHandle<io::Result<Vec<u8>>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            stream.read_to_end(&mut bytes)?;
        }
        Ok(bytes)
    })
}

fn joined(reader: JoinHandle<io::Result<Vec<u8>>>) -> Result<String> {
    let bytes = reader.join().map_err(|_| anyhow!("a reader thread panicked"))??;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A lock whatever happened to its last holder: the data here is text, whole at any moment.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
