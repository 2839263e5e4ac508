//! Ends the connections that a banned source has open: its packets are dropped from now on, so they would only wait, and
//! hold the service's places, until they time out.
//!
//! By a thread of its own: no ban waits for it. What comes while it looks at the machine's connections is done together
//! with the next look.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::network::connections::{self, Closing, Unsupported};

/// Bans whose connections are still to be closed, at most; some 200 bytes each.
const MAX_WAITING: usize = 16_384;

/// It looks at most one part in this many of the time.
const LOOKING_SHARE: u32 = 4;

/// The way to the thread.
pub(super) struct Closer {
    closings: SyncSender<Closing>,
    left_out: u64,
}

impl Closer {
    /// Starts the thread. It ends with the daemon.
    pub(super) fn start() -> Result<Self> {
        let (closings, waiting) = sync_channel(MAX_WAITING);
        thread::Builder::new()
            .name("closer".to_owned())
            .spawn(move || run(&waiting))
            .context("starting the thread that ends connections")?;
        Ok(Self { closings, left_out: 0 })
    }

    /// Has connections ended soon. Of a list of bans by command, `listed`, it is no trouble if some are left out: hardly any of
    /// them has a connection.
    pub(super) fn close(&mut self, closing: Closing, listed: bool) {
        match self.closings.try_send(closing) {
            // The thread has said why it is gone.
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(_)) => self.left_out += u64::from(!listed),
        }
    }

    /// Bans that logs have earned and whose connections were left to time out, because too many waited.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out
    }
}

fn run(waiting: &Receiver<Closing>) {
    while let Ok(first) = waiting.recv() {
        let closings: Vec<Closing> = std::iter::once(first).chain(waiting.try_iter().take(MAX_WAITING)).collect();
        let began = Instant::now();
        match connections::close(&closings) {
            Ok(0) => {}
            Ok(closed) => tracing::debug!(closed, bans = closings.len(), "ended connections of banned sources"),
            Err(error) if error.downcast_ref::<Unsupported>().is_some() => {
                tracing::warn!("connections that a banned source has open stay until they time out: {error}");
                return;
            }
            Err(error) => tracing::warn!("connections of banned sources could not be ended: {error:#}"),
        }
        thread::sleep(began.elapsed() * (LOOKING_SHARE - 1));
    }
}
