//! All that the engine knows of an address or a network: who bans it, what counts against it, what keeps it from being banned.

use std::time::Duration;

use super::{BanInfo, Engine, Evidence, JailId};
use crate::allowlist::Allowed;
use crate::attempts::Attempts;
use crate::escalation::{Earlier, tries_left};
use crate::policy;
use crate::prefix::Prefix;
use crate::time::Timestamp;
use crate::whom::Whom;

/// Most bans and counts inside a network that are told one by one.
pub const MAX_INSIDE: usize = 20;

/// What is known of somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story {
    /// By which it is counted, and banned if a log earns that; of a network, the network.
    pub prefix: Prefix,
    /// The bans in force that cover it, the narrowest first.
    pub bans: Vec<BanInfo>,
    /// The bans in force inside a network, at most [`MAX_INSIDE`].
    pub inside: Vec<BanInfo>,
    /// How many prefixes inside are banned.
    pub banned_inside: usize,
    /// What keeps it from being banned.
    pub allowed: Option<Allowed>,
    /// What of a network is allowed: bans of it leave these alone.
    pub allowed_inside: Vec<Prefix>,
    /// What counts against it; of a network, against at most [`MAX_INSIDE`] of those in it.
    pub counts: Vec<Counting>,
    /// How often it was banned, by which jails.
    pub earlier: Vec<(JailId, Earlier)>,
    /// The names of the jails that judge lines.
    pub judges: Vec<String>,
}

/// What counts in one jail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counting {
    /// Whose failures.
    pub prefix: Prefix,
    /// The jail.
    pub jail: JailId,
    /// What has come together within the window.
    pub count: Attempts,
    /// What earns a ban.
    pub of: u32,
    /// The window.
    pub find_time: Duration,
    /// The last failure.
    pub last: Timestamp,
    /// The lines, as far as they are there.
    pub evidence: Vec<Evidence>,
}

impl Engine {
    /// Says what is known of `whom` at `now`.
    pub fn why(&mut self, whom: Whom, now: Timestamp) -> Story {
        self.advance(now);
        let exactly = whom.exactly();
        let prefix = match whom {
            Whom::Address(addr) => policy::counted_by(addr, self.ipv6_prefix),
            Whom::Prefix(prefix) => prefix,
        };
        let infos = |prefixes: Vec<Prefix>| -> Vec<BanInfo> {
            let bans = prefixes.into_iter().flat_map(|prefix| self.book.bans_of(prefix).map(move |ban| (prefix, ban)));
            bans.map(|(prefix, (jail, ban))| self.info(prefix, jail, &ban)).collect()
        };
        let mut inside: Vec<Prefix> =
            self.book.inside(exactly).into_iter().filter(|&banned| banned != exactly).collect();
        let banned_inside = inside.len();
        inside.truncate(MAX_INSIDE);
        let mut allowed_inside: Vec<Prefix> =
            self.allowlist.inside(exactly).filter(|&allowed| allowed != exactly).collect();
        allowed_inside.sort_unstable();
        allowed_inside.truncate(MAX_INSIDE);
        let earlier = self.jail_names().keys().filter_map(|&jail| Some((jail, self.history.get(prefix, jail)?)));
        Story {
            prefix,
            bans: infos(self.book.covering_all(exactly)),
            inside: infos(inside),
            banned_inside,
            allowed: self.allowlist.covering(exactly),
            allowed_inside,
            counts: self.counting(prefix),
            earlier: earlier.collect(),
            judges: self.jails.iter().filter(|jail| jail.filter.is_some()).map(|jail| jail.name.clone()).collect(),
        }
    }

    /// What counts against `prefix`, or those in it.
    fn counting(&self, prefix: Prefix) -> Vec<Counting> {
        let counted = |prefix: Prefix| {
            let jails = self.jails.iter().filter(move |jail| !self.tracker.failures(jail.id, prefix).is_empty());
            jails.map(move |jail| (prefix, jail))
        };
        let mut found: Vec<_> = counted(prefix).collect();
        // Who is counted by a host or a customer's network has nobody inside.
        if !prefix.is_host() && (prefix.addr().is_ipv4() || prefix.len() < self.ipv6_prefix) {
            let inside = self.tracker.prefixes().map(|(counted, _)| counted);
            let mut inside: Vec<Prefix> =
                inside.filter(|&counted| counted != prefix && prefix.covers(counted)).collect();
            inside.sort_unstable();
            inside.dedup();
            found.extend(inside.into_iter().flat_map(counted).take(MAX_INSIDE));
        }
        let counting = |(prefix, jail): (Prefix, &super::Jail)| {
            let failures = self.tracker.failures(jail.id, prefix);
            let last = failures.last()?.at;
            // What an estimate's beginning stands for has no weight.
            let within = failures.iter().filter(|tries| tries.at.saturating_add(jail.limits.find_time) > self.now);
            let earlier = self.history.count(prefix, (!jail.repeat.all_jails).then_some(jail.id));
            let max_retry = jail.limits.max_retry;
            Some(Counting {
                prefix,
                jail: jail.id,
                count: within.map(|tries| tries.attempts).sum(),
                of: if jail.repeat.fewer_tries { tries_left(max_retry, earlier) } else { max_retry },
                find_time: jail.limits.find_time,
                last,
                evidence: self.evidence_against(prefix, jail.id),
            })
        };
        found.into_iter().filter_map(counting).collect()
    }
}
