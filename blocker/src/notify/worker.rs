//! A receiver's worker: a thread that takes what happened from a queue and hands it to the receiver in pieces.
//!
//! Nothing waits for it. What comes while a piece is under way waits in the queue; what finds that full is counted. A receiver that
//! cannot be reached is tried again after 5, 10, 20 … 300 seconds, the same piece for an hour; meanwhile the queue fills.
//! When the daemon stops, what waits is tried once more, within [`END_WITHIN`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::notice::{Batch, Happening, Notice, What};
use crate::clock::Reading;

/// Bans and ends of bans that may wait for a receiver; some 400 bytes each, and up to 6 KiB with the lines of a ban, which receivers share.
pub(super) const MAX_WAITING: usize = 1_024;

/// Places of a queue besides these, for what is no ban and no end of one: for alarms, and for the stop.
const KEPT_FREE: usize = 64;

/// Bans and ends of bans that are told one by one in a piece; further ones wait, or are counted.
pub(super) const MAX_TOLD: usize = 100;

/// The first wait before a piece is tried again; each is twice the one before.
const FIRST_WAIT: Duration = Duration::from_secs(5);

/// The longest.
const LONGEST_WAIT: Duration = Duration::from_secs(5 * 60);

/// How long a piece is tried again.
const TRIED_FOR: Duration = Duration::from_secs(60 * 60);

/// How long a worker goes on when the daemon stops; less than the daemon waits for it.
pub(super) const END_WITHIN: Duration = Duration::from_secs(4);

/// Why a piece was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failed {
    /// It may be taken later.
    Later(String),
    /// It will not be taken.
    Never(String),
}

/// Who is told.
pub(super) trait Receiver: Send + 'static {
    /// Tells a piece. Has bounds of its own in time and memory, and may be dropped at any moment.
    async fn tell(&mut self, batch: &Batch, is_hurried: bool) -> Result<(), Failed>;

    /// At least so long from one piece to the next, a test aside.
    fn every(&self) -> Duration {
        Duration::ZERO
    }

    /// How long more is waited for when something has come.
    fn gathers(&self) -> Duration {
        Duration::ZERO
    }
}

/// How it goes with a receiver.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    /// Pieces that were taken.
    pub(super) sent: u64,
    /// Tries that failed.
    pub(super) failed: u64,
    /// Things that were never told: given up, or only counted in a piece.
    pub(super) given_up: u64,
    /// What was wrong with the last try, if it failed.
    pub(super) problem: Option<String>,
}

/// The daemon's end of a worker. Letting go of it has the worker tell what waits, and end.
#[derive(Debug)]
pub(super) struct Handle {
    pub(super) queue: mpsc::Sender<Arc<Happening>>,
    /// Things that found the queue full: of those a piece has not yet told the number.
    untold: Arc<AtomicU64>,
    /// The same, of all times.
    left_out: u64,
    pub(super) tests: mpsc::Sender<oneshot::Sender<Result<(), String>>>,
    pub(super) state: watch::Receiver<State>,
    stop: watch::Sender<bool>,
    ended: oneshot::Receiver<()>,
}

impl Handle {
    /// Hands one of many over that `make` makes, if there is room for it. Never waits.
    pub(super) fn tell(&mut self, make: impl FnOnce() -> Arc<Happening>) {
        if self.queue.capacity() > KEPT_FREE {
            self.tell_behind_a_flood(make);
        } else {
            self.leave_out();
        }
    }

    /// The same of something rare, for which there is room when there is none for more bans.
    pub(super) fn tell_behind_a_flood(&mut self, make: impl FnOnce() -> Arc<Happening>) {
        if let Ok(place) = self.queue.try_reserve() {
            place.send(make());
            return;
        }
        // A worker that is gone is told as a problem; then, too, these are never told.
        self.leave_out();
    }

    fn leave_out(&mut self) {
        self.untold.fetch_add(1, Ordering::Relaxed);
        self.left_out += 1;
    }

    /// Things that found the queue full.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Has the worker tell what waits, and end; and waits for that.
    pub(super) async fn finish(self) {
        let Self { queue, stop, ended, .. } = self;
        stop.send_replace(true);
        drop(queue);
        // An error is that it has ended, too.
        ended.await.unwrap_or_default();
    }
}

struct Worker<R> {
    /// For the log.
    name: String,
    receiver: R,
    queue: mpsc::Receiver<Arc<Happening>>,
    untold: Arc<AtomicU64>,
    tests: mpsc::Receiver<oneshot::Sender<Result<(), String>>>,
    state: watch::Sender<State>,
    stop: watch::Receiver<bool>,
}

/// Starts a worker for `receiver`, which is called `name`.
pub(super) fn start<R: Receiver>(name: &str, receiver: R) -> Result<Handle> {
    let (handle, worker, end) = worker(name, receiver);
    thread::Builder::new()
        .name(format!("to-{name}").chars().take(15).collect())
        .spawn(move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return tracing::error!(%error, "a receiver of notifications cannot be served"),
            };
            runtime.block_on(worker.run());
            drop(end);
            // A look-up of a name may still be under way: nobody waits for that.
            runtime.shutdown_background();
        })
        .with_context(|| format!("starting the thread that tells notify.{name}"))?;
    Ok(handle)
}

fn worker<R: Receiver>(name: &str, receiver: R) -> (Handle, Worker<R>, oneshot::Sender<()>) {
    let (queue_in, queue) = mpsc::channel(MAX_WAITING + KEPT_FREE);
    let (tests_in, tests) = mpsc::channel(1);
    let (state_in, state) = watch::channel(State::default());
    let (stop_in, stop) = watch::channel(false);
    let (end, ended) = oneshot::channel();
    let untold = Arc::new(AtomicU64::new(0));
    let worker =
        Worker { name: name.to_owned(), receiver, queue, untold: Arc::clone(&untold), tests, state: state_in, stop };
    (Handle { queue: queue_in, untold, left_out: 0, tests: tests_in, state, stop: stop_in, ended }, worker, end)
}

impl<R: Receiver> Worker<R> {
    /// Works until the daemon stops, and then for a little while.
    async fn run(mut self) {
        let (mut stop, name) = (self.stop.clone(), self.name.clone());
        let end = async move {
            until_stopped(&mut stop).await;
            sleep(END_WITHIN).await;
        };
        tokio::select! {
            () = self.work() => {}
            () = end => tracing::warn!(receiver = name, "a receiver of notifications took too long at the stop"),
        }
    }

    async fn work(&mut self) {
        let mut next = Instant::now();
        loop {
            let first = tokio::select! {
                biased;
                Some(reply) = self.tests.recv() => {
                    self.test(reply).await;
                    continue;
                }
                first = self.queue.recv() => first,
                () = until_stopped(&mut self.stop) => self.queue.try_recv().ok(),
            };
            let Some(first) = first else { return };
            let mut batch = Batch::default();
            batch.push(Notice::of(&first), MAX_TOLD);
            let due = next.max(Instant::now() + self.receiver.gathers());
            self.gather(&mut batch, due).await;
            self.send(batch).await;
            next = Instant::now() + self.receiver.every();
        }
    }

    /// Takes more until `due`: what is beyond the bound of a piece is counted if the piece waits, else it stays for the next.
    async fn gather(&mut self, batch: &mut Batch, due: Instant) {
        while Instant::now() < due && !self.is_stopping() {
            tokio::select! {
                more = self.queue.recv() => match more {
                    Some(more) => batch.push(Notice::of(&more), MAX_TOLD),
                    None => return,
                },
                Some(reply) = self.tests.recv() => self.test(reply).await,
                () = sleep_until(due) => {}
                () = until_stopped(&mut self.stop) => {}
            }
        }
        let is_digest = !self.receiver.every().is_zero();
        while is_digest || batch.notices.len() < MAX_TOLD || self.is_stopping() {
            let Ok(more) = self.queue.try_recv() else { break };
            batch.push(Notice::of(&more), MAX_TOLD);
        }
    }

    /// Tells a piece, again and again if need be.
    async fn send(&mut self, mut batch: Batch) {
        let began = Instant::now();
        let mut wait = FIRST_WAIT;
        // Of what is left out, the part that the daemon's end has counted.
        let mut counted = 0;
        loop {
            let untold = self.untold.swap(0, Ordering::Relaxed);
            counted += untold;
            batch.left_out += untold;
            let is_last = self.is_stopping();
            let told = self.receiver.tell(&batch, is_last).await;
            let (why, is_given_up) = match told {
                Ok(()) => {
                    return self.state.send_modify(|state| {
                        state.sent += 1;
                        state.given_up += batch.left_out - counted;
                        state.problem = None;
                    });
                }
                Err(Failed::Later(why)) => (why, is_last || began.elapsed() >= TRIED_FOR),
                Err(Failed::Never(why)) => (why, true),
            };
            let lost = batch.notices.len() as u64 + batch.left_out - counted;
            let is_news = self.state.borrow().problem.is_none();
            let receiver = &self.name;
            if is_given_up {
                tracing::warn!(receiver, lost, why, "a notification is given up");
            } else if is_news {
                tracing::warn!(receiver, why, "a notification was not taken: it is tried again");
            } else {
                tracing::debug!(receiver, why, again_in = ?wait, "a notification was not taken again");
            }
            self.state.send_modify(|state| {
                state.failed += 1;
                state.given_up += if is_given_up { lost } else { 0 };
                state.problem = Some(why);
            });
            if is_given_up {
                return;
            }
            self.pause(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
            if self.is_stopping() {
                // The last try has all that waits.
                while let Ok(more) = self.queue.try_recv() {
                    batch.push(Notice::of(&more), MAX_TOLD);
                }
            }
        }
    }

    /// Waits for so long, or until the daemon stops. Who wants a test need not wait.
    async fn pause(&mut self, wait: Duration) {
        let again = Instant::now() + wait;
        while Instant::now() < again && !self.is_stopping() {
            tokio::select! {
                () = sleep_until(again) => {}
                Some(reply) = self.tests.recv() => self.test(reply).await,
                () = until_stopped(&mut self.stop) => {}
            }
        }
    }

    fn is_stopping(&self) -> bool {
        // Nobody is left who could say so: the daemon has let go of the receiver.
        *self.stop.borrow() || self.stop.has_changed().is_err()
    }

    async fn test(&mut self, reply: oneshot::Sender<Result<(), String>>) {
        let notice = Notice::of(&Happening { what: What::Test, clock: Reading::take() });
        let told = self.receiver.tell(&Batch { notices: vec![notice], left_out: 0 }, true).await;
        let told = told.map_err(|(Failed::Later(why) | Failed::Never(why))| why);
        self.state.send_modify(|state| match &told {
            Ok(()) => {
                state.sent += 1;
                state.problem = None;
            }
            Err(why) => {
                state.failed += 1;
                state.problem = Some(why.clone());
            }
        });
        if reply.send(told).is_err() {
            tracing::debug!("who wanted the test of a receiver did not wait for it");
        }
    }
}

/// Does `work` within `limit`.
pub(super) async fn within<T>(limit: Duration, work: impl Future<Output = Result<T, Failed>>) -> Result<T, Failed> {
    let late = |_| Err(Failed::Later(format!("no answer within {} s", limit.as_secs())));
    timeout(limit, work).await.unwrap_or_else(late)
}

/// Waits for the daemon's stop.
async fn until_stopped(stop: &mut watch::Receiver<bool>) {
    // An error is that nobody is left who could say so.
    if stop.wait_for(|&stop| stop).await.is_err() {
        tracing::debug!("the daemon has let go of a receiver");
    }
}

#[cfg(test)]
mod tests;
