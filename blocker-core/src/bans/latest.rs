//! The bans of IPv4 hosts that were entered last, where one look answers whether somebody is banned.
//!
//! Whoever attacks is banned after few lines, and most lines of an attack come after that: the server tells for minutes of what
//! was under way. Each asks whether its address is banned, which in a tree of many bans is five looks into cold memory.
//!
//! # Theory of operation
//!
//! An address and a jail are 40 bits, which a multiplication by an odd number turns into others, never two into the same. Of these
//! the upper ones choose a bucket and the rest is written there, so that what is found was entered and no other. A bucket has
//! room for sixteen, together in one line of the processor's cache; the next one drives out the first. Where that has happened,
//! what is not here may still be banned: then the tree is asked. Some 30,000 bans fit without.

/// Buckets: 4,096 of 64 bytes are 256 KiB, for 65,536 bans.
const BUCKETS: usize = 1 << BUCKET_BITS;
const BUCKET_BITS: u32 = 12;

/// Bits of a key.
const KEY_BITS: u32 = 40;

/// Bits that are written into a bucket.
const REST_BITS: u32 = KEY_BITS - BUCKET_BITS;

/// Keys of 40 bits.
#[derive(Debug, Default)]
pub(super) struct Latest {
    buckets: Vec<Bucket>,
    /// A bit for each bucket: whether a key was driven out of it.
    crowded: Vec<u64>,
}

/// The keys' rests, the latest first, each with [`TAKEN`]; zero for none.
#[derive(Clone, Debug, Default)]
#[repr(align(64))]
struct Bucket([u32; 16]);

const TAKEN: u32 = 1 << 31;

impl Latest {
    /// Enters a key.
    pub(super) fn insert(&mut self, key: u64) {
        if self.buckets.is_empty() {
            self.buckets = vec![Bucket::default(); BUCKETS];
            self.crowded = vec![0; BUCKETS / 64];
        }
        let (place, rest) = split(key);
        if let Some(Bucket(rests)) = self.buckets.get_mut(place)
            && !rests.contains(&rest)
        {
            // Where there is a gap, all behind it can stay.
            let last = rests.iter().position(|known| *known == 0).unwrap_or_else(|| {
                self.crowded[place / 64] |= 1 << (place % 64);
                rests.len() - 1
            });
            rests[..=last].rotate_right(1);
            rests[0] = rest;
        }
    }

    /// Takes a key out, if it is there.
    pub(super) fn remove(&mut self, key: u64) {
        let (place, rest) = split(key);
        if let Some(Bucket(rests)) = self.buckets.get_mut(place) {
            for known in rests.iter_mut().filter(|known| **known == rest) {
                *known = 0;
            }
        }
    }

    /// Whether a key was entered and not taken out; `None` if nobody knows here.
    pub(super) fn has(&self, key: u64) -> Option<bool> {
        let (place, rest) = split(key);
        let Some(Bucket(rests)) = self.buckets.get(place) else { return Some(false) };
        if rests.contains(&rest) {
            return Some(true);
        }
        let is_crowded = self.crowded.get(place / 64).is_some_and(|bits| bits >> (place % 64) & 1 == 1);
        (!is_crowded).then_some(false)
    }
}

/// The bucket of a key, and what is written there. Whoever aims at one bucket gains nothing but looks into the tree.
fn split(key: u64) -> (usize, u32) {
    // Of a product by an odd number the upper bits depend on all of the factor's (Knuth, The Art of Computer Programming, 6.4), and
    // modulo a power of two there is only one factor to each product. The number is the golden ratio's fraction.
    let mixed = key.wrapping_mul(0x9e_3779_b97f) & ((1 << KEY_BITS) - 1);
    ((mixed >> REST_BITS) as usize, mixed as u32 & ((1 << REST_BITS) - 1) | TAKEN)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_is_here_until_it_is_taken_out_and_one_that_was_driven_out_is_nobody_knows_where() {
        let mut latest = Latest::default();
        latest.remove(1);
        assert_eq!(latest.has(1), Some(false));

        let of_one_bucket: Vec<u64> = (1..).filter(|&key| split(key).0 == split(1).0).take(17).collect();
        for &key in &of_one_bucket[..16] {
            latest.insert(key);
            latest.insert(key);
        }
        assert!(of_one_bucket[..16].iter().all(|&key| latest.has(key) == Some(true)));
        assert_eq!(latest.has(of_one_bucket[16]), Some(false), "nobody was driven out");

        latest.remove(of_one_bucket[4]);
        assert_eq!(latest.has(of_one_bucket[4]), Some(false));
        latest.insert(of_one_bucket[16]);
        assert_eq!(latest.has(1), Some(true), "the gap is filled first");

        latest.insert(of_one_bucket[4]);
        assert_eq!((latest.has(1), latest.has(of_one_bucket[16])), (None, Some(true)));
        let elsewhere = (1..).find(|&key| split(key).0 != split(1).0).unwrap();
        assert_eq!(latest.has(elsewhere), Some(false), "of other buckets all is known");
    }
    proptest! {
        #[test]
        fn of_no_two_keys_one_is_taken_for_the_other(keys in prop::array::uniform2(0..1_u64 << KEY_BITS)) {
            let [one, other] = keys;
            prop_assert_eq!(split(one) == split(other), one == other);
            // The nearest are those that differ in one bit.
            prop_assert!((0..KEY_BITS).all(|bit| split(one) != split(one ^ 1 << bit)));
        }
    }
}
