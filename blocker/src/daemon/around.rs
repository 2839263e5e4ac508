//! The regular look around: interfaces, addresses, routes, and how full the tables are.

use std::time::Instant;

use super::{Daemon, fill};
use crate::clock;
use crate::network::{DefaultRoutes, default_routes, found_allowed};

impl Daemon<'_> {
    /// Says once of each table that it is nearly full.
    fn warn_of_fill(&mut self) {
        let warnings = fill::warnings(&self.engine.stats(), self.capacity);
        if warnings.len() > self.tables_nearly_full {
            for warning in &warnings {
                tracing::warn!("{warning}");
            }
        }
        self.tables_nearly_full = warnings.len();
    }

    /// Looks at interfaces, addresses and routes anew.
    pub(super) fn look_around(&mut self) {
        self.looks.look(Instant::now());
        self.warn_of_fill();
        let is_complete = match default_routes() {
            Ok(routes) => {
                let are_found = self.find_allowed(&routes);
                let is_seen = self.interfaces.update(&self.config.daemon, &routes, &mut self.kernel);
                are_found && is_seen && routes.is_whole
            }
            Err(error) => {
                tracing::warn!("the routes cannot be read: {error:#}");
                false
            }
        };
        self.looks.end(is_complete);
    }

    /// Allows what is never to be dropped; says whether all of it could be found.
    fn find_allowed(&mut self, routes: &DefaultRoutes) -> bool {
        match found_allowed(routes) {
            Ok(found) => {
                self.engine.set_found_allowed(found, clock::now());
                self.carry_out();
                true
            }
            Err(error) => {
                tracing::warn!("this machine's own addresses cannot be read: {error:#}");
                false
            }
        }
    }
}
