//! The default routes, as the kernel lists them in `/proc/net`.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context, Result};

/// `include/uapi/linux/route.h`.
const RTF_UP: u32 = 0x0001;
const RTF_REJECT: u32 = 0x0200;

/// A way to everywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DefaultRoute {
    /// The interface it leads through.
    pub(super) interface: String,
    /// The router, unless everything is on the link.
    pub(super) gateway: Option<IpAddr>,
}

/// The default routes of this process's network namespace, IPv4 and IPv6.
pub(super) fn default_routes() -> Result<Vec<DefaultRoute>> {
    let v4 = fs::read_to_string("/proc/self/net/route").context("reading /proc/self/net/route")?;
    // Absent where IPv6 is switched off.
    let v6 = fs::read_to_string("/proc/self/net/ipv6_route").unwrap_or_default();
    Ok(v4.lines().skip(1).filter_map(parse_v4).chain(v6.lines().filter_map(parse_v6)).collect())
}

/// `Iface Destination Gateway Flags RefCnt Use Metric Mask …`: addresses in hexadecimal, in the machine's byte order.
fn parse_v4(line: &str) -> Option<DefaultRoute> {
    let mut fields = line.split_ascii_whitespace();
    let [interface, destination, gateway, flags] = [fields.next()?, fields.next()?, fields.next()?, fields.next()?];
    let mask = fields.nth(3)?;
    let flags = u32::from_str_radix(flags, 16).ok()?;
    if destination != "00000000" || mask != "00000000" || flags & RTF_UP == 0 || flags & RTF_REJECT != 0 {
        return None;
    }
    let gateway = Ipv4Addr::from(u32::from_str_radix(gateway, 16).ok()?.to_ne_bytes());
    Some(DefaultRoute {
        interface: interface.to_owned(),
        gateway: (!gateway.is_unspecified()).then_some(IpAddr::V4(gateway)),
    })
}

/// `destination length source length next-hop metric refcnt use flags interface`, all in hexadecimal.
fn parse_v6(line: &str) -> Option<DefaultRoute> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let [_, "00", _, _, next_hop, _, _, _, flags, interface] = fields.as_slice() else { return None };
    let flags = u32::from_str_radix(flags, 16).ok()?;
    if *interface == "lo" || flags & RTF_UP == 0 || flags & RTF_REJECT != 0 {
        return None;
    }
    let gateway = Ipv6Addr::from(u128::from_str_radix(next_hop, 16).ok()?);
    Some(DefaultRoute {
        interface: (*interface).to_owned(),
        gateway: (!gateway.is_unspecified()).then_some(IpAddr::V6(gateway)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_gateway_of_a_default_route() {
        let line =
            format!("eth0\t00000000\t{:08X}\t0003\t0\t0\t0\t00000000\t0\t0\t0", u32::from_ne_bytes([192, 0, 2, 1]));

        let route = parse_v4(&line).unwrap();

        assert_eq!((route.interface.as_str(), route.gateway), ("eth0", Some("192.0.2.1".parse().unwrap())));
    }

    #[test]
    fn a_route_to_a_network_is_no_default_route() {
        assert_eq!(parse_v4("eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0"), None);
    }

    #[test]
    fn finds_the_ipv6_router_but_not_the_reject_route() {
        let zero = "00000000000000000000000000000000";
        let via = "fe800000000000000000000000000001";
        let line = format!("{zero} 00 {zero} 00 {via} 00000400 00000001 00000000 00000003     eth0");
        let reject = format!("{zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200       lo");

        assert_eq!(parse_v6(&line).unwrap().gateway, Some("fe80::1".parse().unwrap()));
        assert_eq!(parse_v6(&reject), None);
    }
}
