//! The bans of IPv4 hosts that were entered last, where one look answers whether somebody is banned.
//!
//! Whoever attacks is banned after few lines, and most lines of an attack come after that: the server tells for minutes of what
//! was under way. Each asks whether its address is banned, which in a tree of many bans is five looks into cold memory.
//!
//! A key has eight places that it may stand in, together in one line of the processor's cache; a ninth drives out the first. What
//! is not here may still be banned: then the tree is asked.

/// Buckets: 8,192 of 64 bytes are 512 KiB, for 65,536 bans.
const BUCKETS: usize = 1 << BUCKET_BITS;
const BUCKET_BITS: u32 = 13;

/// Keys of which none is zero.
#[derive(Debug, Default)]
pub(super) struct Latest(Vec<Bucket>);

/// The keys, the latest first; zero for none.
#[derive(Clone, Debug, Default)]
#[repr(align(64))]
struct Bucket([u64; 8]);

impl Latest {
    /// Enters a key.
    pub(super) fn insert(&mut self, key: u64) {
        if self.0.is_empty() {
            self.0 = vec![Bucket::default(); BUCKETS];
        }
        if let Some(Bucket(keys)) = self.0.get_mut(bucket(key))
            && !keys.contains(&key)
        {
            keys.rotate_right(1);
            keys[0] = key;
        }
    }

    /// Takes a key out, if it is there.
    pub(super) fn remove(&mut self, key: u64) {
        if let Some(Bucket(keys)) = self.0.get_mut(bucket(key)) {
            for known in keys.iter_mut().filter(|known| **known == key) {
                *known = 0;
            }
        }
    }

    /// Whether a key is here.
    pub(super) fn has(&self, key: u64) -> bool {
        self.0.get(bucket(key)).is_some_and(|Bucket(keys)| keys.contains(&key))
    }
}

/// Where a key stands: whoever aims at one bucket gains nothing but looks into the tree.
fn bucket(key: u64) -> usize {
    // Of a product by an odd number the upper bits depend on all of the factor's: Knuth, The Art of Computer Programming, 6.4.
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - BUCKET_BITS)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_here_until_it_is_taken_out_or_driven_out() {
        let mut latest = Latest::default();
        latest.remove(1);
        assert!(!latest.has(1));

        let of_one_bucket: Vec<u64> = (1..).filter(|&key| bucket(key) == bucket(1)).take(9).collect();
        for &key in &of_one_bucket {
            latest.insert(key);
            latest.insert(key);
        }

        assert!(!latest.has(1), "eight came after it");
        assert!(of_one_bucket[1..].iter().all(|&key| latest.has(key)));
        latest.remove(of_one_bucket[4]);
        assert!(!latest.has(of_one_bucket[4]));
        assert!(latest.has(of_one_bucket[8]));
    }
}
