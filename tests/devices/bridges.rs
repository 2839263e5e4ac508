//! Bridges: guarded at the ports that lead out of the machine, not at those of virtual machines and containers.

use anyhow::Result;
use blocker_tests::netns::{Host, Net};

use crate::bonds::{bond, is_on_the_bond};
use crate::guard::ban_holds;
use crate::wire;

#[test]
fn a_bridge_is_guarded_at_the_port_that_leads_out() -> Result<()> {
    let net = Net::new()?;
    bond(&net)?;
    // The port `container` is one end of a veth pair, as a container's is.
    net.ip(
        Host::Server,
        "link add br0 type bridge\nlink set bond0 master br0\n\
         link add container type veth peer name inside\nlink set container master br0\n\
         link set container up\nlink set br0 up\n",
    )?;
    wire::by(&net, "br0", "server")?;

    let held = ban_holds(&net, "br0")?;

    is_on_the_bond(held.only()?);
    assert_eq!(held.only()?.carries, ["br0"]);
    Ok(())
}

#[test]
fn a_bridge_of_a_vlan_is_guarded_at_the_card() -> Result<()> {
    let net = Net::new()?;
    net.ip(
        Host::Server,
        "link add link eth0 name eth0.7 type vlan id 7\nlink set eth0.7 up\n\
         link add br0 type bridge\nlink set eth0.7 master br0\nlink set br0 up\n",
    )?;
    net.ip(Host::Router, "link add link server name server.7 type vlan id 7\nlink set server.7 up\n")?;
    wire::by(&net, "br0", "server.7")?;

    let held = ban_holds(&net, "br0")?;

    assert_eq!(held.only()?.name, "eth0");
    Ok(())
}
