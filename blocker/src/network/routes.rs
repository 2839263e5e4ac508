//! The default routes: the ways to everywhere, in every routing table of this network namespace.
//!
//! A default route is a unicast route to a destination of length 0, IPv4 or IPv6, whatever its table, metric and source,
//! and whether its link is up: tables are chosen by rules and by VRFs, and what is not used now may be in a moment. All
//! its next hops count, written out or as nexthop objects.
//!
//! The kernel lists every route there is; it does not filter by destination. Where a router knows more routes than can
//! be listed in the time a look may take, the listing is cut. Its IPv4 routes come by destination, the default route
//! first of its table; of IPv6 the default route comes last, and is missed.

use std::collections::BTreeSet;
use std::net::IpAddr;

use anyhow::{Context, Result};

use super::netlink::{Dump, attributes, dump, number};
use super::nexthops::{Nexthops, nexthops};

/// The default routes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DefaultRoutes {
    /// All their next hops.
    pub hops: BTreeSet<Hop>,
    /// Whether these are all there are; if not, there were too many routes to read.
    pub is_whole: bool,
}

/// A way to everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hop {
    /// The index of the interface it leads through.
    pub interface: u32,
    /// The router, unless everything is on the link. An IPv4 route may have an IPv6 router.
    pub gateway: Option<IpAddr>,
}

/// The default routes of this process's network namespace.
///
/// # Errors
///
/// The kernel's.
pub fn default_routes() -> Result<DefaultRoutes> {
    let mut routes = DefaultRoutes { hops: BTreeSet::new(), is_whole: true };
    let mut objects = None;
    for family in [AF_INET, AF_INET6] {
        let mut header = [0; ROUTE_HEADER_BYTES];
        header[0] = family;
        let Dump { entries, is_whole } = dump(libc::RTM_GETROUTE, &header, read_route).context("listing the routes")?;
        routes.is_whole &= is_whole;
        for entry in entries {
            match entry {
                Entry::Hop(hop) => {
                    routes.hops.insert(hop);
                }
                Entry::Object(id) => {
                    let objects: &Nexthops = match &mut objects {
                        Some(objects) => objects,
                        None => objects.insert(nexthops()?),
                    };
                    routes.hops.extend(objects.hops(id));
                    routes.is_whole &= objects.is_whole();
                }
            }
        }
    }
    Ok(routes)
}

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// `struct rtmsg` of `include/uapi/linux/rtnetlink.h`: family, length of the destination, length of the source, TOS,
/// table, protocol, scope, type, and four bytes of flags.
const ROUTE_HEADER_BYTES: usize = 12;

/// `struct rtnexthop`: two bytes of length, flags, weight, and the interface.
const NEXTHOP_HEADER_BYTES: usize = 8;

/// Not in crate libc: the same header.
const RTA_VIA: u16 = 18;
const RTA_NH_ID: u16 = 30;

/// What a default route consists of.
#[derive(Debug, PartialEq, Eq)]
enum Entry {
    Hop(Hop),
    /// The number of a nexthop object, of which the kernel does not tell the content.
    Object(u32),
}

fn read_route(payload: &[u8]) -> Vec<Entry> {
    let Some((header, rest)) = payload.split_first_chunk::<ROUTE_HEADER_BYTES>() else { return Vec::new() };
    let [family, destination_length, _, _, _, _, _, kind, flags @ ..] = header;
    let is_cached = u32::from_ne_bytes(*flags) & libc::RTM_F_CLONED != 0;
    if ![AF_INET, AF_INET6].contains(family) || *destination_length != 0 || *kind != libc::RTN_UNICAST || is_cached {
        return Vec::new();
    }
    let mut entries = Vec::new();
    let mut object = None;
    for (kind, value) in attributes(rest) {
        match kind {
            libc::RTA_MULTIPATH => entries.extend(multipath(value).map(Entry::Hop)),
            RTA_NH_ID => object = number(value),
            _ => {}
        }
    }
    let interface = attributes(rest).find(|(kind, _)| *kind == libc::RTA_OIF).and_then(|(_, value)| number(value));
    entries.extend(interface.map(|interface| Entry::Hop(Hop { interface, gateway: gateway(rest) })));
    if entries.is_empty() {
        // With net.ipv4.nexthop_compat_mode = 0 only the number is told.
        entries.extend(object.map(Entry::Object));
    }
    entries
}

fn multipath(mut bytes: &[u8]) -> impl Iterator<Item = Hop> {
    std::iter::from_fn(move || {
        let header = bytes.first_chunk::<NEXTHOP_HEADER_BYTES>()?;
        let [length_low, length_high, _, _, interface @ ..] = header;
        let length = usize::from(u16::from_ne_bytes([*length_low, *length_high]));
        let hop = Hop {
            interface: u32::from_ne_bytes(*interface),
            gateway: gateway(bytes.get(NEXTHOP_HEADER_BYTES..length)?),
        };
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(hop)
    })
}

/// The gateway among these attributes of a route or of a next hop.
fn gateway(bytes: &[u8]) -> Option<IpAddr> {
    attributes(bytes).find_map(|(kind, value)| match kind {
        libc::RTA_GATEWAY => address(value),
        // Two bytes of address family come first.
        RTA_VIA => address(value.get(2..)?),
        _ => None,
    })
}

/// An address, of the family that its length tells.
pub(super) fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = || <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from);
    let v6 = || <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from);
    v4().or_else(v6).filter(|address| !address.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::super::netlink::written::{attribute, numbered};
    use super::*;

    const ROUTER_V4: [u8; 4] = [192, 0, 2, 1];
    const OTHER_V4: [u8; 4] = [198, 51, 100, 1];
    const ROUTER_V6: [u8; 16] = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

    fn route(family: u8, length: u8, kind: u8, attributes: &[Vec<u8>]) -> Vec<Entry> {
        let header = [family, length, 0, 0, 254, 3, 0, kind, 0, 0, 0, 0];
        read_route(&[&header[..], &attributes.concat()].concat())
    }

    fn hop(interface: u32, gateway: &str) -> Entry {
        Entry::Hop(Hop { interface, gateway: Some(gateway.parse().unwrap()) })
    }

    fn next_hop(interface: u32, attributes: &[u8]) -> Vec<u8> {
        let length = u16::try_from(NEXTHOP_HEADER_BYTES + attributes.len()).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend([0, 0]);
        bytes.extend(interface.to_ne_bytes());
        bytes.extend(attributes);
        bytes
    }

    #[test]
    fn a_default_route_has_its_gateway_and_interface() {
        let found = route(
            AF_INET,
            0,
            1,
            &[numbered(libc::RTA_TABLE, 1000), attribute(libc::RTA_GATEWAY, &ROUTER_V4), numbered(libc::RTA_OIF, 7)],
        );

        assert_eq!(found, [hop(7, "192.0.2.1")]);
    }

    #[test]
    fn every_next_hop_of_several_counts() {
        let hops = [
            next_hop(7, &attribute(libc::RTA_GATEWAY, &ROUTER_V4)),
            next_hop(8, &attribute(libc::RTA_GATEWAY, &OTHER_V4)),
            next_hop(9, &[]),
        ];

        let found = route(AF_INET, 0, 1, &[attribute(libc::RTA_MULTIPATH, &hops.concat())]);

        assert_eq!(
            found,
            [hop(7, "192.0.2.1"), hop(8, "198.51.100.1"), Entry::Hop(Hop { interface: 9, gateway: None })]
        );
    }

    #[test]
    fn an_ipv4_route_may_have_an_ipv6_gateway() {
        let via = [&10_u16.to_ne_bytes()[..], &ROUTER_V6].concat();

        let found = route(AF_INET, 0, 1, &[attribute(RTA_VIA, &via), numbered(libc::RTA_OIF, 7)]);

        assert_eq!(found, [hop(7, "fe80::1")]);
    }

    #[test]
    fn an_object_is_asked_for_only_if_the_route_does_not_tell() {
        let told = [numbered(RTA_NH_ID, 5), attribute(libc::RTA_GATEWAY, &ROUTER_V6), numbered(libc::RTA_OIF, 7)];

        assert_eq!(route(AF_INET6, 0, 1, &told), [hop(7, "fe80::1")]);
        assert_eq!(route(AF_INET6, 0, 1, &[numbered(RTA_NH_ID, 5)]), [Entry::Object(5)]);
    }

    #[test]
    fn routes_to_networks_and_rejecting_routes_are_none() {
        let way = [numbered(libc::RTA_OIF, 7)];

        assert_eq!(route(AF_INET, 24, 1, &way), []);
        assert_eq!(route(AF_INET6, 0, libc::RTN_UNREACHABLE, &way), []);
        assert_eq!(route(128, 0, 1, &way), [], "of multicast routing");
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let entries = route(AF_INET, 0, 1, &[attribute(libc::RTA_MULTIPATH, &bytes), bytes.clone()]);
            proptest::prop_assert!(entries.len() <= bytes.len());
        }
    }

    #[test]
    fn a_route_that_is_cut_short_is_read_as_far_as_it_goes() {
        let hops = next_hop(7, &attribute(libc::RTA_GATEWAY, &ROUTER_V4));
        for end in 0..hops.len() {
            assert_eq!(multipath(&hops[..end]).count(), 0, "{end} bytes");
        }
        for end in 0..ROUTE_HEADER_BYTES {
            assert_eq!(read_route(&[0; ROUTE_HEADER_BYTES][..end]), [], "{end} bytes");
        }
        assert_eq!(multipath(&[0; 64]).count(), 0, "a next hop of no length");
    }
}
