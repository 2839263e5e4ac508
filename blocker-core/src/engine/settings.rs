//! What the engine is told before it begins, and again at a reload.

use std::time::Duration;

use crate::allowlist::Allowed;
use crate::bounds::Bounds;
use crate::brake;
use crate::jail::{Jail, JailId};

/// Everything that can be set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The jails; their numbers differ.
    pub jails: Vec<Jail>,
    /// The jail of bans by command that name none; one of `jails`.
    pub manual: JailId,
    /// What is never banned, by configuration; see [`Engine::set_found_allowed`] for the rest.
    ///
    /// [`Engine::set_found_allowed`]: crate::engine::Engine::set_found_allowed
    pub allow: Vec<Allowed>,
    /// Bits of an IPv6 address by which failures are counted and banned, 1 to 128 (what lies outside is moved inside).
    pub ipv6_prefix: u8,
    /// How long after the last ban of somebody it counts that there was one.
    pub remember_bans: Duration,
    /// How many new bans logs may earn, and of whom.
    pub brake: brake::Limits,
    /// How large the tables may grow.
    pub bounds: Bounds,
}
