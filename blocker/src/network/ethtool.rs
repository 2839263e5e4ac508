//! The settings of a device that `ethtool` shows: queues and offloads, by the kernel's netlink family of that name (5.6).
//!
//! The crate for it (`ethtool`) brings an event loop of its own, and does not know the family `netdev`, which is asked in the
//! same way; here these are two questions over what `netlink.rs` has.

use std::collections::BTreeSet;

use anyhow::Result;
use serde::Serialize;

use super::genetlink::Family;
use super::interfaces::text;
use super::netlink::written::{attribute, numbered};
use super::netlink::{attributes, number};

/// The family.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ethtool(Family);

/// How many queues of a kind there are, and may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct QueueCount {
    /// Now.
    pub current: u32,
    /// At most.
    pub max: u32,
}

/// A device's queues, as `ethtool -l` shows them. A combined one receives and sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Queues {
    /// For receiving alone.
    pub rx: QueueCount,
    /// For sending alone.
    pub tx: QueueCount,
    /// For both.
    pub combined: QueueCount,
}

impl Ethtool {
    /// The family; none if the kernel has it not.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub(super) fn find() -> Result<Option<Self>> {
        Ok(Family::find("ethtool")?.map(Self))
    }

    /// The queues of the interface `index`; none if its driver does not tell.
    pub(super) fn queues(self, index: u32) -> Option<Queues> {
        self.0.ask(ETHTOOL_MSG_CHANNELS_GET, &device(index), |answer| Some(queues(answer))).ok().flatten()
    }

    /// The names of the offloads that are on; none if the kernel does not tell.
    pub(super) fn offloads(self, index: u32) -> Option<BTreeSet<String>> {
        self.0.ask(ETHTOOL_MSG_FEATURES_GET, &device(index), offloads).ok().flatten()
    }
}

/// `include/uapi/linux/ethtool_netlink.h`.
const ETHTOOL_MSG_FEATURES_GET: u8 = 11;
const ETHTOOL_MSG_CHANNELS_GET: u8 = 17;
const ETHTOOL_A_HEADER_DEV_INDEX: u16 = 1;
const ETHTOOL_A_CHANNELS_RX_MAX: u16 = 2;
const ETHTOOL_A_CHANNELS_TX_MAX: u16 = 3;
const ETHTOOL_A_CHANNELS_COMBINED_MAX: u16 = 5;
const ETHTOOL_A_CHANNELS_RX_COUNT: u16 = 6;
const ETHTOOL_A_CHANNELS_TX_COUNT: u16 = 7;
const ETHTOOL_A_CHANNELS_COMBINED_COUNT: u16 = 9;
const ETHTOOL_A_FEATURES_ACTIVE: u16 = 4;
const ETHTOOL_A_BITSET_BITS: u16 = 3;
const ETHTOOL_A_BITSET_BIT_NAME: u16 = 2;

/// In both questions the attribute of number 1 is which device is meant. `include/uapi/linux/netlink.h` marks attributes
/// that hold attributes.
fn device(index: u32) -> Vec<u8> {
    const NLA_F_NESTED: u16 = 1 << 15;
    attribute(1 | NLA_F_NESTED, &numbered(ETHTOOL_A_HEADER_DEV_INDEX, index))
}

fn queues(answer: &[u8]) -> Queues {
    let mut queues = Queues::default();
    for (kind, value) in attributes(answer) {
        let Some(value) = number(value) else { continue };
        match kind {
            ETHTOOL_A_CHANNELS_RX_MAX => queues.rx.max = value,
            ETHTOOL_A_CHANNELS_TX_MAX => queues.tx.max = value,
            ETHTOOL_A_CHANNELS_COMBINED_MAX => queues.combined.max = value,
            ETHTOOL_A_CHANNELS_RX_COUNT => queues.rx.current = value,
            ETHTOOL_A_CHANNELS_TX_COUNT => queues.tx.current = value,
            ETHTOOL_A_CHANNELS_COMBINED_COUNT => queues.combined.current = value,
            _ => {}
        }
    }
    queues
}

/// The active ones come as a list of bits that are set, each with its name.
fn offloads(answer: &[u8]) -> Option<BTreeSet<String>> {
    let (_, active) = attributes(answer).find(|(kind, _)| *kind == ETHTOOL_A_FEATURES_ACTIVE)?;
    let (_, bits) = attributes(active).find(|(kind, _)| *kind == ETHTOOL_A_BITSET_BITS)?;
    let name = |bit| attributes(bit).find(|(kind, _)| *kind == ETHTOOL_A_BITSET_BIT_NAME);
    Some(attributes(bits).filter_map(|(_, bit)| name(bit).map(|(_, name)| text(name))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_are_read_by_kind() {
        let answer = [
            numbered(ETHTOOL_A_CHANNELS_COMBINED_MAX, 16),
            numbered(ETHTOOL_A_CHANNELS_COMBINED_COUNT, 8),
            numbered(ETHTOOL_A_CHANNELS_RX_MAX, 4),
            numbered(ETHTOOL_A_CHANNELS_TX_COUNT, 3),
            attribute(ETHTOOL_A_CHANNELS_RX_COUNT, &[1]),
        ];

        let queues = queues(&answer.concat());

        assert_eq!(queues.combined, QueueCount { current: 8, max: 16 });
        assert_eq!((queues.rx, queues.tx.current), (QueueCount { current: 0, max: 4 }, 3));
    }

    #[test]
    fn offloads_are_the_active_bits_by_name() {
        let bit = |name: &[u8]| attribute(1, &[numbered(1, 7), attribute(ETHTOOL_A_BITSET_BIT_NAME, name)].concat());
        let bits = attribute(ETHTOOL_A_BITSET_BITS, &[bit(b"rx-lro\0"), bit(b"rx-gro\0")].concat());
        let other = attribute(2, &attribute(ETHTOOL_A_BITSET_BITS, &bit(b"rx-all\0")));

        let active = offloads(&[other, attribute(ETHTOOL_A_FEATURES_ACTIVE, &bits)].concat()).unwrap();

        assert_eq!(active, BTreeSet::from(["rx-gro".to_owned(), "rx-lro".to_owned()]));
        assert_eq!(offloads(&[]), None);
    }

    #[test]
    fn a_device_that_is_not_there_tells_nothing() {
        if let Some(ethtool) = Ethtool::find().unwrap() {
            assert_eq!((ethtool.queues(u32::MAX >> 1), ethtool.offloads(u32::MAX >> 1)), (None, None));
        }
    }
}
