//! `blocker report`: what happened, as text, as JSON, or as a page with pictures. What it says comes from the daemon, which asks its
//! database; if no daemon runs, from the database itself, which is read and not changed.

mod chart;
mod file;
mod page;
mod text;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use blocker_core::time::parse_span;
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, Zoned};
use serde::Serialize;

use super::test::json;
use super::{Globals, output};
use crate::clock::Reading;
use crate::control::client::Client;
use crate::control::report::{MAX_SINCE_S, Report};
use crate::control::status::{BanCounts, PacketCount, Status};
use crate::control::wire::{Reply, Request};
use crate::exit::Failure;
use crate::{settings, store};

/// Options of `blocker report`.
#[derive(clap::Args)]
pub(super) struct Options {
    /// Writes a page with pictures there, to be read in a browser or a mail: one file, for its owner alone, that fetches nothing
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// How far back it goes: 90s, 10m, 24h, 7d, or bare seconds; at most ten years [default: 24h]
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    since: Option<Duration>,
}

const SINCE: Duration = Duration::from_secs(86_400);

/// A report, and what is told besides.
#[derive(Clone, Debug, Serialize)]
struct Whole {
    /// The machine.
    host: String,
    #[serde(flatten)]
    report: Report,
    /// What the daemon has counted since its start; none if it does not run.
    daemon: Option<Counted>,
    /// What was added to universal time where days begin, in seconds: the zone's, as it was when it was asked.
    #[serde(skip)]
    utc_offset_s: i32,
}

/// What the daemon has counted since its start.
#[derive(Clone, Debug, Serialize)]
struct Counted {
    /// Seconds since then.
    uptime_s: u64,
    /// `enforce` or `observe`.
    mode: String,
    /// Packets dropped, since the maps were made, which outlive the daemon.
    dropped: PacketCount,
    /// Those that would have been, but for the mode.
    would_drop: PacketCount,
    /// Bans in force.
    in_force: BanCounts,
    /// Attempts that logins which succeeded have taken back.
    forgiven_attempts: f64,
    /// Failures that would have earned a ban, and were held because too many had within a minute.
    held_bans: u64,
    /// What is not as it should be.
    problems: Vec<String>,
}

pub(super) fn report(globals: &Globals, options: &Options) -> Result<()> {
    let since = options.since.unwrap_or(SINCE);
    ensure!(
        since.as_secs() <= MAX_SINCE_S,
        Failure::Usage("`--since` goes back ten years at most: nothing older is kept".to_owned())
    );
    let whole = gather(globals, since)?;
    if let Some(path) = &options.html {
        file::replace(path, page::of(&whole).as_bytes())?;
    }
    if globals.json {
        let mut line = Vec::new();
        json::put(&mut line, &whole)?;
        return output::bytes(&line);
    }
    match &options.html {
        Some(path) => output::line(&format!("written to {}", output::shown(&path.display().to_string()))),
        None => output::text(&text::of(&whole)),
    }
}

/// Asks the daemon, or reads what it has left.
fn gather(globals: &Globals, since: Duration) -> Result<Whole> {
    let places = settings::places(&globals.config)?;
    let utc_offset_s = Zoned::now().offset().seconds();
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
    let since_s = since.as_secs();
    let mut client = match Client::connect(&places.runtime) {
        Ok(client) => client,
        Err(error) if matches!(error.downcast_ref(), Some(Failure::NotRunning(_))) => {
            let span = store::Span::new(since_s, utc_offset_s, Reading::take());
            // A faulty configuration keeps nobody from a report, which then does not tell what is forgotten for its age.
            let config = settings::load(&globals.config).ok();
            let span = config.map_or(span, |config| span.remembered(config.daemon.remember_bans));
            let report = store::read_report(&places.state, span)?;
            return Ok(Whole { host, report, daemon: None, utc_offset_s });
        }
        Err(error) => return Err(error),
    };
    let (mut status, mut report) = (None, None);
    client.ask(&Request::Status, |reply| {
        if let Reply::Status(told) = reply {
            status = Some(told);
        }
        Ok(())
    })?;
    client.ask(&Request::Report { since_s, utc_offset_s }, |reply| {
        if let Reply::Report(told) = reply {
            report = Some(told);
        }
        Ok(())
    })?;
    let (Some(status), Some(report)) = (status, report) else {
        bail!("the daemon's answer tells nothing: is it of another version?")
    };
    Ok(Whole { host, report: *report, daemon: Some(counted(*status)), utc_offset_s })
}

fn counted(status: Status) -> Counted {
    let sum = |names: &[&str]| {
        let counts = names.iter().filter_map(|name| status.counters.get(*name));
        counts.fold(PacketCount::default(), |sum, count| PacketCount {
            packets: sum.packets + count.packets,
            bytes: sum.bytes + count.bytes,
        })
    };
    Counted {
        uptime_s: status.uptime_s,
        dropped: sum(&DROPS),
        would_drop: sum(&WOULD_DROP),
        in_force: status.bans,
        forgiven_attempts: all_attempts(status.jails.iter().map(|jail| jail.forgiven)),
        held_bans: status.alarms.held_bans,
        mode: status.mode,
        problems: status.problems,
    }
}

/// A sum of attempts, which come in tenths: a tenth and two of them are three, and no more.
fn all_attempts(attempts: impl Iterator<Item = f64>) -> f64 {
    (attempts.fold(0.0, |sum, some| sum + some) * 10.0).round() / 10.0
}

/// The outcomes of packets that are dropped, by name.
pub(super) const DROPS: [&str; 2] =
    [blocker_common::Outcome::DropBanned.name(), blocker_common::Outcome::DropHidden.name()];

/// Of those that would be.
pub(super) const WOULD_DROP: [&str; 1] = [blocker_common::Outcome::PassObserved.name()];

/// What a time of [`Report::times`] is called in the machine's zone: `Nov 26 03:00`, or `Nov 26` if it stands for a day or more.
fn local(time: &str, step_s: u64, utc_offset_s: i32) -> String {
    let Ok(at) = time.parse::<Timestamp>() else { return time.to_owned() };
    if step_s < 86_400 {
        return at.to_zoned(TimeZone::system()).strftime("%b %d %H:%M").to_string();
    }
    // A day has the same offset throughout the report. By that of its own time it would begin in the day before, over a change of the clocks.
    let day = Offset::from_seconds(utc_offset_s).map_or(TimeZone::UTC, TimeZone::fixed);
    at.to_zoned(day).strftime("%b %d").to_string()
}

/// What an hour, a day or more is called.
fn step_name(step_s: u64) -> String {
    match step_s {
        3_600 => "hour".to_owned(),
        86_400 => "day".to_owned(),
        604_800 => "week".to_owned(),
        other => blocker_core::time::format_span(Duration::from_secs(other)),
    }
}

/// Why a ban may have been a mistake, in words.
fn suspicion(why: &str) -> &str {
    match why {
        "logged-in" => "logged in after it began",
        "lifted" => "lifted by hand",
        "allowed" => "allowed since",
        other => other,
    }
}

#[cfg(test)]
mod tests;
