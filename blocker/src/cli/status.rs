//! `blocker status`: how the daemon is.

use std::time::Duration;

use anyhow::{Result, bail};
use blocker_core::time::format_span;

use super::{Globals, output};
use crate::control::client::Client;
use crate::control::status::{JailStatus, ReceiverStatus, Status};
use crate::control::wire::{Reply, Request};
use crate::settings;

/// Options of `blocker status`.
#[derive(clap::Args)]
pub(super) struct Options {
    /// Only this jail
    jail: Option<String>,
}

pub(super) fn status(globals: &Globals, options: &Options) -> Result<()> {
    let places = settings::places(&globals.config)?;
    let mut found = None;
    Client::connect(&places.runtime)?.ask(&Request::Status, |reply| {
        if let Reply::Status(status) = reply {
            found = Some(status);
        }
        Ok(())
    })?;
    let Some(mut status) = found else { bail!("the daemon's answer has no status: is it of another version?") };
    if let Some(name) = &options.jail {
        let known: Vec<String> = status.jails.iter().map(|jail| jail.name.clone()).collect();
        status.jails.retain(|jail| jail.name == *name);
        if status.jails.is_empty() {
            bail!("no jail `{name}`: there are {}", known.join(", "));
        }
    }
    if globals.json {
        return output::json(&status);
    }
    if options.jail.is_some() {
        return status.jails.iter().try_for_each(print_jail);
    }
    print(&status)
}

fn print(status: &Status) -> Result<()> {
    let Status { version, pid, uptime_s, mode, config, pins, .. } = status;
    let uptime = format_span(Duration::from_secs(*uptime_s));
    output::line(&format!("blocker {version}, process {pid}, up {uptime}, mode {mode}"))?;
    output::line(&format!("configuration {config}, pins {pins}"))?;
    for interface in &status.interfaces {
        let state = match (&interface.mode, &interface.error) {
            (Some(mode), _) if interface.observes => format!("attached, {mode}, observes only"),
            (Some(mode), _) => format!("attached, {mode}"),
            (None, Some(error)) => format!("not attached: {error}"),
            (None, None) => "not attached".to_owned(),
        };
        output::line(&format!("interface {}: {state}", interface.name))?;
        for refusal in &interface.refusals {
            output::line(&format!("  not in {refusal}"))?;
        }
        for carried in &interface.carries {
            output::line(&format!("  {carried} is protected here: this carries it"))?;
        }
    }
    if status.interfaces.is_empty() {
        output::line("no interface: none has a default route; name them in `daemon.interfaces`")?;
    }
    status.jails.iter().try_for_each(print_jail)?;
    let bans = status.bans;
    output::line(&format!(
        "bans in force: {} IPv4, {} IPv6, {} networks; allow-listed prefixes: {}",
        bans.ipv4, bans.ipv6, bans.networks, status.allowed
    ))?;
    for receiver in &status.receivers {
        let ReceiverStatus { name, sent, failed, dropped, waiting, error: _ } = receiver;
        output::line(&format!(
            "notify.{name}: {sent} sent, {failed} tries failed, {waiting} waiting, {dropped} not told one by one"
        ))?;
    }
    let lines = status.lines;
    output::line(&format!(
        "lines: {} judged, {} ignored, {} without match, {} unreadable, {} too long",
        lines.judged, lines.ignored, lines.no_match, lines.malformed, lines.overlong
    ))?;
    let rows: Vec<[String; 3]> = status
        .counters
        .iter()
        .filter(|(_, count)| count.packets > 0)
        .map(|(name, count)| [name.clone(), count.packets.to_string(), count.bytes.to_string()])
        .collect();
    if !rows.is_empty() {
        output::table(["OUTCOME", "PACKETS", "BYTES"], &rows)?;
    }
    status.problems.iter().try_for_each(|problem| output::line(&format!("problem: {problem}")))
}

fn print_jail(jail: &JailStatus) -> Result<()> {
    let JailStatus { name, ports, max_retry, find_time, ban_time, .. } = jail;
    if jail.filter.is_none() {
        return output::line(&format!("jail {name}: bans by command, {} in force, closes {ports}", jail.in_force));
    }
    output::line(&format!(
        "jail {name}: {} in force, {} bans made, {} attempts in {} failures, {} addresses counted",
        jail.in_force, jail.bans, jail.attempts, jail.failures, jail.tracked
    ))?;
    let observes = if jail.mode == "observe" { "; observes only" } else { "" };
    output::line(&format!("  {max_retry} attempts in {find_time} ban for {ban_time} from {ports}{observes}"))?;
    if jail.too_old > 0 {
        output::line(&format!("  {} failures in lines from before were too old to count", jail.too_old))?;
    }
    for file in &jail.files {
        let how = jail.unannounced.get(file).map(|name| format!(" ({name}: looked at every second)"));
        output::line(&format!("  reads {}{}", file.escape_debug(), how.unwrap_or_default()))?;
    }
    for stream in &jail.streams {
        output::line(&format!("  reads {}", stream.escape_debug()))?;
    }
    for matches in &jail.journal {
        output::line(&format!("  reads the journal: {}", matches.escape_debug()))?;
    }
    for pattern in &jail.waiting {
        output::line(&format!("  waits for {pattern}"))?;
    }
    Ok(())
}
