//! How full the tables of bans are: told before they overflow.

use blocker_core::engine::Stats;

use crate::control::status::TableStatus;
use crate::kernel::Capacity;

/// A table this full, in percent, is worth a warning.
const WARN_PERCENT: usize = 80;

/// An alarm that a table is nearly full ends when it is no fuller than this, so that it does not come and go with single bans.
const NEARLY_FULL_UNTIL_PERCENT: usize = 75;

/// The same of one that it is full.
const FULL_UNTIL_PERCENT: usize = 95;

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
    /// What it is called, for scripts.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// What is in it, for people.
    pub(super) fn what(&self) -> &'static str {
        self.what
    }

    /// Whether it is nearly full; less will do if it `was` so before.
    pub(super) fn is_nearly_full(&self, was: bool) -> bool {
        self.is_above(if was { NEARLY_FULL_UNTIL_PERCENT } else { WARN_PERCENT })
    }

    /// Whether there is no room for one more; less will do if it `was` so before.
    pub(super) fn is_full(&self, was: bool) -> bool {
        self.is_above(if was { FULL_UNTIL_PERCENT } else { 100 })
    }

    fn is_above(&self, percent: usize) -> bool {
        100 * self.bans >= percent * self.capacity as usize
    }

    /// How full it is, in a sentence.
    pub(super) fn warning(&self) -> String {
        let Self { name: _, what, bans, capacity, advice } = self;
        format!(
            "{bans} of {capacity} bans of {what} are taken: when all are, the ban soonest to end gives way; {advice}"
        )
    }

    /// For scripts.
    pub(super) fn status(&self) -> TableStatus {
        let Self { name, what: _, bans, capacity, advice: _ } = *self;
        TableStatus {
            name: name.to_owned(),
            bans,
            capacity: capacity as usize,
            nearly_full: self.is_nearly_full(false),
        }
    }
}

/// The tables that are nearly full, as sentences.
pub(super) fn warnings(stats: &Stats, capacity: Capacity) -> Vec<String> {
    let full = tables(stats, capacity).into_iter().filter(|table| table.is_nearly_full(false));
    full.map(|table| table.warning()).collect()
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

    #[test]
    fn an_alarm_of_a_table_does_not_come_and_go_with_single_bans() {
        let capacity = Capacity { ipv4: 1000, ipv6: 500 };
        let [table, ..] = tables(&Stats { bans_v4: 799, ..Stats::default() }, capacity);
        assert!(!table.is_nearly_full(false) && table.is_nearly_full(true) && !table.is_full(true));
        let [table, ..] = tables(&Stats { bans_v4: 999, ..Stats::default() }, capacity);
        assert!(!table.is_full(false) && table.is_full(true) && table.is_nearly_full(false));
        let [table, ..] = tables(&Stats { bans_v4: 1000, ..Stats::default() }, capacity);
        assert!(table.is_full(false));
        let [table, ..] = tables(&Stats { bans_v4: 749, ..Stats::default() }, capacity);
        assert!(!table.is_nearly_full(true));
    }
}
