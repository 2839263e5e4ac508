//! Drops that the program tells of: a few in a second, whatever the flood.

use std::io;

use blocker_common::{Dropped, Outcome};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::kernel::DropRing;

/// The ring's reader.
pub(super) struct Drops {
    ring: AsyncFd<DropRing>,
}

impl Drops {
    /// Begins to read.
    #[expect(
        deprecated,
        reason = "its replacement is unsafe, and asks for what the ring's descriptor guarantees: that it stays open"
    )]
    pub(super) fn listen(ring: DropRing) -> io::Result<Self> {
        Ok(Self { ring: AsyncFd::with_interest(ring, Interest::READABLE)? })
    }

    /// Waits for drops, logs them at DEBUG, and hands them to `take`; `name` tells an interface's name by its place.
    pub(super) async fn next(
        &mut self,
        name: impl Fn(u32) -> String,
        mut take: impl FnMut(&Dropped),
    ) -> io::Result<()> {
        let mut ready = self.ring.readable_mut().await?;
        ready.get_inner_mut().read(|dropped| {
            log(&dropped, &name);
            take(&dropped);
        });
        ready.clear_ready();
        Ok(())
    }
}

fn log(dropped: &Dropped, name: &impl Fn(u32) -> String) {
    if !tracing::enabled!(tracing::Level::DEBUG) {
        return;
    }
    let outcome = Outcome::ALL.get(usize::from(dropped.outcome)).map_or("unknown", |outcome| Outcome::name(*outcome));
    let interface = name(dropped.interface);
    match dropped.addr() {
        Some(source) => tracing::debug!(%source, port = dropped.port, interface, outcome, "one of the packets dropped"),
        None => tracing::debug!(outcome, "a packet of an unknown kind"),
    }
}
