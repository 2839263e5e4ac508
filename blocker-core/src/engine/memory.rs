//! What outlives a restart: what a store is told of, and what is taken back from it.
//!
//! # Theory of operation
//!
//! The book, the tracker, the twins and the sessions note whose entry has changed ([`crate::touched`]). [`Engine::take_changes`] tells the present
//! values of these, all of one instant: whoever writes them in one transaction, together with how far the logs have been
//! read, can begin again from there as if nothing had been.
//!
//! At the start three things are brought together by [`Engine::restore`]: what the kernel's maps hold, what the store
//! remembers, and the present settings. The kernel comes first: it was told before the store was.

use std::collections::BTreeSet;

use super::account::Note;
use super::sessions::{SessionKey, ToldSession};
use super::twins::{Twin, TwinKey};
use super::{AdoptedBan, Adoption, Ban, Engine, Entry, Event, Grant, Jail, JailId, JailSet, Origin};
use crate::bans::{Merged, Renewal};
use crate::escalation::Earlier;
use crate::keyed::HashKey;
use crate::logins::SavedLogins;
use crate::prefix::Prefix;
use crate::time::Timestamp;
use crate::tracker::Tries;

/// Bans that are taken over at a start and told one by one; of more, nothing is told but in [`Engine::stats`].
pub const MAX_RESTORED_TOLD: usize = 4096;

/// A prefix in a jail.
pub type Key = (Prefix, JailId);

/// Failures with their weights and users, in the order of time.
pub type Counted = Vec<Tries>;

/// The bans of one prefix that are remembered.
type Remembered = Vec<(JailId, Ban)>;

/// What has changed since it was last told: the present values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Whether `bans` are all there are, so that what is not among them is gone.
    pub all_bans: bool,
    /// Bans in force or lately ended; `None` if there is nothing any more.
    pub bans: Vec<(Key, Option<Entry>)>,
    /// Whether `counts` are all there are.
    pub all_counts: bool,
    /// Failures that count; empty if none does any more.
    pub counts: Vec<(Key, Counted)>,
    /// Whether `history` is all there is.
    pub all_history: bool,
    /// Earlier bans; `None` if they are forgotten.
    pub history: Vec<(Key, Option<Earlier>)>,
    /// Whether `twins` are all there are.
    pub all_twins: bool,
    /// Messages that another log may tell too; `None` if it has.
    pub twins: Vec<(TwinKey, Option<Twin>)>,
    /// What happened to single bans, in its order.
    pub account: Vec<Note>,
    /// All that is allowed by command over a restart, if that has changed.
    pub grants: Option<Vec<(Prefix, Grant)>>,
    /// Whether `sessions` are all there are.
    pub all_sessions: bool,
    /// Connections that another line may tell of; `None` if they are forgotten.
    pub sessions: Vec<(SessionKey, Option<ToldSession>)>,
}

impl Changes {
    /// Whether nothing has changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { all_bans, bans, all_counts, counts, all_history, history, account, grants, .. } = self;
        let Self { all_twins, twins, all_sessions, sessions, .. } = self;
        let is_all = *all_bans || *all_counts || *all_history || *all_twins || *all_sessions || grants.is_some();
        let is_none = bans.is_empty() && counts.is_empty() && history.is_empty();
        !is_all && is_none && twins.is_empty() && sessions.is_empty() && account.is_empty()
    }
}

/// What a store remembers of an earlier run, its instants on the present clock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Bans in force, over meanwhile, or lately ended; no key twice.
    pub bans: Vec<(Key, Entry)>,
    /// Failures; no key twice.
    pub counts: Vec<(Key, Counted)>,
    /// Earlier bans; no key twice.
    pub history: Vec<(Key, Earlier)>,
    /// Messages that another log may tell too; no key twice. The time in which no engine ran is not part of their age. A
    /// source that is none any more has a number that none has.
    pub twins: Vec<(TwinKey, Twin)>,
    /// Connections that another line may tell of; no key twice. Their age as that of `twins`.
    pub sessions: Vec<(SessionKey, ToldSession)>,
}

/// How changes are told, and what is remembered is taken back.
impl Engine {
    /// Begins to note what changes, for [`Engine::take_changes`]. Until then, nothing is kept for it.
    pub fn track_changes(&mut self) {
        self.book.touched.begin();
        self.tracker.touched.begin();
        self.history.touched.begin();
        self.twins.touched.begin();
        self.account.begin();
        self.sessions.touched.begin();
    }

    /// Has messages, connections and users hashed by `key`. To be called before lines are handed in and before [`Engine::restore`], with the key
    /// by which what is remembered was hashed.
    pub fn set_hash_key(&mut self, key: HashKey) {
        self.twins.set_key(key);
        self.sessions.set_key(key);
    }

    /// Who logged in lately, to be kept over a restart; `None` if there is nothing to keep.
    #[must_use]
    pub fn saved_logins(&self) -> Option<SavedLogins> {
        self.logins.saved()
    }

    /// Takes back who logged in lately. To be called behind [`Engine::set_seed`].
    pub fn restore_logins(&mut self, saved: &SavedLogins, now: Timestamp) {
        self.logins.restore(saved, now);
    }

    /// Has everything count as changed: what was told before is lost.
    pub fn forget_told(&mut self) {
        self.book.touched.touch_all();
        self.tracker.touched.touch_all();
        self.history.touched.touch_all();
        self.twins.touched.touch_all();
        self.grants.forget_told();
        self.sessions.touched.touch_all();
    }

    /// Has every ban count as changed: whoever keeps them wants to begin anew.
    pub fn forget_told_bans(&mut self) {
        self.book.touched.touch_all();
    }

    /// How many bans are in force or lately ended: as many as [`Engine::take_changes`] tells if it tells all.
    #[must_use]
    pub fn held(&self) -> usize {
        self.book.len()
    }

    /// How many entries have changed.
    #[must_use]
    pub fn changed(&self) -> usize {
        let touched = self.book.touched.len() + self.tracker.touched.len() + self.history.touched.len();
        let lines = self.twins.touched.len() + self.sessions.touched.len();
        touched + lines + self.account.len() + usize::from(self.grants.is_changed())
    }

    /// The present values of what has changed since they were last taken.
    pub fn take_changes(&mut self) -> Changes {
        let (bans, counts) = (self.book.take_changed(), self.tracker.touched.take());
        let (earlier, messages) = (self.history.touched.take(), self.twins.touched.take());
        let account = self.account.take();
        let connections = self.sessions.touched.take();
        let Self { book, tracker, history, twins, sessions, grants, .. } = self;
        let counted = |(prefix, jail): Key| ((prefix, jail), tracker.failures(jail, prefix).to_vec());
        Changes {
            all_bans: bans.is_none(),
            bans: match bans {
                Some(changed) => changed,
                None => book.entries().map(|(prefix, jail, entry)| ((prefix, jail), Some(entry))).collect(),
            },
            all_counts: counts.is_none(),
            counts: match counts {
                Some(keys) => keys.into_iter().map(counted).collect(),
                None => tracker.prefixes().map(counted).collect(),
            },
            all_history: earlier.is_none(),
            history: match earlier {
                Some(keys) => keys.into_iter().map(|key| (key, history.get(key.0, key.1))).collect(),
                None => history.iter().map(|(key, earlier)| (key, Some(earlier))).collect(),
            },
            all_twins: messages.is_none(),
            twins: match messages {
                Some(keys) => keys.into_iter().map(|key| (key, twins.told(key))).collect(),
                None => twins.all().map(|(key, told)| (key, Some(told))).collect(),
            },
            account,
            grants: grants.take_changed(),
            all_sessions: connections.is_none(),
            sessions: match connections {
                Some(keys) => keys.into_iter().map(|key| (key, sessions.told(key))).collect(),
                None => sessions.all().map(|(key, told)| (key, Some(told))).collect(),
            },
        }
    }

    /// Brings together what the kernel's maps held at the start and what was remembered. No prefix may be adopted twice.
    ///
    /// A ban that both have keeps its beginning, evidence and end; one that only the kernel has is adopted; one that only
    /// the store has, after a reboot, is enforced again unless it is over. If the kernel had all of them before, `whole`, it
    /// was lifted there while no engine ran. None of them is told as new.
    /// [`Command::Enforce`](super::Command::Enforce) and `Lift` follow where the kernel must hold something else from here on.
    pub fn restore(&mut self, mut adopted: Vec<AdoptedBan>, whole: bool, memory: Memory, now: Timestamp) {
        self.advance(now);
        // What differs from what is remembered is found in the end, by comparing.
        let touched = std::mem::take(&mut self.book.touched);
        let Memory { mut bans, counts, history, twins, sessions } = memory;
        bans.sort_by_key(|&(key, _)| key);
        adopted.sort_unstable_by_key(|ban| ban.prefix);
        let is_in_force = |entry: &Entry, now| match entry {
            Entry::InForce(ban) => !ban.until.is_past(now),
            Entry::Ended { .. } => false,
        };
        for ((prefix, jail), entry) in bans.iter().filter(|(_, entry)| !is_in_force(entry, self.now)) {
            let (Entry::InForce(Ban { started, .. }) | Entry::Ended { started }) = entry;
            self.book.remember_ended(*prefix, *jail, *started, self.now);
        }
        for ((prefix, _), entry) in &bans {
            if let Entry::InForce(Ban { origin: Origin::Log { .. }, .. }) = entry {
                self.awaited.await_of(*prefix);
            }
        }
        let is_told = adopted.len().max(bans.len()) <= MAX_RESTORED_TOLD;
        let mut held = adopted.into_iter().peekable();
        for same in bans.chunk_by(|((one, _), _), ((other, _), _)| one == other) {
            let Some(&((prefix, _), _)) = same.first() else { continue };
            while let Some(ban) = held.next_if(|ban| ban.prefix < prefix) {
                self.take_over_one(ban.prefix, Some(ban), Vec::new(), is_told);
            }
            let ban = held.next_if(|ban| ban.prefix == prefix);
            let mut remembered = Vec::new();
            for ((_, jail), entry) in same {
                match entry {
                    Entry::InForce(known) if !known.until.is_past(self.now) => {
                        if !whole || ban.is_some_and(|held| held.jails.contains(*jail)) {
                            remembered.push((*jail, known.clone()));
                        }
                    }
                    Entry::InForce(_) | Entry::Ended { .. } => {}
                }
            }
            if ban.is_some() || !remembered.is_empty() {
                self.take_over_one(prefix, ban, remembered, is_told);
            }
        }
        for ban in held {
            self.take_over_one(ban.prefix, Some(ban), Vec::new(), is_told);
        }
        for ((prefix, jail), failures) in &counts {
            // A ban that only the kernel has was earned by what is remembered here, and answered it.
            let banned = self.book.covering(prefix.addr(), *jail);
            if banned.is_none_or(|banned| find(&bans, (banned, *jail)).is_some()) {
                self.restore_count(*prefix, *jail, failures);
            }
        }
        self.book.touched = touched;
        self.tell_differences(&bans, &counts);
        for ((prefix, jail), Earlier { bans, last }) in history {
            // An instant that has not come is a clock's that was set back.
            self.history.restore(prefix, jail, Earlier { bans, last: last.min(self.now) });
        }
        self.twins.restore(twins, self.now);
        self.sessions.restore(sessions, self.now);
    }

    /// Takes over the bans of one prefix: what the kernel holds, and what is remembered in force.
    pub(super) fn take_over(
        &mut self,
        prefix: Prefix,
        adopted: Option<AdoptedBan>,
        remembered: Remembered,
    ) -> Adoption {
        self.take_over_one(prefix, adopted, remembered, true)
    }

    /// The same, one of many; `is_told` if each is an event.
    fn take_over_one(
        &mut self,
        prefix: Prefix,
        adopted: Option<AdoptedBan>,
        remembered: Remembered,
        is_told: bool,
    ) -> Adoption {
        let held = adopted.filter(|ban| !ban.jails.is_empty() && !ban.until.is_past(self.now));
        let held = held.map(|AdoptedBan { prefix: _, jails, until }| Merged { jails, until });
        if held.is_none() && remembered.is_empty() {
            if adopted.is_some() {
                // What the book has for the prefix, if it has anything, is right.
                self.tell_kernel(prefix, self.book.merged(prefix));
            }
            return Adoption::Over;
        }
        let bans = agreed(held, remembered, self.now);
        for (jail, ban) in &bans {
            if let Err(why) = self.enter(prefix, *jail, ban.clone(), Renewal::Longest) {
                if adopted.is_some() || self.book.merged(prefix).is_some() {
                    self.tell_kernel(prefix, self.book.merged(prefix));
                }
                self.notify(Event::Refused { prefix, jail: *jail, why });
                return Adoption::Refused(why);
            }
        }
        let in_force = self.book.merged(prefix);
        if in_force != held {
            self.tell_kernel(prefix, in_force);
        }
        if is_told {
            for (jail, _) in bans {
                self.notify_ban(prefix, jail, Event::Restored);
            }
        }
        Adoption::Kept
    }

    /// Takes back what was counted, as far as it still counts.
    fn restore_count(&mut self, prefix: Prefix, jail: JailId, failures: &[Tries]) {
        let Some(Jail { limits, .. }) = self.jails.iter().find(|known| known.id == jail) else { return };
        // The list is bounded as the tracker's: under another limit a longer one may have been remembered.
        let bound = 10 * usize::try_from(limits.max_retry).unwrap_or(usize::MAX / 10);
        let latest = failures.get(failures.len().saturating_sub(bound)..).unwrap_or_default();
        // An instant that has not come is a clock's that was set back.
        let mut latest: Counted = latest.iter().map(|&tries| Tries { at: tries.at.min(self.now), ..tries }).collect();
        latest.sort_by_key(|tries| tries.at);
        self.tracker.restore(jail, prefix, latest, limits.find_time);
    }

    /// Has only that count as changed what is not as it is remembered. `bans` are in order.
    fn tell_differences(&mut self, bans: &[(Key, Entry)], counts: &[(Key, Counted)]) {
        if self.book.touched.is_on() {
            for key in self.differences(bans) {
                self.book.touched.touch(key);
            }
        }
        if let Some(changed) = self.tracker.touched.take() {
            let mut changed: BTreeSet<Key> = changed.into_iter().collect();
            for ((prefix, jail), remembered) in counts {
                if self.tracker.failures(*jail, *prefix) == remembered.as_slice() {
                    changed.remove(&(*prefix, *jail));
                } else {
                    changed.insert((*prefix, *jail));
                }
            }
            changed.into_iter().for_each(|key| self.tracker.touched.touch(key));
        } else {
            self.tracker.touched.touch_all();
        }
    }

    /// Whose entry is another one than remembered, or none, or not remembered.
    fn differences(&self, bans: &[(Key, Entry)]) -> Vec<Key> {
        let mut differing = Vec::new();
        let mut held = self.book.iter().map(|(prefix, jail, ban)| ((prefix, jail), ban)).peekable();
        for (key, remembered) in bans {
            while let Some((new, _)) = held.next_if(|(held, _)| held < key) {
                differing.push(new);
            }
            let is_same = match (held.next_if(|(held, _)| held == key), remembered) {
                (Some((_, ban)), Entry::InForce(known)) => ban == *known,
                (Some(_), Entry::Ended { .. }) => false,
                (None, Entry::InForce(_) | Entry::Ended { .. }) => {
                    self.book.entry(key.0, key.1).as_ref() == Some(remembered)
                }
            };
            if !is_same {
                differing.push(*key);
            }
        }
        differing.extend(held.map(|(new, _)| new));
        differing.extend(self.book.ended().filter(|&key| find(bans, key).is_none()));
        differing
    }
}

/// What is remembered of a key; `bans` are in order.
fn find(bans: &[(Key, Entry)], key: Key) -> Option<&Entry> {
    let place = bans.binary_search_by_key(&key, |&(key, _)| key).ok()?;
    bans.get(place).map(|(_, entry)| entry)
}

/// The bans of one prefix, from what the kernel holds and what is remembered.
///
/// The kernel was told first and knows the latest end alone. So none of its jails ends later than that; a jail that only it
/// has ends then; and if all are remembered to end earlier, the last of them was given that end.
fn agreed(held: Option<Merged>, remembered: Remembered, now: Timestamp) -> Remembered {
    let Some(Merged { jails, until }) = held else { return remembered };
    let mut bans = remembered;
    for (_, ban) in bans.iter_mut().filter(|(jail, _)| jails.contains(*jail)) {
        ban.until = ban.until.min(until);
    }
    let known: JailSet = bans.iter().map(|&(jail, _)| jail).collect();
    for jail in jails.iter().filter(|&jail| !known.contains(jail)) {
        bans.push((jail, Ban { started: now, until, origin: Origin::Adopted }));
    }
    let latest = |bans: &[(JailId, Ban)]| bans.iter().map(|(_, ban)| ban.until).max();
    if latest(&bans) < Some(until) {
        let last = bans.iter_mut().filter(|(jail, _)| jails.contains(*jail)).max_by_key(|(_, ban)| ban.until);
        if let Some((_, ban)) = last {
            ban.until = until;
        }
    }
    bans
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Until;

    const FIRST: JailId = JailId::MIN;
    const SECOND: JailId = JailId::MAX;

    #[test]
    fn the_kernel_knows_the_latest_end_and_the_store_the_others() {
        let bans = agreed(held(&[FIRST, SECOND], 90), vec![(FIRST, ban(40)), (SECOND, ban(90))], secs(10));
        assert_eq!(bans, [(FIRST, ban(40)), (SECOND, ban(90))]);

        let bans = agreed(held(&[FIRST, SECOND], 120), vec![(FIRST, ban(40)), (SECOND, ban(90))], secs(10));
        assert_eq!(bans, [(FIRST, ban(40)), (SECOND, ban(120))], "the last to end was prolonged, unknown to the store");

        let bans = agreed(held(&[FIRST], 60), vec![(FIRST, ban(90))], secs(10));
        assert_eq!(bans, [(FIRST, ban(60))], "it was shortened, unknown to the store");
    }

    #[test]
    fn what_only_the_kernel_has_is_adopted_and_what_only_the_store_has_is_restored() {
        let adopted = Ban { started: secs(10), until: Until::At(secs(90)), origin: Origin::Adopted };

        let bans = agreed(held(&[SECOND], 90), vec![(FIRST, ban(40))], secs(10));
        assert_eq!(bans, [(FIRST, ban(40)), (SECOND, adopted)]);

        assert_eq!(agreed(None, vec![(FIRST, ban(40))], secs(10)), [(FIRST, ban(40))], "after a reboot");
    }

    fn held(jails: &[JailId], until_secs: i64) -> Option<Merged> {
        Some(Merged { jails: jails.iter().copied().collect(), until: Until::At(secs(until_secs)) })
    }

    fn ban(until_secs: i64) -> Ban {
        let origin = Origin::Command { reason: Some("spam".into()), by: None };
        Ban { started: secs(1), until: Until::At(secs(until_secs)), origin }
    }

    fn secs(n: i64) -> Timestamp {
        Timestamp::from_secs(n)
    }
}
