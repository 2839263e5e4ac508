//! What is remembered of earlier lines, apart from the filters.

use super::buffers::Buffers;
use super::sessions::Sessions;
use crate::jail::{JailId, LogId};

/// Whose lines are joined: those of one log, in one jail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    pub(super) jail: u8,
    pub(super) log: u32,
}

impl Owner {
    /// Of `log` in `jail`.
    #[must_use]
    pub fn new(jail: JailId, log: LogId) -> Self {
        Self { jail: jail.index(), log: log.index() }
    }

    /// Of a line that stands for itself.
    pub(in crate::filter) const NOBODY: Self = Self { jail: u8::MAX, log: u32::MAX };
}

/// What filters remember of earlier lines, of all jails and logs together. All of it can be lost: then what was half told is.
#[derive(Debug, Default)]
pub struct Memory {
    pub(super) sessions: Sessions,
    pub(super) buffers: Buffers,
    pub(super) counts: Counts,
}

/// What happened at the bounds, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lines whose peer has no address: a name, which is never resolved, or what only looks like an address.
    pub named: u64,
    /// Searches that came to no end within the steps allowed, and count as without a match.
    pub out_of_steps: u64,
    /// Connections that were forgotten early because there were too many.
    pub sessions_forgotten: u64,
    /// How often all buffers of several lines were emptied because there were too many.
    pub buffers_emptied: u64,
    /// Connections remembered, now.
    pub sessions: usize,
}

impl Memory {
    /// What happened at the bounds.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            sessions_forgotten: self.sessions.forgotten,
            buffers_emptied: self.buffers.begun_anew,
            sessions: self.sessions.len(),
            ..self.counts
        }
    }
}
