//! What is known of drivers' XDP, for what the kernel does not tell: before Linux 6.3 whether a driver has it at all, and on
//! every kernel under which conditions.
//!
//! Versions are those of the mainline kernel; distributions bring some of it to older ones, so that a driver that is too
//! old by this table may do better when tried. Sources: the kernel's own drivers, and the table of drivers and of largest MTUs
//! (with pages of 4 KiB) in the documentation of program type XDP at docs.ebpf.io.

/// A version of Linux, major and minor number.
pub(super) type Version = (u32, u32);

/// A driver, or a kind of device that is software.
#[derive(Clone, Copy, Debug)]
pub(super) struct Driver {
    /// As the kernel calls it.
    pub(super) name: &'static str,
    /// Since when it runs XDP programs; none if it does not.
    pub(super) since: Option<Version>,
    /// Since when it gives them frames of several buffers; none if it does not.
    pub(super) frags_since: Option<Version>,
    /// The largest MTU with frames of one buffer, in bytes; none if there is no such bound.
    pub(super) max_mtu: Option<u32>,
    /// What else it asks for.
    pub(super) conditions: &'static [Condition],
}

/// What a driver asks for before it runs XDP programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// No large receive offload.
    NoLro,
    /// No generic receive offload by the hardware.
    NoHardwareGro,
    /// At most half as many combined queues as there may be: each gets one more for sending from XDP.
    HalfOfCombined,
    /// As many queues for receiving as for sending, and at most half as many as there may be.
    HalfOfEach,
    /// A virtual machine's host that joins or does not check packets must let the guest turn that off.
    GuestOffloads,
    /// Before 5.13, a spare pair of queues for each CPU.
    SparePairs,
}

/// The driver called `name`.
pub(super) fn find(name: &str) -> Option<&'static Driver> {
    DRIVERS.iter().find(|driver| driver.name == name)
}

const fn driver(name: &'static str, since: Version, frags_since: Option<Version>, max_mtu: Option<u32>) -> Driver {
    Driver { name, since: Some(since), frags_since, max_mtu, conditions: &[] }
}

const fn never(name: &'static str) -> Driver {
    Driver { name, since: None, frags_since: None, max_mtu: None, conditions: &[] }
}

/// The driver with conditions.
const fn asking(driver: Driver, conditions: &'static [Condition]) -> Driver {
    Driver { conditions, ..driver }
}

const DRIVERS: &[Driver] = &[
    // In clouds and on virtual machines.
    asking(driver("virtio_net", (4, 10), Some((6, 3)), Some(3506)), &[Condition::GuestOffloads, Condition::SparePairs]),
    asking(driver("ena", (5, 6), None, Some(3498)), &[Condition::HalfOfCombined]),
    asking(driver("gve", (6, 4), None, Some(2032)), &[Condition::NoLro, Condition::HalfOfEach]),
    asking(driver("hv_netvsc", (5, 6), None, Some(3506)), &[Condition::NoLro]),
    driver("ixgbevf", (4, 17), None, Some(3050)),
    driver("mana", (5, 17), None, Some(3506)),
    driver("vmxnet3", (6, 6), None, Some(3494)),
    driver("vif", (5, 9), None, Some(3840)),
    // Network cards.
    driver("atlantic", (5, 19), Some((5, 19)), Some(2048)),
    driver("bnxt_en", (4, 11), Some((5, 19)), Some(3502)),
    driver("i40e", (4, 13), Some((6, 4)), Some(3046)),
    driver("ice", (5, 5), Some((6, 3)), Some(3046)),
    driver("igb", (5, 10), None, Some(3046)),
    driver("igc", (5, 13), None, Some(1500)),
    driver("ionic", (6, 9), Some((6, 9)), Some(3502)),
    driver("ixgbe", (4, 12), None, Some(3050)),
    driver("mlx4_core", (4, 8), None, Some(3498)),
    asking(driver("mlx5_core", (4, 9), Some((6, 4)), Some(3498)), &[Condition::NoLro, Condition::NoHardwareGro]),
    driver("mvneta", (5, 5), Some((5, 18)), Some(3520)),
    driver("mvpp2", (5, 9), None, Some(3552)),
    driver("nfp", (4, 10), None, None),
    driver("qede", (4, 10), None, None),
    driver("sfc", (5, 5), None, None),
    // Software. Where it is a bond, its members must have XDP, too.
    driver("bond", (5, 15), None, None),
    driver("tun", (4, 14), None, Some(1500)),
    driver("veth", (4, 19), Some((5, 18)), Some(3498)),
    never("bridge"),
    never("dummy"),
    never("ifb"),
    never("ipvlan"),
    never("loopback"),
    never("macvlan"),
    never("vlan"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_driver_is_known_once_and_none_has_frags_before_xdp() {
        for (position, driver) in DRIVERS.iter().enumerate() {
            let first = DRIVERS.iter().position(|other| other.name == driver.name);
            assert_eq!(first, Some(position), "{}", driver.name);
            assert!(driver.frags_since.is_none_or(|since| Some(since) >= driver.since), "{}", driver.name);
        }
    }

    #[test]
    fn the_drivers_of_the_clouds_are_known() {
        for name in ["virtio_net", "ena", "gve", "hv_netvsc", "ixgbevf"] {
            assert!(find(name).is_some_and(|driver| driver.since.is_some() && driver.max_mtu.is_some()), "{name}");
        }
        assert!(find("e1000").is_none());
    }
}
