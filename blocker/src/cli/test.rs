//! `blocker test`: what filters make of logs, line by line, and who would be banned.
//!
//! - `jails`: which filters judge, and with which limits;
//! - `judge`: what they make of one line; `suspect`: which of the missed ones look like failures;
//! - `clock`: what the times in the lines mean; `replay`: counting in that time; `later`: who logged in after being banned;
//! - `tally`: what came together; `json`, `people`: how it is told; `progress`: how far it is.
//!
//! Lines are read, judged and counted by what the daemon reads, judges and counts with; nothing here decides.

mod clock;
mod jails;
pub(super) mod json;
mod judge;
mod later;
mod people;
mod progress;
mod replay;
mod suspect;
mod tally;

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use blocker_core::fail2ban::Logs;

use super::{Globals, output};
use crate::exit::io_failure;
use crate::source::{Piece, read_whole};
use clock::Clock;
use jails::Jails;
use judge::{Log, Outcome, Told, judge};
use progress::Progress;
use replay::Replay;
use suspect::Suspect;
use tally::Tally;

/// Options of `blocker test`.
#[derive(clap::Args)]
pub(super) struct Options {
    /// Logs, in the order of time; `-` is standard input
    #[arg(required = true, value_name = "LOG")]
    logs: Vec<PathBuf>,
    /// Judges by this filter alone, with the default limits: a built-in one, or a file as docs/filters.md says
    #[arg(long, value_name = "FILTER", conflicts_with = "jail")]
    filter: Option<String>,
    /// Judges by this jail of the configuration alone, be it on or off; without either, by all that are on
    #[arg(long, value_name = "JAIL")]
    jail: Option<String>,
    /// With --json: leaves out the lines that do not match
    #[arg(long)]
    sparse: bool,
    /// What time it is, as 2026-11-23T01:02:03Z or in seconds since 1970: decides the year of lines without one
    /// [default: what the clock says]
    #[arg(long, value_name = "TIME", value_parser = clock::parse_now)]
    now: Option<clock::Now>,
    /// The lines are entries of the journal, as `host program[pid]: message`, written now
    #[arg(long)]
    journal: bool,
    /// With --json: counts, and tells of each ban that falls due
    #[arg(long)]
    replay: bool,
}

/// All that goes through the logs.
struct Run<'a> {
    globals: &'a Globals,
    options: &'a Options,
    jails: &'a Jails,
    clock: Clock,
    replay: Replay,
    tally: Tally,
    suspect: Suspect,
    /// What is to be printed when all that was read at once is judged.
    out: Vec<u8>,
}

pub(super) fn test(globals: &Globals, options: &Options) -> Result<()> {
    let jails = match &options.filter {
        Some(filter) => {
            let logs = if options.journal { Logs::Journal } else { Logs::Files };
            Jails::of_filter(globals, filter, logs)?
        }
        None => Jails::of_configuration(globals, options.jail.as_deref())?,
    };
    // Before anything is printed, so that a slip in the last name is told at once.
    for log in &options.logs {
        check(log)?;
    }
    let clock = Clock::new(options.now);
    let mut run = Run {
        globals,
        options,
        jails: &jails,
        replay: Replay::new(jails.settings.clone(), clock.now(), !globals.json || options.replay),
        clock,
        tally: Tally::default(),
        suspect: Suspect::new(),
        out: Vec::new(),
    };
    for log in &options.logs {
        run.read(log)?;
    }
    run.finish()
}

/// Says what keeps `log` from being read, if that can be seen beforehand. A pipe is not opened: its writer would be gone.
fn check(log: &Path) -> Result<()> {
    if log == Path::new(STDIN) {
        return Ok(());
    }
    let metadata = log.metadata().map_err(|error| io_failure(error, log.display()))?;
    if metadata.is_dir() {
        return Err(anyhow!("{}: is a directory, expected a log", log.display()));
    }
    if !metadata.is_file() {
        return Ok(());
    }
    let mut begin = [0; 6];
    let file = File::open(log).map_err(|error| io_failure(error, log.display()))?;
    let read = file.read_at(&mut begin, 0).map_err(|error| io_failure(error, log.display()))?;
    let begin = begin.get(..read).unwrap_or_default();
    match COMPRESSED.iter().find(|(magic, _)| begin.starts_with(magic)) {
        Some((_, program)) => {
            Err(anyhow!("{0}: is compressed, expected text: {program} {0} | blocker test -", log.display()))
        }
        None => Ok(()),
    }
}

/// What to read, and how much of it there is if that is known.
fn open(log: &Path) -> Result<(Box<dyn Read>, Option<u64>)> {
    if log == Path::new(STDIN) {
        return Ok((Box::new(io::stdin().lock()), None));
    }
    let opened = File::open(log).and_then(|file| Ok((file.metadata()?, file)));
    let (metadata, file) = opened.map_err(|error| io_failure(error, log.display()))?;
    Ok((Box::new(file), metadata.is_file().then_some(metadata.len())))
}

/// The name of standard input.
const STDIN: &str = "-";

/// How compressed files begin, by RFC 1952 and the formats' own descriptions, and what prints them.
const COMPRESSED: [(&[u8], &str); 4] =
    [(b"\x1f\x8b", "zcat"), (b"BZh", "bzcat"), (b"\xfd7zXZ\0", "xzcat"), (b"\x28\xb5\x2f\xfd", "zstdcat")];

impl Run<'_> {
    /// Goes through one log.
    fn read(&mut self, path: &Path) -> Result<()> {
        let name = path.display().to_string();
        let (input, total) = open(path)?;
        let is_quiet = self.globals.json && io::stdout().is_terminal();
        let mut progress = Progress::begin(&name, total, is_quiet);
        let (mut log, mut number) = (Log::default(), 0);
        self.replay.begin_log();
        let failed = |error| io_failure(error, format!("reading {name}"));
        read_whole(input, self.jails.max_line_bytes, failed, |piece| match piece {
            Piece::Line(line) => {
                number += 1;
                self.line(&name, number, &mut log, line)
            }
            Piece::TooLong => {
                number += 1;
                self.tally.add_too_long();
                self.put(&name, number, &Told::unreadable())
            }
            Piece::Read(bytes) => {
                progress.add(bytes);
                self.flush()
            }
        })
    }

    fn line(&mut self, name: &str, number: u64, log: &mut Log, line: &[u8]) -> Result<()> {
        // A journal's entry is given its header here, as the daemon does it, so that no host can pose as a time.
        let stamped = if self.options.journal { [self.clock.stamp().as_bytes(), line].concat() } else { Vec::new() };
        let bytes = if self.options.journal { &stamped[..] } else { line };
        let Self { jails, clock, replay, tally, suspect, .. } = self;
        let told = judge(jails, clock, log, bytes, replay);
        if let Some(time) = told.time {
            replay.advance(time);
        }
        // Of syslog's newer protocol nothing is learnt: it has but one.
        let form = match (told.is_stamped, self.options.journal) {
            (false, _) => None,
            (true, true) => Some(tally::JOURNAL),
            (true, false) => Some(log.learnt.form().map_or("RFC 5424", tally::example)),
        };
        tally.add(&told, form);
        match told.outcome {
            Outcome::NoMatch if suspect.is(line) => tally.add_missed(name, number, line),
            Outcome::NoMatch | Outcome::Failure { .. } | Outcome::Ignored { .. } | Outcome::Helper { .. } => {}
        }
        self.put(name, number, &told)
    }

    /// Tells of a line, and of the bans that it earned.
    fn put(&mut self, name: &str, number: u64, told: &Told<'_>) -> Result<()> {
        let file = (self.options.logs.len() > 1).then_some(name);
        let is_shown = !(self.options.sparse && matches!(told.outcome, Outcome::NoMatch));
        if self.globals.json && is_shown {
            json::put_line(&mut self.out, file, number, told)?;
        }
        for ban in self.replay.take_banned() {
            if self.globals.json {
                json::put_ban(&mut self.out, file, number, &ban)?;
            }
            self.tally.add_ban(ban);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        if !self.out.is_empty() {
            output::bytes(&self.out)?;
            self.out.clear();
        }
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        if !self.globals.json {
            return people::print(&self.tally, &self.replay);
        }
        let replay = self.options.replay.then_some(&self.replay);
        json::put(&mut self.out, &self.tally.summary(replay))?;
        self.flush()
    }
}
