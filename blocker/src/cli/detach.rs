//! `blocker detach`: back to a machine without us.

use anyhow::Result;

use super::{Globals, output};
use crate::{kernel, settings};

pub(super) fn detach(globals: &Globals) -> Result<()> {
    let places = settings::places(&globals.config)?;
    let detached = kernel::detach(&places.pins)?;
    if globals.json {
        let answer = serde_json::json!({ "found": detached.found, "interfaces": detached.interfaces });
        return output::json(&answer);
    }
    let pins = places.pins.display();
    if !detached.found {
        return output::line(&format!("nothing is pinned in {pins}"));
    }
    let indices: Vec<String> = detached.interfaces.iter().map(u32::to_string).collect();
    let from =
        if indices.is_empty() { "no interface".to_owned() } else { format!("interfaces {}", indices.join(", ")) };
    output::line(&format!("detached from {from}; pins and bans in {pins} removed"))
}
