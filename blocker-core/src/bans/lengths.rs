//! Which prefix lengths a table holds.
//!
//! A table of prefixes is asked "what covers this address?". Instead of a trie there is a hash or tree by exact prefix,
//! and this record of the lengths in use: an address is shortened to each of them and looked up. Few lengths are in use
//! at a time, and at most 160 can be.

use std::collections::BTreeMap;

use crate::prefix::Prefix;

/// How many prefixes of each length a table holds, by family.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lengths {
    v4: Family,
    v6: Family,
}

/// The same of one family.
#[derive(Clone, Debug, Default)]
struct Family {
    counts: BTreeMap<u8, usize>,
    /// The lengths in `counts`, of 1 to 128: the lowest bit is a length of one.
    in_use: u128,
}

impl Lengths {
    /// Notes that `prefix` was put into the table.
    pub(crate) fn add(&mut self, prefix: Prefix) {
        let family = self.family_mut(prefix);
        *family.counts.entry(prefix.len()).or_default() += 1;
        family.in_use |= bit(prefix.len());
    }

    /// Notes that `prefix`, noted by [`Lengths::add`] before, was taken out of the table.
    pub(crate) fn remove(&mut self, prefix: Prefix) {
        let family = self.family_mut(prefix);
        if let Some(count) = family.counts.get_mut(&prefix.len()) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                family.counts.remove(&prefix.len());
                family.in_use &= !bit(prefix.len());
            }
        }
    }

    /// Everything that could be in the table and cover `prefix`, itself included; the longest first.
    pub(crate) fn covering(&self, prefix: Prefix) -> impl Iterator<Item = Prefix> + '_ {
        let family = if prefix.addr().is_ipv4() { &self.v4 } else { &self.v6 };
        let own = bit(prefix.len());
        let mut left = family.in_use & (own | own.saturating_sub(1));
        std::iter::from_fn(move || {
            let len = u8::try_from(u128::BITS - left.leading_zeros()).ok().filter(|&len| len > 0)?;
            left &= !bit(len);
            prefix.shortened(len)
        })
    }

    fn family_mut(&mut self, prefix: Prefix) -> &mut Family {
        if prefix.addr().is_ipv4() { &mut self.v4 } else { &mut self.v6 }
    }
}

/// What stands for a length.
fn bit(len: u8) -> u128 {
    u32::from(len).checked_sub(1).and_then(|place| 1_u128.checked_shl(place)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_the_lengths_in_use_and_the_longest_first() {
        let prefix = |text: &str| text.parse::<Prefix>().unwrap();
        let mut lengths = Lengths::default();
        for held in ["192.0.2.0/24", "198.51.100.0/24", "192.0.0.0/16", "2001:db8::/32"] {
            lengths.add(prefix(held));
        }
        lengths.remove(prefix("198.51.100.0/24"));

        let offered = |text: &str| lengths.covering(prefix(text)).map(|p| p.to_string()).collect::<Vec<_>>();

        assert_eq!(offered("203.0.113.9"), ["203.0.113.0/24", "203.0.0.0/16"]);
        assert_eq!(offered("203.0.113.0/20"), ["203.0.0.0/16"]);
        assert_eq!(offered("2001:db8::1"), ["2001:db8::/32"]);
    }

    #[test]
    fn offers_the_whole_address_and_half_of_all_too() {
        let prefix = |text: &str| text.parse::<Prefix>().unwrap();
        let mut lengths = Lengths::default();
        let all = ["2001:db8::1", "2001:db8::/127", "::/1"].map(prefix);
        all.iter().for_each(|&held| lengths.add(held));

        assert_eq!(lengths.covering(all[0]).collect::<Vec<_>>(), all);
        assert_eq!(lengths.covering(all[2]).collect::<Vec<_>>(), [all[2]]);
        assert_eq!(lengths.covering(prefix("192.0.2.1")).count(), 0, "of another family");
        lengths.remove(all[0]);
        assert_eq!(lengths.covering(all[0]).next(), Some(all[1]));
    }
}
