//! Who of very many is banned: each look-up by a few searches, because a command may name tens of thousands of addresses, and the
//! daemon's task has to wait until it is answered.

use blocker_core::prefix::Prefix;

use crate::control::wire::Ban;

/// Bans by their prefixes.
pub(super) struct Lookup<'a> {
    /// In the order of prefixes: a network comes right before all inside it.
    bans: Vec<&'a Ban>,
    /// The lengths that there are, the shortest first: of IPv4, and of IPv6.
    lengths: [Vec<u8>; 2],
}

impl<'a> Lookup<'a> {
    pub(super) fn new(bans: impl IntoIterator<Item = &'a Ban>) -> Self {
        let mut bans: Vec<&Ban> = bans.into_iter().collect();
        bans.sort_by_key(|ban| ban.prefix);
        let lengths = [true, false].map(|is_v4| {
            let of_family = bans.iter().filter(|ban| ban.prefix.addr().is_ipv4() == is_v4);
            let mut lengths: Vec<u8> = of_family.map(|ban| ban.prefix.len()).collect();
            lengths.sort_unstable();
            lengths.dedup();
            lengths
        });
        Self { bans, lengths }
    }

    /// The bans that `whom` lies in, or that are of exactly it: the widest first.
    pub(super) fn covering(&self, whom: Prefix) -> impl Iterator<Item = &'a Ban> {
        let [v4, v6] = &self.lengths;
        let lengths = if whom.addr().is_ipv4() { v4 } else { v6 };
        lengths.iter().filter_map(move |&len| whom.shortened(len)).flat_map(|prefix| {
            let from = self.bans.partition_point(|ban| ban.prefix < prefix);
            self.bans[from..].iter().copied().take_while(move |ban| ban.prefix == prefix)
        })
    }

    /// The bans that lie in `whom`, or are of exactly it.
    pub(super) fn inside(&self, whom: Prefix) -> impl Iterator<Item = &'a Ban> {
        let from = self.bans.partition_point(|ban| ban.prefix < whom);
        self.bans[from..].iter().copied().take_while(move |ban| whom.covers(ban.prefix))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::values::testing::ban;
    use super::*;

    /// Few enough that many lie in one another.
    fn prefix() -> impl Strategy<Value = Prefix> {
        let v4 = (0..4_u8, 0..4_u8, 20..=32_u8).prop_map(|(net, host, len)| format!("192.0.{net}.{host}/{len}"));
        let v6 = (0..4_u8, 0..4_u8, 40..=128_u8).prop_map(|(net, host, len)| format!("2001:db8:{net}::{host}/{len}"));
        prop_oneof![v4, v6].prop_map(|text| text.parse().unwrap())
    }

    proptest! {
        #[test]
        fn who_is_found_is_who_is_found_by_comparing_each_with_each(prefixes in vec(prefix(), 0..40), whom in prefix()) {
            let bans: Vec<Ban> = prefixes.into_iter().map(|prefix| ban(&prefix.to_string())).collect();
            let lookup = Lookup::new(&bans);
            let sorted = |mut found: Vec<&Ban>| {
                found.sort_by_key(|ban| ban.prefix);
                found.iter().map(|ban| ban.prefix).collect::<Vec<_>>()
            };

            let covering: Vec<&Ban> = lookup.covering(whom).collect();
            let lengths: Vec<u8> = covering.iter().map(|ban| ban.prefix.len()).collect();
            prop_assert!(lengths.is_sorted(), "{lengths:?}");
            prop_assert_eq!(sorted(covering), sorted(bans.iter().filter(|ban| ban.prefix.covers(whom)).collect()));
            let inside = lookup.inside(whom).collect();
            prop_assert_eq!(sorted(inside), sorted(bans.iter().filter(|ban| whom.covers(ban.prefix)).collect()));
        }
    }
}
