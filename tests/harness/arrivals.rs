//! Counts the datagrams that reach the server, per sender: what passed XDP, seen from behind it.
//!
//! A protected port with `/udp` in the jail's `ports` makes "not one banned packet reached the server" a number that
//! must be 0, and a stranger's datagrams beside it the proof that the counter counts.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr, UdpSocket},
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context, Result};

use crate::{
    netns::{Host, Net},
    process::lock,
    worker::{Worker, make_on},
};

/// A UDP socket on the server that counts; closed on drop.
#[derive(Debug)]
pub struct Arrivals {
    counts: Arc<Mutex<HashMap<IpAddr, u64>>>,
    _worker: Worker,
}

impl Arrivals {
    /// Counts on `port`, over IPv4 and IPv6.
    ///
    /// # Errors
    ///
    /// If the port is taken.
    pub fn start(net: &Net, port: u16) -> Result<Self> {
        let socket = make_on(net, Host::Server, move || {
            let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port))
                .with_context(|| format!("receiving on the server's UDP port {port}"))?;
            socket.set_read_timeout(Some(Duration::from_millis(50)))?;
            Ok(socket)
        })?;
        let counts = Arc::new(Mutex::new(HashMap::new()));
        let counted = Arc::clone(&counts);
        let worker = Worker::start(net, Host::Server, move || {
            // Time-outs and the errors of earlier answers are no arrivals.
            if let Ok((_, sender)) = socket.recv_from(&mut [0; 64]) {
                *lock(&counted).entry(sender.ip().to_canonical()).or_insert(0) += 1;
            }
        })?;
        Ok(Self { counts, _worker: worker })
    }

    /// How many came from `sender` so far.
    #[must_use]
    pub fn from(&self, sender: IpAddr) -> u64 {
        lock(&self.counts).get(&sender).copied().unwrap_or(0)
    }
}
