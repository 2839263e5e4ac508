//! What the XDP program and the daemon agree on: keys, entries, counters, reasons and names.
//!
//! Everything here is laid out for the kernel's maps. A change to a size, an offset or a meaning is a new
//! [`LAYOUT`]: pinned maps outlive the daemon, and the next version must know that they are not its own. Addresses are
//! byte arrays in network order, so that `bpftool map dump` prints them as people write them.

#![no_std]

mod ban;
mod names;
mod outcome;
mod tables;

pub use ban::{Ban, FOREVER};
pub use names::{MAX_ALLOWED, MAX_BANS4, MAX_BANS6, MAX_NETWORKS, MapName, PROGRAM, PROGRAM_NO_FRAGS, Shape};
pub use outcome::{Counter, Outcome};
pub use tables::{
    Address4, Address6, Allowed, Config, Host4, JailName, Network6, PORT_TABLE_LEN, Protocol, SCOPE_ALL, flags,
    port_index,
};

/// The version of everything in this crate; part of the pin directory's name (`v1`).
pub const LAYOUT: u32 = 1;

/// Jails a set of maps can hold: a bit each of a [`Ban::scope`], the highest being [`SCOPE_ALL`].
pub const MAX_JAILS: u32 = 62;

/// Network bans that may lie one inside another: how often the program looks for a wider one when a narrower does not
/// drop the packet. A deeper nesting is refused when the ban is made, so no ban is ever overlooked.
pub const MAX_NESTING: u32 = 8;
