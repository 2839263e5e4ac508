//! fail2ban's jails as they are run beside our own: with their own filters.
//!
//! [`super::lower`] writes a configuration in which filters of ours take the place of fail2ban's; here nothing is written, and each
//! jail keeps its expressions. What cannot be had is a note; a jail without a filter, a log or ports is left out whole.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

use super::allow::{Allowed, allowed};
use super::fault::{one_line, plain};
use super::import::{Fate, Lowered, Note, note};
use super::jail::{Jail, Jails};
use super::lower::Lowering;
use super::others::everywhere;
use super::scope::Closed;
use super::stock::Logged;
use crate::config::{
    self, Config, Enabled, Input, Journal, MAX_ALLOW_FILES, Mode, Names, PortRange, Ports, Services, Whose,
};
use crate::filter::Filter;
use crate::filter::fail2ban::Fail2ban;
use crate::journal::Matches;

/// What became of fail2ban's jails that are on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Taken {
    /// The directory of its configuration.
    pub directory: String,
    /// What concerns all jails.
    pub notes: Vec<Note>,
    /// Each jail that fail2ban would run, in the order of its files.
    pub jails: Vec<TakenJail>,
}

/// What became of a jail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TakenJail {
    /// Its name in fail2ban.
    pub name: String,
    /// Its name here; `None` if it is not run, and the notes say why.
    pub jail: Option<String>,
    /// Whether something is wrong with it, or with its filter, so that fail2ban would not run it either.
    pub is_faulty: bool,
    /// What of it is carried over, changed and refused.
    pub notes: Vec<Note>,
}

impl Taken {
    /// What is not as it is in fail2ban, of one kind: each with the jail that it is about; empty for all.
    pub fn told(&self, fate: Fate) -> impl Iterator<Item = (&str, &Note)> {
        let all = self.notes.iter().map(|note| ("", note));
        let each = self.jails.iter().flat_map(|jail| jail.notes.iter().map(|note| (jail.name.as_str(), note)));
        all.chain(each).filter(move |(_, note)| note.fate == fate)
    }

    /// What cannot be had, a sentence each: the first of them, and how many there are more.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let sentence = |(jail, Note { fate: _, what, why }): (&str, &Note)| {
            if jail.is_empty() {
                format!("fail2ban: {what}: {why}")
            } else {
                format!("fail2ban's jail {}: {what}: {why}", one_line(jail))
            }
        };
        let mut problems: Vec<String> = self.told(Fate::Refused).take(MAX_PROBLEMS).map(sentence).collect();
        let more = self.told(Fate::Refused).count() - problems.len();
        if more > 0 {
            problems.push(format!("fail2ban's jails: and {more} more, see `blocker check`"));
        }
        problems
    }

    /// A jail that is run by this and, by a fault in fail2ban's files, not by `newer`: its name, and what is wrong.
    #[must_use]
    pub fn lost_in<'n>(&self, newer: &'n Self) -> Option<(&'n str, &'n Note)> {
        let runs = |name: &str| self.jails.iter().any(|before| before.jail.is_some() && before.name == name);
        let lost = newer.jails.iter().find(|jail| jail.is_faulty && jail.jail.is_none() && runs(&jail.name))?;
        Some((&lost.name, lost.notes.iter().find(|note| note.fate == Fate::Refused)?))
    }
}

/// Most problems that [`Taken::problems`] tells.
const MAX_PROBLEMS: usize = 32;

/// What is to be looked at on the machine: each says what is wrong.
#[expect(missing_debug_implementations, reason = "functions have none")]
pub struct Checks<'a> {
    /// With the paths of log files.
    pub logs: &'a dyn Fn(&[String]) -> Result<(), String>,
    /// With a file of addresses that are never banned.
    pub allow_file: &'a dyn Fn(&str) -> Result<(), String>,
}

/// Puts the jails of `directory` that are on beside those of `config`, in which `names` may be used. A jail that the file
/// says something of counts instead of one of fail2ban's by the same name.
pub fn take(directory: &str, jails: &Jails, names: &Names, checks: &Checks<'_>, config: &mut Config) {
    let mut notes = everywhere(jails);
    let on: Vec<&Jail> = jails.jails.iter().filter(|jail| jail.enabled).collect();
    let is_mentioned = |name: &str, config: &Config| {
        config.jails.iter().any(|jail| jail.whose == Whose::Configured && jail.name == name)
    };
    let running: Vec<&Jail> = on.iter().copied().filter(|jail| !is_mentioned(&jail.name, config)).collect();
    let Allowed { allow, allow_files } = allowed(&running, checks.allow_file, &mut notes);
    for prefix in allow {
        if !config.daemon.allow.contains(&prefix) {
            config.daemon.allow.push(prefix);
        }
    }
    for file in allow_files.into_iter().map(PathBuf::from) {
        if config.daemon.allow_files.contains(&file) {
            continue;
        }
        if config.daemon.allow_files.len() == MAX_ALLOW_FILES {
            let why = format!("{:?}: `daemon.allow_files` has {MAX_ALLOW_FILES} already", file.display().to_string());
            notes.push(note(Fate::Refused, "ignoreip", why));
            continue;
        }
        config.daemon.allow_files.push(file);
    }
    let mut used: BTreeSet<String> = config.jails.iter().map(|jail| jail.name.clone()).collect();
    let mut taken = Vec::new();
    for jail in on {
        let name = jail.name.clone();
        if is_mentioned(&name, config) {
            let why = format!("[jails.{name}] of the configuration counts, and this one is left alone");
            let notes = vec![note(Fate::Changed, "jail", why)];
            taken.push(TakenJail { name, jail: None, is_faulty: false, notes });
            continue;
        }
        // Ours that is there without being mentioned makes room for fail2ban's.
        let usual = config.jails.iter().position(|usual| usual.whose == Whose::Unmentioned && usual.name == name);
        if usual.is_some() {
            used.remove(&name);
        }
        let mut lowering = Lowering { jail, names, running: &running, has_own_filter: true, notes: Vec::new() };
        lowering.tell_faults();
        let filter = lowering.own_filter();
        let is_faulty = filter.is_none() || !jail.faults.is_empty();
        let ours = lowering.take(filter, checks, &mut used, config);
        let mut notes = lowering.notes;
        match (&ours, usual) {
            (Some(_), Some(place)) => {
                config.jails.remove(place);
                notes.push(note(Fate::Changed, "jail", "it takes the place of blocker's own jail of this name"));
            }
            (None, Some(_)) => {
                used.insert(name.clone());
                notes.push(note(Fate::Changed, "jail", "blocker's own jail of this name runs"));
            }
            (Some(_) | None, None) => {}
        }
        let is_dovecots = ours.as_ref().is_some_and(|ours| ours.filter.name() == Filter::Dovecot.name());
        if is_dovecots && config.jails.iter().any(|jail| jail.whose == Whose::Unmentioned) {
            let why = "blocker's own jail `dovecot` runs besides: `enabled = false` in [jails.dovecot] turns that off";
            notes.push(note(Fate::Changed, "jail", why));
        }
        taken.push(TakenJail { name, jail: ours.as_ref().map(|ours| ours.name.clone()), is_faulty, notes });
        config.jails.extend(ours);
    }
    config.taken = Some(Taken { directory: directory.to_owned(), notes, jails: taken });
}

impl Lowering<'_> {
    /// The jail with this filter.
    fn take(
        &mut self,
        filter: Option<Filter>,
        checks: &Checks<'_>,
        used: &mut BTreeSet<String>,
        config: &Config,
    ) -> Option<config::Jail> {
        let named = filter.as_ref().map(|filter| (filter.name().to_owned(), Logged::Same));
        let Lowered {
            name,
            filter: _,
            log,
            journal,
            trusts_everybody: _,
            journal_directory,
            journal_namespace,
            ports,
            observes,
            max_retry,
            find_time,
            ban_time,
            repeat,
        } = self.lower(named, used)?;
        if let Err(why) = (checks.logs)(&log) {
            self.refused("logpath", why);
            used.remove(&name);
            return None;
        }
        // Read before, and refused if they are none.
        let matches = Matches::read(journal.iter().map(String::as_str)).ok();
        Some(config::Jail {
            name,
            whose: Whose::Fail2ban,
            enabled: Enabled::Yes,
            filter: filter?,
            input: (!log.is_empty()).then_some(Input::Files(log)),
            // Whoever wrote the entries, if their matches do not say it: that is told.
            journal: matches.map(|matches| Journal {
                matches,
                trust: None,
                namespace: journal_namespace,
                directory: journal_directory.map(PathBuf::from),
            }),
            ports: listed(&ports, &self.names.services),
            mode: if observes { Mode::Observe } else { Mode::Enforce },
            max_retry,
            find_time,
            ban_time,
            repeat,
            counter: config.counter,
            // fail2ban's counts are nobody's to take back.
            forgive: false,
        })
    }

    /// The filter that the jail's words make. One that counts bans is ours: fail2ban's reads fail2ban's own log.
    fn own_filter(&mut self) -> Option<Filter> {
        let named = self.jail.filter_name.as_ref();
        if named.is_some_and(|named| named.name == Filter::RECIDIVE) {
            return Some(Filter::Bans);
        }
        let definition = self.jail.filter.as_ref()?.definition.clone();
        let count = definition.failregex.len();
        let filter = match Fail2ban::compile(definition) {
            Ok(filter) => filter,
            Err(why) => {
                self.refused("filter", why.to_string());
                return None;
            }
        };
        let file = named.map_or_else(|| "the jail".to_owned(), |named| format!("filter.d/{}", plain(&named.name)));
        let expressions = if count == 1 { "expression" } else { "expressions" };
        self.carried("filter", format!("{file}: {count} {expressions} for failures"));
        for difference in filter.differences() {
            self.changed("filter", difference);
        }
        Some(Filter::Fail2ban(Arc::new(filter)))
    }
}

/// The ports that are closed.
fn listed(closed: &Closed, services: &Services) -> Ports {
    match closed {
        Closed::All => Ports::All,
        Closed::Listed(texts) => {
            Ports::listed(texts.iter().filter_map(|text| PortRange::read(text, services)).collect())
        }
    }
}
