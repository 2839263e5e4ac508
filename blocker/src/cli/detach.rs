//! `blocker detach`: back to a machine without us.

use anyhow::Result;
use nix::net::if_::if_indextoname;

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
    // One that is gone has no name any more.
    let name = |index: u32| if_indextoname(index).ok().and_then(|name| name.into_string().ok());
    let names = detached.interfaces.iter().map(|&index| name(index).unwrap_or_else(|| format!("interface {index}")));
    let names: Vec<String> = names.collect();
    let from = if names.is_empty() { "no interface".to_owned() } else { names.join(", ") };
    output::line(&format!("detached from {from}; pins and bans in {pins} removed"))
}
