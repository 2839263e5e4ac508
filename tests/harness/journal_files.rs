//! Journal files, written by systemd's own writer: `systemd-journal-remote` turns the export format into them.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result};

use crate::{clock, wait};

/// A journal file that is being written; its writer ends with the value, the file stays.
#[derive(Debug)]
pub struct JournalFile {
    path: PathBuf,
    writer: Child,
    input: Option<ChildStdin>,
}

impl JournalFile {
    /// Begins `NAME.journal` in `directory`.
    ///
    /// # Errors
    ///
    /// If the writer is not installed or does not start.
    pub fn create(directory: &Path, name: &str) -> Result<Self> {
        fs::create_dir_all(directory)?;
        let path = directory.join(format!("{name}.journal"));
        let mut command = Command::new(WRITER);
        command.arg("-o").arg(&path).arg("-").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut writer = command.spawn().with_context(|| format!("starting {WRITER}"))?;
        let input = writer.stdin.take();
        Ok(Self { path, writer, input })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends what Dovecot's log process would: a `message` in the name of `dovecot`, by `uid`, in Dovecot's unit.
    ///
    /// # Errors
    ///
    /// If the writer is gone.
    pub fn append(&mut self, message: &str, uid: u32, ago: Duration) -> Result<()> {
        let uid = uid.to_string();
        let unit = if uid == "0" { "dovecot.service" } else { "session-1.scope" };
        self.append_fields(
            &[
                ("_SYSTEMD_UNIT", unit),
                ("_UID", &uid),
                ("_COMM", "log"),
                ("SYSLOG_IDENTIFIER", "dovecot"),
                ("MESSAGE", message),
            ],
            ago,
        )
    }

    /// Appends an entry that was made so long `ago`.
    ///
    /// # Errors
    ///
    /// If the writer is gone.
    ///
    /// # Panics
    ///
    /// If the clock is set before 1970.
    pub fn append_fields(&mut self, fields: &[(&str, &str)], ago: Duration) -> Result<()> {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set later than 1970");
        let wall = wall.saturating_sub(ago).as_micros();
        // Entries of several files are ordered by this.
        let monotonic = Duration::from_nanos(clock::boot_ns()).saturating_sub(ago).as_micros();
        let mut entry = format!(
            "__REALTIME_TIMESTAMP={wall}\n__MONOTONIC_TIMESTAMP={monotonic}\n_BOOT_ID={BOOT}\n_HOSTNAME=mx1\n_PID=77\n"
        )
        .into_bytes();
        for (name, value) in fields {
            entry.extend_from_slice(name.as_bytes());
            entry.push(b'\n');
            entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
            entry.extend_from_slice(value.as_bytes());
            entry.push(b'\n');
        }
        entry.push(b'\n');
        let input = self.input.as_mut().context("the journal's writer has been told to end")?;
        input.write_all(&entry).context("writing to the journal's writer")
    }

    /// Ends the writer, once all is in the file.
    ///
    /// # Errors
    ///
    /// If it does not end within 10 s.
    pub fn finish(&mut self) -> Result<()> {
        drop(self.input.take());
        let writer = &mut self.writer;
        wait::until("the end of the journal's writer", Duration::from_secs(10), || match writer.try_wait() {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err("it still runs".to_owned()),
            Err(error) => Err(error.to_string()),
        })
    }
}

impl Drop for JournalFile {
    fn drop(&mut self) {
        if let Err(error) = self.finish() {
            eprintln!("{}: {error:#}", self.path.display());
            self.writer.kill().unwrap_or_else(|error| eprintln!("{WRITER} was not killed: {error}"));
        }
    }
}

const WRITER: &str = "/usr/lib/systemd/systemd-journal-remote";

/// Any boot.
const BOOT: &str = "0123456789abcdef0123456789abcdef";
