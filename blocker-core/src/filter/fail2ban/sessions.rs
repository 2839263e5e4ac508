//! Connections: what lines that name the same one tell together.
//!
//! A service may tell the address in one line and the failure in another (`<F-MLFID>` names the connection in both). What
//! came first waits: an address for a failure, a failure for its address. By the rules of fail2ban:
//!
//! - a line that only helps (`<F-NOFAIL>`) is a failure if one was waiting for its address, or if a second user is tried on the
//!   connection;
//! - who is let in (`<F-MLFGAINED>`) has nothing waiting any more, unless several users were tried;
//! - what ends the connection (`<F-MLFFORGET>`) is the last that is joined to it.
//!
//! Where fail2ban remembers 100 connections, [`MAX_SESSIONS`] are remembered here.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use super::Owner;
use super::fields::{Fields, Whom};
use crate::time::Timestamp;

/// Most connections remembered, of all jails together: at most 40 MiB. Beyond it the first met is forgotten, and counted: a
/// failure that waited for its address there is lost.
pub(super) const MAX_SESSIONS: usize = 65_536;

/// Longest name of a connection, in bytes; lines with longer ones stand for themselves. Names are a number, or a line's header.
const MAX_SESSION_BYTES: usize = 128;

/// How much of a user's name is compared, in bytes.
const MAX_USER_BYTES: usize = 255;

/// How long a connection is remembered from its first line on, as fail2ban does. OpenSSH gives a login 120 s.
const LASTS: Duration = Duration::from_secs(300);

/// The connections of all jails.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    sessions: HashMap<(Owner, Box<str>), Session>,
    /// The same, the first met in front; may name some that are gone, or have begun anew since.
    order: VecDeque<(Timestamp, Owner, Box<str>)>,
    /// How many made room.
    pub(super) forgotten: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Session {
    begun: Timestamp,
    addr: Option<IpAddr>,
    user: Option<Box<str>>,
    /// Whether more than one user was tried.
    has_several: bool,
    /// Whether a failure waits for its address.
    is_waiting: bool,
}

/// What a line tells together with those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joined {
    Failure(IpAddr),
    Helper,
    /// A failure by somebody who has no address.
    Named,
}

impl Sessions {
    /// Joins what a line of `at` tells to the connection that it names; `None` if it names none.
    pub(super) fn join(&mut self, owner: Owner, fields: &Fields<'_>, at: Timestamp) -> Option<Joined> {
        let name = fields.session.filter(|name| name.len() <= MAX_SESSION_BYTES)?;
        self.expire(at);
        let key = (owner, Box::from(name));
        let known = self.sessions.remove(&key).filter(|session| at.saturating_since(session.begun) < LASTS);
        let is_known = known.is_some();
        let mut session =
            known.unwrap_or(Session { begun: at, addr: None, user: None, has_several: false, is_waiting: false });
        session.take_user(fields.user);
        session.is_waiting &= !fields.is_gained;
        match fields.whom {
            Whom::Addr(addr) => session.addr = Some(addr),
            // Whoever is named has not the address of the one before.
            Whom::Named => session.addr = None,
            Whom::Nobody => {}
        }
        let is_helper = fields.is_helper && !session.is_waiting && !session.has_several;
        session.is_waiting = false;
        let joined = match (is_helper, session.addr, fields.whom) {
            (true, _, _) => Joined::Helper,
            (false, Some(addr), _) => Joined::Failure(addr),
            (false, None, Whom::Named) => Joined::Named,
            (false, None, Whom::Nobody | Whom::Addr(_)) => {
                session.is_waiting = true;
                Joined::Helper
            }
        };
        if !fields.is_end {
            self.keep(key, session, is_known);
        }
        Some(joined)
    }

    fn keep(&mut self, key: (Owner, Box<str>), session: Session, is_known: bool) {
        if !is_known {
            while self.sessions.len() >= MAX_SESSIONS {
                let Some((begun, owner, name)) = self.order.pop_front() else { break };
                self.forgotten += u64::from(self.remove(begun, owner, name));
            }
            // Ends and beginnings leave names behind; with twice as many as there may be, all that lead nowhere go.
            if self.order.len() >= 2 * MAX_SESSIONS {
                let sessions = &self.sessions;
                self.order.retain(|(begun, owner, name)| {
                    sessions.get(&(*owner, name.clone())).is_some_and(|session| session.begun == *begun)
                });
            }
            self.order.push_back((session.begun, key.0, key.1.clone()));
        }
        self.sessions.insert(key, session);
    }

    /// Forgets what is over at `at`, as far as that stands in front.
    fn expire(&mut self, at: Timestamp) {
        while self.order.front().is_some_and(|(begun, _, _)| at.saturating_since(*begun) >= LASTS) {
            let Some((begun, owner, name)) = self.order.pop_front() else { return };
            self.remove(begun, owner, name);
        }
    }

    fn remove(&mut self, begun: Timestamp, owner: Owner, name: Box<str>) -> bool {
        let key = (owner, name);
        let is_it = self.sessions.get(&key).is_some_and(|session| session.begun == begun);
        is_it && self.sessions.remove(&key).is_some()
    }

    /// How many are remembered.
    pub(super) fn len(&self) -> usize {
        self.sessions.len()
    }
}

impl Session {
    fn take_user(&mut self, user: Option<&str>) {
        let Some(user) = user else { return };
        let cut = user.char_indices().take_while(|(at, char)| at + char.len_utf8() <= MAX_USER_BYTES);
        let user = &user[..cut.last().map_or(0, |(at, char)| at + char.len_utf8())];
        match &self.user {
            Some(first) => self.has_several |= **first != *user,
            None => self.user = Some(user.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(name: &str) -> Fields<'_> {
        Fields { session: Some(name), ..Fields::default() }
    }

    #[test]
    fn no_more_sessions_than_the_bound_are_remembered_and_what_made_room_is_counted() {
        let mut sessions = Sessions::default();
        let names: Vec<String> = (0..MAX_SESSIONS + 10).map(|number| number.to_string()).collect();
        for name in &names {
            sessions.join(Owner::NOBODY, &waiting(name), Timestamp::from_secs(0));
        }
        assert_eq!((sessions.len(), sessions.forgotten), (MAX_SESSIONS, 10));

        for name in &names {
            let end = Fields { is_end: true, ..waiting(name) };
            for _ in 0..3 {
                sessions.join(Owner::NOBODY, &waiting(name), Timestamp::from_secs(1));
                sessions.join(Owner::NOBODY, &end, Timestamp::from_secs(1));
            }
        }
        assert_eq!(sessions.len(), 0);
        assert!(sessions.order.len() <= 2 * MAX_SESSIONS);
    }

    #[test]
    fn a_session_is_remembered_for_so_long_by_the_time_of_the_lines() {
        let helper = Fields { whom: Whom::Addr([192, 0, 2, 9].into()), is_helper: true, ..waiting("7") };
        for (second, joined) in [(299, Joined::Failure([192, 0, 2, 9].into())), (300, Joined::Helper)] {
            let mut sessions = Sessions::default();
            sessions.join(Owner::NOBODY, &waiting("7"), Timestamp::from_secs(0));

            assert_eq!(sessions.join(Owner::NOBODY, &helper, Timestamp::from_secs(second)), Some(joined));
        }
    }

    #[test]
    fn a_name_that_is_too_long_joins_nothing() {
        let name = "x".repeat(MAX_SESSION_BYTES + 1);

        assert_eq!(Sessions::default().join(Owner::NOBODY, &waiting(&name), Timestamp::from_secs(0)), None);
    }
}
