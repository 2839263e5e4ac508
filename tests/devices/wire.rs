//! What lies between the router and the server: the addresses of both moved to other devices than the veth pair that the
//! laboratory gives them (`blocker_tests::netns`), the server's `eth0` and the router's `server`.

use std::time::Duration;

use anyhow::Result;
use blocker_tests::{
    netns::{Host, Net},
    process,
};

/// For a command.
const PATIENCE: Duration = Duration::from_secs(20);

/// Has the server and the router talk by these devices of theirs, which are there.
pub(crate) fn by(net: &Net, servers: &str, routers: &str) -> Result<()> {
    // A device that was given to a bond or a bridge has still its addresses.
    net.ip(Host::Server, "addr flush dev eth0\n")?;
    net.ip(Host::Router, "addr flush dev server\n")?;
    address(net, servers, routers)
}

/// Gives devices the addresses of the server and of its router.
pub(crate) fn address(net: &Net, servers: &str, routers: &str) -> Result<()> {
    net.ip(
        Host::Router,
        &format!("addr add 192.0.2.1/24 dev {routers}\naddr add 2001:db8:1::1/64 dev {routers} nodad\n"),
    )?;
    net.ip(
        Host::Server,
        &format!(
            "addr add 192.0.2.10/24 dev {servers}\naddr add 2001:db8:1::10/64 dev {servers} nodad\n\
             route replace default via 192.0.2.1 dev {servers}\nroute replace ::/0 via 2001:db8:1::1 dev {servers}\n"
        ),
    )
}

/// Sets features of a network card, as `ethtool -K` does.
pub(crate) fn features(net: &Net, host: Host, device: &str, settings: &[&str]) -> Result<()> {
    let mut command = net.command(host, "ethtool");
    command.arg("-K").arg(device).args(settings);
    process::run(command, PATIENCE)?.success().map(|_| ())
}
