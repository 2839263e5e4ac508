//! What a CPU notes for itself alone, and what it tells of a packet it dropped.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A CPU's notes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// The kernel's tick count at which `boot_ns` was read: within a tick, 1 to 10 ms, the clock is not read again.
    pub tick: u64,
    /// `CLOCK_BOOTTIME` in nanoseconds.
    pub boot_ns: u64,
    /// When the last [`Dropped`] was told, in units of 64 ticks.
    pub told: u64,
}

impl Trace {
    /// A drop is told once in this many ticks, as a power of two: 64, which is 2 to 16 in a second.
    pub const TELL_SHIFT: u32 = 6;
}

/// What a CPU has counted on one ban lately, and not yet added to the ban.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Whose ban: the bytes of its key as a native integer.
    pub key: u64,
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
    /// When the last of them was dropped, `CLOCK_BOOTTIME` in nanoseconds.
    pub last_ns: u64,
    /// When some were last added to the ban.
    pub added_ns: u64,
}

impl Tally {
    /// Tallies of a CPU for each kind of ban.
    pub const SLOTS: u32 = 256;

    /// Packets after which a tally is added to its ban.
    pub const MOST_PACKETS: u64 = 64;

    /// The time after which it is, in nanoseconds.
    pub const MOST_NS: u64 = 1_000_000_000;

    /// Two times of a clock that is read once in a tick, 10 ms at most, may be in the wrong order by this, in nanoseconds.
    const TWO_TICKS_NS: u64 = 20_000_000;

    /// Begins anew, for the ban with this key.
    #[inline(always)]
    pub const fn begin(&mut self, key: u64, now_ns: u64) {
        self.key = key;
        self.packets = 0;
        self.bytes = 0;
        self.added_ns = now_ns;
    }

    /// Whether it is to be added to its ban when `more` packets have been counted, at `now_ns`.
    #[inline(always)]
    #[must_use]
    pub const fn is_full_with(&self, more: u64, now_ns: u64) -> bool {
        self.packets + more >= Self::MOST_PACKETS || self.is_over(now_ns)
    }

    /// Whether its time is over: another ban may have its place.
    #[inline(always)]
    #[must_use]
    pub const fn is_over(&self, now_ns: u64) -> bool {
        now_ns.wrapping_sub(self.added_ns) >= Self::MOST_NS
    }

    /// Whether it is of an earlier ban than the one whose first packet was dropped at `first_drop_ns`.
    #[inline(always)]
    #[must_use]
    pub const fn is_of_before(&self, first_drop_ns: u64) -> bool {
        self.last_ns + Self::TWO_TICKS_NS < first_drop_ns
    }

    /// Where the tally of the ban with this key is.
    #[inline(always)]
    #[must_use]
    pub const fn slot(key: u64) -> u32 {
        (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u32
    }
}

/// A packet that was dropped, or would have been: one of many.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// When, `CLOCK_BOOTTIME` in nanoseconds.
    pub boot_ns: u64,
    /// Source address in network order; of IPv4 the first four bytes.
    pub source: [u8; 16],
    /// Index of the interface in the interfaces' table.
    pub interface: u32,
    /// Destination port; 0 if the packet has none.
    pub port: u16,
    /// 4 or 6.
    pub version: u8,
    /// The [`crate::Outcome`].
    pub outcome: u8,
}

impl Dropped {
    /// Reads one from the ring; `None` if it is of another size.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; size_of::<Self>()] = bytes.try_into().ok()?;
        let [n0, n1, n2, n3, n4, n5, n6, n7, source @ .., i0, i1, i2, i3, p0, p1, version, outcome] = *bytes;
        Some(Self {
            boot_ns: u64::from_ne_bytes([n0, n1, n2, n3, n4, n5, n6, n7]),
            source,
            interface: u32::from_ne_bytes([i0, i1, i2, i3]),
            port: u16::from_ne_bytes([p0, p1]),
            version,
            outcome,
        })
    }

    /// The source address; `None` if the version is neither 4 nor 6.
    #[must_use]
    pub const fn addr(&self) -> Option<IpAddr> {
        match self.version {
            4 => {
                let [a, b, c, d, ..] = self.source;
                Some(IpAddr::V4(Ipv4Addr::new(a, b, c, d)))
            }
            6 => Some(IpAddr::V6(Ipv6Addr::from_bits(u128::from_be_bytes(self.source)))),
            _ => None,
        }
    }
}

const _: () = assert!(size_of::<Trace>() == 24 && size_of::<Tally>() == 40 && size_of::<Dropped>() == 32);

#[cfg(feature = "user")]
mod pod {
    use super::{Tally, Trace};

    // SAFETY: three u64s, no padding.
    unsafe impl aya::Pod for Trace {}
    // SAFETY: five u64s, no padding.
    unsafe impl aya::Pod for Tally {}
}
