//! Made-up machines, for the tests of what judges them.

use std::collections::BTreeSet;

use blocker_core::config::{Attach, Config};

use super::facts::{Configuration, Daemon, Facts, Interfaces, Link, Machine, Place};
use crate::kernel::{Bpffs, Capacity, Release};
use crate::network::{Device, QueueCount, Queues, Suitability, XdpFeatures};

/// A machine on which all is well, with one interface `eth0`.
pub(super) fn well() -> Facts {
    let able = Device { mtu: 1500, xdp_features: Some(XdpFeatures { native: true, frags: true }), ..Device::default() };
    Facts {
        machine: Machine {
            release: Ok(Release { text: "6.12.9".to_owned(), version: (6, 12) }),
            has_btf: true,
            jit: Ok(1),
            pins: "/sys/fs/bpf/blocker".into(),
            bpffs: Ok(Bpffs::There),
            memlock: Some(8 << 20),
            may_raise_limits: true,
            memory_limit: Ok(None),
            capacity: Capacity { ipv4: 1 << 20, ipv6: 1 << 18 },
            missing_capabilities: Ok(Vec::new()),
            is_root: true,
            is_in_user_namespace: false,
            lockdown: Ok(None),
            unprivileged_bpf_disabled: Ok(2),
            possible_cpus: Ok(4),
        },
        configuration: Configuration::Good {
            path: "/etc/blocker/blocker.toml".into(),
            config: Box::new(Config::default()),
        },
        daemon: Daemon::NotRunning,
        interfaces: Ok(Interfaces {
            ways: vec![Attach::Native, Attach::Generic, Attach::Tcx],
            are_routes_whole: true,
            is_auto: true,
            places: vec![place("eth0", link(Some("virtio_net"), able))],
        }),
        logs: Vec::new(),
        listening: Ok(BTreeSet::new()),
    }
}

pub(super) fn place(name: &str, link: Link) -> Place {
    Place { name: name.to_owned(), carries: Vec::new(), link: Ok(link) }
}

/// An interface with this driver, to which nothing is attached.
pub(super) fn link(driver: Option<&str>, device: Device) -> Link {
    Link {
        index: 2,
        suitability: Suitability::Ethernet,
        kind: None,
        device: Device { driver: driver.map(str::to_owned), ..device },
        program: None,
        ours: Ok(None),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the field it is for may be unknown")]
pub(super) fn offloads(names: &[&str]) -> Option<BTreeSet<String>> {
    Some(names.iter().copied().map(str::to_owned).collect())
}

/// Combined queues.
#[expect(clippy::unnecessary_wraps, reason = "the field it is for may be unknown")]
pub(super) fn queues(current: u32, max: u32) -> Option<Queues> {
    Some(Queues { combined: QueueCount { current, max }, ..Queues::default() })
}
