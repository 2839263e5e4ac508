//! How full the tables of bans are: told before they overflow.

use blocker_core::engine::Stats;

use crate::control::status::TableStatus;
use crate::kernel::Capacity;

/// A table this full, in percent, is worth a warning.
const WARN_PERCENT: usize = 80;

/// A table of bans, and how full it is.
pub(super) struct Table {
    name: &'static str,
    /// What is in it, for people.
    what: &'static str,
    bans: usize,
    capacity: u32,
    /// What to do when it is nearly full.
    advice: String,
}

/// All of them.
pub(super) fn tables(stats: &Stats, capacity: Capacity) -> [Table; 3] {
    let setting = |name: &str| format!("raise `daemon.{name}`, which takes a restart and keeps all bans");
    let table = |name, what, bans, capacity, advice| Table { name, what, bans, capacity, advice };
    let networks = "ban wider networks instead of many".to_owned();
    [
        table("ipv4", "IPv4 hosts", stats.bans_v4, capacity.ipv4, setting("max_bans_ipv4")),
        table("ipv6", "IPv6 /64s", stats.bans_v6, capacity.ipv6, setting("max_bans_ipv6")),
        table("networks", "networks", stats.networks, blocker_common::MAX_NETWORKS, networks),
    ]
}

impl Table {
    fn is_nearly_full(&self) -> bool {
        100 * self.bans >= WARN_PERCENT * self.capacity as usize
    }

    /// For scripts.
    pub(super) fn status(&self) -> TableStatus {
        let Self { name, what: _, bans, capacity, advice: _ } = *self;
        TableStatus { name: name.to_owned(), bans, capacity: capacity as usize, nearly_full: self.is_nearly_full() }
    }
}

/// The tables that are nearly full, as sentences.
pub(super) fn warnings(stats: &Stats, capacity: Capacity) -> Vec<String> {
    let full = tables(stats, capacity).into_iter().filter(Table::is_nearly_full);
    full.map(|Table { name: _, what, bans, capacity, advice }| {
        format!(
            "{bans} of {capacity} bans of {what} are taken: when all are, the ban soonest to end gives way; {advice}"
        )
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_told_from_four_fifths_on() {
        let capacity = Capacity { ipv4: 1000, ipv6: 500 };
        let stats = |bans_v4, bans_v6| Stats { bans_v4, bans_v6, ..Stats::default() };

        assert!(warnings(&stats(799, 399), capacity).is_empty());
        let full = warnings(&stats(800, 400), capacity);
        assert_eq!(full.len(), 2, "{full:?}");
        assert!(full[0].contains("max_bans_ipv4") && full[1].contains("max_bans_ipv6"), "{full:?}");
        let told = tables(&stats(800, 399), capacity).map(|table| table.status());
        assert_eq!(told.each_ref().map(|table| table.nearly_full), [true, false, false]);
        assert_eq!((told[0].bans, told[0].capacity), (800, 1000));
    }
}
