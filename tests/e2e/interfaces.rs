//! With nothing configured, the interfaces with a default route are guarded.

use std::time::Duration;

use anyhow::Result;
use blocker_tests::{
    daemon::{self, Daemon, Settings},
    netns::{Host, Net},
    wait,
};

use crate::siege::Siege;

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
