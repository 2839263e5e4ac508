//! What the daemon does about a [trial](super::trial): begins it, ends it, and has it confirmed.

use std::fs;
use std::io::ErrorKind;
use std::time::Duration;

use anyhow::{Result, bail};
use blocker_core::config::Mode;
use blocker_core::time::{Timestamp, Until, format_span};

use super::Daemon;
use super::trial::{FILE_NAME, Record, State, Trial};
use crate::clock::{self, Reading};
use crate::control::status::Confirmation;
use crate::digest::Digest;
use crate::store;

/// How long until it is tried again to end what the kernel did not let end.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

impl Daemon<'_> {
    /// Goes on with an earlier trial, begins one, or forgets there was any; before anything is enforced.
    pub(super) fn resume_trial(&mut self, digest: Digest) -> Result<()> {
        if let Some(time) = self.options.confirm {
            let trial = Trial::resume(&self.config.daemon.state, time, digest.text(), clock::now())?;
            self.trial = Some(trial);
        }
        Ok(())
    }

    /// Says how it is with the trial, when everything is in place. `is_capped`: whether an earlier one has left capped bans.
    pub(super) fn begin_trial(&mut self, is_capped: bool) {
        if is_capped || self.trial.as_ref().is_some_and(|trial| trial.cap() != Until::Forever) {
            self.restate_bans();
        }
        if self.trial.is_none()
            && let Err(error) = fs::remove_file(self.config.daemon.state.join(FILE_NAME))
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!("{FILE_NAME} of an earlier run cannot be removed: {error}");
        }
        self.tell_of_trial();
    }

    fn tell_of_trial(&self) {
        let Some(trial) = &self.trial else { return };
        match trial.record.state {
            State::Pending => tracing::warn!(
                ends = Reading::take().wall(trial.record.ends()),
                "enforcement ends by itself unless it is confirmed: `blocker confirm`"
            ),
            State::Confirmed => tracing::info!("this configuration was confirmed"),
            State::Over => tracing::error!(
                "nothing is dropped: this configuration was not confirmed in time; `blocker reload` begins the time anew"
            ),
        }
    }

    /// What is done with packets, as it is now.
    pub(super) fn mode(&self) -> Mode {
        match &self.trial {
            Some(trial) if trial.record.state == State::Over => Mode::Observe,
            Some(_) | None => self.config.daemon.mode,
        }
    }

    /// When a ban may end in the kernel that is to end then.
    pub(super) fn capped(&self, until: Until) -> Until {
        self.trial.as_ref().map_or(until, |trial| until.min(trial.cap()))
    }

    /// How long until the trial is over, if one is under way.
    pub(super) fn trial_wait(&self, now: Timestamp) -> Option<Duration> {
        let trial = self.trial.as_ref().filter(|trial| trial.record.state == State::Pending)?;
        Some(trial.due.saturating_since(now))
    }

    /// Ends the trial when its time is over: the packets pass already, by the ends of their bans.
    pub(super) fn end_trial(&mut self) {
        let now = clock::now();
        if self.trial_wait(now) != Some(Duration::ZERO) {
            return;
        }
        // From here on a ban of its own end drops nothing.
        if let Err(error) = self.kernel.set_mode(Mode::Observe) {
            self.refused(&error);
            if let Some(trial) = &mut self.trial {
                trial.due = now.saturating_add(AGAIN_AFTER);
            }
            return;
        }
        if let Some(trial) = &mut self.trial
            && let Err(error) = trial.enter(State::Over)
        {
            // The next start finds it out by the time.
            tracing::error!("{error:#}");
            trial.record.state = State::Over;
        }
        self.restate_bans();
        self.tell_of_trial();
    }

    /// Confirms, and has every ban last as long as it is to. Returns what to say.
    pub(super) fn confirm(&mut self) -> Result<String> {
        self.end_trial();
        let Some(trial) = &mut self.trial else {
            bail!("there is nothing to confirm: the daemon was not started with `--confirm`");
        };
        match trial.record.state {
            State::Confirmed => Ok("confirmed already".to_owned()),
            State::Over => bail!(
                "it is too late: the time was over at {}, and nothing is dropped since; `blocker reload` begins the time anew",
                Reading::take().wall(trial.record.ends())
            ),
            State::Pending => {
                trial.enter(State::Confirmed)?;
                self.restate_bans();
                tracing::info!("enforcement is confirmed");
                Ok("confirmed".to_owned())
            }
        }
    }

    /// Begins a trial of a configuration that was taken up, unless one is under way or it was confirmed before. Returns what to say.
    pub(super) fn renew_trial(&mut self, digest: Digest) -> Result<Option<String>> {
        let configuration = digest.text();
        let Some(trial) = &mut self.trial else { return Ok(None) };
        let is_same = trial.record.configuration == configuration;
        match trial.record.state {
            State::Confirmed if is_same => return Ok(None),
            State::Pending => {
                let record = Record { configuration, ..trial.record.clone() };
                trial.save(&record)?;
                trial.record = record;
            }
            State::Confirmed | State::Over => {
                let ends = clock::now().saturating_add(trial.time);
                let record = Record::begun(configuration, store::boot_id(), ends);
                trial.save(&record)?;
                (trial.record, trial.due) = (record, ends);
                self.restate_bans();
                self.tell_of_trial();
            }
        }
        let left = self.trial_wait(clock::now()).unwrap_or_default();
        Ok(Some(format!("enforcement ends by itself in {}: `blocker confirm`", format_span(left))))
    }

    /// Tells the kernel of every ban anew.
    fn restate_bans(&mut self) {
        for prefix in self.engine.banned() {
            let command = self.engine.restate_ban(prefix);
            self.tell_kernel(&command);
        }
        self.flush();
    }

    /// Whether the time was over before anybody confirmed.
    pub(super) fn is_trial_over(&self) -> bool {
        self.trial.as_ref().is_some_and(|trial| trial.record.state == State::Over)
    }

    /// How it is with the trial, for `status`.
    pub(super) fn confirmation(&self, clock: Reading) -> Option<Confirmation> {
        let trial = self.trial.as_ref()?;
        let state = match trial.record.state {
            State::Pending => "pending",
            State::Confirmed => "confirmed",
            State::Over => "over",
        };
        let left = self.trial_wait(clock.boot()).map(|left| left.as_secs());
        let ends = left.map(|_| clock.wall(trial.record.ends()));
        Some(Confirmation { state: state.to_owned(), ends, remaining_s: left })
    }

    /// What is to be said of the trial in a sentence, if it is pending or over.
    pub(super) fn trial_problem(&self) -> Option<String> {
        let trial = self.trial.as_ref()?;
        match trial.record.state {
            State::Confirmed => None,
            State::Pending => {
                let left = format_span(self.trial_wait(clock::now()).unwrap_or_default());
                Some(format!("enforcement ends by itself in {left} unless it is confirmed: `blocker confirm`"))
            }
            State::Over => Some(
                "nothing is dropped: the configuration was not confirmed in time; `blocker reload` begins the time anew"
                    .to_owned(),
            ),
        }
    }
}
