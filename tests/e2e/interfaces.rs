//! Interfaces are found, waited for, and guarded where their packets come in; the gateways of all routes are allow-listed.

use std::fs;
use std::time::Duration;

use anyhow::Result;
use blocker_tests::{
    answers::Interface,
    daemon::{self, Daemon, Settings},
    kernel::has_tcx,
    lines,
    netns::{Host, Net},
    process, wait,
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

#[test]
fn every_gateway_of_every_default_route_is_never_banned() -> Result<()> {
    let net = Net::new()?;
    // A route by nexthop objects then tells their numbers alone.
    let terse = || fs::write("/proc/sys/net/ipv4/nexthop_compat_mode", "0");
    net.spawn(Host::Server, terse)?.join().expect("writing a file does not panic")?;
    net.ip(
        Host::Server,
        "route replace default nexthop via 192.0.2.1 dev eth0 nexthop via 192.0.2.71 dev eth0\n\
         route replace ::/0 nexthop via 2001:db8:1::1 dev eth0 nexthop via 2001:db8:1::71 dev eth0\n",
    )?;
    let daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    for gateway in ["192.0.2.1", "192.0.2.71", "2001:db8:1::1", "2001:db8:1::71"] {
        is_never_banned(&daemon, gateway).map_err(anyhow::Error::msg)?;
    }

    net.ip(
        Host::Server,
        "route add default via 192.0.2.72 dev eth0 table 1000\n\
         route add default via inet6 2001:db8:1::72 dev eth0 table 1001\n\
         nexthop add id 5 via 192.0.2.73 dev eth0\nnexthop add id 6 via 192.0.2.74 dev eth0\n\
         nexthop add id 7 group 5/6\nroute add default nhid 7 table 1002\n\
         nexthop add id 8 via 2001:db8:1::75 dev eth0\nroute add ::/0 nhid 8 table 1003\n",
    )?;

    for gateway in ["192.0.2.72", "2001:db8:1::72", "192.0.2.73", "192.0.2.74", "2001:db8:1::75"] {
        wait::until("a new gateway to be allow-listed", LIMIT, || is_never_banned(&daemon, gateway))?;
    }
    Ok(())
}

#[test]
fn an_interface_whose_name_matches_is_attached_when_it_appears() -> Result<()> {
    let net = Net::new()?;
    let settings = Settings { interfaces: vec!["eth0".into(), "wan[0-9]*".into()], ..Settings::default() };
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &settings)?;
    daemon.start_unattached()?;
    await_interfaces(&daemon, |interfaces| {
        is_attached(interfaces, "eth0")
            && interfaces.iter().any(|interface| interface.name == "wan[0-9]*" && interface.error.is_some())
    })?;

    net.ip(Host::Server, "link add wan7 type veth peer name lan7\n")?;

    await_interfaces(&daemon, |interfaces| is_attached(interfaces, "wan7") && interfaces.len() == 2)?;

    net.ip(Host::Server, "link del wan7\n")?;

    await_interfaces(&daemon, |interfaces| interfaces.iter().any(|interface| interface.name == "wan[0-9]*"))
}

#[test]
fn an_interface_that_is_renamed_is_guarded_as_long_as_its_name_matches() -> Result<()> {
    let net = Net::new()?;
    net.ip(Host::Server, "link add lan1 type veth peer name lan2\n")?;
    let settings = Settings { interfaces: vec!["eth0".into(), "wan[0-9]*".into()], ..Settings::default() };
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &settings)?;
    daemon.start_unattached()?;

    for (from, to) in [("lan1", "wan7"), ("wan7", "wan8")] {
        net.ip(Host::Server, &format!("link set {from} name {to}\n"))?;
        await_interfaces(&daemon, |interfaces| {
            is_attached(interfaces, to) && is_attached(interfaces, "eth0") && interfaces.len() == 2
        })?;
    }
    net.ip(Host::Server, "link set wan8 name lan1\n")?;
    let is_eth0_alone = |interfaces: &[Interface]| {
        is_attached(interfaces, "eth0") && interfaces.iter().filter(|interface| interface.mode.is_some()).count() == 1
    };
    await_interfaces(&daemon, is_eth0_alone)?;

    let mut command = net.command(Host::Server, "ip");
    command.args(["-d", "link", "show", "lan1"]);
    let link = process::run(command, LIMIT)?.success()?.stdout;
    assert!(!link.contains("xdp"), "nothing is left on it: {link}");
    Ok(())
}

#[test]
fn a_device_without_ethernet_header_is_refused_and_told() -> Result<()> {
    let net = Net::new()?;
    net.ip(Host::Server, "tuntap add tun7 mode tun\n")?;
    let settings = Settings { interfaces: vec!["eth0".into(), "tun7".into()], ..Settings::default() };
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &settings)?;

    daemon.start_unattached()?;

    await_interfaces(&daemon, |interfaces| {
        let refused = interfaces.iter().find(|interface| interface.name == "tun7");
        let why = refused.and_then(|interface| interface.error.as_deref()).unwrap_or_default();
        is_attached(interfaces, "eth0") && !is_attached(interfaces, "tun7") && why.contains("no Ethernet header")
    })
}

/// A macvlan stands for all of them; VLANs are in the table of `blocker/src/network/wanted.rs`.
#[test]
fn a_device_on_another_is_guarded_where_its_packets_come_in() -> Result<()> {
    let net = Net::new()?;
    net.ip(Host::Server, "link add link eth0 name mac0 type macvlan mode bridge\n")?;
    let settings = Settings { interfaces: vec!["mac0".into()], ..Settings::default() };
    let daemon = Daemon::launch(&net, &daemon::binary()?, &settings)?;

    let interfaces = daemon.status()?.interfaces;

    assert!(is_attached(&interfaces, "eth0") && interfaces.len() == 1, "{interfaces:?}");
    assert_eq!(interfaces[0].carries, ["mac0"]);
    assert!(daemon.cli(&["status"])?.stdout.contains("mac0"), "status names it");
    assert!(daemon.printed().contains("mac0"), "the log names it: {}", daemon.printed());
    let siege = Siege::begin(&net)?;
    siege.ban_villain(&daemon)?;
    siege.holds_for(Duration::from_millis(300))
}

#[test]
fn a_device_is_guarded_itself_if_what_carries_it_is_taken() -> Result<()> {
    let net = Net::new()?;
    net.ip(Host::Server, "link add link eth0 name mac0 type macvlan mode bridge\n")?;
    let _other = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    let settings = Settings { interfaces: vec!["mac0".into()], ..Settings::default() };
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &settings)?;
    let without_tcx =
        daemon.configuration(&settings).replacen("[daemon]\n", "[daemon]\nattach = [\"native\", \"generic\"]\n", 1);
    daemon.write_configuration(&without_tcx)?;

    daemon.start_unattached()?;

    await_interfaces(&daemon, |interfaces| {
        let refused = interfaces.iter().find(|interface| interface.name == "eth0");
        let why = refused.and_then(|interface| interface.error.as_deref()).unwrap_or_default();
        is_attached(interfaces, "mac0") && why.contains("another XDP program") && why.contains("carries mac0")
    })
}

#[test]
fn beside_another_xdp_program_bans_hold_by_tcx() -> Result<()> {
    let net = Net::new()?;
    let other = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    if !has_tcx() {
        daemon.start_unattached()?;
        return await_interfaces(&daemon, |interfaces| {
            let why = interfaces.iter().find_map(|interface| interface.error.as_deref()).unwrap_or_default();
            why.contains("another XDP program is attached, number ") && why.contains("no tcx")
        });
    }
    let status = daemon.start()?;
    let eth0 = &status.interfaces[0];
    assert_eq!(eth0.mode.as_deref(), Some("tcx"));
    let refusals = eth0.refusals.join("; ");
    assert!(refusals.contains("another XDP program is attached, number "), "whose it is can be found out: {refusals}");

    let siege = Siege::begin(&net)?;
    siege.ban_villain(&daemon)?;
    let arrived = siege.arrived();
    for _ in 0..3 {
        daemon.kill9()?;
        daemon.start()?;
    }
    siege.holds_for(Duration::from_millis(300))?;
    assert_eq!(siege.arrived(), arrived, "a tcx link is adopted, too");
    let eth0 = &daemon.status()?.interfaces[0];
    assert_eq!(eth0.mode.as_deref(), Some("tcx"));
    let refusals = eth0.refusals.join("; ");
    assert!(refusals.contains("another XDP program is attached, number "), "the reason is kept: {refusals}");
    assert_eq!(other.status()?.interfaces[0].mode.as_deref(), Some("native"), "the other one is left alone");

    daemon.stop()?;
    daemon.cli(&["detach"])?.success()?;
    siege.await_arrival(VILLAIN)
}

#[test]
fn a_bridge_without_a_port_that_leads_out_is_guarded_itself() -> Result<()> {
    let net = Net::new()?;
    net.ip(Host::Server, "link add br0 type bridge\n")?;
    net.ip(
        Host::Server,
        "link set br0 up\nlink set eth0 master br0\n\
         addr del 192.0.2.10/24 dev eth0\naddr add 192.0.2.10/24 dev br0\n\
         route add default via 192.0.2.1 dev br0\nroute del ::/0 dev eth0\n",
    )?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let auto = daemon.configuration(&Settings::default()).replacen("[\"eth0\"]", "\"auto\"", 1);
    daemon.write_configuration(&auto)?;

    let interfaces = daemon.start()?.interfaces;

    assert!(is_attached(&interfaces, "br0") && interfaces.len() == 1, "a veth is a container's: {interfaces:?}");
    let siege = Siege::begin(&net)?;
    siege.ban_villain(&daemon)?;
    siege.holds_for(Duration::from_millis(300))
}

/// Whether a ban of `gateway` is refused.
fn is_never_banned(daemon: &Daemon<'_>, gateway: &str) -> Result<(), String> {
    let answer = daemon.cli(&["ban", gateway]).map_err(|error| format!("{error:#}"))?;
    if answer.code == Some(1) && answer.stdout.contains("gateway") { Ok(()) } else { Err(format!("{answer:?}")) }
}

fn is_attached(interfaces: &[Interface], name: &str) -> bool {
    interfaces.iter().any(|interface| interface.name == name && interface.mode.is_some())
}

fn await_interfaces(daemon: &Daemon<'_>, is_so: impl Fn(&[Interface]) -> bool) -> Result<()> {
    wait::until("the interfaces to be as expected", LIMIT, || {
        let status = daemon.status().map_err(|error| format!("{error:#}"))?;
        if is_so(&status.interfaces) { Ok(()) } else { Err(format!("{:?}", status.interfaces)) }
    })
}
