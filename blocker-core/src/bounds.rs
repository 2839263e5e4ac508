//! How large the engine's tables may grow.

/// How large the tables may grow. What happens at each bound is counted in [`Stats`].
///
/// The bounds on bans must not exceed the sizes of the kernel's tables.
///
/// [`Stats`]: crate::engine::Stats
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Most (jail, prefix) pairs whose failures are counted at once. Beyond it, the one that failed longest ago is forgotten.
    pub max_sources: usize,
    /// Most single IPv4 hosts banned at once. Beyond it, the ban soonest to end gives way; so for the next two.
    pub max_bans_v4: usize,
    /// Most IPv6 /64 networks banned at once.
    pub max_bans_v6: usize,
    /// Most other prefixes banned at once, IPv4 and IPv6 together.
    pub max_networks: usize,
    /// Most banned prefixes of that last kind that may lie one inside another: the kernel follows them by look-ups, and
    /// the verifier wants their number bounded. A ban beyond it is refused.
    pub max_nesting: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { max_sources: 65_536, max_bans_v4: 1_048_576, max_bans_v6: 262_144, max_networks: 16_384, max_nesting: 8 }
    }
}
