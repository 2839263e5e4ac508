//! `blocker unban`: lifts bans, and forgets what was counted against the addresses.

use anyhow::Result;

use super::targets::{Changes, Target, in_chunks};
use super::{Globals, output};
use crate::control::client::Client;
use crate::control::wire::{Reply, Request};
use crate::settings;

/// Options of `blocker unban`.
#[derive(clap::Args)]
pub(super) struct Options {
    /// Addresses or networks, as they were banned; `-` reads them from stdin, one per line
    #[arg(required_unless_present = "all", conflicts_with = "all", value_name = "ADDR|NET")]
    prefixes: Vec<Target>,
    /// Lifts every ban
    #[arg(long)]
    all: bool,
}

pub(super) fn unban(globals: &Globals, options: &Options) -> Result<()> {
    let places = settings::places(&globals.config)?;
    if options.all {
        return Client::connect(&places.runtime)?.ask(&Request::UnbanAll, |reply| match reply {
            Reply::Lifted(lifted) if globals.json => output::json(&serde_json::json!({ "lifted": lifted })),
            Reply::Lifted(lifted) => output::line(&format!("{lifted} bans lifted")),
            Reply::Status(_) | Reply::Ban(_) | Reply::Change(_) | Reply::Done | Reply::Error { .. } => Ok(()),
        });
    }
    let mut changes = Changes::new(globals.json);
    in_chunks(&options.prefixes, |prefixes| {
        Client::connect(&places.runtime)?.ask(&Request::Unban { prefixes }, |reply| changes.take(reply))
    })?;
    changes.finish()
}
