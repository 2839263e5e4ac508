//! What `blocker report` tells: what is printed with `--json`, and what text and pictures are made of.
//!
//! Texts that an attacker chose (names of users) are as they were, but for bytes that are no UTF-8, of which each is a U+FFFD:
//! who shows them escapes them.

use blocker_core::prefix::Prefix;
use serde::{Deserialize, Serialize};

/// What happened in some time. Every list is bounded, and the greatest come first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Where the time begins, RFC 3339.
    pub from: String,
    /// Where it ends: when it was asked.
    pub to: String,
    /// The first time from which on every ban is known, if that is later: of what was before some are forgotten.
    pub known_from: Option<String>,
    /// Bans that began.
    pub bans: Totals,
    /// By jails.
    pub jails: Vec<Jail>,
    /// What each of [`Report::times`] stands for, in seconds: an hour, a day, or several.
    pub step_s: u64,
    /// The bans that began, by when; without gaps.
    pub times: Vec<Time>,
    /// Where bans came from: /24 of IPv4, /48 of IPv6.
    pub networks: Vec<Network>,
    /// What users the lines name that earned the bans; of each ban at most the last ten lines are kept.
    pub users: Vec<User>,
    /// Who was banned more than once.
    pub offenders: Vec<Offender>,
    /// The longest bans.
    pub longest: Vec<Ban>,
    /// Bans that may have hit somebody who meant no harm.
    pub suspects: Vec<Suspect>,
}

/// Bans that began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// All of which there is an account, one by one.
    pub made: u64,
    /// Those that logs earned.
    pub by_log: u64,
    /// Those that were asked for.
    pub by_command: u64,
    /// Besides: prefixes of long lists, as far as these are still in force.
    pub by_list: u64,
    /// Different prefixes among the first.
    pub prefixes: u64,
    /// Attempts that earned them.
    pub attempts: f64,
    /// Those that were lifted by hand.
    pub lifted: u64,
    /// Those that ended because somebody was allowed.
    pub allowed: u64,
    /// Those that gave way to others in a full table.
    pub gave_way: u64,
    /// Those still in force.
    pub in_force: u64,
}

/// Bans of a jail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Jail {
    /// Its name.
    pub jail: String,
    /// Bans that began.
    pub bans: u64,
    /// Attempts that earned them.
    pub attempts: f64,
}

/// Bans in an hour or a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Time {
    /// When it begins, RFC 3339.
    pub start: String,
    /// Bans that began in it.
    pub bans: u64,
}

/// Bans of one network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// The network.
    pub network: Prefix,
    /// Bans in it.
    pub bans: u64,
    /// Attempts that earned them.
    pub attempts: f64,
}

/// A user that was tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct User {
    /// The name.
    pub user: String,
    /// Attempts.
    pub attempts: f64,
    /// Bans that they earned.
    pub bans: u64,
}

/// Somebody who was banned more than once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offender {
    /// Who.
    pub prefix: Prefix,
    /// How often in this time.
    pub bans: u64,
    /// How often logs have earned it at all, as far as that is remembered.
    pub ever: u64,
    /// When the last ban began, RFC 3339.
    pub last: String,
}

/// A ban.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ban {
    /// Whom.
    pub prefix: Prefix,
    /// Whose it is, or was.
    pub jail: String,
    /// When it began, RFC 3339.
    pub since: String,
    /// When it ended or ends, RFC 3339, or `forever`.
    pub until: String,
    /// Seconds from then to then; `null` for ever.
    pub lasts_s: Option<u64>,
}

/// A ban that may have hit the wrong one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspect {
    /// Whom it bans, or banned.
    pub prefix: Prefix,
    /// Whose it is, or was.
    pub jail: String,
    /// When it began, RFC 3339.
    pub since: String,
    /// Who was tried last before it.
    pub user: Option<String>,
    /// `logged-in`, `lifted` or `allowed`: why it is suspected.
    pub why: String,
    /// When it logged in, was lifted or allowed, RFC 3339.
    pub at: String,
}

/// Most rows of each list, but for [`Report::times`] and [`Report::jails`].
pub const MAX_ROWS: usize = 10;

/// Most rows of [`Report::times`].
pub const MAX_TIMES: i64 = 75;

/// Most rows of [`Report::jails`]: of jails that are gone, too.
pub const MAX_JAILS: usize = 128;

/// The longest time that is reported: ten years. What an account keeps is less.
pub const MAX_SINCE_S: u64 = 10 * 365 * 86_400;
