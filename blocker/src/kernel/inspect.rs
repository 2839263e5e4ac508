//! What is pinned and what is loaded, looked at and left as it is: for `blocker doctor`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use aya::programs::loaded_programs;

use super::link::LinkState;
use super::{AttachMode, Pins, capabilities};
use crate::exit::io_failure;

/// A link of ours that is there, whether a daemon runs or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OurLink {
    /// The interface.
    pub index: u32,
    /// How it is attached.
    pub mode: AttachMode,
    /// Its pin.
    pub pin: PathBuf,
}

/// The links that are pinned below `root` and hold their interface, of whatever version.
///
/// # Errors
///
/// If the pins may not be looked at.
pub fn our_links(root: &Path) -> Result<Vec<OurLink>> {
    let pins = Pins::new(root);
    let others = pins.others()?;
    let mut links = Vec::new();
    for pins in std::iter::once(pins.clone()).chain(others.into_iter().map(|directory| pins.at(directory))) {
        let directory = pins.directory();
        let pinned = pins.links().map_err(|error| io_failure(error, format!("reading {}", directory.display())))?;
        if !pinned.is_empty() {
            capabilities::require_to_read()?;
        }
        for link in pinned {
            // One whose interface is gone holds none.
            if LinkState::read(&link.path)?.is_some_and(|state| state.index == link.index) {
                links.push(OurLink { index: link.index, mode: link.mode, pin: link.path });
            }
        }
    }
    Ok(links)
}

/// The name of the program that has the number `number` in the kernel; none if it has gone, or has no name.
///
/// # Errors
///
/// If the kernel does not let this process ask (CAP_SYS_ADMIN).
pub fn program_name(number: u32) -> Result<Option<String>> {
    for program in loaded_programs() {
        let program = program.context("listing the kernel's BPF programs")?;
        if program.id() == number {
            return Ok(program.name_as_str().filter(|name| !name.is_empty()).map(str::to_owned));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_nothing_is_pinned_there_is_no_link() {
        assert_eq!(our_links(Path::new("/proc/no/such/directory")).unwrap(), []);
    }
}
