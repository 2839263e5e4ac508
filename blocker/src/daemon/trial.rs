//! `run --confirm`: enforcement that ends by itself unless somebody confirms it.
//!
//! # Theory of operation
//!
//! ```text
//!            begin (start, reload)                 confirm
//!  (nothing) ─────────────────────▶ pending ─────────────────────▶ confirmed
//!                                      │ its time is over              │ reload of another configuration
//!                                      ▼                               ▼
//!                                    over ─────────────────────────▶ pending
//!                                            reload
//! ```
//!
//! While it is pending, no ban in the kernel ends later than the trial does: so enforcement ends then whatever has become of
//! the daemon. The engine's book keeps the bans' own ends, and the kernel is told these when it is confirmed, or when it is
//! over and everything only observes.
//!
//! What it has come to is in a file beside the database, in place before anything is enforced. So a supervisor that starts a daemon again
//! starts no clock again: a trial goes on that is of this boot and of the same configuration, and one that was not confirmed
//! in its time, or before a reboot, is over. A configuration that was confirmed stays so.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use blocker_core::engine::{Entry, Memory};
use blocker_core::prefix::Prefix;
use blocker_core::time::{Timestamp, Until};
use serde::{Deserialize, Serialize};

use crate::regular;
use crate::store;

/// In the directory `daemon.state`.
pub(super) const FILE_NAME: &str = "confirm.json";

/// Bytes read of it at most; it has some 150.
const MAX_BYTES: u64 = 4096;

/// A trial, in this run.
#[derive(Debug)]
pub(super) struct Trial {
    path: PathBuf,
    /// How long each lasts.
    pub(super) time: Duration,
    pub(super) record: Record,
    /// When its end is dealt with.
    pub(super) due: Timestamp,
}

/// What is in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// A digest of the configuration, [`crate::digest`].
    pub(super) configuration: String,
    /// The boot in which it began.
    pub(super) boot: String,
    /// When it ends, or would have, on that boot's clock.
    pub(super) ends_boot_ns: i64,
    pub(super) state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    Pending,
    Confirmed,
    Over,
}

impl Trial {
    /// Goes on with what an earlier run has left, or begins anew; either is on disk when this returns.
    pub(super) fn resume(state: &Path, time: Duration, configuration: String, now: Timestamp) -> Result<Self> {
        let boot = store::boot_id();
        let path = state.join(FILE_NAME);
        let record = match read(&path) {
            Some(record) if record.configuration == configuration => record.resumed(&boot, now),
            Some(_) | None => Record::begun(configuration, boot, now.saturating_add(time)),
        };
        let trial = Self { due: record.ends(), path, time, record };
        trial.save(&trial.record)?;
        Ok(trial)
    }

    /// The latest end of any ban in the kernel.
    pub(super) fn cap(&self) -> Until {
        match self.record.state {
            State::Pending => Until::At(self.record.ends()),
            State::Confirmed | State::Over => Until::Forever,
        }
    }

    pub(super) fn save(&self, record: &Record) -> Result<()> {
        let what = || format!("writing {}, without which enforcement would not end by itself", self.path.display());
        let temporary = self.path.with_extension("json.new");
        let mut file = File::create(&temporary).with_context(what)?;
        file.write_all(&serde_json::to_vec(record)?).and_then(|()| file.sync_all()).with_context(what)?;
        fs::rename(&temporary, &self.path).with_context(what)?;
        let directory = self.path.parent().context("the file is in a directory")?;
        File::open(directory).and_then(|directory| directory.sync_all()).with_context(what)
    }

    pub(super) fn enter(&mut self, state: State) -> Result<()> {
        let record = Record { state, ..self.record.clone() };
        self.save(&record)?;
        self.record = record;
        Ok(())
    }
}

impl Record {
    pub(super) fn begun(configuration: String, boot: String, ends: Timestamp) -> Self {
        Self { configuration, boot, ends_boot_ns: ends.as_nanos(), state: State::Pending }
    }

    pub(super) fn ends(&self) -> Timestamp {
        Timestamp::from_nanos(self.ends_boot_ns)
    }

    /// What it has come to by a later start.
    fn resumed(self, boot: &str, now: Timestamp) -> Self {
        let state = match self.state {
            State::Pending if self.boot == boot && self.ends() > now => State::Pending,
            State::Pending | State::Over => State::Over,
            State::Confirmed => State::Confirmed,
        };
        Self { state, ..self }
    }
}

/// What an earlier run of this boot has left in the kernel: bans that end with its trial, and would have ended later.
#[derive(Debug)]
pub(super) struct Capped {
    ends: Until,
    /// The latest remembered end of each prefix.
    own: HashMap<Prefix, Until>,
}

impl Capped {
    /// Of the trial in the directory `state`, if there was one.
    pub(super) fn of(state: &Path, memory: &Memory) -> Option<Self> {
        let record = read(&state.join(FILE_NAME)).filter(|record| record.boot == store::boot_id())?;
        let mut own: HashMap<Prefix, Until> = HashMap::new();
        for ((prefix, _), entry) in &memory.bans {
            if let Entry::InForce(ban) = entry {
                let latest = own.entry(*prefix).or_insert(ban.until);
                *latest = ban.until.max(*latest);
            }
        }
        Some(Self { ends: Until::At(record.ends()), own })
    }

    /// The end that a ban has of its own, which the kernel holds until `until`.
    pub(super) fn own_end(&self, prefix: Prefix, until: Until) -> Until {
        let own = self.own.get(&prefix).copied().filter(|_| until == self.ends);
        own.map_or(until, |own| own.max(until))
    }
}

/// What there is in the file; what cannot be read is as good as nothing, and told.
fn read(path: &Path) -> Option<Record> {
    let mut bytes = Vec::new();
    match regular::open(path).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut bytes)) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::error!("{}: {error}", path.display());
            return None;
        }
    }
    let record = serde_json::from_slice(&bytes);
    if let Err(error) = &record {
        tracing::error!("{}: {error}: what was confirmed is forgotten", path.display());
    }
    record.ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::testing::TempDir;

    const TIME: Duration = Duration::from_secs(60);

    #[test]
    fn a_restart_does_not_restart_the_clock_and_what_is_late_is_over() {
        let dir = TempDir::new();
        let resume = |secs| Trial::resume(&dir.path(""), TIME, "a".to_owned(), at(secs)).unwrap();
        let first = resume(100);
        assert_eq!((first.record.state, first.cap()), (State::Pending, Until::At(at(160))));

        assert_eq!(resume(159).record, first.record);
        let late = resume(160);
        assert_eq!((late.record.state, late.cap()), (State::Over, Until::Forever));
        assert_eq!(resume(120).record.state, State::Over, "also if a clock is wrong");
    }

    #[test]
    fn a_reboot_before_the_confirmation_ends_it() {
        let record = Record::begun("a".to_owned(), "this boot".to_owned(), at(160));

        assert_eq!(record.clone().resumed("this boot", at(1)).state, State::Pending);
        assert_eq!(record.resumed("another boot", at(1)).state, State::Over);
    }

    #[test]
    fn what_was_confirmed_stays_so_and_another_configuration_is_tried_anew() {
        let dir = TempDir::new();
        let resume =
            |configuration: &str, secs| Trial::resume(&dir.path(""), TIME, configuration.to_owned(), at(secs)).unwrap();
        resume("a", 100).enter(State::Confirmed).unwrap();

        assert_eq!(resume("a", 1_000).record.state, State::Confirmed);
        let other = resume("b", 1_000);
        assert_eq!((other.record.state, other.record.ends()), (State::Pending, at(1_060)));
        dir.write(FILE_NAME, b"{");
        assert_eq!(resume("b", 2_000).record.ends(), at(2_060), "what cannot be read is nothing");
    }

    #[test]
    fn only_what_ended_with_the_trial_has_another_end_of_its_own() {
        let dir = TempDir::new();
        assert!(Capped::of(&dir.path(""), &Memory::default()).is_none());
        Trial::resume(&dir.path(""), TIME, "a".to_owned(), at(100)).unwrap();
        let prefix: Prefix = "192.0.2.9".parse().unwrap();
        let ban = |until| {
            let origin = blocker_core::engine::Origin::Adopted;
            Entry::InForce(blocker_core::engine::Ban { started: at(1), until, origin })
        };
        let (one, other) = (blocker_core::engine::JailId::MIN, blocker_core::engine::JailId::MAX);
        let bans = vec![((prefix, one), ban(Until::At(at(900)))), ((prefix, other), ban(Until::At(at(500))))];

        let capped = Capped::of(&dir.path(""), &Memory { bans, ..Memory::default() }).unwrap();

        assert_eq!(capped.own_end(prefix, Until::At(at(160))), Until::At(at(900)));
        assert_eq!(capped.own_end(prefix, Until::At(at(150))), Until::At(at(150)), "it ends before the trial does");
        let unknown: Prefix = "192.0.2.10".parse().unwrap();
        assert_eq!(capped.own_end(unknown, Until::At(at(160))), Until::At(at(160)), "nobody knows of another");
    }

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }
}
