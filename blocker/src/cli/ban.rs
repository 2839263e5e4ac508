//! `blocker ban`: bans by command, one or a million.

use anyhow::Result;
use blocker_core::time::BanTime;

use super::Globals;
use super::targets::{Changes, Target, in_chunks};
use crate::control::client::Client;
use crate::control::wire::Request;
use crate::settings;

/// Options of `blocker ban`.
#[derive(clap::Args)]
pub(super) struct Options {
    /// Addresses or networks; an IPv6 address stands for its /64, or what `ipv6_prefix` says. `-` reads them from stdin, one
    /// per line
    #[arg(required = true, value_name = "ADDR|NET")]
    prefixes: Vec<Target>,
    /// Closes that jail's ports only, instead of all
    #[arg(long)]
    jail: Option<String>,
    /// How long: 90s, 10m, 1h30m, 3d, 1w, forever, or bare seconds [default: as the jail says; without
    /// --jail forever]
    #[arg(long = "for", value_name = "TIME")]
    ban_time: Option<BanTime>,
    /// Why, for people: at most 1024 bytes
    #[arg(long)]
    reason: Option<String>,
}

pub(super) fn ban(globals: &Globals, options: &Options) -> Result<()> {
    let Options { prefixes, jail, ban_time, reason } = options;
    let places = settings::places(&globals.config)?;
    let mut changes = Changes::new(globals.json);
    in_chunks(prefixes, |prefixes| {
        let request = Request::Ban {
            prefixes,
            jail: jail.clone(),
            ban_time: ban_time.map(|time| time.to_string()),
            reason: reason.clone(),
        };
        // A connection each: stdin may take longer than the daemon waits.
        Client::connect(&places.runtime)?.ask(&request, |reply| changes.take(reply))
    })?;
    changes.finish()
}
