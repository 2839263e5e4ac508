//! The time from a log line to the first dropped packet, over many attackers.
//!
//! Each attacker, an address of its own, sends a datagram to a protected port every 100 µs or faster. Then the line
//! that earns it a ban is appended to the watched log, the time being noted before the `write(2)`. The kernel dates the
//! first packet it drops, on the same clock. The difference contains everything: inotify, reading, matching, counting,
//! the map's update, and the time until the attacker's next packet.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use anyhow::{Result, ensure};

use crate::{
    clock,
    daemon::{Daemon, Settings},
    knocker::Knocker,
    lines,
    netns::{Host, Net, SERVER_V4, SERVER_V6},
    wait,
};

/// The measured times, shortest first; never empty.
#[derive(Clone, Debug)]
pub struct Latencies {
    sorted: Vec<Duration>,
}

/// Measures as [`measure`] does, and prints the result.
///
/// # Errors
///
/// As [`measure`].
pub fn latency(blocker: &Path, attackers: usize) -> Result<()> {
    println!("{}", measure(blocker, attackers)?);
    Ok(())
}

/// Measures with `attackers` attackers, IPv4 and IPv6 in turn, one after the other.
///
/// # Errors
///
/// If a part is missing, a ban does not come, or `attackers` is 0 or more than [`MAX_ATTACKERS`].
pub fn measure(blocker: &Path, attackers: usize) -> Result<Latencies> {
    ensure!((1..=MAX_ATTACKERS).contains(&attackers), "between 1 and {MAX_ATTACKERS} attackers, not {attackers}");
    let net = Net::new()?;
    let daemon = Daemon::launch(&net, blocker, &Settings::default())?;
    let mut measured = Vec::with_capacity(attackers);
    for number in 0..attackers {
        measured.push(one(&net, &daemon, number)?);
    }
    measured.sort_unstable();
    Ok(Latencies { sorted: measured })
}

impl Latencies {
    /// How many there are.
    #[must_use]
    pub fn attackers(&self) -> usize {
        self.sorted.len()
    }

    /// The time within which `share` of all attackers were dropped: 0.5 is the median, 1.0 the maximum.
    ///
    /// The nearest rank: always a time that was measured.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Duration {
        #[expect(clippy::cast_precision_loss, reason = "a few hundred attackers")]
        let rank = (share * self.sorted.len() as f64).ceil();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped right below")]
        let rank = (rank as usize).clamp(1, self.sorted.len());
        self.sorted[rank - 1]
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "log line to first dropped packet, {} attackers:", self.attackers())?;
        for (name, share) in [("median", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0)] {
            write!(f, " {name} {:.3} ms", self.quantile(share).as_secs_f64() * 1000.0)?;
        }
        Ok(())
    }
}

/// As many as there are addresses of either kind in the attacker's first networks.
pub const MAX_ATTACKERS: usize = 360;

/// Measures one attacker.
fn one(net: &Net, daemon: &Daemon<'_>, number: usize) -> Result<Duration> {
    let (source, server) = addresses(number);
    net.add_address(Host::Attacker, source)?;
    let knocker = Knocker::start(net, Host::Attacker, source, SocketAddr::new(server, 143), INTERVAL)?;
    wait::until_true(
        "the attacker to knock",
        Duration::from_secs(30),
        || knocker.sent() >= 100,
        || format!("{} datagrams sent", knocker.sent()),
    )?;

    // Two earlier connections, as a brute-force program makes them, then the one that reaches the threshold of 5.
    for attempts in [2, 2] {
        daemon.log().append(lines::refused(source, attempts).as_bytes())?;
    }
    let last_line = lines::refused(source, 1);
    let written_ns = daemon.log().append(last_line.as_bytes())?;

    // Asking starts processes, which would take the processor from what is measured.
    let asked_ns = written_ns + 50_000_000;
    wait::until_true("the time to ask", Duration::from_secs(30), || clock::boot_ns() > asked_ns, String::new)?;
    let dropped = daemon.await_drop(source, Duration::from_secs(30))?;
    let first_drop_ns = dropped.first_drop_boot_ns.unwrap_or(0);
    ensure!(first_drop_ns > written_ns, "{source} was dropped before its last line was written: {dropped:?}");
    Ok(Duration::from_nanos(first_drop_ns - written_ns))
}

/// The address of an attacker and the server's address of the same kind.
fn addresses(number: usize) -> (IpAddr, IpAddr) {
    let host = u8::try_from(number / 2 + 70).expect("MAX_ATTACKERS fits into a /24");
    if number.is_multiple_of(2) {
        (Ipv4Addr::new(203, 0, 113, host).into(), SERVER_V4)
    } else {
        (Ipv6Addr::new(0x2001, 0xdb8, 3, u16::from(host), 0, 0, 0, 0x66).into(), SERVER_V6)
    }
}

/// Slept between two packets of an attacker.
const INTERVAL: Duration = Duration::from_micros(40);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Latencies, MAX_ATTACKERS, addresses};

    #[test]
    fn quantiles_are_times_that_were_measured() {
        let latencies = Latencies { sorted: (1..=50).map(Duration::from_millis).collect() };
        assert_eq!(latencies.quantile(0.5), Duration::from_millis(25));
        assert_eq!(latencies.quantile(0.99), Duration::from_millis(50));
        assert_eq!(latencies.quantile(0.0), Duration::from_millis(1));
    }

    #[test]
    fn the_last_attacker_has_an_address() {
        assert_eq!(addresses(MAX_ATTACKERS - 1).0.to_string(), "2001:db8:3:f9::66");
    }
}
