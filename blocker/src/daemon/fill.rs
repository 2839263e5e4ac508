//! How full the tables of bans are: told before they overflow.

use blocker_core::engine::Stats;

use crate::kernel::Capacity;

/// A table this full, in percent, is worth a warning.
const WARN_PERCENT: usize = 80;

/// The tables that are nearly full, as sentences.
pub(super) fn warnings(stats: &Stats, capacity: Capacity) -> Vec<String> {
    let setting = |name: &str| format!("raise `daemon.{name}`, which takes a restart and keeps all bans");
    let tables = [
        ("IPv4 hosts", stats.bans_v4, capacity.ipv4, setting("max_bans_ipv4")),
        ("IPv6 /64s", stats.bans_v6, capacity.ipv6, setting("max_bans_ipv6")),
        ("networks", stats.networks, blocker_common::MAX_NETWORKS, "ban wider networks instead of many".to_owned()),
    ];
    tables
        .into_iter()
        .filter(|(_, held, room, _)| 100 * held >= WARN_PERCENT * *room as usize)
        .map(|(what, held, room, advice)| {
            format!(
                "{held} of {room} bans of {what} are taken: when all are, the ban soonest to end gives way; {advice}"
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
    }
}
