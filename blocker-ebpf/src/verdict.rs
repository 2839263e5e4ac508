//! Decides about a packet: is its port in scope, its source banned, the ban in force, the source allow-listed?
//!
//! The order is by cost. Nearly all traffic of a host leaves after one look at the port table; a source's ban is looked
//! for only at protected ports; the clock is read only if there is one; the allowlist is asked only when the packet would
//! be dropped. An expired or differently scoped narrow ban never hides a wider one: the search goes on to the next wider
//! network, [`MAX_NESTING`] times, and deeper nesting is refused where bans are made.

use blocker_common::{Ban, MAX_NESTING, Outcome, Protocol, SCOPE_ALL, flags, port_index};

use crate::packet::{Packet, Ports, Readable};

/// The tables a verdict is drawn from: the kernel's maps, or a test's.
///
/// A ban is handed out as a pointer, because its counters are written in place. It must stay valid until the verdict is
/// given.
pub trait Tables {
    /// See [`blocker_common::Config::flags`].
    fn flags(&self) -> u32;
    /// The jails that protect the port at `index` of the port table, as bits of a scope.
    fn port_scope(&self, index: u32) -> u64;
    /// The ban of an IPv4 host.
    fn host4(&self, addr: [u8; 4]) -> Option<*mut Ban>;
    /// The ban of an IPv6 /64.
    fn network64(&self, prefix: [u8; 8]) -> Option<*mut Ban>;
    /// The ban of the longest IPv4 network that has at most `len` bits and contains `addr`.
    fn network4(&self, addr: [u8; 4], len: u32) -> Option<*mut Ban>;
    /// The same for IPv6.
    fn network6(&self, addr: [u8; 16], len: u32) -> Option<*mut Ban>;
    /// Whether an IPv4 source is allow-listed.
    fn is_allowed4(&self, addr: [u8; 4]) -> bool;
    /// Whether an IPv6 source is allow-listed.
    fn is_allowed6(&self, addr: [u8; 16]) -> bool;
    /// `CLOCK_BOOTTIME`, in nanoseconds.
    fn now_ns(&self) -> u64;
}

/// Decides about a packet of `bytes` bytes that was read with the result `readable`.
#[inline(always)]
pub fn decide<T: Tables>(tables: &T, readable: Readable, packet: &Packet, bytes: u64) -> Outcome {
    match readable {
        Readable::Yes => decide_ip(tables, packet, bytes),
        Readable::NotIp => Outcome::PassNotIp,
        Readable::Truncated => Outcome::PassTruncated,
        Readable::Malformed => Outcome::PassMalformed,
        Readable::VlanTooDeep => Outcome::PassVlanTooDeep,
    }
}

#[inline(always)]
fn decide_ip<T: Tables>(tables: &T, packet: &Packet, bytes: u64) -> Outcome {
    let flags = tables.flags();
    let all_ports = if flags & flags::ALL_PORTS != 0 { SCOPE_ALL } else { 0 };
    let wanted = match packet.ports {
        Ports::Tcp => tables.port_scope(port_index(Protocol::Tcp, packet.port)) | all_ports,
        Ports::Udp => tables.port_scope(port_index(Protocol::Udp, packet.port)) | all_ports,
        Ports::None | Ports::LaterFragment => all_ports,
        // Whatever the ban closes: who hides the port may mean that one.
        Ports::Hidden => u64::MAX,
        Ports::Icmp => 0,
    };
    if wanted == 0 {
        return Outcome::PassUnprotected;
    }
    let mut search = Search { wanted, now_ns: 0, outcome: Outcome::PassClean };
    let ban = if packet.is_v6 { search.v6(tables, packet, flags) } else { search.v4(tables, packet, flags) };
    let Some(ban) = ban else { return search.outcome };
    if is_allowed(tables, packet) {
        return Outcome::PassAllowed;
    }
    // SAFETY: `Tables` promises that the ban stays valid until the verdict is given.
    unsafe { count_drop(ban, bytes, search.now_ns) };
    if flags & flags::OBSERVE != 0 {
        Outcome::PassObserved
    } else if matches!(packet.ports, Ports::Hidden) {
        Outcome::DropHidden
    } else {
        Outcome::DropBanned
    }
}

/// The search for a ban that drops the packet, and what is to be said if there is none.
struct Search {
    wanted: u64,
    now_ns: u64,
    outcome: Outcome,
}

impl Search {
    #[inline(always)]
    fn v4<T: Tables>(&mut self, tables: &T, packet: &Packet, flags: u32) -> Option<*mut Ban> {
        let addr = packet.source4();
        if let Some(ban) = tables.host4(addr)
            && self.drops(tables, ban)
        {
            return Some(ban);
        }
        if flags & flags::NETWORKS4 == 0 {
            return None;
        }
        let mut len = 32;
        for _ in 0..MAX_NESTING {
            let ban = tables.network4(addr, len)?;
            if self.drops(tables, ban) {
                return Some(ban);
            }
            len = wider(ban)?;
        }
        None
    }

    #[inline(always)]
    fn v6<T: Tables>(&mut self, tables: &T, packet: &Packet, flags: u32) -> Option<*mut Ban> {
        if let Some(ban) = tables.network64(packet.source6_network())
            && self.drops(tables, ban)
        {
            return Some(ban);
        }
        if flags & flags::NETWORKS6 == 0 {
            return None;
        }
        let mut len = 128;
        for _ in 0..MAX_NESTING {
            let ban = tables.network6(packet.source6(), len)?;
            if self.drops(tables, ban) {
                return Some(ban);
            }
            len = wider(ban)?;
        }
        None
    }

    /// Whether `ban` drops the packet; if not, notes why.
    #[inline(always)]
    fn drops<T: Tables>(&mut self, tables: &T, ban: *mut Ban) -> bool {
        // SAFETY: `Tables` promises that the ban stays valid until the verdict is given.
        let ban = unsafe { &*ban };
        if self.now_ns == 0 {
            self.now_ns = tables.now_ns();
        }
        if ban.is_expired(self.now_ns) {
            self.outcome = Outcome::PassExpired;
            return false;
        }
        if ban.scope & self.wanted == 0 {
            self.outcome = Outcome::PassOutOfScope;
            return false;
        }
        true
    }
}

/// The greatest length of a network that is wider than `ban`'s; `None` if there can be none.
#[inline(always)]
fn wider(ban: *mut Ban) -> Option<u32> {
    // SAFETY: `Tables` promises that the ban stays valid until the verdict is given.
    let len = unsafe { (*ban).prefix_len };
    if len <= 1 || len > 128 { None } else { Some(len - 1) }
}

#[inline(always)]
fn is_allowed<T: Tables>(tables: &T, packet: &Packet) -> bool {
    if packet.is_v6 { tables.is_allowed6(packet.source6()) } else { tables.is_allowed4(packet.source4()) }
}

/// # Safety
///
/// `ban` must be valid.
#[inline(always)]
unsafe fn count_drop(ban: *mut Ban, bytes: u64, now_ns: u64) {
    // SAFETY: as the caller promised. Other CPUs may write the same fields; see [`Ban`] on what that can cost.
    let ban = unsafe { &mut *ban };
    ban.packets += 1;
    ban.bytes += bytes;
    if ban.first_drop_ns == 0 {
        ban.first_drop_ns = now_ns;
    }
    ban.last_drop_ns = now_ns;
}
