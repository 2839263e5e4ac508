//! The bans in memory, by prefix and jail, and the prefixes by the end of their bans: small, because there may be a million.
//!
//! A key is packed into integers that are ordered as prefixes and jails are, a ban is two instants and a pointer to what
//! it came from, which all bans of one list share. A ban of an IPv4 host takes some 50 bytes in the table and 25 among the
//! ends, its share of the trees' free places included.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::latest::Latest;
use super::{Ban, Kind, Origin};
use crate::jail::JailId;
use crate::prefix::Prefix;
use crate::time::{Timestamp, Until};

/// Every ban, by prefix and then by jail.
#[derive(Debug, Default)]
pub(super) struct Table {
    v4: BTreeMap<Key4, Held>,
    v6: BTreeMap<Key6, Held>,
    /// Whole addresses of `v4`, those entered last.
    latest: Latest,
    /// What the ban entered last came from: the next one probably does too.
    last: Option<Arc<Origin>>,
}

/// A ban as it is kept.
#[derive(Clone, Debug)]
struct Held {
    started: Timestamp,
    end: End,
    origin: Arc<Origin>,
}

/// An IPv4 address, its prefix's length and a jail: 32, 8 and 8 bits, in this order from above.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key4(u64);

/// An IPv6 address, its halves in order; its prefix's length and a jail, 8 bits each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key6(u64, u64, u16);

enum Key {
    V4(Key4),
    V6(Key6),
}

/// An [`Until`] in eight bytes. The last instant there is stands for no end, so that a ban until that very instant, 292 years
/// after the clock's zero, ends a nanosecond early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct End(i64);

impl From<Until> for End {
    fn from(until: Until) -> Self {
        Self(match until {
            Until::At(end) => end.as_nanos().min(i64::MAX - 1),
            Until::Forever => i64::MAX,
        })
    }
}

impl From<End> for Until {
    fn from(End(nanos): End) -> Self {
        if nanos == i64::MAX { Self::Forever } else { Self::At(Timestamp::from_nanos(nanos)) }
    }
}

impl From<&Held> for Ban {
    fn from(held: &Held) -> Self {
        Self { started: held.started, until: held.end.into(), origin: Origin::clone(&held.origin) }
    }
}

fn key(prefix: Prefix, jail: JailId) -> Key {
    let low = u16::from(prefix.len()) << 8 | u16::from(jail.index());
    match prefix.addr() {
        IpAddr::V4(addr) => Key::V4(Key4(u64::from(addr.to_bits()) << 16 | u64::from(low))),
        IpAddr::V6(addr) => {
            let [a, b, c, d, e, f, g, h] = addr.segments().map(u64::from);
            Key::V6(Key6(a << 48 | b << 32 | c << 16 | d, e << 48 | f << 32 | g << 16 | h, low))
        }
    }
}

/// The lowest bytes of a key: a prefix's length and a jail, which were put there together.
fn unpacked(addr: IpAddr, low: u64) -> Option<(Prefix, JailId)> {
    let [.., len, jail] = low.to_be_bytes();
    Some((Prefix::new(addr, len).ok()?, JailId::new(jail)?))
}

impl Key4 {
    /// The address and the jail, in 40 bits, if the prefix is a whole address.
    fn of_host(self) -> Option<u64> {
        (self.0 >> 8 & 0xff == 32).then_some(self.0 >> 16 << 8 | self.0 & 0xff)
    }

    fn unpack(self) -> Option<(Prefix, JailId)> {
        let [_, _, a, b, c, d, ..] = self.0.to_be_bytes();
        unpacked(Ipv4Addr::new(a, b, c, d).into(), self.0)
    }
}

impl Key6 {
    fn unpack(self) -> Option<(Prefix, JailId)> {
        let bits = u128::from(self.0) << 64 | u128::from(self.1);
        unpacked(Ipv6Addr::from_bits(bits).into(), self.2.into())
    }
}

impl Table {
    /// Enters a ban in place of one that is there; whether one was.
    pub(super) fn insert(&mut self, prefix: Prefix, jail: JailId, ban: Ban) -> bool {
        let Ban { started, until, origin } = ban;
        let held = Held { started, end: until.into(), origin: self.shared(origin) };
        match key(prefix, jail) {
            Key::V4(key) => {
                if let Some(host) = key.of_host() {
                    self.latest.insert(host);
                }
                self.v4.insert(key, held).is_some()
            }
            Key::V6(key) => self.v6.insert(key, held).is_some(),
        }
    }

    /// Takes a ban out, and says when it began.
    pub(super) fn remove(&mut self, prefix: Prefix, jail: JailId) -> Option<Timestamp> {
        let held = match key(prefix, jail) {
            Key::V4(key) => {
                if let Some(host) = key.of_host() {
                    self.latest.remove(host);
                }
                self.v4.remove(&key)
            }
            Key::V6(key) => self.v6.remove(&key),
        };
        held.map(|held| held.started)
    }

    /// The ban of exactly `prefix` by `jail`.
    pub(super) fn get(&self, prefix: Prefix, jail: JailId) -> Option<Ban> {
        self.held(prefix, jail).map(Ban::from)
    }

    /// Whether `jail` bans exactly `prefix`.
    pub(super) fn has(&self, prefix: Prefix, jail: JailId) -> bool {
        match key(prefix, jail) {
            Key::V4(key) => {
                let known = key.of_host().and_then(|host| self.latest.has(host));
                known.unwrap_or_else(|| self.v4.contains_key(&key))
            }
            Key::V6(key) => self.v6.contains_key(&key),
        }
    }

    /// The jails that ban exactly `prefix`, and until when each does.
    pub(super) fn of(&self, prefix: Prefix) -> impl Iterator<Item = (JailId, Until)> {
        // Cheaper than a range with an end, which would be searched for too.
        let (v4, v6) = match key(prefix, JailId::MIN) {
            Key::V4(first) => {
                let same = self.v4.range(first..).take_while(move |(key, _)| key.0 >> 8 == first.0 >> 8);
                (Some(same.filter_map(|(key, held)| Some((key.unpack()?.1, held.end.into())))), None)
            }
            Key::V6(first) => {
                let is_same = move |key: &Key6| (key.0, key.1, key.2 >> 8) == (first.0, first.1, first.2 >> 8);
                let same = self.v6.range(first..).take_while(move |(key, _)| is_same(key));
                (None, Some(same.filter_map(|(key, held)| Some((key.unpack()?.1, held.end.into())))))
            }
        };
        v4.into_iter().flatten().chain(v6.into_iter().flatten())
    }

    /// The banned prefixes that lie inside `prefix`, itself included.
    pub(super) fn inside(&self, prefix: Prefix) -> impl Iterator<Item = Prefix> {
        let (v4, v6) = match key(prefix, JailId::MIN) {
            Key::V4(first) => (Some(self.v4.range(first..).filter_map(|(key, _)| key.unpack())), None),
            Key::V6(first) => (None, Some(self.v6.range(first..).filter_map(|(key, _)| key.unpack()))),
        };
        let from = v4.into_iter().flatten().chain(v6.into_iter().flatten()).map(|(prefix, _)| prefix);
        once_each(from.take_while(move |&banned| prefix.covers(banned)))
    }

    /// Every banned prefix.
    pub(super) fn prefixes(&self) -> impl Iterator<Item = Prefix> {
        once_each(self.keys().map(|(prefix, _)| prefix))
    }

    /// How many bans there are.
    pub(super) fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// Whose bans there are.
    pub(super) fn keys(&self) -> impl Iterator<Item = (Prefix, JailId)> {
        self.v4.keys().filter_map(|key| key.unpack()).chain(self.v6.keys().filter_map(|key| key.unpack()))
    }

    /// Every ban.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Prefix, JailId, Ban)> {
        let v4 = self.v4.iter().map(|(key, held)| (key.unpack(), held));
        let v6 = self.v6.iter().map(|(key, held)| (key.unpack(), held));
        v4.chain(v6).filter_map(|(key, held)| key.map(|(prefix, jail)| (prefix, jail, held.into())))
    }

    fn held(&self, prefix: Prefix, jail: JailId) -> Option<&Held> {
        match key(prefix, jail) {
            Key::V4(key) => self.v4.get(&key),
            Key::V6(key) => self.v6.get(&key),
        }
    }

    /// The origin, the one of the ban before if that came from the same.
    fn shared(&mut self, origin: Origin) -> Arc<Origin> {
        match &self.last {
            Some(last) if is_shared(last, &origin) => Arc::clone(last),
            Some(_) | None => {
                let origin = Arc::new(origin);
                self.last = Some(Arc::clone(&origin));
                origin
            }
        }
    }
}

/// Whether two bans came from one command, or both from the kernel's maps.
fn is_shared(one: &Origin, other: &Origin) -> bool {
    match (one, other) {
        (Origin::Adopted, Origin::Adopted) => true,
        (Origin::Command { reason: one, by: one_by }, Origin::Command { reason: other, by: other_by }) => {
            let is_same = match (one, other) {
                (None, None) => true,
                (Some(one), Some(other)) => Arc::ptr_eq(one, other),
                (None, Some(_)) | (Some(_), None) => false,
            };
            is_same && one_by == other_by
        }
        (Origin::Log { .. } | Origin::Command { .. } | Origin::Adopted, _) => false,
    }
}

/// Leaves out what equals the one before.
fn once_each(prefixes: impl Iterator<Item = Prefix>) -> impl Iterator<Item = Prefix> {
    let mut prefixes: Peekable<_> = prefixes.peekable();
    std::iter::from_fn(move || {
        let next = prefixes.next()?;
        while prefixes.next_if_eq(&next).is_some() {}
        Some(next)
    })
}

/// The banned prefixes by the latest end of their bans, by kind. Of those without an end only how many there are: they are
/// never due and never give way.
#[derive(Debug, Default)]
pub(super) struct Ends {
    hosts4: BTreeSet<(End, u32)>,
    /// Of [`Kind::NetV6`] and [`Kind::Network`].
    others: [BTreeSet<(End, Prefix)>; 2],
    /// Of hosts of IPv4, then as in `others`.
    forever: [usize; 3],
}

impl Ends {
    /// Enters a prefix.
    pub(super) fn insert(&mut self, until: Until, prefix: Prefix) {
        if until == Until::Forever {
            *self.forever(Kind::of(prefix)) += 1;
            return;
        }
        match (Kind::of(prefix), prefix.addr()) {
            (Kind::HostV4, IpAddr::V4(addr)) => self.hosts4.insert((until.into(), addr.to_bits())),
            (Kind::HostV4 | Kind::NetV6, _) => self.others[0].insert((until.into(), prefix)),
            (Kind::Network, _) => self.others[1].insert((until.into(), prefix)),
        };
    }

    /// Takes a prefix out that was entered with this end.
    pub(super) fn remove(&mut self, until: Until, prefix: Prefix) {
        if until == Until::Forever {
            let forever = self.forever(Kind::of(prefix));
            *forever = forever.saturating_sub(1);
            return;
        }
        match (Kind::of(prefix), prefix.addr()) {
            (Kind::HostV4, IpAddr::V4(addr)) => self.hosts4.remove(&(until.into(), addr.to_bits())),
            (Kind::HostV4 | Kind::NetV6, _) => self.others[0].remove(&(until.into(), prefix)),
            (Kind::Network, _) => self.others[1].remove(&(until.into(), prefix)),
        };
    }

    /// How many prefixes of this kind there are.
    pub(super) fn count(&self, kind: Kind) -> usize {
        match kind {
            Kind::HostV4 => self.hosts4.len() + self.forever[0],
            Kind::NetV6 => self.others[0].len() + self.forever[1],
            Kind::Network => self.others[1].len() + self.forever[2],
        }
    }

    fn forever(&mut self, kind: Kind) -> &mut usize {
        match kind {
            Kind::HostV4 => &mut self.forever[0],
            Kind::NetV6 => &mut self.forever[1],
            Kind::Network => &mut self.forever[2],
        }
    }

    /// Those of one kind that have an end, the soonest to end first.
    pub(super) fn soonest(&self, kind: Kind) -> impl Iterator<Item = (Until, Prefix)> {
        let (hosts, others) = match kind {
            Kind::HostV4 => (Some(&self.hosts4), None),
            Kind::NetV6 => (None, Some(&self.others[0])),
            Kind::Network => (None, Some(&self.others[1])),
        };
        let host = |&(end, bits): &(End, u32)| (end.into(), Prefix::host(Ipv4Addr::from_bits(bits).into()));
        let hosts = hosts.into_iter().flatten().map(host);
        hosts.chain(others.into_iter().flatten().map(|&(end, prefix)| (end.into(), prefix)))
    }

    /// The soonest to end of all that have an end.
    pub(super) fn first(&self) -> Option<(Until, Prefix)> {
        let kinds = [Kind::HostV4, Kind::NetV6, Kind::Network];
        kinds.into_iter().filter_map(|kind| self.soonest(kind).next()).min()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bans_of_one_list_share_what_they_came_from_and_those_of_another_do_not() {
        let mut table = Table::default();
        let reason: Arc<str> = "a list".into();
        let listed = |reason: &Arc<str>| Origin::Command { reason: Some(Arc::clone(reason)), by: None };
        for n in 0..3 {
            table.insert(host(n), JailId::MIN, ban(listed(&reason), Until::Forever));
        }
        table.insert(host(3), JailId::MIN, ban(listed(&"a list".into()), Until::Forever));

        let origins: Vec<&Arc<Origin>> = table.v4.values().map(|held| &held.origin).collect();
        assert!(Arc::ptr_eq(origins[0], origins[2]));
        assert!(!Arc::ptr_eq(origins[2], origins[3]));
    }

    #[test]
    fn the_last_instant_is_no_end_and_every_other_is_kept() {
        for nanos in [i64::MIN, -1, 0, i64::MAX - 1] {
            let until = Until::At(Timestamp::from_nanos(nanos));
            assert_eq!(Until::from(End::from(until)), until);
        }
        assert_eq!(Until::from(End::from(Until::Forever)), Until::Forever);
        assert!(End::from(Until::At(Timestamp::from_nanos(i64::MAX))) < End::from(Until::Forever));
    }

    #[test]
    fn of_so_many_that_some_are_driven_out_it_is_still_known_who_is_banned() {
        let mut table = Table::default();
        let spread = |n: u32| Prefix::host(Ipv4Addr::from_bits(n.wrapping_mul(0x0101_0101)).into());
        for n in 0..70_000 {
            table.insert(spread(n), JailId::MIN, ban(Origin::Adopted, Until::Forever));
        }
        for n in (0..70_000).step_by(2) {
            table.remove(spread(n), JailId::MIN);
        }
        for n in 0..80_000 {
            assert_eq!(table.has(spread(n), JailId::MIN), n % 2 == 1 && n < 70_000, "{n}");
            assert!(!table.has(spread(n), JailId::MAX));
        }
    }

    proptest! {
        #[test]
        fn keys_come_back_and_are_ordered_as_prefixes_and_jails_are(
            keys in proptest::collection::btree_set((prefix(), 0..=JailId::MAX.index()), 0..50)
        ) {
            let mut table = Table::default();
            for &(prefix, jail) in keys.iter().rev() {
                let jail = JailId::new(jail).expect("it is in range");
                assert!(!table.insert(prefix, jail, ban(Origin::Adopted, Until::Forever)));
            }

            for &(prefix, _) in &keys {
                for index in 0..=JailId::MAX.index() {
                    let jail = JailId::new(index).expect("it is in range");
                    prop_assert_eq!(table.has(prefix, jail), keys.contains(&(prefix, index)));
                }
            }
            let found: Vec<_> = table.keys().map(|(prefix, jail)| (prefix, jail.index())).collect();
            prop_assert_eq!(found, keys.iter().copied().collect::<Vec<_>>());
            for &(prefix, _) in &keys {
                let jails: Vec<_> = table.of(prefix).map(|(jail, _)| jail.index()).collect();
                let expected: Vec<_> = keys.iter().filter(|key| key.0 == prefix).map(|key| key.1).collect();
                prop_assert_eq!(jails, expected);
                let mut inside: Vec<_> = keys.iter().map(|key| key.0).filter(|&p| prefix.covers(p)).collect();
                inside.dedup();
                prop_assert_eq!(table.inside(prefix).collect::<Vec<_>>(), inside);
            }
            for &(prefix, index) in &keys {
                let jail = JailId::new(index).expect("it is in range");
                table.remove(prefix, jail);
                prop_assert!(!table.has(prefix, jail));
            }
        }
    }

    /// Prefixes of few addresses and lengths, so that many lie in others.
    fn prefix() -> impl Strategy<Value = Prefix> {
        let v4 =
            (0_u32..4, 30_u8..=32).prop_map(|(n, len)| Prefix::new(Ipv4Addr::from_bits(0xc000_0200 + n).into(), len));
        let v6 = (0_u128..4, prop_oneof![Just(63_u8), Just(64), Just(127), Just(128)])
            .prop_map(|(n, len)| Prefix::new(Ipv6Addr::from_bits(0x2001_0db8 << 96 | n << 63 | n).into(), len));
        prop_oneof![v4, v6].prop_map(|prefix| prefix.expect("its length is in range"))
    }

    fn ban(origin: Origin, until: Until) -> Ban {
        Ban { started: Timestamp::from_secs(1), until, origin }
    }

    fn host(n: u32) -> Prefix {
        Prefix::host(Ipv4Addr::from_bits(0xc000_0200 + n).into())
    }
}
