//! A folder for pins that another project's object insists on making; it goes with the value, or with the next run.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use blocker_tests::leftovers::{self, BPFFS};

/// The folder.
pub(crate) struct PinFolder {
    path: PathBuf,
}

impl PinFolder {
    /// Makes one of a name of its own.
    pub(crate) fn new() -> Result<Self> {
        let path = Path::new(BPFFS).join(leftovers::unique_name());
        fs::create_dir(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(Self { path })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for PinFolder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("{} was not removed: {error}", self.path.display());
        }
    }
}
