//! Where there are bans at all: a bit for each IPv4 /24, and for each of as many classes of IPv6 /48s, in two tables of
//! 2 MiB. A source whose bit is clear is not banned, and no other table is asked.
//!
//! A bit is set before the first ban there is written, and cleared after the last is removed: a set bit without a ban
//! costs a look-up, a ban without its bit would be a hole. Networks too wide to set bits for have a flag
//! ([`crate::flags::WIDE4`]) that makes the program look past the bits.

/// Words of each table.
pub const WORDS: u32 = 1 << 18;

/// Bits of an IPv4 address that make its place.
pub const PLACE4_BITS: u32 = 24;

/// Bits of an IPv6 address that make its place.
pub const PLACE6_BITS: u32 = 48;

/// Shortest IPv4 network that has its bits set: 4096 of them, in 64 words. Wider ones are rare.
pub const SHORTEST4: u32 = 12;

/// A bit of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(u32);

impl Place {
    /// The place of an IPv4 address.
    #[inline(always)]
    #[must_use]
    pub const fn of4(addr: [u8; 4]) -> Self {
        Self(u32::from_be_bytes(addr) >> (32 - PLACE4_BITS))
    }

    /// The place of an IPv6 address, from its first 64 bits. Fibonacci hashing (Knuth, The Art of Computer Programming,
    /// volume 3, 6.4): whoever aims at a collision gains a look-up for themselves.
    #[inline(always)]
    #[must_use]
    pub const fn of6(network: [u8; 8]) -> Self {
        let place = u64::from_be_bytes(network) >> (64 - PLACE6_BITS);
        Self((place.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u32)
    }

    /// The index of its word, below [`WORDS`].
    #[inline(always)]
    #[must_use]
    pub const fn word(self) -> u32 {
        self.0 >> 6
    }

    /// Its bit in the word.
    #[inline(always)]
    #[must_use]
    pub const fn mask(self) -> u64 {
        1 << (self.0 & 63)
    }
}

/// The places of an IPv4 prefix; `None` if it is shorter than [`SHORTEST4`].
#[must_use]
pub fn places4(addr: [u8; 4], len: u32) -> Option<impl Iterator<Item = Place>> {
    if len < SHORTEST4 {
        return None;
    }
    let count = 1 << PLACE4_BITS.saturating_sub(len);
    let Place(first) = Place::of4(addr);
    Some((first & !(count - 1)..).take(count as usize).map(Place))
}

/// The place of an IPv6 prefix; `None` if it is shorter than [`PLACE6_BITS`], and has many.
#[must_use]
pub const fn place6(network: [u8; 8], len: u32) -> Option<Place> {
    if len < PLACE6_BITS { None } else { Some(Place::of6(network)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_the_place_of_every_network_around_it() {
        let addr = [192, 0, 2, 77];
        for len in SHORTEST4..=32 {
            assert!(places4(addr, len).unwrap().any(|place| place == Place::of4(addr)), "/{len}");
        }
        assert!(places4(addr, SHORTEST4 - 1).is_none());
    }

    #[test]
    fn a_network_has_exactly_its_places() {
        let places = |addr, len| places4(addr, len).unwrap();

        assert_eq!(places([192, 0, 2, 0], 25).count(), 1);
        assert_eq!(places([192, 0, 0, 0], 16).count(), 256);
        assert_eq!(places([192, 0, 0, 0], 16).map(Place::word).max(), Some(Place::of4([192, 0, 255, 0]).word()));
        assert!(!places([192, 0, 0, 0], 16).any(|place| place == Place::of4([192, 1, 0, 0])));
    }

    #[test]
    fn every_place_is_in_the_table() {
        assert_eq!(Place::of4([255; 4]).word(), WORDS - 1);
        assert_eq!(Place::of4([0, 0, 1, 9]).mask(), 2);
        for seed in 0..100_000_u64 {
            assert!(Place::of6(seed.wrapping_mul(0x2545_f491_4f6c_dd1d).to_be_bytes()).word() < WORDS);
        }
    }

    #[test]
    fn what_is_below_a_48_has_its_place() {
        let place = place6([0x20, 1, 0xd, 0xb8, 0, 1, 0, 0], 48);

        assert_eq!(place, Some(Place::of6([0x20, 1, 0xd, 0xb8, 0, 1, 0xff, 0xff])));
        assert_eq!(place6([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0], 47), None);
    }
}
