//! `blocker unban`: lifts bans, and forgets what was counted against the addresses.

use anyhow::Result;
use blocker_core::prefix::Prefix;
use blocker_core::whom::Whom;

use super::targets::{Changes, Part, Target, in_parts};
use super::way::Way;
use super::{Globals, output};
use crate::control::client::Client;
use crate::control::wire::{Change, Reply, Request};
use crate::kernel::offline::Offline;
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
    /// Lifts them in the pinned maps themselves, with the daemon down
    #[arg(long)]
    kernel: bool,
}

pub(super) fn unban(globals: &Globals, options: &Options) -> Result<()> {
    let places = settings::places(&globals.config)?;
    let mut offline = if options.kernel { Some(Offline::open(&places.pins)?) } else { None };
    if options.all {
        return match &mut offline {
            Some(offline) => print_lifted(globals, offline.lift_all()?),
            None => Client::connect(&places.runtime)?.ask(&Request::UnbanAll, |reply| match reply {
                Reply::Lifted(lifted) => print_lifted(globals, lifted),
                Reply::Status(_)
                | Reply::Ban(_)
                | Reply::Allowed(_)
                | Reply::Change(_)
                | Reply::Run(_)
                | Reply::Tested(_)
                | Reply::Report(_)
                | Reply::Watch(_)
                | Reply::Why(_)
                | Reply::Said(_)
                | Reply::Warning(_)
                | Reply::Done
                | Reply::Error { .. } => Ok(()),
            }),
        };
    }
    let Some(mut offline) = offline else {
        let request = |whom: &[Whom]| Request::Unban { prefixes: whom.iter().copied().map(Whom::exactly).collect() };
        return Way::new(&places.runtime, globals.json, request).go(&options.prefixes);
    };
    let mut changes = Changes::new(globals.json);
    in_parts(&options.prefixes, |part| {
        let Part::Chunk(chunk) = part else { return Ok(()) };
        let mut prefixes = chunk.whom.into_iter().map(Whom::exactly);
        prefixes.try_for_each(|prefix| changes.note(&lifted_offline(&mut offline, prefix, places.ipv6_prefix)?))
    })?;
    changes.finish()
}

fn print_lifted(globals: &Globals, lifted: usize) -> Result<()> {
    if globals.json {
        output::json(&serde_json::json!({ "lifted": lifted }))
    } else {
        output::line(&format!("{lifted} bans lifted"))
    }
}

fn lifted_offline(offline: &mut Offline, prefix: Prefix, ipv6_prefix: u8) -> Result<Change> {
    let (prefix, outcome) =
        offline.lift(prefix, ipv6_prefix)?.map_or((prefix, "not-banned"), |lifted| (lifted, "unbanned"));
    Ok(Change { prefix, outcome: outcome.into(), why: None })
}
