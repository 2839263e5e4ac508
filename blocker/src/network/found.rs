//! Whom never to ban, found on the machine: itself, its routers and its name servers.

use std::io::Read;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, Result};
use blocker_core::allowlist::Allowed;
use blocker_core::engine::AllowReason;
use blocker_core::prefix::Prefix;
use jiff::Timestamp as WallTime;
use nix::ifaddrs::getifaddrs;

use super::logins::{self, Login};
use super::routes::DefaultRoutes;
use crate::regular;

/// A prefix that is never to be banned, as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Whom, and why.
    pub allowed: Allowed,
    /// More of why, for people: the interface, the file, who is logged in. Somebody's words: not for a terminal as they are.
    pub detail: Option<String>,
    /// Since when, if that is known.
    pub since: Option<WallTime>,
}

impl Found {
    /// Without more of why.
    #[must_use]
    pub fn plain(prefix: Prefix, why: AllowReason) -> Self {
        Self { allowed: Allowed { prefix, why }, detail: None, since: None }
    }

    /// Because of `detail`.
    #[must_use]
    pub fn because(prefix: Prefix, why: AllowReason, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..Self::plain(prefix, why) }
    }
}

/// Where name servers are named: the resolver's own file, which may name a server on this machine alone, and the one in
/// which systemd-resolved writes the servers that it asks.
const RESOLVER_FILES: [&str; 2] = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];

/// Bytes read of each of them at most.
const MAX_RESOLVER_BYTES: u64 = 64 * 1024;

/// Name servers taken of each of them at most; the resolver itself uses three.
const MAX_RESOLVERS: usize = 16;

/// Prefixes that every machine must be able to hear: its own loopback, and neighbours on the link; and multicast groups, which
/// send nothing.
const ALWAYS: [(&str, AllowReason); 6] = [
    ("127.0.0.0/8", AllowReason::Loopback),
    ("::1", AllowReason::Loopback),
    ("169.254.0.0/16", AllowReason::LinkLocal),
    ("fe80::/10", AllowReason::LinkLocal),
    ("224.0.0.0/4", AllowReason::Multicast),
    ("ff00::/8", AllowReason::Multicast),
];

/// Everything that is allow-listed without being configured: loopback, link-local and multicast addresses, this machine's own
/// addresses (those of its bridges among them, which the logs of containers show), the gateways of `routes`, and the name servers in `/etc/resolv.conf` and in
/// `/run/systemd/resolve/resolv.conf`.
///
/// # Errors
///
/// The kernel's, on listing addresses.
pub fn found_allowed(routes: &DefaultRoutes) -> Result<Vec<Found>> {
    let always = ALWAYS.iter().map(|&(text, why)| {
        let prefix = text.parse().expect("the constants above are prefixes");
        Found::plain(prefix, why)
    });
    let mut allowed: Vec<Found> = always.collect();
    let mut allow = |addr: IpAddr, why, detail: Option<&str>| {
        if !addr.is_unspecified() {
            allowed.push(Found { detail: detail.map(str::to_owned), ..Found::plain(Prefix::host(addr), why) });
        }
    };
    for interface in getifaddrs().context("listing this machine's addresses")? {
        let Some(address) = interface.address else { continue };
        if let Some(v4) = address.as_sockaddr_in() {
            allow(v4.ip().into(), AllowReason::OwnAddress, Some(&interface.interface_name));
        } else if let Some(v6) = address.as_sockaddr_in6() {
            allow(v6.ip().into(), AllowReason::OwnAddress, Some(&interface.interface_name));
        }
    }
    for gateway in routes.hops.iter().filter_map(|hop| hop.gateway) {
        allow(gateway, AllowReason::Gateway, None);
    }
    for path in RESOLVER_FILES {
        // Absent where no name is ever looked up, or systemd-resolved does not run.
        let Ok(file) = regular::open(Path::new(path)) else { continue };
        for addr in resolvers(file) {
            allow(addr, AllowReason::Resolver, Some(path));
        }
    }
    Ok(allowed)
}

/// From where somebody is logged in.
#[must_use]
pub fn found_logins() -> Vec<Found> {
    let found = |Login { addr, user, service, since }| {
        let by = service.map_or_else(String::new, |service| format!(" by {service}"));
        let detail = format!("{user}{by}");
        Found { since, ..Found::because(Prefix::host(addr), AllowReason::RemoteLogin, detail) }
    };
    logins::logged_in_from(Path::new(logins::SESSIONS), Path::new(logins::UTMP)).into_iter().map(found).collect()
}

fn resolvers(file: impl Read) -> Vec<IpAddr> {
    let mut bytes = Vec::new();
    // What was read before an error counts.
    if let Err(error) = file.take(MAX_RESOLVER_BYTES).read_to_end(&mut bytes) {
        tracing::debug!("the name servers cannot be read: {error}");
    }
    String::from_utf8_lossy(&bytes).lines().filter_map(resolver).take(MAX_RESOLVERS).collect()
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
    use super::super::routes::Hop;
    use super::*;

    #[test]
    fn a_name_servers_zone_is_no_part_of_its_address() {
        assert_eq!(resolver("nameserver fe80::1%eth0"), Some("fe80::1".parse().unwrap()));
        assert_eq!(resolver("search example.org"), None);
    }

    #[test]
    fn so_many_name_servers_are_read_and_no_endless_file() {
        let text: String = (0..100).map(|number| format!("nameserver 192.0.2.{number}\n")).collect();

        assert_eq!(resolvers(text.as_bytes()).len(), MAX_RESOLVERS);
        assert_eq!(resolvers(std::io::repeat(b'\n')), Vec::<IpAddr>::new());
    }

    #[test]
    fn every_gateway_is_never_banned() {
        let gateways = ["192.0.2.1", "fe80::1"].map(|text| text.parse::<IpAddr>().unwrap());
        let hops = gateways.map(|gateway| Hop { interface: 7, gateway: Some(gateway) }).into_iter().collect();

        let allowed = found_allowed(&DefaultRoutes { hops, is_whole: true }).unwrap();

        for gateway in gateways {
            let entry = Found::plain(Prefix::host(gateway), AllowReason::Gateway);
            assert!(allowed.contains(&entry), "{gateway}");
        }
    }

    #[test]
    fn this_machine_is_never_banned() {
        let allowed = found_allowed(&DefaultRoutes::default()).unwrap();

        let loopback = allowed.iter().filter(|found| found.allowed.prefix.contains("127.0.0.1".parse().unwrap()));
        let why: Vec<_> = loopback.map(|found| (found.allowed.why, found.detail.as_deref())).collect();
        assert!(why.contains(&(AllowReason::Loopback, None)), "{why:?}");
        assert!(why.contains(&(AllowReason::OwnAddress, Some("lo"))), "{why:?}");
    }
}
