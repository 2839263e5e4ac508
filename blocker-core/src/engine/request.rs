//! What an administrator asks of the engine, and its answers.

use std::net::IpAddr;
use std::sync::Arc;

use super::account::{MAX_NOTED_SINGLY, Note};
use super::{AllowOutcome, BanInfo, Command, DisallowOutcome, Engine, Origin, Refusal, UnbanReason};
use crate::bans::{Ban, Renewal};
use crate::policy;
use crate::prefix::Prefix;
use crate::time::BanTime;
use crate::whom::Whom;

/// Something asked for by command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Ban each of `whom`: a prefix exactly as written, an address by the prefix that it is counted by.
    Ban {
        /// Whom.
        whom: Vec<Whom>,
        /// By which jail; `None` for the jail of bans by command.
        jail: Option<String>,
        /// How long; `None` for as long as the jail's limits say.
        ban_time: Option<BanTime>,
        /// Why, for people.
        reason: Option<String>,
    },
    /// Lift the bans of exactly these prefixes in every jail, and forget what was counted against them. For an IPv6 host
    /// also those of the network it is counted by: an administrator types the address from the log.
    Unban {
        /// Whom.
        prefixes: Vec<Prefix>,
    },
    /// Lift every ban, and forget every count.
    UnbanAll,
    /// Tell the bans in force.
    Bans,
    /// Never ban these, and lift the bans inside them. What was allowed by command before is so from here on as this says.
    Allow {
        /// Whom; exactly as written.
        prefixes: Vec<Prefix>,
        /// How long at most.
        lasts: BanTime,
        /// Whether also beyond the next start of the daemon.
        persists: bool,
        /// Why, for people.
        reason: Option<String>,
    },
    /// Take back what a command allowed, of exactly these.
    Disallow {
        /// Whom.
        prefixes: Vec<Prefix>,
    },
}

/// The answer to a [`Request`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// To [`Request::Ban`]: what became of each prefix, in the order asked; of an IPv6 address its network.
    Ban(Vec<(Prefix, BanOutcome)>),
    /// To [`Request::Unban`]: what was lifted (`true`), and what was asked for without any ban to lift (`false`). When the
    /// network of an IPv6 host was lifted it stands in a row of its own, in place of a host that had no ban itself.
    Unban(Vec<(Prefix, bool)>),
    /// To [`Request::UnbanAll`]: how many bans were lifted.
    UnbanAll(usize),
    /// To [`Request::Bans`]: by prefix, then by jail.
    Bans(Vec<BanInfo>),
    /// To [`Request::Allow`].
    Allow {
        /// What became of each prefix, in the order asked.
        outcomes: Vec<(Prefix, AllowOutcome)>,
        /// Whose bans were lifted.
        lifted: Vec<Prefix>,
    },
    /// To [`Request::Disallow`]: what became of each prefix, in the order asked.
    Disallow(Vec<(Prefix, DisallowOutcome)>),
    /// To a request that names a jail which is not there; nothing was done.
    UnknownJail {
        /// The name that was asked for.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
}

/// What became of one prefix that was to be banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BanOutcome {
    /// It is banned.
    Banned,
    /// It was banned by that jail already, and now ends when this command says.
    Renewed,
    /// It is not banned by this command.
    Refused(Refusal),
}

/// Bans that are lifted and told one by one when all are to be; more are lifted at once.
pub const MAX_LIFTED_SINGLY: usize = 4096;

/// How requests are carried out.
impl Engine {
    pub(super) fn ban_all(
        &mut self,
        whom: Vec<Whom>,
        name: Option<String>,
        ban_time: Option<BanTime>,
        reason: Option<String>,
    ) -> Response {
        let jail = match &name {
            Some(name) => self.jails.iter().find(|jail| jail.name == *name),
            None => self.jails.iter().find(|jail| jail.id == self.manual),
        };
        let Some(jail) = jail else {
            let name = name.unwrap_or_else(|| self.manual.to_string());
            return Response::UnknownJail { name, known: self.jails.iter().map(|jail| jail.name.clone()).collect() };
        };
        let (jail, until) = (jail.id, ban_time.unwrap_or(jail.limits.ban_time).end_from(self.now));
        let origin = Origin::Command { reason: reason.map(Arc::from), by: self.asker };
        self.account.set_list(whom.len() > MAX_NOTED_SINGLY);
        let outcomes = whom.into_iter().map(|whom| {
            let prefix = match whom {
                Whom::Prefix(prefix) => prefix,
                // To ban its neighbours for one who may not be banned is not what was asked for. A host is looked up below.
                Whom::Address(addr @ IpAddr::V4(_)) => Prefix::host(addr),
                Whom::Address(addr @ IpAddr::V6(_)) => match self.allowlist.contains(addr) {
                    Some(allowed) => {
                        self.counters.refused += 1;
                        return (whom.exactly(), BanOutcome::Refused(Refusal::AllowListed(allowed)));
                    }
                    None => policy::counted_by(addr, self.ipv6_prefix),
                },
            };
            let ban = Ban { started: self.now, until, origin: origin.clone() };
            (prefix, self.ban(prefix, jail, ban, Renewal::Exactly).unwrap_or_else(BanOutcome::Refused))
        });
        let outcomes = outcomes.collect();
        self.account.set_list(false);
        Response::Ban(outcomes)
    }

    pub(super) fn unban(&mut self, prefixes: Vec<Prefix>) -> Vec<(Prefix, bool)> {
        let mut rows = Vec::new();
        for prefix in prefixes {
            let lifted = self.lift(prefix, UnbanReason::ByCommand) > 0;
            self.tracker.forget_prefix(prefix);
            self.evidence.forget(prefix, None);
            self.history.forget_prefix(prefix);

            let network = policy::counted_by(prefix.addr(), self.ipv6_prefix);
            let network_lifted = if prefix.is_host() && network != prefix {
                self.tracker.forget_prefix(network);
                self.evidence.forget(network, None);
                self.history.forget_prefix(network);
                self.lift(network, UnbanReason::ByCommand) > 0
            } else {
                false
            };
            if lifted || !network_lifted {
                rows.push((prefix, lifted));
            }
            if network_lifted {
                rows.push((network, true));
            }
        }
        rows
    }

    pub(super) fn unban_all(&mut self) -> usize {
        self.tracker.clear();
        self.evidence.clear();
        self.history.clear();
        self.account.note(Note::AllEnded { at: self.now, by: self.asker });
        if self.book.bans() > MAX_LIFTED_SINGLY {
            let bans = self.book.clear();
            self.commands.push_back(Command::LiftAll { bans });
            return bans;
        }
        self.account.pause(true);
        let lifted = self.book.prefixes().into_iter().map(|prefix| self.lift(prefix, UnbanReason::ByCommand)).sum();
        self.account.pause(false);
        self.book.forget_ended();
        lifted
    }
}
