//! Decides about a packet: is its port in scope, its source banned, the ban in force, the source allow-listed?
//!
//! The order is by cost. Nearly all traffic of a host leaves after one look at the port table; of the rest, nearly all
//! comes from where nobody is banned, which one bit tells; the clock is read only if there is a ban, once in a tick; the
//! allowlist is asked only when the packet would be dropped and something allow-listed lies in a ban that was found. A
//! narrow ban that is over, of other ports or of a jail that only observes never
//! hides a wider one: the search goes on to the next wider network, [`MAX_NESTING`] times, and deeper nesting is refused
//! where bans are made.

use blocker_common::{
    Ban, HOLDS_ALLOWED, MAX_NESTING, Outcome, Protocol, SCOPE_ALL, SCOPE_ALL_OBSERVED, Tally, Trace, flags, port_index,
};

use crate::counts::{count_drop, tell};
use crate::known::{self, Known};
use crate::packet::{Packet, Ports, Readable, forget, parse, parse_plain4, parse_plain6};

/// The tables a verdict is drawn from: the kernel's maps, or a test's.
///
/// Bans, tallies and notes are handed out as pointers, because they are written to. They must stay valid until the verdict
/// is given; tallies, notes and what is remembered belong to the caller alone until then.
pub trait Tables {
    /// See [`blocker_common::Config::flags`].
    fn flags(&self) -> u32;
    /// The jails that only observe, as bits of a scope.
    fn observed(&self) -> u64;
    /// Whether on this interface would-be drops only count.
    fn observes_here(&self) -> bool;
    /// The jails that protect the port at `index` of the table of TCP and UDP ports, as bits of a scope.
    fn port_scope(&self, index: u32) -> u64;
    /// The jails that protect an SCTP port.
    fn sctp_scope(&self, port: u16) -> u64;
    /// Whether there may be a ban that contains `addr`; certain only if the answer is no, and [`flags::WIDE4`] not set.
    fn is_present4(&self, addr: [u8; 4]) -> bool;
    /// The same for the IPv6 addresses with these first 64 bits, and [`flags::WIDE6`].
    fn is_present6(&self, network: [u8; 8]) -> bool;
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
    /// This CPU's tally at `slot` of IPv4 hosts.
    fn tally4(&self, slot: u32) -> Option<*mut Tally>;
    /// The same of IPv6 /64s.
    fn tally6(&self, slot: u32) -> Option<*mut Tally>;
    /// What this CPU remembers at `slot`, below [`Known::SLOTS`].
    fn known(&self, slot: u32) -> Option<*mut Known>;
    /// This CPU's notes.
    fn trace(&self) -> Option<*mut Trace>;
    /// The kernel's count of ticks, of which there are 100 to 1000 in a second.
    fn tick(&self) -> u64;
    /// `CLOCK_BOOTTIME` in nanoseconds.
    fn now_ns(&self) -> u64;
    /// Tells of a drop, or of what would have been one.
    fn tell(&self, packet: &Packet, outcome: Outcome, now_ns: u64);
}

/// Reads the frame of `bytes` bytes that lies from address `data` up to address `end` into `packet`, of which nothing is
/// known yet, and decides about it.
///
/// Frames like nearly all are read by a short way of their own, and leave from there if their port is not protected, nobody
/// near their source is banned, or their ban is remembered.
///
/// # Safety
///
/// As for [`parse`].
#[inline(always)]
pub unsafe fn judge<T: Tables>(tables: &T, data: usize, end: usize, packet: &mut Packet, bytes: u64) -> Outcome {
    let flags = tables.flags();
    let wanted;
    // SAFETY: as the caller promised.
    let plain4 = unsafe { parse_plain4(data, end, packet) };
    if let Some(index) = plain4 {
        wanted = tables.port_scope(index) | all_ports(flags);
        if wanted == 0 {
            return Outcome::PassUnprotected;
        }
        if !may_be_banned4(tables, packet, flags) {
            return Outcome::PassClean;
        }
        if known::drops(tables, &Suspect::new(tables, packet, bytes, flags, wanted)) {
            return Outcome::DropBanned;
        }
    } else {
        // SAFETY: as above.
        let plain6 = unsafe { parse_plain6(data, end, packet) };
        if let Some(index) = plain6 {
            wanted = tables.port_scope(index) | all_ports(flags);
            if wanted == 0 {
                return Outcome::PassUnprotected;
            }
            if !may_be_banned6(tables, packet, flags) {
                return Outcome::PassClean;
            }
            if known::drops(tables, &Suspect::new(tables, packet, bytes, flags, wanted)) {
                return Outcome::DropBanned;
            }
        } else {
            // SAFETY: as above.
            let readable = unsafe { parse(data, end, packet) };
            match readable {
                Readable::Yes => {}
                Readable::NotIp => return Outcome::PassNotIp,
                Readable::Truncated => return Outcome::PassTruncated,
                Readable::Malformed => return Outcome::PassMalformed,
                Readable::VlanTooDeep => return Outcome::PassVlanTooDeep,
            }
            wanted = wanted_by(tables, packet, flags);
            if wanted == 0 {
                return Outcome::PassUnprotected;
            }
            let may_be_banned = if packet.is_v6 {
                may_be_banned6(tables, packet, flags)
            } else {
                may_be_banned4(tables, packet, flags)
            };
            if !may_be_banned {
                return Outcome::PassClean;
            }
        }
    }
    decide_suspect(tables, &packet.forgotten(bytes), bytes, flags, forget(wanted, bytes))
}

/// The jails that protect the packet's port.
#[inline(always)]
fn wanted_by<T: Tables>(tables: &T, packet: &Packet, flags: u32) -> u64 {
    let all_ports = all_ports(flags);
    match packet.ports {
        Ports::Tcp => tables.port_scope(port_index(Protocol::Tcp, packet.port)) | all_ports,
        Ports::Udp => tables.port_scope(port_index(Protocol::Udp, packet.port)) | all_ports,
        Ports::Sctp => tables.sctp_scope(packet.port) | all_ports,
        Ports::None | Ports::LaterFragment => all_ports,
        // Whatever the ban closes: who hides the port may mean that one.
        Ports::Hidden => u64::MAX,
        Ports::Icmp => 0,
    }
}

#[inline(always)]
const fn all_ports(flags: u32) -> u64 {
    if flags & flags::ALL_PORTS != 0 { SCOPE_ALL | SCOPE_ALL_OBSERVED } else { 0 }
}

#[inline(always)]
fn may_be_banned4<T: Tables>(tables: &T, packet: &Packet, flags: u32) -> bool {
    flags & flags::WIDE4 != 0 || tables.is_present4(packet.source4())
}

#[inline(always)]
fn may_be_banned6<T: Tables>(tables: &T, packet: &Packet, flags: u32) -> bool {
    flags & flags::WIDE6 != 0 || tables.is_present6(packet.source6_network())
}

/// Decides about a packet from where somebody is banned.
#[inline(always)]
fn decide_suspect<T: Tables>(tables: &T, packet: &Packet, bytes: u64, flags: u32, wanted: u64) -> Outcome {
    let suspect = Suspect::new(tables, packet, bytes, flags, wanted);
    let mut search = Search::new(wanted, suspect.enforced);
    if packet.is_v6 {
        search.v6(tables, packet, flags);
    } else {
        search.v4(tables, packet, flags);
    }
    if search.ban.is_null() {
        return search.outcome;
    }
    if (flags & flags::ASK_ALWAYS != 0 || search.holds_allowed) && is_allowed(tables, packet) {
        return Outcome::PassAllowed;
    }
    let outcome = if !search.enforces {
        Outcome::PassObserved
    } else if matches!(packet.ports, Ports::Hidden) {
        Outcome::DropHidden
    } else {
        Outcome::DropBanned
    };
    // SAFETY: `Tables` promises that the ban stays valid until the verdict is given.
    let has_tally = unsafe { count_drop(tables, &suspect, search.ban, search.has_tally, search.now_ns) };
    if has_tally && search.enforces && !search.holds_allowed {
        // SAFETY: as above.
        known::remember(tables, &suspect, unsafe { &*search.ban });
    }
    search.tell(tables, packet, outcome);
    outcome
}

/// A packet from where somebody is banned.
pub(crate) struct Suspect<'a> {
    pub(crate) packet: &'a Packet,
    pub(crate) bytes: u64,
    pub(crate) flags: u32,
    /// The jails of its port.
    pub(crate) wanted: u64,
    /// Those that do more than observe.
    pub(crate) enforced: u64,
    /// Its source as a [`Tally::key`].
    pub(crate) key: u64,
    /// Where its tally is.
    pub(crate) slot: u32,
}

impl<'a> Suspect<'a> {
    #[inline(always)]
    fn new<T: Tables>(tables: &T, packet: &'a Packet, bytes: u64, flags: u32, wanted: u64) -> Self {
        let enforced = if flags & flags::OBSERVE != 0 || tables.observes_here() {
            0
        } else {
            !(tables.observed() | SCOPE_ALL_OBSERVED)
        };
        let key = if packet.is_v6 {
            u64::from_ne_bytes(packet.source6_network())
        } else {
            u32::from_ne_bytes(packet.source4()).into()
        };
        Self { packet, bytes, flags, wanted, enforced, key, slot: Tally::slot(key) }
    }
}

/// The search for a ban that drops the packet, and what is to be said if there is none.
struct Search {
    wanted: u64,
    /// Bits of a scope for which it is dropped rather than observed.
    enforced: u64,
    now_ns: u64,
    /// This CPU's notes; null until the clock is read.
    trace: *mut Trace,
    outcome: Outcome,
    /// The first ban that drops the packet, or else the first that would if its jails did not only observe; may be null.
    ban: *mut Ban,
    /// Whether `ban` drops it.
    enforces: bool,
    /// Whether any ban that was found holds something allow-listed.
    holds_allowed: bool,
    /// Whether `ban` is of an IPv4 host or an IPv6 /64, which have tallies.
    has_tally: bool,
}

impl Search {
    #[inline(always)]
    const fn new(wanted: u64, enforced: u64) -> Self {
        Self {
            wanted,
            enforced,
            now_ns: 0,
            trace: core::ptr::null_mut(),
            outcome: Outcome::PassClean,
            ban: core::ptr::null_mut(),
            enforces: false,
            holds_allowed: false,
            has_tally: false,
        }
    }

    #[inline(always)]
    fn v4<T: Tables>(&mut self, tables: &T, packet: &Packet, flags: u32) {
        let addr = packet.source4();
        if let Some(ban) = tables.host4(addr)
            && self.ends_at(tables, ban, true)
        {
            return;
        }
        if flags & flags::NETWORKS4 == 0 {
            return;
        }
        let mut len = 32;
        for _ in 0..MAX_NESTING {
            let Some(ban) = tables.network4(addr, len) else { return };
            if self.ends_at(tables, ban, false) {
                return;
            }
            let Some(wider) = wider(ban) else { return };
            len = wider;
        }
    }

    #[inline(always)]
    fn v6<T: Tables>(&mut self, tables: &T, packet: &Packet, flags: u32) {
        if let Some(ban) = tables.network64(packet.source6_network())
            && self.ends_at(tables, ban, true)
        {
            return;
        }
        if flags & flags::NETWORKS6 == 0 {
            return;
        }
        let mut len = 128;
        for _ in 0..MAX_NESTING {
            let Some(ban) = tables.network6(packet.source6(), len) else { return };
            if self.ends_at(tables, ban, false) {
                return;
            }
            let Some(wider) = wider(ban) else { return };
            len = wider;
        }
    }

    /// Whether `found` drops the packet, which ends the search; if not, notes why.
    #[inline(always)]
    fn ends_at<T: Tables>(&mut self, tables: &T, found: *mut Ban, has_tally: bool) -> bool {
        // SAFETY: `Tables` promises that the ban stays valid until the verdict is given.
        let ban = unsafe { &*found };
        if self.now_ns == 0 {
            self.read_clock(tables);
        }
        self.holds_allowed |= ban.flags & HOLDS_ALLOWED != 0;
        let closed = ban.scope & self.wanted;
        if ban.is_expired(self.now_ns) {
            self.outcome = Outcome::PassExpired;
            return false;
        }
        if closed == 0 {
            self.outcome = Outcome::PassOutOfScope;
            return false;
        }
        self.enforces = closed & self.enforced != 0;
        if self.enforces || self.ban.is_null() {
            self.ban = found;
            self.has_tally = has_tally;
        }
        self.enforces
    }
}

impl Search {
    /// Reads the clock, unless this CPU has within this tick.
    #[inline(always)]
    fn read_clock<T: Tables>(&mut self, tables: &T) {
        let Some(trace) = tables.trace() else {
            self.now_ns = tables.now_ns();
            return;
        };
        self.trace = trace;
        // SAFETY: `Tables` lends it to us alone.
        let trace = unsafe { &mut *trace };
        let tick = tables.tick();
        if trace.tick != tick {
            trace.boot_ns = tables.now_ns();
            trace.tick = tick;
        }
        self.now_ns = trace.boot_ns;
    }

    /// Tells of a drop.
    #[inline(always)]
    fn tell<T: Tables>(&self, tables: &T, packet: &Packet, outcome: Outcome) {
        if self.trace.is_null() {
            return;
        }
        // SAFETY: `Tables` lends it to us alone.
        let trace = unsafe { &mut *self.trace };
        tell(tables, trace, packet, outcome, self.now_ns);
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
