//! The daemon's own way of a line, without the kernel at its end: file source, records, filter, counting, decisions.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use blocker::clock;
use blocker::source::{FileSource, SourceEvent};
use blocker_core::brake::{self, DEFAULT_LOGGED_IN_PERCENT};
use blocker_core::engine::{Bounds, Counter, Engine, Jail, JailId, Limits, Settings, SourceId};
use blocker_core::filter::Filter;
use blocker_core::jail::Repeat;
use blocker_core::time::BanTime;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::Figure;

/// As many batches as wait in the daemon.
const WAITING: usize = 16;

/// The longest line, as it is unless configured.
const MAX_LINE_BYTES: usize = 8 * 1024;

/// The source has to go on within this.
const PATIENCE: Duration = Duration::from_secs(30);

/// Follows an empty file, then writes `log`, of `lines` lines, to it, and judges it to its end.
pub(crate) fn measure(log: &Path, lines: u64) -> Result<Figure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(follow(log, lines))
}

async fn follow(log: &Path, lines: u64) -> Result<Figure> {
    let followed = log.with_extension("followed");
    let source = SourceId::new(0);
    let pattern = followed.to_str().context("the path is not UTF-8")?.to_owned();
    File::create(&followed)?;
    let (events_in, mut events) = mpsc::channel(WAITING);
    let task = tokio::spawn(FileSource::new(source, vec![pattern], MAX_LINE_BYTES)?.run(events_in));
    // It follows the file, from its end: what is written from then on is live.
    while !matches!(timeout(PATIENCE, events.recv()).await?, Some(SourceEvent::State(_, state)) if state.files.len() == 1)
    {
    }
    // Nothing else runs meanwhile: there is one thread.
    io::copy(&mut File::open(log)?, &mut OpenOptions::new().append(true).open(&followed)?)
        .context("writing the log")?;

    let mut engine = engine(source);
    let began = Instant::now();
    let mut read = 0;
    while read < lines {
        match timeout(PATIENCE, events.recv()).await.context("the source stands still")? {
            Some(SourceEvent::Lines(batch)) => {
                read += batch.len() as u64;
                ensure!(!batch.is_past(), "the log was written after its reading began");
                let mut lines = batch.to_judge();
                let arrived = clock::now();
                loop {
                    let may_be_more = engine.handle_next(&mut lines, arrived);
                    while engine.poll_command().is_some() {}
                    if !may_be_more {
                        break;
                    }
                }
            }
            Some(SourceEvent::State(..) | SourceEvent::Lost(..)) => {}
            Some(SourceEvent::End) | None => anyhow::bail!("the source ended"),
        }
    }
    let took = began.elapsed();
    task.abort();
    fs::remove_file(&followed)?;
    let stats = engine.stats();
    ensure!(stats.lines == lines, "{} of {lines} lines were judged", stats.lines);
    Ok(Figure { took, found: stats.failures })
}

/// An engine with the shipped limits.
fn engine(source: SourceId) -> Engine {
    let limits = Limits {
        max_retry: 5,
        find_time: Duration::from_secs(600),
        ban_time: BanTime::For(Duration::from_secs(3600)),
        counter: Counter::Exact,
    };
    let jail = Jail {
        id: JailId::MIN,
        name: "dovecot".to_owned(),
        filter: Some(Filter::Dovecot),
        sources: vec![source],
        limits,
        repeat: Repeat::default(),
        forgives: true,
    };
    let mut engine = Engine::new(Settings {
        jails: vec![jail],
        manual: JailId::MIN,
        allow: Vec::new(),
        ipv6_prefix: 64,
        // Of many bans there are more than may be in a minute.
        brake: brake::Limits { per_minute: None, logged_in_percent: Some(DEFAULT_LOGGED_IN_PERCENT) },
        remember_bans: Duration::from_secs(30 * 24 * 60 * 60),
        bounds: Bounds::default(),
    });
    // As the daemon's does under a flood, unless it logs at DEBUG.
    engine.tell_failures(false);
    engine
}
