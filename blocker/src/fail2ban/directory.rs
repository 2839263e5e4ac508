//! Reads the directory of a configuration of fail2ban, within bounds.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use anyhow::Result;
use blocker_core::fail2ban::{Files, MAX_FILE_BYTES};

use crate::exit::{Failure, is_permission};

/// How deep directories are looked into.
const MAX_DEPTH: usize = 4;

/// Most names of a directory that are looked at.
const MAX_ENTRIES: usize = 4_096;

/// Reads all files called `*.conf` and `*.local` in `directory` and below.
///
/// # Errors
///
/// [`Failure::Permission`], or [`Failure::Configuration`] if it is no directory of fail2ban's.
pub fn read(directory: &Path) -> Result<Files> {
    let mut files = Files::of(&directory.to_string_lossy());
    add(directory, "", 0, &mut files)?;
    Ok(files)
}

/// Whether there is a file that `pattern` stands for.
#[must_use]
pub fn is_there(pattern: &str) -> bool {
    // Two stars look into all directories below for us, and mean one to fail2ban.
    let pattern = pattern.replace("**", "*");
    glob::glob(&pattern).is_ok_and(|mut paths| paths.any(|path| path.is_ok()))
}

fn add(directory: &Path, within: &str, depth: usize, files: &mut Files) -> Result<()> {
    let entries = fs::read_dir(directory).map_err(|error| failure(directory, &error))?;
    for (number, entry) in entries.enumerate() {
        if number == MAX_ENTRIES {
            return Err(too_much(directory, &format!("more than {MAX_ENTRIES} names: is it fail2ban's directory?")));
        }
        let entry = entry.map_err(|error| failure(directory, &error))?;
        let path = entry.path();
        // fail2ban reads names that are text; others it cannot include.
        let Ok(name) = entry.file_name().into_string() else { continue };
        let inner = if within.is_empty() { name.clone() } else { format!("{within}/{name}") };
        // Of the target of a link; what vanished meanwhile is not there.
        let Ok(metadata) = fs::metadata(&path) else { continue };
        if metadata.is_dir() && depth < MAX_DEPTH {
            add(&path, &inner, depth + 1, files)?;
        } else if metadata.is_file() && (name.ends_with(".conf") || name.ends_with(".local")) {
            let mut bytes = Vec::new();
            let file = fs::File::open(&path).map_err(|error| failure(&path, &error))?;
            file.take(MAX_FILE_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|error| failure(&path, &error))?;
            files.add(&inner, bytes).map_err(|error| too_much(directory, &error.to_string()))?;
        }
    }
    Ok(())
}

fn failure(path: &Path, error: &std::io::Error) -> anyhow::Error {
    let sentence = format!("{}: {error}", path.display());
    if is_permission(error) { Failure::Permission(sentence).into() } else { Failure::Configuration(sentence).into() }
}

fn too_much(path: &Path, why: &str) -> anyhow::Error {
    Failure::Configuration(format!("{}: {why}", path.display())).into()
}
