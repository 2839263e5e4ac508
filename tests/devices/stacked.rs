//! Other devices on a card: macvlans, ipvlans, VRFs.

use std::fs;

use anyhow::Result;
use blocker_tests::netns::{Host, Net};

use crate::guard::ban_holds;
use crate::wire;

#[test]
fn a_macvlan_is_guarded_at_the_card_below_it() -> Result<()> {
    let net = Net::new()?;
    net.ip(Host::Server, "link add link eth0 name mac0 type macvlan mode bridge\nlink set mac0 up\n")?;
    wire::by(&net, "mac0", "server")?;

    let held = ban_holds(&net, "mac0")?;

    assert_eq!((held.only()?.name.as_str(), held.only()?.mode.as_deref()), ("eth0", Some("native")));
    Ok(())
}

#[test]
fn an_ipvlan_is_guarded_at_the_card_below_it() -> Result<()> {
    let net = Net::new()?;
    net.ip(Host::Server, "link add link eth0 name ipv0 type ipvlan mode l2\nlink set ipv0 up\n")?;
    wire::by(&net, "ipv0", "server")?;

    let held = ban_holds(&net, "ipv0")?;

    assert_eq!((held.only()?.name.as_str(), held.only()?.mode.as_deref()), ("eth0", Some("native")));
    Ok(())
}

#[test]
fn a_vrf_is_guarded_at_its_members() -> Result<()> {
    let net = Net::new()?;
    // The socket that counts belongs to no VRF; so it hears of all.
    let hear_all = || fs::write("/proc/sys/net/ipv4/udp_l3mdev_accept", "1");
    net.spawn(Host::Server, hear_all)?.join().expect("writing a file does not panic")?;
    net.ip(Host::Server, "link add red type vrf table 10\nlink set red up\nlink set eth0 master red\n")?;
    wire::by(&net, "eth0", "server")?;

    let held = ban_holds(&net, "red")?;

    assert_eq!((held.only()?.name.as_str(), held.only()?.mode.as_deref()), ("eth0", Some("native")));
    Ok(())
}
