//! The machine's interfaces, and which of them to protect.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use blocker_core::config::Interfaces;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::if_nametoindex;

use super::routes;

/// `include/uapi/linux/if_arp.h`: the kinds whose frames begin with an Ethernet header.
const ARPHRD_ETHER: u16 = 1;
const ARPHRD_LOOPBACK: u16 = 772;

/// An interface that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its index, by which it is told from every other one that is there.
    pub index: u32,
    /// Whether the program could read its frames.
    pub suitability: Suitability,
}

/// Whether the program can read an interface's frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suitability {
    /// They begin with an Ethernet header.
    Ethernet,
    /// They do not (a tunnel, a PPP link): the program would read nonsense. The kind is the kernel's ARPHRD number.
    OtherLink(u16),
}

/// Every interface of this network namespace, by name.
///
/// # Errors
///
/// The kernel's.
pub fn list() -> Result<BTreeMap<String, Interface>> {
    let mut interfaces = BTreeMap::new();
    for entry in getifaddrs().context("listing the network interfaces")? {
        let Some(kind) =
            entry.address.as_ref().and_then(|address| address.as_link_addr()).map(nix::sys::socket::LinkAddr::hatype)
        else {
            continue;
        };
        let name = entry.interface_name;
        // One that vanished meanwhile is simply not there.
        let Ok(index) = if_nametoindex(name.as_str()) else { continue };
        let suitability = match kind {
            ARPHRD_ETHER | ARPHRD_LOOPBACK => Suitability::Ethernet,
            other => Suitability::OtherLink(other),
        };
        interfaces.insert(name.clone(), Interface { name, index, suitability });
    }
    Ok(interfaces)
}

/// The names of those to protect, whether they are there or not.
///
/// # Errors
///
/// If the routes cannot be read.
pub fn wanted(configured: &Interfaces) -> Result<Vec<String>> {
    match configured {
        Interfaces::Named(names) => Ok(names.clone()),
        Interfaces::Auto => {
            let mut names: Vec<String> = routes::default_routes()?.into_iter().map(|route| route.interface).collect();
            names.sort_unstable();
            names.dedup();
            Ok(names)
        }
    }
}
