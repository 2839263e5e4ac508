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

use crate::packet::{Packet, Ports, Readable};

/// The tables a verdict is drawn from: the kernel's maps, or a test's.
///
/// Bans, tallies and notes are handed out as pointers, because they are written to. They must stay valid until the verdict
/// is given; tallies and notes belong to the caller alone until then.
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
    /// This CPU's notes.
    fn trace(&self) -> Option<*mut Trace>;
    /// The kernel's count of ticks, of which there are 100 to 1000 in a second.
    fn tick(&self) -> u64;
    /// `CLOCK_BOOTTIME` in nanoseconds.
    fn now_ns(&self) -> u64;
    /// Tells of a drop, or of what would have been one.
    fn tell(&self, packet: &Packet, outcome: Outcome, now_ns: u64);
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
    let all_ports = if flags & flags::ALL_PORTS != 0 { SCOPE_ALL | SCOPE_ALL_OBSERVED } else { 0 };
    let wanted = match packet.ports {
        Ports::Tcp => tables.port_scope(port_index(Protocol::Tcp, packet.port)) | all_ports,
        Ports::Udp => tables.port_scope(port_index(Protocol::Udp, packet.port)) | all_ports,
        Ports::Sctp => tables.sctp_scope(packet.port) | all_ports,
        Ports::None | Ports::LaterFragment => all_ports,
        // Whatever the ban closes: who hides the port may mean that one.
        Ports::Hidden => u64::MAX,
        Ports::Icmp => 0,
    };
    if wanted == 0 {
        return Outcome::PassUnprotected;
    }
    let may_be_banned = if packet.is_v6 {
        flags & flags::WIDE6 != 0 || tables.is_present6(packet.source6_network())
    } else {
        flags & flags::WIDE4 != 0 || tables.is_present4(packet.source4())
    };
    if !may_be_banned {
        return Outcome::PassClean;
    }
    decide_suspect(tables, packet, bytes, flags, wanted)
}

/// Decides about a packet from where somebody is banned.
#[inline(always)]
fn decide_suspect<T: Tables>(tables: &T, packet: &Packet, bytes: u64, flags: u32, wanted: u64) -> Outcome {
    let enforced = if flags & flags::OBSERVE != 0 || tables.observes_here() {
        0
    } else {
        !(tables.observed() | SCOPE_ALL_OBSERVED)
    };
    let mut search = Search::new(wanted, enforced);
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
    unsafe { count_drop(tables, packet, &search, bytes) };
    search.tell(tables, packet, outcome);
    outcome
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

    /// Tells of a drop, a few in a second on each CPU: the ring has one lock, and a flood must not queue for it.
    #[inline(always)]
    fn tell<T: Tables>(&self, tables: &T, packet: &Packet, outcome: Outcome) {
        if self.trace.is_null() {
            return;
        }
        // SAFETY: `Tables` lends it to us alone.
        let trace = unsafe { &mut *self.trace };
        let now = trace.tick >> Trace::TELL_SHIFT;
        if trace.told != now {
            trace.told = now;
            tables.tell(packet, outcome, self.now_ns);
        }
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

/// Counts a packet on the ban that was found: in this CPU's tally, which is added to the ban from time to time.
///
/// # Safety
///
/// `search.ban` must be valid.
#[inline(always)]
unsafe fn count_drop<T: Tables>(tables: &T, packet: &Packet, search: &Search, bytes: u64) {
    let Search { ban, now_ns, .. } = *search;
    // SAFETY: as the caller promised.
    let first_ns = unsafe { (*ban).first_drop_ns };
    if first_ns == 0 {
        let first = tables.now_ns();
        // SAFETY: as the caller promised; of several CPUs that are first, any may win.
        unsafe { (*ban).first_drop_ns = first };
        // SAFETY: the same.
        unsafe { (*ban).last_drop_ns = first };
    }
    let key = if packet.is_v6 {
        u64::from_ne_bytes(packet.source6_network())
    } else {
        u32::from_ne_bytes(packet.source4()).into()
    };
    let slot = Tally::slot(key);
    let tally = if !search.has_tally {
        None
    } else if packet.is_v6 {
        tables.tally6(slot)
    } else {
        tables.tally4(slot)
    };
    let Some(tally) = tally else {
        // SAFETY: as the caller promised.
        unsafe { add(ban, 1, bytes, now_ns) };
        return;
    };
    // SAFETY: `Tables` lends the tally to us alone.
    let tally = unsafe { &mut *tally };
    if tally.key != key {
        // Another ban's, which gets what is its own.
        if tally.packets != 0 {
            let other = if packet.is_v6 {
                tables.network64(tally.key.to_ne_bytes())
            } else {
                let [a, b, c, d, ..] = tally.key.to_ne_bytes();
                tables.host4([a, b, c, d])
            };
            if let Some(other) = other {
                // SAFETY: `Tables` promises that a ban stays valid until the verdict is given.
                unsafe { add(other, tally.packets, tally.bytes, tally.last_ns) };
            }
        }
        tally.begin(key, now_ns);
    } else if first_ns == 0 || tally.is_of_before(first_ns) {
        // An earlier ban's of the same source, which is gone.
        tally.begin(key, now_ns);
    }
    tally.packets += 1;
    tally.bytes += bytes;
    tally.last_ns = now_ns;
    if tally.packets >= Tally::MOST_PACKETS || now_ns.wrapping_sub(tally.added_ns) >= Tally::MOST_NS {
        // SAFETY: as the caller promised.
        unsafe { add(ban, tally.packets, tally.bytes, now_ns) };
        tally.begin(key, now_ns);
    }
}

/// Adds to a ban's counts, which other CPUs may do at the same time.
///
/// # Safety
///
/// `ban` must be valid.
#[inline(always)]
unsafe fn add(ban: *mut Ban, packets: u64, bytes: u64, last_ns: u64) {
    // SAFETY: as the caller promised.
    let packets_at = unsafe { &raw mut (*ban).packets };
    // SAFETY: the same.
    let bytes_at = unsafe { &raw mut (*ban).bytes };
    // SAFETY: a field of a valid ban, aligned.
    unsafe { add_shared(packets_at, packets) };
    // SAFETY: the same.
    unsafe { add_shared(bytes_at, bytes) };
    // SAFETY: as the caller promised.
    unsafe { (*ban).last_drop_ns = last_ns };
}

/// # Safety
///
/// `to` must be valid and aligned.
#[cfg(target_arch = "bpf")]
#[inline(always)]
unsafe fn add_shared(to: *mut u64, value: u64) {
    // SAFETY: the instruction adds to the eight bytes that the caller vouched for, and does nothing else. The compiler
    // knows no atomics for this target.
    unsafe {
        core::arch::asm!("lock *(u64 *)({to} + 0) += {value}", to = in(reg) to, value = in(reg) value, options(nostack));
    }
}

/// # Safety
///
/// `to` must be valid and aligned.
#[cfg(not(target_arch = "bpf"))]
#[inline(always)]
unsafe fn add_shared(to: *mut u64, value: u64) {
    // SAFETY: as the caller promised; on the host there is one thread.
    unsafe { *to += value };
}
