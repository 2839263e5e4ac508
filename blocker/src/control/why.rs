//! The answer to `blocker why`: what is printed with `--json`, and what the words are made of.
//!
//! Texts that an attacker chose (lines, user names) are as they were, but for bytes that are no UTF-8, of which each is a U+FFFD:
//! who shows them escapes them.

use blocker_core::prefix::Prefix;
use serde::{Deserialize, Serialize};

/// All that is known of an address or a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Why {
    /// What was asked, as it is understood.
    pub asked: String,
    /// By which it is counted, and banned if a log earns that.
    pub prefix: Prefix,
    /// When this was so, RFC 3339.
    pub time: String,
    /// `allowed`, whatever ban it lies in; `banned`; `counted`: it has failed, and not often enough; else `not-banned`.
    pub verdict: String,
    /// `enforce`, or `observe`: then nobody is dropped.
    pub mode: String,
    /// The bans in force that cover it, the narrowest first.
    pub bans: Vec<Ban>,
    /// The bans in force inside a network; at most 20.
    pub inside: Vec<Ban>,
    /// How many prefixes inside a network are banned.
    pub banned_inside: usize,
    /// What keeps it from being banned.
    pub allowed: Option<Allowed>,
    /// What of a network is allowed, at most 20.
    pub allowed_inside: Vec<Prefix>,
    /// What counts against it, by jails; of a network, against at most 20 in it.
    pub counts: Vec<Count>,
    /// How often logs have earned a ban of it, by jails: what makes later bans longer.
    pub earlier: Vec<Earlier>,
    /// The last bans that are over, at most 20 with those in force; the last to begin first.
    pub past: Vec<Past>,
    /// Why lines and past bans are missing, if they are.
    pub missing: Option<String>,
    /// The jails that judge lines.
    pub judges: Vec<String>,
}

/// A ban in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ban {
    /// Whom.
    pub prefix: Prefix,
    /// Whose it is.
    pub jail: String,
    /// When it began, RFC 3339.
    pub since: String,
    /// When it ends, RFC 3339, or `forever`.
    pub until: String,
    /// Seconds that remain; `null` for ever.
    pub remaining_s: Option<u64>,
    /// The ports it closes, or `all`; none if its jail is gone, and they are as they were.
    pub ports: Option<String>,
    /// Whether its jail only observes.
    pub observes: bool,
    /// What it came from: `log`, `command` or `adopted` (from the kernel's maps, at the start).
    pub origin: String,
    /// What earned it, or why it was made.
    #[serde(flatten)]
    pub cause: Cause,
    /// What the kernel has dropped of this prefix, for all its jails.
    pub dropped: Option<Dropped>,
}

/// What a ban was earned by.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cause {
    /// Failed attempts, if a log told of them.
    pub attempts: Option<f64>,
    /// How many earn a ban; unknown where there is no account of it.
    pub max_retry: Option<u32>,
    /// Within which time.
    pub find_time: Option<String>,
    /// The filter's pattern that matched last.
    pub pattern: Option<String>,
    /// Who asked for it: a user of this machine, by number.
    pub by_uid: Option<u32>,
    /// Why, in their words.
    pub reason: Option<String>,
    /// The last lines that earned it, in their order.
    pub evidence: Vec<Line>,
}

/// A line that counted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// When it was made, RFC 3339.
    pub time: String,
    /// As it was written; empty if no line told it, but a ban by another jail.
    pub line: String,
    /// Whether it was longer.
    pub is_cut: bool,
    /// Who failed.
    pub addr: String,
    /// Who that claimed to be.
    pub user: Option<String>,
    /// The filter that knew it.
    pub filter: String,
    /// Its pattern.
    pub pattern: String,
    /// What it added.
    pub attempts: f64,
    /// What had come together with it.
    pub count: f64,
}

/// Packets that were dropped, or would have been.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// How many.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When the last one came, RFC 3339.
    pub last: Option<String>,
    /// How many seconds ago that is.
    pub last_ago_s: Option<u64>,
}

/// What keeps somebody from being banned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowed {
    /// The allowed prefix.
    pub prefix: Prefix,
    /// Why it is allowed.
    pub reason: String,
}

/// What counts in one jail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Count {
    /// Whose failures.
    pub prefix: Prefix,
    /// The jail.
    pub jail: String,
    /// Attempts within the window.
    pub count: f64,
    /// What earns a ban.
    pub max_retry: u32,
    /// The window.
    pub find_time: String,
    /// The last one, RFC 3339.
    pub last: String,
    /// The last lines, in their order.
    pub evidence: Vec<Line>,
}

/// Bans that logs earned in one jail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Earlier {
    /// The jail.
    pub jail: String,
    /// How many, those in force among them.
    pub bans: u32,
    /// When the last one began, RFC 3339.
    pub last: String,
}

/// A ban that is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Past {
    /// Whom it banned.
    pub prefix: Prefix,
    /// Whose it was.
    pub jail: String,
    /// When it began, RFC 3339.
    pub since: String,
    /// When it was over, RFC 3339; none if that is not known.
    pub ended: Option<String>,
    /// `over`: its time had come; `command`: somebody lifted it; `table full`: it gave way; `unknown`; or what was allowed.
    pub how: String,
    /// Who lifted it: a user of this machine, by number.
    pub lifted_by_uid: Option<u32>,
    /// `log` or `command`.
    pub origin: String,
    /// What earned it, or why it was made.
    #[serde(flatten)]
    pub cause: Cause,
}
