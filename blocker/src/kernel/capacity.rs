//! How many bans the maps take.

use std::fs;

use blocker_common::{MAX_BANS4, MAX_BANS6, MapName, Shape};

/// Bytes that a ban takes, in the kernel's map and in the ban book together, measured with a million of them.
const BYTES_PER_BAN: u64 = 330;

/// Bytes of the maps without bans and of the daemon itself: the bitmaps take 4 MiB, the ports 1 MiB; the rest is for the
/// tallies of each CPU and the daemon's own memory.
const BYTES_WITHOUT_BANS: u64 = 16 * 1024 * 1024;

/// The share of the machine's memory that all bans may take unless the configuration says otherwise.
const SHARE: u64 = 8;

/// Fewest IPv4 bans that the default comes to.
const LEAST: u64 = 16_384;

/// Most bans of hosts and /64s; the maps are made for so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// IPv4 hosts.
    pub ipv4: u32,
    /// IPv6 /64s.
    pub ipv6: u32,
}

impl Capacity {
    /// What is configured; else a million IPv4 hosts and a quarter of that in IPv6, or less where memory is small.
    #[must_use]
    pub fn configured(ipv4: Option<u32>, ipv6: Option<u32>) -> Self {
        let default = Self::for_memory(memory().unwrap_or(u64::MAX));
        Self { ipv4: ipv4.unwrap_or(default.ipv4), ipv6: ipv6.unwrap_or(default.ipv6) }
    }

    /// Memory that as many bans take, in bytes, and the maps that are there without any.
    #[must_use]
    pub fn bytes(self) -> u64 {
        BYTES_WITHOUT_BANS + (u64::from(self.ipv4) + u64::from(self.ipv6)) * BYTES_PER_BAN
    }

    /// What the object's maps are made for, if nobody says otherwise.
    #[must_use]
    pub fn of_the_object() -> Self {
        Self { ipv4: MAX_BANS4, ipv6: MAX_BANS6 }
    }

    /// The default for a machine with so many bytes of memory.
    fn for_memory(bytes: u64) -> Self {
        let bans = (bytes / SHARE / BYTES_PER_BAN).clamp(LEAST, MAX_BANS4.into());
        // A power of two, as the kernel's hash would make it.
        let ipv4 = 1_u32 << bans.ilog2();
        Self { ipv4, ipv6: (ipv4 / 4).min(MAX_BANS6) }
    }

    /// The shape of a map that takes so many.
    pub(super) fn shape(self, name: MapName) -> Shape {
        match name {
            MapName::Bans4 => Shape { max_entries: self.ipv4, ..name.shape() },
            MapName::Bans6 => Shape { max_entries: self.ipv6, ..name.shape() },
            MapName::Config
            | MapName::Jails
            | MapName::Ports
            | MapName::SctpPorts
            | MapName::Networks4
            | MapName::Networks6
            | MapName::Allow4
            | MapName::Allow6
            | MapName::Counters
            | MapName::Present4
            | MapName::Present6
            | MapName::Interfaces
            | MapName::Traces
            | MapName::Tallies4
            | MapName::Tallies6
            | MapName::Drops => name.shape(),
        }
    }
}

/// The machine's memory in bytes.
fn memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_where_there_is_memory_and_less_where_there_is_not() {
        const MIB: u64 = 1 << 20;
        assert_eq!(Capacity::for_memory(u64::MAX), Capacity { ipv4: 1 << 20, ipv6: 1 << 18 });
        assert_eq!(Capacity::for_memory(4096 * MIB), Capacity { ipv4: 1 << 20, ipv6: 1 << 18 });
        assert_eq!(Capacity::for_memory(1024 * MIB), Capacity { ipv4: 1 << 18, ipv6: 1 << 16 });
        assert_eq!(Capacity::for_memory(16 * MIB), Capacity { ipv4: 1 << 14, ipv6: 1 << 12 });
    }

    #[test]
    fn this_machine_has_memory() {
        assert!(memory().is_some_and(|bytes| bytes > 1 << 20));
    }
}
