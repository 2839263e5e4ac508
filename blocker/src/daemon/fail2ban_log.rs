//! A file with fail2ban's lines in fail2ban's form, for programs that read its log: `daemon.fail2ban_log`. What fail2ban has no
//! words for is not in it.
//!
//! Written by the thread that puts events into words. The file is opened again when another one has come in its place, or none
//! is there: so it can be rotated by renaming. What cannot be written is left out, and tried again with the next line.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::events::Told;
use crate::clock::Reading;
use crate::regular;

/// How often it is looked whether the file is still in its place.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The file.
pub(super) struct Fail2banLog {
    path: PathBuf,
    file: Option<File>,
    looked: Option<Instant>,
    /// Why it could not be written, as it was last said.
    trouble: Option<String>,
}

impl Fail2banLog {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, file: None, looked: None, trouble: None }
    }

    /// Writes an event, if fail2ban would.
    pub(super) fn write(&mut self, told: &Told, clock: Reading) {
        let Some(line) = line(told, clock) else { return };
        match self.append(line.as_bytes()) {
            Ok(()) => {
                if self.trouble.take().is_some() {
                    tracing::info!("{} can be written again", self.path.display());
                }
            }
            Err(error) => {
                self.file = None;
                let why = error.to_string();
                if self.trouble.as_ref() != Some(&why) {
                    tracing::warn!("{} cannot be written, lines are missing there: {why}", self.path.display());
                    self.trouble = Some(why);
                }
            }
        }
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        if self.looked.is_none_or(|looked| looked.elapsed() >= LOOK_EVERY) {
            self.looked = Some(Instant::now());
            if !self.is_in_place() {
                self.file = None;
            }
        }
        let file = match &mut self.file {
            Some(file) => file,
            // Addresses of people: as logs are, for root and who may read these.
            None => self.file.insert(regular::append(&self.path, 0o640)?),
        };
        append_whole(file, line)
    }

    fn is_in_place(&self) -> bool {
        let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        let open = self.file.as_ref().and_then(|file| file.metadata().ok()).map(identity);
        open.is_some() && open == fs::metadata(&self.path).ok().map(identity)
    }
}

/// Appends a line, or nothing of it: on a full disk a part may fit, which would be the beginning of the next line.
fn append_whole(file: &mut File, line: &[u8]) -> io::Result<()> {
    let mut written = 0;
    while let Some(rest) = line.get(written..).filter(|rest| !rest.is_empty()) {
        match file.write(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(size) => written += size,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if written == 0 => return Err(error),
            Err(error) => {
                let before = file.metadata()?.len().saturating_sub(written as u64);
                return file.set_len(before).and(Err(error));
            }
        }
    }
    Ok(())
}

/// fail2ban's line for an event: time to the millisecond, the part of fail2ban, process, level, words.
fn line(told: &Told, clock: Reading) -> Option<String> {
    let (part, level) = match told.event {
        "found" => ("fail2ban.filter", "INFO"),
        "ban" | "unban" | "restore" | "already-banned" => ("fail2ban.actions", "NOTICE"),
        _ => return None,
    };
    let (time, process, words) = (clock.local_millis(), std::process::id(), &told.message);
    Some(format!("{time} {part:<24}[{process}]: {level:<7} {words}\n"))
}

#[cfg(test)]
mod tests {
    use blocker_core::time::Timestamp;

    use super::*;
    use crate::source::testing::TempDir;

    #[test]
    fn a_line_is_as_fail2ban_writes_it() {
        let clock = Reading::at(Timestamp::from_secs(1), 1_700_000_000_123_456_789);
        let written = line(&Told::plain("[dovecot] Ban 192.0.2.9"), clock).expect("fail2ban has a word for it");

        let (time, rest) = written.split_at("2026-08-22 13:31:38,456".len());
        assert!(time.ends_with(",123"), "{time}");
        let process = std::process::id();
        assert_eq!(rest, format!(" fail2ban.actions        [{process}]: NOTICE  [dovecot] Ban 192.0.2.9\n"));
    }

    #[test]
    fn a_file_that_is_rotated_away_is_begun_anew_and_trouble_passes() {
        let dir = TempDir::new();
        let path = dir.path("fail2ban.log");
        let mut log = Fail2banLog::new(path.clone());
        let clock = Reading::take();
        let mut write = |words: &str| {
            // As if a second had passed.
            log.looked = None;
            log.write(&Told::plain(words), clock);
            log.trouble.is_some()
        };
        assert!(!write("[dovecot] Ban 192.0.2.1"));
        fs::rename(&path, dir.path("fail2ban.log.1")).expect("it is there");
        assert!(!write("[dovecot] Ban 192.0.2.2"));
        fs::remove_file(&path).expect("it is there");
        fs::create_dir(&path).expect("there is nothing");
        assert!(write("[dovecot] Ban 192.0.2.3"));
        fs::remove_dir(&path).expect("it is empty");
        // To open it would wait for a reader.
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("there is nothing");
        assert!(write("[dovecot] Ban 192.0.2.3"));
        fs::remove_file(&path).expect("it is there");
        assert!(!write("[dovecot] Ban 192.0.2.4"));

        let read = |name: &str| fs::read_to_string(dir.path(name)).expect("it is there");
        assert!(read("fail2ban.log.1").ends_with("Ban 192.0.2.1\n") && read("fail2ban.log.1").lines().count() == 1);
        assert!(read("fail2ban.log").ends_with("Ban 192.0.2.4\n") && read("fail2ban.log").lines().count() == 1);
    }
}
