//! The ban book: all bans in force, by prefix and jail, and the order in which they end.
//!
//! The book knows who is banned, by which jails, until when. It never decides that somebody should be (see
//! [`crate::policy`]) and never speaks to the kernel: it says what became of a prefix, and the engine makes commands of it.
//!
//! # Theory of operation
//!
//! Several jails may ban one prefix, each with an end of its own; the kernel has one entry per prefix, which carries
//! their union and the latest end ([`Merged`]).
//!
//! ```text
//!            insert                        due (its own end) / remove / evict
//!  (nobody) ───────▶ banned by one jail ─────────────────────────────────────▶ (nobody)
//!                      │ insert      ▲ due
//!                      ▼             │
//!                    banned by several jails
//! ```
//!
//! Two orders are kept. `ends` has every prefix that has an end by its latest one, apart for each [`Kind`], because the kernel has a
//! table for each: its first entry is what gives way when that table is full. `early` has only the bans that end before
//! another ban of the same prefix does, which is rare. What is due next is the first of them all.
//!
//! A ban by command takes some 80 bytes (`table`), one that a log earned about twice as much. Trees, not hashes: nobody can aim at
//! collisions, and listing, the range of a network and the order of ends come for free.

mod ban;
mod fresh;
mod latest;
pub(crate) mod lengths;
mod outcome;
mod recent;
mod table;

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::bounds::Bounds;
use crate::jail::{JailId, JailSet};
use crate::prefix::Prefix;
use crate::time::{Timestamp, Until};
use crate::touched::Touched;

use fresh::Fresh;
use lengths::Lengths;
use recent::Recent;
use table::{Ends, Table};

pub use ban::{Ban, Kind, MAX_USER_BYTES, Origin, Refusal, Uid};
pub use outcome::{Entry, Insertion, Merged, Removal, Renewal};
pub use recent::{LATE_LINES, MAX_RECENT};

/// All bans in force.
#[derive(Debug)]
pub struct Book {
    bounds: Bounds,
    bans: Table,
    ends: Ends,
    /// The bans that end before another one of their prefix.
    early: BTreeSet<(Until, Prefix, JailId)>,
    /// The prefixes of kind [`Kind::Network`].
    networks: BTreeSet<Prefix>,
    lengths: Lengths,
    in_force: [usize; JailId::MAX.index() as usize + 1],
    recent: Recent,
    /// For the store.
    pub(crate) touched: Touched<(Prefix, JailId)>,
    fresh: Fresh,
}

/// What there is of keys now; `None` if there is nothing any more.
pub(crate) type Changed = Vec<((Prefix, JailId), Option<Entry>)>;

impl Book {
    /// A book without bans.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            bans: Table::default(),
            ends: Ends::default(),
            early: BTreeSet::new(),
            networks: BTreeSet::new(),
            lengths: Lengths::default(),
            in_force: [0; JailId::MAX.index() as usize + 1],
            recent: Recent::default(),
            touched: Touched::default(),
            fresh: Fresh::default(),
        }
    }

    /// Sets other bounds. A table that is beyond its new one shrinks when the next ban is entered into it.
    pub fn set_bounds(&mut self, bounds: Bounds) {
        self.bounds = bounds;
    }

    /// Enters `ban` of `prefix` by `jail`, which begins now. If `jail` bans it already, `renewal` says what its end becomes, and its
    /// beginning stays.
    ///
    /// # Errors
    ///
    /// [`Refusal::TooDeeplyNested`] or [`Refusal::TableFull`]; then nothing has changed.
    pub fn insert(&mut self, prefix: Prefix, jail: JailId, ban: Ban, renewal: Renewal) -> Result<Insertion, Refusal> {
        let now = ban.started;
        self.restore(prefix, jail, ban, renewal, now)
    }

    /// The same for a ban that began before `now`.
    ///
    /// # Errors
    ///
    /// As [`Book::insert`].
    pub fn restore(
        &mut self,
        prefix: Prefix,
        jail: JailId,
        ban: Ban,
        renewal: Renewal,
        now: Timestamp,
    ) -> Result<Insertion, Refusal> {
        let Some(before) = self.merged(prefix) else {
            let gave_way = self.make_room(prefix, now)?;
            let after = self.enter(prefix, jail, ban);
            return Ok(Insertion { renewed: false, before: None, after, gave_way });
        };
        self.unindex(prefix, before);
        let in_force = self.bans.get(prefix, jail);
        let renewed = in_force.is_some();
        let ban = match in_force {
            None => ban,
            Some(old) if renewal == Renewal::Longest && old.until >= ban.until => old,
            Some(old) => Ban { started: old.started, ..ban },
        };
        self.bans.insert(prefix, jail, ban);
        self.touch((prefix, jail));
        if !renewed {
            self.in_force[usize::from(jail.index())] += 1;
        }
        let after = self.merged(prefix).unwrap_or(before);
        self.index(prefix, after);
        Ok(Insertion { renewed, before: Some(before), after, gave_way: Vec::new() })
    }

    /// Removes all bans of exactly `prefix`, and forgets when they and earlier ones began.
    pub fn remove(&mut self, prefix: Prefix) -> Option<Removal> {
        if !self.recent.is_empty() {
            for jail in JailSet::from_bits(u64::MAX).iter() {
                if self.recent.start(prefix, jail).is_some() {
                    self.recent.forget(prefix, jail);
                    self.touch((prefix, jail));
                }
            }
        }
        let jails = self.merged(prefix)?.jails;
        self.take(prefix, jails);
        Some(Removal { prefix, jails, left: None })
    }

    /// Removes all bans, and forgets when they and earlier ones began; says how many were in force.
    pub fn clear(&mut self) -> usize {
        let Self { bounds: _, bans, ends, early, networks, lengths, in_force, recent, touched, fresh } = self;
        let cleared = bans.len();
        *bans = Table::default();
        *ends = Ends::default();
        early.clear();
        networks.clear();
        *lengths = Lengths::default();
        in_force.fill(0);
        recent.clear();
        touched.touch_all();
        *fresh = Fresh::default();
        cleared
    }

    /// Removes the bans of the next prefix that has any whose end has come at `now`. To be repeated until `None`.
    pub fn expire_next(&mut self, now: Timestamp) -> Option<Removal> {
        while let Some(key) = self.recent.purge_next(now) {
            self.touch(key);
        }
        let (_, prefix) = self.next_due().filter(|(until, _)| until.is_past(now))?;
        let jails: JailSet =
            self.bans.of(prefix).filter(|(_, until)| until.is_past(now)).map(|(jail, _)| jail).collect();
        for (jail, started) in self.take(prefix, jails) {
            self.remember_ended(prefix, jail, started, now);
        }
        Some(Removal { prefix, jails, left: self.merged(prefix) })
    }

    /// When [`Book::expire_next`] next has something to do.
    #[must_use]
    pub fn next_end(&self) -> Option<Timestamp> {
        let due = match self.next_due() {
            Some((Until::At(end), _)) => Some(end),
            Some((Until::Forever, _)) | None => None,
        };
        due.into_iter().chain(self.recent.next_purge()).min()
    }

    /// Forgets when bans that are over began.
    pub fn forget_ended(&mut self) {
        for key in self.recent.keys() {
            self.touched.touch(key);
            self.fresh.spoil(key);
        }
        self.recent.clear();
    }

    /// Remembers that a ban which is over at `now` began at `started`, for lines that come late.
    pub fn remember_ended(&mut self, prefix: Prefix, jail: JailId, started: Timestamp, now: Timestamp) {
        self.touch((prefix, jail));
        if let Some(key) = self.recent.remember(prefix, jail, started, now) {
            self.touch(key);
        }
    }

    /// What there is of exactly `prefix` and `jail`.
    #[must_use]
    pub fn entry(&self, prefix: Prefix, jail: JailId) -> Option<Entry> {
        let in_force = self.ban(prefix, jail).map(Entry::InForce);
        in_force.or_else(|| self.recent.start(prefix, jail).map(|started| Entry::Ended { started }))
    }

    /// How many bans are in force.
    #[must_use]
    pub fn bans(&self) -> usize {
        self.bans.len()
    }

    /// How many entries there are, at most: of bans in force, and of those that are over and remembered.
    pub(crate) fn len(&self) -> usize {
        self.bans.len() + self.recent.len()
    }

    /// Whose bans that are over are remembered.
    pub(crate) fn ended(&self) -> impl Iterator<Item = (Prefix, JailId)> {
        self.recent.keys()
    }

    /// Everything there is: the bans in force by prefix and jail, then those that are over.
    pub fn entries(&self) -> impl Iterator<Item = (Prefix, JailId, Entry)> {
        let ended = self.recent.keys().filter(|&(prefix, jail)| !self.bans.has(prefix, jail));
        let ended = ended.filter_map(|(prefix, jail)| Some((prefix, jail, self.entry(prefix, jail)?)));
        self.bans.iter().map(|(prefix, jail, ban)| (prefix, jail, Entry::InForce(ban))).chain(ended)
    }

    /// What is in force for exactly `prefix`.
    #[must_use]
    pub fn merged(&self, prefix: Prefix) -> Option<Merged> {
        self.bans.of(prefix).fold(None, |merged: Option<Merged>, (jail, until)| {
            let known = merged.unwrap_or(Merged { jails: JailSet::EMPTY, until });
            Some(Merged { jails: known.jails.with(jail), until: known.until.max(until) })
        })
    }

    /// The ban of exactly `prefix` by `jail`.
    #[must_use]
    pub fn ban(&self, prefix: Prefix, jail: JailId) -> Option<Ban> {
        self.bans.get(prefix, jail)
    }

    /// The bans of exactly `prefix`.
    pub fn bans_of(&self, prefix: Prefix) -> impl Iterator<Item = (JailId, Ban)> {
        self.bans.of(prefix).filter_map(move |(jail, _)| Some((jail, self.bans.get(prefix, jail)?)))
    }

    /// The banned prefixes that cover `prefix`, itself included; the narrowest first.
    #[must_use]
    pub fn covering_all(&self, prefix: Prefix) -> Vec<Prefix> {
        self.lengths.covering(prefix).filter(|&covering| self.bans.of(covering).next().is_some()).collect()
    }

    /// The narrowest prefix under which `jail` bans `addr`.
    #[must_use]
    pub fn covering(&self, addr: IpAddr, jail: JailId) -> Option<Prefix> {
        self.lengths.covering(Prefix::host(addr)).find(|&prefix| self.bans.has(prefix, jail))
    }

    /// The narrowest banned prefix around `prefix`, itself excluded, whoever bans it.
    #[must_use]
    pub fn around(&self, prefix: Prefix) -> Option<Prefix> {
        self.lengths.covering(prefix).find(|&wider| wider != prefix && self.merged(wider).is_some())
    }

    /// When a ban by `jail` that covered `prefix` and is over began, if it was within the last [`LATE_LINES`].
    #[must_use]
    pub fn ended_ban_start(&self, prefix: Prefix, jail: JailId) -> Option<Timestamp> {
        self.recent.latest_start(prefix, jail)
    }

    /// The banned prefixes that lie inside `prefix`, itself included.
    pub fn inside(&self, prefix: Prefix) -> Vec<Prefix> {
        self.bans.inside(prefix).collect()
    }

    /// The same, one after the other.
    pub fn all_inside(&self, prefix: Prefix) -> impl Iterator<Item = Prefix> + '_ {
        self.bans.inside(prefix)
    }

    /// Every banned prefix.
    pub fn prefixes(&self) -> Vec<Prefix> {
        self.bans.prefixes().collect()
    }

    /// Every ban, by prefix and then by jail.
    pub fn iter(&self) -> impl Iterator<Item = (Prefix, JailId, Ban)> {
        self.bans.iter()
    }

    /// How many prefixes of this kind are banned.
    #[must_use]
    pub fn count(&self, kind: Kind) -> usize {
        self.ends.count(kind)
    }

    /// How many prefixes of this kind may be banned at once.
    #[must_use]
    pub fn bound(&self, kind: Kind) -> usize {
        match kind {
            Kind::HostV4 => self.bounds.max_bans_v4,
            Kind::NetV6 => self.bounds.max_bans_v6,
            Kind::Network => self.bounds.max_networks,
        }
    }

    /// How many bans `jail` has in force.
    #[must_use]
    pub fn in_force(&self, jail: JailId) -> usize {
        self.in_force[usize::from(jail.index())]
    }

    /// How many beginnings of ended bans were forgotten because [`MAX_RECENT`] was reached.
    #[must_use]
    pub fn late_forgotten(&self) -> u64 {
        self.recent.forgotten()
    }

    /// Enters a ban of a prefix that has none.
    fn enter(&mut self, prefix: Prefix, jail: JailId, ban: Ban) -> Merged {
        let merged = Merged { jails: JailSet::EMPTY.with(jail), until: ban.until };
        if self.touched.is_on() {
            self.fresh.note((prefix, jail), &ban);
        }
        self.bans.insert(prefix, jail, ban);
        self.touched.touch((prefix, jail));
        self.in_force[usize::from(jail.index())] += 1;
        self.index(prefix, merged);
        merged
    }

    /// Notes that what there is of a key has changed, and it is not a ban that has just begun.
    fn touch(&mut self, key: (Prefix, JailId)) {
        self.touched.touch(key);
        self.fresh.spoil(key);
    }

    /// The present values of what has changed, in the order of the keys; `None` for all there are. From here on they count as told.
    pub(crate) fn take_changed(&mut self) -> Option<Changed> {
        let mut fresh = std::mem::take(&mut self.fresh).into_bans().peekable();
        let keys = self.touched.take()?;
        let changed = keys.into_iter().map(|key| {
            while fresh.next_if(|(earlier, _)| *earlier < key).is_some() {}
            let entry = match fresh.next_if(|(same, _)| *same == key) {
                Some((_, ban)) => Some(Entry::InForce(ban)),
                None => self.entry(key.0, key.1),
            };
            (key, entry)
        });
        Some(changed.collect())
    }

    /// Makes room for `prefix`, which is not banned, or says why there is none.
    fn make_room(&mut self, prefix: Prefix, now: Timestamp) -> Result<Vec<Removal>, Refusal> {
        let kind = Kind::of(prefix);
        match kind {
            Kind::Network if self.nesting_with(prefix) > self.bounds.max_nesting => {
                return Err(Refusal::TooDeeplyNested { deepest: self.bounds.max_nesting });
            }
            Kind::Network | Kind::HostV4 | Kind::NetV6 => {}
        }
        let bound = self.bound(kind);
        let excess = (self.count(kind) + 1).saturating_sub(bound);
        let soonest: Vec<Prefix> = self.ends.soonest(kind).take(excess).map(|(_, prefix)| prefix).collect();
        if soonest.len() < excess {
            return Err(Refusal::TableFull { kind, bound });
        }
        Ok(soonest.into_iter().filter_map(|prefix| self.give_way(prefix, now)).collect())
    }

    /// How many networks would lie one inside another at the deepest point of `network`, itself included.
    fn nesting_with(&self, network: Prefix) -> usize {
        let around = self.lengths.covering(network).filter(|p| *p != network && self.networks.contains(p)).count();
        // In this order a network comes right before those inside it, so the path to each is what is left of the stack.
        let mut path: Vec<Prefix> = Vec::new();
        let mut deepest = 0;
        for &inside in self.networks.range(network..).take_while(|inside| network.covers(**inside)) {
            while path.last().is_some_and(|outer| !outer.covers(inside)) {
                path.pop();
            }
            path.push(inside);
            deepest = deepest.max(path.len());
        }
        around + 1 + deepest
    }

    fn give_way(&mut self, prefix: Prefix, now: Timestamp) -> Option<Removal> {
        let jails = self.merged(prefix)?.jails;
        for (jail, started) in self.take(prefix, jails) {
            self.remember_ended(prefix, jail, started, now);
        }
        Some(Removal { prefix, jails, left: None })
    }

    /// Takes the bans of `prefix` by `jails` out of the book, and says when each began.
    fn take(&mut self, prefix: Prefix, jails: JailSet) -> Vec<(JailId, Timestamp)> {
        if let Some(merged) = self.merged(prefix) {
            self.unindex(prefix, merged);
        }
        let mut taken = Vec::new();
        for jail in jails.iter() {
            if let Some(started) = self.bans.remove(prefix, jail) {
                self.touch((prefix, jail));
                self.in_force[usize::from(jail.index())] -= 1;
                taken.push((jail, started));
            }
        }
        if let Some(left) = self.merged(prefix) {
            self.index(prefix, left);
        }
        taken
    }

    /// The prefix with the ban that ends first.
    fn next_due(&self) -> Option<(Until, Prefix)> {
        let early = self.early.first().map(|&(until, prefix, _)| (until, prefix));
        self.ends.first().into_iter().chain(early).min()
    }

    /// Takes `prefix`, with all that is in force for it, out of all orders before its bans change; [`Book::index`] puts it
    /// back.
    fn unindex(&mut self, prefix: Prefix, Merged { jails, until: latest }: Merged) {
        let kind = Kind::of(prefix);
        self.ends.remove(latest, prefix);
        if jails.is_several() {
            for (jail, until) in self.earlier_than(latest, prefix) {
                self.early.remove(&(until, prefix, jail));
            }
        }
        if kind == Kind::Network {
            self.networks.remove(&prefix);
        }
        self.lengths.remove(prefix);
    }

    fn index(&mut self, prefix: Prefix, Merged { jails, until: latest }: Merged) {
        let kind = Kind::of(prefix);
        self.ends.insert(latest, prefix);
        if jails.is_several() {
            for (jail, until) in self.earlier_than(latest, prefix) {
                self.early.insert((until, prefix, jail));
            }
        }
        if kind == Kind::Network {
            self.networks.insert(prefix);
        }
        self.lengths.add(prefix);
    }

    fn earlier_than(&self, latest: Until, prefix: Prefix) -> Vec<(JailId, Until)> {
        self.bans.of(prefix).filter(|(_, until)| *until < latest).collect()
    }
}

#[cfg(test)]
mod tests;
