//! Counts what is dropped, and tells of some of it.

use blocker_common::{Ban, Outcome, Trace};

use crate::packet::Packet;
use crate::verdict::{Suspect, Tables};

/// Tells of a drop, a few in a second on each CPU: the ring has one lock, and a flood must not queue for it.
#[inline(always)]
pub(crate) fn tell<T: Tables>(tables: &T, trace: &mut Trace, packet: &Packet, outcome: Outcome, now_ns: u64) {
    let now = trace.tick >> Trace::TELL_SHIFT;
    if trace.told != now {
        trace.told = now;
        tables.tell(packet, outcome, now_ns);
    }
}

/// Counts a packet on the ban that was found: in this CPU's tally, which is added to the ban from time to time. Returns whether
/// the tally is this ban's.
///
/// Tallies are few. One that is another ban's is left to it for as long as it counts, which is a second at most: in a flood from many
/// sources, to look for the other ban with each packet would cost as much as the packet does. Meanwhile the ban is counted on
/// itself, which was just found.
///
/// # Safety
///
/// `ban` must be valid.
#[inline(always)]
pub(crate) unsafe fn count_drop<T: Tables>(
    tables: &T,
    suspect: &Suspect<'_>,
    ban: *mut Ban,
    has_tally: bool,
    now_ns: u64,
) -> bool {
    let &Suspect { packet, bytes, key, slot, .. } = suspect;
    // SAFETY: as the caller promised.
    let first_ns = unsafe { (*ban).first_drop_ns };
    if first_ns == 0 {
        let first = tables.now_ns();
        // SAFETY: as the caller promised; of several CPUs that are first, any may win.
        unsafe { (*ban).first_drop_ns = first };
        // SAFETY: the same.
        unsafe { (*ban).last_drop_ns = first };
    }
    let tally = if !has_tally {
        None
    } else if packet.is_v6 {
        tables.tally6(slot)
    } else {
        tables.tally4(slot)
    };
    let Some(tally) = tally else {
        // SAFETY: as the caller promised.
        unsafe { add(ban, 1, bytes, now_ns) };
        return false;
    };
    // SAFETY: `Tables` lends the tally to us alone.
    let tally = unsafe { &mut *tally };
    if tally.key != key {
        if !tally.is_over(now_ns) {
            // SAFETY: as the caller promised.
            unsafe { add(ban, 1, bytes, now_ns) };
            return false;
        }
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
    if tally.is_full_with(0, now_ns) {
        // SAFETY: as the caller promised.
        unsafe { add(ban, tally.packets, tally.bytes, now_ns) };
        tally.begin(key, now_ns);
    }
    true
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
    // A clock that is read once in a tick may be behind what the first drop noted.
    // SAFETY: as the caller promised.
    if unsafe { (*ban).last_drop_ns } < last_ns {
        // SAFETY: the same.
        unsafe { (*ban).last_drop_ns = last_ns };
    }
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
