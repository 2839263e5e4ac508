//! What [`Logins`](super::Logins) has come to, to be kept over a restart: or the brake would be blind for half a day after each.
//!
//! Of each table the places that are taken, 10 bytes each: the place's number and its four hashes, little-endian. What is read back
//! may be anything: there is no text of it that does harm, it would make the brake take strangers for customers at most.

use super::{LATEST, Logins, PLACES, Place, Tables};
use crate::time::Timestamp;

/// Bytes of a place.
const OF_A_PLACE: usize = 10;

/// Bytes of a table at most.
pub const MAX_TABLE_BYTES: usize = PLACES * OF_A_PLACE;

/// The logins of the last hours, as they are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedLogins {
    /// By which they are hashed. Secret: who knows it could have a login of his own taken for another's.
    pub seed: u64,
    /// When the current table began.
    pub began: Timestamp,
    /// It.
    pub current: Vec<u8>,
    /// The one before it.
    pub before: Vec<u8>,
}

impl Logins {
    /// What is to be kept; `None` if there is nothing.
    #[must_use]
    pub fn saved(&self) -> Option<SavedLogins> {
        let Tables { current, before, latest: _, began } = self.tables.as_ref()?;
        let began = (*began)?;
        Some(SavedLogins { seed: self.seed, began, current: bytes(current), before: bytes(before) })
    }

    /// Goes on from what was kept, instead of anything else, if logins are kept now. What began later than `now` began now.
    pub fn restore(&mut self, saved: &SavedLogins, now: Timestamp) {
        let Some(tables) = &mut self.tables else { return };
        let SavedLogins { seed, began, current, before } = saved;
        self.seed = *seed;
        let current = table(current).unwrap_or_else(|| vec![[0; 4]; PLACES]);
        let (before, latest) = (table(before).unwrap_or_default(), vec![0; LATEST]);
        *tables = Tables { current, before, latest, began: Some((*began).min(now)) };
    }
}

fn bytes(table: &[Place]) -> Vec<u8> {
    let taken = (0_u16..=u16::MAX).zip(table).filter(|(_, place)| **place != [0; 4]);
    taken.flat_map(|(number, &[a, b, c, d])| [number, a, b, c, d].map(u16::to_le_bytes)).flatten().collect()
}

/// `None` of nothing, for which no memory need be taken.
fn table(bytes: &[u8]) -> Option<Vec<Place>> {
    let mut table = None;
    for place in bytes.get(..MAX_TABLE_BYTES).unwrap_or(bytes).as_chunks::<OF_A_PLACE>().0 {
        let (pairs, _) = place.as_chunks::<2>();
        let &[number, a, b, c, d] = pairs else { continue };
        let [number, a, b, c, d] = [number, a, b, c, d].map(u16::from_le_bytes);
        let places: &mut Vec<Place> = table.get_or_insert_with(|| vec![[0; 4]; PLACES]);
        if let Some(place) = places.get_mut(usize::from(number)) {
            *place = [a, b, c, d];
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::super::LATELY;
    use super::*;
    use crate::prefix::Prefix;

    fn prefix(number: u32) -> Prefix {
        Prefix::host(std::net::Ipv4Addr::from_bits(number).into())
    }

    fn secs(n: i64) -> Timestamp {
        Timestamp::from_secs(n)
    }

    fn kept(seed: u64) -> Logins {
        let mut logins = Logins::default();
        logins.set_seed(seed);
        logins.keep(true);
        logins
    }

    /// Half of the time that is remembered, in seconds.
    const HALF: i64 = LATELY.as_secs() as i64 / 2;

    #[test]
    fn what_was_kept_is_known_as_before_in_both_tables_and_ends_when_it_would_have() {
        let mut logins = kept(7);
        for number in 0..1000 {
            logins.note(prefix(number), b"bob", Some(secs(0)), secs(0));
        }
        logins.note(prefix(5000), b"carol", Some(secs(HALF + 10)), secs(HALF + 10));
        let saved = logins.saved().expect("there is something");
        assert!(saved.before.len() <= 1000 * OF_A_PLACE && saved.current.len() == OF_A_PLACE, "places that are taken");

        let mut again = kept(9);
        again.note(prefix(9), b"dave", Some(secs(HALF + 20)), secs(HALF + 20));
        again.restore(&saved, secs(HALF + 20));

        for number in 0..1000 {
            assert!(again.has(prefix(number), b"bob", secs(HALF + 20)));
        }
        assert!(again.has(prefix(5000), b"carol", secs(HALF + 20)) && !again.has(prefix(9), b"dave", secs(HALF + 20)));
        assert_eq!(again.saved(), Some(saved));
        again.note(prefix(1), b"eve", Some(secs(2 * HALF + 11)), secs(2 * HALF + 11));
        assert!(
            !again.has(prefix(1), b"bob", secs(2 * HALF + 11)),
            "the first table is emptied when it would have been"
        );
        assert!(again.has(prefix(5000), b"carol", secs(2 * HALF + 11)));
    }

    #[test]
    fn nothing_is_kept_of_nothing_and_nothing_restored_where_nobody_asks() {
        assert_eq!((Logins::default().saved(), kept(7).saved()), (None, None));
        let mut logins = kept(7);
        logins.note(prefix(1), b"bob", Some(secs(5)), secs(5));
        let saved = logins.saved().expect("there is something");

        let mut off = Logins::default();
        off.restore(&saved, secs(5));
        off.keep(true);
        assert!(!off.has(prefix(1), b"bob", secs(5)));
    }

    #[test]
    fn what_is_read_back_may_be_anything() {
        for bytes in [vec![], vec![0xff; 9], vec![0xff; 11], vec![0xff; 3 * MAX_TABLE_BYTES]] {
            let mut logins = kept(7);
            let saved =
                SavedLogins { seed: 1, began: secs(i64::from(u32::MAX)), current: bytes.clone(), before: bytes };
            logins.restore(&saved, secs(10));
            logins.note(prefix(1), b"bob", Some(secs(10)), secs(10));
            assert!(logins.has(prefix(1), b"bob", secs(10)));
            assert!(!logins.has(prefix(1), b"bob", secs(10 + 2 * HALF)), "no clock makes it last for ever");
        }
    }
}
