//! The program's counters, summed over CPUs.

use anyhow::Result;
use blocker_common::{Counter, Outcome};

use super::{Maps, slots};

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes no further.
    Dropped,
    /// It goes on, and would not if what bans it were not only observed.
    WouldBeDropped,
    /// It goes on.
    Passed,
}

impl Fate {
    /// That of packets with an outcome.
    #[must_use]
    pub fn of(outcome: Outcome) -> Self {
        match outcome {
            Outcome::DropBanned | Outcome::DropHidden => Self::Dropped,
            Outcome::PassObserved => Self::WouldBeDropped,
            Outcome::PassUnprotected
            | Outcome::PassClean
            | Outcome::PassExpired
            | Outcome::PassOutOfScope
            | Outcome::PassAllowed
            | Outcome::PassNotIp
            | Outcome::PassTruncated
            | Outcome::PassMalformed
            | Outcome::PassVlanTooDeep => Self::Passed,
        }
    }
}

/// Packets and bytes by outcome, in the order of [`Outcome::ALL`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Totals(pub Vec<(Outcome, Counter)>);

impl Totals {
    /// Packets dropped, for whatever reason.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.0
            .iter()
            .filter(|(outcome, _)| Fate::of(*outcome) == Fate::Dropped)
            .map(|(_, counter)| counter.packets)
            .sum()
    }
}

/// Reads those of each interface that has any, by its name.
///
/// # Errors
///
/// The kernel's.
pub fn by_interface(maps: &Maps) -> Result<Vec<(String, Totals)>> {
    let entries = maps.interfaces()?;
    let named = (0..).zip(&entries).filter(|(_, entry)| entry.name[0] != 0);
    named
        .map(|(slot, entry)| {
            let counter = |outcome| Ok((outcome, maps.counter(slot, outcome)?));
            let totals = Outcome::ALL.into_iter().map(counter).collect::<Result<_>>().map(Totals)?;
            Ok((slots::name_of(entry), totals))
        })
        .collect()
}

/// Their sum.
pub(super) fn totals(maps: &Maps) -> Result<Totals> {
    let mut sums = Totals(Outcome::ALL.into_iter().map(|outcome| (outcome, Counter::default())).collect());
    for (_, Totals(counters)) in by_interface(maps)? {
        for ((_, sum), (_, counter)) in sums.0.iter_mut().zip(counters) {
            sum.packets += counter.packets;
            sum.bytes += counter.bytes;
        }
    }
    Ok(sums)
}
