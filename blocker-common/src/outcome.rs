//! What happened to a packet, and why.

/// The verdict on one packet with its reason: the index of its counter.
///
/// The names say what was done and why; `main.rs` of the program turns them into XDP actions, in one `match`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Outcome {
    /// Passed: no jail protects this port, or the protocol has none (ICMP always).
    PassUnprotected = 0,
    /// Passed: the port is protected, the source is not banned.
    PassClean = 1,
    /// Passed: the source's ban is over (and the daemon has not yet removed it).
    PassExpired = 2,
    /// Passed: the source is banned, but not from this port.
    PassOutOfScope = 3,
    /// Passed: the source is banned, but allow-listed.
    PassAllowed = 4,
    /// Passed: it would have been dropped, but the mode is `observe`.
    PassObserved = 5,
    /// Passed: not IPv4 or IPv6 (ARP, LLDP, 802.3, PPPoE, …).
    PassNotIp = 6,
    /// Passed: it ends before its headers do.
    PassTruncated = 7,
    /// Passed: its IP header contradicts itself.
    PassMalformed = 8,
    /// Passed: more VLAN tags than are read.
    PassVlanTooDeep = 9,
    /// Dropped: the source is banned from this port.
    DropBanned = 10,
    /// Dropped: the source is banned from some port and hides which one it wants (a first fragment without ports, too
    /// many IPv6 extension headers, or such that reach beyond what can be read).
    DropHidden = 11,
}

impl Outcome {
    /// Every outcome, in the order of its counters.
    pub const ALL: [Self; 12] = [
        Self::PassUnprotected,
        Self::PassClean,
        Self::PassExpired,
        Self::PassOutOfScope,
        Self::PassAllowed,
        Self::PassObserved,
        Self::PassNotIp,
        Self::PassTruncated,
        Self::PassMalformed,
        Self::PassVlanTooDeep,
        Self::DropBanned,
        Self::DropHidden,
    ];

    /// Its name in `status`, its counter's key in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PassUnprotected => "pass_unprotected",
            Self::PassClean => "pass_clean",
            Self::PassExpired => "pass_expired",
            Self::PassOutOfScope => "pass_out_of_scope",
            Self::PassAllowed => "pass_allowed",
            Self::PassObserved => "pass_observed",
            Self::PassNotIp => "pass_not_ip",
            Self::PassTruncated => "pass_truncated",
            Self::PassMalformed => "pass_malformed",
            Self::PassVlanTooDeep => "pass_vlan_too_deep",
            Self::DropBanned => "drop_banned",
            Self::DropHidden => "drop_hidden",
        }
    }
}

/// Where the counter of `outcome` is for the interface at `interface` of the interfaces' table: 16 for each.
#[inline(always)]
#[must_use]
pub const fn counter_index(interface: u32, outcome: Outcome) -> u32 {
    (interface << 4) | outcome as u32
}

const _: () = assert!(Outcome::ALL.len() <= 16);

/// Packets that came to one outcome, on one interface and one CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counter {
    /// Packets.
    pub packets: u64,
    /// Bytes, of frames as far as they lie in one buffer.
    pub bytes: u64,
}

#[cfg(feature = "user")]
// SAFETY: two u64s, no padding.
unsafe impl aya::Pod for Counter {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_its_own_counter() {
        for (index, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, index, "{}", outcome.name());
        }
    }
}
