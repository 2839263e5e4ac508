//! The configuration is taken up again while the daemon runs.

use std::time::Instant;

use anyhow::{Context, Result};
use blocker_core::config::{self, Config};

use super::{Daemon, capacity, jails, taken};
use crate::clock;
use crate::network::default_routes;
use crate::notify::Notifier;
use crate::settings;

impl Daemon<'_> {
    /// Takes up the configuration, and tells the service manager so. Returns what is to be said besides.
    pub(super) fn reload(&mut self) -> Result<Option<String>> {
        self.supervisor.reloading(Instant::now());
        let done = self.take_up_configuration();
        self.is_reload_refused = done.is_err();
        let status = self.word();
        self.supervisor.ready(status, Instant::now());
        done
    }

    /// Builds the new configuration whole, then swaps; if that cannot be done, everything stays as it was. Whom never to
    /// drop reaches the kernel before the ports that may drop more, and the mode comes last.
    fn take_up_configuration(&mut self) -> Result<Option<String>> {
        let (config, digest) = settings::load_known(self.config_path)?;
        let config = self.options.apply(config);
        if fixed(&config) != fixed(&self.config) || capacity(&config) != self.capacity {
            return Err(crate::exit::Failure::Configuration(format!(
                "{}: `state`, `runtime`, `pins`, `max_bans_ipv4`, `max_bans_ipv6`, `fail2ban_log` and `max_line_bytes` in `daemon`, `control` and `metrics`, \
                 change only at a restart, which keeps all bans",
                self.config_path.display()
            ))
            .into());
        }
        taken::check(&self.config, &config)?;
        let routes = default_routes()?;
        let notifier = (config.notify != self.config.notify).then(|| Notifier::start(&config.notify)).transpose()?;
        let (numbered, ports) = jails::number(&config, &self.kernel, &mut self.sources)?;
        self.engine.reconfigure(jails::settings(&config, &numbered, self.capacity), clock::now());
        self.config = config;
        self.keeper.remember_bans = self.config.daemon.remember_bans;
        self.numbered = numbered;
        self.take_up_receivers(notifier);
        self.allow_files.set_paths(&self.config.daemon.allow_files);
        self.find_allowed(&routes);
        self.start_sources()?;
        let set = self.kernel.set_jails(ports);
        // No ban may drop anything beyond the trial when the mode is set.
        let to_confirm = self.renew_trial(digest);
        let mode = self.mode();
        let in_kernel = set.and_then(|()| self.kernel.set_mode(mode));
        self.look_around();
        in_kernel
            .context("the new configuration is in force, but the kernel did not take all of it: reload once more")?;
        let to_confirm = to_confirm?;
        tracing::info!(config = %self.config_path.display(), "reloaded");
        taken::tell(&self.config);
        Ok(to_confirm)
    }
}

/// What changes only at a restart, besides the [`capacity`].
fn fixed(config: &Config) -> impl PartialEq {
    let Config { daemon, control, metrics, .. } = config;
    let config::Daemon { state, runtime, pins, fail2ban_log, max_line_bytes, .. } = daemon;
    (state, runtime, pins, fail2ban_log, max_line_bytes, control, metrics)
}
