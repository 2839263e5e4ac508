//! `cargo xtask lab`: the whole way from a failed login to a dropped packet, for somebody who has no mail server.

use std::path::PathBuf;

use anyhow::Result;

use crate::command::is_root;
use crate::{packages, run};

/// Options of `cargo xtask lab`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The daemon, instead of one built now
    #[arg(long, value_name = "FILE")]
    blocker: Option<PathBuf>,
}

/// Sets up what the laboratory needs, and runs it.
pub(crate) fn lab(options: &Options) -> Result<()> {
    packages::ensure(packages::BUILD)?;
    packages::ensure(packages::LAB)?;
    let blocker = match &options.blocker {
        Some(blocker) => blocker.clone(),
        None => run::build(run::Build::Release, None)?,
    };
    if !is_root() {
        return run::again_as_root("the laboratory makes network namespaces and loads an XDP program", &blocker);
    }
    blocker_tests::lab::run(&blocker, &blocker_tests::lab::Options::default())?;
    Ok(())
}
