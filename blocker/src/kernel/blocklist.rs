//! The bans in the kernel's maps, and what tells the program which searches they make necessary.

use std::collections::HashSet;
use std::io;
use std::time::Duration;

use anyhow::Result;
use blocker_common::{Ban, FOREVER, HOLDS_ALLOWED, SCOPE_ALL, SCOPE_ALL_OBSERVED, flags};
use blocker_core::prefix::Prefix;
use blocker_core::time::{Timestamp, Until};

use super::allowlist::Allowlist;
use super::keys::{BanKey, ban_key};
use super::{Maps, Presence};

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

/// A ban as it is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) prefix: Prefix,
    pub(super) scope: u64,
    pub(super) until: Until,
}

/// How many bans make each search of the program necessary. A search is switched on, and a place's bit set, before the
/// first such ban is written, and off after the last is gone: never is a ban overlooked.
#[derive(Debug)]
pub(super) struct Blocklist {
    all_ports: u64,
    networks4: u64,
    networks6: u64,
    presence: Presence,
    allowlist: Allowlist,
    flags: u32,
    observed: u64,
}

impl Blocklist {
    /// Counts what the maps hold, and brings flags and presence in line.
    pub(super) fn adopt(maps: &mut Maps) -> Result<(Self, Vec<KernelBan>)> {
        let bans = maps.bans()?;
        let held = maps.config()?;
        let mut blocklist = Self {
            allowlist: Allowlist::adopt(maps)?,
            all_ports: 0,
            networks4: 0,
            networks6: 0,
            presence: Presence::rebuild(maps, bans.iter().map(|ban| ban.prefix))?,
            flags: held.flags,
            observed: held.observed,
        };
        for ban in &bans {
            blocklist.count(ban.prefix, ban.entry.scope, Count::Up);
        }
        blocklist.flags = blocklist.wanted_flags() | held.flags & flags::OBSERVE | flags::ASK_ALWAYS;
        maps.set_config(blocklist.flags, blocklist.observed)?;
        for KernelBan { prefix, mut entry } in bans.iter().copied() {
            let mark = blocklist.allowlist.mark(prefix);
            if entry.flags & HOLDS_ALLOWED != mark {
                entry.flags = entry.flags & !HOLDS_ALLOWED | mark;
                maps.set_ban(prefix, &entry)?;
            }
        }
        Ok((blocklist, bans))
    }

    /// Writes bans; the counts of earlier ones of the same prefixes are kept. Those that are refused are handed back.
    pub(super) fn enforce(&mut self, maps: &mut Maps, wanted: &[Wanted]) -> Vec<(Prefix, anyhow::Error)> {
        let mut refused = Vec::new();
        let (mut entries, mut earlier, mut new) = (Vec::new(), Vec::new(), Vec::new());
        for &Wanted { prefix, scope, until } in wanted {
            // Where nobody is banned nothing need be looked up.
            let found = if self.presence.is_empty_at(prefix) { Ok(None) } else { maps.ban(prefix) };
            match found {
                Ok(found) => {
                    if found.is_none() {
                        new.push(prefix);
                    }
                    let mark = self.allowlist.mark(prefix);
                    entries.push((prefix, entry(prefix, scope, until, mark, found)));
                    earlier.push(found);
                }
                Err(error) => refused.push((prefix, error)),
            }
        }
        for (prefix, entry) in &entries {
            self.count(*prefix, entry.scope, Count::Up);
        }
        let ready = self.presence.add(maps, new.iter().copied());
        let ready = ready.and_then(|()| self.update_flags(maps));
        let failed = match ready {
            Ok(()) => set_patiently(maps, &entries),
            Err(error) => entries.iter().map(|(prefix, _)| (*prefix, anyhow::anyhow!("{error:#}"))).collect(),
        };
        for ((prefix, written), earlier) in entries.into_iter().zip(earlier) {
            let is_refused = failed.iter().any(|(refused, _)| *refused == prefix);
            let gone = if is_refused { Some(written) } else { earlier };
            if let Some(gone) = gone {
                self.count(prefix, gone.scope, Count::Down);
            }
            if is_refused && earlier.is_none() {
                refused.extend(self.presence.remove(maps, [prefix]).err().map(|error| (prefix, error)));
            }
        }
        refused.extend(failed);
        if let Err(error) = self.update_flags(maps) {
            tracing::error!("a search that is needed no more stays switched on: {error:#}");
        }
        refused
    }

    /// Removes a ban.
    pub(super) fn lift(&mut self, maps: &mut Maps, prefix: Prefix) -> Result<()> {
        self.lift_many(maps, &[prefix]).into_iter().next().map_or(Ok(()), |(_, error)| Err(error))
    }

    /// Removes bans; that one is not there is no error. Those that are refused are handed back.
    pub(super) fn lift_many(&mut self, maps: &mut Maps, prefixes: &[Prefix]) -> Vec<(Prefix, anyhow::Error)> {
        let (mut bans, mut refused) = (Vec::with_capacity(prefixes.len()), Vec::new());
        for &prefix in prefixes.iter().filter(|prefix| !self.presence.is_empty_at(**prefix)) {
            match maps.ban(prefix) {
                Ok(entry) => bans.extend(entry.map(|entry| KernelBan { prefix, entry })),
                Err(error) => refused.push((prefix, error)),
            }
        }
        refused.extend(self.lift_known(maps, &bans));
        refused
    }

    /// Removes bans that are there. Those that are refused are handed back.
    pub(super) fn lift_known(&mut self, maps: &mut Maps, bans: &[KernelBan]) -> Vec<(Prefix, anyhow::Error)> {
        if bans.is_empty() {
            return Vec::new();
        }
        let prefixes: Vec<Prefix> = bans.iter().map(|ban| ban.prefix).collect();
        let mut refused = maps.remove_bans(&prefixes);
        let kept: HashSet<Prefix> = refused.iter().map(|(prefix, _)| *prefix).collect();
        let gone = || bans.iter().filter(|ban| !kept.contains(&ban.prefix));
        for ban in gone() {
            self.count(ban.prefix, ban.entry.scope, Count::Down);
        }
        let cleared = self.presence.remove(maps, gone().map(|ban| ban.prefix));
        if let Err(error) = cleared.and_then(|()| self.update_flags(maps)) {
            refused.extend(gone().map(|ban| (ban.prefix, anyhow::anyhow!("{error:#}"))));
        }
        refused
    }

    /// Allows a prefix. From here on the program asks the allowlist before every drop, until [`Blocklist::settle`].
    pub(super) fn allow(&mut self, maps: &mut Maps, prefix: Prefix) -> Result<()> {
        self.ask_always(maps, true)?;
        self.allowlist.allow(maps, prefix)
    }

    /// Takes it back.
    pub(super) fn disallow(&mut self, maps: &mut Maps, prefix: Prefix) -> Result<()> {
        self.allowlist.disallow(maps, prefix)
    }

    /// Everything that is allowed.
    pub(super) fn allowed(&self) -> impl Iterator<Item = Prefix> {
        self.allowlist.iter()
    }

    /// Says that all that follows from changes of the allowlist is done: bans inside it are lifted.
    pub(super) fn settle(&mut self, maps: &mut Maps) -> Result<()> {
        self.ask_always(maps, false)
    }

    fn ask_always(&mut self, maps: &mut Maps, always: bool) -> Result<()> {
        let flags = if always { self.flags | flags::ASK_ALWAYS } else { self.flags & !flags::ASK_ALWAYS };
        if flags != self.flags {
            maps.set_config(flags, self.observed)?;
            self.flags = flags;
        }
        Ok(())
    }

    /// Whether everything only observes, and which jails do.
    pub(super) fn set_observed(&mut self, maps: &mut Maps, all: bool, jails: u64) -> Result<()> {
        let flags = if all { self.flags | flags::OBSERVE } else { self.flags & !flags::OBSERVE };
        maps.set_config(flags, jails)?;
        self.flags = flags;
        self.observed = jails;
        Ok(())
    }

    fn count(&mut self, prefix: Prefix, scope: u64, count: Count) {
        let step = |number: &mut u64| match count {
            Count::Up => *number += 1,
            Count::Down => *number = number.saturating_sub(1),
        };
        if scope & (SCOPE_ALL | SCOPE_ALL_OBSERVED) != 0 {
            step(&mut self.all_ports);
        }
        match ban_key(prefix) {
            BanKey::Host4(_) | BanKey::Network64(_) => {}
            BanKey::Network4(_) => step(&mut self.networks4),
            BanKey::Network6(_) => step(&mut self.networks6),
        }
    }

    fn update_flags(&mut self, maps: &mut Maps) -> Result<()> {
        let flags = self.wanted_flags() | self.flags & (flags::OBSERVE | flags::ASK_ALWAYS);
        if flags != self.flags {
            maps.set_config(flags, self.observed)?;
            self.flags = flags;
        }
        Ok(())
    }

    fn wanted_flags(&self) -> u32 {
        let flag = |count: u64, flag: u32| if count > 0 { flag } else { 0 };
        flag(self.all_ports, flags::ALL_PORTS)
            | flag(self.networks4, flags::NETWORKS4)
            | flag(self.networks6, flags::NETWORKS6)
            | self.presence.flags()
    }
}

/// How often, and how long after, an entry is written again for which the kernel had no memory.
const TRIES: u32 = 10;
const BETWEEN_TRIES: Duration = Duration::from_millis(1);

/// Writes bans, and those again for which the kernel had no memory at that moment. It takes memory for an entry without waiting
/// for any to be freed, so where files fill all memory a fast list of bans finds none now and then; a refusal wakes
/// what frees some.
fn set_patiently(maps: &mut Maps, entries: &[(Prefix, Ban)]) -> Vec<(Prefix, anyhow::Error)> {
    let mut failed = maps.set_bans(entries);
    for _ in 0..TRIES {
        if !failed.iter().any(|(_, error)| is_out_of_memory(error)) {
            break;
        }
        std::thread::sleep(BETWEEN_TRIES);
        let again: HashSet<Prefix> = failed.iter().map(|(prefix, _)| *prefix).collect();
        let again: Vec<(Prefix, Ban)> = entries.iter().filter(|(prefix, _)| again.contains(prefix)).copied().collect();
        failed = maps.set_bans(&again);
    }
    failed
}

fn is_out_of_memory(error: &anyhow::Error) -> bool {
    let code = |cause: &(dyn std::error::Error + 'static)| cause.downcast_ref::<io::Error>()?.raw_os_error();
    error.chain().filter_map(code).any(|code| code == libc::ENOMEM)
}

/// The map's entry of a ban, with the counts of an earlier one.
fn entry(prefix: Prefix, scope: u64, until: Until, mark: u32, earlier: Option<Ban>) -> Ban {
    let (deadline_ns, forever) = match until {
        // An end before the boot is over, as is zero.
        Until::At(end) => (u64::try_from(end.as_nanos()).unwrap_or(0), 0),
        Until::Forever => (0, FOREVER),
    };
    let flags = forever | mark;
    Ban { scope, deadline_ns, flags, prefix_len: u32::from(prefix.len()), ..earlier.unwrap_or_default() }
}

#[derive(Clone, Copy)]
enum Count {
    Up,
    Down,
}

#[cfg(test)]
mod tests {
    use aya::maps::MapError;
    use aya::sys::SyscallError;

    use super::*;

    #[test]
    fn only_a_want_of_memory_is_tried_again() {
        let refused = |code| {
            let io_error = io::Error::from_raw_os_error(code);
            anyhow::Error::new(MapError::SyscallError(SyscallError { call: "bpf_map_update_elem", io_error }))
                .context("writing")
        };

        assert!(is_out_of_memory(&refused(libc::ENOMEM)));
        assert!(!is_out_of_memory(&refused(libc::E2BIG)), "a full map stays full");
    }
}
