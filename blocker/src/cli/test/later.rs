//! Who was banned and logged in later all the same: most likely no attacker, but a user who mistyped a password.
//!
//! A log that is replayed goes on as if nobody had been banned, so it tells.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use blocker_core::prefix::Prefix;
use blocker_core::time::Timestamp;

/// Most bans of which it is looked for, some 10 MiB; of further ones it is not.
const MAX_WATCHED: u64 = 65_536;

/// Most bytes that are kept of a user's name.
const MAX_USER_BYTES: usize = 64;

/// The first login from where somebody had been banned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) time: Timestamp,
    /// As the service knows him, at most [`MAX_USER_BYTES`] of it.
    pub(super) user: Vec<u8>,
}

/// Bans by the order in which they fell due, and the logins that came after them.
#[derive(Debug, Default)]
pub(super) struct Later {
    bans: u64,
    /// Those after which nobody has logged in yet, by whom they were about, with when they began.
    watched: HashMap<Prefix, Vec<(u64, Timestamp)>>,
    /// How long these prefixes are.
    lengths: BTreeSet<u8>,
    logins: BTreeMap<u64, Login>,
}

impl Later {
    /// A ban falls due. Says its number.
    pub(super) fn ban(&mut self, prefix: Prefix, started: Timestamp) -> u64 {
        let number = self.bans;
        self.bans += 1;
        if number < MAX_WATCHED {
            self.watched.entry(prefix).or_default().push((number, started));
            self.lengths.insert(prefix.len());
        }
        number
    }

    /// Somebody logs in.
    pub(super) fn log_in(&mut self, addr: IpAddr, user: &[u8], time: Timestamp) {
        let host = Prefix::host(addr);
        for prefix in self.lengths.iter().filter_map(|&length| host.shortened(length)) {
            let Some(bans) = self.watched.get_mut(&prefix) else { continue };
            for (number, _) in bans.extract_if(.., |&mut (_, started)| started <= time) {
                let user = user.get(..MAX_USER_BYTES).unwrap_or(user).to_vec();
                self.logins.entry(number).or_insert(Login { time, user });
            }
        }
    }

    /// The first login after the ban of this number.
    pub(super) fn after(&self, number: u64) -> Option<&Login> {
        self.logins.get(&number)
    }

    /// After how many bans somebody logged in.
    pub(super) fn count(&self) -> usize {
        self.logins.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_login_from_there_after_a_ban_is_told_and_none_from_elsewhere_or_before() {
        let at = Timestamp::from_secs;
        let addr = |text: &str| text.parse::<IpAddr>().unwrap();
        let mut later = Later::default();
        let host = later.ban(Prefix::host(addr("192.0.2.1")), at(10));
        let network = later.ban("2001:db8:1:2::/64".parse().unwrap(), at(10));

        later.log_in(addr("192.0.2.1"), b"early", at(9));
        later.log_in(addr("192.0.2.2"), b"other", at(11));
        later.log_in(addr("2001:db8:1:3::1"), b"other", at(11));
        assert_eq!((later.count(), later.after(host), later.after(network)), (0, None, None));

        later.log_in(addr("192.0.2.1"), b"bob", at(12));
        later.log_in(addr("192.0.2.1"), b"amy", at(13));
        later.log_in(addr("2001:db8:1:2::9"), &[b'x'; 1000], at(14));

        assert_eq!(later.after(host), Some(&Login { time: at(12), user: b"bob".to_vec() }));
        assert_eq!(later.after(network).map(|login| login.user.len()), Some(MAX_USER_BYTES));
        assert_eq!(later.count(), 2);
    }

    /// Behind one address there may be many users: some that have it banned each hour, and all others who log in.
    #[test]
    fn a_ban_is_looked_at_until_somebody_has_logged_in_and_not_by_each_login_after_that() {
        let mut later = Later::default();
        let host = Prefix::host(IpAddr::from([192, 0, 2, 1]));
        for hour in 0..100 {
            later.ban(host, Timestamp::from_secs(hour));
        }

        later.log_in(host.addr(), b"bob", Timestamp::from_secs(89));
        assert_eq!((later.count(), later.watched[&host].len()), (90, 10));
        later.log_in(host.addr(), b"amy", Timestamp::from_secs(99));
        assert_eq!((later.count(), later.watched[&host].len()), (100, 0));
        assert_eq!(later.after(89).map(|login| login.user.as_slice()), Some(&b"bob"[..]));
    }

    #[test]
    fn no_more_bans_are_watched_than_the_bound() {
        let mut later = Later::default();
        for number in 0..=u32::try_from(MAX_WATCHED).unwrap() {
            later.ban(Prefix::host(IpAddr::from(number.to_be_bytes())), Timestamp::from_secs(1));
        }

        for number in [0, u32::try_from(MAX_WATCHED).unwrap()] {
            later.log_in(IpAddr::from(number.to_be_bytes()), b"bob", Timestamp::from_secs(2));
        }

        assert_eq!((later.count(), later.watched.len() as u64), (1, MAX_WATCHED));
    }
}
