//! Who was banned before, how often, and when last.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::jail::JailId;
use crate::prefix::Prefix;
use crate::time::Timestamp;
use crate::touched::Touched;

/// Most prefixes and jails whose bans are remembered. Beyond it the one last banned longest ago is forgotten. At some 150
/// bytes each, 40 MiB.
pub const MAX_HISTORY: usize = 262_144;

/// Earlier bans of one prefix by one jail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Earlier {
    /// How many.
    pub bans: u32,
    /// When the last one began.
    pub last: Timestamp,
}

/// All of them, oldest first to be forgotten.
#[derive(Debug, Default)]
pub struct History {
    bans: BTreeMap<(Prefix, JailId), Earlier>,
    order: BTreeSet<(Timestamp, Prefix, JailId)>,
    forgotten: u64,
    /// For the store.
    pub(crate) touched: Touched<(Prefix, JailId)>,
}

impl History {
    /// How often `prefix` was banned by `jail`, or by any jail if that is `None`.
    #[must_use]
    pub fn count(&self, prefix: Prefix, jail: Option<JailId>) -> u32 {
        match jail {
            Some(jail) => self.bans.get(&(prefix, jail)).map_or(0, |earlier| earlier.bans),
            None => self
                .bans
                .range((prefix, JailId::MIN)..=(prefix, JailId::MAX))
                .fold(0, |sum, (_, earlier)| sum.saturating_add(earlier.bans)),
        }
    }

    /// Notes a ban that begins at `now`.
    pub fn note(&mut self, prefix: Prefix, jail: JailId, now: Timestamp) {
        let bans = self.count(prefix, Some(jail)).saturating_add(1);
        self.put(prefix, jail, Earlier { bans, last: now });
    }

    /// Takes in what a store remembers: that counts as told.
    pub(crate) fn restore(&mut self, prefix: Prefix, jail: JailId, earlier: Earlier) {
        let touched = std::mem::take(&mut self.touched);
        self.put(prefix, jail, earlier);
        self.touched = touched;
    }

    fn put(&mut self, prefix: Prefix, jail: JailId, earlier: Earlier) {
        self.forget(prefix, jail);
        if self.bans.len() >= MAX_HISTORY
            && let Some(&(_, prefix, jail)) = self.order.first()
        {
            self.forget(prefix, jail);
            self.forgotten += 1;
        }
        self.bans.insert((prefix, jail), earlier);
        self.order.insert((earlier.last, prefix, jail));
        self.touched.touch((prefix, jail));
    }

    /// Forgets all bans of `prefix`.
    pub fn forget_prefix(&mut self, prefix: Prefix) {
        let range = (prefix, JailId::MIN)..=(prefix, JailId::MAX);
        let jails: Vec<JailId> = self.bans.range(range).map(|(&(_, jail), _)| jail).collect();
        for jail in jails {
            self.forget(prefix, jail);
        }
    }

    /// Forgets everybody.
    pub fn clear(&mut self) {
        self.bans.clear();
        self.order.clear();
        self.touched.touch_all();
    }

    /// Everything that is remembered.
    pub fn iter(&self) -> impl Iterator<Item = ((Prefix, JailId), Earlier)> + '_ {
        self.bans.iter().map(|(&key, &earlier)| (key, earlier))
    }

    /// Forgets whoever was not banned for longer than `span`.
    pub fn purge(&mut self, now: Timestamp, span: Duration) {
        while let Some(&(last, prefix, jail)) = self.order.first()
            && now.saturating_since(last) >= span
        {
            self.forget(prefix, jail);
        }
    }

    /// Forgets the bans of one prefix by one jail.
    pub fn forget(&mut self, prefix: Prefix, jail: JailId) {
        if let Some(earlier) = self.bans.remove(&(prefix, jail)) {
            self.order.remove(&(earlier.last, prefix, jail));
            self.touched.touch((prefix, jail));
        }
    }

    /// The bans of one prefix by one jail.
    #[must_use]
    pub fn get(&self, prefix: Prefix, jail: JailId) -> Option<Earlier> {
        self.bans.get(&(prefix, jail)).copied()
    }

    /// How many were forgotten because there was no room.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// How many prefixes and jails are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bans.len()
    }

    /// Whether nobody is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bans.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    #[test]
    fn bans_are_counted_by_jail_and_over_all() {
        let mut history = History::default();
        let (one, other) = (JailId::MIN, JailId::MAX);
        history.note(prefix("192.0.2.9"), one, at(0));
        history.note(prefix("192.0.2.9"), one, at(10));
        history.note(prefix("192.0.2.9"), other, at(20));
        history.note(prefix("192.0.2.8"), one, at(30));

        let count = |jail| history.count(prefix("192.0.2.9"), jail);
        assert_eq!([count(Some(one)), count(Some(other)), count(None)], [2, 1, 3]);
        assert_eq!(history.count(prefix("192.0.2.0/24"), None), 0, "of exactly this prefix");
    }

    #[test]
    fn who_stays_away_for_so_long_is_forgotten() {
        let mut history = History::default();
        history.note(prefix("192.0.2.9"), JailId::MIN, at(0));
        history.note(prefix("192.0.2.8"), JailId::MIN, at(5));
        history.note(prefix("192.0.2.9"), JailId::MIN, at(10));

        history.purge(at(105), Duration::from_secs(100));

        let count = |text| history.count(prefix(text), None);
        assert_eq!([count("192.0.2.9"), count("192.0.2.8")], [2, 0], "from the last ban on");
        history.purge(at(110), Duration::from_secs(100));
        assert!(history.is_empty());
    }

    #[test]
    fn no_more_than_the_bound_are_kept_and_the_oldest_makes_room() {
        let mut history = History::default();
        for number in 0..=u32::try_from(MAX_HISTORY).unwrap() {
            let addr = std::net::Ipv4Addr::from_bits(number).into();
            history.note(Prefix::host(addr), JailId::MIN, at(i64::from(number)));
        }
        assert_eq!((history.len(), history.forgotten()), (MAX_HISTORY, 1));
        assert_eq!(history.count(prefix("0.0.0.0"), None), 0);
        assert_eq!(history.get(prefix("0.0.0.1"), JailId::MIN), Some(Earlier { bans: 1, last: at(1) }));
    }
}
