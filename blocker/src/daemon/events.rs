//! The engine's events as lines of the log. The words `Found`, `Ban`, `Unban` and `Restore Ban` are the ones that
//! administrators and their scripts know.
//!
//! Every single failure is told too, as fail2ban does, because programs count these lines; but no more than an [`Allowance`] of
//! them, or an attacker would fill the disk: how many were left out is said. With `-v` all are told that the log takes.
//!
//! They are put into words by a thread of their own: the journal, too, may be slow or stuck, and no ban waits for that.
//! When [`MAX_WAITING`] of them wait, further ones are left out and counted.

use std::fmt::{self, Write as _};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result};
use blocker_core::bans::Uid;
use blocker_core::engine::{
    AllowChange, BanInfo, BrakeChange, Event, HoldReason, IgnoreReason, Origin, Refusal, UnbanReason,
};
use blocker_core::prefix::Prefix;
use tracing::Level;

use super::allowance::Allowance;
use super::entries::Entries;
use super::fail2ban_log::Fail2banLog;
use crate::clock::Reading;

/// Events that may wait to be written; some 300 bytes each.
const MAX_WAITING: usize = 16_384;

/// Of events of bans that are written to the maps at once, so many may be logged one by one; of more, those by command, those
/// taken over at a start and those of a full table are summed up.
const MAX_BY_COMMAND: usize = 256;

/// The way to the thread that writes.
pub(super) struct EventLog {
    events: Option<SyncSender<Entry>>,
    writer: Option<thread::JoinHandle<()>>,
    left_out: u64,
    failures: Allowance,
}

struct Entry {
    /// The name of the event's jail.
    jail: String,
    event: Event,
    clock: Reading,
}

impl EventLog {
    /// Starts the thread. In `fail2ban_log` it keeps a log as fail2ban's.
    pub(super) fn start(fail2ban_log: Option<PathBuf>) -> Result<Self> {
        let (events, waiting) = sync_channel(MAX_WAITING);
        let writer = thread::Builder::new()
            .name("event-log".to_owned())
            .spawn(move || write(&waiting, fail2ban_log.map(Fail2banLog::new)))
            .context("starting the thread that writes the log")?;
        Ok(Self { events: Some(events), writer: Some(writer), left_out: 0, failures: Allowance::new(Instant::now()) })
    }

    /// Hands events on. Of many that are by command, only how many there are: whoever bans a list knows its lines, and one that is longer
    /// than its table would fill the disk.
    pub(super) fn send_all(&mut self, events: &mut Vec<Event>, jail: impl Fn(&Event) -> String) {
        let summed_up = events.len() > MAX_BY_COMMAND
            && !wants_all()
            && events.iter().filter(|event| summed(event).is_some()).count() > MAX_BY_COMMAND;
        let (mut banned, mut lifted, mut gave_way, mut refused) = (0_u64, 0_u64, 0_u64, 0_u64);
        for event in events.drain(..) {
            match summed(&event) {
                Some(Change::Banned) if summed_up => banned += 1,
                Some(Change::Lifted) if summed_up => lifted += 1,
                Some(Change::GaveWay) if summed_up => gave_way += 1,
                Some(Change::NoRoom) if summed_up => refused += 1,
                // How many they are is told where they are taken over.
                Some(Change::Restored | Change::Told) if summed_up => {}
                Some(
                    Change::Banned
                    | Change::Lifted
                    | Change::Restored
                    | Change::GaveWay
                    | Change::NoRoom
                    | Change::Told,
                )
                | None => self.send(event, &jail),
            }
        }
        if gave_way > 0 {
            tracing::error!(
                gave_way,
                "a table of bans is full: the bans soonest to end give way: each is told at DEBUG"
            );
        }
        if refused > 0 {
            tracing::error!(
                refused,
                "a table is full of bans without an end, none of which gives way: each new ban is told at DEBUG"
            );
        }
        if banned + lifted > 0 {
            tracing::info!(banned, lifted, "many bans by command: each is told at DEBUG");
        }
    }

    /// Hands an event on, without waiting. `jail` names the jail it is about.
    pub(super) fn send(&mut self, event: Event, jail: impl FnOnce(&Event) -> String) {
        let is_told = wants_all()
            || match &event {
                Event::Found(_) | Event::Ignored { why: IgnoreReason::AlreadyBanned { .. }, .. } => {
                    self.failures.take()
                }
                Event::Ignored { .. } => false,
                Event::Banned(_)
                | Event::Renewed(_)
                | Event::Restored(_)
                | Event::Unbanned { .. }
                | Event::Refused { .. }
                | Event::Allowlist { .. }
                | Event::Brake(_)
                | Event::Full { .. } => true,
            };
        if !is_told {
            return;
        }
        let Some(events) = &self.events else { return };
        let entry = Entry { jail: jail(&event), event, clock: Reading::take() };
        match events.try_send(entry) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => self.left_out += 1,
        }
    }

    /// Whether single failures are to be told at this moment.
    pub(super) fn wants_failures(&mut self) -> bool {
        wants_all() || self.failures.has_some(Instant::now())
    }

    /// Says how many failures were left out, from time to time; `untold` is how many the engine never told.
    pub(super) fn say_left_out(&mut self, untold: u64) {
        if let Some(failures) = self.failures.due(untold, Instant::now()) {
            tracing::info!(failures, "too many to be told one by one: with -v more of them are");
        }
    }

    /// Events that were never written, because too many waited.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out
    }
}

/// Whether every single failure is to be told.
fn wants_all() -> bool {
    tracing::enabled!(Level::DEBUG)
}

enum Change {
    Banned,
    Lifted,
    Restored,
    /// A ban, in a full table.
    GaveWay,
    /// One was refused, in a full table.
    NoRoom,
    /// What one of the two before tells already.
    Told,
}

/// What an event tells that an administrator asked for, or that a start or a full table brings by the thousand.
fn summed(event: &Event) -> Option<Change> {
    match event {
        Event::Banned(ban) | Event::Renewed(ban) => match ban.origin {
            Origin::Command { .. } => Some(Change::Banned),
            Origin::Log { .. } | Origin::Adopted => None,
        },
        Event::Unbanned { prefix: _, jail: _, why, by: _ } => match why {
            UnbanReason::ByCommand => Some(Change::Lifted),
            UnbanReason::Evicted => Some(Change::Told),
            UnbanReason::Expired | UnbanReason::AllowListed(_) => None,
        },
        Event::Restored(_) => Some(Change::Restored),
        Event::Full { kind: _, bound: _, gave_way: Some(_) } => Some(Change::GaveWay),
        Event::Full { kind: _, bound: _, gave_way: None } => Some(Change::NoRoom),
        Event::Refused { prefix: _, jail: _, why: Refusal::TableFull { .. } } => Some(Change::Told),
        Event::Found(_) | Event::Ignored { .. } | Event::Refused { .. } => None,
        Event::Allowlist { .. } | Event::Brake(_) => None,
    }
}

impl Drop for EventLog {
    /// Has what waits written.
    fn drop(&mut self) {
        self.events = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the thread that writes the log had died");
        }
    }
}

fn write(waiting: &Receiver<Entry>, mut fail2ban_log: Option<Fail2banLog>) {
    let mut journal = Entries::of_journal();
    for Entry { jail, event, clock } in waiting {
        let told = told(&jail, &event, clock);
        if let Some(log) = &mut fail2ban_log {
            log.write(&told, clock);
        }
        // What the journal does not take goes where everything else is logged.
        if journal.as_mut().is_none_or(|journal| journal.send(&told).is_err()) {
            told.log();
        }
    }
}

/// An event in words.
pub(super) struct Told {
    level: Level,
    /// What it is, in a word.
    pub(super) event: &'static str,
    /// fail2ban's line, whom it is about among it.
    pub(super) message: String,
    /// Whom it is about once more, for who reads fields.
    pub(super) whom: Vec<(&'static str, String)>,
    /// What else there is to say.
    pub(super) fields: Vec<(&'static str, String)>,
}

impl Told {
    /// A line, with what else there is to say behind it.
    pub(super) fn text(&self) -> String {
        let mut text = self.message.clone();
        for (name, value) in &self.fields {
            let is_plain = value.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
            let written = if is_plain { write!(text, " {name}={value}") } else { write!(text, " {name}={value:?}") };
            written.expect("writing to a string never fails");
        }
        text
    }

    /// The priority of syslog(3): what fail2ban calls a notice is one.
    pub(super) fn priority(&self) -> &'static str {
        match (self.level, self.event) {
            (Level::ERROR, _) => "3",
            (Level::WARN, _) => "4",
            (Level::INFO, "found") => "6",
            (Level::INFO, _) => "5",
            (Level::DEBUG | Level::TRACE, _) => "7",
        }
    }

    fn log(&self) {
        let text = self.text();
        match self.level {
            Level::ERROR => tracing::error!("{text}"),
            Level::WARN => tracing::warn!("{text}"),
            Level::INFO => tracing::info!("{text}"),
            Level::DEBUG | Level::TRACE => tracing::debug!("{text}"),
        }
    }

    /// A notice without fields.
    #[cfg(test)]
    pub(super) fn plain(message: &str) -> Self {
        Self { level: Level::INFO, event: "ban", message: message.to_owned(), whom: Vec::new(), fields: Vec::new() }
    }
}

/// Puts an event into fail2ban's words, as far as it has words for it. User names are told with `-v` alone: people type passwords
/// there.
fn told(jail: &str, event: &Event, clock: Reading) -> Told {
    let about = |level, event, message: String, whom: (&'static str, String), fields| Told {
        level,
        event,
        message,
        whom: vec![("jail", jail.to_owned()), whom],
        fields,
    };
    let of_prefix = |prefix: &Prefix| ("prefix", prefix.to_string());
    match event {
        Event::Found(found) => {
            let message = format!("[{jail}] Found {} - {}", found.addr, clock.local(found.made));
            let mut fields = vec![
                ("attempts", found.attempts.to_string()),
                ("count", found.count.to_string()),
                ("of", found.of.to_string()),
                ("service", found.service.to_string()),
                ("pattern", found.pattern.to_string()),
            ];
            if wants_all() {
                fields.extend(found.user.as_deref().map(|user| ("user", user.escape_ascii().to_string())));
            }
            about(Level::INFO, "found", message, ("addr", found.addr.to_string()), fields)
        }
        Event::Banned(ban) => {
            let fields = vec![("until", clock.end(ban.until)), ("origin", OriginWithoutUser(ban).to_string())];
            about(Level::INFO, "ban", format!("[{jail}] Ban {}", ban.prefix), of_prefix(&ban.prefix), fields)
        }
        Event::Renewed(ban) => {
            let fields = vec![("until", clock.end(ban.until))];
            about(Level::INFO, "renew", format!("[{jail}] Renew Ban {}", ban.prefix), of_prefix(&ban.prefix), fields)
        }
        Event::Restored(ban) => {
            let fields = vec![("until", clock.end(ban.until))];
            about(
                Level::INFO,
                "restore",
                format!("[{jail}] Restore Ban {}", ban.prefix),
                of_prefix(&ban.prefix),
                fields,
            )
        }
        Event::Unbanned { prefix, jail: _, why, by } => {
            let (level, why) = match why {
                UnbanReason::Expired => (Level::INFO, None),
                UnbanReason::ByCommand => (Level::INFO, Some("by command".to_owned())),
                UnbanReason::AllowListed(allowed) => (Level::INFO, Some(allowed.to_string())),
                UnbanReason::Evicted => (Level::WARN, Some("gave way in a full table".to_owned())),
            };
            let by = by.map(|Uid(uid)| ("by", uid.to_string()));
            let fields = why.map(|why| ("why", why)).into_iter().chain(by).collect();
            about(level, "unban", format!("[{jail}] Unban {prefix}"), of_prefix(prefix), fields)
        }
        Event::Ignored { jail: _, addr, why } => {
            let whom = ("addr", addr.to_string());
            match why {
                IgnoreReason::AlreadyBanned { by } => {
                    let fields = vec![("by", by.to_string())];
                    about(Level::INFO, "already-banned", format!("[{jail}] {addr} already banned"), whom, fields)
                }
                IgnoreReason::AllowListed(allowed) => {
                    let fields = vec![("why", allowed.to_string())];
                    about(Level::DEBUG, "ignore", format!("[{jail}] Ignore {addr} by ip"), whom, fields)
                }
                IgnoreReason::NoAttempt
                | IgnoreReason::TooOld { .. }
                | IgnoreReason::Undated
                | IgnoreReason::BeforeBan { .. } => {
                    let fields = vec![("why", why.to_string())];
                    about(Level::DEBUG, "ignore", format!("[{jail}] Ignore {addr}"), whom, fields)
                }
            }
        }
        Event::Refused { prefix, jail: _, why } => {
            let fields = vec![("why", why.to_string())];
            about(Level::WARN, "refused", format!("[{jail}] Ban of {prefix} refused"), of_prefix(prefix), fields)
        }
        Event::Full { kind, bound, gave_way } => {
            let mut fields = vec![("kind", kind.to_string()), ("bound", bound.to_string())];
            fields.extend(gave_way.map(|prefix| ("gave_way", prefix.to_string())));
            let message = match gave_way {
                Some(_) => "a table of bans is full: the ban soonest to end gives way",
                None => "a table is full of bans without an end, none of which gives way: the new ban is refused",
            };
            let message = message.to_owned();
            Told { level: Level::ERROR, event: "full", message, whom: Vec::new(), fields }
        }
        Event::Allowlist { prefix, change } => {
            let (event, message, why) = match change {
                AllowChange::Allowed => ("allow", format!("Allow {prefix}"), None),
                AllowChange::Disallowed => ("disallow", format!("Disallow {prefix}"), Some("by command")),
                AllowChange::Expired => ("disallow", format!("Disallow {prefix}"), Some("its time is over")),
            };
            let fields = why.map(|why| ("why", why.to_owned())).into_iter().collect();
            Told { level: Level::INFO, event, message, whom: vec![of_prefix(prefix)], fields }
        }
        Event::Brake(BrakeChange::On(HoldReason::TooMany { limit })) => Told {
            level: Level::ERROR,
            event: "hold",
            message: "the logs earn more bans within a minute than `brake.bans_per_minute` says: further ones are held"
                .to_owned(),
            whom: Vec::new(),
            fields: vec![("limit", limit.to_string())],
        },
        Event::Brake(BrakeChange::On(HoldReason::LoggedIn { percent })) => Told {
            level: Level::ERROR,
            event: "hold",
            message: "of the bans that logs earn, more are of users who logged in lately than `brake.logged_in_percent` says: further \
                      ones of such are held"
                .to_owned(),
            whom: Vec::new(),
            fields: vec![("percent", percent.to_string())],
        },
        Event::Brake(BrakeChange::Off { why, held }) => Told {
            level: Level::INFO,
            event: "release",
            message: match why {
                HoldReason::TooMany { limit: _ } => "no ban has been held for a minute".to_owned(),
                HoldReason::LoggedIn { percent: _ } => {
                    "no ban of a user who logged in lately has been held for a minute".to_owned()
                }
            },
            whom: Vec::new(),
            fields: vec![("held", held.to_string())],
        },
    }
}

/// What a ban came from, but for the attacker's bytes.
struct OriginWithoutUser<'a>(&'a BanInfo);

impl fmt::Display for OriginWithoutUser<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.origin {
            Origin::Log { attempts, pattern, user: _ } => write!(f, "log, {attempts} attempts, {pattern}"),
            Origin::Command { reason, by } => {
                f.write_str("command")?;
                if let Some(Uid(uid)) = by {
                    write!(f, " of user {uid}")?;
                }
                write!(f, ", {:?}", reason.as_deref().unwrap_or("no reason given"))
            }
            Origin::Adopted => f.write_str("adopted"),
        }
    }
}

#[cfg(test)]
mod tests;
