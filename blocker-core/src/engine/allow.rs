//! Who is never banned because an administrator says so, by command: granted, taken back, and over at its end.
//!
//! What is granted holds at once: bans inside it are lifted, and one that is wider stays and leaves it out.

use std::sync::Arc;

use super::{Command, Engine, Event, UnbanReason};
use crate::allowlist::{self, Allowed, Origin as AllowOrigin};
use crate::grants::{Grant, TooManyGrants};
use crate::prefix::Prefix;
use crate::time::{BanTime, Timestamp};

/// What became of one prefix that was to be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllowOutcome {
    /// It is allowed.
    Allowed {
        /// The narrowest ban that it lies in: that stays, and leaves it out.
        inside: Option<Prefix>,
    },
    /// It is not allowed by this command.
    Refused(TooManyGrants),
}

/// What became of one prefix that was to be allowed no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisallowOutcome {
    /// What a command allowed is taken back.
    Disallowed {
        /// What allows it nevertheless.
        still: Option<Allowed>,
    },
    /// No command allowed exactly this, and something else does.
    Kept(Allowed),
    /// It was not allowed.
    NotAllowed,
}

/// How the place of a prefix on the allowlist changed, by command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllowChange {
    /// It is allowed.
    Allowed,
    /// That was taken back.
    Disallowed,
    /// Its time was over.
    Expired,
}

impl Engine {
    /// Takes back what an earlier run was told to allow over a restart. To be called before [`Engine::restore`], so that no
    /// ban is restored that may not be.
    pub fn restore_grants(&mut self, grants: Vec<(Prefix, Grant)>, now: Timestamp) {
        self.advance(now);
        for (prefix, grant) in grants {
            // An instant that has not come is a clock's that was set back.
            let grant = Grant { since: grant.since.min(self.now), persists: true, ..grant };
            if !grant.until.is_past(self.now) && self.grants.insert(prefix, grant).is_err() {
                break;
            }
        }
        self.apply_grants();
    }

    /// What is allowed by command, by prefix.
    pub fn grants(&self) -> impl Iterator<Item = (Prefix, &Grant)> {
        self.grants.iter()
    }

    /// Allows each of these, and says what became of it; and which bans were lifted for that.
    pub(super) fn allow_all(
        &mut self,
        prefixes: Vec<Prefix>,
        lasts: BanTime,
        persists: bool,
        reason: Option<String>,
    ) -> (Vec<(Prefix, AllowOutcome)>, Vec<Prefix>) {
        let (until, reason) = (lasts.end_from(self.now), reason.map(Arc::from));
        let mut granted = Vec::with_capacity(prefixes.len());
        for prefix in prefixes {
            let grant = Grant { since: self.now, until, persists, reason: reason.clone() };
            granted.push((prefix, self.grants.insert(prefix, grant)));
        }
        let lifted = self.apply_grants();
        let mut outcomes = Vec::with_capacity(granted.len());
        for (prefix, granted) in granted {
            outcomes.push((
                prefix,
                match granted {
                    Ok(()) => {
                        self.notify(Event::Allowlist { prefix, change: AllowChange::Allowed });
                        AllowOutcome::Allowed { inside: self.book.around(prefix) }
                    }
                    Err(refusal) => AllowOutcome::Refused(refusal),
                },
            ));
        }
        (outcomes, lifted)
    }

    /// Takes back what a command allowed, of exactly these.
    pub(super) fn disallow_all(&mut self, prefixes: Vec<Prefix>) -> Vec<(Prefix, DisallowOutcome)> {
        let removed: Vec<(Prefix, bool)> =
            prefixes.into_iter().map(|prefix| (prefix, self.grants.remove(prefix).is_some())).collect();
        self.apply_grants();
        let mut outcomes = Vec::with_capacity(removed.len());
        for (prefix, was_granted) in removed {
            let still = self.allowlist.covering(prefix);
            let outcome = match (was_granted, still) {
                (true, still) => {
                    self.notify(Event::Allowlist { prefix, change: AllowChange::Disallowed });
                    DisallowOutcome::Disallowed { still }
                }
                (false, Some(allowed)) => DisallowOutcome::Kept(allowed),
                (false, None) => DisallowOutcome::NotAllowed,
            };
            outcomes.push((prefix, outcome));
        }
        outcomes
    }

    /// Takes back what is over.
    pub(super) fn expire_grants(&mut self) {
        let over = self.grants.expire(self.now);
        if over.is_empty() {
            return;
        }
        self.apply_grants();
        for prefix in over {
            self.notify(Event::Allowlist { prefix, change: AllowChange::Expired });
        }
    }

    /// Brings the allowlist in line with what is granted; returns the prefixes whose bans were lifted.
    fn apply_grants(&mut self) -> Vec<Prefix> {
        let changes = self.allowlist.replace(AllowOrigin::Command, self.grants.allowed());
        self.carry_out(changes)
    }

    /// Tells the kernel of a changed allowlist, and lifts the bans that lie wholly inside what is newly allowed; returns their
    /// prefixes.
    pub(super) fn carry_out(&mut self, changes: allowlist::Changes) -> Vec<Prefix> {
        let allowlist::Changes { added, removed } = changes;
        let mut lifted = Vec::new();
        for allowed in added {
            self.commands.push_back(Command::Allow { prefix: allowed.prefix });
            for prefix in self.book.inside(allowed.prefix) {
                self.lift(prefix, UnbanReason::AllowListed(allowed));
                lifted.push(prefix);
            }
        }
        self.commands.extend(removed.into_iter().map(|prefix| Command::Disallow { prefix }));
        lifted
    }
}
