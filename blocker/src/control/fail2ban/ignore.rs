//! Whom fail2ban ignores is whom we never ban: `ignoreip` and its kin, by `allow` and `disallow`.
//!
//! fail2ban has a list for each jail; here there is one, because what a wider ban lets pass all jails share in the kernel. Of it
//! `ignoreip` tells what somebody wrote down or commanded. What is found on the machine is `ignoreself`, and always on.

use blocker_core::allowlist::AllowReason;
use blocker_core::prefix::Prefix;
use serde_pickle::Value;

use super::pickle::{Exception, list, string};
use super::verbs::{Answer, Asker, REASON, prefix, said};
use crate::control::wire::{Allowed, MAX_PREFIXES, Reply, Request};

/// The verbs here that set something.
pub(super) const SETS: [&str; 5] = ["addignoreip", "delignoreip", "ignoreself", "ignorecommand", "ignorecache"];

/// The verbs here that tell something.
pub(super) const GETS: [&str; 4] = ["ignoreip", "ignoreself", "ignorecommand", "ignorecache"];

impl Asker {
    /// `get JAIL VERB`, of [`GETS`].
    pub(super) async fn get_ignore(&self, verb: &str) -> Answer {
        match verb {
            "ignoreself" => Ok(Value::Bool(true)),
            "ignorecommand" => Ok(string("")),
            "ignorecache" => Ok(Value::None),
            _ => self.ignored().await,
        }
    }

    /// `set JAIL VERB …`, of [`SETS`].
    pub(super) async fn set_ignore(&self, verb: &str, rest: &[&str]) -> Answer {
        match (verb, rest) {
            ("addignoreip", whom) => self.ignore(whom).await,
            ("delignoreip", []) | ("ignoreself" | "ignorecommand" | "ignorecache", []) => Err(Exception::Missing),
            ("delignoreip", whom) => self.ignore_no_more(whom).await,
            ("ignoreself", [word, ..]) if is_true(word) => Ok(Value::Bool(true)),
            ("ignoreself", _) => said("blocker never bans the machine's own addresses: see `blocker allow --list`"),
            _ => said(format!(
                "blocker runs no program to find out whom to ignore: `blocker allow`, or `allow_files` in `[daemon]`, instead of \
                 `{verb}`"
            )),
        }
    }

    /// What is allowed by hand: networks first, as fail2ban tells it.
    async fn ignored(&self) -> Answer {
        let replies = self.ask(Request::Allowed).await?;
        let allowed = replies.into_iter().filter_map(|reply| {
            if let Reply::Allowed(Allowed { prefix, why, .. }) = reply
                && is_by_hand(why)
            {
                Some(prefix)
            } else {
                None
            }
        });
        let mut prefixes: Vec<Prefix> = allowed.collect();
        prefixes.sort_by_key(|prefix| (prefix.is_host(), *prefix));
        prefixes.dedup();
        Ok(list(prefixes, |prefix| string(prefix.to_string())))
    }

    /// Allows until the daemon's next start, as fail2ban does; what it says is what is ignored then.
    async fn ignore(&self, whom: &[&str]) -> Answer {
        let whom = whom.iter().map(|text| prefix(text)).collect::<Result<Vec<_>, _>>()?;
        let mut refused = Vec::new();
        for prefixes in whom.chunks(MAX_PREFIXES) {
            let (prefixes, reason) = (prefixes.to_vec(), Some(REASON.to_owned()));
            for reply in self.ask(Request::Allow { prefixes, lasts: None, persist: false, reason }).await? {
                if let Reply::Change(change) = reply
                    && change.outcome == "refused"
                {
                    refused.push(format!("{}: {}", change.prefix, change.why.unwrap_or_default()));
                }
            }
        }
        if refused.is_empty() { self.ignored().await } else { Err(Exception::Value(refused.join("; "))) }
    }

    async fn ignore_no_more(&self, whom: &[&str]) -> Answer {
        let whom = whom.iter().map(|text| prefix(text)).collect::<Result<Vec<_>, _>>()?;
        let mut refused = Vec::new();
        for prefixes in whom.chunks(MAX_PREFIXES) {
            for reply in self.ask(Request::Disallow { prefixes: prefixes.to_vec() }).await? {
                let Reply::Change(change) = reply else { continue };
                match &*change.outcome {
                    "disallowed" => {}
                    // What Python says of it, and so fail2ban.
                    "not-allowed" => refused.push("list.remove(x): x not in list".to_owned()),
                    _ => refused.push(format!("{}: {}", change.prefix, change.why.unwrap_or_default())),
                }
            }
        }
        if refused.is_empty() { self.ignored().await } else { Err(Exception::Value(refused.join("; "))) }
    }
}

/// Whether somebody wrote it down or commanded it.
fn is_by_hand(why: AllowReason) -> bool {
    match why {
        AllowReason::Configured | AllowReason::File | AllowReason::ByCommand => true,
        AllowReason::OwnAddress
        | AllowReason::Loopback
        | AllowReason::LinkLocal
        | AllowReason::Multicast
        | AllowReason::Gateway
        | AllowReason::Resolver
        | AllowReason::RemoteLogin => false,
    }
}

/// What fail2ban takes for true.
fn is_true(word: &str) -> bool {
    ["1", "on", "true", "yes"].contains(&word.to_lowercase().as_str())
}
