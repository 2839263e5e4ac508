//! Lets go of every interface and removes every pin: works on the pins alone, with the daemon down.

use std::fs;
use std::path::Path;

use anyhow::Result;
use blocker_common::{Config, flags as bits};

use super::{Maps, Pins, carry};
use crate::exit::io_failure;

/// What was removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detached {
    /// Indices of the interfaces whose links were removed.
    pub interfaces: Vec<u32>,
    /// Whether there was anything.
    pub found: bool,
}

/// Removes links, programs and maps below `root`, of whatever version.
///
/// # Errors
///
/// If a daemon is running (it would be left with maps that nothing reads), or something cannot be removed.
pub fn detach(root: &Path) -> Result<Detached> {
    let pins = Pins::new(root);
    let ours = pins.directory();
    let mut directories = pins.others()?;
    match fs::symlink_metadata(pins.directory()) {
        Ok(_) => directories.push(pins.directory()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(io_failure(error, format!("looking at {}", pins.directory().display()))),
    }
    if directories.is_empty() {
        return Ok(Detached { interfaces: Vec::new(), found: false });
    }
    let lock = pins.lock()?;
    let mut interfaces = Vec::new();
    for directory in directories {
        let pins = pins.at(directory.clone());
        for link in pins.links().map_err(|error| io_failure(error, format!("reading {}", directory.display())))? {
            fs::remove_file(&link.path)
                .map_err(|error| io_failure(error, format!("removing {}", link.path.display())))?;
            interfaces.push(link.index);
        }
        if directory == ours {
            silence(&pins);
        }
        carry::remove(&directory)?;
    }
    drop(lock);
    if let Err(error) = fs::remove_dir(pins.root()) {
        // It may be a mount point, or hold what is not ours: then it stays.
        tracing::debug!(%error, directory = %pins.root().display(), "the empty pin directory stays");
    }
    Ok(Detached { interfaces, found: true })
}

/// Lets what still runs with the maps drop nothing: a component of libxdp's dispatcher, which only libxdp can take away.
fn silence(pins: &Pins) {
    let silenced = Maps::open_pinned(pins).and_then(|mut maps| {
        let Config { flags, observed, .. } = maps.config()?;
        maps.set_config(flags | bits::OBSERVE, observed)
    });
    if let Err(error) = silenced {
        // Maps of which some are missing are of no program that runs.
        tracing::debug!("the maps cannot be told to observe: {error:#}");
    }
}
