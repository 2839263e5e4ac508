//! The open maps, typed.

use anyhow::{Context, Result};
use aya::Ebpf;
use aya::maps::lpm_trie::LpmTrie;
use aya::maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray};
use blocker_common::{
    Address4, Address6, Allowed, Ban, Config, Counter, Host4, JailName, LAYOUT, MapName, Network6, Outcome,
};
use blocker_core::prefix::Prefix;

use super::keys::{
    AllowKey, BanKey, allow_key, ban_key, prefix_of_host4, prefix_of_lpm4, prefix_of_lpm6, prefix_of_network64,
};
use super::{KernelBan, Pins};

/// Every map of the program.
pub struct Maps {
    config: Array<MapData, Config>,
    jails: Array<MapData, JailName>,
    ports: Array<MapData, u64>,
    bans4: HashMap<MapData, Host4, Ban>,
    bans6: HashMap<MapData, Network6, Ban>,
    networks4: LpmTrie<MapData, Address4, Ban>,
    networks6: LpmTrie<MapData, Address6, Ban>,
    allow4: LpmTrie<MapData, Address4, Allowed>,
    allow6: LpmTrie<MapData, Address6, Allowed>,
    counters: PerCpuArray<MapData, Counter>,
}

impl Maps {
    /// Takes the maps out of a loaded object.
    pub(super) fn take_from(ebpf: &mut Ebpf) -> Result<Self> {
        Self::open(|name| {
            ebpf.take_map(name.as_str()).with_context(|| format!("the XDP object has no map {}", name.as_str()))
        })
    }

    /// Opens the pinned maps.
    pub(super) fn open_pinned(pins: &Pins) -> Result<Self> {
        Self::open(|name| {
            let path = pins.map(name);
            MapData::from_pin(&path)
                .and_then(Map::from_map_data)
                .with_context(|| format!("opening the pinned map {}", path.display()))
        })
    }

    fn open(mut map: impl FnMut(MapName) -> Result<Map>) -> Result<Self> {
        Ok(Self {
            config: map(MapName::Config)?.try_into()?,
            jails: map(MapName::Jails)?.try_into()?,
            ports: map(MapName::Ports)?.try_into()?,
            bans4: map(MapName::Bans4)?.try_into()?,
            bans6: map(MapName::Bans6)?.try_into()?,
            networks4: map(MapName::Networks4)?.try_into()?,
            networks6: map(MapName::Networks6)?.try_into()?,
            allow4: map(MapName::Allow4)?.try_into()?,
            allow6: map(MapName::Allow6)?.try_into()?,
            counters: map(MapName::Counters)?.try_into()?,
        })
    }

    /// [`Config::flags`].
    ///
    /// # Errors
    ///
    /// The kernel's; so for all below.
    pub fn flags(&self) -> Result<u32> {
        Ok(self.config.get(&0, 0).context("reading the map CONFIG")?.flags)
    }

    /// Sets them.
    pub fn set_flags(&mut self, flags: u32) -> Result<()> {
        self.config.set(0, Config { layout: LAYOUT, flags }, 0).context("writing the map CONFIG")
    }

    /// The name of the jail of a scope's bit; empty if there is none.
    pub fn jail_name(&self, index: u32) -> Result<String> {
        let JailName { name } = self.jails.get(&index, 0).context("reading the map JAILS")?;
        let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
        Ok(String::from_utf8_lossy(&name[..end]).into_owned())
    }

    /// Names it; cut to 31 bytes.
    pub fn set_jail_name(&mut self, index: u32, name: &str) -> Result<()> {
        let mut entry = JailName::default();
        for (to, from) in entry.name.iter_mut().take(31).zip(name.bytes()) {
            *to = from;
        }
        self.jails.set(index, entry, 0).context("writing the map JAILS")
    }

    /// The jails that protect a port, as bits of a scope.
    pub fn port_scope(&self, index: u32) -> Result<u64> {
        self.ports.get(&index, 0).context("reading the map PORTS")
    }

    /// Sets them.
    pub fn set_port_scope(&mut self, index: u32, scope: u64) -> Result<()> {
        self.ports.set(index, scope, 0).context("writing the map PORTS")
    }

    /// The entry of a banned prefix.
    pub fn ban(&self, prefix: Prefix) -> Result<Option<Ban>> {
        let found = match ban_key(prefix) {
            BanKey::Host4(key) => self.bans4.get(&key, 0),
            BanKey::Network64(key) => self.bans6.get(&key, 0),
            // The trie answers with the longest prefix that matches: only the very one is meant.
            BanKey::Network4(key) => self.networks4.get(&key, 0),
            BanKey::Network6(key) => self.networks6.get(&key, 0),
        };
        match found {
            Ok(ban) if ban.prefix_len == u32::from(prefix.len()) => Ok(Some(ban)),
            Ok(_) | Err(MapError::KeyNotFound) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("reading the ban of {prefix}")),
        }
    }

    /// Writes it.
    pub fn set_ban(&mut self, prefix: Prefix, ban: &Ban) -> Result<()> {
        match ban_key(prefix) {
            BanKey::Host4(key) => self.bans4.insert(key, ban, 0),
            BanKey::Network64(key) => self.bans6.insert(key, ban, 0),
            BanKey::Network4(key) => self.networks4.insert(&key, ban, 0),
            BanKey::Network6(key) => self.networks6.insert(&key, ban, 0),
        }
        .with_context(|| format!("writing the ban of {prefix}"))
    }

    /// Removes it; that it is not there is no error.
    pub fn remove_ban(&mut self, prefix: Prefix) -> Result<()> {
        let removed = match ban_key(prefix) {
            BanKey::Host4(key) => self.bans4.remove(&key),
            BanKey::Network64(key) => self.bans6.remove(&key),
            BanKey::Network4(key) => self.networks4.remove(&key),
            BanKey::Network6(key) => self.networks6.remove(&key),
        };
        absent_is_fine(removed).with_context(|| format!("removing the ban of {prefix}"))
    }

    /// Every ban.
    pub fn bans(&self) -> Result<Vec<KernelBan>> {
        let mut bans = Vec::new();
        for entry in &self.bans4 {
            let (key, entry) = entry.context("reading the map BANS4")?;
            bans.push(KernelBan { prefix: prefix_of_host4(key), entry });
        }
        for entry in &self.bans6 {
            let (key, entry) = entry.context("reading the map BANS6")?;
            bans.extend(prefix_of_network64(key).map(|prefix| KernelBan { prefix, entry }));
        }
        for entry in &self.networks4 {
            let (key, entry) = entry.context("reading the map NETWORKS4")?;
            bans.extend(prefix_of_lpm4(&key).map(|prefix| KernelBan { prefix, entry }));
        }
        for entry in &self.networks6 {
            let (key, entry) = entry.context("reading the map NETWORKS6")?;
            bans.extend(prefix_of_lpm6(&key).map(|prefix| KernelBan { prefix, entry }));
        }
        Ok(bans)
    }

    /// Allow-lists a prefix.
    pub fn allow(&mut self, prefix: Prefix) -> Result<()> {
        let value = Allowed { prefix_len: u32::from(prefix.len()) };
        match allow_key(prefix) {
            AllowKey::V4(key) => self.allow4.insert(&key, value, 0),
            AllowKey::V6(key) => self.allow6.insert(&key, value, 0),
        }
        .with_context(|| format!("allow-listing {prefix} in the kernel"))
    }

    /// Takes it off the allowlist; that it is not there is no error.
    pub fn disallow(&mut self, prefix: Prefix) -> Result<()> {
        let removed = match allow_key(prefix) {
            AllowKey::V4(key) => self.allow4.remove(&key),
            AllowKey::V6(key) => self.allow6.remove(&key),
        };
        absent_is_fine(removed).with_context(|| format!("taking {prefix} off the kernel's allowlist"))
    }

    /// Every allow-listed prefix.
    pub fn allowed(&self) -> Result<Vec<Prefix>> {
        let v4 = self.allow4.keys().map(|key| Ok::<_, MapError>(prefix_of_lpm4(&key?)));
        let v6 = self.allow6.keys().map(|key| Ok::<_, MapError>(prefix_of_lpm6(&key?)));
        let prefixes: Result<Vec<Option<Prefix>>, MapError> = v4.chain(v6).collect();
        Ok(prefixes.context("reading the kernel's allowlist")?.into_iter().flatten().collect())
    }

    /// Packets and bytes of an outcome, over all CPUs.
    pub fn counter(&self, outcome: Outcome) -> Result<Counter> {
        let values = self.counters.get(&(outcome as u32), 0).context("reading the map COUNTERS")?;
        Ok(values.iter().fold(Counter::default(), |sum, cpu| Counter {
            packets: sum.packets + cpu.packets,
            bytes: sum.bytes + cpu.bytes,
        }))
    }
}

fn absent_is_fine(removed: Result<(), MapError>) -> Result<(), MapError> {
    match removed {
        Err(MapError::KeyNotFound) => Ok(()),
        Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        other => other,
    }
}
