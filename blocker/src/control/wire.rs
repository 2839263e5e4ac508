//! The messages on the control socket. Their JSON is also what `--json` prints, and thereby a promise to scripts.

use std::borrow::Cow;
use std::net::IpAddr;

use blocker_core::allowlist::AllowReason;
use blocker_core::prefix::Prefix;
use blocker_core::whom::Whom;
use serde::{Deserialize, Serialize};

use super::report::Report;
use super::status::Status;
use super::watch::Watch;
use super::why::Why;

/// A question, one line of JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Everything about the daemon.
    Status,
    /// The bans in force.
    Bans,
    /// Ban some prefixes.
    Ban {
        /// Whom; at most [`MAX_PREFIXES`].
        #[serde(with = "listed")]
        prefixes: Vec<Whom>,
        /// By which jail.
        jail: Option<String>,
        /// How long: `3d`, `forever`; as the jail says if absent.
        ban_time: Option<String>,
        /// Why.
        reason: Option<String>,
        /// Whether the answer may have [`Reply::Run`]: only who still has the list can read that.
        #[serde(default)]
        runs: bool,
    },
    /// Lift the bans of some prefixes.
    Unban {
        /// Whose; at most [`MAX_PREFIXES`].
        #[serde(with = "listed")]
        prefixes: Vec<Prefix>,
    },
    /// Lift every ban.
    UnbanAll,
    /// Count failures that an application tells of.
    Attempt {
        /// In which jail.
        jail: String,
        /// Whose.
        addr: IpAddr,
        /// How many.
        attempts: u32,
    },
    /// How it is now, and what has begun since.
    Watch {
        /// The number that the last answer told for the next ban.
        after: Option<u64>,
    },
    /// What happened.
    Report {
        /// Since how many seconds.
        since_s: u64,
        /// What is to be added to universal time for the zone of who asks, in seconds: days and hours begin there.
        utc_offset_s: i32,
    },
    /// All that is known of somebody.
    Why {
        /// Who.
        whom: Whom,
    },
    /// Send a test to everybody who is told of bans.
    TestNotify,
    /// Never ban some prefixes, and lift the bans inside them.
    Allow {
        /// Whom; at most [`MAX_PREFIXES`].
        #[serde(with = "listed")]
        prefixes: Vec<Prefix>,
        /// How long at most: `3d`, `forever`, which is meant if it is absent.
        lasts: Option<String>,
        /// Whether also beyond the daemon's next start.
        persist: bool,
        /// Why.
        reason: Option<String>,
    },
    /// Take back what a command allowed.
    Disallow {
        /// Whom; at most [`MAX_PREFIXES`].
        #[serde(with = "listed")]
        prefixes: Vec<Prefix>,
    },
    /// Who is never banned.
    Allowed,
    /// Keep enforcement on.
    Confirm,
    /// Read the configuration anew.
    Reload,
}

impl Request {
    /// Checks the bounds that the types do not.
    ///
    /// # Errors
    ///
    /// The bound that is passed, in words.
    pub fn check(&self) -> Result<(), String> {
        let (prefixes, reason) = match self {
            Self::Ban { prefixes, reason, .. } => (prefixes.len(), reason.as_ref().map_or(0, String::len)),
            Self::Allow { prefixes, reason, .. } => (prefixes.len(), reason.as_ref().map_or(0, String::len)),
            Self::Unban { prefixes } | Self::Disallow { prefixes } => (prefixes.len(), 0),
            Self::Status | Self::Bans | Self::UnbanAll | Self::Allowed | Self::Confirm | Self::Reload => (0, 0),
            Self::Why { .. } | Self::TestNotify | Self::Attempt { .. } => (0, 0),
            Self::Watch { .. } | Self::Report { .. } => (0, 0),
        };
        if prefixes > MAX_PREFIXES {
            return Err(format!("{prefixes} prefixes in one request, at most {MAX_PREFIXES} are taken"));
        }
        if reason > MAX_REASON_BYTES {
            return Err(format!("the reason is longer than {MAX_REASON_BYTES} bytes"));
        }
        Ok(())
    }
}

/// Most prefixes in one request.
pub const MAX_PREFIXES: usize = 4096;

/// Requests that a connection may have under way: sent, and not answered. Answers come in the order of the requests. Who
/// sends more waits before he is read, and with his answers unread perhaps for ever.
pub const MAX_UNDER_WAY: usize = 8;

/// Longest line of a request, in bytes: [`MAX_PREFIXES`] of the longest prefixes, and a reason.
pub const MAX_REQUEST_BYTES: usize = 256 * 1024;

/// Longest reason of a ban, or of what is allowed, in bytes.
pub const MAX_REASON_BYTES: usize = 1024;

/// A line of an answer. An answer is any number of rows, then `done` or `error`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// The answer to [`Request::Status`].
    Status(Box<Status>),
    /// A ban in force.
    Ban(Ban),
    /// Who is never banned, and why.
    Allowed(Allowed),
    /// What became of one prefix.
    Change(Change),
    /// What became of the next ones of a list, all the same; see [`Request::Ban`].
    Run(Run),
    /// The answer to [`Request::Why`].
    Why(Box<Why>),
    /// The answer to [`Request::Watch`].
    Watch(Box<Watch>),
    /// The answer to [`Request::Report`].
    Report(Box<Report>),
    /// How many bans were lifted.
    Lifted(usize),
    /// What became of a test; see [`Request::TestNotify`].
    Tested(Tested),
    /// What was done, in words.
    Said(String),
    /// It is done, but not all as it should be.
    Warning(String),
    /// That was all.
    Done,
    /// It failed; with an exit code for the command.
    Error {
        /// What is wrong and what to do.
        message: String,
        /// See [`crate::exit`].
        code: u8,
    },
}

/// A ban in force: a line of `blocker bans --json`.
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
    /// What it came from: `log`, `command` or `adopted` (from the kernel's maps, at the start).
    pub origin: String,
    /// Failed attempts that earned it.
    pub attempts: f64,
    /// Why, for people: the filter's pattern, or an administrator's words.
    pub reason: Option<String>,
}

/// Why one prefix is never banned: a line of `blocker allow --list --json`. A prefix that is allowed for several reasons has
/// several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowed {
    /// Whom.
    pub prefix: Prefix,
    /// `configured`, `file`, `by-command`, `own-address`, `loopback`, `link-local`, `multicast`, `gateway`, `resolver` or
    /// `remote-login`.
    pub why: AllowReason,
    /// More of why, for people: the file, the interface, who is logged in, an administrator's words.
    pub detail: Option<String>,
    /// Since when, RFC 3339, where that is known.
    pub since: Option<String>,
    /// Of what a command allowed: when it ends, RFC 3339; `restart`, which is the daemon's next start; or `forever`.
    pub until: Option<String>,
    /// Of what a command allowed: whether it holds over a restart.
    pub persist: Option<bool>,
}

/// What became of one prefix: a line of `--json` of `blocker ban`, `unban`, `allow` and `disallow`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Which.
    pub prefix: Prefix,
    /// `banned`, `renewed`, `refused`, `unbanned`, `not-banned`, `allowed`, `disallowed` or `not-allowed`.
    pub outcome: Cow<'static, str>,
    /// Why it was refused, or what else holds.
    pub why: Option<String>,
}

/// What became of the prefixes of a request that follow those told of before: of each exactly as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// `banned` or `renewed`.
    pub outcome: Cow<'static, str>,
    /// How many.
    pub count: usize,
}

/// What became of a test of somebody who is told of bans: a line of `blocker notify --test --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tested {
    /// Who, as the table is called: `mail`, `webhook.NAME` or `exec.NAME`.
    pub receiver: String,
    /// `sent` or `failed`.
    pub outcome: String,
    /// What was wrong.
    pub error: Option<String>,
}

/// Addresses and prefixes: an array of them, or one text with blanks between, which is read several times as fast.
mod listed {
    use std::fmt::{self, Display, Write as _};
    use std::marker::PhantomData;
    use std::str::FromStr;

    use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
    use serde::ser::Serializer;

    use super::MAX_PREFIXES;

    pub(super) fn serialize<T: Display, S: Serializer>(list: &[T], serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = String::with_capacity(16 * list.len());
        for one in list {
            if !text.is_empty() {
                text.push(' ');
            }
            write!(text, "{one}").map_err(serde::ser::Error::custom)?;
        }
        serializer.serialize_str(&text)
    }

    pub(super) fn deserialize<'de, T, D>(deserializer: D) -> Result<Vec<T>, D::Error>
    where
        T: Deserialize<'de> + FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        deserializer.deserialize_any(List(PhantomData))
    }

    struct List<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de> + FromStr<Err: Display>> Visitor<'de> for List<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("addresses or prefixes, in an array or with blanks between")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Vec<T>, E> {
            text.split_ascii_whitespace().map(|one| one.parse().map_err(E::custom)).collect()
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Vec<T>, A::Error> {
            let mut list = Vec::with_capacity(sequence.size_hint().unwrap_or(0).min(MAX_PREFIXES));
            while let Some(one) = sequence.next_element()? {
                list.push(one);
            }
            Ok(list)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_request_fits() {
        let prefix: Whom = "2001:0db8:1111:2222:3333:4444:5555:6666/127".parse().unwrap();
        let reason = Some("\u{1}".repeat(MAX_REASON_BYTES));
        let request = Request::Ban {
            prefixes: vec![prefix; MAX_PREFIXES],
            jail: Some("j".repeat(31)),
            ban_time: None,
            reason,
            runs: true,
        };

        assert!(serde_json::to_vec(&request).unwrap().len() < MAX_REQUEST_BYTES);
    }

    #[test]
    fn a_list_is_an_array_or_a_text_with_blanks_between() {
        for list in
            [r#"["192.0.2.9","2001:db8::/64"]"#, r#""192.0.2.9 2001:db8::/64""#, r#"" 192.0.2.9\n2001:db8::/64 ""#]
        {
            let text = format!(r#"{{"command":"unban","prefixes":{list}}}"#);

            let Request::Unban { prefixes } = serde_json::from_str(&text).unwrap() else { panic!("{text}") };

            assert_eq!(prefixes, ["192.0.2.9".parse().unwrap(), "2001:db8::/64".parse().unwrap()], "{text}");
        }
        assert!(serde_json::from_str::<Request>(r#"{"command":"unban","prefixes":"192.0.2.9,192.0.2.10"}"#).is_err());
        let request = Request::Unban { prefixes: vec!["192.0.2.9".parse().unwrap(); 2] };
        let text = serde_json::to_string(&request).unwrap();
        assert_eq!(text, r#"{"command":"unban","prefixes":"192.0.2.9 192.0.2.9"}"#);
    }

    #[test]
    fn an_unknown_command_or_field_is_refused() {
        assert!(serde_json::from_str::<Request>(r#"{"command":"format"}"#).is_err());
        assert!(serde_json::from_str::<Request>(r#"{"command":"unban","prefixes":["192.0.2.0/0"]}"#).is_err());
    }
}
