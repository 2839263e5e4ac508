//! The common ground of several tests: two who knock at the protected port without pause, and what arrives of it.
//!
//! The stranger is never banned: that its datagrams keep arriving shows that the way is open and the counter counts.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Result, anyhow};
use blocker_tests::{
    arrivals::Arrivals,
    daemon::Daemon,
    knocker::Knocker,
    lines,
    netns::{Host, Net, SERVER_V4},
    wait,
};

/// Who is going to be banned.
pub(crate) const VILLAIN: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 77));
/// Who is not.
pub(crate) const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 88));

/// Both at work.
pub(crate) struct Siege {
    arrivals: Arrivals,
    villain: Knocker,
    _stranger: Knocker,
}

impl Siege {
    /// Begins, and shows that both get through.
    pub(crate) fn begin(net: &Net) -> Result<Self> {
        Self::begin_at(net, INTERVAL)
    }

    /// The same, each knocking once per `interval`.
    pub(crate) fn begin_at(net: &Net, interval: Duration) -> Result<Self> {
        let arrivals = Arrivals::start(net, PORT)?;
        let knock = |source| {
            net.add_address(Host::Attacker, source)?;
            Knocker::start(net, Host::Attacker, source, SocketAddr::new(SERVER_V4, PORT), interval)
        };
        let siege = Self { villain: knock(VILLAIN)?, _stranger: knock(STRANGER)?, arrivals };
        siege.await_arrival(VILLAIN)?;
        siege.await_arrival(STRANGER)?;
        Ok(siege)
    }

    /// Has the villain banned by the log, and waits until nothing of it is on the way any more.
    pub(crate) fn ban_villain(&self, daemon: &Daemon<'_>) -> Result<()> {
        daemon.log().append(lines::refused(VILLAIN, 5).as_bytes())?;
        daemon.await_drop(VILLAIN, LIMIT)?;
        self.settle()
    }

    /// Waits until what had passed before a ban has been counted.
    pub(crate) fn settle(&self) -> Result<()> {
        wait::until("the villain's last datagrams to be counted", LIMIT, || {
            let before = self.arrived();
            wait::holds("silence", Duration::from_millis(200), || self.unchanged(before))
                .map_err(|error| error.to_string())
        })
    }

    /// How many of the villain's datagrams have reached the server.
    pub(crate) fn arrived(&self) -> u64 {
        self.arrivals.from(VILLAIN)
    }

    /// How many the villain has sent.
    pub(crate) fn sent(&self) -> u64 {
        self.villain.sent()
    }

    /// Waits until the villain has sent so many: on a slow machine its thread may be without its turn for long.
    pub(crate) fn await_sent(&self, datagrams: u64) -> Result<()> {
        let what = format!("the villain to have sent {datagrams} datagrams");
        wait::until_true(&what, LIMIT, || self.sent() >= datagrams, || format!("{} sent", self.sent()))
    }

    /// That none has reached it since `before` was read.
    pub(crate) fn unchanged(&self, before: u64) -> Result<(), String> {
        match self.arrived() {
            now if now == before => Ok(()),
            now => Err(format!("{} of the villain's datagrams reached the server", now - before)),
        }
    }

    /// Waits until one more of `sender`'s datagrams reaches the server.
    pub(crate) fn await_arrival(&self, sender: IpAddr) -> Result<()> {
        let before = self.arrivals.from(sender);
        wait::until_true(
            &format!("a datagram of {sender} to reach the server"),
            LIMIT,
            || self.arrivals.from(sender) > before,
            || format!("{before} before, none since"),
        )
    }

    /// Watches for `span`, and until the villain has sent something, that nothing of it arrives while the stranger gets
    /// through.
    pub(crate) fn holds_for(&self, span: Duration) -> Result<()> {
        let (arrived, sent) = (self.arrived(), self.sent());
        wait::holds("the ban", span, || self.unchanged(arrived))?;
        self.await_sent(sent + 1)?;
        // What the stranger sent after it has arrived: by then, so would have what the villain sent.
        self.await_arrival(STRANGER)?;
        self.await_arrival(STRANGER)?;
        self.unchanged(arrived).map_err(|seen| anyhow!("the ban did not hold: {seen}"))
    }
}

/// Protected, as `143/udp`.
const PORT: u16 = 143;

const INTERVAL: Duration = Duration::from_micros(200);

/// For things that take milliseconds: a deadline that only a failure reaches, on however slow a machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);
