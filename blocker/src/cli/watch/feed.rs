//! Asks the daemon, again and again, whether or not it runs.

use std::path::PathBuf;

use anyhow::{Result, bail};

use super::places::logs;
use super::view::View;
use crate::control::client::Client;
use crate::control::watch::Watch;
use crate::control::wire::{Reply, Request};
use crate::exit::Failure;

/// What came of a question.
#[derive(Debug)]
pub(super) enum News {
    /// How it is.
    Told(Box<View>),
    /// There is no answer, and why.
    Waiting(String),
}

/// Who asks, and what was told last.
pub(super) struct Asker {
    runtime: PathBuf,
    before: Option<Box<Watch>>,
}

impl Asker {
    /// For the daemon whose runtime directory this is.
    pub(super) fn new(runtime: PathBuf) -> Self {
        Self { runtime, before: None }
    }

    /// Asks once.
    ///
    /// # Errors
    ///
    /// What another question would not change: who may not ask, or asks a daemon of another version.
    pub(super) fn ask(&mut self) -> Result<News> {
        match self.told() {
            Ok(told) => {
                let places = logs(&told.logs);
                let view = View::new(self.before.as_deref(), &told, places);
                self.before = Some(told);
                Ok(News::Told(Box::new(view)))
            }
            Err(error) => {
                self.before = None;
                match error.downcast_ref() {
                    Some(Failure::Usage(_) | Failure::Permission(_) | Failure::Configuration(_)) => Err(error),
                    Some(Failure::NotRunning(_)) | None => Ok(News::Waiting(format!("{error:#}"))),
                }
            }
        }
    }

    fn told(&self) -> Result<Box<Watch>> {
        let Some(before) = &self.before else { return self.told_after(None) };
        let told = self.told_after(Some(before.next_ban))?;
        // Another run counts its bans from the first on: by the number of the one before, some of them would never be told.
        if told.status.pid == before.status.pid { Ok(told) } else { self.told_after(None) }
    }

    fn told_after(&self, after: Option<u64>) -> Result<Box<Watch>> {
        let mut found = None;
        Client::connect(&self.runtime)?.ask(&Request::Watch { after }, |reply| {
            if let Reply::Watch(watch) = reply {
                found = Some(watch);
            }
            Ok(())
        })?;
        let Some(found) = found else { bail!("the daemon's answer tells nothing: is it of another version?") };
        Ok(found)
    }
}
