//! How full the tables of bans are: told before they overflow.

use std::collections::BTreeSet;

use blocker_core::engine::Stats;

use crate::control::status::TableStatus;
use crate::kernel::Capacity;

/// A table this full, in percent, is worth a warning.
const WARN_PERCENT: usize = 80;

/// A table that was nearly full is so until it is no fuller than this, so that neither the log nor an alarm comes and goes with
/// single bans.
const NEARLY_FULL_UNTIL_PERCENT: usize = 75;

/// The same of one that was full.
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

/// What the log has been told: each table once when it is nearly full, and once when it has room again.
#[derive(Debug, Default)]
pub(super) struct Told(BTreeSet<&'static str>);

/// A line for the log.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    /// A table is nearly full.
    Full(String),
    /// One that was has room again.
    Room(String),
}

impl Told {
    /// What is new.
    pub(super) fn news(&mut self, stats: &Stats, capacity: Capacity) -> Vec<News> {
        let mut news = Vec::new();
        for table in tables(stats, capacity) {
            let was = self.0.contains(table.name);
            let is = table.is_nearly_full(was);
            if is && !was {
                self.0.insert(table.name);
                news.push(News::Full(table.warning()));
            } else if was && !is {
                self.0.remove(table.name);
                let Table { name: _, what, bans, capacity, advice: _ } = table;
                news.push(News::Room(format!("{bans} of {capacity} bans of {what} are taken: there is room again")));
            }
        }
        news
    }
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
    fn the_log_hears_of_each_table_once_and_again_only_after_it_had_room() {
        let capacity = Capacity { ipv4: 100, ipv6: 100 };
        let mut told = Told::default();
        let mut hears = |bans_v4, bans_v6| {
            let stats = Stats { bans_v4, bans_v6, ..Stats::default() };
            let (mut full, mut room) = (Vec::new(), Vec::new());
            for news in told.news(&stats, capacity) {
                match news {
                    News::Full(text) => full.push(text),
                    News::Room(text) => room.push(text),
                }
            }
            (full.join("; "), room.join("; "))
        };
        let nothing = (String::new(), String::new());

        assert_eq!(hears(79, 0), nothing);
        assert!(hears(80, 0).0.starts_with("80 of 100 bans of IPv4 hosts are taken"));
        for near in [81, 79, 80, 75, 100] {
            assert_eq!(hears(near, 0), nothing, "at {near}");
        }
        let (full, room) = hears(74, 80);
        assert!(full.starts_with("80 of 100 bans of IPv6 /64s"), "one is full as the other is not any more: {full}");
        assert_eq!(room, "74 of 100 bans of IPv4 hosts are taken: there is room again");
        assert!(hears(80, 80).0.starts_with("80 of 100 bans of IPv4"), "and once more");
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
