//! `blocker notify --test`: does word of a ban reach whom it should?
//!
//! The daemon sends it, not this command: what keeps it from doing so (its unit, its rights, the network as it sees it) is to show.

use anyhow::{Result, bail};

use super::{Globals, output};
use crate::control::client::Client;
use crate::control::wire::{Reply, Request, Tested};
use crate::settings;

/// Options of `blocker notify`.
#[derive(clap::Args)]
pub(super) struct Options {
    /// Sends each of them a message that says it is a test; takes up to 50 s
    #[arg(long, required = true)]
    test: bool,
}

pub(super) fn notify(globals: &Globals, options: &Options) -> Result<()> {
    let Options { test: true } = options else { bail!("there is nothing to do without --test") };
    let places = settings::places(&globals.config)?;
    let (mut sent, mut failed) = (0, 0);
    Client::connect(&places.runtime)?.ask(&Request::TestNotify, |reply| {
        let Reply::Tested(tested) = reply else { return Ok(()) };
        failed += usize::from(tested.error.is_some());
        sent += usize::from(tested.error.is_none());
        if globals.json {
            return output::json(&tested);
        }
        let Tested { receiver, outcome, error } = tested;
        let error = error.map(|error| format!(": {}", error.escape_debug())).unwrap_or_default();
        output::line(&format!("notify.{receiver}: {outcome}{error}"))
    })?;
    if failed > 0 {
        bail!("{failed} of {} could not be told", sent + failed);
    }
    if sent == 0 {
        bail!("nobody is told of bans: name somebody in the table `notify` of the configuration, and reload");
    }
    Ok(())
}
