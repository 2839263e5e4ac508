//! `blocker allow` and `blocker disallow`: who is never banned, by command; and the list of all who never are, with the reasons.

use anyhow::Result;
use blocker_core::time::BanTime;
use blocker_core::whom::Whom;

use super::targets::Target;
use super::way::Way;
use super::{Globals, output};
use crate::control::client::Client;
use crate::control::wire::{Allowed, Reply, Request};
use crate::settings;

/// Options of `blocker allow`.
#[derive(clap::Args)]
pub(super) struct Options {
    /// Addresses or networks, exactly as written; `-` reads them from stdin, one per line. At most 512 are allowed by command
    #[arg(required_unless_present = "list", conflicts_with = "list", value_name = "ADDR|NET")]
    prefixes: Vec<Target>,
    /// How long at most: 90s, 10m, 1h30m, 3d, 1w, forever, or bare seconds [default: until the daemon is started again; with
    /// --persist forever]
    #[arg(long = "for", value_name = "TIME", conflicts_with = "list")]
    lasts: Option<BanTime>,
    /// Holds when the daemon is started again, and after a reboot
    #[arg(long, conflicts_with = "list")]
    persist: bool,
    /// Why, for people: at most 1024 bytes
    #[arg(long, conflicts_with = "list")]
    reason: Option<String>,
    /// Shows every address and network that is never banned, and why
    #[arg(long)]
    list: bool,
}

/// Options of `blocker disallow`.
#[derive(clap::Args)]
pub(super) struct Disallowing {
    /// Addresses or networks, as they were allowed by command; `-` reads them from stdin, one per line
    #[arg(required = true, value_name = "ADDR|NET")]
    prefixes: Vec<Target>,
}

pub(super) fn allow(globals: &Globals, options: &Options) -> Result<()> {
    let Options { prefixes, lasts, persist, reason, list } = options;
    let places = settings::places(&globals.config)?;
    if *list {
        return list_allowed(globals, &mut Client::connect(&places.runtime)?);
    }
    let request = |whom: &[Whom]| Request::Allow {
        prefixes: whom.iter().copied().map(Whom::exactly).collect(),
        lasts: lasts.map(|time| time.to_string()),
        persist: *persist,
        reason: reason.clone(),
    };
    Way::new(&places.runtime, globals.json, request).go(prefixes)
}

pub(super) fn disallow(globals: &Globals, options: &Disallowing) -> Result<()> {
    let places = settings::places(&globals.config)?;
    let request = |whom: &[Whom]| Request::Disallow { prefixes: whom.iter().copied().map(Whom::exactly).collect() };
    Way::new(&places.runtime, globals.json, request).go(&options.prefixes)
}

fn list_allowed(globals: &Globals, client: &mut Client) -> Result<()> {
    let mut rows = Vec::new();
    client.ask(&Request::Allowed, |reply| {
        if let Reply::Allowed(allowed) = reply {
            if globals.json {
                output::json(&allowed)?;
            } else {
                rows.push(row(allowed));
            }
        }
        Ok(())
    })?;
    if globals.json { Ok(()) } else { output::table(["PREFIX", "SINCE", "UNTIL", "WHY"], &rows) }
}

fn row(allowed: Allowed) -> [String; 4] {
    let Allowed { prefix, why, detail, since, until, persist: _ } = allowed;
    // Somebody's words: what a terminal would obey is shown instead.
    let detail = detail.map_or_else(String::new, |detail| format!(": {}", detail.escape_debug()));
    let or_dash = |time: Option<String>| time.unwrap_or_else(|| "-".to_owned());
    [prefix.to_string(), or_dash(since), or_dash(until), format!("{why}{detail}")]
}
