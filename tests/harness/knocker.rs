//! An attacker that never pauses: a datagram to a protected port every so often, from an address of its own.
//!
//! Brute-force programs pause for seconds between packets, which would hide how fast a ban takes hold. A knocker makes
//! sure that a packet arrives within a known time after the ban, so that the first drop dates the ban.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use nix::sys::prctl::set_timerslack;

use crate::{
    netns::{Host, Net},
    worker::{Worker, make_on},
};

/// The thread that knocks; stopped on drop.
#[derive(Debug)]
pub struct Knocker {
    sent: Arc<AtomicU64>,
    _worker: Worker,
}

impl Knocker {
    /// Sends to `target` from `source`, an address of `host`, once per `interval` and a few microseconds.
    ///
    /// # Errors
    ///
    /// If `source` is not an address of `host`.
    pub fn start(net: &Net, host: Host, source: IpAddr, target: SocketAddr, interval: Duration) -> Result<Self> {
        let socket = make_on(net, host, move || {
            UdpSocket::bind((source, 0)).with_context(|| format!("sending from {source} on the {}", host.name()))
        })?;
        let sent = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&sent);
        let mut fresh = true;
        let worker = Worker::start(net, host, move || {
            if fresh {
                // By default the kernel may add 50 µs to every sleep.
                set_timerslack(1).unwrap_or_else(|error| eprintln!("knocking a little slower: {error}"));
                fresh = false;
            }
            if socket.send_to(b"knock", target).is_ok() {
                counter.fetch_add(1, Ordering::Relaxed);
            }
            thread::sleep(interval);
        })?;
        Ok(Self { sent, _worker: worker })
    }

    /// How many datagrams left so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}
