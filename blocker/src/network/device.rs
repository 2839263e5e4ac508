//! What `blocker doctor` must know of the device behind an interface: its driver's abilities and settings.
//!
//! The kernel is asked by netlink throughout, and `/sys/bus` for the driver's name: `/sys/class/net` shows the interfaces
//! of the network namespace it was mounted in, which need not be this process's.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::ethtool::{Ethtool, Queues};
use super::interfaces::{LINK_HEADER_BYTES, all_links, text};
use super::netdev::{Netdev, XdpFeatures};
use super::netlink::{attributes, dump, number};

/// A device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// Bytes of a packet at most.
    pub mtu: u32,
    /// Where the XDP program on it runs, if there is one.
    pub xdp: Option<XdpPlace>,
    /// The driver of the hardware behind it; none of a device that is software alone, or where it cannot be found out.
    pub driver: Option<String>,
    /// What a virtio device was offered and took: a `0` or `1` for each feature, by number.
    pub virtio_features: Option<String>,
    /// Its queues; none if the driver does not tell.
    pub queues: Option<Queues>,
    /// The offloads that are on, by the kernel's names for them; none if it does not tell.
    pub offloads: Option<BTreeSet<String>>,
    /// What the driver can do of XDP; none before Linux 6.3.
    pub xdp_features: Option<XdpFeatures>,
}

/// Where an XDP program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XdpPlace {
    /// In the driver.
    Native,
    /// After it.
    Generic,
    /// In the hardware.
    Offloaded,
    /// Several, at several places.
    Several,
}

/// Those of the interfaces with the numbers `wanted`.
///
/// # Errors
///
/// The kernel's, on listing them. What it does not tell of one of them is left out.
pub fn devices(wanted: &BTreeSet<u32>) -> Result<BTreeMap<u32, Device>> {
    let links = dump(libc::RTM_GETLINK, &all_links(), |payload| link(payload).into_iter().collect())
        .context("listing the network devices")?;
    let (ethtool, netdev) = (Ethtool::find()?, Netdev::find()?);
    let asked = links.entries.into_iter().filter(|link| wanted.contains(&link.index));
    Ok(asked.map(|link| (link.index, device(&link, ethtool, netdev))).collect())
}

fn device(link: &Link, ethtool: Option<Ethtool>, netdev: Option<Netdev>) -> Device {
    let place = link.parent.as_ref().map(|(bus, name)| PathBuf::from(format!("/sys/bus/{bus}/devices/{name}")));
    let place = place.or_else(|| in_class(link)).filter(|place| place.exists());
    let driver = place.as_ref().and_then(|place| fs::read_link(place.join("driver")).ok());
    let virtio = place.as_ref().and_then(|place| fs::read_to_string(place.join("features")).ok());
    Device {
        mtu: link.mtu,
        xdp: link.xdp,
        driver: driver.and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned())),
        virtio_features: virtio.map(|bits| bits.trim().to_owned()),
        queues: ethtool.and_then(|ethtool| ethtool.queues(link.index)),
        offloads: ethtool.and_then(|ethtool| ethtool.offloads(link.index)),
        xdp_features: netdev.and_then(|netdev| netdev.xdp_features(link.index)),
    }
}

/// The device in `/sys/class/net`, for kernels before 5.14, which do not tell it: only if that is the same interface, and
/// not one of the same name in another namespace.
fn in_class(link: &Link) -> Option<PathBuf> {
    let place = PathBuf::from(format!("/sys/class/net/{}", link.name));
    let is_same = |file: &str, expected: &str| {
        fs::read_to_string(place.join(file)).is_ok_and(|text| text.trim().eq_ignore_ascii_case(expected))
    };
    let is_ours = is_same("ifindex", &link.index.to_string()) && is_same("address", &link.address);
    is_ours.then(|| place.join("device"))
}

/// What a link's own entry tells.
#[derive(Debug, PartialEq, Eq)]
struct Link {
    name: String,
    index: u32,
    mtu: u32,
    xdp: Option<XdpPlace>,
    /// Bytes in hexadecimal, with colons between.
    address: String,
    /// Bus and name of the hardware.
    parent: Option<(String, String)>,
}

/// `include/uapi/linux/if_link.h`; not in crate libc.
const IFLA_XDP_ATTACHED: u16 = 2;
const IFLA_PARENT_DEV_NAME: u16 = 56;
const IFLA_PARENT_DEV_BUS_NAME: u16 = 57;

fn link(payload: &[u8]) -> Option<Link> {
    let (header, rest) = payload.split_first_chunk::<LINK_HEADER_BYTES>()?;
    let (mut name, mut mtu, mut xdp, mut address) = (None, 0, None, String::new());
    let (mut bus, mut parent) = (None, None);
    for (kind, value) in attributes(rest) {
        match kind {
            libc::IFLA_IFNAME => name = Some(text(value)),
            libc::IFLA_MTU => mtu = number(value).unwrap_or(0),
            libc::IFLA_ADDRESS => {
                address = value.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":");
            }
            libc::IFLA_XDP => {
                let place = attributes(value).find(|(kind, _)| *kind == IFLA_XDP_ATTACHED);
                xdp = place.and_then(|(_, value)| xdp_place(*value.first()?));
            }
            IFLA_PARENT_DEV_NAME => parent = Some(file_name(value)?),
            IFLA_PARENT_DEV_BUS_NAME => bus = Some(file_name(value)?),
            _ => {}
        }
    }
    let index = number(header.get(4..)?)?;
    Some(Link { name: name?, index, mtu, xdp, address, parent: bus.zip(parent) })
}

/// A name that is one component of a path.
fn file_name(value: &[u8]) -> Option<String> {
    Some(text(value)).filter(|name| !name.is_empty() && !name.contains('/') && name != "..")
}

/// `XDP_ATTACHED_…` of the same header.
fn xdp_place(number: u8) -> Option<XdpPlace> {
    match number {
        1 => Some(XdpPlace::Native),
        2 => Some(XdpPlace::Generic),
        3 => Some(XdpPlace::Offloaded),
        4 => Some(XdpPlace::Several),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::netlink::written::{attribute, numbered};
    use super::*;

    #[test]
    fn a_link_tells_its_hardware_and_where_xdp_runs() {
        let header = [vec![0; 4], 7_u32.to_ne_bytes().to_vec(), vec![0; 8]].concat();
        let told = [
            attribute(libc::IFLA_IFNAME, b"eth0\0"),
            numbered(libc::IFLA_MTU, 9001),
            attribute(libc::IFLA_ADDRESS, &[2, 0, 0, 0, 0, 0xab]),
            attribute(libc::IFLA_XDP, &attribute(IFLA_XDP_ATTACHED, &[2])),
            attribute(IFLA_PARENT_DEV_NAME, b"virtio2\0"),
            attribute(IFLA_PARENT_DEV_BUS_NAME, b"virtio\0"),
        ];

        let link = link(&[header, told.concat()].concat()).unwrap();

        assert_eq!(
            link,
            Link {
                name: "eth0".to_owned(),
                index: 7,
                mtu: 9001,
                xdp: Some(XdpPlace::Generic),
                address: "02:00:00:00:00:ab".to_owned(),
                parent: Some(("virtio".to_owned(), "virtio2".to_owned())),
            }
        );
    }

    #[test]
    fn no_name_of_hardware_leads_elsewhere() {
        for name in [&b"..\0"[..], b"../../etc\0", b"\0", b"a/b\0"] {
            assert_eq!(file_name(name), None, "{}", name.escape_ascii());
        }
        assert_eq!(file_name(b"0000:00:05.0\0").as_deref(), Some("0000:00:05.0"));
    }

    #[test]
    fn the_loopback_is_software_alone() {
        let devices = devices(&BTreeSet::from([1])).unwrap();

        let loopback = &devices[&1];
        assert!(loopback.mtu > 0 && loopback.driver.is_none() && loopback.queues.is_none(), "{loopback:?}");
        assert!(loopback.offloads.as_ref().is_none_or(|offloads| offloads.contains("rx-gro")), "{loopback:?}");
        assert!(loopback.xdp_features.is_none_or(|features| !features.native), "{loopback:?}");
    }
}
