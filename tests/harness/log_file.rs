//! The watched log, written as a log daemon would: a line per `write(2)`, and the time noted right before it.
//!
//! Latencies are measured from here, so the clock is read before the line can be seen by anybody.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    net::IpAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
    time::Duration,
};

use anyhow::{Context, Result};

use crate::{
    clock,
    process::{self, lock},
};

/// A log file and all that was written to it.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    state: Mutex<State>,
}

/// A line written, and when.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The line without its end; invalid UTF-8 replaced.
    pub text: String,
    /// `CLOCK_BOOTTIME` right before the `write(2)`.
    pub written_ns: u64,
}

#[derive(Debug)]
struct State {
    file: File,
    entries: Vec<Entry>,
    rotations: u32,
}

impl LogFile {
    /// Creates an empty log.
    ///
    /// # Errors
    ///
    /// The file system's.
    pub fn create(path: PathBuf) -> Result<Self> {
        let file = open(&path).with_context(|| format!("creating {}", path.display()))?;
        Ok(Self { path, state: Mutex::new(State { file, entries: Vec::new(), rotations: 0 }) })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends `line` and its end in one write; returns the time noted before.
    ///
    /// # Errors
    ///
    /// The file system's.
    pub fn append(&self, line: &[u8]) -> Result<u64> {
        let mut bytes = line.to_vec();
        bytes.push(b'\n');
        let mut state = lock(&self.state);
        let written_ns = clock::boot_ns();
        state.file.write_all(&bytes)?;
        let text = String::from_utf8_lossy(&line[..line.len().min(MAX_KEPT_BYTES)]).into_owned();
        state.entries.push(Entry { text, written_ns });
        Ok(written_ns)
    }

    /// Appends bytes as they are, with no line end added and nothing remembered.
    ///
    /// # Errors
    ///
    /// The file system's.
    pub fn append_raw(&self, bytes: &[u8]) -> Result<()> {
        Ok(lock(&self.state).file.write_all(bytes)?)
    }

    /// Rotates as logrotate does by default: the file is renamed, and a new one takes its name.
    ///
    /// # Errors
    ///
    /// The file system's.
    pub fn rename_and_create(&self) -> Result<()> {
        let mut state = lock(&self.state);
        fs::rename(&self.path, self.rotated(&mut state.rotations))?;
        state.file = open(&self.path)?;
        Ok(())
    }

    /// Renames the file and goes on writing to it, as a log daemon does until it is told to reopen its log.
    ///
    /// # Errors
    ///
    /// The file system's.
    pub fn rename_only(&self) -> Result<()> {
        let mut state = lock(&self.state);
        Ok(fs::rename(&self.path, self.rotated(&mut state.rotations))?)
    }

    /// Opens the log's name anew, creating the file: the second half of a rotation.
    ///
    /// # Errors
    ///
    /// The file system's.
    pub fn reopen(&self) -> Result<()> {
        lock(&self.state).file = open(&self.path)?;
        Ok(())
    }

    /// Rotates as logrotate's `copytruncate` does: the file keeps its identity and loses its content.
    ///
    /// # Errors
    ///
    /// The file system's.
    pub fn copy_and_truncate(&self) -> Result<()> {
        let mut state = lock(&self.state);
        fs::copy(&self.path, self.rotated(&mut state.rotations))?;
        Ok(state.file.set_len(0)?)
    }

    /// The lines written from number `first` on.
    #[must_use]
    pub fn entries_from(&self, first: usize) -> Vec<Entry> {
        lock(&self.state).entries.get(first..).unwrap_or_default().to_vec()
    }

    /// The login processes' lines about `source`.
    #[must_use]
    pub fn entries_about(&self, source: IpAddr) -> Vec<Entry> {
        let mark = format!(", rip={source},");
        lock(&self.state).entries.iter().filter(|entry| entry.text.contains(&mark)).cloned().collect()
    }

    /// How often it was rotated.
    #[must_use]
    pub fn rotations(&self) -> u32 {
        lock(&self.state).rotations
    }

    /// Compresses what was rotated away by the rotation of this number, as logrotate does at once or some time later, by a
    /// program such as `gzip`.
    ///
    /// # Errors
    ///
    /// If the program fails.
    pub fn compress(&self, rotation: u32, program: &str) -> Result<()> {
        let mut command = Command::new(program);
        if program == "zstd" {
            command.args(["-q", "--rm"]);
        }
        command.arg(self.rotated_to(rotation));
        process::run(command, Duration::from_secs(30))?.success().map(drop)
    }

    fn rotated(&self, rotations: &mut u32) -> PathBuf {
        *rotations += 1;
        self.rotated_to(*rotations)
    }

    fn rotated_to(&self, number: u32) -> PathBuf {
        self.path.with_extension(format!("log.{number}"))
    }
}

impl Entry {
    /// How many passwords this line says were refused: N of `(auth failed, N attempts in …)`, else 0.
    #[must_use]
    pub fn refused_passwords(&self) -> u32 {
        let number = self.text.split_once("(auth failed, ").and_then(|(_, rest)| rest.split(' ').next());
        number.and_then(|number| number.parse().ok()).unwrap_or(0)
    }
}

/// More of a line is not remembered; the file has it whole.
const MAX_KEPT_BYTES: usize = 4096;

/// Opened to append, as every log daemon does: after a truncation, writing goes on at the start.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}
