//! Bonds: the program is on the bond, which passes it on to its members; where the kernel does not, the kernel runs it on
//! the bond's packets itself.

use anyhow::Result;
use blocker_tests::answers::Interface;
use blocker_tests::kernel::has_xdp_on_bonds;
use blocker_tests::netns::{Host, Net};

use crate::guard::{FRAME_BYTES, ban_holds};
use crate::wire;

#[test]
fn a_bond_is_guarded_itself() -> Result<()> {
    let net = Net::new()?;
    bond(&net)?;
    wire::by(&net, "bond0", "server")?;

    let held = ban_holds(&net, "bond0")?;

    is_on_the_bond(held.only()?);
    assert_eq!(held.frame_bytes(), FRAME_BYTES);
    Ok(())
}

#[test]
fn a_vlan_on_a_bond_is_guarded_at_the_bond() -> Result<()> {
    let net = Net::new()?;
    bond(&net)?;
    net.ip(Host::Server, "link add link bond0 name bond0.7 type vlan id 7\nlink set bond0.7 up\n")?;
    net.ip(Host::Router, "link add link server name server.7 type vlan id 7\nlink set server.7 up\n")?;
    wire::by(&net, "bond0.7", "server.7")?;

    let held = ban_holds(&net, "bond0.7")?;

    is_on_the_bond(held.only()?);
    assert_eq!(held.only()?.carries, ["bond0.7"]);
    Ok(())
}

/// `bond0` of the server's `eth0` and of a second card, which leads nowhere and waits.
pub(crate) fn bond(net: &Net) -> Result<()> {
    net.ip(
        Host::Server,
        "link add bond0 type bond mode active-backup miimon 100\n\
         link add eth1 type veth peer name nowhere\n\
         link set eth0 down\nlink set eth0 master bond0\nlink set eth1 master bond0\n\
         link set bond0 up\nlink set bond0 type bond active_slave eth0\n",
    )
}

/// Where the program is, and in the best mode there is.
pub(crate) fn is_on_the_bond(interface: &Interface) {
    assert_eq!(interface.name, "bond0");
    if has_xdp_on_bonds() {
        assert_eq!(interface.mode.as_deref(), Some("native"), "{interface:?}");
    } else {
        assert_eq!(interface.mode.as_deref(), Some("generic"), "{interface:?}");
        let refusals = interface.refusals.join("; ");
        assert!(
            refusals.contains("native mode with multi-buffer frames: the kernel knows no such frames"),
            "{refusals}"
        );
        assert!(refusals.contains("native mode: the driver does not support it"), "{refusals}");
    }
}
