//! The regular look around: interfaces, addresses, routes, and how full the tables are.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use blocker_core::allowlist::AllowReason;

use super::Daemon;
use super::fill::News;
use crate::clock;
use crate::network::changes::Place;
use crate::network::{
    DefaultRoutes, Found, allow_files::AllowFiles, default_routes, found_allowed, found_logins, logins,
};

impl Daemon<'_> {
    /// Says of each table once that it is nearly full, and that it has room again.
    pub(super) fn warn_of_fill(&mut self) {
        for news in self.fill.news(&self.engine.stats(), self.capacity) {
            match news {
                News::Full(text) => tracing::warn!("{text}"),
                News::Room(text) => tracing::info!("{text}"),
            }
        }
    }

    /// Looks at interfaces, addresses and routes anew.
    pub(super) fn look_around(&mut self) {
        self.looks.look(Instant::now());
        self.are_places_due = true;
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
    pub(super) fn find_allowed(&mut self, routes: &DefaultRoutes) -> bool {
        match all_allowed(routes, self.config.daemon.allow_logins, &mut self.allow_files) {
            Ok(found) => {
                self.set_found(found);
                self.carry_out();
                true
            }
            Err(error) => {
                tracing::warn!("this machine's own addresses cannot be read: {error:#}");
                false
            }
        }
    }

    /// Takes in whom never to drop.
    pub(super) fn set_found(&mut self, found: Vec<Found>) {
        self.engine.set_found_allowed(found.iter().map(|found| found.allowed).collect(), clock::now());
        self.found = found;
    }

    /// Where it is written whom never to drop, if it is time to watch that anew.
    pub(super) fn take_places(&mut self) -> Option<Vec<Place>> {
        if !std::mem::take(&mut self.are_places_due) {
            return None;
        }
        let logins = || [Some(Place::directory(Path::new(logins::SESSIONS))), Place::file(Path::new(logins::UTMP))];
        let logins = self.config.daemon.allow_logins.then(logins).into_iter().flatten().flatten();
        Some(logins.chain(self.allow_files.paths().filter_map(Place::file)).collect())
    }
}

/// Whom never to drop, besides what the settings say: what is found on the machine and in the network, and who is listed in files.
///
/// # Errors
///
/// As [`found_allowed`].
pub(super) fn all_allowed(routes: &DefaultRoutes, allow_logins: bool, files: &mut AllowFiles) -> Result<Vec<Found>> {
    let mut allowed = found_allowed(routes)?;
    files.look();
    let named = files.named();
    allowed.extend(named.map(|(prefix, path)| Found::because(prefix, AllowReason::File, path.display().to_string())));
    if allow_logins {
        allowed.extend(found_logins());
    }
    Ok(allowed)
}
