//! `blocker bans`: who is banned, as the daemon has it, or as the kernel's maps do.

use std::time::Duration;

use anyhow::Result;
use blocker_core::prefix::Prefix;
use blocker_core::time::format_span;
use serde::Serialize;

use super::{Globals, output};
use crate::clock::Reading;
use crate::control::client::Client;
use crate::control::wire::{Ban, Reply, Request};
use crate::kernel::KernelBan;
use crate::kernel::view::{JailNames, View};
use crate::settings;

/// Options of `blocker bans`.
#[derive(clap::Args)]
pub(super) struct Options {
    /// Reads the pinned maps themselves, with the daemon down too
    #[arg(long)]
    kernel: bool,
}

/// A line of `blocker bans --kernel --json`.
#[derive(Serialize)]
struct KernelRow {
    prefix: Prefix,
    jails: Vec<String>,
    all_ports: bool,
    until: String,
    remaining_s: Option<u64>,
    packets: u64,
    bytes: u64,
    first_drop_boot_ns: Option<u64>,
    last_drop_boot_ns: Option<u64>,
}

pub(super) fn bans(globals: &Globals, options: &Options) -> Result<()> {
    let places = settings::places(&globals.config)?;
    if options.kernel {
        return from_kernel(globals, &View::open(&places.pins)?);
    }
    let mut rows = Vec::new();
    Client::connect(&places.runtime)?.ask(&Request::Bans, |reply| {
        if let Reply::Ban(ban) = reply {
            if globals.json {
                output::json(&ban)?;
            } else {
                rows.push(row(ban));
            }
        }
        Ok(())
    })?;
    match (globals.json, rows.is_empty()) {
        (true, _) => Ok(()),
        (false, true) => output::line("nobody is banned"),
        (false, false) => output::table(["PREFIX", "JAIL", "LEFT", "UNTIL", "ATTEMPTS", "REASON"], &rows),
    }
}

fn row(ban: Ban) -> [String; 6] {
    let Ban { prefix, jail, until, remaining_s, origin, attempts, reason, since: _ } = ban;
    let attempts = if origin == "log" { attempts.to_string() } else { "-".to_owned() };
    // Somebody's words: what a terminal would obey is shown instead.
    let reason = reason.map_or(origin, |reason| reason.escape_debug().to_string());
    [prefix.to_string(), jail, left(remaining_s), until, attempts, reason]
}

fn left(remaining_s: Option<u64>) -> String {
    remaining_s.map_or_else(|| "forever".to_owned(), |secs| format_span(Duration::from_secs(secs)))
}

fn from_kernel(globals: &Globals, view: &View) -> Result<()> {
    let names = view.jail_names()?;
    let clock = Reading::take();
    let rows: Vec<KernelRow> = view.bans()?.into_iter().map(|ban| kernel_row(&ban, &names, clock)).collect();
    if globals.json {
        return rows.iter().try_for_each(output::json);
    }
    if rows.is_empty() {
        return output::line("the kernel's maps hold no ban");
    }
    let rows: Vec<[String; 6]> = rows
        .into_iter()
        .map(|row| {
            let jails =
                if row.all_ports { format!("{} (all ports)", row.jails.join(",")) } else { row.jails.join(",") };
            [
                row.prefix.to_string(),
                left(row.remaining_s),
                row.until,
                row.packets.to_string(),
                row.bytes.to_string(),
                jails,
            ]
        })
        .collect();
    output::table(["PREFIX", "LEFT", "UNTIL", "PACKETS", "BYTES", "JAILS"], &rows)
}

fn kernel_row(ban: &KernelBan, names: &JailNames, clock: Reading) -> KernelRow {
    let entry = ban.entry;
    KernelRow {
        prefix: ban.prefix,
        jails: names.of(entry.scope),
        all_ports: JailNames::closes_all(entry.scope),
        until: clock.end(ban.until()),
        remaining_s: clock.remaining_secs(ban.until()),
        packets: entry.packets,
        bytes: entry.bytes,
        first_drop_boot_ns: (entry.first_drop_ns != 0).then_some(entry.first_drop_ns),
        last_drop_boot_ns: (entry.last_drop_ns != 0).then_some(entry.last_drop_ns),
    }
}
