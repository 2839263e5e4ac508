//! Which map a prefix's ban is in, and by which key.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use aya::maps::lpm_trie::Key;
use blocker_common::{Address4, Address6, Host4, Network6};
use blocker_core::prefix::Prefix;

/// Bits of an IPv6 ban that has a hash entry: what one subscriber usually owns.
pub(super) const NETWORK6_BITS: u8 = 64;

/// The place of a ban.
pub(super) enum BanKey {
    Host4(Host4),
    Network64(Network6),
    Network4(Key<Address4>),
    Network6(Key<Address6>),
}

/// The place of an allow-listed prefix.
pub(super) enum AllowKey {
    V4(Key<Address4>),
    V6(Key<Address6>),
}

pub(super) fn ban_key(prefix: Prefix) -> BanKey {
    match (prefix.addr(), allow_key(prefix)) {
        (IpAddr::V4(addr), _) if prefix.is_host() => BanKey::Host4(Host4 { addr: addr.octets() }),
        (IpAddr::V6(addr), _) if prefix.len() == NETWORK6_BITS => {
            let [a, b, c, d, e, f, g, h, ..] = addr.octets();
            BanKey::Network64(Network6 { prefix: [a, b, c, d, e, f, g, h] })
        }
        (_, AllowKey::V4(key)) => BanKey::Network4(key),
        (_, AllowKey::V6(key)) => BanKey::Network6(key),
    }
}

pub(super) fn allow_key(prefix: Prefix) -> AllowKey {
    let len = u32::from(prefix.len());
    match prefix.addr() {
        IpAddr::V4(addr) => AllowKey::V4(Key::new(len, Address4 { addr: addr.octets(), zero: [0; 4] })),
        IpAddr::V6(addr) => AllowKey::V6(Key::new(len, Address6 { addr: addr.octets() })),
    }
}

pub(super) fn prefix_of_host4(key: Host4) -> Prefix {
    Prefix::host(Ipv4Addr::from(key.addr).into())
}

/// `None` for a key that the daemon cannot have written.
pub(super) fn prefix_of_network64(key: Network6) -> Option<Prefix> {
    let mut octets = [0; 16];
    octets[..8].copy_from_slice(&key.prefix);
    Prefix::new(Ipv6Addr::from(octets).into(), NETWORK6_BITS).ok()
}

pub(super) fn prefix_of_lpm4(key: &Key<Address4>) -> Option<Prefix> {
    let len = u8::try_from(key.prefix_len()).ok()?;
    Prefix::new(Ipv4Addr::from(key.data().addr).into(), len).ok()
}

pub(super) fn prefix_of_lpm6(key: &Key<Address6>) -> Option<Prefix> {
    let len = u8::try_from(key.prefix_len()).ok()?;
    Prefix::new(Ipv6Addr::from(key.data().addr).into(), len).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_prefix_has_its_map_and_comes_back() {
        for (text, map) in [
            ("192.0.2.9", "host4"),
            ("192.0.2.0/24", "network4"),
            ("2001:db8:0:1::/64", "network64"),
            ("2001:db8::1", "network6"),
            ("2001:db8::/32", "network6"),
        ] {
            let prefix: Prefix = text.parse().unwrap();
            let (name, back) = match ban_key(prefix) {
                BanKey::Host4(key) => ("host4", Some(prefix_of_host4(key))),
                BanKey::Network64(key) => ("network64", prefix_of_network64(key)),
                BanKey::Network4(key) => ("network4", prefix_of_lpm4(&key)),
                BanKey::Network6(key) => ("network6", prefix_of_lpm6(&key)),
            };
            assert_eq!((name, back), (map, Some(prefix)));
        }
    }
}
