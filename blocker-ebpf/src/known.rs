//! What a CPU remembers of the bans it dropped for lately: in a flood the ban need not be looked for again.
//!
//! Looking for a ban in its hash takes more than all the rest of a drop. So the program keeps, beside each tally, what the ban
//! said. It counts for as long as nothing was changed among the bans, which the daemon tells by
//! [`flags::FIRST_CHANGE`], and for no longer than the tally is filled: after 64 packets or a second the ban itself is asked
//! again. Whoever takes a ban out of the map by hand waits so long. Its end is compared for each packet.

use blocker_common::{Ban, FOREVER, Outcome, Tally, flags};

use crate::counts::tell;
use crate::verdict::{Suspect, Tables};

/// What is remembered of a ban. A CPU's own, and the program's: neither the daemon nor another version ever sees it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Whose ban: as in [`Tally::key`].
    pub key: u64,
    /// [`blocker_common::Ban::scope`].
    pub scope: u64,
    /// [`blocker_common::Ban::deadline_ns`]; of a ban for ever the greatest number.
    pub deadline_ns: u64,
    /// The changes of bans that had been counted, by the bits from [`flags::FIRST_CHANGE`] on.
    pub changes: u64,
}

impl Known {
    /// As many as there are tallies, first for IPv4 hosts, then for IPv6 /64s.
    pub const SLOTS: u32 = 2 * Tally::SLOTS;

    /// Where it is, of the ban whose tally is at `slot`.
    #[inline(always)]
    #[must_use]
    pub const fn slot(slot: u32, is_v6: bool) -> u32 {
        if is_v6 { slot + Tally::SLOTS } else { slot }
    }

    /// The changes that `flags` count.
    #[inline(always)]
    #[must_use]
    pub const fn changes(flags: u32) -> u64 {
        (flags / flags::FIRST_CHANGE) as u64
    }
}

/// Whether what is remembered drops the packet, which hides nothing. If so, it is counted and told of, too.
#[inline(always)]
pub(crate) fn drops<T: Tables>(tables: &T, suspect: &Suspect<'_>) -> bool {
    let &Suspect { packet, bytes, key, slot, flags, .. } = suspect;
    let Some(known) = tables.known(Known::slot(slot, packet.is_v6)) else { return false };
    // SAFETY: `Tables` lends it to us alone.
    let known = unsafe { &*known };
    if known.key != key
        || known.changes != Known::changes(flags)
        || known.scope & suspect.wanted & suspect.enforced == 0
        || flags & flags::ASK_ALWAYS != 0
    {
        return false;
    }
    let Some(trace) = tables.trace() else { return false };
    // SAFETY: `Tables` lends it to us alone.
    let trace = unsafe { &mut *trace };
    if trace.tick != tables.tick() {
        return false;
    }
    let now_ns = trace.boot_ns;
    let tally = if packet.is_v6 { tables.tally6(slot) } else { tables.tally4(slot) };
    let Some(tally) = tally else { return false };
    // SAFETY: as above.
    let tally = unsafe { &mut *tally };
    if known.deadline_ns <= now_ns || tally.key != key || tally.is_full_with(1, now_ns) {
        return false;
    }
    tally.packets += 1;
    tally.bytes += bytes;
    tally.last_ns = now_ns;
    tell(tables, trace, packet, Outcome::DropBanned, now_ns);
    true
}

/// Remembers the ban that drops the packet.
#[inline(always)]
pub(crate) fn remember<T: Tables>(tables: &T, suspect: &Suspect<'_>, ban: &Ban) {
    let Some(known) = tables.known(Known::slot(suspect.slot, suspect.packet.is_v6)) else { return };
    // SAFETY: `Tables` lends it to us alone.
    let known = unsafe { &mut *known };
    known.key = suspect.key;
    known.scope = ban.scope;
    known.deadline_ns = if ban.flags & FOREVER != 0 { u64::MAX } else { ban.deadline_ns };
    known.changes = Known::changes(suspect.flags);
}
