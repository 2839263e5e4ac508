//! What the service manager is told: that the daemon is ready, reloads, stops, and that its loop turns.
//!
//! The protocol is that of sd_notify(3): datagrams of lines to the socket in `$NOTIFY_SOCKET`. Sending never waits, as it would
//! in the usual crates: a manager that is stuck delays no ban. What it must hear in the end is sent again every second.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

/// The status is told no more often.
const STATUS_EVERY: Duration = Duration::from_secs(5);

/// After this time it is tried again to tell what could not be told.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Most states that wait to be told; of more the oldest are forgotten, since later ones replace them.
const MAX_UNSENT: usize = 8;

/// The way to the service manager, if there is one.
#[derive(Debug)]
pub(super) struct Supervisor {
    socket: Option<UnixDatagram>,
    /// How often the watchdog is fed: half of what the manager waits.
    feed_every: Option<Duration>,
    fed: Instant,
    status: String,
    /// When the status was last made.
    looked: Instant,
    /// Whether the loop has turned since.
    has_turned: bool,
    unsent: Vec<String>,
    tried: Instant,
}

impl Supervisor {
    /// As the environment says.
    pub(super) fn of_environment(now: Instant) -> Self {
        let socket = env::var_os("NOTIFY_SOCKET").and_then(|name| {
            let socket = connect(&name);
            if let Err(error) = &socket {
                tracing::warn!(%error, ?name, "the service manager cannot be told anything");
            }
            socket.ok()
        });
        let is_for_another = env::var("WATCHDOG_PID").is_ok_and(|pid| pid != std::process::id().to_string());
        let wait = env::var("WATCHDOG_USEC").ok().filter(|_| !is_for_another).and_then(|text| text.parse().ok());
        Self::new(socket, wait.filter(|wait| *wait > 0).map(Duration::from_micros), now)
    }

    fn new(socket: Option<UnixDatagram>, watchdog: Option<Duration>, now: Instant) -> Self {
        Self {
            feed_every: watchdog.filter(|_| socket.is_some()).map(|wait| wait / 2),
            socket,
            fed: now,
            status: String::new(),
            looked: now,
            has_turned: false,
            unsent: Vec::new(),
            tried: now,
        }
    }

    /// How long the manager waits for the loop to turn before it ends the daemon.
    pub(super) fn watchdog(&self) -> Option<Duration> {
        self.feed_every.map(|half| 2 * half)
    }

    /// The daemon does its work, after its start or a reload.
    pub(super) fn ready(&mut self, status: String, now: Instant) {
        self.looked = now;
        self.tell(format!("READY=1\nSTATUS={status}"), now);
        self.status = status;
    }

    /// A reload begins. [`Supervisor::ready`] ends it, whatever came of it.
    pub(super) fn reloading(&mut self, now: Instant) {
        let clock = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default();
        self.tell(format!("RELOADING=1\nMONOTONIC_USEC={}", clock.as_micros()), now);
    }

    /// The daemon is about to end.
    pub(super) fn stopping(&mut self, now: Instant) {
        self.tell("STOPPING=1\nSTATUS=saving; bans stay in force".to_owned(), now);
    }

    /// Whether [`Supervisor::turn`] is to be told the status.
    pub(super) fn is_status_due(&self, now: Instant) -> bool {
        self.socket.is_some() && now.saturating_duration_since(self.looked) >= STATUS_EVERY
    }

    /// The loop has turned: feeds the watchdog if that is due, and tells the status if that is new.
    pub(super) fn turn(&mut self, now: Instant, status: Option<String>) {
        if self.socket.is_none() {
            return;
        }
        self.has_turned = status.is_none();
        if let Some(status) = status {
            self.looked = now;
            if status != self.status {
                self.send(&format!("STATUS={status}"));
                self.status = status;
            }
        }
        if self.wait_to_feed(now) == Some(Duration::ZERO) {
            self.fed = now;
            self.send("WATCHDOG=1");
        }
        if self.wait_to_try(now) == Some(Duration::ZERO) {
            self.try_again(now);
        }
    }

    /// How long until the loop must turn.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        self.socket.as_ref()?;
        [self.wait_for_status(now), self.wait_to_feed(now), self.wait_to_try(now)].into_iter().flatten().min()
    }

    fn wait_for_status(&self, now: Instant) -> Option<Duration> {
        self.has_turned.then(|| STATUS_EVERY.saturating_sub(now.saturating_duration_since(self.looked)))
    }

    fn wait_to_feed(&self, now: Instant) -> Option<Duration> {
        Some(self.feed_every?.saturating_sub(now.saturating_duration_since(self.fed)))
    }

    fn wait_to_try(&self, now: Instant) -> Option<Duration> {
        (!self.unsent.is_empty()).then(|| AGAIN_AFTER.saturating_sub(now.saturating_duration_since(self.tried)))
    }

    /// Tells a state, in the order of the states, sooner or later.
    fn tell(&mut self, state: String, now: Instant) {
        if self.unsent.len() == MAX_UNSENT {
            self.unsent.remove(0);
        }
        self.unsent.push(state);
        self.try_again(now);
    }

    fn try_again(&mut self, now: Instant) {
        self.tried = now;
        let sent = self.unsent.iter().take_while(|state| self.send(state)).count();
        self.unsent.drain(..sent);
    }

    /// Whether it was taken, or there is nobody to take it.
    fn send(&self, state: &str) -> bool {
        let Some(socket) = &self.socket else { return true };
        let sent = socket.send(state.as_bytes());
        if let Err(error) = &sent {
            tracing::debug!(%error, "the service manager was not told");
        }
        sent.is_ok()
    }
}

/// A socket whose datagrams go to this name: a path, or `@` and an abstract name.
fn connect(name: &OsStr) -> io::Result<UnixDatagram> {
    let name: OsString = name.to_owned();
    let address = match name.as_bytes() {
        [b'/', ..] => SocketAddr::from_pathname(&name)?,
        [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest)?,
        _ => return Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a path nor an abstract name")),
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A manager and the daemon's end of the way to it.
    fn pair(watchdog: Option<Duration>, now: Instant) -> (UnixDatagram, Supervisor) {
        let (manager, socket) = UnixDatagram::pair().unwrap();
        for end in [&manager, &socket] {
            end.set_nonblocking(true).unwrap();
        }
        (manager, Supervisor::new(Some(socket), watchdog, now))
    }

    fn heard(manager: &UnixDatagram) -> Vec<String> {
        let mut buffer = [0; 512];
        let next =
            || manager.recv(&mut buffer).ok().map(|length| String::from_utf8_lossy(&buffer[..length]).into_owned());
        std::iter::from_fn(next).collect()
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_status_is_told_when_it_changes_and_at_most_every_five_seconds() {
        let start = Instant::now();
        let (manager, mut supervisor) = pair(None, start);
        supervisor.ready("no ban".to_owned(), start);
        assert_eq!(supervisor.wait(start), None, "nothing has happened");

        let turn = |supervisor: &mut Supervisor, at, status: &str| {
            let status = supervisor.is_status_due(at).then(|| status.to_owned());
            supervisor.turn(at, status);
        };
        turn(&mut supervisor, start + SECOND, "0 bans, too soon");
        assert_eq!(supervisor.wait(start + SECOND), Some(4 * SECOND));
        turn(&mut supervisor, start + 5 * SECOND, "1 ban");
        turn(&mut supervisor, start + 10 * SECOND, "1 ban");

        assert_eq!(heard(&manager), ["READY=1\nSTATUS=no ban", "STATUS=1 ban"]);
    }

    #[test]
    fn the_watchdog_is_fed_by_turns_alone_at_half_its_time() {
        let start = Instant::now();
        let (manager, mut supervisor) = pair(Some(20 * SECOND), start);

        assert_eq!(supervisor.wait(start), Some(10 * SECOND));
        for turn in 1..=4 {
            supervisor.turn(start + turn * 5 * SECOND, None);
        }

        assert_eq!(heard(&manager), ["WATCHDOG=1", "WATCHDOG=1"]);
        assert_eq!(supervisor.wait(start + 60 * SECOND), Some(Duration::ZERO), "none comes without a turn");
    }

    #[test]
    fn a_manager_that_does_not_listen_hears_the_states_later_and_in_order() {
        let start = Instant::now();
        let (manager, mut supervisor) = pair(None, start);
        while supervisor.send("filler") {}

        supervisor.ready("here".to_owned(), start);
        supervisor.reloading(start);
        assert_eq!(supervisor.wait(start), Some(SECOND));
        assert!(heard(&manager).iter().all(|state| state == "filler"));
        supervisor.turn(start + SECOND, None);

        let heard = heard(&manager);
        assert_eq!(heard.len(), 2, "{heard:?}");
        assert!(heard[0].starts_with("READY=1\n") && heard[1].starts_with("RELOADING=1\nMONOTONIC_USEC="), "{heard:?}");
    }

    #[test]
    fn abstract_names_and_paths_are_managers_and_nothing_else() {
        let name = format!("blocker-test-{}", std::process::id());
        let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let socket = connect(OsStr::new(&format!("@{name}"))).unwrap();
        socket.send(b"READY=1").unwrap();

        let mut buffer = [0; 16];
        assert_eq!(manager.recv(&mut buffer).unwrap(), 7);
        assert!(connect(OsStr::new("vsock:2:1")).is_err());
        assert!(connect(OsStr::new("/nonexistent/notify")).is_err());
    }
}
