//! Carries bans over to maps of another form: of this version's layout, or with room for another number of bans.
//!
//! ```text
//! v2/        another version's pins, or           v3/  ours, with another capacity
//!   │ read                                          │
//!   ▼                                               ▼
//! v3-next/   new maps, being filled: worth nothing yet
//!   │ renamed when whole
//! v3-ready/  to become v3; the one there, if any, becomes v3-old
//!   ▼
//! v3/        the links of v2 or v3-old run the old programs with the old maps, until each is given the new program
//! ```
//!
//! A crash at any point leaves either the old pins or the new ones whole, and every link with a program and maps that
//! belong together: not one packet passes that the bans drop. The link's program is replaced by
//! [`Attachments`](super::attach::Attachments), which finds links in the old places, too; then those go.
//!
//! A layout may be carried over in both directions because a later one only adds: maps, and fields at the end of values.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use aya::maps::lpm_trie::Key;
use aya::maps::{MapData, MapError};
use blocker_common::{
    Address4, Address6, Allowed, Ban, Config, Host4, Interface, JailName, MapName, Network6, PORT_TABLE_LEN, flags,
};
use blocker_core::prefix::Prefix;

use super::keys::{prefix_of_host4, prefix_of_lpm4, prefix_of_lpm6, prefix_of_network64};
use super::syscalls::RawMap;
use super::{Capacity, KernelBan, Maps, Pins, Presence, object};

/// Whether an earlier daemon left maps, of whatever form.
///
/// # Errors
///
/// The file system's.
pub(super) fn is_anything_pinned(pins: &Pins) -> Result<bool> {
    Ok(pins.directory().exists() || pins.beside("ready").exists() || !pins.others()?.is_empty())
}

/// Opens the pinned maps; makes them if there are none, and anew, with everything carried over, if they are of another
/// form.
///
/// # Errors
///
/// If another version's maps have a form that cannot be carried over; the kernel's.
pub(super) fn open(pins: &Pins, capacity: Capacity) -> Result<Maps> {
    let [ready, next, old] = ["ready", "next", "old"].map(|state| pins.beside(state));
    remove(&next)?;
    if ready.exists() {
        // An earlier run ended between its two steps.
        publish(pins, &ready, &old)?;
    }
    let source = if pins.directory().exists() {
        if object::has_form(pins, capacity)? {
            return object::open_maps(pins, capacity);
        }
        pins.directory()
    } else {
        match pins.others()?.into_iter().next() {
            Some(other) => other,
            None => {
                pins.make_directory()?;
                return object::open_maps(pins, capacity);
            }
        }
    };
    let carried = Carried::read(&source)?;
    let staging = pins.at(next.clone());
    staging.make_directory()?;
    let mut maps = object::open_maps(&staging, capacity)?;
    let bans = carried.bans.len();
    let left_out = carried.write(&mut maps, capacity)?;
    rename(&next, &ready)?;
    publish(pins, &ready, &old)?;
    tracing::info!(from = %source.display(), bans, "carried over to maps of another form");
    if left_out > 0 {
        tracing::error!("{left_out} bans, those soonest to end, have no room in the new maps and are lifted");
    }
    Ok(maps)
}

/// Removes what earlier layouts and capacities left, once no link is there any more.
///
/// # Errors
///
/// The file system's.
pub(super) fn remove_emptied(pins: &Pins) -> Result<()> {
    for other in pins.others()? {
        if pins.at(other.clone()).links().with_context(|| format!("reading {}", other.display()))?.is_empty() {
            remove(&other)?;
            tracing::info!(directory = %other.display(), "removed what was carried over from there");
        }
    }
    Ok(())
}

/// Removes a directory of pins, if it is there.
pub(super) fn remove(directory: &Path) -> Result<()> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("reading {}", directory.display())),
    };
    for entry in entries {
        let path = entry.with_context(|| format!("reading {}", directory.display()))?.path();
        fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
    }
    fs::remove_dir(directory).with_context(|| format!("removing {}", directory.display()))
}

fn publish(pins: &Pins, ready: &Path, old: &Path) -> Result<()> {
    let ours = pins.directory();
    if ours.exists() {
        if old.exists() {
            // Two capacities ago: whatever link is left there is of an interface that is not wanted.
            remove(old)?;
        }
        rename(&ours, old)?;
    }
    rename(ready, &ours)
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).with_context(|| format!("renaming {} to {}", from.display(), to.display()))
}

/// What maps of any layout hold.
#[derive(Debug, Default)]
struct Carried {
    config: Config,
    jails: Vec<JailName>,
    /// Scopes by [`blocker_common::port_index`].
    ports: Vec<(u32, u64)>,
    interfaces: Vec<(u32, Interface)>,
    bans: Vec<KernelBan>,
    allowed: Vec<Prefix>,
}

impl Carried {
    fn read(directory: &Path) -> Result<Self> {
        let mut carried = Self::default();
        let read = Reader { directory };
        if let Some((_, config)) = read.entries::<u32, Config>(MapName::Config)?.into_iter().next() {
            carried.config = config;
        }
        carried.jails = read.entries::<u32, JailName>(MapName::Jails)?.into_iter().map(|(_, name)| name).collect();
        carried.ports = read.entries::<u32, u64>(MapName::Ports)?;
        let sctp = read.entries::<u32, u64>(MapName::SctpPorts)?;
        carried.ports.extend(sctp.into_iter().map(|(port, scope)| (PORT_TABLE_LEN + port, scope)));
        carried.interfaces = read.entries::<u32, Interface>(MapName::Interfaces)?;
        let ban = |prefix: Option<Prefix>, entry: Ban| prefix.map(|prefix| KernelBan { prefix, entry });
        let hosts = read.entries::<Host4, Ban>(MapName::Bans4)?;
        carried.bans.extend(hosts.into_iter().filter_map(|(key, entry)| ban(Some(prefix_of_host4(key)), entry)));
        let networks = read.entries::<Network6, Ban>(MapName::Bans6)?;
        carried.bans.extend(networks.into_iter().filter_map(|(key, entry)| ban(prefix_of_network64(key), entry)));
        let networks = read.entries::<[u8; 12], Ban>(MapName::Networks4)?;
        carried.bans.extend(networks.into_iter().filter_map(|(key, entry)| ban(prefix_of_lpm4(&lpm4(key)), entry)));
        let networks = read.entries::<[u8; 20], Ban>(MapName::Networks6)?;
        carried.bans.extend(networks.into_iter().filter_map(|(key, entry)| ban(prefix_of_lpm6(&lpm6(key)), entry)));
        let v4 = read.entries::<[u8; 12], Allowed>(MapName::Allow4)?;
        carried.allowed.extend(v4.into_iter().filter_map(|(key, _)| prefix_of_lpm4(&lpm4(key))));
        let v6 = read.entries::<[u8; 20], Allowed>(MapName::Allow6)?;
        carried.allowed.extend(v6.into_iter().filter_map(|(key, _)| prefix_of_lpm6(&lpm6(key))));
        Ok(carried)
    }

    /// Writes everything, and returns how many bans there was no room for.
    fn write(self, maps: &mut Maps, capacity: Capacity) -> Result<usize> {
        let Self { config, jails, ports, interfaces, mut bans, allowed } = self;
        maps.set_config(config.flags & flags::OBSERVE | flags::ASK_ALWAYS, config.observed)?;
        for (index, jail) in (0..).zip(&jails).filter(|(_, jail)| jail.name[0] != 0) {
            maps.set_jail(index, *jail)?;
        }
        for (index, scope) in ports.into_iter().filter(|(_, scope)| *scope != 0) {
            maps.set_port_scope(index, scope)?;
        }
        for (slot, interface) in interfaces.into_iter().filter(|(_, interface)| interface.name[0] != 0) {
            maps.set_interface(slot, interface)?;
        }
        for prefix in allowed {
            maps.allow(prefix)?;
        }
        // Those that end last come first; there may be less room than there was.
        bans.sort_by_key(|ban| std::cmp::Reverse(ban.until()));
        let (mut ipv4, mut ipv6) = (capacity.ipv4, capacity.ipv6);
        let before = bans.len();
        bans.retain(|KernelBan { prefix, .. }| {
            let room = match (prefix.addr().is_ipv4(), prefix.len()) {
                (true, 32) => &mut ipv4,
                (false, 64) => &mut ipv6,
                _ => return true,
            };
            let fits = *room > 0;
            *room = room.saturating_sub(1);
            fits
        });
        let left_out = before - bans.len();
        Presence::default().add(maps, bans.iter().map(|ban| ban.prefix))?;
        let entries: Vec<(Prefix, Ban)> = bans.into_iter().map(|ban| (ban.prefix, ban.entry)).collect();
        if let Some((_, error)) = maps.set_bans(&entries).into_iter().next() {
            return Err(error);
        }
        Ok(left_out)
    }
}

/// A key of a trie as it lies in the kernel: length in the machine's order, then the address.
fn lpm4(key: [u8; 12]) -> Key<Address4> {
    let [l0, l1, l2, l3, a, b, c, d, ..] = key;
    Key::new(u32::from_ne_bytes([l0, l1, l2, l3]), Address4 { addr: [a, b, c, d], zero: [0; 4] })
}

fn lpm6(key: [u8; 20]) -> Key<Address6> {
    let mut addr = [0; 16];
    addr.copy_from_slice(&key[4..]);
    let [l0, l1, l2, l3, ..] = key;
    Key::new(u32::from_ne_bytes([l0, l1, l2, l3]), Address6 { addr })
}

struct Reader<'a> {
    directory: &'a Path,
}

impl Reader<'_> {
    /// Every entry of a map; none if the layout has no such map.
    fn entries<K: aya::Pod + Default, V: aya::Pod + Default>(&self, name: MapName) -> Result<Vec<(K, V)>> {
        let path: PathBuf = self.directory.join(name.as_str());
        if !path.exists() {
            return Ok(Vec::new());
        }
        let entries = || -> Result<Vec<(K, V)>, MapError> {
            let map = MapData::from_pin(&path)?;
            Ok(RawMap::of(&map).and_then(|map| map.entries())?)
        };
        match entries() {
            Ok(entries) => Ok(entries),
            Err(error) => bail!(
                "the bans in {} cannot be carried over: the map {} cannot be read: {error}. Run the version that made it, or \
                 `blocker detach`, which removes all pins, and the bans with them",
                self.directory.display(),
                name.as_str()
            ),
        }
    }
}
