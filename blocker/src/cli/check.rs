//! `blocker check`: is the configuration right, and do the filters do what they promise?

use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use blocker_core::config::{Config, EarlierName, Enabled};
use blocker_core::fail2ban::{Taken, TakenJail};
use blocker_core::filter::fail2ban::Fail2ban;
use blocker_core::filter::patterns::Attack;
use blocker_core::filter::{Filter, examples};
use serde::Serialize;

use super::notes::notes;
use super::{Globals, output};
use crate::control::access::Access;
use crate::exit::Failure;
use crate::settings;

/// What `check --json` prints.
#[derive(Serialize)]
struct Checked {
    config: String,
    jails: Vec<CheckedJail>,
    filters: Vec<CheckedFilter>,
    /// What became of fail2ban's jails, if they are read.
    #[serde(skip_serializing_if = "Option::is_none")]
    fail2ban: Option<Taken>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct CheckedJail {
    name: String,
    enabled: bool,
    filter: String,
    ports: String,
}

#[derive(Serialize)]
struct CheckedFilter {
    name: String,
    /// Whether it is one of fail2ban's.
    is_fail2bans: bool,
    examples: usize,
    failed: Vec<String>,
    /// Patterns that can be made to name somebody else, each with a line that does.
    injectable: Vec<Injectable>,
    /// A built-in filter that could be used instead of one of fail2ban's.
    #[serde(skip_serializing_if = "Option::is_none")]
    instead: Option<String>,
    /// What it means otherwise than fail2ban does.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    differences: Vec<String>,
}

#[derive(Serialize)]
struct Injectable {
    pattern: String,
    message: String,
}

/// Reads the configuration, and what the daemon would look at only when it makes its sources.
///
/// # Errors
///
/// As [`settings::load`].
pub(super) fn load(path: &Path) -> Result<Config> {
    let config = settings::load(path)?;
    crate::daemon::check_inputs(&config)
        .map_err(|error| Failure::Configuration(format!("{}: {error}", path.display())))?;
    Access::of(&config.control).with_context(|| path.display().to_string())?;
    Ok(config)
}

pub(super) fn check(globals: &Globals) -> Result<()> {
    let config = load(&globals.config)?;
    let jails = config
        .jails
        .iter()
        .map(|jail| CheckedJail {
            name: jail.name.clone(),
            enabled: jail.enabled != Enabled::No,
            filter: jail.filter.title(),
            ports: jail.ports.to_string(),
        })
        .collect();
    let named = settings::filters(&globals.config)?;
    // Those of fail2ban belong to their jails.
    let mut of_jails: Vec<&Filter> = Vec::new();
    for filter in config.jails.iter().map(|jail| &jail.filter).filter(|filter| filter.fail2ban().is_some()) {
        if !of_jails.contains(&filter) {
            of_jails.push(filter);
        }
    }
    let filters = named.iter().chain(of_jails).map(check_filter).collect::<Result<Vec<_>>>()?;
    let failed = filters.iter().map(|filter| filter.failed.len()).sum::<usize>();
    let earlier = settings::earlier_names(&globals.config)?;
    let earlier = earlier.iter().map(|earlier| of_earlier_name(earlier, &config));
    let warnings = earlier.chain(config.warnings.iter().cloned()).collect();
    let Config { taken: fail2ban, .. } = config;
    let checked = Checked { config: globals.config.display().to_string(), jails, filters, fail2ban, warnings };
    if globals.json {
        output::json(&checked)?;
    } else {
        print(&checked)?;
    }
    if failed > 0 {
        let examples = if failed == 1 {
            "1 example of a filter fails".to_owned()
        } else {
            format!("{failed} examples of filters fail")
        };
        return Err(anyhow!(
            "{examples}: of a filter in filters.d its patterns or the examples are wrong; else it is a fault \
             of blocker, please report it"
        ));
    }
    Ok(())
}

/// That a jail calls its filter by a name that it had before, and whether another jail is in the way of writing the right one.
fn of_earlier_name(name: &EarlierName, config: &Config) -> String {
    let EarlierName { jail, earlier, present } = name;
    let on = config.jails.iter().filter(|other| other.enabled != Enabled::No && other.filter.name() == present);
    let twin = on.map(|other| other.name.as_str()).find(|other| other != jail);
    let right = format!("jail {jail}: the filter `{earlier}` is called `{present}`: write filter = \"{present}\"");
    match twin {
        Some(twin) => {
            format!("{right}; or remove this jail: the jail {twin} has that filter, too, and counts the same attempts")
        }
        None => right,
    }
}

fn check_filter(filter: &Filter) -> Result<CheckedFilter> {
    let verdicts = examples::run(filter)?;
    let failed = verdicts
        .iter()
        .filter_map(|verdict| Some(format!("example {}: {}", verdict.number, verdict.difference.as_ref()?)))
        .collect();
    let attacks = filter.attacks();
    let injectable = attacks.into_iter().map(|Attack { pattern, message }| Injectable { pattern, message }).collect();
    let fail2ban = filter.fail2ban();
    Ok(CheckedFilter {
        name: filter.name().to_owned(),
        is_fail2bans: fail2ban.is_some(),
        examples: verdicts.len(),
        failed,
        injectable,
        instead: fail2ban.and_then(Fail2ban::remedy),
        differences: fail2ban.map(Fail2ban::differences).unwrap_or_default(),
    })
}

fn print(checked: &Checked) -> Result<()> {
    let Checked { config, jails, filters, fail2ban, warnings } = checked;
    output::line(&format!("{config}: in order"))?;
    for CheckedJail { name, enabled, filter, ports } in jails {
        let state = if *enabled { "on" } else { "off" };
        output::line(&format!("jail {name}: {state}, filter {filter}, protects {ports}"))?;
    }
    for warning in warnings {
        output::line(&format!("warning: {warning}"))?;
    }
    for CheckedFilter { name, is_fail2bans, examples, failed, injectable, instead, differences } in filters {
        if *is_fail2bans {
            output::line(&format!("filter {} of fail2ban: it has no examples", name.escape_debug()))?;
        } else {
            output::line(&format!("filter {name}: {} of {examples} examples pass", examples - failed.len()))?;
        }
        for difference in differences {
            output::line(&format!("  otherwise than in fail2ban: {difference}"))?;
        }
        for failure in failed {
            output::line(&format!("  {failure}"))?;
        }
        for Injectable { pattern, message } in injectable {
            output::line(&format!(
                "  warning: pattern `{pattern}` can be made to name {} by a client at {}, who types part of this line:",
                Attack::VICTIM,
                Attack::PEER
            ))?;
            output::line(&format!("    {message}"))?;
            if let Some(instead) = instead {
                output::line(&format!("  the built-in filter `{instead}` is not misled so: name it instead"))?;
            }
        }
    }
    fail2ban.as_ref().map_or(Ok(()), print_taken)
}

/// What became of fail2ban's jails.
fn print_taken(taken: &Taken) -> Result<()> {
    let Taken { directory, notes: of_all, jails } = taken;
    output::line(&format!("\n{}: jails that are on: {}", directory.escape_debug(), jails.len()))?;
    notes(of_all)?;
    for TakenJail { name, jail, notes: of_jail, .. } in jails {
        let name = name.escape_debug();
        match jail {
            Some(ours) => output::line(&format!("\n{name} of fail2ban: runs as {ours}"))?,
            None => output::line(&format!("\n{name} of fail2ban: does not run"))?,
        }
        notes(of_jail)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use blocker_core::config::{self, Names};

    use super::*;

    #[test]
    fn a_filter_by_an_earlier_name_is_told_with_the_right_one_and_the_jail_that_counts_the_same() {
        let said = |text: &str| {
            let names = Names::builtin();
            let config = config::read(text, &names).unwrap();
            let earlier = config::earlier_names(text, &names);
            earlier.iter().map(|earlier| of_earlier_name(earlier, &config)).collect::<Vec<_>>()
        };
        let text = "[jails.mail]\nfilter = 'dovecot-auth'\nlog = '/l'\n[jails.dovecot]\nenabled = false\n";
        let right = "jail mail: the filter `dovecot-auth` is called `dovecot`: write filter = \"dovecot\"";

        assert_eq!(said(text), [right]);
        let both = said(&text.replace("false", "true"));
        assert_eq!(
            both,
            [format!(
                "{right}; or remove this jail: the jail dovecot has that filter, too, and counts the same attempts"
            )]
        );
    }
}
