//! The BPF file system that pins live in: found, or mounted where it belongs.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use nix::mount::{MsFlags, mount};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use crate::exit::{Failure, is_permission};

/// Where every distribution has it.
const STANDARD: &str = "/sys/fs/bpf";

/// Makes sure that `directory` is, or can be made, in a BPF file system.
///
/// # Errors
///
/// If it is not, and mounting one is not permitted or would not help: with the command that does.
pub(super) fn ensure(directory: &Path) -> Result<()> {
    if is_bpffs(directory)? {
        return Ok(());
    }
    if !directory.starts_with(STANDARD) {
        bail!(
            "{} is in no BPF file system: mount one there (mount -t bpf bpf DIRECTORY), or set `daemon.pins` below {STANDARD}",
            directory.display()
        );
    }
    mount(Some("bpf"), STANDARD, Some("bpf"), MsFlags::empty(), Some("mode=0700")).map_err(|error| {
        let text = format!("no BPF file system at {STANDARD} ({error}): mount it with `mount -t bpf bpf {STANDARD}`");
        if is_permission(&error.into()) { Failure::Permission(text).into() } else { anyhow!(text) }
    })?;
    tracing::info!(at = STANDARD, "mounted a BPF file system");
    Ok(())
}

/// Whether the nearest existing ancestor of `directory` is in one.
fn is_bpffs(directory: &Path) -> Result<bool> {
    let existing = directory.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let stat = statfs(existing).with_context(|| format!("looking at {}", existing.display()))?;
    Ok(stat.filesystem_type() == BPF_FS_MAGIC)
}
