//! Enforcement does not depend on the daemon: stop, crash and restart let not one banned packet through.

use std::time::Duration;

use anyhow::{Context, Result};
use blocker_tests::{
    answers::Ban,
    daemon::{self, Daemon, Settings, covers},
    lines,
    netns::Net,
};

use crate::siege::{LIMIT, Siege, VILLAIN};

#[test]
fn kill_9_and_restart_let_no_banned_packet_through() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    let siege = Siege::begin(&net)?;
    siege.ban_villain(&daemon)?;
    let (arrived, sent) = (siege.arrived(), siege.sent());
    let before = villains_ban(&daemon)?;

    for _ in 0..3 {
        daemon.kill9()?;
        siege.holds_for(Duration::from_millis(500))?;
        daemon.start()?;
        siege.holds_for(Duration::from_millis(500))?;
    }

    assert!(siege.sent() > sent + 1000, "the villain kept knocking: {} since the ban", siege.sent() - sent);
    assert_eq!(siege.arrived(), arrived, "not one banned packet reached the server");
    let after = villains_ban(&daemon)?;
    assert_eq!((after.until, after.jail), (before.until, before.jail), "the ban was adopted with its deadline");
    assert_eq!(after.origin, "adopted");

    // The way was open all the time, but for the ban.
    daemon.cli(&["unban", &VILLAIN.to_string()])?.success()?;
    siege.await_arrival(VILLAIN)
}

#[test]
fn a_stopped_daemon_leaves_its_bans_in_force_until_detached() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    let siege = Siege::begin(&net)?;
    siege.ban_villain(&daemon)?;
    let arrived = siege.arrived();

    daemon.stop()?;
    siege.holds_for(Duration::from_secs(1))?;
    let kernel = daemon.kernel_bans()?;
    assert!(kernel.iter().any(|ban| covers(&ban.prefix, VILLAIN)), "the pins tell of the ban: {kernel:?}");
    assert_eq!(siege.arrived(), arrived, "not one banned packet reached the server");

    daemon.cli(&["detach"])?.success()?;
    siege.await_arrival(VILLAIN)
}

#[test]
fn a_dead_daemon_holds_nobody_past_the_deadline() -> Result<()> {
    let net = Net::new()?;
    let settings = Settings { ban_time: "4s".into(), ..Settings::default() };
    let mut daemon = Daemon::launch(&net, &daemon::binary()?, &settings)?;
    let siege = Siege::begin(&net)?;
    siege.ban_villain(&daemon)?;

    daemon.kill9()?;

    siege.await_arrival(VILLAIN).context("the kernel knows the deadline")
}

#[test]
fn a_line_judged_before_a_restart_is_not_judged_again() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    let (source, marker, later) = ("203.0.113.7".parse()?, "203.0.113.6".parse()?, "203.0.113.8".parse()?);
    daemon.log().append(lines::refused(source, 4).as_bytes())?;
    daemon.log().append(lines::refused(marker, 5).as_bytes())?;
    daemon.await_ban(marker, LIMIT)?;

    for _ in 0..2 {
        daemon.stop()?;
        daemon.start()?;
    }
    daemon.log().append(lines::refused(later, 5).as_bytes())?;

    daemon.await_ban(later, LIMIT)?;
    assert!(!daemon.bans()?.iter().any(|ban| covers(&ban.prefix, source)), "four attempts, told once");
    Ok(())
}

fn villains_ban(daemon: &Daemon<'_>) -> Result<Ban> {
    daemon
        .bans()?
        .into_iter()
        .find(|ban| covers(&ban.prefix, VILLAIN))
        .context("the villain is not in the list of bans")
}
