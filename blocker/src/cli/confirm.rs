//! `blocker confirm`: keeps enforcement on that would end by itself.

use anyhow::{Result, bail};

use super::{Globals, output};
use crate::control::client::Client;
use crate::control::wire::{Reply, Request};
use crate::settings;

pub(super) fn confirm(globals: &Globals) -> Result<()> {
    let places = settings::places(&globals.config)?;
    let mut said = None;
    Client::connect(&places.runtime)?.ask(&Request::Confirm, |reply| {
        if let Reply::Said(words) = reply {
            said = Some(words);
        }
        Ok(())
    })?;
    let Some(said) = said else { bail!("the daemon's answer does not say what was done: is it of another version?") };
    if globals.json { output::json(&serde_json::json!({ "confirmed": true })) } else { output::line(&said) }
}
