//! With nothing configured, the interfaces with a default route are guarded.

use std::time::Duration;

use anyhow::Result;
use blocker_common::LAYOUT;
use blocker_tests::{
    daemon::{self, Daemon, Settings},
    lines,
    netns::{Host, Net},
    wait,
};

use crate::siege::{LIMIT, Siege, VILLAIN};

#[test]
fn the_interface_with_the_default_route_is_guarded_also_when_the_route_goes() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let auto = daemon.configuration(&Settings::default()).replacen("[\"eth0\"]", "\"auto\"", 1);
    daemon.write_configuration(&auto)?;
    let status = daemon.start()?;
    let names: Vec<&str> = status.interfaces.iter().map(|interface| interface.name.as_str()).collect();
    assert_eq!(names, ["eth0"], "neither lo nor anything else has a default route");
    let siege = Siege::begin(&net)?;
    siege.ban_villain(&daemon)?;

    // A longer route to the attackers keeps the way open for this test, while the default route goes.
    net.ip(Host::Server, "route add 203.0.113.0/24 via 192.0.2.1\nroute del default\n")?;

    wait::holds("the attachment", Duration::from_millis(500), || {
        let status = daemon.status().map_err(|error| format!("{error:#}"))?;
        let is_attached = status.interfaces.iter().any(|interface| interface.mode.is_some());
        if is_attached { Ok(()) } else { Err(format!("{:?}", status.interfaces)) }
    })?;
    siege.holds_for(Duration::from_millis(300))
}

#[test]
fn a_link_that_is_taken_away_is_put_back() -> Result<()> {
    let net = Net::new()?;
    let daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    let siege = Siege::begin(&net)?;
    siege.ban_villain(&daemon)?;
    let directory = daemon.pins().join(format!("v{LAYOUT}"));
    for entry in std::fs::read_dir(&directory)? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("link-")) {
            std::fs::remove_file(path)?;
        }
    }
    siege.await_arrival(VILLAIN)?;

    // Every minute, and when the network changes, which this is.
    net.ip(Host::Server, "link set lo down\nlink set lo up\n")?;

    let gone = "is not attached any more";
    wait::until_true("the alarm", LIMIT, || daemon.printed().contains(gone), || daemon.printed())?;
    daemon.await_drop(VILLAIN, LIMIT)?;
    siege.settle()?;
    siege.holds_for(Duration::from_millis(300))
}

#[test]
fn an_interface_that_observes_lets_pass_and_counts() -> Result<()> {
    let net = Net::new()?;
    let daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let enforcing = daemon.configuration(&Settings::default());
    let observing = enforcing.replacen("[daemon]\n", "[daemon]\nobserve_interfaces = [\"eth0\"]\n", 1);
    observes_then_drops(&net, daemon, &observing, &enforcing)
}

#[test]
fn a_jail_that_observes_lets_pass_and_counts() -> Result<()> {
    let net = Net::new()?;
    let daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let enforcing = daemon.configuration(&Settings::default());
    let observing = enforcing.replacen("[jails.dovecot]\n", "[jails.dovecot]\nmode = \"observe\"\n", 1);
    observes_then_drops(&net, daemon, &observing, &enforcing)
}

fn observes_then_drops(net: &Net, mut daemon: Daemon<'_>, observing: &str, enforcing: &str) -> Result<()> {
    daemon.write_configuration(observing)?;
    daemon.start()?;
    let siege = Siege::begin(net)?;
    daemon.log().append(lines::refused(VILLAIN, 5).as_bytes())?;
    let counted = daemon.await_drop(VILLAIN, LIMIT)?;
    assert!(counted.packets > 0, "would-be drops are counted on the ban");
    siege.await_arrival(VILLAIN)?;
    let counters = daemon.status()?.counters;
    assert!(counters["pass_observed"].packets > 0 && counters["drop_banned"].packets == 0, "{counters:?}");

    daemon.write_configuration(enforcing)?;
    daemon.cli(&["reload"])?.success()?;

    siege.settle()?;
    siege.holds_for(Duration::from_millis(300))
}
