//! VLANs: guarded at the card below them. By default the kernel takes the outermost tag off before the program sees the
//! frame; without that offload the tag is part of the frame. How long the frames are shows which it was.

use anyhow::Result;
use blocker_tests::netns::{Host, Net};

use crate::guard::{FRAME_BYTES, ban_holds};
use crate::wire;

/// Bytes of a tag.
const TAG: u64 = 4;

#[test]
fn a_vlan_is_guarded_at_the_card_below_it() -> Result<()> {
    let net = Net::new()?;
    vlan(&net)?;

    let held = ban_holds(&net, "eth0.7")?;

    let card = held.only()?;
    assert_eq!((card.name.as_str(), card.mode.as_deref()), ("eth0", Some("native")));
    assert_eq!(card.carries, ["eth0.7"]);
    assert_eq!(held.frame_bytes(), FRAME_BYTES, "the tag was taken off");
    Ok(())
}

#[test]
fn a_tag_in_the_frame_hides_nobody() -> Result<()> {
    let net = Net::new()?;
    vlan(&net)?;
    leave_tags_in(&net)?;

    let held = ban_holds(&net, "eth0.7")?;

    assert_eq!(held.frame_bytes(), FRAME_BYTES + TAG, "the tag was in the frame");
    Ok(())
}

#[test]
fn a_vlan_in_a_service_providers_vlan_is_guarded_at_the_card() -> Result<()> {
    let net = Net::new()?;
    vlan_in_vlan(&net)?;

    let held = ban_holds(&net, "eth0.7.8")?;

    assert_eq!(held.only()?.name, "eth0");
    assert_eq!(held.frame_bytes(), FRAME_BYTES + TAG, "the outer tag was taken off, the inner one was in the frame");
    Ok(())
}

#[test]
fn two_tags_in_the_frame_hide_nobody() -> Result<()> {
    let net = Net::new()?;
    vlan_in_vlan(&net)?;
    leave_tags_in(&net)?;

    let held = ban_holds(&net, "eth0.7.8")?;

    assert_eq!(held.frame_bytes(), FRAME_BYTES + 2 * TAG, "both tags were in the frame");
    Ok(())
}

#[test]
fn a_default_route_by_a_vlan_leads_to_the_card_below_it() -> Result<()> {
    let net = Net::new()?;
    vlan(&net)?;

    let held = ban_holds(&net, "auto")?;

    assert_eq!(held.only()?.name, "eth0");
    Ok(())
}

/// The server's `eth0.7` and the router's `server.7`.
fn vlan(net: &Net) -> Result<()> {
    for (host, device) in ENDS {
        net.ip(host, &format!("link add link {device} name {device}.7 type vlan id 7\nlink set {device}.7 up\n"))?;
    }
    wire::by(net, "eth0.7", "server.7")
}

/// 802.1Q in 802.1ad: the server's `eth0.7.8` and the router's `server.7.8`.
fn vlan_in_vlan(net: &Net) -> Result<()> {
    for (host, device) in ENDS {
        net.ip(
            host,
            &format!(
                "link add link {device} name {device}.7 type vlan protocol 802.1ad id 7\nlink set {device}.7 up\n\
                 link add link {device}.7 name {device}.7.8 type vlan id 8\nlink set {device}.7.8 up\n"
            ),
        )?;
    }
    wire::by(net, "eth0.7.8", "server.7.8")
}

fn leave_tags_in(net: &Net) -> Result<()> {
    let off = ["txvlan", "off", "rxvlan", "off", "tx-vlan-stag-hw-insert", "off", "rx-vlan-stag-hw-parse", "off"];
    ENDS.into_iter().try_for_each(|(host, device)| wire::features(net, host, device, &off))
}

const ENDS: [(Host, &str); 2] = [(Host::Server, "eth0"), (Host::Router, "server")];
