//! Which filters judge, and with which limits: one filter, one jail, or all jails that are on.

use std::path::Path;

use anyhow::{Context, Result};
use blocker_core::allowlist::Allowed;
use blocker_core::brake;
use blocker_core::config::{self, Config, Enabled};
use blocker_core::engine::{AllowReason, Bounds, Jail, JailId, Limits, Settings, SourceId};
use blocker_core::fail2ban::Logs;
use blocker_core::filter::{Filter, Label};
use blocker_core::record::Stamp;

use crate::cli::Globals;
use crate::digest::Digest;
use crate::exit::Failure;
use crate::fail2ban;
use crate::settings;

/// Who judges.
#[derive(Debug)]
pub(super) struct Jails {
    pub(super) jails: Vec<NumberedJail>,
    /// What an engine needs to count as a daemon with these jails would.
    pub(super) settings: Settings,
    /// The longest line that is judged, in bytes.
    pub(super) max_line_bytes: usize,
}

/// A jail, and the names of its filter's patterns in the order of their numbers.
#[derive(Debug)]
pub(super) struct NumberedJail {
    pub(super) id: JailId,
    pub(super) filter: Filter,
    patterns: Vec<Label>,
}

impl NumberedJail {
    /// The number of a pattern in its filter, from 1; `None` if the filter has no such pattern.
    pub(super) fn number(&self, pattern: &Label) -> Option<usize> {
        self.patterns.iter().position(|known| known == pattern).map(|place| place + 1)
    }
}

impl Jails {
    /// One filter, with the limits of a jail that says nothing about them.
    ///
    /// # Errors
    ///
    /// [`Failure::Usage`] if there is none of this name, [`Failure::Configuration`] if its file is faulty.
    pub(super) fn of_filter(globals: &Globals, filter: &str, logs: Logs) -> Result<Self> {
        let filter = find_filter(&globals.config, filter, logs)?;
        let config = Config::default();
        let usual = config.jails.first().cloned().context("the built-in jail is always there")?;
        let jail = config::Jail { name: filter.name().to_owned(), filter, ..usual };
        Self::new(&config, &[&jail])
    }

    /// A jail of the configuration, be it on or off, or all that are on if none is named.
    ///
    /// # Errors
    ///
    /// What is wrong with the configuration; [`Failure::Usage`] if it has no such jail.
    pub(super) fn of_configuration(globals: &Globals, name: Option<&str>) -> Result<Self> {
        let config = settings::load(&globals.config)?;
        let is_meant = |jail: &&config::Jail| match (name, jail.enabled) {
            (Some(name), _) => jail.name == name,
            (None, Enabled::Auto | Enabled::Yes) => true,
            (None, Enabled::No) => false,
        };
        let jails: Vec<&config::Jail> = config.jails.iter().filter(is_meant).collect();
        if jails.is_empty() {
            let names: Vec<&str> = config.jails.iter().map(|jail| &jail.name[..]).collect();
            let (path, names) = (globals.config.display(), names.join(", "));
            return Err(Failure::Usage(match name {
                Some(name) => format!("there is no jail `{name}` in {path}; there are: {names}"),
                None => format!("no jail of {path} is on: say which by --jail, or name a filter by --filter"),
            })
            .into());
        }
        Self::new(&config, &jails)
    }

    /// When a line was written, as a filter that finds times by itself finds it; `read` is what its header says.
    pub(super) fn find_stamp(&self, line: &[u8], read: Option<Stamp>) -> Option<Stamp> {
        self.jails.iter().find_map(|jail| jail.filter.fail2ban()?.stamp(line, read)).or(read)
    }

    fn new(config: &Config, jails: &[&config::Jail]) -> Result<Self> {
        let manual = JailId::MIN;
        let ids = (1..).map_while(JailId::new);
        let numbered: Vec<(JailId, &config::Jail)> = ids.zip(jails.iter().copied()).collect();
        let limits = |jail: &config::Jail| Limits {
            max_retry: jail.max_retry,
            find_time: jail.find_time,
            ban_time: jail.ban_time,
            counter: jail.counter,
        };
        let engine_jails = numbered.iter().map(|&(id, jail)| Jail {
            id,
            name: jail.name.clone(),
            filter: Some(jail.filter.clone()),
            sources: vec![SourceId::new(0)],
            limits: limits(jail),
            repeat: jail.repeat.clone(),
            forgives: jail.forgive,
        });
        let allow = config.daemon.allow.iter().map(|&prefix| Allowed { prefix, why: AllowReason::Configured });
        Ok(Self {
            settings: Settings {
                jails: engine_jails.collect(),
                manual,
                allow: allow.collect(),
                ipv6_prefix: config.daemon.ipv6_prefix,
                brake: brake::Limits::default(),
                remember_bans: config.daemon.remember_bans,
                bounds: Bounds::default(),
            },
            jails: numbered
                .into_iter()
                .map(|(id, jail)| {
                    let filter = jail.filter.clone();
                    NumberedJail { id, patterns: filter.pattern_names(), filter }
                })
                .collect(),
            max_line_bytes: config.daemon.max_line_bytes,
        })
    }
}

/// A filter of fail2ban by its file, with parameters behind it.
fn filter_of_fail2ban(text: &str, logs: Logs) -> Result<Filter> {
    let (filter, warnings) = fail2ban::compiled(text, logs, &mut Digest::default())?;
    for warning in warnings {
        eprintln!("blocker: warning: {warning}");
    }
    Ok(filter)
}

/// A filter by its name, or in a file of its own; one of fail2ban for lines from such `logs`.
fn find_filter(config: &Path, text: &str, logs: Logs) -> Result<Filter> {
    let file = text.split_once('[').map_or(text, |(file, _)| file);
    if Path::new(file).extension().is_some_and(|extension| extension == "conf" || extension == "local") {
        return filter_of_fail2ban(text, logs);
    }
    let is_file = text.contains('/') || Path::new(text).extension().is_some_and(|extension| extension == "toml");
    if is_file {
        return settings::filter(Path::new(text));
    }
    let filters = settings::filters(config)?;
    filters.by_name(text).cloned().ok_or_else(|| {
        let names: Vec<&str> = filters.iter().map(Filter::name).collect();
        let names = names.join(", ");
        Failure::Usage(format!(
            "there is no filter `{text}`: a path has a / in it or ends in .toml, and there are: {names}"
        ))
        .into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_s_number_is_its_place_in_the_filter() {
        let globals = Globals { config: "/nonexistent/blocker.toml".into(), json: false, verbose: 0 };
        let jails = Jails::of_filter(&globals, "dovecot", Logs::Files).unwrap();

        let [jail] = &jails.jails[..] else { panic!("one filter is one jail") };
        assert_eq!(jail.number(&"auth failed".into()), Some(1));
        assert_eq!(jail.number(&"no such pattern".into()), None);
    }

    #[test]
    fn what_is_no_filter_is_refused_in_one_sentence() {
        let config = Path::new("/nonexistent/blocker.toml");
        for (text, code, said) in [
            ("/nonexistent/filter.d/sshd.conf[mode=aggressive]", 78, "/nonexistent/filter.d/sshd.conf: "),
            ("/nonexistent.conf", 78, "/nonexistent.conf: "),
            ("nobody", 2, "there is no filter `nobody`"),
            ("/nonexistent/x.toml", 78, "/nonexistent/x.toml: No such file"),
        ] {
            let error = find_filter(config, text, Logs::Files).unwrap_err();
            assert_eq!(error.downcast_ref::<Failure>().map(Failure::code), Some(code), "{text}");
            assert!(error.to_string().contains(said), "{text}: {error}");
            assert_eq!(error.to_string().lines().count(), 1, "{text}");
        }
    }
}
