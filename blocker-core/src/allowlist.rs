//! The prefixes that are never banned, and why.
//!
//! An allowed prefix may be configured, allowed by command ([`crate::grants`]), or found on the machine while it runs (its own
//! addresses, its gateways, who is logged in), or several of these. Each is replaced as a whole and apart from the others: what a
//! reload drops stays as long as it is found, and the other way round. The answer to a replacement is what the kernel must be told.
//!
//! Looked up by the lengths in use (see `bans/lengths.rs`), so that thousands of prefixes cost no more than a few.
//! Nothing a log can contain gets in here: the size is the administrator's and the machine's.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::bans::lengths::Lengths;
use crate::prefix::Prefix;

/// A prefix that is never banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// Whom.
    pub prefix: Prefix,
    /// Why.
    pub why: AllowReason,
}

/// Why a prefix is never banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AllowReason {
    /// The configuration says so.
    Configured,
    /// A file that the configuration names says so.
    File,
    /// An administrator said so by command.
    ByCommand,
    /// An address of this machine.
    OwnAddress,
    /// The machine talking to itself.
    Loopback,
    /// Addresses that reach no further than the link, without which IPv6 does not work.
    LinkLocal,
    /// Groups of receivers; nobody sends from one.
    Multicast,
    /// A router that this machine sends through.
    Gateway,
    /// A name server that this machine asks.
    Resolver,
    /// Where somebody is logged in from, over the network and with authentication.
    RemoteLogin,
}

impl fmt::Display for AllowReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Configured => "allowed by the configuration",
            Self::File => "allowed by a file",
            Self::ByCommand => "allowed by command",
            Self::OwnAddress => "an address of this machine",
            Self::Loopback => "a loopback address",
            Self::LinkLocal => "a link-local address",
            Self::Multicast => "a multicast address",
            Self::Gateway => "a gateway of this machine",
            Self::Resolver => "a name server of this machine",
            Self::RemoteLogin => "where an administrator is logged in from",
        })
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.prefix, self.why)
    }
}

/// Who says that a prefix is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The settings.
    Settings,
    /// An administrator, by command.
    Command,
    /// What was found on the machine while it runs.
    Found,
}

/// What a replacement changed: prefixes that nobody allowed before, and prefixes that nobody allows any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Newly allowed.
    pub added: Vec<Allowed>,
    /// Allowed before.
    pub removed: Vec<Prefix>,
}

/// The prefixes that are never banned.
#[derive(Clone, Debug, Default)]
pub struct Allowlist {
    entries: HashMap<Prefix, Entry>,
    lengths: Lengths,
}

impl Allowlist {
    /// Replaces all that `origin` allows by `allowed`. Of several reasons for one prefix the first is kept.
    pub fn replace(&mut self, origin: Origin, allowed: Vec<Allowed>) -> Changes {
        let mut wanted = BTreeMap::new();
        for Allowed { prefix, why } in allowed {
            wanted.entry(prefix).or_insert(why);
        }
        let mut dropped: Vec<Prefix> = self
            .entries
            .iter()
            .filter(|(prefix, entry)| entry.reason(origin).is_some() && !wanted.contains_key(prefix))
            .map(|(&prefix, _)| prefix)
            .collect();
        dropped.sort_unstable();

        let mut changes = Changes::default();
        for (prefix, why) in wanted {
            let entry = self.entries.entry(prefix).or_default();
            if entry.why().is_none() {
                self.lengths.add(prefix);
                changes.added.push(Allowed { prefix, why });
            }
            *entry.reason_mut(origin) = Some(why);
        }
        for prefix in dropped {
            let Some(entry) = self.entries.get_mut(&prefix) else { continue };
            *entry.reason_mut(origin) = None;
            if entry.why().is_none() {
                self.entries.remove(&prefix);
                self.lengths.remove(prefix);
                changes.removed.push(prefix);
            }
        }
        changes
    }

    /// The narrowest allowed prefix that `addr` lies in.
    #[must_use]
    pub fn contains(&self, addr: IpAddr) -> Option<Allowed> {
        self.covering(Prefix::host(addr))
    }

    /// The narrowest allowed prefix that covers the whole of `prefix`.
    #[must_use]
    pub fn covering(&self, prefix: Prefix) -> Option<Allowed> {
        self.lengths.covering(prefix).find_map(|prefix| {
            let why = self.entries.get(&prefix)?.why()?;
            Some(Allowed { prefix, why })
        })
    }

    /// What of `prefix` is allowed: the prefixes in it, in no order.
    pub fn inside(&self, prefix: Prefix) -> impl Iterator<Item = Prefix> + '_ {
        self.entries.keys().copied().filter(move |allowed| prefix.covers(*allowed))
    }

    /// Whether exactly `prefix` is allowed.
    #[must_use]
    pub fn has(&self, prefix: Prefix) -> bool {
        self.entries.contains_key(&prefix)
    }

    /// Everything allowed, in no order.
    pub fn iter(&self) -> impl Iterator<Item = Allowed> + '_ {
        self.entries.iter().filter_map(|(&prefix, entry)| entry.why().map(|why| Allowed { prefix, why }))
    }

    /// How many prefixes are allowed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is allowed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// Who allows one prefix, and why. In the table, at least one of them does.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    settings: Option<AllowReason>,
    command: Option<AllowReason>,
    found: Option<AllowReason>,
}

impl Entry {
    /// The reason to give; what a person wrote goes before what was found.
    fn why(self) -> Option<AllowReason> {
        self.settings.or(self.command).or(self.found)
    }

    fn reason(self, origin: Origin) -> Option<AllowReason> {
        match origin {
            Origin::Settings => self.settings,
            Origin::Command => self.command,
            Origin::Found => self.found,
        }
    }

    fn reason_mut(&mut self, origin: Origin) -> &mut Option<AllowReason> {
        match origin {
            Origin::Settings => &mut self.settings,
            Origin::Command => &mut self.command,
            Origin::Found => &mut self.found,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(prefix: &str, why: AllowReason) -> Allowed {
        Allowed { prefix: prefix.parse().unwrap(), why }
    }

    fn addr(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn tells_the_narrowest_prefix_and_its_reason() {
        let mut list = Allowlist::default();
        let narrow = allowed("192.0.2.1", AllowReason::ByCommand);
        let wide = allowed("192.0.2.0/28", AllowReason::Configured);
        list.replace(Origin::Settings, vec![wide, narrow]);

        assert_eq!(list.contains(addr("192.0.2.1")), Some(narrow));
        assert_eq!(list.contains(addr("192.0.2.15")), Some(wide));
        assert_eq!(list.contains(addr("192.0.2.16")), None);
        assert_eq!(list.contains(addr("::ffff:192.0.2.1")), Some(narrow), "a mapped address is IPv4");
    }

    #[test]
    fn covers_only_what_lies_wholly_inside() {
        let mut list = Allowlist::default();
        list.replace(Origin::Settings, vec![allowed("2001:db8::/64", AllowReason::Configured)]);

        assert!(list.covering("2001:db8::7:0/112".parse().unwrap()).is_some());
        assert!(list.covering("2001:db8::/64".parse().unwrap()).is_some());
        assert!(list.covering("2001:db8::/48".parse().unwrap()).is_none(), "a wide ban that contains it is fine");
    }

    #[test]
    fn dropping_one_reason_keeps_the_other() {
        let mut list = Allowlist::default();
        let configured = allowed("192.0.2.1", AllowReason::Configured);
        let found = allowed("192.0.2.1", AllowReason::Gateway);
        assert_eq!(list.replace(Origin::Settings, vec![configured]).added, [configured]);
        assert_eq!(list.replace(Origin::Found, vec![found]), Changes::default(), "the kernel knows it already");

        assert_eq!(list.replace(Origin::Settings, vec![]), Changes::default());
        assert_eq!(list.contains(addr("192.0.2.1")), Some(found));

        assert_eq!(list.replace(Origin::Found, vec![]).removed, [configured.prefix]);
        assert_eq!(list.contains(addr("192.0.2.1")), None);
        assert!(list.is_empty());
    }

    #[test]
    fn the_same_prefix_given_twice_is_one() {
        let mut list = Allowlist::default();
        let first = allowed("198.51.100.7", AllowReason::Resolver);
        let changes = list.replace(Origin::Found, vec![first, allowed("198.51.100.7", AllowReason::Gateway)]);

        assert_eq!(changes.added, [first]);
        assert_eq!(list.len(), 1);
    }
}
