//! When many banned hosts become one ban of their network.
//!
//! A network of which so many are banned by one jail is banned by it as a whole: who has all of it need not be banned one by one. The
//! bans inside stay as they are and end by themselves, and whatever is allowed inside passes, as in any wider ban. Off unless
//! configured: a network of a provider's has innocent neighbours.

use crate::prefix::Prefix;

/// Banned hosts that make a ban of their network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aggregate {
    /// So many: at least 2.
    pub after: u32,
    /// Of an IPv4 network of so many bits, 16 to 31.
    pub ipv4: u8,
    /// Of an IPv6 network of so many bits, 32 to 127.
    pub ipv6: u8,
}

impl Aggregate {
    /// The network that a ban of `prefix` may help to ban. None if that is not wider than `prefix`; and none of who stands for an
    /// IPv4 host behind a translator: such a network has all of IPv4.
    #[must_use]
    pub fn network(self, prefix: Prefix) -> Option<Prefix> {
        let len = if prefix.addr().is_ipv4() { self.ipv4 } else { self.ipv6 };
        let network = prefix.shortened(len).filter(|network| *network != prefix)?;
        (!prefix.is_translated()).then_some(network)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_helps_to_ban_its_network_and_a_network_a_wider_one() {
        let aggregate = Aggregate { after: 8, ipv4: 24, ipv6: 48 };
        let network = |text: &str| aggregate.network(text.parse().unwrap()).map(|network| network.to_string());

        assert_eq!(network("192.0.2.9").as_deref(), Some("192.0.2.0/24"));
        assert_eq!(network("2001:db8:7:1::/64").as_deref(), Some("2001:db8:7::/48"));
        for none in ["192.0.2.0/24", "192.0.0.0/16", "2001:db8:7::/48", "64:ff9b::192.0.2.9", "64:ff9b:1::192.0.2.9"] {
            assert_eq!(network(none), None, "{none}");
        }
    }
}
