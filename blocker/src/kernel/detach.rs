//! Lets go of every interface and removes every pin: works on the pins alone, with the daemon down.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::Pins;
use super::object::unpin;
use crate::exit::io_failure;

/// What was removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detached {
    /// Indices of the interfaces whose links were removed.
    pub interfaces: Vec<u32>,
    /// Whether there was anything.
    pub found: bool,
}

/// Removes links, program and maps below `root`.
///
/// # Errors
///
/// If a daemon is running (it would be left with maps that nothing reads), or something cannot be removed.
pub fn detach(root: &Path) -> Result<Detached> {
    let pins = Pins::new(root);
    let directory = pins.directory();
    match fs::symlink_metadata(&directory) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Detached { interfaces: Vec::new(), found: false });
        }
        Err(error) => return Err(io_failure(error, format!("looking at {}", directory.display()))),
    }
    let lock = pins.lock()?;
    let links = pins.links().with_context(|| format!("reading {}", directory.display()))?;
    let mut interfaces = Vec::new();
    for link in links {
        fs::remove_file(&link.path).map_err(|error| io_failure(error, format!("removing {}", link.path.display())))?;
        interfaces.push(link.index);
    }
    unpin(&pins)?;
    fs::remove_dir(&directory).with_context(|| format!("removing {}", directory.display()))?;
    drop(lock);
    if let Err(error) = fs::remove_dir(pins.root()) {
        // It may be a mount point, or hold what is not ours: then it stays.
        tracing::debug!(%error, directory = %pins.root().display(), "the empty pin directory stays");
    }
    Ok(Detached { interfaces, found: true })
}
