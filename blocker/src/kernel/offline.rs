//! Lifts bans in the pinned maps, with the daemon down: for whoever is locked out and has no daemon to ask.

use std::path::Path;

use anyhow::Result;
use blocker_core::policy::counted_by;
use blocker_core::prefix::Prefix;

use super::blocklist::Blocklist;
use super::keys::NETWORK6_BITS;
use super::{AT_ONCE, Maps, Pins, capabilities};

/// The pinned maps, held as the daemon would.
pub struct Offline {
    maps: Maps,
    blocklist: Blocklist,
    bans: Vec<Prefix>,
    _lock: super::pins::Lock,
}

impl Offline {
    /// Opens the pins below `root` for writing.
    ///
    /// # Errors
    ///
    /// If there are none, a daemon runs, or they may not be opened.
    pub fn open(root: &Path) -> Result<Self> {
        let pins = Pins::new(root);
        pins.require()?;
        capabilities::require()?;
        let lock = pins.lock()?;
        let mut maps = Maps::open_pinned(&pins)?;
        let (blocklist, bans) = Blocklist::adopt(&mut maps)?;
        Ok(Self { maps, blocklist, bans: bans.into_iter().map(|ban| ban.prefix).collect(), _lock: lock })
    }

    /// Lifts the ban of exactly `prefix`, or of the network that an IPv6 host is banned by; says which it was. That network
    /// has `ipv6_prefix` bits, or 64.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn lift(&mut self, prefix: Prefix, ipv6_prefix: u8) -> Result<Option<Prefix>> {
        let networks = if prefix.addr().is_ipv6() && prefix.is_host() {
            vec![counted_by(prefix.addr(), ipv6_prefix), Prefix::new(prefix.addr(), NETWORK6_BITS)?]
        } else {
            Vec::new()
        };
        for candidate in std::iter::once(prefix).chain(networks) {
            if self.maps.ban(candidate)?.is_some() {
                self.blocklist.lift(&mut self.maps, candidate)?;
                return Ok(Some(candidate));
            }
        }
        Ok(None)
    }

    /// Lifts every ban; says how many there were.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn lift_all(&mut self) -> Result<usize> {
        let bans = std::mem::take(&mut self.bans);
        for some in bans.chunks(AT_ONCE) {
            if let Some((_, error)) = self.blocklist.lift_many(&mut self.maps, some).into_iter().next() {
                return Err(error);
            }
        }
        Ok(bans.len())
    }
}
