//! virtio network cards, the common ones of virtual machines: two on one wire, which `cargo xtask test-kernels` puts into
//! the machine. One is the server's, one the router's.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use blocker_tests::{
    netns::{Host, Net},
    process, wait,
};

use crate::guard::ban_holds;
use crate::siege::LIMIT;
use crate::wire;

/// There are only these cards, for all tests.
static CARDS: Mutex<()> = Mutex::new(());

#[test]
fn a_virtio_card_is_guarded() -> Result<()> {
    let _cards = CARDS.lock().unwrap_or_else(PoisonError::into_inner);
    let net = Net::new()?;
    cards(&net)?;
    wire::address(&net, "eth0", "server")?;

    let held = ban_holds(&net, "eth0")?;

    let card = held.only()?;
    assert_eq!(card.mode.as_deref(), Some("native"), "{card:?}");
    Ok(())
}

/// A card has no kind, by which a bridge's port is known to lead out of the machine.
#[test]
fn a_bridge_is_guarded_at_its_virtio_card() -> Result<()> {
    let _cards = CARDS.lock().unwrap_or_else(PoisonError::into_inner);
    let net = Net::new()?;
    cards(&net)?;
    net.ip(
        Host::Server,
        "link add br0 type bridge\nlink set eth0 master br0\n\
         link add container type veth peer name inside\nlink set container master br0\n\
         link set container up\nlink set br0 up\n",
    )?;
    wire::address(&net, "br0", "server")?;

    let held = ban_holds(&net, "br0")?;

    assert_eq!(held.only()?.name, "eth0");
    Ok(())
}

/// Puts the cards in the places of the veth pair between server and router.
fn cards(net: &Net) -> Result<()> {
    net.ip(Host::Server, "link del eth0\n")?;
    for (host, card, name) in [(Host::Server, 0, "eth0"), (Host::Router, 1, "server")] {
        // Cards of a namespace that is removed come back a little later.
        let device = wait::until("a virtio card", LIMIT, || {
            device(ADDRESSES[card]).ok_or_else(|| format!("no card has the address {}", ADDRESSES[card]))
        })?;
        let mut command = Command::new("ip");
        command.args(["link", "set", &device, "netns", &net.namespace(host), "name", name]);
        process::run(command, Duration::from_secs(20))?.success()?;
        net.ip(host, &format!("link set {name} up\n"))?;
    }
    Ok(())
}

/// The name of the card with this hardware address, in this process's namespace.
fn device(address: &str) -> Option<String> {
    let entries = fs::read_dir("/sys/class/net").ok()?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let has_address = |name: &String| {
        let path = Path::new("/sys/class/net").join(name).join("address");
        fs::read_to_string(path).is_ok_and(|text| text.trim() == address)
    };
    names.into_iter().find(has_address)
}

/// As `xtask/src/kernels/machine.rs` gives them.
const ADDRESSES: [&str; 2] = ["52:54:00:00:00:01", "52:54:00:00:00:02"];
