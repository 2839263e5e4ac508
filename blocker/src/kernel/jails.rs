//! The jails' numbers in the kernel, which outlive the daemon: a ban in the maps says by bits whose it is.

use anyhow::{Result, bail};
use blocker_common::{MAX_JAILS, SCOPE_ALL, SCOPE_ALL_OBSERVED};
use blocker_core::config::Ports;
use blocker_core::engine::{JailId, JailSet};

use super::ports::PortTable;
use super::{KernelBan, Maps};

/// The jail of bans by command.
pub const MANUAL_JAIL: &str = "manual";

/// A jail as the kernel needs it.
#[derive(Clone, Debug)]
pub struct JailPorts {
    /// At most 31 bytes.
    pub name: String,
    /// What its bans close.
    pub ports: Ports,
    /// Whether its bans only count what they would drop.
    pub observes: bool,
}

/// Jails with their numbers, to be put in force by [`Kernel::set_jails`](super::Kernel::set_jails).
#[derive(Clone, Debug)]
pub struct NumberedPorts {
    jails: Vec<JailPorts>,
    ids: Vec<JailId>,
    /// All names by number, those of jails that are gone, too.
    names: Vec<String>,
    /// Jails that are gone and have bans in force.
    retired: JailSet,
}

impl NumberedPorts {
    /// The numbers, in the order of the jails.
    #[must_use]
    pub fn ids(&self) -> &[JailId] {
        &self.ids
    }
}

/// The names by number, and which jails close all ports.
pub(super) struct Jails {
    names: Vec<String>,
    all_ports: JailSet,
    observed: JailSet,
    ports: PortTable,
}

impl Jails {
    /// Reads what the maps hold.
    pub(super) fn adopt(maps: &Maps) -> Result<Self> {
        let names: Vec<String> = (0..MAX_JAILS).map(|index| maps.jail_name(index)).collect::<Result<_>>()?;
        let is_new = names.iter().all(String::is_empty);
        let ports = if is_new { PortTable::empty() } else { PortTable::read(maps)? };
        let observed = JailSet::from_bits(maps.config()?.observed);
        Ok(Self { names, all_ports: JailSet::EMPTY, observed, ports })
    }

    /// Every jail there has been, by number.
    pub(super) fn names(&self) -> impl Iterator<Item = (JailId, &str)> {
        let ids = (0..=JailId::MAX.index()).filter_map(JailId::new);
        ids.zip(&self.names).filter(|(_, name)| !name.is_empty()).map(|(id, name)| (id, name.as_str()))
    }

    /// Numbers `jails`, and changes nothing yet.
    pub(super) fn number(&self, jails: Vec<JailPorts>, bans: &[KernelBan]) -> Result<NumberedPorts> {
        let in_use = JailSet::from_bits(bans.iter().fold(0, |bits, ban| bits | ban.entry.scope));
        let mut names = self.names.clone();
        let ids =
            jails.iter().map(|jail| number(&mut names, &jails, in_use, &jail.name)).collect::<Result<Vec<_>>>()?;
        let wanted: JailSet = ids.iter().copied().collect();
        let retired = in_use.iter().filter(|&id| !wanted.contains(id)).collect();
        Ok(NumberedPorts { jails, ids, names, retired })
    }

    /// Protects the ports of `numbered`. What a jail protected that is not among them stays protected from its bans in
    /// `bans`, until they end.
    pub(super) fn assign(&mut self, maps: &mut Maps, numbered: NumberedPorts, bans: &[KernelBan]) -> Result<()> {
        let NumberedPorts { jails, ids, names, retired } = numbered;
        let observing = jails.iter().zip(&ids).filter(|(jail, _)| jail.observes).map(|(_, &id)| id);
        let retired_observing = retired.iter().filter(|&id| self.observed.contains(id));
        self.observed = observing.chain(retired_observing).collect();
        let closing_all = jails.iter().zip(&ids).filter(|(jail, _)| jail.ports == Ports::All).map(|(_, &id)| id);
        let retired_closing_all = retired.iter().filter(|&id| closes_all(id, &self.ports, bans));
        self.all_ports = closing_all.chain(retired_closing_all).collect();
        for ((index, new), old) in (0..).zip(&names).zip(&self.names) {
            if new != old {
                maps.set_jail_name(index, new)?;
            }
        }
        self.names = names;
        self.ports.protect(maps, jails.iter().map(|jail| &jail.ports).zip(ids), retired)
    }

    /// The bits of a ban by `jails`.
    pub(super) fn scope(&self, jails: JailSet) -> u64 {
        let closing_all = jails.bits() & self.all_ports.bits();
        let enforced = if closing_all & !self.observed.bits() != 0 { SCOPE_ALL } else { 0 };
        let observed = if closing_all & self.observed.bits() != 0 { SCOPE_ALL_OBSERVED } else { 0 };
        jails.bits() | enforced | observed
    }

    /// The jails that only observe.
    pub(super) fn observed(&self) -> JailSet {
        self.observed
    }
}

/// The number of the jail called `name`: its own if it ever had one, else a new one, which is entered into `names`.
fn number(names: &mut [String], jails: &[JailPorts], in_use: JailSet, name: &str) -> Result<JailId> {
    let ids = || (0..=JailId::MAX.index()).filter_map(JailId::new);
    let name_of = |id: JailId| names.get(usize::from(id.index())).map_or("", String::as_str);
    if let Some(known) = ids().find(|&id| name_of(id) == name) {
        return Ok(known);
    }
    // A number that never was anybody's comes first, so that a jail that comes back finds its old one.
    let never_given = |&id: &JailId| name_of(id).is_empty();
    let given_up = |&id: &JailId| !in_use.contains(id) && jails.iter().all(|jail| jail.name != name_of(id));
    let Some(id) = ids().find(never_given).or_else(|| ids().find(given_up)) else {
        bail!(
            "no number is left for the jail `{name}`: {MAX_JAILS} jails have bans or are on; `blocker detach` clears all"
        )
    };
    if let Some(entry) = names.get_mut(usize::from(id.index())) {
        name.clone_into(entry);
    }
    Ok(id)
}

/// Whether the bans of a jail that is gone closed all ports: then it has no port of its own, and every ban that has its
/// bit closes all. Either alone may be so by chance: another jail may have closed all ports to the same addresses.
fn closes_all(id: JailId, ports: &PortTable, bans: &[KernelBan]) -> bool {
    let every_ban_does = bans
        .iter()
        .filter(|ban| JailSet::from_bits(ban.entry.scope).contains(id))
        .all(|ban| ban.entry.scope & (SCOPE_ALL | SCOPE_ALL_OBSERVED) != 0);
    every_ban_does && !ports.protects(id)
}

#[cfg(test)]
mod tests {
    use blocker_common::Ban;

    use super::*;

    fn jails(names: &[&str]) -> Vec<JailPorts> {
        names.iter().map(|&name| JailPorts { name: name.to_owned(), ports: Ports::All, observes: false }).collect()
    }

    #[test]
    fn a_jail_that_comes_back_finds_its_number() {
        let mut names = vec![String::new(); MAX_JAILS as usize];
        let first = number(&mut names, &jails(&["a"]), JailSet::EMPTY, "a").unwrap();
        let second = number(&mut names, &jails(&["b"]), JailSet::EMPTY, "b").unwrap();

        assert_ne!(first, second, "a's number is kept for it while others are free");
        assert_eq!(number(&mut names, &jails(&["a"]), JailSet::EMPTY, "a").unwrap(), first);
    }

    #[test]
    fn a_jail_that_is_gone_closes_all_ports_only_if_it_did() {
        let id = JailId::new(3).unwrap();
        let entry = Ban { scope: SCOPE_ALL | 1 << 3 | 1, ..Ban::default() };
        let bans = [KernelBan { prefix: "192.0.2.9".parse().unwrap(), entry }];

        assert!(closes_all(id, &PortTable::empty(), &bans));
        let mut ports = PortTable::empty();
        ports.set(143, 1 << 3);
        assert!(!closes_all(id, &ports, &bans), "the ban of all ports may be another jail's");
    }

    #[test]
    fn a_number_whose_bans_are_in_force_is_not_given_away() {
        let mut names: Vec<String> = (0..MAX_JAILS).map(|index| format!("old{index}")).collect();
        let all = JailSet::from_bits(u64::MAX);
        let all_but_five: JailSet = all.iter().filter(|id| id.index() != 5).collect();

        assert!(number(&mut names, &jails(&["new"]), all, "new").is_err());
        assert_eq!(number(&mut names, &jails(&["new"]), all_but_five, "new").unwrap().index(), 5);
    }
}
