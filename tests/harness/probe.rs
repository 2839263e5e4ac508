//! A plain question: can one connect from here to there?

use std::{
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use crate::{
    netns::{Host, Net},
    wait,
};

/// Whether a TCP connection from `host` to `target` comes about within the time that any reachable service needs.
///
/// A refusal is a "no" as well: ask only where something listens.
#[must_use]
pub fn connects(net: &Net, host: Host, target: SocketAddr) -> bool {
    connects_each(net, &[(host, target)])[0]
}

/// The same for several at once, since a dropped connection takes all of the time to be known as such.
#[must_use]
pub fn connects_each(net: &Net, questions: &[(Host, SocketAddr)]) -> Vec<bool> {
    let attempts: Vec<_> = questions
        .iter()
        .map(|(host, target)| {
            let target = *target;
            net.spawn(*host, move || TcpStream::connect_timeout(&target, PATIENCE).is_ok())
        })
        .collect();
    attempts.into_iter().map(|attempt| attempt.is_ok_and(|thread| thread.join().unwrap_or(false))).collect()
}

/// Whether a connection comes about in the end: for what is expected to be open, on a machine that may be slow.
#[must_use]
pub fn comes_to_connect(net: &Net, host: Host, target: SocketAddr) -> bool {
    wait::until_true("a connection", OPEN_WITHIN, || connects(net, host, target), String::new).is_ok()
}

const OPEN_WITHIN: Duration = Duration::from_secs(30);

/// Every path here takes microseconds; the rest is for a busy machine. A second SYN, sent after 1 s, is included.
const PATIENCE: Duration = Duration::from_millis(1500);
