//! `blocker reload`: the daemon reads its configuration anew.

use anyhow::Result;

use super::{Globals, output};
use crate::control::client::Client;
use crate::control::wire::Request;
use crate::settings;

pub(super) fn reload(globals: &Globals) -> Result<()> {
    // Checked here first: the same faults, told without troubling the daemon.
    let config = settings::load(&globals.config)?;
    Client::connect(&config.daemon.runtime)?.ask(&Request::Reload, |_| Ok(()))?;
    if globals.json { output::json(&serde_json::json!({ "reloaded": true })) } else { output::line("reloaded") }
}
