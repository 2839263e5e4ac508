//! Whether a driver would take the program, and what is in the way if not.
//!
//! The kernel's own word on what the driver can do goes before the table. The conditions of the table hold either way: of
//! most settings the kernel only says when a program is attached that they forbid it.

use super::drivers::{self, Condition, Version};
use super::facts::Link;

/// Whether native mode is possible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Native {
    /// It is.
    Possible,
    /// It is not, as things are.
    Hindered(Vec<Obstacle>),
    /// Only trying tells; the text says why.
    Unknown(String),
}

/// Something in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Obstacle {
    /// What it is.
    pub(super) why: String,
    /// The command that removes it, or what else does.
    pub(super) help: Option<String>,
}

/// Judges the interface `name` on a kernel of `version`, with so many CPUs.
pub(super) fn native(name: &str, link: &Link, version: Option<Version>, cpus: Option<u32>) -> Native {
    let driver_name = driver_name(name, link);
    let driver = driver_name.and_then(drivers::find);
    let is_since = |since: Option<Version>| Some(since? <= version?);
    let told = link.device.xdp_features;

    let mut obstacles = Vec::new();
    let frags = told.map_or_else(
        || driver.is_some_and(|driver| is_since(driver.frags_since) == Some(true)),
        |features| features.frags,
    );
    // Programs for frames of several buffers came with 5.18.
    let frags = frags && version.is_none_or(|version| version >= (5, 18));
    if let Some(max) = driver.and_then(|driver| driver.max_mtu).filter(|&max| link.device.mtu > max && !frags) {
        let mtu = link.device.mtu;
        let why = format!("an MTU of {mtu} is too large for its XDP, which takes {max} at most");
        obstacles.push(Obstacle { why, help: Some(format!("ip link set dev {name} mtu {max}")) });
    }
    let conditions = driver.map_or(&[][..], |driver| driver.conditions);
    obstacles.extend(conditions.iter().filter_map(|&condition| hindered(condition, name, link, version, cpus)));

    let shown = driver_name.unwrap_or("unknown");
    let is_able = told.map(|features| features.native).or_else(|| {
        let driver = driver?;
        if driver.since.is_none() { Some(false) } else { is_since(driver.since) }
    });
    match is_able {
        Some(true) if obstacles.is_empty() => Native::Possible,
        Some(true) => Native::Hindered(obstacles),
        // Some drivers say that they cannot for as long as a setting forbids it.
        Some(false) if told.is_some() && !obstacles.is_empty() => Native::Hindered(obstacles),
        Some(false) => {
            let since = driver.and_then(|driver| driver.since).filter(|&since| is_since(Some(since)) == Some(false));
            obstacles.insert(0, unable(shown, since));
            Native::Hindered(obstacles)
        }
        None if driver.is_some() => Native::Unknown("the kernel's version is not known".to_owned()),
        None => {
            Native::Unknown(format!("what the driver {shown} can do is not known: it is tried when the daemon starts"))
        }
    }
}

/// The driver of the hardware, or the kind of a device that is software.
pub(super) fn driver_name<'a>(name: &str, link: &'a Link) -> Option<&'a str> {
    let loopback = (name == "lo" && link.index == 1).then_some("loopback");
    link.device.driver.as_deref().or(link.kind.as_deref()).or(loopback)
}

fn unable(driver: &str, since: Option<Version>) -> Obstacle {
    match since {
        Some((major, minor)) => Obstacle {
            why: format!("the driver {driver} has XDP only since Linux {major}.{minor}"),
            help: Some(format!("a kernel of version {major}.{minor} or later")),
        },
        None if driver == "gve" => Obstacle {
            why: "the driver gve has no XDP for this machine's format of queues".to_owned(),
            help: Some("a later kernel, or a machine type whose gVNIC uses the format GQI-QPL".to_owned()),
        },
        None => Obstacle { why: format!("the driver {driver} has no XDP"), help: None },
    }
}

fn hindered(
    condition: Condition,
    name: &str,
    link: &Link,
    version: Option<Version>,
    cpus: Option<u32>,
) -> Option<Obstacle> {
    let is_on = |offload: &str| link.device.offloads.as_ref().is_some_and(|offloads| offloads.contains(offload));
    let queues = link.device.queues;
    match condition {
        Condition::NoLro => is_on("rx-lro").then(|| Obstacle {
            why: "large receive offload is on".to_owned(),
            help: Some(format!("ethtool -K {name} lro off")),
        }),
        Condition::NoHardwareGro => is_on("rx-gro-hw").then(|| Obstacle {
            why: "generic receive offload by the hardware is on".to_owned(),
            help: Some(format!("ethtool -K {name} rx-gro-hw off")),
        }),
        Condition::HalfOfCombined => {
            let queues = queues?.combined;
            (queues.current * 2 > queues.max).then(|| Obstacle {
                why: format!("{} of {} queues are in use; XDP needs another one for each", queues.current, queues.max),
                help: (queues.max > 1).then(|| format!("ethtool -L {name} combined {}", queues.max / 2)),
            })
        }
        Condition::HalfOfEach => {
            let (rx, tx) = (queues?.rx, queues?.tx);
            (rx.current != tx.current || tx.current * 2 > tx.max).then(|| {
                let most = rx.max.min(tx.max / 2);
                Obstacle {
                    why: format!(
                        "{} queues receive and {} send, of {} each; XDP needs as many of both, and at most half of them",
                        rx.current, tx.current, tx.max
                    ),
                    help: (most > 0).then(|| format!("ethtool -L {name} rx {most} tx {most}")),
                }
            })
        }
        Condition::GuestOffloads => guest_offloads(link.device.virtio_features.as_deref()?),
        Condition::SparePairs => {
            let (queues, cpus) = (queues?.combined, cpus?);
            (version? < (5, 13) && queues.current + cpus > queues.max).then(|| Obstacle {
                why: format!(
                    "{} of {} pairs of queues are in use; before Linux 5.13, XDP needs another one for each of {cpus} CPUs",
                    queues.current, queues.max
                ),
                help: Some(match queues.max.saturating_sub(cpus) {
                    0 => format!("on the host give the device {} pairs of queues (QEMU: queues={0})", 2 * cpus),
                    left => format!("ethtool -L {name} combined {left}"),
                }),
            })
        }
    }
}

/// Numbers of features, by the specification of virtio: what a host may do to packets on their way to the guest, and with
/// [`CTRL_GUEST_OFFLOADS`] lets the guest turn off. With the names that QEMU has for them.
const CTRL_GUEST_OFFLOADS: usize = 2;
const GUEST_OFFLOADS: [(usize, &str); 7] = [
    (1, "guest_csum"),
    (7, "guest_tso4"),
    (8, "guest_tso6"),
    (9, "guest_ecn"),
    (10, "guest_ufo"),
    (54, "guest_uso4"),
    (55, "guest_uso6"),
];

fn guest_offloads(features: &str) -> Option<Obstacle> {
    let has = |number: usize| features.as_bytes().get(number) == Some(&b'1');
    let on: Vec<&str> = GUEST_OFFLOADS.iter().filter(|(number, _)| has(*number)).map(|(_, name)| *name).collect();
    if has(CTRL_GUEST_OFFLOADS) || on.is_empty() {
        return None;
    }
    let off: Vec<String> = on.iter().map(|name| format!("{name}=off")).collect();
    Some(Obstacle {
        why: format!(
            "the host joins packets or leaves out checksums ({}), and this cannot be turned off here",
            on.join(", ")
        ),
        help: Some(format!(
            "on the host (QEMU) start the machine with -device virtio-net-pci,…,ctrl_guest_offloads=on or with {}",
            off.join(",")
        )),
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{link, offloads, queues};
    use super::*;
    use crate::network::{Device, QueueCount, Queues, XdpFeatures};

    const ABLE: Option<XdpFeatures> = Some(XdpFeatures { native: true, frags: false });

    fn on(driver: &str, device: Device, version: Version) -> Native {
        native("eth0", &link(Some(driver), device), Some(version), Some(4))
    }

    fn helps(native: &Native) -> Vec<&str> {
        match native {
            Native::Hindered(obstacles) => {
                obstacles.iter().map(|obstacle| obstacle.help.as_deref().unwrap_or("nothing")).collect()
            }
            Native::Possible => vec!["possible"],
            Native::Unknown(why) => panic!("{why}"),
        }
    }

    #[test]
    fn each_cloud_driver_as_it_comes_has_the_command_that_makes_native_possible() {
        let jumbo = |queues| Device { mtu: 9001, queues, xdp_features: ABLE, ..Device::default() };
        assert_eq!(
            helps(&on("ena", jumbo(queues(8, 8)), (6, 1))),
            ["ip link set dev eth0 mtu 3498", "ethtool -L eth0 combined 4"]
        );

        let each = |rx, tx, max| Queues {
            rx: QueueCount { current: rx, max },
            tx: QueueCount { current: tx, max },
            ..Queues::default()
        };
        let gve = |queues, offload| Device {
            mtu: 1460,
            queues: Some(queues),
            offloads: offloads(&[offload]),
            xdp_features: ABLE,
            ..Device::default()
        };
        assert_eq!(
            helps(&on("gve", gve(each(16, 16, 16), "rx-lro"), (6, 6))),
            ["ethtool -K eth0 lro off", "ethtool -L eth0 rx 8 tx 8"]
        );
        assert_eq!(helps(&on("gve", gve(each(4, 8, 16), "rx-gro"), (6, 6))), ["ethtool -L eth0 rx 8 tx 8"]);
        assert_eq!(helps(&on("gve", gve(each(8, 8, 16), "rx-gro"), (6, 6))), ["possible"]);

        let azure = Device { mtu: 4000, offloads: offloads(&["rx-lro"]), ..Device::default() };
        assert_eq!(
            helps(&on("hv_netvsc", azure, (5, 15))),
            ["ip link set dev eth0 mtu 3506", "ethtool -K eth0 lro off"]
        );
        let jumbo = Device { mtu: 9000, ..Device::default() };
        assert_eq!(helps(&on("ixgbevf", jumbo.clone(), (5, 10))), ["ip link set dev eth0 mtu 3050"]);
        assert_eq!(helps(&on("virtio_net", jumbo.clone(), (6, 1))), ["ip link set dev eth0 mtu 3506"]);
        assert_eq!(helps(&on("virtio_net", jumbo, (6, 3))), ["possible"], "in several buffers");
    }

    /// As they are after the commands above.
    #[test]
    fn each_cloud_driver_is_native_once_the_commands_were_run() {
        let combined = Device { mtu: 3498, queues: queues(4, 8), xdp_features: ABLE, ..Device::default() };
        assert_eq!(on("ena", combined, (6, 1)), Native::Possible);
        for (driver, mtu, version) in [
            ("gve", 1460, (6, 4)),
            ("hv_netvsc", 3506, (5, 15)),
            ("ixgbevf", 3050, (5, 10)),
            ("virtio_net", 3506, (6, 1)),
        ] {
            let half = QueueCount { current: 8, max: 16 };
            let queues = Some(Queues { rx: half, tx: half, combined: QueueCount { current: 4, max: 8 } });
            let device = Device { mtu, queues, offloads: offloads(&["rx-gro"]), ..Device::default() };
            assert_eq!(on(driver, device, version), Native::Possible, "{driver}");
        }
    }

    #[test]
    fn a_virtio_host_that_joins_packets_must_let_the_guest_turn_it_off() {
        let bits =
            |numbers: &[usize]| (0..64).map(|n| if numbers.contains(&n) { '1' } else { '0' }).collect::<String>();
        let device = |numbers| Device {
            mtu: 1500,
            virtio_features: Some(bits(numbers)),
            xdp_features: Some(XdpFeatures { native: true, frags: true }),
            ..Device::default()
        };

        let hindered = on("virtio_net", device(&[0, 1, 7, 8]), (6, 18));
        assert_eq!(
            helps(&hindered),
            ["on the host (QEMU) start the machine with -device virtio-net-pci,…,ctrl_guest_offloads=on or with \
              guest_csum=off,guest_tso4=off,guest_tso6=off"]
        );
        assert_eq!(on("virtio_net", device(&[0, 1, 2, 7, 8]), (6, 18)), Native::Possible);
        assert_eq!(on("virtio_net", device(&[0]), (6, 18)), Native::Possible);
        assert_eq!(on("virtio_net", Device { virtio_features: None, ..device(&[]) }, (6, 18)), Native::Possible);
    }

    #[test]
    fn before_5_13_virtio_needs_spare_pairs_of_queues() {
        let device = |current, max| Device { mtu: 1500, queues: queues(current, max), ..Device::default() };

        assert_eq!(
            helps(&on("virtio_net", device(4, 4), (5, 10))),
            ["on the host give the device 8 pairs of queues (QEMU: queues=8)"]
        );
        assert_eq!(helps(&on("virtio_net", device(8, 8), (5, 10))), ["ethtool -L eth0 combined 4"]);
        assert_eq!(on("virtio_net", device(4, 8), (5, 10)), Native::Possible);
        assert_eq!(on("virtio_net", device(4, 4), (5, 13)), Native::Possible);
    }

    #[test]
    fn an_mtu_is_too_large_only_without_frames_of_several_buffers() {
        let device = |features| Device { mtu: 9000, xdp_features: features, ..Device::default() };
        let features = |frags| Some(XdpFeatures { native: true, frags });

        assert_eq!(on("veth", device(features(true)), (6, 6)), Native::Possible);
        assert_eq!(helps(&on("veth", device(features(false)), (6, 6))), ["ip link set dev eth0 mtu 3498"]);
        assert_eq!(on("veth", device(None), (5, 18)), Native::Possible, "by the table");
        assert_eq!(helps(&on("veth", device(None), (5, 15))), ["ip link set dev eth0 mtu 3498"]);
    }

    #[test]
    fn the_kernels_word_goes_before_the_table() {
        let device = |features| Device { mtu: 1500, xdp_features: features, ..Device::default() };
        let unable = Some(XdpFeatures { native: false, frags: false });

        assert_eq!(on("e1000", device(ABLE), (6, 6)), Native::Possible, "in no table");
        assert_eq!(on("igb", device(ABLE), (5, 4)), Native::Possible, "brought to an older kernel");
        assert_eq!(helps(&on("igb", device(unable), (6, 6))), ["nothing"]);
        assert_eq!(helps(&on("gve", device(None), (6, 1))), ["a kernel of version 6.4 or later"]);
        assert_eq!(helps(&on("bridge", device(None), (6, 1))), ["nothing"]);
        assert!(matches!(on("e1000", device(None), (6, 1)), Native::Unknown(_)));
    }

    #[test]
    fn a_driver_that_cannot_because_of_a_setting_is_told_by_the_setting() {
        let device = Device {
            mtu: 1500,
            offloads: offloads(&["rx-gro-hw"]),
            xdp_features: Some(XdpFeatures { native: false, frags: false }),
            ..Device::default()
        };

        assert_eq!(helps(&on("mlx5_core", device, (6, 6))), ["ethtool -K eth0 rx-gro-hw off"]);
    }
}
