//! What becomes of a configuration of fail2ban's, as data.

use std::time::Duration;

use serde::Serialize;

use super::fault::one_line;
use super::mail::Mail;
use super::scope::Closed;
use crate::jail::Repeat;
use crate::prefix::Prefix;
use crate::time::{BanTime, format_span};

/// All that becomes of a configuration.
#[derive(Clone, Debug, Serialize)]
pub struct Import {
    /// What concerns all jails.
    pub notes: Vec<Note>,
    /// Who is never banned.
    pub allow: Vec<Prefix>,
    /// Files that name more of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow_files: Vec<String>,
    /// Who gets mails, if anybody.
    pub mail: Option<Mail>,
    /// Each jail, in the order of the files.
    pub jails: Vec<Carried>,
}

/// What becomes of a jail.
#[derive(Clone, Debug, Serialize)]
pub struct Carried {
    /// Its name in fail2ban.
    pub name: String,
    /// Whether fail2ban runs it.
    pub enabled: bool,
    /// Ours; `None` if it is refused, and the notes say why.
    pub jail: Option<Lowered>,
    /// What of it is carried over, changed and refused.
    pub notes: Vec<Note>,
}

/// A jail of ours, as it is written into a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lowered {
    /// 1 to 31 bytes of `a-z`, `0-9`, `_` and `-`.
    pub name: String,
    /// The filter, which there is.
    pub filter: String,
    /// Log files; not empty if `journal` is.
    pub log: Vec<String>,
    /// Entries of the journal, as matches.
    pub journal: Vec<String>,
    /// Whether entries count whoever wrote them, because the matches name no sender.
    pub trusts_everybody: bool,
    /// The directory of the journal's files, if it is another one; absolute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journal_directory: Option<String>,
    /// The journal's namespace, if it is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journal_namespace: Option<String>,
    /// What a ban closes.
    pub ports: Closed,
    /// Whether bans are only counted, there being no action that bans.
    pub observes: bool,
    /// Failures that earn a ban, 1 to 1,000.
    pub max_retry: u32,
    /// How long a failure counts.
    #[serde(serialize_with = "span")]
    pub find_time: Duration,
    /// How long a ban lasts.
    pub ban_time: BanTime,
    /// What follows for who was banned before, as the keys of a configuration.
    #[serde(serialize_with = "keys")]
    pub repeat: Repeat,
}

fn keys<S: serde::Serializer>(repeat: &Repeat, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(super::growth::keys(repeat))
}

fn span<S: serde::Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_span(*span))
}

/// What becomes of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// It means the same.
    Carried,
    /// It means something else, which is said.
    Changed,
    /// There is nothing like it.
    Refused,
}

/// What becomes of an option.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    /// What becomes of it.
    pub fate: Fate,
    /// The option, as fail2ban calls it.
    pub what: String,
    /// How and why. One line.
    pub why: String,
}

/// A note of one line, whatever is in it.
pub(super) fn note(fate: Fate, what: &str, why: impl AsRef<str>) -> Note {
    Note { fate, what: one_line(what), why: one_line(why.as_ref()) }
}
