//! What the engine wants is carried out: the kernel's part first, and people are told when it is done.
//!
//! What follows one another goes to the kernel together, ends of bans before bans: a system call for each ban would be most of
//! what a long list costs.

use std::collections::HashSet;

use blocker_core::config::Mode;
use blocker_core::engine::{Command, Event, JailSet, Origin};
use blocker_core::prefix::Prefix;
use blocker_core::time::Until;

use super::unsettled::Entry;
use super::{Daemon, jails};
use crate::network::connections::Closing;

/// Bans that are written to the maps at once, and removed, at most.
const MAX_BATCH: usize = 4096;

/// Bans and ends of bans that follow one another, for which one system call each does, and what is to be told once they are written.
/// They are of different prefixes, so that it does not matter which comes first, but that in a full table an end makes the
/// room for a ban.
#[derive(Default)]
pub(super) struct Batch {
    bans: Vec<(Prefix, JailSet, Until)>,
    /// Prefixes that are banned no more.
    lifted: Vec<Prefix>,
    /// Whom they are about.
    prefixes: HashSet<Prefix>,
    events: Vec<Event>,
}

impl Daemon<'_> {
    /// Carries out what the engine wants, in its order; returns the prefixes it allowed.
    pub(super) fn carry_out(&mut self) -> HashSet<Prefix> {
        let mut allowed = HashSet::new();
        while let Some(command) = self.engine.poll_command() {
            self.tell_kernel(&command);
            match command {
                Command::Allow { prefix } => drop(allowed.insert(prefix)),
                Command::Enforce { .. } | Command::Lift { .. } | Command::LiftAll { .. } | Command::Disallow { .. } => {
                }
                Command::Notify(event) => self.batch.events.push(event),
            }
        }
        self.flush();
        allowed
    }

    /// Has the kernel do its part of a command, bans and their ends as part of the next batch. What it refuses is tried again later.
    pub(super) fn tell_kernel(&mut self, command: &Command) {
        let (entry, done) = match *command {
            Command::Enforce { prefix, jails, until } => {
                self.make_room(prefix);
                let until = self.capped(until);
                self.batch.bans.push((prefix, jails, until));
                return;
            }
            Command::Lift { prefix } => {
                self.make_room(prefix);
                self.batch.lifted.push(prefix);
                return;
            }
            Command::Notify(_) => return,
            Command::LiftAll { bans } => {
                // What waits would be gone through, too, and this way in the order of the commands.
                self.flush();
                self.begin_sweep(bans);
                self.warn_of_fill();
                return;
            }
            // The batch may have a ban of it.
            Command::Allow { prefix } => {
                self.flush();
                (Entry::Allowed(prefix), self.kernel.allow(prefix))
            }
            Command::Disallow { prefix } => {
                self.flush();
                (Entry::Allowed(prefix), self.kernel.disallow(prefix))
            }
        };
        if let Err(error) = done {
            self.unsettled.add(entry);
            self.refused(&error);
        }
    }

    /// Writes the batch if it is full, or has `prefix` already.
    fn make_room(&mut self, prefix: Prefix) {
        let is_full = self.batch.prefixes.len() == MAX_BATCH;
        if is_full || !self.batch.prefixes.insert(prefix) {
            self.flush();
            self.batch.prefixes.insert(prefix);
        }
    }

    /// Writes the batch, and only then tells people.
    pub(super) fn flush(&mut self) {
        let Batch { bans, lifted, prefixes, events: _ } = &mut self.batch;
        let is_changed = !bans.is_empty() || !lifted.is_empty();
        let mut refused = if lifted.is_empty() { Vec::new() } else { self.kernel.lift(lifted) };
        if !bans.is_empty() {
            refused.extend(self.kernel.enforce(bans));
        }
        bans.clear();
        lifted.clear();
        prefixes.clear();
        self.close_connections();
        let engine = &self.engine;
        self.watched.note(self.batch.events.iter());
        self.notifier.tell_all(self.batch.events.iter(), |event| jails::name_in(event, engine));
        self.events.send_all(&mut self.batch.events, |event| jails::name_in(event, engine));
        self.note_refused(refused);
        if is_changed {
            self.warn_of_fill();
        }
    }

    /// Has bans tried again that the kernel refused to write or to remove.
    pub(super) fn note_refused(&mut self, refused: Vec<(Prefix, anyhow::Error)>) {
        for (prefix, error) in refused {
            self.unsettled.add(Entry::Ban(prefix));
            self.refused(&error);
        }
    }

    /// Has the connections ended of those whose ban began with this batch.
    pub(super) fn close_connections(&mut self) {
        if !self.config.daemon.close_connections || self.mode() == Mode::Observe {
            return;
        }
        for event in &self.batch.events {
            let Event::Banned(ban) = event else { continue };
            let Some(ports) = self.numbered.closed_by(ban.jail) else { continue };
            let allowed = if ban.prefix.is_host() { Vec::new() } else { self.engine.allowed_in(ban.prefix) };
            let listed = matches!(ban.origin, Origin::Command { .. });
            self.closer.close(Closing { prefix: ban.prefix, ports, allowed }, listed);
        }
    }

    /// Says that the allowlist is done with, unless something of it is still to be tried again.
    pub(super) fn settle_allowed(&mut self) {
        if self.unsettled.waiting() == 0
            && self.unsettled.lost() == 0
            && let Err(error) = self.kernel.settle_allowed()
        {
            self.refused(&error);
        }
    }

    pub(super) fn refused(&mut self, error: &anyhow::Error) {
        self.refused = (self.refused.0 + 1, format!("{error:#}"));
        // Every tenfold number: an attacker may cause any number of them.
        if self.refused.0.ilog10() != (self.refused.0 - 1).checked_ilog10().unwrap_or(u32::MAX) {
            tracing::error!(times = self.refused.0, "the kernel refused a change of its maps: {error:#}");
        }
    }
}
