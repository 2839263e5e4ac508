//! What a disk may hold after the power fails: from a trace of what a process wrote and synced.
//!
//! strace tells every write. Of what was written to a file before its last sync all is there; of what was written since,
//! any sectors may be, in any order, torn within a write: that is what disks, their caches and file systems promise, and no
//! more. A file is there for certain when it, or its directory, was synced since it was made.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

/// What is written as a whole or not at all, in bytes.
const SECTOR: usize = 512;

/// Something that a process did to a file, or to a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Opened a file, which is made if it is not there.
    Made(PathBuf),
    /// Wrote bytes at an offset.
    Wrote(PathBuf, usize, Vec<u8>),
    /// Gave a file another length.
    Cut(PathBuf, usize),
    /// Synced a file or a directory.
    Synced(PathBuf),
    /// Removed a file.
    Removed(PathBuf),
}

/// What of the writes that were not synced reaches the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Nothing of them.
    All,
    /// Everything: as after kill -9.
    Nothing,
    /// Some sectors.
    Some,
}

/// Runs a program with what it does to `files`, and to their directory, written to `trace`.
#[must_use]
pub fn traced(trace: &Path, files: &[PathBuf]) -> Command {
    let mut command = Command::new("strace");
    // As a grandchild, so that signals reach the program.
    command.args(["-D", "-f", "-y", "-xx", "-s", "1000000", "-o"]).arg(trace);
    command.args(["-e", "trace=open,openat,pwrite64,pwritev,write,writev,ftruncate,fsync,fdatasync,unlink,rename"]);
    for file in files.iter().chain(files.first().and_then(|file| file.parent().map(Path::to_owned)).iter()) {
        command.arg("-P").arg(file);
    }
    command
}

/// Reads a trace: each deed that was done, and where in the trace its line begins.
///
/// # Errors
///
/// If there is something in it whose effect is not known.
pub fn read_trace(trace: &str) -> Result<Vec<(usize, Deed)>> {
    let mut begun: BTreeMap<&str, &str> = BTreeMap::new();
    let mut deeds = Vec::new();
    let mut at = 0;
    for line in trace.split_inclusive('\n') {
        let start = at;
        at += line.len();
        // The last one may be cut.
        let Some(line) = line.strip_suffix('\n') else { break };
        let (thread, call) = line.split_once(' ').with_context(|| line.to_owned())?;
        let call = call.trim_start();
        if let Some(first) = call.strip_suffix(" <unfinished ...>") {
            begun.insert(thread, first);
            continue;
        }
        let joined;
        let call = match call.strip_prefix("<... ").and_then(|rest| rest.split_once(" resumed>")) {
            Some((_, rest)) => {
                joined = format!("{}{rest}", begun.remove(thread).with_context(|| line.to_owned())?);
                joined.as_str()
            }
            None => call,
        };
        let what = || format!("in a trace: {}", call.chars().take(200).collect::<String>());
        if let Some(deed) = read_call(call).with_context(what)? {
            deeds.push((start, deed));
        }
    }
    Ok(deeds)
}

/// Reads `pwrite64(31</state/blocker.db-wal>, "\x00…", 24, 32) = 24` and the like; `None` for what failed and what changes nothing.
fn read_call(call: &str) -> Result<Option<Deed>> {
    if call.starts_with("+++") || call.starts_with("---") {
        return Ok(None);
    }
    let (name, rest) = call.split_once('(').context("no call")?;
    let (arguments, result) = rest.rsplit_once(" = ").context("no result")?;
    let arguments = arguments.trim_end().strip_suffix(')').context("no end of the arguments")?;
    if result.starts_with('-') || result.starts_with('?') {
        return Ok(None);
    }
    let path = || -> Result<PathBuf> {
        let (_, behind) = arguments.split_once('<').context("no path")?;
        let path = behind.split_once('>').context("no path")?.0;
        // In hexadecimal, too, or not, as the version has it.
        Ok(if path.starts_with('/') { path.into() } else { String::from_utf8(bytes(path)?)?.into() })
    };
    let quoted = || -> Result<Vec<u8>> {
        let (_, behind) = arguments.split_once('"').context("no text")?;
        let (text, rest) = behind.split_once('"').context("no end of a text")?;
        ensure!(!rest.starts_with("..."), "a text was cut");
        bytes(text)
    };
    let named = || -> Result<PathBuf> { Ok(String::from_utf8(quoted()?)?.into()) };
    let last = || -> Result<usize> { Ok(arguments.rsplit_once(", ").context("no number")?.1.parse()?) };
    Ok(Some(match name {
        "pwrite64" => {
            let bytes = quoted()?;
            ensure!(result == bytes.len().to_string(), "a write that was cut");
            Deed::Wrote(path()?, last()?, bytes)
        }
        "ftruncate" => Deed::Cut(path()?, last()?),
        "fsync" | "fdatasync" => Deed::Synced(path()?),
        "unlink" => Deed::Removed(named()?),
        "open" | "openat" if arguments.contains("O_TRUNC") => anyhow::bail!("a file that is emptied"),
        "open" | "openat" if arguments.contains("O_CREAT") => Deed::Made(named()?),
        "open" | "openat" => return Ok(None),
        _ => anyhow::bail!("a call whose effect is not known"),
    }))
}

/// Reads `\x61\x62`.
fn bytes(text: &str) -> Result<Vec<u8>> {
    let digits = text.split("\\x").skip(1).map(|byte| u8::from_str_radix(byte, 16));
    Ok(digits.collect::<Result<_, _>>()?)
}

/// A disk, with what is on its way to it.
#[derive(Debug, Default)]
pub struct Disk(BTreeMap<PathBuf, File>);

#[derive(Debug, Default)]
struct File {
    /// What is there for certain; `None` if it may be that the file is not.
    synced: Option<Vec<u8>>,
    /// What was done since.
    since: Vec<Change>,
    is_removed: bool,
}

#[derive(Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

impl Disk {
    /// Takes in what was done.
    pub fn take(&mut self, deed: &Deed) {
        match deed {
            Deed::Made(path) => {
                let file = self.0.entry(path.clone()).or_default();
                if file.is_removed {
                    *file = File::default();
                }
            }
            Deed::Wrote(path, offset, bytes) => {
                self.0.entry(path.clone()).or_default().since.push(Change::Write(*offset, bytes.clone()));
            }
            Deed::Cut(path, length) => self.0.entry(path.clone()).or_default().since.push(Change::Length(*length)),
            Deed::Synced(path) => match self.0.get_mut(path) {
                Some(file) => {
                    let whole = file.with(Lost::Nothing, &mut |_| 0);
                    (file.synced, file.since) = (whole, Vec::new());
                }
                None => self.sync_directory(path),
            },
            Deed::Removed(path) => {
                if let Some(file) = self.0.get_mut(path) {
                    file.is_removed = true;
                }
            }
        }
    }

    fn sync_directory(&mut self, directory: &Path) {
        self.0.retain(|path, file| !(file.is_removed && path.parent() == Some(directory)));
        for (_, file) in self.0.iter_mut().filter(|(path, _)| path.parent() == Some(directory)) {
            file.synced.get_or_insert_default();
        }
    }

    /// Writes what is left of its files when the power fails now to `directory`; `below` is a number by chance below another.
    ///
    /// # Errors
    ///
    /// The file system's.
    pub fn after_power_loss(&self, lost: Lost, below: &mut dyn FnMut(usize) -> usize, directory: &Path) -> Result<()> {
        for (path, file) in &self.0 {
            let is_gone = match lost {
                Lost::All => false,
                Lost::Nothing => file.is_removed,
                Lost::Some => file.is_removed && below(2) == 0,
            };
            let Some(bytes) = file.with(lost, below).filter(|_| !is_gone) else { continue };
            fs::write(directory.join(path.file_name().context("a file has a name")?), bytes)?;
        }
        Ok(())
    }
}

impl File {
    fn with(&self, lost: Lost, below: &mut dyn FnMut(usize) -> usize) -> Option<Vec<u8>> {
        let mut reaches = || match lost {
            Lost::All => false,
            Lost::Nothing => true,
            Lost::Some => below(2) == 0,
        };
        if self.synced.is_none() && !reaches() {
            return None;
        }
        let mut bytes = self.synced.clone().unwrap_or_default();
        for change in &self.since {
            match change {
                Change::Length(length) => {
                    if reaches() {
                        bytes.resize(*length, 0);
                    }
                }
                Change::Write(offset, written) => {
                    let mut done = 0;
                    while let Some(rest) = written.get(done..).filter(|rest| !rest.is_empty()) {
                        let at = offset + done;
                        let piece = &rest[..rest.len().min(SECTOR - at % SECTOR)];
                        if reaches() {
                            let end = at + piece.len();
                            bytes.resize(bytes.len().max(end), 0);
                            bytes[at..end].copy_from_slice(piece);
                        }
                        done += piece.len();
                    }
                }
            }
        }
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_read_call_by_call_whoever_else_calls_meanwhile() {
        let trace = "7  openat(AT_FDCWD</>, \"\\x2f\\x73\\x2f\\x61\", O_RDWR|O_CREAT, 0600) = 3</s/a>\n\
                     7  pwrite64(3</s/a>, \"\\x61\\x62\", 2, 4096) = 2\n\
                     7  fsync(3</s/a> <unfinished ...>\n\
                     8  unlink(\"\\x2f\\x73\\x2f\\x62\")     = -1 ENOENT (No such file or directory)\n\
                     7  <... fsync resumed>)                = 0\n\
                     8  +++ exited with 0 +++\n\
                     7  ftruncate(3<\\x2f\\x73\\x2f\\x61>, 5) = 0\n\
                     7  pwrite64(3</s/a>, \"\\x6";

        let deeds: Vec<Deed> = read_trace(trace).unwrap().into_iter().map(|(_, deed)| deed).collect();

        let a = PathBuf::from("/s/a");
        assert_eq!(
            deeds,
            [
                Deed::Made(a.clone()),
                Deed::Wrote(a.clone(), 4096, b"ab".to_vec()),
                Deed::Synced(a.clone()),
                Deed::Cut(a, 5)
            ]
        );
        assert!(read_trace("7  rename(\"\\x61\", \"\\x62\") = 0\n").is_err(), "what it does is not known");
        assert!(read_trace("7  pwrite64(3</s/a>, \"\\x61\"..., 9, 0) = 9\n").is_err(), "it is not all there");
    }

    #[test]
    fn what_was_synced_is_there_and_of_the_rest_any_sectors() {
        let path = || PathBuf::from("/s/a");
        let mut disk = Disk::default();
        disk.take(&Deed::Made(path()));
        disk.take(&Deed::Wrote(path(), 0, vec![1; 1024]));
        let left = |disk: &Disk, lost, bit: usize| {
            let mut number = 0;
            let mut below = |_| {
                number += 1;
                (number + bit) % 2
            };
            disk.0[&path()].with(lost, &mut below)
        };
        assert_eq!(left(&disk, Lost::All, 0), None);
        assert_eq!(left(&disk, Lost::Nothing, 0), Some(vec![1; 1024]));

        disk.take(&Deed::Synced(path()));
        disk.take(&Deed::Wrote(path(), 256, vec![2; 512]));
        assert_eq!(left(&disk, Lost::All, 0), Some(vec![1; 1024]));
        let torn = left(&disk, Lost::Some, 0).unwrap();
        assert_eq!((torn[256], torn[512]), (1, 2), "its second sector, and not its first");

        disk.take(&Deed::Removed(path()));
        disk.take(&Deed::Synced("/s".into()));
        assert!(disk.0.is_empty());
    }
}
