//! `blocker run`: the daemon.

use std::time::Duration;

use anyhow::{Context, Result};

use super::Globals;
use crate::{daemon, logging, settings};

/// Options of `blocker run`.
#[derive(clap::Args)]
pub(super) struct Options {
    /// Judges the lines of standard input instead of the jails' own logs, by every jail, and ends when it does
    #[arg(long)]
    stdin: bool,
    /// Drops nothing any more after this time unless `blocker confirm` is run before: 90s, 10m, 1h30m, or bare seconds. The kernel
    /// itself sees to it, also if the daemon dies. What was confirmed stays so until the configuration changes [default: nothing
    /// need be confirmed]
    #[arg(long, value_name = "TIME", value_parser = blocker_core::time::parse_span)]
    confirm: Option<Duration>,
}

pub(super) fn run(globals: &Globals, options: &Options) -> Result<()> {
    let path = std::path::absolute(&globals.config).context("finding the configuration file")?;
    let config = settings::load_known(&path)?;
    crate::kernel::require_capabilities()?;
    let _flush = logging::start(globals.verbose);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting the runtime")?;
    let &Options { stdin, confirm } = options;
    runtime.block_on(daemon::run(&path, config, daemon::Options { stdin, confirm }))
}
