//! Hashes of texts by a secret key: what stands for a text that need only be known again.
//!
//! SipHash-2-4, 64 bits. Without the key nobody can make two texts alike, so nobody can hide a line behind another one; and
//! it is the same in every version, so that a hash in a database means the same after an upgrade.

use std::fmt;
use std::hash::Hasher as _;
use std::num::NonZeroU32;

use siphasher::sip::SipHasher24;

/// What the hashes depend on: 16 bytes that nobody else knows.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct HashKey([u8; 16]);

impl HashKey {
    /// A key of these bytes, which should be random.
    #[must_use]
    pub fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes: to be kept where nobody else reads them.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The hash of a text.
    #[must_use]
    pub fn hash(&self, text: &[u8]) -> u64 {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        hasher.write(text);
        hasher.finish()
    }

    /// The hash of two texts, of which the first is always of the same length.
    #[must_use]
    pub fn hash_pair(&self, first: &[u8; 16], second: &[u8]) -> u64 {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        hasher.write(first);
        hasher.write(second);
        hasher.finish()
    }

    /// The short hash of a text.
    #[must_use]
    pub fn tag(&self, text: &[u8]) -> Tag {
        let [_, _, _, _, low @ ..] = self.hash(text).to_be_bytes();
        Tag(NonZeroU32::new(u32::from_be_bytes(low)).unwrap_or(NonZeroU32::MAX))
    }
}

/// A short hash, where there are many: of 32 bits, so that two texts are alike once in four thousand million times. Never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tag(NonZeroU32);

impl Tag {
    /// The tag of this number; zero is none.
    #[must_use]
    pub fn new(number: u32) -> Option<Self> {
        NonZeroU32::new(number).map(Self)
    }

    /// Its number.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Debug for HashKey {
    /// Says nothing: it is a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the paper by Aumasson and Bernstein, appendix A: what is in a database must not change its meaning.
    #[test]
    fn a_hash_is_the_same_in_every_version() {
        let key = HashKey::new(std::array::from_fn(|index| index as u8));
        let text: Vec<u8> = (0..15).collect();

        assert_eq!(key.hash(&text), 0xa129_ca61_49be_45e5);
        assert_eq!(key.tag(&text).number(), 0x49be_45e5);
    }

    #[test]
    fn a_pair_is_hashed_as_one_text() {
        let key = HashKey::new([7; 16]);

        assert_eq!(key.hash_pair(&[1; 16], b"abc"), key.hash(&[&[1; 16][..], b"abc"].concat()));
    }

    #[test]
    fn another_key_is_another_hash_and_none_is_printed() {
        let (one, other) = (HashKey::new([1; 16]), HashKey::new([2; 16]));

        assert_ne!(one.hash(b"text"), other.hash(b"text"));
        assert_eq!(format!("{one:?}"), "HashKey(..)");
    }
}
