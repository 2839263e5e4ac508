//! Who logged in lately, and from where: for the brake, which asks whether a ban would lock out a customer.
//!
//! Logins that succeed are most lines of a healthy server, so what is kept of one is 16 bits in a table of a fixed size, and to
//! keep it costs a few nanoseconds. The answer may be wrong, both ways, within named bounds:
//!
//! - *Yes* for who never logged in: less than once in [`WRONGLY_ONE_IN`], whoever it is and however full the table.
//! - *No* for who did: if four others fell into the same place since, if another was noted just before whose hash has the same
//!   44 bits, or it is longer ago than [`LATELY`] less one half. A ban is then made as if there were no brake.
//!
//! A login is kept with its user, because an address alone tells too little: who has an account could log in with it from each
//! of his machines, and then have the brake on while he guesses at others.
//!
//! # Theory of operation
//!
//! Two tables, each of half of [`LATELY`]: what is new goes into the current one, both are asked, and when the half is over the
//! older one is emptied and becomes the current. A place has room for four hashes, of which a fifth removes the oldest. Most
//! logins are of who logged in minutes ago, with each look for new mail: a small table of those noted last, which stays in the
//! processor's nearest cache, answers for them, because each look into the large ones takes longer than to read the line. The
//! hash depends on a seed that nobody outside knows; it need not withstand more, because nobody sees what it yields, and who
//! could make two logins alike would gain that one of his own is forgotten.

mod saved;

use std::net::IpAddr;
use std::time::Duration;

use crate::prefix::Prefix;
use crate::time::Timestamp;

pub use self::saved::{MAX_TABLE_BYTES, SavedLogins};

/// From when it was read a login is known for no longer than this, and for at least half of it; read it is when it is no older than
/// half. A mail client at work logs in anew within hours.
pub const LATELY: Duration = Duration::from_secs(24 * 60 * 60);

/// Of so many who never logged in one at most is taken for somebody who did: eight hashes of 16 bits are compared.
pub const WRONGLY_ONE_IN: u32 = 8_000;

/// Places of a table. With four hashes of 16 bits each a table takes 512 KiB, once the first has logged in.
const PLACES: usize = 1 << 16;

/// Logins noted last: 4 bytes each, 16 KiB.
const LATEST: usize = 1 << 12;

/// A table's time.
const HALF: Duration = Duration::from_secs(LATELY.as_secs() / 2);

/// Four hashes, the newest first; zero is none.
type Place = [u16; 4];

/// Logins of the last hours.
#[derive(Clone, Debug, Default)]
pub struct Logins {
    /// `None` while nobody asks.
    tables: Option<Tables>,
    seed: u64,
}

#[derive(Clone, Debug, Default)]
struct Tables {
    current: Vec<Place>,
    before: Vec<Place>,
    /// Some of what is in `current`: each in the place of its hash's upper bits, by the lower ones. Zero is nobody.
    latest: Vec<u32>,
    /// When `current` began; `None` before the first login.
    began: Option<Timestamp>,
}

impl Logins {
    /// Says whether logins are to be kept. What was kept is forgotten if not.
    pub fn keep(&mut self, wanted: bool) {
        match (wanted, &self.tables) {
            (true, None) => self.tables = Some(Tables::default()),
            (true, Some(_)) => {}
            (false, _) => self.tables = None,
        }
    }

    /// Hashes by this seed from here on; what was kept by another is forgotten.
    pub fn set_seed(&mut self, seed: u64) {
        self.seed = seed;
        let wanted = self.tables.take().is_some();
        self.keep(wanted);
    }

    /// `user` has logged in from `prefix`, at `made`; `None` if nobody knows when. Nobody has no name.
    #[inline]
    pub fn note(&mut self, prefix: Prefix, user: &[u8], made: Option<Timestamp>, now: Timestamp) {
        let Some(tables) = &mut self.tables else { return };
        if !user.is_empty() && made.is_some_and(|made| now.saturating_since(made) < HALF) {
            tables.turn(now);
            let hash = hash(self.seed, prefix, user);
            if tables.was_latest(hash) {
                return;
            }
            if let Some(place) = tables.current.get_mut(place_of(hash)) {
                let mark = mark_of(hash);
                if !place.contains(&mark) {
                    *place = [mark, place[0], place[1], place[2]];
                }
            }
        }
    }

    /// Whether `user` has logged in from `prefix` lately.
    #[must_use]
    pub fn has(&self, prefix: Prefix, user: &[u8], now: Timestamp) -> bool {
        let Some(Tables { current, before, latest: _, began: Some(began) }) = &self.tables else { return false };
        let (current, before): (&[Place], &[Place]) = match now.saturating_since(*began) {
            age if age < HALF => (current, before),
            age if age < LATELY => (current, &[]),
            _ => (&[], &[]),
        };
        let hash = hash(self.seed, prefix, user);
        [current, before]
            .iter()
            .any(|table| table.get(place_of(hash)).is_some_and(|place| place.contains(&mark_of(hash))))
    }
}

impl Tables {
    /// Whether this hash was noted just before. If not, it is from here on.
    fn was_latest(&mut self, hash: u64) -> bool {
        let Some(latest) = self.latest.get_mut((hash >> 52) as usize) else { return false };
        let before = std::mem::replace(latest, hash as u32);
        before == *latest && before != 0
    }

    /// Begins another table if the current one's time is over.
    fn turn(&mut self, now: Timestamp) {
        let age = self.began.map(|began| now.saturating_since(began));
        match age {
            Some(age) if age < HALF => return,
            Some(age) if age < LATELY => std::mem::swap(&mut self.current, &mut self.before),
            Some(_) | None => self.before.clear(),
        }
        self.current.clear();
        self.current.resize(PLACES, [0; 4]);
        self.latest.clear();
        self.latest.resize(LATEST, 0);
        self.began = Some(now);
    }
}

fn place_of(hash: u64) -> usize {
    usize::from((hash >> 16) as u16)
}

/// Never zero: of two hashes one has the other's mark.
fn mark_of(hash: u64) -> u16 {
    (hash as u16).max(1)
}

/// By multiplications of which both halves count: two after one another for a name of up to 16 bytes, and one more for each 16.
fn hash(seed: u64, prefix: Prefix, user: &[u8]) -> u64 {
    let addr = match prefix.addr() {
        IpAddr::V4(addr) => addr.to_ipv6_mapped().to_bits(),
        IpAddr::V6(addr) => addr.to_bits(),
    };
    let (mut name, mut rest) = (seed.rotate_left(32), user);
    while let Some((sixteen, more)) = rest.split_first_chunk::<16>().filter(|(_, more)| !more.is_empty()) {
        let (first, last) = ends(sixteen);
        name = fold(name ^ first, ODD ^ last);
        rest = more;
    }
    let (first, last) = ends(rest);
    let name = fold(name ^ first, ODD ^ last ^ (user.len() as u64) << 32);
    fold(fold(seed ^ addr as u64, ODD ^ (addr >> 64) as u64) ^ name, ODD)
}

/// All of up to 16 bytes, in two numbers that together are no other text's of this length.
fn ends(text: &[u8]) -> (u64, u64) {
    if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
        (u64::from_le_bytes(*first), u64::from_le_bytes(*last))
    } else if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
        (u32::from_le_bytes(*first).into(), u32::from_le_bytes(*last).into())
    } else if let (Some(first), Some(middle), Some(last)) = (text.first(), text.get(text.len() / 2), text.last()) {
        (u64::from(*first) << 8 | u64::from(*middle), u64::from(*last))
    } else {
        (0, 0)
    }
}

/// The fractional part of the golden ratio: odd, and without a pattern in its bits.
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

fn fold(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_logged_in_is_known_for_half_a_day_to_a_day_from_there_and_as_that_user() {
        let mut logins = kept();
        assert!(!logins.has(prefix(9), b"bob", secs(0)));

        logins.note(prefix(9), b"bob", Some(secs(0)), secs(0));
        for (at, is_known) in
            [(0, true), (hours(12) - 1, true), (hours(12), true), (hours(24) - 1, true), (hours(24), false)]
        {
            assert_eq!(logins.has(prefix(9), b"bob", secs(at)), is_known, "at {at} s");
        }
        for other in [&b"carol"[..], b"", b"bo", b"bobb", b"bob\0"] {
            assert!(!logins.has(prefix(9), other, secs(1)), "{other:?}");
        }
        assert!(!logins.has(prefix(8), b"bob", secs(1)));

        // The table of the first half is asked in the second, and emptied for the third.
        logins.note(prefix(1), b"carol", Some(secs(hours(13))), secs(hours(13)));
        assert!(logins.has(prefix(9), b"bob", secs(hours(13))));
        logins.note(prefix(2), b"dave", Some(secs(hours(25))), secs(hours(25)));
        assert!(!logins.has(prefix(9), b"bob", secs(hours(25))) && logins.has(prefix(1), b"carol", secs(hours(25))));
    }

    #[test]
    fn who_logs_in_again_in_the_next_half_is_known_for_longer() {
        let mut logins = kept();
        for at in [0, 1, hours(13), hours(13) + 1] {
            logins.note(prefix(9), b"bob", Some(secs(at)), secs(at));
        }
        assert!(logins.has(prefix(9), b"bob", secs(hours(30))));
    }

    #[test]
    fn a_login_of_long_ago_or_of_nobody_knows_when_is_not_lately() {
        let mut logins = kept();
        logins.note(prefix(1), b"bob", None, secs(hours(20)));
        logins.note(prefix(1), b"", Some(secs(hours(20))), secs(hours(20)));
        logins.note(prefix(2), b"bob", Some(secs(hours(8))), secs(hours(20)));
        logins.note(prefix(3), b"bob", Some(secs(hours(9))), secs(hours(20)));

        let known: Vec<u32> = (1..4).filter(|&number| logins.has(prefix(number), b"bob", secs(hours(20)))).collect();
        assert_eq!(known, [3]);
        assert!(!logins.has(prefix(1), b"", secs(hours(20))));
    }

    #[test]
    fn the_tables_have_their_size_and_a_stranger_is_taken_for_a_customer_as_seldom_as_is_said() {
        let mut logins = kept();
        // Twice as many as there is room for, in both tables.
        let many = 8 * PLACES as u32;
        for (at, first) in [(0, 0), (hours(12), many)] {
            for number in first..first + many {
                logins.note(prefix(number), b"somebody@example.org", Some(secs(at)), secs(at));
            }
        }
        let tables = logins.tables.as_ref().unwrap();
        assert_eq!((tables.current.len(), tables.before.len()), (PLACES, PLACES));
        let taken = tables.current.iter().flatten().filter(|mark| **mark != 0).count();
        assert!(taken > PLACES * 4 * 95 / 100, "all places are taken: {taken}");

        let strangers = 1_000_000;
        let wrongly = (0..strangers)
            .filter(|number| logins.has(prefix(0x8000_0000 + number), b"somebody@example.org", secs(hours(12))))
            .count();
        let expected = (strangers / WRONGLY_ONE_IN) as usize;
        // 122 are expected at 1 in 8,192; 170 would be more than four standard deviations off.
        assert!((expected * 2 / 3..expected * 4 / 3 + 4).contains(&wrongly), "{wrongly}, not some {expected}");
    }

    #[test]
    fn of_as_many_as_a_large_server_has_nearly_all_are_known() {
        let mut logins = kept();
        for number in 0..100_000 {
            logins.note(prefix(number), b"bob", Some(secs(0)), secs(0));
        }
        let known = (0..100_000).filter(|&number| logins.has(prefix(number), b"bob", secs(0))).count();
        assert!(known > 97_000, "{known}");
    }

    #[test]
    fn nothing_is_kept_unless_somebody_asks_and_a_seed_makes_another_hash() {
        let mut logins = Logins::default();
        logins.note(prefix(1), b"bob", Some(secs(0)), secs(0));
        assert!(logins.tables.is_none() && !logins.has(prefix(1), b"bob", secs(0)));

        logins.keep(true);
        assert_eq!(logins.tables.as_ref().map(|tables| tables.current.capacity()), Some(0), "nor any memory taken");
        logins.note(prefix(1), b"bob", Some(secs(0)), secs(0));
        logins.keep(true);
        assert!(logins.has(prefix(1), b"bob", secs(0)), "a reload forgets nothing");

        logins.set_seed(9);
        assert!(!logins.has(prefix(1), b"bob", secs(0)));
        assert_ne!(hash(1, prefix(1), b"bob"), hash(2, prefix(1), b"bob"));
        logins.keep(false);
        assert!(logins.tables.is_none());
    }

    #[test]
    fn no_two_names_are_one() {
        let long = "abcdefghijklmnopqrstuvwxyz0123456789@example.org";
        let mut names: Vec<Vec<u8>> = (0..=long.len()).map(|len| long.as_bytes()[..len].to_vec()).collect();
        for at in 0..long.len() {
            for len in at + 1..=long.len() {
                let mut changed = long.as_bytes()[..len].to_vec();
                changed[at] ^= 1;
                names.push(changed);
            }
        }
        let hashes: std::collections::BTreeSet<u64> = names.iter().map(|name| hash(7, prefix(1), name)).collect();
        assert_eq!(hashes.len(), names.len(), "each length, and each byte of each, counts");
    }

    fn kept() -> Logins {
        let mut logins = Logins::default();
        logins.set_seed(7);
        logins.keep(true);
        logins
    }

    fn prefix(number: u32) -> Prefix {
        Prefix::host(std::net::Ipv4Addr::from_bits(number).into())
    }

    fn hours(n: i64) -> i64 {
        n * 3_600
    }

    fn secs(n: i64) -> Timestamp {
        Timestamp::from_secs(n)
    }
}
