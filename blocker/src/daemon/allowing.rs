//! Who is never banned and why, as the control socket tells it; and what became of what a command allowed.

use blocker_core::allowlist::{AllowReason, Allowed};
use blocker_core::engine::{AllowOutcome, DisallowOutcome, Grant};
use blocker_core::prefix::Prefix;
use blocker_core::time::Until;

use super::Daemon;
use crate::clock::Reading;
use crate::control::wire::{self, Change, Reply};

/// Files, interfaces and the like that a sentence names at most.
const MAX_NAMED: usize = 4;

impl Daemon<'_> {
    /// Every prefix that is never banned, with each of its reasons: by prefix, then by reason.
    pub(super) fn allowed(&self, clock: Reading) -> Vec<wire::Allowed> {
        let configured = self.config.daemon.allow.iter().map(|&prefix| row(prefix, AllowReason::Configured));
        let found = self.found.iter().map(|found| wire::Allowed {
            detail: found.detail.clone(),
            since: found.since.map(|since| format!("{since:.0}")),
            ..row(found.allowed.prefix, found.allowed.why)
        });
        let granted = self.engine.grants().map(|(prefix, grant)| granted(prefix, grant, clock));
        let mut rows: Vec<wire::Allowed> = configured.chain(found).chain(granted).collect();
        rows.sort_by(|one, other| (one.prefix, one.why, &one.detail).cmp(&(other.prefix, other.why, &other.detail)));
        rows.dedup();
        rows
    }

    /// The answer to who was to be allowed no more.
    pub(super) fn disallowed(&self, outcomes: Vec<(Prefix, DisallowOutcome)>) -> Vec<Reply> {
        let change = |(prefix, outcome)| {
            let (outcome, why) = match outcome {
                DisallowOutcome::Disallowed { still: None } => ("disallowed", None),
                DisallowOutcome::Disallowed { still: Some(allowed) } => {
                    ("disallowed", Some(format!("it stays allowed: {}", self.source_of(allowed))))
                }
                DisallowOutcome::Kept(allowed) => ("refused", Some(self.advice_on(allowed))),
                DisallowOutcome::NotAllowed => ("not-allowed", None),
            };
            Reply::Change(Change { prefix, outcome: outcome.into(), why })
        };
        outcomes.into_iter().map(change).collect()
    }

    /// Who says that something is allowed.
    fn source_of(&self, allowed: Allowed) -> String {
        let details =
            self.found.iter().filter(|found| found.allowed == allowed).filter_map(|found| found.detail.clone());
        let details: Vec<String> = details.take(MAX_NAMED).collect();
        if details.is_empty() {
            allowed.to_string()
        } else {
            format!("{allowed}: {}", details.join(", ").escape_debug())
        }
    }

    /// What allows a prefix that no command has allowed, and what to change so that it does no more.
    fn advice_on(&self, allowed: Allowed) -> String {
        let advice = match allowed.why {
            AllowReason::ByCommand => format!("`blocker disallow {}`", allowed.prefix),
            AllowReason::Configured => "take it out of `daemon.allow`, and reload".to_owned(),
            AllowReason::File => "take it out of the file".to_owned(),
            AllowReason::OwnAddress => "it is allowed as long as the machine has it".to_owned(),
            AllowReason::Loopback | AllowReason::LinkLocal | AllowReason::Multicast => {
                "it is always allowed".to_owned()
            }
            AllowReason::Gateway => "it is allowed as long as a default route leads there".to_owned(),
            AllowReason::Resolver => "it is allowed as long as names are looked up there".to_owned(),
            AllowReason::RemoteLogin => {
                "it is allowed as long as the session lasts, unless `daemon.allow_logins` is false".to_owned()
            }
        };
        format!("{}; {advice}", self.source_of(allowed))
    }
}

/// The answer to who was to be allowed.
pub(super) fn allowed(outcomes: Vec<(Prefix, AllowOutcome)>, lifted: &[Prefix]) -> Vec<Reply> {
    let change = |prefix, outcome: &'static str, why| Reply::Change(Change { prefix, outcome: outcome.into(), why });
    let allowed = outcomes.into_iter().map(|(prefix, outcome)| match outcome {
        AllowOutcome::Allowed { inside: None } => change(prefix, "allowed", None),
        AllowOutcome::Allowed { inside: Some(wider) } => {
            change(prefix, "allowed", Some(format!("the ban of {wider} stays, and leaves it out")))
        }
        AllowOutcome::Refused(why) => change(prefix, "refused", Some(why.to_string())),
    });
    let lifted = lifted.iter().map(|&prefix| change(prefix, "unbanned", Some("it is allowed".to_owned())));
    allowed.chain(lifted).collect()
}

fn row(prefix: Prefix, why: AllowReason) -> wire::Allowed {
    wire::Allowed { prefix, why, detail: None, since: None, until: None, persist: None }
}

fn granted(prefix: Prefix, grant: &Grant, clock: Reading) -> wire::Allowed {
    let Grant { since, until, persists, reason } = grant;
    wire::Allowed {
        detail: reason.as_deref().map(str::to_owned),
        since: Some(clock.wall(*since)),
        until: Some(match (until, persists) {
            (Until::Forever, false) => "restart".to_owned(),
            (Until::Forever, true) | (Until::At(_), _) => clock.end(*until),
        }),
        persist: Some(*persists),
        ..row(prefix, AllowReason::ByCommand)
    }
}
