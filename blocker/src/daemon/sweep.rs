//! Lifting all bans: the book is empty at once, the kernel's tables in pieces, between which everybody else is served.
//!
//! A million bans take the kernel a good part of a second. Whatever is banned meanwhile is in the book, and stays. Who asked is
//! answered when nothing is left of the others, neither in the kernel nor on disk; after a crash before that, what is left in
//! the kernel is taken over as bans are at every start.

use super::Daemon;
use super::calls::Answer;
use crate::control::wire::Reply;
use crate::kernel::Sweep;

/// Bans that are being lifted, and who waits for that.
pub(super) struct Sweeping {
    sweep: Sweep,
    pub(super) waiting: Vec<Answer>,
}

impl Daemon<'_> {
    /// Has all bans lifted that are in the kernel and not in the book. A sweep that is under way begins anew.
    pub(super) fn begin_sweep(&mut self, bans: usize) {
        let waiting = self.sweeping.take().map(|earlier| earlier.waiting).unwrap_or_default();
        self.sweeping = Some(Sweeping { sweep: Sweep::default(), waiting });
        tracing::info!(banned = 0, lifted = bans, "all bans are lifted by command: too many to be told one by one");
    }

    /// Whether there is more to be lifted.
    pub(super) fn is_sweeping(&self) -> bool {
        self.sweeping.is_some()
    }

    /// Lifts some thousands of them.
    pub(super) fn sweep_on(&mut self) {
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
                for mut answer in sweeping.waiting {
                    let message = format!("not all bans could be lifted in the kernel: {error:#}");
                    answer.replies = vec![Reply::Error { message, code: 1 }];
                    answer.send(Ok(()));
                }
            }
        }
    }
}
