//! The program's counters, summed over CPUs.

use anyhow::Result;
use blocker_common::{Counter, Outcome};

use super::Maps;

/// Packets and bytes by outcome, in the order of [`Outcome::ALL`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Totals(pub Vec<(Outcome, Counter)>);

impl Totals {
    /// Packets dropped, for whatever reason.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.0
            .iter()
            .filter(|(outcome, _)| matches!(outcome, Outcome::DropBanned | Outcome::DropHidden))
            .map(|(_, counter)| counter.packets)
            .sum()
    }
}

/// Reads them all.
pub(super) fn totals(maps: &Maps) -> Result<Totals> {
    Outcome::ALL.into_iter().map(|outcome| Ok((outcome, maps.counter(outcome)?))).collect::<Result<_>>().map(Totals)
}
