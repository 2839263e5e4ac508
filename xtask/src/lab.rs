//! `cargo xtask lab`: the whole way from a failed login to a dropped packet, for somebody who has no mail server.

use std::path::PathBuf;

use anyhow::Result;

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
    let why = "the laboratory makes network namespaces and loads an XDP program";
    let blocker = run::daemon_as_root(options.blocker.as_deref(), why)?;
    blocker_tests::lab::run(&blocker, &blocker_tests::lab::Options::default())?;
    Ok(())
}
