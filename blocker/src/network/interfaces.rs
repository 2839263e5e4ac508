//! The machine's interfaces: which are there, and what lies on what.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

use super::netlink::{attributes, dump, number};

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
    /// What it is in the kernel's words, such as `vlan` or `bridge`; none of a network card.
    pub kind: Option<String>,
    /// The index of the interface it lies on, as a VLAN lies on a network card. Of a veth, the other end. None if that is
    /// in another network namespace.
    pub lower: Option<u32>,
    /// The index of the bridge, bond or VRF it belongs to.
    pub master: Option<u32>,
    /// The kernel's number of the XDP program that is attached to it.
    pub xdp_program: Option<u32>,
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
/// The kernel's, and if there are more than can be read.
pub fn list() -> Result<BTreeMap<String, Interface>> {
    let interfaces = dump(libc::RTM_GETLINK, &all_links(), |payload| read(payload).into_iter().collect())
        .context("listing the network interfaces")?;
    ensure!(interfaces.is_whole, "there are more network interfaces than can be listed in time");
    Ok(interfaces.entries.into_iter().map(|interface| (interface.name.clone(), interface)).collect())
}

/// What asks for every link.
pub(super) fn all_links() -> Vec<u8> {
    let mut header = vec![0; LINK_HEADER_BYTES];
    header.extend(SKIP_STATISTICS);
    header
}

/// `struct ifinfomsg` of `include/uapi/linux/rtnetlink.h`: family, a byte unused, the kind of link in two bytes, the
/// index, flags, and which flags changed.
pub(super) const LINK_HEADER_BYTES: usize = 16;

/// The attribute `IFLA_EXT_MASK` with `RTEXT_FILTER_SKIP_STATS`: most of an entry would be statistics.
const SKIP_STATISTICS: [u8; 8] = {
    let [length, kind] = [8_u16.to_ne_bytes(), libc::IFLA_EXT_MASK.to_ne_bytes()];
    let [a, b, c, d] = libc::RTEXT_FILTER_SKIP_STATS.to_ne_bytes();
    [length[0], length[1], kind[0], kind[1], a, b, c, d]
};

fn read(payload: &[u8]) -> Option<Interface> {
    let (header, rest) = payload.split_first_chunk::<LINK_HEADER_BYTES>()?;
    let [_, _, kind_low, kind_high, index @ ..] = header;
    let (mut name, mut kind, mut lower, mut is_lower_elsewhere, mut master) = (None, None, None, false, None);
    let mut xdp_program = None;
    for (attribute, value) in attributes(rest) {
        match attribute {
            libc::IFLA_IFNAME => name = Some(text(value)),
            libc::IFLA_LINK => lower = number(value),
            libc::IFLA_LINK_NETNSID => is_lower_elsewhere = true,
            libc::IFLA_MASTER => master = number(value),
            libc::IFLA_LINKINFO => {
                let of_kind = attributes(value).find(|(attribute, _)| *attribute == libc::IFLA_INFO_KIND);
                kind = of_kind.map(|(_, value)| text(value));
            }
            libc::IFLA_XDP => {
                let program = attributes(value).find(|(attribute, _)| *attribute == IFLA_XDP_PROG_ID);
                xdp_program = program.and_then(|(_, value)| number(value));
            }
            _ => {}
        }
    }
    let suitability = match u16::from_ne_bytes([*kind_low, *kind_high]) {
        ARPHRD_ETHER | ARPHRD_LOOPBACK => Suitability::Ethernet,
        other => Suitability::OtherLink(other),
    };
    Some(Interface {
        name: name?,
        index: number(index)?,
        suitability,
        kind,
        // The index counts in the other namespace.
        lower: lower.filter(|_| !is_lower_elsewhere),
        master,
        xdp_program,
    })
}

/// `include/uapi/linux/if_link.h`.
const IFLA_XDP_PROG_ID: u16 = 4;

/// Text as the kernel writes it, ended by a zero byte.
pub(super) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::super::netlink::written::{attribute, numbered};
    use super::*;

    fn link(kind: u16, attributes: &[Vec<u8>]) -> Option<Interface> {
        let header = [[0; 2], kind.to_ne_bytes()].concat();
        read(&[header, 7_u32.to_ne_bytes().to_vec(), vec![0; 8], attributes.concat()].concat())
    }

    #[test]
    fn a_vlan_is_read_with_what_it_lies_on() {
        let vlan = [
            attribute(libc::IFLA_IFNAME, b"eth0.100\0"),
            numbered(libc::IFLA_LINK, 2),
            numbered(libc::IFLA_MASTER, 9),
            attribute(libc::IFLA_LINKINFO, &attribute(libc::IFLA_INFO_KIND, b"vlan\0")),
            attribute(libc::IFLA_XDP, &[attribute(2, &[1]), numbered(IFLA_XDP_PROG_ID, 503)].concat()),
        ];

        let interface = link(ARPHRD_ETHER, &vlan).unwrap();

        assert_eq!(
            interface,
            Interface {
                name: "eth0.100".to_owned(),
                index: 7,
                suitability: Suitability::Ethernet,
                kind: Some("vlan".to_owned()),
                lower: Some(2),
                master: Some(9),
                xdp_program: Some(503),
            }
        );
    }

    #[test]
    fn what_it_lies_on_in_another_namespace_is_not_here() {
        let moved = [
            attribute(libc::IFLA_IFNAME, b"eth0\0"),
            numbered(libc::IFLA_LINK, 2),
            numbered(libc::IFLA_LINK_NETNSID, 0),
        ];

        assert_eq!(link(ARPHRD_ETHER, &moved).unwrap().lower, None);
    }

    #[test]
    fn a_link_without_ethernet_header_is_told_and_one_without_a_name_left_out() {
        let tunnel = link(65_534, &[attribute(libc::IFLA_IFNAME, b"wg0")]).unwrap();

        assert_eq!((tunnel.name.as_str(), tunnel.suitability), ("wg0", Suitability::OtherLink(65_534)));
        assert_eq!(link(ARPHRD_ETHER, &[]), None);
        assert_eq!(read(&[0; LINK_HEADER_BYTES - 1]), None);
    }

    #[test]
    fn the_loopback_is_there() {
        assert_eq!(list().unwrap()["lo"].index, 1);
    }
}
