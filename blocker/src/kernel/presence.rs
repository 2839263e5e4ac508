//! Keeps the presence bitmaps: which places have bans, and how many.

use std::collections::HashMap;
use std::net::IpAddr;

use anyhow::Result;
use blocker_common::flags;
use blocker_common::presence::{self, Place, place6, places4};
use blocker_core::prefix::Prefix;

use super::Maps;

/// How many bans lie in each place, and how many have none.
#[derive(Debug, Default)]
pub struct Presence {
    v4: Family,
    v6: Family,
    /// Whether the kernel refused bits: then the program must look past the bitmaps.
    is_unreliable: bool,
}

#[derive(Debug)]
struct Family {
    /// The map's words. Nearly all are zero, and take no memory before they are written.
    words: Box<[u64]>,
    /// Bans beyond the first of a place: nearly all places have one, which its bit tells.
    further: HashMap<Place, u32>,
    /// Bans of networks too wide for the bitmap.
    wide: u32,
}

impl Default for Family {
    fn default() -> Self {
        Self { words: vec![0; presence::WORDS as usize].into(), further: HashMap::new(), wide: 0 }
    }
}

/// Where a prefix is.
enum Spread {
    Place(Place),
    Places(Vec<Place>),
    Wide,
}

impl Spread {
    /// Its places; `None` if they are too many.
    fn places(&self) -> Option<&[Place]> {
        match self {
            Self::Place(place) => Some(std::slice::from_ref(place)),
            Self::Places(places) => Some(places),
            Self::Wide => None,
        }
    }
}

impl Presence {
    /// Takes over the maps as they are, to be brought up to date by [`Presence::rebuild`].
    ///
    /// # Errors
    ///
    /// The kernel's; so for all below.
    pub fn rebuild(maps: &mut Maps, bans: impl Iterator<Item = Prefix>) -> Result<Self> {
        let mut presence = Self::default();
        for prefix in bans {
            let (_, family, spread) = presence.of(prefix);
            // All words are compared below.
            family.count_up(&spread, &mut Vec::new());
        }
        for (is_v4, family) in [(true, &presence.v4), (false, &presence.v6)] {
            let held = maps.presence(is_v4)?;
            let wanted = |word: u32| family.word(word);
            let differing = (0..presence::WORDS).zip(held).filter(|&(word, held)| wanted(word) != held);
            let (words, values): (Vec<u32>, Vec<u64>) = differing.map(|(word, _)| (word, wanted(word))).unzip();
            maps.set_presence(is_v4, &words, &values)?;
        }
        Ok(presence)
    }

    /// Whether nothing is banned where `prefix` is.
    #[must_use]
    pub fn is_empty_at(&self, prefix: Prefix) -> bool {
        let family = if prefix.addr().is_ipv4() { &self.v4 } else { &self.v6 };
        spread(prefix).places().is_some_and(|places| places.iter().all(|place| !family.has_any(*place)))
    }

    /// Sets the bits of prefixes that are going to be banned.
    pub fn add(&mut self, maps: &mut Maps, prefixes: impl IntoIterator<Item = Prefix>) -> Result<()> {
        let mut changed = [Vec::new(), Vec::new()];
        for prefix in prefixes {
            let (is_v4, family, spread) = self.of(prefix);
            family.count_up(&spread, &mut changed[usize::from(is_v4)]);
        }
        self.write(maps, changed)
    }

    /// Clears the bits of prefixes that are banned no more, where nobody else is.
    pub fn remove(&mut self, maps: &mut Maps, prefixes: impl IntoIterator<Item = Prefix>) -> Result<()> {
        let mut changed = [Vec::new(), Vec::new()];
        for prefix in prefixes {
            let (is_v4, family, spread) = self.of(prefix);
            family.count_down(&spread, &mut changed[usize::from(is_v4)]);
        }
        self.write(maps, changed)
    }

    /// [`flags::WIDE4`] and [`flags::WIDE6`].
    #[must_use]
    pub fn flags(&self) -> u32 {
        let flag = |family: &Family, flag| if family.wide > 0 || self.is_unreliable { flag } else { 0 };
        flag(&self.v4, flags::WIDE4) | flag(&self.v6, flags::WIDE6)
    }

    fn write(&mut self, maps: &mut Maps, changed: [Vec<u32>; 2]) -> Result<()> {
        for (is_v4, mut words) in [false, true].into_iter().zip(changed) {
            words.sort_unstable();
            words.dedup();
            let family = if is_v4 { &self.v4 } else { &self.v6 };
            let values: Vec<u64> = words.iter().map(|word| family.word(*word)).collect();
            if let Err(error) = maps.set_presence(is_v4, &words, &values) {
                self.is_unreliable = true;
                return Err(error);
            }
        }
        Ok(())
    }

    fn of(&mut self, prefix: Prefix) -> (bool, &mut Family, Spread) {
        let is_v4 = prefix.addr().is_ipv4();
        (is_v4, if is_v4 { &mut self.v4 } else { &mut self.v6 }, spread(prefix))
    }
}

impl Family {
    fn word(&self, index: u32) -> u64 {
        self.words.get(index as usize).copied().unwrap_or(0)
    }

    fn has_any(&self, place: Place) -> bool {
        self.word(place.word()) & place.mask() != 0
    }

    /// Counts a ban, and adds the words that changed to `changed`.
    fn count_up(&mut self, spread: &Spread, changed: &mut Vec<u32>) {
        let Some(places) = spread.places() else {
            self.wide += 1;
            return;
        };
        for place in places.iter().copied() {
            if self.has_any(place) {
                *self.further.entry(place).or_default() += 1;
            } else if let Some(word) = self.words.get_mut(place.word() as usize) {
                *word |= place.mask();
                changed.push(place.word());
            }
        }
    }

    /// Takes a ban out of the count, and adds the words that changed to `changed`.
    fn count_down(&mut self, spread: &Spread, changed: &mut Vec<u32>) {
        let Some(places) = spread.places() else {
            self.wide = self.wide.saturating_sub(1);
            return;
        };
        for place in places.iter().copied() {
            if let Some(further) = self.further.get_mut(&place) {
                *further -= 1;
                if *further == 0 {
                    self.further.remove(&place);
                }
            } else if let Some(word) =
                self.words.get_mut(place.word() as usize).filter(|word| **word & place.mask() != 0)
            {
                *word &= !place.mask();
                changed.push(place.word());
            }
        }
    }
}

fn spread(prefix: Prefix) -> Spread {
    let len = u32::from(prefix.len());
    match prefix.addr() {
        IpAddr::V4(addr) if len >= presence::PLACE4_BITS => Spread::Place(Place::of4(addr.octets())),
        IpAddr::V4(addr) => places4(addr.octets(), len).map_or(Spread::Wide, |places| Spread::Places(places.collect())),
        IpAddr::V6(addr) => {
            let [a, b, c, d, e, f, g, h, ..] = addr.octets();
            place6([a, b, c, d, e, f, g, h], len).map_or(Spread::Wide, Spread::Place)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn up(family: &mut Family, prefix: &str) -> Vec<u32> {
        let mut changed = Vec::new();
        family.count_up(&spread(prefix.parse().unwrap()), &mut changed);
        changed
    }

    fn down(family: &mut Family, prefix: &str) -> Vec<u32> {
        let mut changed = Vec::new();
        family.count_down(&spread(prefix.parse().unwrap()), &mut changed);
        changed
    }

    #[test]
    fn a_bit_is_set_by_the_first_ban_of_its_place_and_cleared_by_the_last() {
        let mut family = Family::default();
        assert_eq!(up(&mut family, "192.0.2.1").len(), 1);
        assert!(up(&mut family, "192.0.2.0/24").is_empty());
        assert_eq!(up(&mut family, "192.0.0.0/16").len(), 255, "one was set already");

        assert!(down(&mut family, "192.0.2.1").is_empty());
        assert!(down(&mut family, "192.0.2.0/24").is_empty());
        assert_eq!(down(&mut family, "192.0.0.0/16").len(), 256);
        assert!(family.words.iter().all(|word| *word == 0) && family.further.is_empty(), "nothing is left behind");
        assert!(down(&mut family, "192.0.2.1").is_empty(), "who is not there cannot be taken away");
    }

    #[test]
    fn neighbours_share_a_word_and_not_a_bit() {
        let mut family = Family::default();
        up(&mut family, "192.0.2.1");
        up(&mut family, "192.0.3.1");
        down(&mut family, "192.0.2.1");

        let place = Place::of4([192, 0, 3, 1]);
        assert_eq!(family.word(place.word()), place.mask());
    }

    #[test]
    fn what_is_too_wide_is_counted_apart() {
        let mut presence = Presence::default();
        presence.v4.count_up(&spread("128.0.0.0/8".parse().unwrap()), &mut Vec::new());
        presence.v6.count_up(&spread("2001:db8::/32".parse().unwrap()), &mut Vec::new());
        assert_eq!(presence.flags(), flags::WIDE4 | flags::WIDE6);

        presence.v4.count_down(&spread("128.0.0.0/8".parse().unwrap()), &mut Vec::new());
        assert_eq!(presence.flags(), flags::WIDE6);
    }
}
