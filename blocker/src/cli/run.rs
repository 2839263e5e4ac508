//! `blocker run`: the daemon.

use anyhow::{Context, Result};

use super::Globals;
use crate::{daemon, logging, settings};

/// Options of `blocker run`.
#[derive(clap::Args)]
pub(super) struct Options {
    /// Judges the lines of standard input instead of the jails' own logs, by every jail, and ends when it does
    #[arg(long)]
    stdin: bool,
}

pub(super) fn run(globals: &Globals, options: &Options) -> Result<()> {
    let path = std::path::absolute(&globals.config).context("finding the configuration file")?;
    let config = settings::load(&path)?;
    crate::kernel::require_capabilities()?;
    let _flush = logging::start(globals.verbose);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting the runtime")?;
    runtime.block_on(daemon::run(&path, config, daemon::Options { stdin: options.stdin }))
}
