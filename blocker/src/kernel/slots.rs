//! Places in the table of interfaces: an interface that comes back under its name finds its counters.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use blocker_common::{Interface, MAX_INTERFACES, flags};
use nix::net::if_::if_nametoindex;

use super::{Attachment, Maps};

/// The place of the interface called `name`: its own if it had one, else a free one, else one of an interface that is no
/// more.
pub(super) fn of(
    maps: &mut Maps,
    name: &str,
    index: u32,
    observes: bool,
    attached: &BTreeMap<u32, Attachment>,
) -> Result<u32> {
    let entries = maps.interfaces()?;
    let is_gone =
        |held: &str| !attached.values().any(|attachment| attachment.name == held) && if_nametoindex(held).is_err();
    let (slot, is_reused) = choose(&entries, name, is_gone)
        .with_context(|| format!("no more than {MAX_INTERFACES} interfaces can be protected at once"))?;
    if is_reused {
        maps.clear_counters(slot)?;
    }
    maps.set_interface(slot, entry(name, index, observes))?;
    Ok(slot)
}

/// The entry of an interface.
pub(super) fn entry(name: &str, index: u32, observes: bool) -> Interface {
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().take(15).zip(name.bytes()) {
        *to = from;
    }
    Interface { index, flags: if observes { flags::OBSERVE } else { 0 }, name: bytes }
}

/// The place, and whether it was another's.
fn choose(entries: &[Interface], name: &str, is_gone: impl Fn(&str) -> bool) -> Option<(u32, bool)> {
    let at = |wanted: &dyn Fn(&str) -> bool| {
        (0..).zip(entries).find(|(_, entry)| wanted(&name_of(entry))).map(|(slot, _)| slot)
    };
    let own = at(&|held| held == name);
    let free = || at(&|held| held.is_empty());
    own.or_else(free).map(|slot| (slot, false)).or_else(|| at(&is_gone).map(|slot| (slot, true)))
}

/// The name in an entry.
pub(super) fn name_of(entry: &Interface) -> String {
    let end = entry.name.iter().position(|&byte| byte == 0).unwrap_or(entry.name.len());
    String::from_utf8_lossy(&entry.name[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(names: &[&str]) -> Vec<Interface> {
        names.iter().map(|name| entry(name, 1, false)).collect()
    }

    #[test]
    fn an_interface_that_comes_back_finds_its_place() {
        assert_eq!(choose(&entries(&["eth0", "eth1", ""]), "eth1", |_| true), Some((1, false)));
    }

    #[test]
    fn a_new_one_takes_a_free_place_before_anothers() {
        assert_eq!(choose(&entries(&["eth0", "", ""]), "eth1", |_| true), Some((1, false)));
        assert_eq!(choose(&entries(&["eth0", "eth1"]), "eth2", |held| held == "eth1"), Some((1, true)));
        assert_eq!(choose(&entries(&["eth0", "eth1"]), "eth2", |_| false), None);
    }
}
