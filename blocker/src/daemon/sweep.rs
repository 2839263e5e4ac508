//! Lifting all bans: the book is empty at once, the kernel's tables in pieces, between which everybody else is served.
//!
//! A million bans take the kernel a good part of a second. Whatever is banned meanwhile is in the book, and stays. Who asked is
//! answered when nothing is left of the others, neither in the kernel nor on disk; after a crash before that, what is left in
//! the kernel is taken over as bans are at every start.
//!
//! If the kernel's tables cannot be read, it goes on a second later: nobody else would lift what the book does not know.

use std::time::{Duration, Instant};

use super::Daemon;
use super::calls::Answer;
use crate::control::wire::Reply;
use crate::kernel::Sweep;

/// How long after the tables could not be read it goes on.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Bans that are being lifted, and who waits for that.
pub(super) struct Sweeping {
    sweep: Sweep,
    pub(super) waiting: Vec<Answer>,
    /// Not before then.
    due: Option<Instant>,
}

impl Sweeping {
    /// It has come no further: goes on later. Whoever waits is to be told so.
    fn put_off(&mut self, now: Instant) -> Vec<Answer> {
        self.due = Some(now + AGAIN_AFTER);
        std::mem::take(&mut self.waiting)
    }

    /// How long until it goes on.
    fn wait(&self, now: Instant) -> Duration {
        self.due.map_or(Duration::ZERO, |due| due.saturating_duration_since(now))
    }
}

impl Daemon<'_> {
    /// Has all bans lifted that are in the kernel and not in the book. A sweep that is under way begins anew.
    pub(super) fn begin_sweep(&mut self, bans: usize) {
        let waiting = self.sweeping.take().map(|earlier| earlier.waiting).unwrap_or_default();
        self.sweeping = Some(Sweeping { sweep: Sweep::default(), waiting, due: None });
        tracing::info!(banned = 0, lifted = bans, "all bans are lifted by command: too many to be told one by one");
    }

    /// Whether there is more to be lifted at this moment.
    pub(super) fn is_sweeping(&self) -> bool {
        self.sweep_wait() == Some(Duration::ZERO)
    }

    /// How long until there is; `None` if there is nothing to be lifted.
    pub(super) fn sweep_wait(&self) -> Option<Duration> {
        self.sweeping.as_ref().map(|sweeping| sweeping.wait(Instant::now()))
    }

    /// Lifts some thousands of them.
    pub(super) fn sweep_on(&mut self) {
        if !self.is_sweeping() {
            return;
        }
        let Some(mut sweeping) = self.sweeping.take() else { return };
        let engine = &self.engine;
        match self.kernel.sweep(&mut sweeping.sweep, |prefix| engine.is_banned(prefix)) {
            Ok(refused) => {
                self.note_refused(refused);
                if !sweeping.sweep.is_over() {
                    self.sweeping = Some(sweeping);
                    return;
                }
                for answer in sweeping.waiting {
                    self.answer_when_written(answer);
                }
            }
            Err(error) => {
                self.refused(&error);
                for mut answer in sweeping.put_off(Instant::now()) {
                    let message = format!("the kernel did not lift all bans yet, and is asked again: {error:#}");
                    answer.replies = vec![Reply::Error { message, code: 1 }];
                    answer.send(Ok(()));
                }
                self.sweeping = Some(sweeping);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_read_is_gone_on_with_a_second_later() {
        let mut sweeping = Sweeping { sweep: Sweep::default(), waiting: Vec::new(), due: None };
        let now = Instant::now();
        assert_eq!(sweeping.wait(now), Duration::ZERO);

        assert!(sweeping.put_off(now).is_empty(), "nobody had waited");

        assert_eq!(sweeping.wait(now), AGAIN_AFTER);
        assert_eq!(sweeping.wait(now + 2 * AGAIN_AFTER), Duration::ZERO);
        assert!(!sweeping.sweep.is_over(), "there is more to be lifted");
    }
}
