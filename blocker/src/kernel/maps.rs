//! The open maps, typed.

use std::collections::HashMap as StdHashMap;
use std::io;
use std::os::fd::{AsRawFd, RawFd};

use anyhow::{Context, Result, anyhow};
use aya::Ebpf;
use aya::maps::lpm_trie::LpmTrie;
use aya::maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray, PerCpuValues, RingBuf};
use aya::util::nr_cpus;
use blocker_common::{
    Address4, Address6, Allowed, Ban, Config, Counter, Dropped, Host4, Interface, JailName, LAYOUT, MapName, Network6,
    Outcome, PORT_TABLE_LEN, SCTP_TABLE_LEN, Tally, counter_index, flags, presence,
};
use blocker_core::prefix::Prefix;

use super::keys::{
    AllowKey, BanKey, NETWORK6_BITS, allow_key, ban_key, prefix_of_host4, prefix_of_lpm4, prefix_of_lpm6,
    prefix_of_network64,
};
use super::many::{FEW, Many, all, remove_many, set_many, words};
use super::syscalls::Position;
use super::{KernelBan, Pins};

/// The flags that mean something; the bits above them count changes.
const MEANINGS: u32 = flags::FIRST_CHANGE - 1;

/// Every map of the program that is not its own affair.
pub struct Maps {
    config: Array<MapData, Config>,
    jails: Array<MapData, JailName>,
    ports: Array<MapData, u64>,
    sctp_ports: Array<MapData, u64>,
    bans4: HashMap<MapData, Host4, Ban>,
    bans6: HashMap<MapData, Network6, Ban>,
    networks4: LpmTrie<MapData, Address4, Ban>,
    networks6: LpmTrie<MapData, Address6, Ban>,
    allow4: LpmTrie<MapData, Address4, Allowed>,
    allow6: LpmTrie<MapData, Address6, Allowed>,
    counters: PerCpuArray<MapData, Counter>,
    present4: Array<MapData, u64>,
    present6: Array<MapData, u64>,
    interfaces: Array<MapData, Interface>,
    tallies4: PerCpuArray<MapData, Tally>,
    tallies6: PerCpuArray<MapData, Tally>,
    drops: Option<RingBuf<MapData>>,
    many: Many,
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
        let (bans4, bans6) = (map(MapName::Bans4)?, map(MapName::Bans6)?);
        let (present4, present6) = (map(MapName::Present4)?, map(MapName::Present6)?);
        let (ports, sctp_ports) = (map(MapName::Ports)?, map(MapName::SctpPorts)?);
        let many = Many::of([&bans4, &bans6], [&ports, &sctp_ports], [&present4, &present6])?;
        Ok(Self {
            config: map(MapName::Config)?.try_into()?,
            jails: map(MapName::Jails)?.try_into()?,
            ports: ports.try_into()?,
            sctp_ports: sctp_ports.try_into()?,
            bans4: bans4.try_into()?,
            bans6: bans6.try_into()?,
            networks4: map(MapName::Networks4)?.try_into()?,
            networks6: map(MapName::Networks6)?.try_into()?,
            allow4: map(MapName::Allow4)?.try_into()?,
            allow6: map(MapName::Allow6)?.try_into()?,
            counters: map(MapName::Counters)?.try_into()?,
            present4: present4.try_into()?,
            present6: present6.try_into()?,
            interfaces: map(MapName::Interfaces)?.try_into()?,
            tallies4: map(MapName::Tallies4)?.try_into()?,
            tallies6: map(MapName::Tallies6)?.try_into()?,
            drops: Some(map(MapName::Drops)?.try_into()?),
            many,
        })
    }

    /// The ring of sampled drops; `None` from the second call on, because it has one reader.
    pub fn take_drops(&mut self) -> Option<DropRing> {
        self.drops.take().map(DropRing)
    }

    /// The configuration of the program, without the number of changes in its flags.
    ///
    /// # Errors
    ///
    /// The kernel's; so for all below.
    pub fn config(&self) -> Result<Config> {
        let config = self.whole_config()?;
        Ok(Config { flags: config.flags & MEANINGS, ..config })
    }

    /// Sets [`Config::flags`], but for the number of changes, and [`Config::observed`].
    pub fn set_config(&mut self, flags: u32, observed: u64) -> Result<()> {
        let changes = self.whole_config()?.flags & !MEANINGS;
        self.write_config(Config { layout: LAYOUT, flags: flags & MEANINGS | changes, observed })
    }

    /// Lets programs forget what they remember of bans: something was changed among them.
    fn tell_change(&mut self) -> Result<()> {
        let config = self.whole_config()?;
        self.write_config(Config { flags: config.flags.wrapping_add(flags::FIRST_CHANGE), ..config })
    }

    fn whole_config(&self) -> Result<Config> {
        self.config.get(&0, 0).context("reading the map CONFIG")
    }

    fn write_config(&mut self, config: Config) -> Result<()> {
        self.config.set(0, config, 0).context("writing the map CONFIG")
    }

    /// The entries of the interfaces, by index of the table.
    pub fn interfaces(&self) -> Result<Vec<Interface>> {
        self.interfaces.iter().collect::<Result<_, MapError>>().context("reading the map INTERFACES")
    }

    /// Sets one.
    pub fn set_interface(&mut self, slot: u32, interface: Interface) -> Result<()> {
        self.interfaces.set(slot, interface, 0).context("writing the map INTERFACES")
    }

    /// The words of a presence bitmap.
    pub fn presence(&self, is_v4: bool) -> Result<Vec<u64>> {
        let (many, one) =
            if is_v4 { (&self.many.present4, &self.present4) } else { (&self.many.present6, &self.present6) };
        words(many, one, presence::WORDS).context("reading a presence bitmap")
    }

    /// Sets some of them.
    pub fn set_presence(&mut self, is_v4: bool, indices: &[u32], words: &[u64]) -> Result<()> {
        let (many, one) =
            if is_v4 { (&self.many.present4, &mut self.present4) } else { (&self.many.present6, &mut self.present6) };
        let done = match indices.len() {
            ..FEW => 0,
            _ => match many.update(indices, words) {
                Ok(()) => return Ok(()),
                Err(stopped) => stopped.done,
            },
        };
        for (&index, &word) in indices.iter().zip(words).skip(done) {
            one.set(index, word, 0).context("writing a presence bitmap")?;
        }
        Ok(())
    }

    /// The name of the jail of a scope's bit; empty if there is none.
    pub fn jail_name(&self, index: u32) -> Result<String> {
        let JailName { name } = self.jails.get(&index, 0).context("reading the map JAILS")?;
        let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
        Ok(String::from_utf8_lossy(&name[..end]).into_owned())
    }

    /// Sets the name of a jail as another map had it.
    pub(super) fn set_jail(&mut self, index: u32, name: JailName) -> Result<()> {
        self.jails.set(index, name, 0).context("writing the map JAILS")
    }

    /// Names it; cut to 31 bytes.
    pub fn set_jail_name(&mut self, index: u32, name: &str) -> Result<()> {
        let mut entry = JailName::default();
        for (to, from) in entry.name.iter_mut().take(31).zip(name.bytes()) {
            *to = from;
        }
        self.set_jail(index, entry)
    }

    /// The jails that protect each port, as bits of a scope, by [`blocker_common::port_index`].
    pub fn port_scopes(&self) -> Result<Vec<u64>> {
        let mut scopes = words(&self.many.ports, &self.ports, PORT_TABLE_LEN).context("reading the map PORTS")?;
        let sctp = words(&self.many.sctp_ports, &self.sctp_ports, SCTP_TABLE_LEN);
        scopes.extend(sctp.context("reading the map SCTP_PORTS")?);
        Ok(scopes)
    }

    /// Sets those of the port with this index.
    pub fn set_port_scope(&mut self, index: u32, scope: u64) -> Result<()> {
        match index.checked_sub(PORT_TABLE_LEN) {
            None => self.ports.set(index, scope, 0).context("writing the map PORTS"),
            Some(sctp) => self.sctp_ports.set(sctp, scope, 0).context("writing the map SCTP_PORTS"),
        }
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
        self.insert(prefix, ban)?;
        self.tell_change()
    }

    fn insert(&mut self, prefix: Prefix, ban: &Ban) -> Result<()> {
        match ban_key(prefix) {
            BanKey::Host4(key) => self.bans4.insert(key, ban, 0),
            BanKey::Network64(key) => self.bans6.insert(key, ban, 0),
            BanKey::Network4(key) => self.networks4.insert(&key, ban, 0),
            BanKey::Network6(key) => self.networks6.insert(&key, ban, 0),
        }
        .with_context(|| format!("writing the ban of {prefix}"))
    }

    /// Writes many bans. Those that are refused are handed back, each with the reason.
    pub fn set_bans(&mut self, bans: &[(Prefix, Ban)]) -> Vec<(Prefix, anyhow::Error)> {
        let (mut hosts, mut networks, mut left) = (Vec::new(), Vec::new(), Vec::new());
        for &(prefix, ban) in bans {
            match ban_key(prefix) {
                _ if bans.len() < FEW => left.push((prefix, ban)),
                BanKey::Host4(key) => hosts.push((prefix, key, ban)),
                BanKey::Network64(key) => networks.push((prefix, key, ban)),
                BanKey::Network4(_) | BanKey::Network6(_) => left.push((prefix, ban)),
            }
        }
        left.extend(set_many(&self.many.bans4, &hosts));
        left.extend(set_many(&self.many.bans6, &networks));
        // One by one: what has no such call, and what was refused, for the reason.
        let refused = left
            .into_iter()
            .filter_map(|(prefix, ban)| self.insert(prefix, &ban).err().map(|error| (prefix, error)))
            .collect();
        match self.tell_change() {
            Ok(()) => refused,
            Err(error) => bans.iter().map(|(prefix, _)| (*prefix, anyhow!("{error:#}"))).collect(),
        }
    }

    /// The bans of the prefixes around `prefix`, its own included.
    pub fn covering(&self, prefix: Prefix) -> Result<Vec<KernelBan>> {
        let mut covering = Vec::new();
        let mut len = prefix.len();
        let mut own = |prefix: Prefix| -> Result<()> {
            covering.extend(self.ban(prefix)?.map(|entry| KernelBan { prefix, entry }));
            Ok(())
        };
        own(prefix)?;
        if prefix.addr().is_ipv6() && len > NETWORK6_BITS {
            own(Prefix::new(prefix.addr(), NETWORK6_BITS)?)?;
        }
        // The trie answers with the longest network of at most so many bits.
        while len > 0 {
            let found = match allow_key(Prefix::new(prefix.addr(), len)?) {
                AllowKey::V4(key) => self.networks4.get(&key, 0),
                AllowKey::V6(key) => self.networks6.get(&key, 0),
            };
            let entry = match found {
                Ok(entry) => entry,
                Err(MapError::KeyNotFound) => break,
                Err(error) => return Err(error).with_context(|| format!("reading the bans around {prefix}")),
            };
            let Ok(found) = u8::try_from(entry.prefix_len) else { break };
            if found < prefix.len() {
                covering.push(KernelBan { prefix: Prefix::new(prefix.addr(), found)?, entry });
            }
            len = found.min(len).saturating_sub(1);
        }
        Ok(covering)
    }

    /// Removes it; that it is not there is no error.
    pub fn remove_ban(&mut self, prefix: Prefix) -> Result<()> {
        self.remove(prefix)?;
        self.tell_change()
    }

    fn remove(&mut self, prefix: Prefix) -> Result<()> {
        let removed = match ban_key(prefix) {
            BanKey::Host4(key) => self.bans4.remove(&key),
            BanKey::Network64(key) => self.bans6.remove(&key),
            BanKey::Network4(key) => self.networks4.remove(&key),
            BanKey::Network6(key) => self.networks6.remove(&key),
        };
        absent_is_fine(removed).with_context(|| format!("removing the ban of {prefix}"))
    }

    /// Removes many; that one is not there is no error. Those that are refused are handed back, each with the reason.
    pub fn remove_bans(&mut self, prefixes: &[Prefix]) -> Vec<(Prefix, anyhow::Error)> {
        let (mut hosts, mut networks, mut left) = (Vec::new(), Vec::new(), Vec::new());
        for &prefix in prefixes {
            match ban_key(prefix) {
                _ if prefixes.len() < FEW => left.push(prefix),
                BanKey::Host4(key) => hosts.push((prefix, key)),
                BanKey::Network64(key) => networks.push((prefix, key)),
                BanKey::Network4(_) | BanKey::Network6(_) => left.push(prefix),
            }
        }
        left.extend(remove_many(&self.many.bans4, &hosts));
        left.extend(remove_many(&self.many.bans6, &networks));
        let refused =
            left.into_iter().filter_map(|prefix| self.remove(prefix).err().map(|error| (prefix, error))).collect();
        match self.tell_change() {
            Ok(()) => refused,
            Err(error) => prefixes.iter().map(|prefix| (*prefix, anyhow!("{error:#}"))).collect(),
        }
    }

    /// Some bans of IPv4 hosts, from `position` on.
    pub(super) fn hosts4_from(&self, position: &mut Position) -> io::Result<Vec<KernelBan>> {
        let mut read = Vec::new();
        self.many.bans4.read_on(position, &mut read)?;
        Ok(read.into_iter().map(|(key, entry)| KernelBan { prefix: prefix_of_host4(key), entry }).collect())
    }

    /// Some bans of IPv6 /64s, from `position` on.
    pub(super) fn networks64_from(&self, position: &mut Position) -> io::Result<Vec<KernelBan>> {
        let mut read = Vec::new();
        self.many.bans6.read_on(position, &mut read)?;
        let ban = |(key, entry)| prefix_of_network64(key).map(|prefix| KernelBan { prefix, entry });
        Ok(read.into_iter().filter_map(ban).collect())
    }

    /// Every ban.
    pub fn bans(&self) -> Result<Vec<KernelBan>> {
        let hosts = all(&self.many.bans4, &self.bans4, MapName::Bans4)?;
        let mut bans: Vec<KernelBan> =
            hosts.into_iter().map(|(key, entry)| KernelBan { prefix: prefix_of_host4(key), entry }).collect();
        for (key, entry) in all(&self.many.bans6, &self.bans6, MapName::Bans6)? {
            bans.extend(prefix_of_network64(key).map(|prefix| KernelBan { prefix, entry }));
        }
        bans.extend(self.networks()?);
        Ok(bans)
    }

    /// The bans that are in tries.
    pub(super) fn networks(&self) -> Result<Vec<KernelBan>> {
        let mut bans = Vec::new();
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

    /// Packets and bytes of an outcome on the interface at `slot`, over all CPUs.
    pub fn counter(&self, slot: u32, outcome: Outcome) -> Result<Counter> {
        let values = self.counters.get(&counter_index(slot, outcome), 0).context("reading the map COUNTERS")?;
        Ok(values.iter().fold(Counter::default(), |sum, cpu| Counter {
            packets: sum.packets + cpu.packets,
            bytes: sum.bytes + cpu.bytes,
        }))
    }

    /// Forgets what was counted on the interface at `slot`.
    pub fn clear_counters(&mut self, slot: u32) -> Result<()> {
        for outcome in Outcome::ALL {
            let zero = PerCpuValues::try_from(vec![Counter::default(); nr_cpus().map_err(|(_, error)| error)?])?;
            self.counters.set(counter_index(slot, outcome), zero, 0).context("writing the map COUNTERS")?;
        }
        Ok(())
    }

    /// What the CPUs have counted and not yet added to the bans.
    pub fn tallies(&self) -> Result<Tallies> {
        let mut tallies = Tallies::default();
        for (map, sums) in [(&self.tallies4, &mut tallies.hosts4), (&self.tallies6, &mut tallies.networks6)] {
            for values in map.iter() {
                for tally in values.context("reading the tallies")?.iter().filter(|tally| tally.packets > 0) {
                    let sum: &mut Tally = sums.entry(tally.key).or_default();
                    sum.packets += tally.packets;
                    sum.bytes += tally.bytes;
                    sum.last_ns = sum.last_ns.max(tally.last_ns);
                }
            }
        }
        Ok(tallies)
    }
}

/// The ring of sampled drops, for its one reader.
pub struct DropRing(RingBuf<MapData>);

impl DropRing {
    /// Hands on all that wait.
    pub fn read(&mut self, mut take: impl FnMut(Dropped)) {
        while let Some(item) = self.0.next() {
            if let Some(dropped) = Dropped::read(&item) {
                take(dropped);
            }
        }
    }
}

impl AsRawFd for DropRing {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Counts that are not yet in the bans, summed over CPUs, by the key of the ban.
#[derive(Clone, Debug, Default)]
pub struct Tallies {
    hosts4: StdHashMap<u64, Tally>,
    networks6: StdHashMap<u64, Tally>,
}

impl Tallies {
    /// The ban's entry with what is not yet in it.
    #[must_use]
    pub fn complete(&self, prefix: Prefix, ban: Ban) -> Ban {
        let tally = match ban_key(prefix) {
            BanKey::Host4(key) => self.hosts4.get(&u32::from_ne_bytes(key.addr).into()),
            BanKey::Network64(key) => self.networks6.get(&u64::from_ne_bytes(key.prefix)),
            BanKey::Network4(_) | BanKey::Network6(_) => None,
        };
        let tally = tally.filter(|tally| ban.first_drop_ns != 0 && !tally.is_of_before(ban.first_drop_ns));
        tally.map_or(ban, |tally| Ban {
            packets: ban.packets + tally.packets,
            bytes: ban.bytes + tally.bytes,
            last_drop_ns: ban.last_drop_ns.max(tally.last_ns),
            ..ban
        })
    }
}

fn absent_is_fine(removed: Result<(), MapError>) -> Result<(), MapError> {
    match removed {
        Err(MapError::KeyNotFound) => Ok(()),
        Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        other => other,
    }
}
