//! The bans in the kernel's maps, and the flags that say which searches they make necessary.

use anyhow::Result;
use blocker_common::{Ban, FOREVER, SCOPE_ALL, flags};
use blocker_core::prefix::Prefix;
use blocker_core::time::{Timestamp, Until};

use super::Maps;
use super::keys::{BanKey, ban_key};

/// A ban as the kernel has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelBan {
    /// Whom.
    pub prefix: Prefix,
    /// The map's entry.
    pub entry: Ban,
}

impl KernelBan {
    /// When it ends.
    #[must_use]
    pub fn until(&self) -> Until {
        if self.entry.flags & FOREVER != 0 {
            Until::Forever
        } else {
            Until::At(Timestamp::from_nanos(i64::try_from(self.entry.deadline_ns).unwrap_or(i64::MAX)))
        }
    }
}

/// How many bans make each search of the program necessary. A search is switched on before the first such ban is written,
/// and off after the last is gone: never is a ban overlooked.
#[derive(Debug, Default)]
pub(super) struct Blocklist {
    all_ports: u64,
    networks4: u64,
    networks6: u64,
    flags: u32,
}

impl Blocklist {
    /// Counts what the maps hold, and sets the flags accordingly.
    pub(super) fn adopt(maps: &mut Maps) -> Result<(Self, Vec<KernelBan>)> {
        let bans = maps.bans()?;
        let mut blocklist = Self { flags: maps.flags()?, ..Self::default() };
        for ban in &bans {
            blocklist.count(ban.prefix, ban.entry.scope, Count::Up);
        }
        blocklist.flags = blocklist.wanted_flags() | blocklist.flags & flags::OBSERVE;
        maps.set_flags(blocklist.flags)?;
        Ok((blocklist, bans))
    }

    /// Writes a ban; the counts of an earlier one of the same prefix are kept.
    pub(super) fn enforce(&mut self, maps: &mut Maps, prefix: Prefix, scope: u64, until: Until) -> Result<()> {
        let earlier = maps.ban(prefix)?;
        let (deadline_ns, forever) = match until {
            // An end before the boot is over, as is zero.
            Until::At(end) => (u64::try_from(end.as_nanos()).unwrap_or(0), 0),
            Until::Forever => (0, FOREVER),
        };
        let entry = Ban {
            scope,
            deadline_ns,
            flags: forever,
            prefix_len: u32::from(prefix.len()),
            ..earlier.unwrap_or_default()
        };
        self.count(prefix, scope, Count::Up);
        let written = self.update_flags(maps).and_then(|()| maps.set_ban(prefix, &entry));
        match (&written, earlier) {
            (Ok(()), Some(earlier)) => self.count(prefix, earlier.scope, Count::Down),
            (Ok(()), None) => {}
            (Err(_), _) => self.count(prefix, scope, Count::Down),
        }
        self.update_flags(maps)?;
        written
    }

    /// Removes a ban.
    pub(super) fn lift(&mut self, maps: &mut Maps, prefix: Prefix) -> Result<()> {
        let Some(earlier) = maps.ban(prefix)? else { return Ok(()) };
        maps.remove_ban(prefix)?;
        self.count(prefix, earlier.scope, Count::Down);
        self.update_flags(maps)
    }

    /// Sets or clears a flag that does not depend on the bans.
    pub(super) fn set_flag(&mut self, maps: &mut Maps, flag: u32, on: bool) -> Result<()> {
        let flags = if on { self.flags | flag } else { self.flags & !flag };
        maps.set_flags(flags)?;
        self.flags = flags;
        Ok(())
    }

    fn count(&mut self, prefix: Prefix, scope: u64, count: Count) {
        let step = |number: &mut u64| match count {
            Count::Up => *number += 1,
            Count::Down => *number = number.saturating_sub(1),
        };
        if scope & SCOPE_ALL != 0 {
            step(&mut self.all_ports);
        }
        match ban_key(prefix) {
            BanKey::Host4(_) | BanKey::Network64(_) => {}
            BanKey::Network4(_) => step(&mut self.networks4),
            BanKey::Network6(_) => step(&mut self.networks6),
        }
    }

    fn update_flags(&mut self, maps: &mut Maps) -> Result<()> {
        let flags = self.wanted_flags() | self.flags & flags::OBSERVE;
        if flags != self.flags {
            maps.set_flags(flags)?;
            self.flags = flags;
        }
        Ok(())
    }

    fn wanted_flags(&self) -> u32 {
        let flag = |count: u64, flag: u32| if count > 0 { flag } else { 0 };
        flag(self.all_ports, flags::ALL_PORTS)
            | flag(self.networks4, flags::NETWORKS4)
            | flag(self.networks6, flags::NETWORKS6)
    }
}

#[derive(Clone, Copy)]
enum Count {
    Up,
    Down,
}
