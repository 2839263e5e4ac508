//! Files as a source.
//!
//! One task per source owns the descriptors, the positions and the buffers (`follower`). It waits for three things at
//! once: the kernel's word that something happened, the next second, and room in the daemon's channel.
//!
//! # When the daemon is slow
//!
//! A piece of a file is read only when there is room in the channel for what comes of it, so nothing piles up here: the
//! files are the queue. Notifications are taken meanwhile, so a file that is rotated away is opened in time even then.

use std::io;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::time::Duration;

use blocker_core::engine::SourceId;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc::Sender;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tracing::warn;

use super::follower::{Follower, Noticed};
use super::pattern::PathPattern;
use super::watch::Watch;
use super::{Marks, SourceError, SourceEvent};

/// How often everything is looked at whether the kernel announced a change or not.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Looking for files takes at most one part in this many of the time, so whoever can create files in a watched directory
/// cannot occupy the thread.
const LOOKING_SHARE: u32 = 10;

/// How much time without looking can be saved up, so that a rotation's few notifications are acted upon at once: a
/// tenth of it, 10 ms, can be spent in a row.
const LOOKING_CREDIT: Duration = Duration::from_millis(100);

/// A source of lines: the files that some paths and globs name.
///
/// Files that are there when it first begins are read from their end, files that appear later from their beginning. Where an
/// earlier run left off, it goes on: see [`FileSource::going_on_from`].
#[derive(Debug)]
pub struct FileSource {
    id: SourceId,
    patterns: Vec<PathPattern>,
    max_line_bytes: usize,
    marks: Marks,
}

impl FileSource {
    /// Prepares to follow the files that `patterns` name, each an absolute path whose components may be globs. Lines of
    /// more than `max_line_bytes` are skipped. Opens nothing yet.
    ///
    /// # Errors
    ///
    /// If a pattern is relative, names no file, contains `**` or is not a valid glob.
    pub fn new(id: SourceId, patterns: Vec<String>, max_line_bytes: usize) -> Result<Self, SourceError> {
        let patterns = patterns.into_iter().map(PathPattern::parse).collect::<Result<_, _>>()?;
        Ok(Self { id, patterns, max_line_bytes, marks: Marks::default() })
    }

    /// The same, beginning where an earlier run left off.
    #[must_use]
    pub fn going_on_from(self, marks: Marks) -> Self {
        Self { marks, ..self }
    }

    /// Follows the files until nobody receives `events`.
    ///
    /// Needs a runtime with I/O and time. Reads at most 64 KiB between two points where other tasks have their turn.
    pub async fn run(self, events: Sender<SourceEvent>) {
        let Self { id, patterns, max_line_bytes, marks } = self;
        let has_marks = !marks.files.is_empty();
        let mut follower = Follower::new(id, patterns, marks, Watch::new(), max_line_bytes);
        follower.set_receiver(events.clone());
        let now = Instant::now();
        let first_scan = move || {
            let is_again_needed = follower.scan(now.into_std());
            (follower, is_again_needed)
        };
        // Where an earlier run left off may have to be looked for in compressed files.
        let scanned = if has_marks { spawn_blocking(first_scan).await.ok() } else { Some(first_scan()) };
        let Some((mut follower, is_again_needed)) = scanned else { return };
        let mut notifications = notifications(&follower);
        let mut scan_due = is_again_needed.then(Instant::now);
        let mut rested_at = Instant::now();
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Kept while it waits, or a source with much to notice would lose its place in the queue for room to another.
        let mut room = pin!(events.reserve());

        loop {
            // In no order, so that neither a flood of notifications nor a long file keeps the others from their turn.
            tokio::select! {
                () = events.closed() => return,
                noticed = next_notice(&mut follower, &mut notifications) => {
                    if noticed.is_scan_needed {
                        scan_due = scan_due.or(Some(rested_at));
                    }
                }
                now = ticks.tick() => {
                    follower.tick(now.into_std());
                    scan_due = Some(now);
                }
                () = until(scan_due), if scan_due.is_some() => {
                    let began_at = Instant::now();
                    let is_again_needed = follower.scan(began_at.into_std());
                    let saved_from = began_at.checked_sub(LOOKING_CREDIT).unwrap_or(began_at);
                    rested_at = rested_at.max(saved_from) + began_at.elapsed() * LOOKING_SHARE;
                    scan_due = is_again_needed.then_some(rested_at);
                }
                permit = room.as_mut(), if follower.is_busy() => {
                    let Ok(permit) = permit else { return };
                    // What is gone comes first: another file may have its inode.
                    if let Some(lost) = follower.take_lost() {
                        permit.send(SourceEvent::Lost(id, lost));
                    } else if let Some(begun) = follower.take_begun() {
                        permit.send(SourceEvent::Lines(begun));
                    } else if let Some(state) = follower.take_state() {
                        permit.send(SourceEvent::State(id, state));
                    } else if let Some(batch) = follower.read(Instant::now().into_std())
                        && !batch.is_empty()
                    {
                        permit.send(SourceEvent::Lines(batch));
                    }
                    room.set(events.reserve());
                    tokio::task::yield_now().await;
                }
            }
        }
    }
}

#[expect(deprecated, reason = "its replacement is unsafe, and asks for what an OwnedFd guarantees: that it stays open")]
fn notifications(follower: &Follower) -> Option<AsyncFd<OwnedFd>> {
    let opened = follower.descriptor().and_then(|descriptor| {
        descriptor.map(|descriptor| AsyncFd::with_interest(descriptor, Interest::READABLE)).transpose()
    });
    opened.unwrap_or_else(|error| {
        warn!(%error, "cannot wait for file notifications, looking every second");
        None
    })
}

/// Waits until then. Unlike a timer, which is exact to a millisecond, does not wait at all if that is past.
async fn until(due: Option<Instant>) {
    if let Some(due) = due.filter(|&due| due > Instant::now()) {
        sleep_until(due).await;
    }
}

/// Waits for a notification and lets the follower take it. Waits forever if there will be none.
async fn next_notice(follower: &mut Follower, notifications: &mut Option<AsyncFd<OwnedFd>>) -> Noticed {
    loop {
        let Some(descriptor) = notifications else { std::future::pending().await };
        let noticed = match descriptor.readable().await {
            Ok(mut ready) => {
                let noticed = follower.notice();
                if noticed.as_ref().is_ok_and(|noticed| noticed.is_empty) {
                    ready.clear_ready();
                    continue;
                }
                noticed
            }
            Err(error) => Err(error),
        };
        return noticed.unwrap_or_else(|error: io::Error| {
            warn!(%error, "file notifications broke, looking every second");
            *notifications = None;
            Noticed { is_scan_needed: true, is_empty: false }
        });
    }
}

#[cfg(test)]
mod tests;
