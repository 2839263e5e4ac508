//! Keys and values of the maps other than the bans'.

/// In [`crate::Ban::scope`] and [`crate::Ban`] look-ups: every port and protocol.
pub const SCOPE_ALL: u64 = 1 << 63;

/// Entries of the port table: 65,536 ports for each [`Protocol`].
pub const PORT_TABLE_LEN: u32 = 2 << 16;

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
}

/// The protocols whose ports can be protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Protocol {
    /// TCP.
    Tcp = 0,
    /// UDP.
    Udp = 1,
}

/// Where the port table has `port` of `protocol`; below [`PORT_TABLE_LEN`].
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
}

/// A banned IPv4 host.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host4 {
    /// In network order.
    pub addr: [u8; 4],
}

/// A banned IPv6 /64, by its 64 bits.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

const _: () = assert!(size_of::<Config>() == 8);
const _: () = assert!(size_of::<Address4>() == 8 && size_of::<Address6>() == 16);
const _: () = assert!(size_of::<JailName>() == 32);

#[cfg(feature = "user")]
mod pod {
    use super::{Address4, Address6, Allowed, Config, Host4, JailName, Network6};

    // SAFETY: two u32s, no padding.
    unsafe impl aya::Pod for Config {}
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
