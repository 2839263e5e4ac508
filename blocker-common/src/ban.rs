//! One ban, as the kernel knows it.

/// Set in [`Ban::flags`]: the ban has no deadline, whatever [`Ban::deadline_ns`] says.
pub const FOREVER: u32 = 1;

/// Set in [`Ban::flags`]: something that is allow-listed lies in the prefix, so the allowlist is asked before a drop.
pub const HOLDS_ALLOWED: u32 = 2;

/// A banned prefix: which ports are closed to it, until when, and what came of it.
///
/// Written by the daemon alone, but for the four fields that the program counts in. What a CPU counts lately is in its own
/// [`crate::Tally`], and added here from time to time: CPUs that drop packets of one source do not wait for each other.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ban {
    /// A bit per jail that bans the prefix; with [`crate::SCOPE_ALL`] every port is closed.
    pub scope: u64,
    /// The instant the last of these bans ends, `CLOCK_BOOTTIME` in nanoseconds. A packet at that instant passes.
    pub deadline_ns: u64,
    /// Packets dropped, or that would have been, in the mode `observe`; so for all below.
    pub packets: u64,
    /// Bytes dropped, of frames as far as they lie in one buffer.
    pub bytes: u64,
    /// When the first was dropped, `CLOCK_BOOTTIME` in nanoseconds; 0 if none was.
    pub first_drop_ns: u64,
    /// When the last was dropped.
    pub last_drop_ns: u64,
    /// [`FOREVER`] and [`HOLDS_ALLOWED`].
    pub flags: u32,
    /// The prefix's length in bits: with it the program finds the next wider network.
    pub prefix_len: u32,
}

impl Ban {
    /// Whether the ban is over at `now_ns`, `CLOCK_BOOTTIME`.
    #[inline(always)]
    #[must_use]
    pub const fn is_expired(&self, now_ns: u64) -> bool {
        self.flags & FOREVER == 0 && self.deadline_ns <= now_ns
    }
}

const _: () = assert!(size_of::<Ban>() == 56 && align_of::<Ban>() == 8);

#[cfg(feature = "user")]
// SAFETY: `Ban` is `repr(C)`, made of integers, and has no padding (asserted above: 6 × 8 + 2 × 4 bytes).
unsafe impl aya::Pod for Ban {}
