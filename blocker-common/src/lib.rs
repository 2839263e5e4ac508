//! What the XDP program and the daemon agree on: keys, entries, counters, reasons and names.
//!
//! Everything here is laid out for the kernel's maps. A change to a size, an offset or a meaning is a new
//! [`LAYOUT`]: pinned maps outlive the daemon, and the next version must know that they are not its own. It carries their
//! content over, and so does an older one: a later layout only adds maps, and fields at the end of values. Addresses are
//! byte arrays in network order, so that `bpftool map dump` prints them as people write them.

#![no_std]

mod ban;
mod names;
mod outcome;
pub mod presence;
mod tables;
mod traces;

pub use ban::{Ban, FOREVER, HOLDS_ALLOWED};
pub use names::{
    DROPS_BYTES, MAX_ALLOWED, MAX_BANS4, MAX_BANS6, MAX_NETWORKS, MapName, PROGRAM, PROGRAM_NO_FRAGS, PROGRAM_TC,
    Shape, THIS_INTERFACE,
};
pub use outcome::{Counter, Outcome, counter_index};
pub use tables::{
    ALL_PORTS_LEN, Address4, Address6, Allowed, Config, Host4, Interface, JailName, Network6, PORT_TABLE_LEN, Protocol,
    SCOPE_ALL, SCOPE_ALL_OBSERVED, SCTP_TABLE_LEN, flags, port_index,
};
pub use traces::{Dropped, Tally, Trace};

/// The version of everything in this crate; part of the pin directory's name (`v3`).
pub const LAYOUT: u32 = 3;

/// Jails a set of maps can hold: a bit each of a [`Ban::scope`], the two highest being [`SCOPE_ALL`] and
/// [`SCOPE_ALL_OBSERVED`].
pub const MAX_JAILS: u32 = 62;

/// Interfaces that have counters of their own.
pub const MAX_INTERFACES: u32 = 64;

/// Network bans that may lie one inside another: how often the program looks for a wider one when a narrower does not
/// drop the packet. A deeper nesting is refused when the ban is made, so no ban is ever overlooked.
pub const MAX_NESTING: u32 = 8;
