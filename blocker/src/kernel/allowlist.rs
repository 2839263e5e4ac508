//! The allowlist in the kernel's maps, and which bans hold something of it.
//!
//! The program asks the allowlist before a drop only where the ban says [`HOLDS_ALLOWED`]: a search of a trie costs as much as
//! the rest of a drop. While the allowlist changes it asks always ([`flags::ASK_ALWAYS`]), until whatever a change brings
//! with it is done, too.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use anyhow::Result;
use blocker_common::HOLDS_ALLOWED;
use blocker_core::prefix::Prefix;

use super::{KernelBan, Maps};

/// What the maps allow.
#[derive(Debug, Default)]
pub(super) struct Allowlist {
    prefixes: BTreeSet<Prefix>,
    /// How many of them have each length, IPv4 and IPv6 together.
    lengths: BTreeMap<u8, usize>,
    /// The first bytes of IPv4 addresses that are allowed, or were: a look at it spares nearly all bans the searches.
    first_bytes: FirstBytes,
}

/// A bit for each.
#[derive(Debug, Default)]
struct FirstBytes([u64; 4]);

impl FirstBytes {
    fn insert(&mut self, prefix: Prefix) {
        let IpAddr::V4(addr) = prefix.addr() else { return };
        let [first, ..] = addr.octets();
        let more = 0xff_u8.checked_shr(prefix.len().into()).unwrap_or(0);
        for byte in first..=first | more {
            self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
        }
    }

    /// Whether nothing that is allowed can lie in `prefix` or around it.
    fn rule_out(&self, prefix: Prefix) -> bool {
        match prefix.addr() {
            IpAddr::V4(addr) if prefix.len() >= 8 => {
                let [first, ..] = addr.octets();
                self.0[usize::from(first >> 6)] & 1 << (first & 63) == 0
            }
            IpAddr::V4(_) | IpAddr::V6(_) => false,
        }
    }
}

impl Allowlist {
    /// Reads what the maps hold.
    pub(super) fn adopt(maps: &Maps) -> Result<Self> {
        let mut allowlist = Self::default();
        for prefix in maps.allowed()? {
            allowlist.insert(prefix);
        }
        Ok(allowlist)
    }

    /// Allows a prefix, and marks the bans that hold it. The program must ask always while this is done.
    pub(super) fn allow(&mut self, maps: &mut Maps, prefix: Prefix) -> Result<()> {
        maps.allow(prefix)?;
        self.insert(prefix);
        for KernelBan { prefix, mut entry } in maps.covering(prefix)? {
            if entry.flags & HOLDS_ALLOWED == 0 {
                entry.flags |= HOLDS_ALLOWED;
                maps.set_ban(prefix, &entry)?;
            }
        }
        Ok(())
    }

    /// Takes it back. Bans stay marked until they are written anew, which costs a search and nothing else.
    pub(super) fn disallow(&mut self, maps: &mut Maps, prefix: Prefix) -> Result<()> {
        maps.disallow(prefix)?;
        if self.prefixes.remove(&prefix)
            && let Some(count) = self.lengths.get_mut(&prefix.len())
        {
            *count -= 1;
            if *count == 0 {
                self.lengths.remove(&prefix.len());
            }
        }
        Ok(())
    }

    /// Everything that is allowed.
    pub(super) fn iter(&self) -> impl Iterator<Item = Prefix> {
        self.prefixes.iter().copied()
    }

    /// The mark of a ban of `prefix`: [`HOLDS_ALLOWED`] if an allowed prefix lies in it, or it in one; else 0.
    pub(super) fn mark(&self, prefix: Prefix) -> u32 {
        if self.first_bytes.rule_out(prefix) {
            return 0;
        }
        // In this order a network comes right before those inside it.
        let is_inside = self.prefixes.range(prefix..).next().is_some_and(|&allowed| prefix.covers(allowed));
        let is_around = || {
            let wider = self.lengths.range(..prefix.len()).map(|(&len, _)| len);
            wider.filter_map(|len| Prefix::new(prefix.addr(), len).ok()).any(|around| self.prefixes.contains(&around))
        };
        if is_inside || is_around() { HOLDS_ALLOWED } else { 0 }
    }

    fn insert(&mut self, prefix: Prefix) {
        if self.prefixes.insert(prefix) {
            *self.lengths.entry(prefix.len()).or_default() += 1;
            self.first_bytes.insert(prefix);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ban_is_marked_if_it_holds_or_lies_in_something_allowed() {
        let mut allowlist = Allowlist::default();
        for allowed in ["192.0.2.9", "198.51.100.0/24", "2001:db8:0:1::9", "fe80::/10"] {
            allowlist.insert(allowed.parse().unwrap());
        }
        let mark = |prefix: &str| allowlist.mark(prefix.parse().unwrap()) != 0;

        for marked in ["192.0.2.9", "192.0.2.0/24", "198.51.100.7", "128.0.0.0/1", "2001:db8:0:1::/64", "fe80::1"] {
            assert!(mark(marked), "{marked}");
        }
        for plain in
            ["192.0.2.10", "192.0.3.0/24", "198.51.101.1", "2001:db8:0:2::/64", "2001:db8:0:1::8", "203.0.113.9"]
        {
            assert!(!mark(plain), "{plain}");
        }
    }

    #[test]
    fn a_wide_network_that_is_allowed_marks_bans_of_each_of_its_first_bytes() {
        let mut allowlist = Allowlist::default();
        allowlist.insert("100.0.0.0/6".parse().unwrap());
        let mark = |prefix: &str| allowlist.mark(prefix.parse().unwrap()) != 0;

        assert!(mark("100.1.2.3") && mark("103.255.255.255") && mark("101.0.0.0/8") && mark("96.0.0.0/4"));
        assert!(!mark("104.0.0.1") && !mark("99.255.255.255") && !mark("64.0.0.0/7"));
    }
}
