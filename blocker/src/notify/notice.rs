//! What receivers are told: things that happened, as data that is safe to show.
//!
//! What others wrote (names of users, lines of logs, reasons) has no control characters from here on: [`plain`] escapes them.
//! [`Document`] is the JSON that webhooks and programs are given, and thereby a promise to them: see docs/operations.md.

use std::time::SystemTime;

use blocker_core::attempts::Attempts;
use blocker_core::bans::Uid;
use blocker_core::config::notify::Occasion;
use blocker_core::engine::{BanInfo, Event, Origin, UnbanReason};
use blocker_core::prefix::Prefix;
use jiff::Timestamp;
use serde::Serialize;

use super::alarm::Alarm;
use super::user;
use crate::clock::Reading;
use crate::kernel::MANUAL_JAIL;

/// The version of [`Document`]: another one if something in it means something else, or is gone. What comes in addition is no new
/// version.
pub(super) const SCHEMA: u32 = 1;

/// Most characters that are told of a text of others'.
const MAX_CHARS: usize = 1_024;

/// Something that happened, and when, as the daemon's task hands it over: cheap to make.
#[derive(Debug)]
pub(super) struct Happening {
    pub(super) what: What,
    pub(super) clock: Reading,
}

/// What happened.
#[derive(Debug)]
pub(super) enum What {
    Started {
        jails: Vec<String>,
        /// Bans in force.
        bans: usize,
    },
    Stopping,
    Banned(BanInfo),
    Unbanned {
        prefix: String,
        jail: String,
        why: UnbanReason,
        by: Option<Uid>,
    },
    Alarm(Alarm),
    /// Nothing: somebody wants to see a message.
    Test,
}

/// An event of which somebody may be told.
#[derive(Clone, Copy)]
pub(super) enum Told<'e> {
    Banned(&'e BanInfo),
    Unbanned { prefix: Prefix, why: UnbanReason, by: Option<Uid> },
}

impl<'e> Told<'e> {
    /// The event, if it is one.
    pub(super) fn of(event: &'e Event) -> Option<Self> {
        match event {
            Event::Banned(ban) => Some(Self::Banned(ban)),
            &Event::Unbanned { prefix, jail: _, why, by } => Some(Self::Unbanned { prefix, why, by }),
            // Of a restored ban everybody was told when it began.
            Event::Restored(_)
            | Event::Renewed(_)
            | Event::Found(_)
            | Event::Ignored { .. }
            | Event::Refused { .. }
            | Event::Allowlist { .. }
            | Event::Brake(_)
            | Event::Full { .. } => None,
        }
    }

    /// What it is to a receiver.
    pub(super) fn occasion(self) -> Occasion {
        match self {
            Self::Banned(_) => Occasion::Ban,
            Self::Unbanned { .. } => Occasion::Unban,
        }
    }

    /// What is told of it; `jail` is the name of its jail.
    pub(super) fn what(self, jail: String) -> What {
        match self {
            Self::Banned(ban) => What::Banned(ban.clone()),
            Self::Unbanned { prefix, why, by } => What::Unbanned { prefix: prefix.to_string(), jail, why, by },
        }
    }
}

/// Something that happened, for people and programs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Notice {
    /// `start`, `stop`, `ban`, `unban`, `alarm` or `test`.
    pub(super) event: &'static str,
    /// When, in RFC 3339.
    pub(super) time: String,
    #[serde(flatten)]
    pub(super) detail: Detail,
}

/// What belongs to it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Detail {
    Start { jails: Vec<String>, bans_in_force: usize },
    Ban(Ban),
    Unban(Unban),
    Alarm(Alarm),
    None {},
}

/// A ban that began.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Ban {
    pub(super) jail: String,
    pub(super) prefix: String,
    /// In RFC 3339, or `forever`.
    pub(super) until: String,
    /// Whole seconds; `null` for ever.
    pub(super) seconds: Option<u64>,
    /// `log` or `command`.
    pub(super) origin: &'static str,
    /// Attempts that earned it; 0 by command.
    pub(super) attempts: f64,
    /// The pattern of the last of them, or an administrator's words.
    pub(super) reason: Option<String>,
    /// Who the last of them claimed to be.
    pub(super) user: Option<String>,
    /// Who banned by command: the number of a user of this machine, if it is known.
    pub(super) by_uid: Option<u32>,
    /// What that user is called.
    pub(super) by: Option<String>,
    /// Lines of the log that earned it, the last of them.
    pub(super) lines: Vec<String>,
}

/// A ban that is over.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Unban {
    pub(super) jail: String,
    pub(super) prefix: String,
    pub(super) why: String,
    /// Who lifted it by command, as [`Ban::by_uid`].
    pub(super) by_uid: Option<u32>,
    /// As [`Ban::by`].
    pub(super) by: Option<String>,
}

impl Notice {
    pub(super) fn of(happening: &Happening) -> Self {
        let Happening { what, clock } = happening;
        let (event, at, detail) = match what {
            What::Started { jails, bans } => {
                (Occasion::Start.name(), clock.boot(), Detail::Start { jails: jails.clone(), bans_in_force: *bans })
            }
            What::Stopping => (Occasion::Stop.name(), clock.boot(), Detail::None {}),
            What::Banned(ban) => (Occasion::Ban.name(), ban.started, Detail::Ban(Ban::of(ban, *clock))),
            What::Unbanned { prefix, jail, why, by } => {
                let why = match why {
                    UnbanReason::Expired => "expired".to_owned(),
                    UnbanReason::ByCommand => "by command".to_owned(),
                    UnbanReason::AllowListed(allowed) => plain(allowed.to_string().as_bytes()),
                    UnbanReason::Evicted => "gave way in a full table".to_owned(),
                };
                let by_uid = by.map(|Uid(uid)| uid);
                let by = by_uid.and_then(user::name);
                let unban = Unban { jail: named(jail), prefix: prefix.clone(), why, by_uid, by };
                (Occasion::Unban.name(), clock.boot(), Detail::Unban(unban))
            }
            What::Alarm(alarm) => ("alarm", clock.boot(), Detail::Alarm(alarm.shown())),
            What::Test => ("test", clock.boot(), Detail::None {}),
        };
        Self { event, time: clock.wall(at), detail }
    }

    /// Whether it is one of many alike.
    pub(super) fn is_common(&self) -> bool {
        matches!(self.detail, Detail::Ban(_) | Detail::Unban(_))
    }
}

impl Ban {
    fn of(info: &BanInfo, clock: Reading) -> Self {
        let BanInfo { prefix, jail: _, jail_name, started: _, until, origin, evidence } = info;
        let (origin, attempts, reason, user, by_uid) = match origin {
            Origin::Log { attempts, user, pattern } => {
                ("log", number(*attempts), Some(plain(pattern.as_bytes())), user.as_deref().map(plain), None)
            }
            Origin::Command { reason, by } => {
                ("command", 0.0, reason.as_deref().map(|reason| plain(reason.as_bytes())), None, by.map(|Uid(uid)| uid))
            }
            Origin::Adopted => ("adopted", 0.0, None, None, None),
        };
        Self {
            jail: named(jail_name),
            prefix: prefix.to_string(),
            until: clock.end(*until),
            seconds: clock.remaining_secs(*until),
            origin,
            attempts,
            reason,
            user,
            by_uid,
            by: by_uid.and_then(user::name),
            // A ban that another jail made counts without a line.
            lines: evidence.iter().filter(|told| !told.line.is_empty()).map(|told| plain(&told.line)).collect(),
        }
    }
}

/// What is sent in one piece.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Batch {
    pub(super) notices: Vec<Notice>,
    /// Bans and ends of bans besides these, of which there were too many.
    pub(super) left_out: u64,
}

impl Batch {
    /// Takes one more, or counts it, if it is one of many and there are `most` already.
    pub(super) fn push(&mut self, notice: Notice, most: usize) {
        if notice.is_common() && self.notices.len() >= most {
            self.left_out += 1;
        } else {
            self.notices.push(notice);
        }
    }

    /// The bans in it.
    pub(super) fn bans(&self) -> impl Iterator<Item = &Ban> {
        self.notices.iter().filter_map(|notice| match &notice.detail {
            Detail::Ban(ban) => Some(ban),
            Detail::Start { .. } | Detail::Unban(_) | Detail::Alarm(_) | Detail::None {} => None,
        })
    }

    /// The alarms in it.
    pub(super) fn alarms(&self) -> impl Iterator<Item = &Alarm> {
        self.notices.iter().filter_map(|notice| match &notice.detail {
            Detail::Alarm(alarm) => Some(alarm),
            Detail::Start { .. } | Detail::Ban(_) | Detail::Unban(_) | Detail::None {} => None,
        })
    }

    /// As JSON, on one line.
    pub(super) fn json(&self, host: &str) -> Vec<u8> {
        let document = Document {
            version: SCHEMA,
            sent_at: now(),
            host,
            blocker: env!("CARGO_PKG_VERSION"),
            left_out: self.left_out,
            events: &self.notices,
        };
        serde_json::to_vec(&document).expect("strings and numbers can be written")
    }
}

/// What webhooks and programs are given.
#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    sent_at: String,
    host: &'a str,
    blocker: &'static str,
    left_out: u64,
    events: &'a [Notice],
}

/// The wall time, in RFC 3339 to the second.
pub(super) fn now() -> String {
    Timestamp::try_from(SystemTime::now()).map_or_else(|_| "beyond the calendar".to_owned(), |now| format!("{now:.0}"))
}

/// Somebody's bytes as text on one line, in which nothing is obeyed by whoever shows it; cut.
pub(super) fn plain(bytes: &[u8]) -> String {
    // Some bytes more than characters are kept: what is longer is cut in any case.
    let bytes = bytes.get(..4 * MAX_CHARS).unwrap_or(bytes);
    let text = String::from_utf8_lossy(bytes);
    let mut line = String::with_capacity(text.len());
    for (count, c) in text.chars().enumerate() {
        if count == MAX_CHARS {
            line.push('…');
            break;
        }
        if matches!(c, '"' | '\'') {
            line.push(c);
        } else {
            line.extend(c.escape_debug());
        }
    }
    line
}

fn named(jail: &str) -> String {
    if jail.is_empty() { MANUAL_JAIL.to_owned() } else { jail.to_owned() }
}

fn number(attempts: Attempts) -> f64 {
    f64::from(attempts.as_tenths()) / 10.0
}

#[cfg(test)]
pub(super) mod testing {
    //! Notices of a hostile world.

    use blocker_core::engine::Evidence;
    use blocker_core::time::{Timestamp, Until};

    use super::*;

    /// What an attacker might type to break out of a header, a line or a terminal.
    pub(crate) const HOSTILE: &[u8] =
        b"bob\r\nBcc: victim@example.org\r\n\r\n.\r\nQUIT\r\n\0\x1b[2J\xff\xe2\x80\xae~!touch /tmp/x `id` $(id) <b>\"'\\";

    /// A ban that a log has earned, of a user who calls himself so.
    pub(crate) fn happening(prefix: &str, user: &[u8]) -> Happening {
        let boot = Timestamp::from_nanos(60_000_000_000);
        let ban = BanInfo {
            prefix: prefix.parse().expect("an address"),
            jail: blocker_core::engine::JailId::new(1).expect("a number"),
            jail_name: "dovecot".into(),
            started: boot,
            until: Until::At(Timestamp::from_nanos(3_660_000_000_000)),
            origin: Origin::Log {
                attempts: Attempts::whole(5),
                user: Some(user.into()),
                pattern: "auth failed".to_owned().into(),
            },
            evidence: [user.to_vec()].into_iter().map(evidence).collect(),
        };
        Happening { what: What::Banned(ban), clock: Reading::at(boot, 1_795_716_000_000_000_000) }
    }

    fn evidence(line: Vec<u8>) -> Evidence {
        Evidence {
            line: line.into(),
            is_cut: false,
            addr: std::net::Ipv4Addr::new(192, 0, 2, 7).into(),
            user: None,
            filter: "dovecot".to_owned().into(),
            pattern: "auth failed".to_owned().into(),
            made: Timestamp::from_nanos(0),
            attempts: Attempts::whole(5),
            count: Attempts::whole(5),
            of: 5,
        }
    }

    pub(crate) fn ban(prefix: &str, user: &[u8]) -> Notice {
        Notice::of(&happening(prefix, user))
    }

    /// A ban by command.
    pub(crate) fn by_hand(prefix: &str, reason: Option<&str>, by: Option<u32>) -> Notice {
        let mut happening = happening(prefix, b"");
        if let What::Banned(ban) = &mut happening.what {
            ban.jail_name = "manual".into();
            ban.origin = Origin::Command { reason: reason.map(Into::into), by: by.map(Uid) };
            ban.evidence = std::sync::Arc::default();
        }
        Notice::of(&happening)
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{HOSTILE, ban, by_hand};
    use super::*;

    #[test]
    fn what_others_wrote_has_no_control_characters_and_can_be_read_back() {
        let shown = plain(HOSTILE);

        assert!(!shown.contains(char::is_control) && !shown.contains('\u{202e}'), "{shown}");
        assert!(shown.starts_with(r"bob\r\nBcc: victim@example.org\r\n"), "{shown}");
        assert!(shown.contains(r"\0\u{1b}[2J") && shown.ends_with(r#"<b>"'\\"#), "{shown}");
        assert_eq!(plain("ä 日本".as_bytes()), "ä 日本");
        assert_eq!(plain(&[b'x'; 100_000]).chars().count(), MAX_CHARS + 1);
    }

    #[test]
    fn the_document_is_what_is_promised() {
        let batch = Batch { notices: vec![ban("192.0.2.9", b"bob\"\n")], left_out: 7 };

        let document: serde_json::Value = serde_json::from_slice(&batch.json("mx1")).expect("JSON");

        assert_eq!(
            (&document["version"], &document["host"], &document["left_out"]),
            (&1.into(), &"mx1".into(), &7.into())
        );
        assert!(document["sent_at"].as_str().is_some_and(|time| time.ends_with('Z')), "{document}");
        let expected = serde_json::json!({
            "event": "ban", "time": "2026-11-26T18:00:00Z", "jail": "dovecot", "prefix": "192.0.2.9",
            "until": "2026-11-26T19:00:00Z", "seconds": 3600, "origin": "log", "attempts": 5.0,
            "reason": "auth failed", "user": "bob\"\\n", "by_uid": null, "by": null, "lines": ["bob\"\\n"],
        });
        assert_eq!(document["events"], serde_json::json!([expected]));
    }

    #[test]
    fn a_ban_by_hand_says_who_and_why() {
        let told = |notice: Notice| serde_json::to_value(notice).expect("JSON");

        let by_root = told(by_hand("192.0.2.9", Some("scans\n"), Some(0)));
        assert_eq!(
            (&by_root["origin"], &by_root["reason"], &by_root["by_uid"], &by_root["by"]),
            (&"command".into(), &r"scans\n".into(), &0.into(), &"root".into())
        );
        let by_nobody = told(by_hand("192.0.2.9", None, Some(4_000_000_000)));
        assert_eq!((&by_nobody["by_uid"], by_nobody["by"].is_null()), (&4_000_000_000_u32.into(), true));
    }

    #[test]
    fn of_too_many_bans_only_the_number_is_kept_and_a_stop_is_told_in_any_case() {
        let mut batch = Batch::default();
        for _ in 0..10 {
            batch.push(ban("192.0.2.9", b"bob"), 3);
        }
        let clock = Reading::take();
        batch.push(Notice::of(&Happening { what: What::Stopping, clock }), 3);

        assert_eq!((batch.notices.len(), batch.left_out), (4, 7));
        assert_eq!(batch.notices[3].event, "stop");
    }
}
