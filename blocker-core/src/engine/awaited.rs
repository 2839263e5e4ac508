//! Whom logs had banned and who logs in after all: perhaps somebody who had only forgotten a password, and whom a report should name.
//!
//! A ban closes the ports of its jail, so who is banned logs in where the jail only observes, by another port, or when the ban is over.
//! It changes nothing: who has stolen a password logs in, too.

use std::collections::{HashSet, VecDeque};

use crate::prefix::Prefix;

/// Prefixes of bans by logs of which no login has been noted, the last ones: as many as the account of bans has. Some 80 bytes each, 5 MiB.
/// Of more the first banned are forgotten: that they logged in is not told.
pub(super) const MAX_AWAITED: usize = 65_536;

/// Those whose first login is awaited.
#[derive(Debug, Default)]
pub(super) struct Awaited {
    prefixes: HashSet<Prefix>,
    /// In the order of their bans; some more than once, or not awaited any more.
    order: VecDeque<Prefix>,
}

impl Awaited {
    /// A ban of `prefix` begins that a log has earned.
    pub(super) fn await_of(&mut self, prefix: Prefix) {
        if !self.prefixes.insert(prefix) {
            return;
        }
        self.order.push_back(prefix);
        if self.order.len() > MAX_AWAITED
            && let Some(first) = self.order.pop_front()
        {
            self.prefixes.remove(&first);
        }
    }

    /// Whether a login of `prefix` is news.
    pub(super) fn awaits(&self, prefix: Prefix) -> bool {
        // Nearly always nobody is banned who logs in, and on a quiet server nobody at all.
        !self.prefixes.is_empty() && self.prefixes.contains(&prefix)
    }

    /// Whether this login of `prefix` is news; the next one is not.
    pub(super) fn take(&mut self, prefix: Prefix) -> bool {
        self.awaits(prefix) && self.prefixes.remove(&prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_news_once_after_each_ban() {
        let mut awaited = Awaited::default();
        assert!(!awaited.take(prefix(1)), "never banned");

        for _ in 0..2 {
            awaited.await_of(prefix(1));
            awaited.await_of(prefix(1));
            assert!(awaited.awaits(prefix(1)) && !awaited.awaits(prefix(2)));
            assert!(awaited.take(prefix(1)));
            assert!(!awaited.take(prefix(1)));
        }
    }

    #[test]
    fn only_the_last_banned_are_awaited_however_often_they_come() {
        let mut awaited = Awaited::default();
        for number in 0..u32::try_from(MAX_AWAITED).unwrap() + 3 {
            awaited.await_of(prefix(number));
        }
        for _ in 0..2 * MAX_AWAITED {
            awaited.take(prefix(9));
            awaited.await_of(prefix(9));
        }

        assert!(awaited.order.len() <= MAX_AWAITED && awaited.prefixes.len() <= MAX_AWAITED);
        assert!(!awaited.awaits(prefix(2)), "the first are forgotten");
    }

    fn prefix(number: u32) -> Prefix {
        Prefix::host(std::net::Ipv4Addr::from_bits(0xc612_0000 + number).into())
    }
}
