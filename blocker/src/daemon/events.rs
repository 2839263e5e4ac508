//! The engine's events as lines of the log. The words `Found`, `Ban`, `Unban` and `Restore Ban` are the ones that
//! administrators and their scripts know.
//!
//! They are put into words by a thread of their own: the journal, too, may be slow or stuck, and no ban waits for that.
//! When [`MAX_WAITING`] of them wait, further ones are left out and counted.

use std::fmt;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;

use anyhow::{Context, Result};
use blocker_core::engine::{AllowChange, BanInfo, BrakeChange, Event, Found, HoldReason, Origin, UnbanReason};

use crate::clock::Reading;

/// Events that may wait to be written; some 300 bytes each.
const MAX_WAITING: usize = 16_384;

/// Bans by command, of those that are written to the maps at once, that are logged one by one; more are summed up.
const MAX_BY_COMMAND: usize = 256;

/// The way to the thread that writes.
pub(super) struct EventLog {
    events: Option<SyncSender<Entry>>,
    writer: Option<thread::JoinHandle<()>>,
    left_out: u64,
}

struct Entry {
    /// The name of the event's jail.
    jail: String,
    event: Event,
    clock: Reading,
}

impl EventLog {
    /// Starts the thread.
    pub(super) fn start() -> Result<Self> {
        let (events, waiting) = sync_channel(MAX_WAITING);
        let writer = thread::Builder::new()
            .name("event-log".to_owned())
            .spawn(move || write(&waiting))
            .context("starting the thread that writes the log")?;
        Ok(Self { events: Some(events), writer: Some(writer), left_out: 0 })
    }

    /// Hands events on. Of many that are by command, only how many there are: whoever bans a list knows its lines.
    pub(super) fn send_all(&mut self, events: impl ExactSizeIterator<Item = Event>, jail: impl Fn(&Event) -> String) {
        let summed_up = events.len() > MAX_BY_COMMAND && !tracing::enabled!(tracing::Level::DEBUG);
        let (mut banned, mut lifted) = (0_u64, 0_u64);
        for event in events {
            match by_command(&event) {
                Some(Change::Banned) if summed_up => banned += 1,
                Some(Change::Lifted) if summed_up => lifted += 1,
                Some(Change::Banned | Change::Lifted) | None => self.send(event, &jail),
            }
        }
        if banned + lifted > 0 {
            tracing::info!(banned, lifted, "many bans by command: each is told at DEBUG");
        }
    }

    /// Hands an event on, without waiting. `jail` names the jail it is about.
    pub(super) fn send(&mut self, event: Event, jail: impl FnOnce(&Event) -> String) {
        // What an attacker can cause at will, and what comes by the million at a start, is at DEBUG; usually nobody wants it.
        if matches!(event, Event::Found(_) | Event::Ignored { .. } | Event::Restored(_)) && !wants_failures() {
            return;
        }
        let Some(events) = &self.events else { return };
        let entry = Entry { jail: jail(&event), event, clock: Reading::take() };
        match events.try_send(entry) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => self.left_out += 1,
        }
    }

    /// Events that were never written, because too many waited.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out
    }
}

/// Whether anybody wants to know of each single failure: what an attacker can cause at will is told at DEBUG.
pub(super) fn wants_failures() -> bool {
    tracing::enabled!(tracing::Level::DEBUG)
}

enum Change {
    Banned,
    Lifted,
}

/// What an event tells that an administrator asked for.
fn by_command(event: &Event) -> Option<Change> {
    match event {
        Event::Banned(ban) | Event::Renewed(ban) => match ban.origin {
            Origin::Command { reason: _ } => Some(Change::Banned),
            Origin::Log { .. } | Origin::Adopted => None,
        },
        Event::Unbanned { prefix: _, jail: _, why } => match why {
            UnbanReason::ByCommand => Some(Change::Lifted),
            UnbanReason::Expired | UnbanReason::AllowListed(_) | UnbanReason::Evicted => None,
        },
        Event::Found(_) | Event::Restored(_) | Event::Ignored { .. } | Event::Refused { .. } | Event::Full { .. } => {
            None
        }
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

fn write(waiting: &Receiver<Entry>) {
    for Entry { jail, event, clock } in waiting {
        log(&jail, &event, clock);
    }
}

/// Logs an event. User names are at DEBUG: people type passwords there.
fn log(jail: &str, event: &Event, clock: Reading) {
    match event {
        Event::Found(found) => log_found(jail, found),
        Event::Banned(ban) => {
            tracing::info!(until = clock.end(ban.until), origin = %OriginWithoutUser(ban), "[{jail}] Ban {}", ban.prefix);
        }
        Event::Renewed(ban) => tracing::info!(until = clock.end(ban.until), "[{jail}] Renew Ban {}", ban.prefix),
        Event::Restored(ban) => tracing::debug!(until = clock.end(ban.until), "[{jail}] Restore Ban {}", ban.prefix),
        Event::Unbanned { prefix, jail: _, why } => match why {
            UnbanReason::Expired => tracing::info!("[{jail}] Unban {prefix}"),
            UnbanReason::ByCommand => tracing::info!(why = "by command", "[{jail}] Unban {prefix}"),
            UnbanReason::AllowListed(allowed) => tracing::info!(why = %allowed, "[{jail}] Unban {prefix}"),
            UnbanReason::Evicted => tracing::warn!(why = "gave way in a full table", "[{jail}] Unban {prefix}"),
        },
        Event::Allowlist { prefix, change } => match change {
            AllowChange::Allowed => tracing::info!("Allow {prefix}"),
            AllowChange::Disallowed => tracing::info!(why = "by command", "Disallow {prefix}"),
            AllowChange::Expired => tracing::info!(why = "its time is over", "Disallow {prefix}"),
        },
        Event::Brake(BrakeChange::On(HoldReason::TooMany { limit })) => tracing::error!(
            limit,
            "the logs earn more bans within a minute than `brake.bans_per_minute` says: further ones are held"
        ),
        Event::Brake(BrakeChange::Off { held }) => tracing::info!(held, "no ban has been held for a minute"),
        Event::Ignored { jail: _, addr, why } => tracing::debug!(%why, "[{jail}] Ignore {addr}"),
        Event::Refused { prefix, jail: _, why } => tracing::warn!(%why, "[{jail}] Ban of {prefix} refused"),
        Event::Full { kind, bound, gave_way } => {
            tracing::error!(%kind, bound, ?gave_way, "a table of bans is full: the ban soonest to end gives way");
        }
    }
}

fn log_found(jail: &str, found: &Found) {
    tracing::debug!(
        attempts = %found.attempts,
        count = %found.count,
        of = found.of,
        service = &*found.service,
        pattern = &*found.pattern,
        user = found.user.as_deref().map(|user| user.escape_ascii().to_string()),
        "[{jail}] Found {}",
        found.addr
    );
}

/// What a ban came from, but for the attacker's bytes.
struct OriginWithoutUser<'a>(&'a BanInfo);

impl fmt::Display for OriginWithoutUser<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.origin {
            Origin::Log { attempts, pattern, user: _ } => write!(f, "log, {attempts} attempts, {pattern}"),
            Origin::Command { reason } => write!(f, "command, {:?}", reason.as_deref().unwrap_or("no reason given")),
            Origin::Adopted => f.write_str("adopted"),
        }
    }
}
