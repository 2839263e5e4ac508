//! The large maps once more, for calls with many entries.

use anyhow::{Context, Result, bail, ensure};
use aya::Pod;
use aya::maps::{Array, HashMap, Map, MapData, MapError};
use blocker_common::{Ban, Host4, MapName, Network6};
use blocker_core::prefix::Prefix;

use super::syscalls::{Batch, Stopped};

/// Entries for which a call for many is not worth its while.
pub(super) const FEW: usize = 8;

/// Handles of them.
pub(super) struct Many {
    pub(super) bans4: Batch<Host4, Ban>,
    pub(super) bans6: Batch<Network6, Ban>,
    pub(super) ports: Batch<u32, u64>,
    pub(super) sctp_ports: Batch<u32, u64>,
    pub(super) present4: Batch<u32, u64>,
    pub(super) present6: Batch<u32, u64>,
}

impl Many {
    /// Opens them: the maps of bans, of ports and of presence.
    pub(super) fn of(
        [bans4, bans6]: [&Map; 2],
        [ports, sctp_ports]: [&Map; 2],
        [present4, present6]: [&Map; 2],
    ) -> Result<Self> {
        Ok(Self {
            bans4: many(bans4)?,
            bans6: many(bans6)?,
            ports: many(ports)?,
            sctp_ports: many(sctp_ports)?,
            present4: many(present4)?,
            present6: many(present6)?,
        })
    }
}

/// A map, for calls with many entries.
fn many<K: Pod + Default, V: Pod + Default>(map: &Map) -> Result<Batch<K, V>> {
    let (Map::Array(map) | Map::HashMap(map)) = map else { bail!("a map is of another kind than expected") };
    Batch::of(map).context("opening a map once more")
}

/// Every word of an array, in order.
pub(super) fn words(many: &Batch<u32, u64>, one: &Array<MapData, u64>, len: u32) -> Result<Vec<u64>> {
    let words = match many.read() {
        Ok(mut entries) => {
            entries.sort_unstable_by_key(|(index, _)| *index);
            entries.into_iter().map(|(_, word)| word).collect()
        }
        // A kernel without such calls.
        Err(_) => one.iter().collect::<Result<Vec<u64>, MapError>>()?,
    };
    ensure!(words.len() == len as usize, "an array of {len} words has {}", words.len());
    Ok(words)
}

/// Every entry of a hash.
pub(super) fn all<K: Pod + Default, V: Pod + Default>(
    many: &Batch<K, V>,
    one: &HashMap<MapData, K, V>,
    name: MapName,
) -> Result<Vec<(K, V)>> {
    match many.read() {
        Ok(entries) => Ok(entries),
        // A kernel without such calls.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            one.iter().collect::<Result<_, _>>().with_context(|| format!("reading the map {}", name.as_str()))
        }
        Err(error) => Err(error).with_context(|| format!("reading the map {}", name.as_str())),
    }
}

/// Writes many bans of a hash, and returns those that were not written.
pub(super) fn set_many<K: Pod + Default>(many: &Batch<K, Ban>, bans: &[(Prefix, K, Ban)]) -> Vec<(Prefix, Ban)> {
    let keys: Vec<K> = bans.iter().map(|(_, key, _)| *key).collect();
    let values: Vec<Ban> = bans.iter().map(|(_, _, ban)| *ban).collect();
    let done = match many.update(&keys, &values) {
        Ok(()) => bans.len(),
        Err(Stopped { done }) => done,
    };
    bans.iter().skip(done).map(|&(prefix, _, ban)| (prefix, ban)).collect()
}

/// Removes many bans of a hash, and returns those that were not removed.
pub(super) fn remove_many<K: Pod + Default>(many: &Batch<K, Ban>, bans: &[(Prefix, K)]) -> Vec<Prefix> {
    let keys: Vec<K> = bans.iter().map(|(_, key)| *key).collect();
    let done = match many.remove(&keys) {
        Ok(()) => bans.len(),
        Err(Stopped { done }) => done,
    };
    bans.iter().skip(done).map(|(prefix, _)| *prefix).collect()
}
