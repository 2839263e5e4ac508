//! From the configuration's jails to the engine's and the kernel's, which know them by number.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use blocker_core::allowlist::Allowed;
use blocker_core::config::{self, Config, Enabled, Input, Mode, Ports};
use blocker_core::engine::{AllowReason, Bounds, Counter, Engine, Event, Jail, JailId, Limits, Settings, SourceId};
use blocker_core::jail::Repeat;
use blocker_core::time::BanTime;

use super::sources::Sources;
use crate::exit::Failure;
use crate::kernel::{Capacity, JailPorts, Kernel, MANUAL_JAIL, NumberedPorts};
use crate::network::allow_files;
use crate::source::FileSource;

/// The jails that are on, with their numbers.
#[derive(Clone, Debug)]
pub(super) struct Numbered {
    pub(super) jails: Vec<NumberedJail>,
    /// The jail of bans by command.
    pub(super) manual: JailId,
}

impl Numbered {
    /// What a ban of a jail closes; `None` if it is gone, or its packets are only counted.
    pub(super) fn closed_by(&self, jail: JailId) -> Option<Ports> {
        if jail == self.manual {
            return Some(Ports::All);
        }
        let config = &self.jails.iter().find(|known| known.id == jail)?.config;
        (config.mode == Mode::Enforce).then(|| config.ports.clone())
    }
}

#[derive(Clone, Debug)]
pub(super) struct NumberedJail {
    pub(super) id: JailId,
    /// Files, the journal, or both.
    pub(super) sources: Vec<SourceId>,
    pub(super) config: config::Jail,
}

/// The name of the jail that an event is about; empty if it is about none.
pub(super) fn name_in(event: &Event, engine: &Engine) -> String {
    match event {
        Event::Banned(ban) | Event::Renewed(ban) | Event::Restored(ban) => ban.jail_name.to_string(),
        Event::Found(found) => engine.jail_name(found.jail),
        Event::Unbanned { jail, .. } | Event::Ignored { jail, .. } | Event::Refused { jail, .. } => {
            engine.jail_name(*jail)
        }
        Event::Full { .. } | Event::Allowlist { .. } | Event::Brake(_) => String::new(),
    }
}

/// The number of the jail that is called `name`.
pub(super) fn of_name(names: &BTreeMap<JailId, String>, name: &str) -> Option<JailId> {
    names.iter().find(|(_, known)| *known == name).map(|(&id, _)| id)
}

/// Checks what only this crate can: that the globs are globs, and files of allowed addresses in order.
///
/// # Errors
///
/// [`Failure::Configuration`].
pub fn check_inputs(config: &Config) -> Result<()> {
    allow_files::check(&config.daemon.allow_files)
        .map_err(|error| Failure::Configuration(format!("`daemon.allow_files`: {error}")))?;
    for jail in config.jails.iter().filter(|jail| is_on(jail)) {
        match &jail.input {
            Some(Input::Files(patterns)) => {
                FileSource::new(SourceId::new(0), patterns.clone(), config.daemon.max_line_bytes)
                    .map_err(|error| Failure::Configuration(format!("`jails.{}.log`: {error}", jail.name)))?;
            }
            // What is there is found out when it is opened, and told.
            Some(Input::Command(_) | Input::Syslog(_) | Input::Stdin) | None => {}
        }
    }
    Ok(())
}

/// Numbers the jails and their sources. The kernel is only asked: what it is to do is in the second part of the answer.
pub(super) fn number(config: &Config, kernel: &Kernel, sources: &mut Sources) -> Result<(Numbered, NumberedPorts)> {
    check_inputs(config)?;
    let on: Vec<&config::Jail> = config.jails.iter().filter(|jail| is_on(jail)).collect();
    let manual = JailPorts { name: MANUAL_JAIL.to_owned(), ports: Ports::All, observes: false };
    let ports: Vec<JailPorts> = std::iter::once(manual)
        .chain(on.iter().map(|jail| JailPorts {
            name: jail.name.clone(),
            ports: jail.ports.clone(),
            observes: jail.mode == Mode::Observe,
        }))
        .collect();
    let ports = kernel.number(ports)?;
    let (&manual, ids) = ports.ids().split_first().context("the jail of bans by command has a number")?;
    // In the order of the jails, as numbers of these that have one.
    let mut inputs = sources.number(on.iter().filter_map(|jail| jail.input.as_ref())).into_iter();
    let inputs: Vec<Option<SourceId>> = on.iter().map(|jail| jail.input.as_ref().and_then(|_| inputs.next())).collect();
    let journals = sources.number_journals(on.iter().map(|jail| Some((jail.journal.clone()?, jail.input.is_some()))));
    let jails: Vec<NumberedJail> = on
        .into_iter()
        .zip(ids)
        .zip(inputs.into_iter().zip(journals))
        .map(|((config, &id), (input, journal))| {
            let sources = input.into_iter().chain(journal).collect();
            NumberedJail { id, sources, config: config.clone() }
        })
        .collect();
    Ok((Numbered { jails, manual }, ports))
}

/// The engine's settings.
pub(super) fn settings(config: &Config, numbered: &Numbered, capacity: Capacity) -> Settings {
    let manual = Jail {
        id: numbered.manual,
        name: MANUAL_JAIL.to_owned(),
        filter: None,
        sources: Vec::new(),
        // Nothing is counted here; a ban by command without `--for` lasts until it is lifted.
        limits: Limits {
            max_retry: 1,
            find_time: std::time::Duration::from_secs(1),
            ban_time: BanTime::Forever,
            counter: Counter::Exact,
        },
        repeat: Repeat::default(),
        forgives: true,
    };
    let jails = numbered.jails.iter().map(|NumberedJail { id, sources, config }| Jail {
        id: *id,
        name: config.name.clone(),
        filter: Some(config.filter.clone()),
        sources: sources.clone(),
        limits: Limits {
            max_retry: config.max_retry,
            find_time: config.find_time,
            ban_time: config.ban_time,
            counter: config.counter,
        },
        repeat: config.repeat.clone(),
        forgives: config.forgive,
    });
    let allow = config.daemon.allow.iter().map(|&prefix| Allowed { prefix, why: AllowReason::Configured });
    Settings {
        jails: std::iter::once(manual).chain(jails).collect(),
        manual: numbered.manual,
        allow: allow.collect(),
        ipv6_prefix: config.daemon.ipv6_prefix,
        remember_bans: config.daemon.remember_bans,
        brake: config.brake,
        bounds: Bounds {
            max_bans_v4: capacity.ipv4 as usize,
            max_bans_v6: capacity.ipv6 as usize,
            max_networks: blocker_common::MAX_NETWORKS as usize,
            max_nesting: blocker_common::MAX_NESTING as usize,
            ..Bounds::default()
        },
    }
}

/// A jail that is on where its log is waits for the log where it is not yet.
fn is_on(jail: &config::Jail) -> bool {
    match jail.enabled {
        Enabled::Auto | Enabled::Yes => true,
        Enabled::No => false,
    }
}
