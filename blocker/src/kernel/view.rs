//! Reads the pinned maps as they are, with or without a daemon; writes nothing.

use std::path::Path;

use anyhow::Result;
use blocker_common::{MAX_JAILS, SCOPE_ALL};
use blocker_core::engine::{JailId, JailSet};

use super::{KernelBan, Maps, Pins, capabilities};

/// The pinned maps, open for reading.
pub struct View {
    maps: Maps,
}

impl View {
    /// Opens the pins below `root`.
    ///
    /// # Errors
    ///
    /// If there are none, or they may not be opened.
    pub fn open(root: &Path) -> Result<Self> {
        let pins = Pins::new(root);
        pins.require()?;
        capabilities::require_to_read()?;
        Ok(Self { maps: Maps::open_pinned(&pins)? })
    }

    /// Every ban in the maps, also those whose time is over; by prefix.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn bans(&self) -> Result<Vec<KernelBan>> {
        let mut bans = self.maps.bans()?;
        bans.sort_by_key(|ban| ban.prefix);
        // The kernel begins anew when the entry it stood at is removed meanwhile.
        bans.dedup_by_key(|ban| ban.prefix);
        let tallies = self.maps.tallies()?;
        for ban in &mut bans {
            ban.entry = tallies.complete(ban.prefix, ban.entry);
        }
        Ok(bans)
    }

    /// The names of the jails in a ban's scope.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn jail_names(&self) -> Result<JailNames> {
        (0..MAX_JAILS).map(|index| self.maps.jail_name(index)).collect::<Result<_>>().map(JailNames)
    }
}

/// Names of jails by number.
pub struct JailNames(Vec<String>);

impl JailNames {
    /// The jails whose bits `scope` has.
    #[must_use]
    pub fn of(&self, scope: u64) -> Vec<String> {
        JailSet::from_bits(scope).iter().map(|id| self.name(id)).collect()
    }

    /// Whether `scope` closes every port.
    #[must_use]
    pub fn closes_all(scope: u64) -> bool {
        scope & SCOPE_ALL != 0
    }

    fn name(&self, id: JailId) -> String {
        match self.0.get(usize::from(id.index())) {
            Some(name) if !name.is_empty() => name.clone(),
            Some(_) | None => id.to_string(),
        }
    }
}
