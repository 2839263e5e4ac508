//! Whom never to ban, found on the machine: itself, its routers and its name servers.

use std::fs;
use std::net::IpAddr;

use anyhow::{Context, Result};
use blocker_core::allowlist::Allowed;
use blocker_core::engine::AllowReason;
use blocker_core::prefix::Prefix;
use nix::ifaddrs::getifaddrs;

use super::routes;

/// Name servers read of `/etc/resolv.conf` at most; the resolver itself uses three.
const MAX_RESOLVERS: usize = 16;

/// Prefixes that every machine must be able to hear: its own loopback, and neighbours on the link.
const ALWAYS: [(&str, AllowReason); 4] = [
    ("127.0.0.0/8", AllowReason::Loopback),
    ("::1", AllowReason::Loopback),
    ("169.254.0.0/16", AllowReason::LinkLocal),
    ("fe80::/10", AllowReason::LinkLocal),
];

/// Everything that is allow-listed without being configured.
///
/// # Errors
///
/// The kernel's, on listing addresses or routes.
pub fn found_allowed() -> Result<Vec<Allowed>> {
    let always = ALWAYS.iter().map(|&(text, why)| {
        let prefix = text.parse().expect("the constants above are prefixes");
        Allowed { prefix, why }
    });
    let mut allowed: Vec<Allowed> = always.collect();
    let mut allow = |addr: IpAddr, why| {
        if !addr.is_unspecified() {
            allowed.push(Allowed { prefix: Prefix::host(addr), why });
        }
    };
    for interface in getifaddrs().context("listing this machine's addresses")? {
        let Some(address) = interface.address else { continue };
        if let Some(v4) = address.as_sockaddr_in() {
            allow(v4.ip().into(), AllowReason::OwnAddress);
        } else if let Some(v6) = address.as_sockaddr_in6() {
            allow(v6.ip().into(), AllowReason::OwnAddress);
        }
    }
    for route in routes::default_routes()? {
        if let Some(gateway) = route.gateway {
            allow(gateway, AllowReason::Gateway);
        }
    }
    // Absent where no name is ever looked up.
    let resolvers = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    for addr in resolvers.lines().filter_map(resolver).take(MAX_RESOLVERS) {
        allow(addr, AllowReason::Resolver);
    }
    Ok(allowed)
}

fn resolver(line: &str) -> Option<IpAddr> {
    let mut words = line.split_ascii_whitespace();
    if words.next()? != "nameserver" {
        return None;
    }
    words.next()?.split('%').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_servers_zone_is_no_part_of_its_address() {
        assert_eq!(resolver("nameserver fe80::1%eth0"), Some("fe80::1".parse().unwrap()));
        assert_eq!(resolver("search example.org"), None);
    }

    #[test]
    fn this_machine_is_never_banned() {
        let allowed = found_allowed().unwrap();

        assert!(allowed.iter().any(|entry| entry.prefix.contains("127.0.0.1".parse().unwrap())));
    }
}
