//! What a service manager hears, on a socket as systemd opens one.

use std::{
    os::unix::net::UnixDatagram,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Result, bail, ensure};
use blocker_tests::{
    daemon::{self, Daemon, Settings},
    netns::Net,
    wait,
};
use nix::sys::signal::Signal;

use crate::siege::{LIMIT, Siege};

#[test]
fn the_states_come_in_order_and_the_status_tells_jails_and_bans() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let manager = Manager::listen(&daemon)?;
    daemon.start_by(manager.environment(&[]), &["run"])?;
    manager.hears("READY=1\nSTATUS=jails: 1; bans in force: 0")?;

    daemon.cli(&["ban", "203.0.113.9"])?.success()?;
    manager.hears("STATUS=jails: 1; bans in force: 1")?;

    let before = now_usec()?;
    daemon.signal(Signal::SIGHUP)?;
    let reloading = manager.next()?;
    let began: u128 = match reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=") {
        Some(time) => time.parse()?,
        None => bail!("heard {reloading:?}"),
    };
    ensure!((before..=now_usec()?).contains(&began), "{began}");
    manager.hears("READY=1\nSTATUS=jails: 1; bans in force: 1")?;

    daemon.write_configuration("[daemon]\nmode = 7\n")?;
    daemon.signal(Signal::SIGHUP)?;
    ensure!(manager.next()?.starts_with("RELOADING=1\n"), "a reload that fails has begun, too");
    manager.hears("READY=1\nSTATUS=jails: 1; bans in force: 1; the last reload failed, see the log")?;

    daemon.write_configuration(&daemon.configuration(&Settings::default()))?;
    daemon.cli(&["reload"])?.success()?;
    ensure!(manager.next()?.starts_with("RELOADING=1\n"), "by command as well");
    manager.hears("READY=1\nSTATUS=jails: 1; bans in force: 1")?;

    daemon.stop()?;
    ensure!(manager.next()?.starts_with("STOPPING=1\n"), "nothing was between");
    Ok(())
}

#[test]
fn the_watchdog_is_fed_while_the_loop_turns_and_not_when_it_is_stopped() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let manager = Manager::listen(&daemon)?;
    daemon.start_by(manager.environment(&["WATCHDOG_USEC=400000"]), &["run"])?;
    for _ in 0..5 {
        manager.hears_among_others("WATCHDOG=1")?;
    }

    daemon.signal(Signal::SIGSTOP)?;
    // What was sent before it stopped is of no interest; then there is silence.
    wait::until("silence", LIMIT, || manager.silent_for(Duration::from_secs(2)).map_err(|error| error.to_string()))?;
    daemon.signal(Signal::SIGCONT)?;
    manager.hears_among_others("WATCHDOG=1")?;
    daemon.stop()
}

#[test]
fn a_manager_that_hears_nothing_delays_no_ban() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let manager = Manager::listen(&daemon)?;
    // So often that the socket is full in a moment.
    daemon.start_by(manager.environment(&["WATCHDOG_USEC=2000"]), &["run"])?;
    let other = UnixDatagram::unbound()?;
    other.set_nonblocking(true)?;
    let is_full = || other.send_to(b"X=1", &manager.path).is_err();
    wait::until_true("the manager's socket to be full", LIMIT, is_full, String::new)?;

    let siege = Siege::begin(&net)?;
    siege.ban_villain(&daemon)?;
    daemon.cli(&["reload"])?.success()?;
    daemon.stop()?;
    drop(manager);
    Ok(())
}

#[test]
fn the_capabilities_of_the_unit_suffice() -> Result<()> {
    let unit = include_str!("../../dist/blocker.service");
    let listed = unit.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet="));
    let kept: String = listed.unwrap_or_default().split_whitespace().map(|name| name.replace("CAP_", ",+")).collect();
    ensure!(kept.matches('+').count() >= 4, "{kept}");
    let only = format!("-all{}", kept.to_lowercase());
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let socket = daemon.directory().join("metrics.sock");
    let text = daemon.configuration(&Settings::default());
    daemon.write_configuration(&format!("{text}\n[metrics]\nlisten = \"unix:{}\"\n", socket.display()))?;
    let manager = Manager::listen(&daemon)?;
    let notify = format!("NOTIFY_SOCKET={}", manager.path.display());
    daemon.start_confined(&[
        "setpriv",
        "--no-new-privs",
        "--bounding-set",
        &only,
        "--inh-caps=-all",
        "env",
        &notify,
    ])?;

    ensure!(manager.next()?.starts_with("READY=1\n"), "it is ready");
    let siege = Siege::begin(&net)?;
    siege.ban_villain(&daemon)?;
    daemon.cli(&["reload"])?.success()?;
    ensure!(daemon.status()?.problems.is_empty(), "{:?}", daemon.status()?.problems);
    ensure!(socket.exists(), "metrics are told");
    daemon.stop()
}

/// One who listens as systemd does.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Manager {
    fn listen(daemon: &Daemon<'_>) -> Result<Self> {
        let path = daemon.directory().join("notify");
        let socket = UnixDatagram::bind(&path)?;
        socket.set_read_timeout(Some(LIMIT))?;
        Ok(Self { socket, path })
    }

    /// Runs the daemon so that it knows of this one.
    fn environment(&self, more: &[&str]) -> Command {
        let mut env = Command::new("env");
        env.arg(format!("NOTIFY_SOCKET={}", self.path.display())).args(more);
        env
    }

    fn next(&self) -> Result<String> {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer)?;
        Ok(String::from_utf8(buffer[..length].to_vec())?)
    }

    fn hears(&self, expected: &str) -> Result<()> {
        let heard = self.next()?;
        ensure!(heard == expected, "heard {heard:?} instead of {expected:?}");
        Ok(())
    }

    fn hears_among_others(&self, expected: &str) -> Result<()> {
        let deadline = Instant::now() + LIMIT;
        while self.next()? != expected {
            ensure!(Instant::now() < deadline, "{expected} did not come");
        }
        Ok(())
    }

    fn silent_for(&self, span: Duration) -> Result<()> {
        self.socket.set_read_timeout(Some(span))?;
        let heard = self.next();
        self.socket.set_read_timeout(Some(LIMIT))?;
        ensure!(heard.is_err(), "heard {heard:?}");
        Ok(())
    }
}

/// `CLOCK_MONOTONIC`, in microseconds.
fn now_usec() -> Result<u128> {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)?;
    Ok(Duration::from(now).as_micros())
}
