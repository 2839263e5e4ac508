//! `blocker ban`: bans by command, one or a million.

use std::io::BufRead;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use blocker_core::prefix::{InvalidPrefix, Prefix};
use blocker_core::time::BanTime;

use super::{Globals, output};
use crate::control::client::Client;
use crate::control::wire::{Change, MAX_PREFIXES, Reply, Request};
use crate::settings;

/// Options of `blocker ban`.
#[derive(clap::Args)]
pub(super) struct Options {
    /// Addresses or networks; `-` reads them from stdin, one per line
    #[arg(required = true, value_name = "ADDR|NET")]
    prefixes: Vec<Target>,
    /// Closes that jail's ports only, instead of all
    #[arg(long)]
    jail: Option<String>,
    /// How long: 90s, 10m, 1h30m, 3d, 1w, forever [default: as the jail says]
    #[arg(long = "for", value_name = "TIME")]
    ban_time: Option<BanTime>,
    /// Why, for people
    #[arg(long)]
    reason: Option<String>,
}

pub(super) fn ban(globals: &Globals, options: &Options) -> Result<()> {
    let Options { prefixes, jail, ban_time, reason } = options;
    let places = settings::places(&globals.config)?;
    let mut client = Client::connect(&places.runtime)?;
    let mut changes = Changes::new(globals.json);
    in_chunks(prefixes, |prefixes| {
        let request = Request::Ban {
            prefixes,
            jail: jail.clone(),
            ban_time: ban_time.map(|time| time.to_string()),
            reason: reason.clone(),
        };
        client.ask(&request, |reply| changes.take(reply))
    })?;
    changes.finish()
}

/// What a command is to be about: a prefix, or all those on stdin.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target {
    Prefix(Prefix),
    Stdin,
}

impl FromStr for Target {
    type Err = InvalidPrefix;

    fn from_str(text: &str) -> Result<Self, InvalidPrefix> {
        if text == "-" { Ok(Self::Stdin) } else { text.parse().map(Self::Prefix) }
    }
}

/// Hands the prefixes on in bounded chunks. A line of stdin that is none is told and left out; in the end it is an error.
pub(super) fn in_chunks(targets: &[Target], mut send: impl FnMut(Vec<Prefix>) -> Result<()>) -> Result<()> {
    let mut chunk = Vec::new();
    let mut left_out: usize = 0;
    let mut push = |prefix, chunk: &mut Vec<Prefix>| -> Result<()> {
        chunk.push(prefix);
        if chunk.len() == MAX_PREFIXES { send(std::mem::take(chunk)) } else { Ok(()) }
    };
    for target in targets {
        if let Target::Prefix(prefix) = target {
            push(*prefix, &mut chunk)?;
            continue;
        }
        for (number, line) in (1..).zip(std::io::stdin().lock().lines()) {
            let line = line.context("reading stdin")?;
            let text = line.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            match text.parse() {
                Ok(prefix) => push(prefix, &mut chunk)?,
                Err(error) => {
                    eprintln!("blocker: stdin, line {number}: left out: {}", error.to_string().escape_debug());
                    left_out += 1;
                }
            }
        }
    }
    if !chunk.is_empty() {
        send(chunk)?;
    }
    match left_out {
        0 => Ok(()),
        left_out => bail!("{left_out} lines of stdin left out; all others are done"),
    }
}

/// Prints what became of each prefix, and in the end fails if any was refused.
pub(super) struct Changes {
    json: bool,
    refused: usize,
}

impl Changes {
    pub(super) fn new(json: bool) -> Self {
        Self { json, refused: 0 }
    }

    pub(super) fn take(&mut self, reply: Reply) -> Result<()> {
        let Reply::Change(change) = reply else { return Ok(()) };
        if change.outcome == "refused" {
            self.refused += 1;
        }
        if self.json {
            return output::json(&change);
        }
        let Change { prefix, outcome, why } = change;
        output::line(&why.map_or_else(|| format!("{prefix}: {outcome}"), |why| format!("{prefix}: {outcome}: {why}")))
    }

    pub(super) fn finish(self) -> Result<()> {
        match self.refused {
            0 => Ok(()),
            refused => bail!("{refused} of them refused"),
        }
    }
}
