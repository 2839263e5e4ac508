//! The programs and maps: their names, which are also those of their pins, and the maps' shapes.

use crate::{
    Address4, Address6, Allowed, Ban, Config, Counter, Host4, Interface, JailName, MAX_INTERFACES, MAX_JAILS, Network6,
    PORT_TABLE_LEN, SCTP_TABLE_LEN, Tally, Trace, presence,
};

/// Most IPv4 hosts banned at once: 16 MiB empty, about 130 bytes for each ban.
pub const MAX_BANS4: u32 = 1 << 20;

/// Most IPv6 /64s banned at once.
pub const MAX_BANS6: u32 = 1 << 18;

/// Most networks of each family banned at once.
pub const MAX_NETWORKS: u32 = 1 << 14;

/// Most prefixes of each family allow-listed at once.
pub const MAX_ALLOWED: u32 = 1 << 12;

/// Size of the ring of sampled drops, in bytes.
pub const DROPS_BYTES: u32 = 1 << 18;

/// The program's constant, set when it is loaded: the index of its interface in [`MapName::Interfaces`].
pub const THIS_INTERFACE: &str = "THIS_INTERFACE";

/// The XDP program for drivers and kernels that take multi-buffer frames.
pub const PROGRAM: &str = "blocker";

/// The same for those that do not.
pub const PROGRAM_NO_FRAGS: &str = "blocker_nofrags";

/// The same behind XDP, where tc looks at packets (6.6).
pub const PROGRAM_TC: &str = "blocker_tc";

/// The maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapName {
    /// [`crate::Config`], one entry.
    Config,
    /// Names of the jails by bit of a scope.
    Jails,
    /// Scope of each TCP and UDP port: the jails that protect it.
    Ports,
    /// The same of each SCTP port. Since layout 3.
    SctpPorts,
    /// Banned IPv4 hosts.
    Bans4,
    /// Banned IPv6 /64s.
    Bans6,
    /// Banned IPv4 networks.
    Networks4,
    /// Banned IPv6 prefixes that are no /64.
    Networks6,
    /// Allow-listed IPv4 prefixes.
    Allow4,
    /// Allow-listed IPv6 prefixes.
    Allow6,
    /// Counters by interface and [`crate::Outcome`], see [`crate::counter_index`].
    Counters,
    /// Where IPv4 bans are, see [`presence`].
    Present4,
    /// Where IPv6 bans are.
    Present6,
    /// Interfaces with the program.
    Interfaces,
    /// Each CPU's [`Trace`], one entry.
    Traces,
    /// Each CPU's tallies of bans of IPv4 hosts.
    Tallies4,
    /// Each CPU's tallies of bans of IPv6 /64s.
    Tallies6,
    /// A ring of [`crate::Dropped`]s.
    Drops,
}

impl MapName {
    /// Every map.
    pub const ALL: [Self; 18] = [
        Self::Config,
        Self::Jails,
        Self::Ports,
        Self::SctpPorts,
        Self::Bans4,
        Self::Bans6,
        Self::Networks4,
        Self::Networks6,
        Self::Allow4,
        Self::Allow6,
        Self::Counters,
        Self::Present4,
        Self::Present6,
        Self::Interfaces,
        Self::Traces,
        Self::Tallies4,
        Self::Tallies6,
        Self::Drops,
    ];

    /// The symbol in the object, the name in the kernel and of the pin.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Config => "CONFIG",
            Self::Jails => "JAILS",
            Self::Ports => "PORTS",
            Self::SctpPorts => "SCTP_PORTS",
            Self::Bans4 => "BANS4",
            Self::Bans6 => "BANS6",
            Self::Networks4 => "NETWORKS4",
            Self::Networks6 => "NETWORKS6",
            Self::Allow4 => "ALLOW4",
            Self::Allow6 => "ALLOW6",
            Self::Counters => "COUNTERS",
            Self::Present4 => "PRESENT4",
            Self::Present6 => "PRESENT6",
            Self::Interfaces => "INTERFACES",
            Self::Traces => "TRACES",
            Self::Tallies4 => "TALLIES4",
            Self::Tallies6 => "TALLIES6",
            Self::Drops => "DROPS",
        }
    }

    /// Its shape. A pinned map of another shape is not ours: the kernel would read and write beyond our entries.
    #[must_use]
    pub const fn shape(self) -> Shape {
        let (kind, key_size, value_size, max_entries) = match self {
            Self::Config => (ARRAY, 4, size_of::<Config>(), 1),
            Self::Jails => (ARRAY, 4, size_of::<JailName>(), MAX_JAILS),
            Self::Ports => (ARRAY, 4, size_of::<u64>(), PORT_TABLE_LEN),
            Self::SctpPorts => (ARRAY, 4, size_of::<u64>(), SCTP_TABLE_LEN),
            Self::Bans4 => (HASH, size_of::<Host4>(), size_of::<Ban>(), MAX_BANS4),
            Self::Bans6 => (HASH, size_of::<Network6>(), size_of::<Ban>(), MAX_BANS6),
            Self::Networks4 => (LPM_TRIE, 4 + size_of::<Address4>(), size_of::<Ban>(), MAX_NETWORKS),
            Self::Networks6 => (LPM_TRIE, 4 + size_of::<Address6>(), size_of::<Ban>(), MAX_NETWORKS),
            Self::Allow4 => (LPM_TRIE, 4 + size_of::<Address4>(), size_of::<Allowed>(), MAX_ALLOWED),
            Self::Allow6 => (LPM_TRIE, 4 + size_of::<Address6>(), size_of::<Allowed>(), MAX_ALLOWED),
            Self::Counters => (PERCPU_ARRAY, 4, size_of::<Counter>(), 16 * MAX_INTERFACES),
            Self::Present4 | Self::Present6 => (ARRAY, 4, size_of::<u64>(), presence::WORDS),
            Self::Interfaces => (ARRAY, 4, size_of::<Interface>(), MAX_INTERFACES),
            Self::Traces => (PERCPU_ARRAY, 4, size_of::<Trace>(), 1),
            Self::Tallies4 | Self::Tallies6 => (PERCPU_ARRAY, 4, size_of::<Tally>(), Tally::SLOTS),
            Self::Drops => (RINGBUF, 0, 0, DROPS_BYTES),
        };
        let flags = if kind == HASH || kind == LPM_TRIE { BPF_F_NO_PREALLOC } else { 0 };
        Shape { kind, key_size: key_size as u32, value_size: value_size as u32, max_entries, flags }
    }
}

/// What the kernel tells of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The kernel's number of the map's type.
    pub kind: u32,
    /// In bytes.
    pub key_size: u32,
    /// In bytes.
    pub value_size: u32,
    /// Entries it can hold.
    pub max_entries: u32,
    /// The kernel's flags.
    pub flags: u32,
}

/// `enum bpf_map_type` and a flag, `include/uapi/linux/bpf.h`.
const HASH: u32 = 1;
const ARRAY: u32 = 2;
const PERCPU_ARRAY: u32 = 6;
const LPM_TRIE: u32 = 11;
const RINGBUF: u32 = 27;
const BPF_F_NO_PREALLOC: u32 = 1;
