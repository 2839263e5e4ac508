//! Failures that an application tells of, in place of a log.

use std::net::IpAddr;

use anyhow::{Context, Result};
use blocker_core::filter::Failure;

use super::{Daemon, Reply};
use crate::clock;

impl Daemon<'_> {
    /// Has `jail` count `attempts` of `addr`, as if its log had told of them now.
    pub(super) fn attempt(&mut self, jail: &str, addr: IpAddr, attempts: u32) -> Result<Vec<Reply>> {
        let numbered = self.numbered.jails.iter().find(|known| known.config.name == jail);
        let id = numbered.with_context(|| format!("no jail `{jail}` counts failures"))?.id;
        // An application may have it from a socket of IPv6.
        let failure = Failure::of_one(addr.to_canonical(), "application".into(), "told by an application".into());
        let now = clock::now();
        self.engine.handle_failure(id, &failure.times(attempts), now, now);
        self.carry_out();
        Ok(Vec::new())
    }
}
