//! Lifts all bans but some, however many they are, in pieces: others write to the maps between two of them.
//!
//! What is read is the maps themselves, so that each ban is looked at once and nothing has to be kept of those that wait. Bans
//! that are written meanwhile are bans that are to stay.

use anyhow::Result;
use blocker_core::prefix::Prefix;

use super::blocklist::Blocklist;
use super::syscalls::Position;
use super::{KernelBan, Maps};

/// Bans that are looked at together where they cannot be read in pieces.
const AT_ONCE: usize = 4096;

/// How far it is.
#[derive(Debug)]
pub struct Sweep(Stage);

#[derive(Debug)]
enum Stage {
    Hosts4(Position),
    Networks64(Position),
    Networks,
    /// These are left.
    Listed(Vec<KernelBan>),
}

impl Default for Sweep {
    /// At the beginning.
    fn default() -> Self {
        Self(Stage::Hosts4(Position::default()))
    }
}

impl Sweep {
    /// Whether every ban has been looked at.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(&self.0, Stage::Listed(left) if left.is_empty())
    }

    /// Looks at some thousands of bans, and lifts those of prefixes that `stays` does not hold for; returns what was refused.
    pub(super) fn go_on(
        &mut self,
        maps: &mut Maps,
        blocklist: &mut Blocklist,
        stays: impl Fn(Prefix) -> bool,
    ) -> Result<Vec<(Prefix, anyhow::Error)>> {
        let mut bans = self.read(maps)?;
        bans.retain(|ban| !stays(ban.prefix));
        match self.0 {
            // Read some pieces ago: it may have been banned and lifted since, and must not be counted out twice.
            Stage::Listed(_) => {
                let prefixes: Vec<Prefix> = bans.iter().map(|ban| ban.prefix).collect();
                Ok(blocklist.lift_many(maps, &prefixes))
            }
            Stage::Hosts4(_) | Stage::Networks64(_) | Stage::Networks => Ok(blocklist.lift_known(maps, &bans)),
        }
    }

    fn read(&mut self, maps: &Maps) -> Result<Vec<KernelBan>> {
        let read = match &mut self.0 {
            Stage::Hosts4(position) => maps.hosts4_from(position),
            Stage::Networks64(position) => maps.networks64_from(position),
            Stage::Networks => {
                self.0 = Stage::Listed(maps.networks()?);
                return Ok(Vec::new());
            }
            Stage::Listed(left) => return Ok(left.split_off(left.len().saturating_sub(AT_ONCE))),
        };
        match (read, &self.0) {
            (Ok(read), Stage::Hosts4(position)) if position.is_end() => {
                self.0 = Stage::Networks64(Position::default());
                Ok(read)
            }
            (Ok(read), Stage::Networks64(position)) if position.is_end() => {
                self.0 = Stage::Networks;
                Ok(read)
            }
            (Ok(read), _) => Ok(read),
            // A kernel without such calls.
            (Err(error), _) if error.raw_os_error() == Some(libc::EINVAL) => {
                self.0 = Stage::Listed(maps.bans()?);
                Ok(Vec::new())
            }
            (Err(error), _) => Err(error.into()),
        }
    }
}
