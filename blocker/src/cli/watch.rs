//! `blocker watch`: what happens now, on the terminal or as a stream of objects.
//!
//! Each interval it asks the daemon once, by a connection of its own, so that it survives the daemon's restart and holds no place on the
//! socket meanwhile. What the daemon tells are sums; rates are made here ([`view`]).

mod draw;
mod feed;
mod places;
mod screen;
mod view;

use std::io::{IsTerminal as _, stdin, stdout};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use blocker_core::time::parse_span;
use serde::Serialize;

use super::test::json;
use super::{Globals, output};
use crate::clock::Reading;
use crate::control::watch::MAX_INTERVAL_S;
use crate::exit::Failure;
use crate::settings;
use feed::{Asker, News};

/// Options of `blocker watch`.
#[derive(clap::Args)]
pub(super) struct Options {
    /// How often it looks: 1s, 10s, or bare seconds; from 1 to 60 seconds [default: 1s]
    #[arg(long, value_name = "TIME", value_parser = interval)]
    interval: Option<Duration>,
}

/// An object of `--json` while there is no daemon.
#[derive(Debug, Serialize)]
struct Waiting<'a> {
    time: String,
    running: bool,
    /// Why there is nothing else to tell.
    error: &'a str,
}

pub(super) fn watch(globals: &Globals, options: &Options) -> Result<()> {
    let interval = options.interval.unwrap_or(Duration::from_secs(1));
    if !globals.json {
        ensure!(
            stdout().is_terminal() && stdin().is_terminal(),
            Failure::Usage(
                "`blocker watch` needs a terminal, and standard input or output is none: `blocker watch --json` prints an object for \
                 each interval instead"
                    .to_owned()
            )
        );
    }
    let asker = Asker::new(settings::places(&globals.config)?.runtime);
    if globals.json { stream(asker, interval) } else { screen::run(asker, interval) }
}

/// Prints an object for each interval, for ever.
fn stream(mut asker: Asker, interval: Duration) -> Result<()> {
    let mut next = Instant::now();
    loop {
        let mut line = Vec::new();
        match asker.ask()? {
            News::Told(view) => json::put(&mut line, &view)?,
            News::Waiting(error) => {
                let clock = Reading::take();
                json::put(&mut line, &Waiting { time: clock.wall(clock.boot()), running: false, error: &error })?;
            }
        }
        output::bytes(&line)?;
        // Where an answer took longer than the interval, what was missed is not made up for.
        next = (next + interval).max(Instant::now());
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = parse_span(text).map_err(|error| error.to_string())?;
    if (1..=MAX_INTERVAL_S).contains(&interval.as_secs()) {
        Ok(interval)
    } else {
        Err(format!("{text} is no interval, expected 1s to {MAX_INTERVAL_S}s"))
    }
}

#[cfg(test)]
mod tests;
