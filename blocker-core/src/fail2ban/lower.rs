//! From fail2ban's jails to ours: what is carried over, what changes, what is refused.

use std::collections::BTreeSet;
use std::time::Duration;

use super::action::{Effect, MAIL};
use super::allow::{Allowed, allowed};
use super::fault::plain;
use super::growth;
use super::import::{Carried, Fate, Import, Lowered, Note, note};
use super::inputs::Inputs;
use super::jail::{Jail, Jails};
use super::mail;
use super::others::everywhere;
use super::scope::{self, Closed};
use super::stock::{self, Logged};
use crate::config::{MAX_JAIL_NAME_BYTES, MAX_JAILS, Names};
use crate::filter::Filter;
use crate::filter::fail2ban::Fail2ban;
use crate::filter::patterns::Attack;
use crate::jail::Repeat;
use crate::time::{BanTime, format_span};

/// Says what becomes of `jails` where `names` may be used. `check_file` says what is wrong with a file of addresses that are never
/// banned.
#[must_use]
pub fn lower(jails: &Jails, names: &Names, check_file: &dyn Fn(&str) -> Result<(), String>) -> Import {
    let mut notes = everywhere(jails);
    let is_any_on = jails.jails.iter().any(|jail| jail.enabled);
    let running: Vec<&Jail> = jails.jails.iter().filter(|jail| jail.enabled || !is_any_on).collect();
    let Allowed { allow, allow_files } = allowed(&running, check_file, &mut notes);
    let mut used = BTreeSet::new();
    let mut carried: Vec<Carried> = jails
        .jails
        .iter()
        .map(|jail| {
            Lowering { jail, names, running: &running, has_own_filter: false, notes: Vec::new() }.carry(&mut used)
        })
        .collect();
    let mail = mail::lowered(&jails.jails, &mut carried);
    Import { notes, allow, allow_files, mail, jails: carried }
}

pub(super) struct Lowering<'a> {
    pub(super) jail: &'a Jail,
    pub(super) names: &'a Names,
    /// Those that `allow` is made of.
    pub(super) running: &'a [&'a Jail],
    /// Whether the jail's own filter judges, and none of ours.
    pub(super) has_own_filter: bool,
    pub(super) notes: Vec<Note>,
}

impl Lowering<'_> {
    fn carry(mut self, used: &mut BTreeSet<String>) -> Carried {
        self.tell_faults();
        let filter = self.filter();
        let jail = self.lower(filter, used);
        Carried { name: self.jail.name.clone(), enabled: self.jail.enabled, jail, notes: self.notes }
    }

    /// What is wrong, and what fail2ban would warn of.
    pub(super) fn tell_faults(&mut self) {
        for fault in &self.jail.faults {
            self.notes.push(note(Fate::Refused, fault.key.as_deref().unwrap_or("jail"), fault.to_string()));
        }
        if let Some(filter) = &self.jail.filter {
            self.notes.extend(filter.warnings.iter().map(|fault| note(Fate::Changed, "filter", fault.to_string())));
        }
    }

    pub(super) fn carried(&mut self, what: &str, why: impl AsRef<str>) {
        self.notes.push(note(Fate::Carried, what, why));
    }

    pub(super) fn changed(&mut self, what: &str, why: impl AsRef<str>) {
        self.notes.push(note(Fate::Changed, what, why));
    }

    pub(super) fn refused(&mut self, what: &str, why: impl AsRef<str>) {
        self.notes.push(note(Fate::Refused, what, why));
    }

    /// The jail with this filter, which is to be found where `Logged` says.
    pub(super) fn lower(&mut self, filter: Option<(String, Logged)>, used: &mut BTreeSet<String>) -> Option<Lowered> {
        // What is wrong with a jail keeps fail2ban from running it.
        let is_broken = !self.jail.faults.is_empty();
        let closed = self.closed();
        let limits = self.limits();
        let repeat = self.repeat();
        let input = filter.as_ref().and_then(|(ours, logged)| match ours.as_str() {
            Filter::RECIDIVE => {
                self.changed("logpath", "none is read: bans are counted as they are made");
                Some(Inputs::default())
            }
            _ => self.input(*logged),
        });
        self.others();
        let ((filter, _), (ports, observes), (max_retry, find_time, ban_time)) = (filter?, closed?, limits);
        let Inputs { log, journal, trusts_everybody, directory, namespace } = input?;
        if is_broken {
            return None;
        }
        let name = if self.jail.enabled { self.name(used)? } else { own_name(&self.jail.name) };
        Some(Lowered {
            name,
            filter,
            log,
            journal,
            trusts_everybody,
            journal_directory: directory,
            journal_namespace: namespace,
            ports,
            observes,
            max_retry,
            find_time,
            ban_time,
            repeat,
        })
    }

    /// A name of ours, which no other jail has.
    fn name(&mut self, used: &mut BTreeSet<String>) -> Option<String> {
        // One place is for the jail that is there without being mentioned.
        if used.len() + 1 == MAX_JAILS {
            self.refused("jail", format!("blocker runs at most {MAX_JAILS} jails"));
            return None;
        }
        let plain = own_name(&self.jail.name);
        let numbered = (2..).map(|number: usize| {
            let ending = format!("-{number}");
            let stem: String = plain.chars().take(MAX_JAIL_NAME_BYTES - ending.len()).collect();
            stem + &ending
        });
        let name = std::iter::once(plain.clone()).chain(numbered).find(|name| !used.contains(name))?;
        if name != self.jail.name {
            self.changed(
                "jail",
                format!("it is called {name}: names have 1 to {MAX_JAIL_NAME_BYTES} of a-z, 0-9, _ and -"),
            );
        }
        used.insert(name.clone());
        Some(name)
    }

    /// The filter of ours that does the same, and where its lines are.
    fn filter(&mut self) -> Option<(String, Logged)> {
        let Some(named) = &self.jail.filter_name else {
            let why = if self.jail.has_own_expressions {
                "the jail has expressions of its own: write them as a filter of ours (docs/filters.md)"
            } else {
                "the jail names none: write `filter = ` and its name; that fail2ban takes the jail's own stands in the `jail.conf` that it brings"
            };
            self.refused("filter", why);
            return None;
        };
        let name = plain(&named.name);
        let mode = named.parameters.get("mode").map_or("normal", String::as_str);
        let stock = stock::equivalent(&named.name, mode);
        let is_there = |name: &str| self.names.filters.by_name(name).is_some();
        let (ours, logged) = match stock {
            Ok(Some((ours, logged))) if is_there(ours) => (ours.to_owned(), logged),
            Err(why) => {
                self.refused("filter", format!("{name}: {why}"));
                return None;
            }
            Ok(_) if is_there(&named.name) => (named.name.clone(), Logged::Same),
            Ok(_) => {
                self.refused(
                    "filter",
                    format!("{name}: no filter of blocker's does this: write one (docs/filters.md)"),
                );
                return None;
            }
        };
        self.changed("filter", format!("filter.d/{name} is replaced by blocker's own filter `{ours}`, which counts attempts by rules of its own"));
        if !["normal", ""].contains(&mode) {
            self.changed(
                "filter",
                format!("mode={}: the filter `{ours}` has one mode, refused passwords", plain(mode)),
            );
        }
        let holds_host = self
            .jail
            .filter
            .as_ref()
            .is_some_and(|filter| filter.definition.failregex.iter().any(|text| text.contains("(?P<host>")));
        if holds_host {
            self.changed(
                "failregex",
                "(?P<host>…) is refused by fail2ban since 0.10; here the filter of ours takes its place",
            );
        }
        self.tell_attacks(&ours);
        if self.jail.has_own_expressions {
            self.refused("failregex", "expressions of the jail's own are not used with a filter of ours: write them as a filter (docs/filters.md)");
        }
        Some((ours, logged))
    }

    /// What can be done to the filter whose place `ours` takes, in a jail that is on.
    fn tell_attacks(&mut self, ours: &str) {
        let definition =
            self.jail.filter.as_ref().filter(|_| self.jail.enabled).map(|filter| filter.definition.clone());
        let Some(Ok(theirs)) = definition.map(Fail2ban::compile) else { return };
        for Attack { pattern, message } in theirs.attacks().into_iter().take(MAX_ATTACKS) {
            self.changed(
                "failregex",
                format!(
                    "warning: `{pattern}` can be made to name {} by a client at {}, who types part of this line: {message} -- the filter \
                     `{ours}`, which takes its place, is not misled so",
                    Attack::VICTIM,
                    Attack::PEER
                ),
            );
        }
    }

    /// What a ban closes, and whether nothing bans.
    fn closed(&mut self) -> Option<(Closed, bool)> {
        let mut closed = Vec::new();
        for action in &self.jail.actions {
            let name = plain(&action.named.name);
            match &action.effect {
                Effect::AllPorts => {
                    self.carried("action", format!("{name}: closes all ports"));
                    closed.push(Closed::All);
                }
                Effect::Ports { port, protocol } => {
                    let (found, problems) = scope::closed(port, protocol, &self.names.services);
                    for problem in problems {
                        self.refused("port", problem);
                    }
                    let Some(found) = found else {
                        self.refused("action", format!("{name}: none of its ports is known here"));
                        return None;
                    };
                    self.carried("action", format!("{name}: closes {found}"));
                    closed.push(found);
                }
                Effect::Mail(mail) => {
                    let to = mail.dest.as_deref().map(|dest| format!(" to {}", plain(dest))).unwrap_or_default();
                    if self.has_own_filter {
                        self.refused("action", format!("{name}: mails{to} about each ban: say [notify.mail] in the configuration"));
                    } else {
                        self.changed("action", format!("{name}: mails{to} about each ban: {MAIL}"));
                    }
                }
                Effect::Elsewhere { does, instead } => self.refused("action", format!("{name}: {does}: {instead}")),
                Effect::Own => self.refused(
                    "action",
                    format!("{name}: an action of your own: a program in a table [notify.exec.NAME] is told of each ban, and can do what it does"),
                ),
            }
        }
        let Some(first) = closed.pop() else {
            self.changed("action", "no action bans: bans are counted and drop nothing (mode = \"observe\")");
            return Some((Closed::All, true));
        };
        Some((closed.into_iter().fold(first, Closed::and), false))
    }

    fn limits(&mut self) -> (u32, Duration, BanTime) {
        let jail = self.jail;
        let wanted = jail.max_retry.unwrap_or(3);
        let max_retry = wanted.clamp(1, MAX_RETRY);
        if max_retry != wanted {
            self.changed("maxretry", format!("{wanted}: here it is 1 to {MAX_RETRY}, so {max_retry}"));
        }
        let ten_minutes = Duration::from_secs(600);
        let find_time = jail.find_time.unwrap_or(ten_minutes);
        let ban_time = jail.ban_time.unwrap_or(BanTime::For(ten_minutes));
        self.carried(
            "maxretry, findtime",
            format!(
                "{max_retry} {} within {}",
                if max_retry == 1 { "failure" } else { "failures" },
                format_span(find_time)
            ),
        );
        match &jail.odd_ban_time {
            Some(text) => self.changed(
                "bantime",
                format!("{}: bans are for ever, as in fail2ban up to 0.10.5; since 0.11.1 it bans nobody by this, and only -1 is for ever", plain(text)),
            ),
            None => self.carried("bantime", ban_time.to_string()),
        }
        (max_retry, find_time, ban_time)
    }

    /// What follows for who was banned before.
    fn repeat(&mut self) -> Repeat {
        let (repeat, refused) = growth::repeat(&self.jail.increment);
        for why in refused {
            self.refused("bantime.increment", why);
        }
        if repeat != Repeat::default() {
            let keys = growth::keys(&repeat);
            let keys: Vec<String> = keys.iter().map(|(key, value)| format!("{key} = {value}")).collect();
            self.carried("bantime.increment", keys.join(", "));
            self.changed(
                "bantime.increment",
                "each earlier ban leaves half of maxretry (of 5: 2, then 1), where fail2ban leaves 3, 2 and 1; `fewer_tries = false` leaves all",
            );
        }
        repeat
    }
}

/// Most expressions of a filter that are told to be injectable.
const MAX_ATTACKS: usize = 3;

/// As many attempts as a jail may wait for.
const MAX_RETRY: u32 = 1_000;

/// A name as a jail of ours may have it.
fn own_name(name: &str) -> String {
    let plain: String = name
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-' { c } else { '-' })
        .take(MAX_JAIL_NAME_BYTES)
        .collect();
    // `manual` is the jail of bans made by command.
    if plain.is_empty() || plain == "manual" { "fail2ban".to_owned() } else { plain }
}
