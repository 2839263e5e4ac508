//! What others have of the engine's, as its commands and changes build it up: the kernel, and a store.

use super::*;

/// What a store has, as the changes build it up.
#[derive(Default)]
pub(crate) struct Store {
    pub(crate) bans: BTreeMap<Key, Entry>,
    pub(crate) counts: BTreeMap<Key, Counted>,
    pub(crate) twins: BTreeMap<TwinKey, Twin>,
    pub(crate) grants: Vec<(Prefix, Grant)>,
}

impl Store {
    pub(crate) fn apply(&mut self, changes: Changes) {
        assert!(!changes.all_bans && !changes.all_counts && !changes.all_twins, "so few changes can be named");
        for (key, entry) in changes.bans {
            match entry {
                Some(entry) => drop(self.bans.insert(key, entry)),
                None => drop(self.bans.remove(&key)),
            }
        }
        for (key, failures) in changes.counts {
            if failures.is_empty() {
                self.counts.remove(&key);
            } else {
                self.counts.insert(key, failures);
            }
        }
        for (key, told) in changes.twins {
            match told {
                Some(told) => drop(self.twins.insert(key, told)),
                None => drop(self.twins.remove(&key)),
            }
        }
        if let Some(grants) = changes.grants {
            self.grants = grants;
        }
    }

    pub(crate) fn memory(&self) -> Memory {
        Memory {
            // Nobody's bans grow here.
            history: Vec::new(),
            bans: self.bans.clone().into_iter().collect(),
            counts: self.counts.clone().into_iter().collect(),
            twins: self.twins.clone().into_iter().collect(),
            // No line here has a session.
            sessions: Vec::new(),
        }
    }
}

/// The kernel's tables, as the commands build them up.
#[derive(Default)]
pub(crate) struct Kernel {
    pub(crate) banned: BTreeMap<Prefix, (JailSet, Until)>,
    pub(crate) allowed: BTreeSet<Prefix>,
}

impl Kernel {
    pub(crate) fn apply(&mut self, engine: &mut Engine) -> Result<(), TestCaseError> {
        while let Some(command) = engine.poll_command() {
            match command {
                Command::Enforce { prefix, jails, until } => {
                    prop_assert!(!jails.is_empty());
                    prop_assert!(!self.allowed.iter().any(|a| a.covers(prefix)), "{} is allow-listed", prefix);
                    let before = self.banned.insert(prefix, (jails, until));
                    prop_assert_ne!(before, Some((jails, until)), "{} was in force like this already", prefix);
                }
                Command::Lift { prefix } => {
                    prop_assert!(self.banned.remove(&prefix).is_some(), "{} was not banned", prefix);
                }
                Command::LiftAll { .. } => self.banned.clear(),
                Command::Allow { prefix } => prop_assert!(self.allowed.insert(prefix), "{} was allowed", prefix),
                Command::Disallow { prefix } => prop_assert!(self.allowed.remove(&prefix), "{} was not", prefix),
                Command::Notify(_) => {}
            }
        }
        Ok(())
    }

    /// The jails to whose ports a packet from `addr` is dropped at `now`.
    pub(crate) fn drops(&self, addr: IpAddr, now: Timestamp) -> JailSet {
        if self.allowed.iter().any(|prefix| prefix.contains(addr)) {
            return JailSet::EMPTY;
        }
        let in_force = self.banned.iter().filter(|(prefix, (_, until))| prefix.contains(addr) && !until.is_past(now));
        in_force.fold(JailSet::EMPTY, |all, (_, (jails, _))| JailSet::from_bits(all.bits() | jails.bits()))
    }
}
