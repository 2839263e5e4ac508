//! The port tables: which jails protect which port.

use anyhow::Result;
use blocker_common::{ALL_PORTS_LEN, Protocol, port_index};
use blocker_core::config::{self, Ports};
use blocker_core::engine::{JailId, JailSet};

use super::Maps;

/// What the map holds, so that only differences are written.
pub(super) struct PortTable {
    scopes: Vec<u64>,
}

impl PortTable {
    /// The table of a new map.
    pub(super) fn empty() -> Self {
        Self { scopes: vec![0; ALL_PORTS_LEN as usize] }
    }

    /// Reads the table of an adopted one.
    pub(super) fn read(maps: &Maps) -> Result<Self> {
        Ok(Self { scopes: maps.port_scopes()? })
    }

    /// Whether any port is `jail`'s.
    pub(super) fn protects(&self, jail: JailId) -> bool {
        self.scopes.iter().any(|&scope| JailSet::from_bits(scope).contains(jail))
    }

    /// Sets an entry, without a map.
    #[cfg(test)]
    pub(super) fn set(&mut self, index: usize, scope: u64) {
        self.scopes[index] = scope;
    }

    /// Protects exactly the ports of these jails, and what the `retired` ones protected. What was protected and still is
    /// is never open in between.
    pub(super) fn protect<'a>(
        &mut self,
        maps: &mut Maps,
        jails: impl Iterator<Item = (&'a Ports, JailId)>,
        retired: JailSet,
    ) -> Result<()> {
        let mut wanted = Self::empty();
        for (ports, id) in jails {
            // A jail of all ports needs no entry: its bans carry `SCOPE_ALL`.
            let Ports::Listed(ranges) = ports else { continue };
            for range in ranges {
                let protocol = match range.protocol {
                    config::Protocol::Tcp => Protocol::Tcp,
                    config::Protocol::Udp => Protocol::Udp,
                    config::Protocol::Sctp => Protocol::Sctp,
                };
                for port in range.iter() {
                    if let Some(scope) = wanted.scopes.get_mut(port_index(protocol, port) as usize) {
                        *scope |= 1 << id.index();
                    }
                }
            }
        }
        for (index, (new, old)) in (0..ALL_PORTS_LEN).zip(wanted.scopes.iter().zip(&mut self.scopes)) {
            let new = new | *old & retired.bits();
            if new != *old {
                maps.set_port_scope(index, new)?;
                *old = new;
            }
        }
        Ok(())
    }
}
