//! Keys and values of the maps other than the bans'.

/// In [`crate::Ban::scope`] and [`crate::Ban`] look-ups: every port and protocol.
pub const SCOPE_ALL: u64 = 1 << 63;

/// The same, by jails that only observe.
pub const SCOPE_ALL_OBSERVED: u64 = 1 << 62;

/// Entries of the table of TCP and UDP ports: 65,536 for each.
pub const PORT_TABLE_LEN: u32 = 2 << 16;

/// Entries of the table of SCTP ports, a map of its own: layouts up to 2 know none, and their table stays as long as it was.
pub const SCTP_TABLE_LEN: u32 = 1 << 16;

/// Ports of all protocols together.
pub const ALL_PORTS_LEN: u32 = PORT_TABLE_LEN + SCTP_TABLE_LEN;

/// Bits of [`Config::flags`].
pub mod flags {
    /// Count what would be dropped, and pass it.
    pub const OBSERVE: u32 = 1;
    /// At least one ban closes all ports: unprotected ports are looked at, too.
    pub const ALL_PORTS: u32 = 2;
    /// At least one IPv4 network is banned.
    pub const NETWORKS4: u32 = 4;
    /// At least one IPv6 prefix other than a /64 is banned.
    pub const NETWORKS6: u32 = 8;
    /// At least one IPv4 network is banned that is too wide for the presence bitmap: it cannot be relied on.
    pub const WIDE4: u32 = 16;
    /// The same for IPv6.
    pub const WIDE6: u32 = 32;
    /// The allowlist is changing: it is asked before every drop, not only where [`crate::HOLDS_ALLOWED`] says so.
    pub const ASK_ALWAYS: u32 = 64;
    /// The bits from this one on count the changes of bans, and begin anew behind the last: what a program remembers of a ban
    /// from before a change counts no more. Only the flags below it have a meaning by themselves.
    pub const FIRST_CHANGE: u32 = 1 << 12;
}

/// The protocols whose ports can be protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Protocol {
    /// TCP.
    Tcp = 0,
    /// UDP.
    Udp = 1,
    /// SCTP.
    Sctp = 2,
}

/// The number of `port` of `protocol` among all ports, below [`ALL_PORTS_LEN`]: below [`PORT_TABLE_LEN`] its index in the
/// table of TCP and UDP; what is beyond that, its index in the table of SCTP.
#[inline(always)]
#[must_use]
pub const fn port_index(protocol: Protocol, port: u16) -> u32 {
    ((protocol as u32) << 16) | port as u32
}

/// The one entry of the configuration map.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// [`crate::LAYOUT`] of the daemon that made the maps.
    pub layout: u32,
    /// See [`flags`].
    pub flags: u32,
    /// The jails that only observe, as bits of a scope.
    pub observed: u64,
}

/// An interface that the program is attached to. The program on it knows the entry's index ([`crate::THIS_INTERFACE`]).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// The kernel's index of it; 0 in a free entry.
    pub index: u32,
    /// [`flags::OBSERVE`], or 0.
    pub flags: u32,
    /// Its name, ended by a zero byte.
    pub name: [u8; 16],
}

/// A banned IPv4 host.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Host4 {
    /// In network order.
    pub addr: [u8; 4],
}

/// A banned IPv6 /64, by its 64 bits.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Network6 {
    /// In network order.
    pub prefix: [u8; 8],
}

/// The data of an IPv4 key in a longest-prefix-match map.
///
/// Eight bytes, because such a map's value is aligned no better than its key's data is long.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address4 {
    /// In network order.
    pub addr: [u8; 4],
    /// Always zero, beyond every prefix length in use.
    pub zero: [u8; 4],
}

/// The data of an IPv6 key in a longest-prefix-match map.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address6 {
    /// In network order.
    pub addr: [u8; 16],
}

/// The value of the allowlist: that the prefix is there is all it says.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// The prefix's length in bits.
    pub prefix_len: u32,
}

/// The name of the jail that a scope's bit stands for; all zeros for a free one.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JailName {
    /// UTF-8, ended by a zero byte.
    pub name: [u8; 32],
}

const _: () = assert!(size_of::<Config>() == 16 && size_of::<Interface>() == 24);
const _: () = assert!(size_of::<Address4>() == 8 && size_of::<Address6>() == 16);
const _: () = assert!(size_of::<JailName>() == 32);

#[cfg(feature = "user")]
mod pod {
    use super::{Address4, Address6, Allowed, Config, Host4, Interface, JailName, Network6};

    // SAFETY: two u32s and a u64, no padding.
    unsafe impl aya::Pod for Config {}
    // SAFETY: two u32s and a byte array, no padding.
    unsafe impl aya::Pod for Interface {}
    // SAFETY: a byte array.
    unsafe impl aya::Pod for Host4 {}
    // SAFETY: a byte array.
    unsafe impl aya::Pod for Network6 {}
    // SAFETY: two byte arrays.
    unsafe impl aya::Pod for Address4 {}
    // SAFETY: a byte array.
    unsafe impl aya::Pod for Address6 {}
    // SAFETY: one u32.
    unsafe impl aya::Pod for Allowed {}
    // SAFETY: a byte array.
    unsafe impl aya::Pod for JailName {}
}
