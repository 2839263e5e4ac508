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
    v4: BTreeMap<u8, usize>,
    v6: BTreeMap<u8, usize>,
}

impl Lengths {
    /// Notes that `prefix` was put into the table.
    pub(crate) fn add(&mut self, prefix: Prefix) {
        *self.family_mut(prefix).entry(prefix.len()).or_default() += 1;
    }

    /// Notes that `prefix`, noted by [`Lengths::add`] before, was taken out of the table.
    pub(crate) fn remove(&mut self, prefix: Prefix) {
        let family = self.family_mut(prefix);
        if let Some(count) = family.get_mut(&prefix.len()) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                family.remove(&prefix.len());
            }
        }
    }

    /// Everything that could be in the table and cover `prefix`, itself included; the longest first.
    pub(crate) fn covering(&self, prefix: Prefix) -> impl Iterator<Item = Prefix> + '_ {
        let family = if prefix.addr().is_ipv4() { &self.v4 } else { &self.v6 };
        family.range(..=prefix.len()).rev().filter_map(move |(&len, _)| prefix.shortened(len))
    }

    fn family_mut(&mut self, prefix: Prefix) -> &mut BTreeMap<u8, usize> {
        if prefix.addr().is_ipv4() { &mut self.v4 } else { &mut self.v6 }
    }
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
}
