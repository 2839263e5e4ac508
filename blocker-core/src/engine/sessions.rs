//! Attempts that two parts of a service tell of, joined by the connection on which they were made.
//!
//! With `auth_verbose` Dovecot tells each refused password at once, and when the connection ends its login process tells how
//! many there were on it, under the same session. Of each (jail, address, session) counts what the teller tells who tells
//! more: the greatest sum over tellers. It counts as it grows, at the time of the line that made it grow; the second
//! teller adds only what goes beyond what has been counted.
//!
//! Whose attempts they were, each line of the first kind says. One of the second shows the user of the last: as long as nothing
//! else was told of the connection, that one is his. What it adds to others may have been at anybody.
//!
//! Where login processes alone tell, as without `auth_verbose`, there is nothing to join: their last lines are kept as they came, and
//! taken into the table when another begins to tell.
//!
//! What is kept is a keyed hash of address and session ([`crate::keyed`]). A store is told of what the second teller has yet
//! to tell again: minutes may lie between the two, and a restart. The other way round it is milliseconds.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use crate::attempts::Attempts;
use crate::filter::{Failure, Session, Teller};
use crate::jail::JailId;
use crate::keyed::HashKey;
use crate::time::Timestamp;
use crate::touched::Touched;

/// A connection in a jail, by its hash.
pub type SessionKey = (JailId, u64);

/// What was told of connections.
#[derive(Debug, Default)]
pub struct Sessions {
    key: HashKey,
    told: HashMap<SessionKey, ToldSession>,
    /// Each key of `told` once, with when it was told last, or had been when it was looked at last. The oldest first, as far as that
    /// is known.
    order: VecDeque<(Timestamp, SessionKey)>,
    /// When something was told last of a connection of which [`Teller::Auth`] told.
    joined_at: Option<Timestamp>,
    /// What [`Teller::Login`] has told lately, while nobody else did.
    alone: VecDeque<Alone>,
    forgotten: u64,
    /// What a store has to be told.
    pub(super) touched: Touched<SessionKey>,
}

/// What was told of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ToldSession {
    /// When something was told last.
    pub last: Timestamp,
    /// The sum of what [`Teller::Login`] told.
    pub login: Attempts,
    /// The sum of what [`Teller::Auth`] told.
    pub auth: Attempts,
}

/// What a login process told of a connection.
#[derive(Clone, Copy, Debug)]
struct Alone {
    jail: JailId,
    addr: IpAddr,
    id: [u8; MAX_ALONE_ID_BYTES],
    id_len: u8,
    login: Attempts,
    at: Timestamp,
}

impl ToldSession {
    fn counted(self) -> Attempts {
        self.login.max(self.auth)
    }

    /// Whether another teller is still to come, and so a store should know.
    fn is_stored(self) -> bool {
        !self.auth.is_zero()
    }
}

impl Sessions {
    /// Hashes by this key from here on. What was kept by another is forgotten.
    pub(super) fn set_key(&mut self, key: HashKey) {
        self.key = key;
        self.told.clear();
        self.order.clear();
        self.alone.clear();
        self.touched.touch_all();
    }

    /// What names and connections are hashed by.
    pub(super) fn key(&self) -> &HashKey {
        &self.key
    }

    /// The same failure with what it adds to what has been told of its connection in `jail`: perhaps nothing.
    #[must_use]
    pub fn join<'a>(&mut self, jail: JailId, failure: Failure<'a>, now: Timestamp) -> Failure<'a> {
        let Some(Session { id, teller }) = failure.session else { return failure };
        match teller {
            Teller::Login if self.note_alone(jail, &failure, id, now) => return failure,
            Teller::Login => {}
            Teller::Auth => self.take_alone(now),
        }
        let key = self.key_of(jail, failure.addr, id);
        let told = if let Some(told) = self.told.get_mut(&key) {
            if is_over(told.last, now) {
                if told.is_stored() {
                    self.touched.touch(key);
                }
                *told = ToldSession::default();
            }
            told
        } else {
            self.forget(now);
            self.order.push_back((now, key));
            self.told.entry(key).or_default()
        };
        let before = told.counted();
        told.last = now;
        match teller {
            Teller::Login => told.login += failure.attempts,
            Teller::Auth => told.auth += failure.attempts,
        }
        let attempts = told.counted().without(before);
        let forgivable = match teller {
            Teller::Login if !told.auth.is_zero() => Attempts::ZERO,
            Teller::Login | Teller::Auth => failure.forgivable.min(attempts),
        };
        if told.is_stored() {
            self.touched.touch(key);
            self.joined_at = Some(now);
        }
        Failure { attempts, forgivable, ..failure }
    }

    fn key_of(&self, jail: JailId, addr: IpAddr, id: &[u8]) -> SessionKey {
        (jail, self.key.hash_pair(&octets(addr), id))
    }

    /// Keeps what a login process tells while nobody else does: all of it counts. Returns whether it is so.
    fn note_alone(&mut self, jail: JailId, failure: &Failure<'_>, id: &[u8], now: Timestamp) -> bool {
        if self.joined_at.is_some_and(|at| !is_over(at, now)) {
            return false;
        }
        let mut kept = [0; MAX_ALONE_ID_BYTES];
        let (Some(to), Ok(id_len)) = (kept.get_mut(..id.len()), u8::try_from(id.len())) else { return false };
        to.copy_from_slice(id);
        if self.alone.len() >= MAX_ALONE {
            self.alone.pop_front();
        }
        let (addr, login) = (failure.addr, failure.attempts);
        self.alone.push_back(Alone { jail, addr, id: kept, id_len, login, at: now });
        true
    }

    /// Another has begun to tell: of what login processes told lately, perhaps.
    fn take_alone(&mut self, now: Timestamp) {
        while let Some(Alone { jail, addr, id, id_len, login, at }) = self.alone.pop_front() {
            if is_over(at, now) {
                continue;
            }
            let key = self.key_of(jail, addr, id.get(..usize::from(id_len)).unwrap_or_default());
            self.forget(now);
            let told = self.told.entry(key).or_insert_with(|| {
                self.order.push_back((at, key));
                ToldSession::default()
            });
            told.login += login;
            told.last = told.last.max(at);
        }
    }

    /// How many were forgotten because there were too many, before the login process had told of them.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// What a store is to know of a connection, if anything.
    pub(super) fn told(&self, key: SessionKey) -> Option<ToldSession> {
        self.told.get(&key).copied().filter(|told| told.is_stored())
    }

    /// All that a store is to know.
    pub(super) fn all(&self) -> impl Iterator<Item = (SessionKey, ToldSession)> {
        self.told.iter().map(|(key, told)| (*key, *told)).filter(|(_, told)| told.is_stored())
    }

    /// Takes back what an earlier run kept. All of it counts as changed: its times have moved.
    pub(super) fn restore(&mut self, mut remembered: Vec<(SessionKey, ToldSession)>, now: Timestamp) {
        remembered.sort_by_key(|(key, told)| (told.last, *key));
        remembered.iter().for_each(|(key, _)| self.touched.touch(*key));
        let surplus = remembered.len().saturating_sub(MAX_SESSIONS);
        for (key, told) in remembered.into_iter().skip(surplus) {
            self.joined_at = self.joined_at.max(Some(told.last.min(now)));
            // An instant that has not come is a clock's that was set back.
            let told = ToldSession { last: told.last.min(now), ..told };
            if is_over(told.last, now) {
                continue;
            }
            self.forget(now);
            if self.told.insert(key, told).is_none() {
                self.order.push_back((told.last, key));
            }
        }
    }

    /// Forgets what is too old, and makes room for one more.
    fn forget(&mut self, now: Timestamp) {
        while let Some(&(at, key)) = self.order.front() {
            let is_full = self.order.len() >= MAX_SESSIONS;
            if !is_full && !is_over(at, now) {
                return;
            }
            self.order.pop_front();
            let Some(told) = self.told.get(&key).copied() else { continue };
            if told.last > at && !is_over(told.last, now) {
                // Told again since: its turn comes later.
                self.order.push_back((told.last, key));
                continue;
            }
            self.told.remove(&key);
            if told.is_stored() {
                self.touched.touch(key);
            }
            // Of what the login process has told already, hardly anything is to come.
            self.forgotten += u64::from(!is_over(told.last, now) && told.login.is_zero());
        }
    }
}

fn is_over(last: Timestamp, now: Timestamp) -> bool {
    now.saturating_since(last) >= WITHIN
}

fn octets(addr: IpAddr) -> [u8; 16] {
    match addr {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// How far apart the lines of one connection may arrive: Dovecot gives it up after 180 s, and its last line may be on its way for
/// as long as a twin's. While no engine runs, nothing can arrive: such time does not count.
const WITHIN: Duration = Duration::from_secs(600);

/// Most connections kept, at some 100 bytes each: 6 MiB. Beyond it the one told of longest ago is forgotten, and what is still
/// told of it would count twice.
pub const MAX_SESSIONS: usize = 65_536;

/// Connections kept where login processes alone tell, at 80 bytes each: 40 KiB. What another has yet to tell of them comes within
/// milliseconds.
const MAX_ALONE: usize = 512;

/// The longest name of a connection that is kept so: Dovecot's have 16 or 32 bytes. A longer one goes into the table.
const MAX_ALONE_ID_BYTES: usize = 32;

#[cfg(test)]
mod tests;
