//! What a driver can do of XDP in the kernel's own words: the netlink family `netdev` (Linux 6.3).

use anyhow::Result;

use super::genetlink::Family;
use super::netlink::attributes;
use super::netlink::written::numbered;

/// The family.
#[derive(Clone, Copy, Debug)]
pub(super) struct Netdev(Family);

/// What a driver can do of XDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XdpFeatures {
    /// Run programs.
    pub native: bool,
    /// Give them frames of several buffers.
    pub frags: bool,
}

impl Netdev {
    /// The family; none if the kernel has it not.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub(super) fn find() -> Result<Option<Self>> {
        Ok(Family::find("netdev")?.map(Self))
    }

    /// What the driver of the interface `index` can do; none if the kernel does not tell.
    pub(super) fn xdp_features(self, index: u32) -> Option<XdpFeatures> {
        self.0.ask(NETDEV_CMD_DEV_GET, &numbered(NETDEV_A_DEV_IFINDEX, index), features).ok().flatten()
    }
}

/// `include/uapi/linux/netdev.h`.
const NETDEV_CMD_DEV_GET: u8 = 1;
const NETDEV_A_DEV_IFINDEX: u16 = 1;
const NETDEV_A_DEV_XDP_FEATURES: u16 = 3;
const NETDEV_XDP_ACT_BASIC: u64 = 1;
const NETDEV_XDP_ACT_RX_SG: u64 = 32;

fn features(answer: &[u8]) -> Option<XdpFeatures> {
    let (_, value) = attributes(answer).find(|(kind, _)| *kind == NETDEV_A_DEV_XDP_FEATURES)?;
    let bits = u64::from_ne_bytes(*value.first_chunk()?);
    Some(XdpFeatures { native: bits & NETDEV_XDP_ACT_BASIC != 0, frags: bits & NETDEV_XDP_ACT_RX_SG != 0 })
}

#[cfg(test)]
mod tests {
    use super::super::netlink::written::attribute;
    use super::*;

    #[test]
    fn the_bits_tell_what_a_driver_can_do() {
        let told = |bits: u64| features(&attribute(NETDEV_A_DEV_XDP_FEATURES, &bits.to_ne_bytes()));

        assert_eq!(told(0), Some(XdpFeatures { native: false, frags: false }));
        assert_eq!(told(0b11), Some(XdpFeatures { native: true, frags: false }));
        assert_eq!(told(0x7f), Some(XdpFeatures { native: true, frags: true }));
        assert_eq!(features(&attribute(NETDEV_A_DEV_XDP_FEATURES, &[1, 0, 0, 0])), None);
    }
}
