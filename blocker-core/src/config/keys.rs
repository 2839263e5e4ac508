//! The keys of the file: what each may be and what it is if absent.
//!
//! This is the only list of keys there is. Each is one line in the table it belongs to, with its kind and its default;
//! the kinds stand in `kinds`, each with the words that an error shows.

use std::path::PathBuf;
use std::time::Duration;

use super::brake::brake;
use super::control::control;
use super::error::Problem;
use super::filters;
use super::input::{Input, input};
use super::kinds::{
    ALLOW_FILES, ATTACH, BAN_TIME, CAPACITY, COUNTER, DIRECTORY, ENABLED, INTERFACE_LIST, INTERFACES, IPV6_PREFIX,
    LINE_BYTES, LOG_FILE, LOGS, MATCHES, MAYBE_DIRECTORY, MODE, NAMESPACE, PORTS, PREFIXES, RETRIES, SOCKET_DIRECTORY,
    SPAN, TRUST, TRUTH,
};
use super::metrics::METRICS;
use super::notify::notify;
use super::ports::Ports;
use super::repeat;
use super::usual::{UNMENTIONED, Usual};
use super::walk::{Found, Named, Section};
use super::{
    Attach, Config, Daemon, Enabled, Interfaces, Jail, Journal, MAX_JAIL_NAME_BYTES, MAX_JAILS, Mode, Places, Whose,
};
use crate::filter::Filter;
use crate::jail::Counter;
use crate::journal::Matches;
use crate::time::BanTime;

/// The whole document.
pub(super) fn config(root: &mut Section<'_, '_>) -> Option<Config> {
    let daemon = root.table("daemon", daemon);
    let control = root.table("control", control);
    let brake = root.table("brake", brake);
    let metrics = root.table("metrics", |section| section.get("listen", &METRICS, None));
    let notify = root.table("notify", notify);
    let defaults = root.table("defaults", |section| limits(section, &LIMITS));
    let jails = root.table("jails", |section| jails(section, &defaults));
    Some(Config {
        daemon,
        control,
        brake,
        metrics,
        notify,
        jails: jails?,
        counter: defaults.counter,
        taken: None,
        warnings: Vec::new(),
    })
}

/// Where the daemon is found, by what can be read.
pub(super) fn places(root: &mut Section<'_, '_>) -> Places {
    let Daemon { runtime, pins, state, ipv6_prefix, .. } = root.table("daemon", daemon);
    Places { runtime, pins, state, ipv6_prefix }
}

fn daemon(section: &mut Section<'_, '_>) -> Daemon {
    Daemon {
        interfaces: section.get("interfaces", &INTERFACES, Interfaces::Auto),
        mode: section.get("mode", &MODE, Mode::Enforce),
        attach: section.get("attach", &ATTACH, vec![Attach::Native, Attach::Generic, Attach::Tcx]),
        observe_interfaces: section.get("observe_interfaces", &INTERFACE_LIST, Vec::new()),
        fail2ban: section.get("fail2ban", &MAYBE_DIRECTORY, None),
        allow: section.get("allow", &PREFIXES, Vec::new()),
        allow_files: section.get("allow_files", &ALLOW_FILES, Vec::new()),
        allow_logins: section.get("allow_logins", &TRUTH, true),
        close_connections: section.get("close_connections", &TRUTH, true),
        max_bans_ipv4: section.get("max_bans_ipv4", &CAPACITY, None),
        max_bans_ipv6: section.get("max_bans_ipv6", &CAPACITY, None),
        ipv6_prefix: section.get("ipv6_prefix", &IPV6_PREFIX, 64),
        max_line_bytes: section.get("max_line_bytes", &LINE_BYTES, 8 * 1024),
        remember_bans: section.get("remember_bans", &SPAN, Duration::from_secs(30 * 24 * 60 * 60)),
        fail2ban_log: section.get("fail2ban_log", &LOG_FILE, None),
        state: section.get("state", &DIRECTORY, PathBuf::from("/var/lib/blocker")),
        runtime: section.get("runtime", &SOCKET_DIRECTORY, PathBuf::from("/run/blocker")),
        pins: section.get("pins", &DIRECTORY, PathBuf::from("/sys/fs/bpf/blocker")),
    }
}

/// The keys that `[defaults]` and the jails have in common.
struct Limits {
    max_retry: u32,
    find_time: Duration,
    ban_time: BanTime,
    repeat: repeat::Keys,
    counter: Counter,
    forgive: bool,
}

const LIMITS: Limits = Limits {
    max_retry: 5,
    find_time: Duration::from_secs(10 * 60),
    ban_time: BanTime::For(Duration::from_secs(60 * 60)),
    repeat: repeat::NOTHING,
    counter: Counter::Exact,
    forgive: true,
};

/// Of a jail that counts bans, whatever `[defaults]` says: five in a day earn a week.
const RECIDIVE: Limits = Limits {
    max_retry: 5,
    find_time: Duration::from_secs(24 * 60 * 60),
    ban_time: BanTime::For(Duration::from_secs(7 * 24 * 60 * 60)),
    repeat: repeat::NOTHING,
    counter: Counter::Exact,
    forgive: true,
};

fn limits(section: &mut Section<'_, '_>, defaults: &Limits) -> Limits {
    Limits {
        max_retry: section.get("max_retry", &RETRIES, defaults.max_retry),
        find_time: section.get("find_time", &SPAN, defaults.find_time),
        ban_time: section.get("ban_time", &BAN_TIME, defaults.ban_time),
        repeat: repeat::Keys::read(section, &defaults.repeat),
        counter: section.get("counter", &COUNTER, defaults.counter),
        forgive: section.get("forgive", &TRUTH, defaults.forgive),
    }
}

/// All jails: the one that is there without being mentioned, then those of the file.
fn jails(section: &mut Section<'_, '_>, defaults: &Limits) -> Option<Vec<Jail>> {
    let listed = section.named();
    let absent = (!listed.iter().any(|entry| entry.name == UNMENTIONED)).then_some(UNMENTIONED);
    let entries: Vec<Named<'_>> = absent.into_iter().map(Named::absent).chain(listed.iter().copied()).collect();
    if let Some(surplus) = entries.get(MAX_JAILS) {
        section.fault_of(*surplus, Problem::TooManyJails(MAX_JAILS));
    }
    let jails: Vec<Option<Jail>> = entries
        .into_iter()
        .take(MAX_JAILS)
        .map(|entry| match name_problem(entry.name) {
            Some(problem) => {
                section.fault_of(entry, problem);
                None
            }
            None => {
                // A table without a key, as in the shipped file, says no more of that jail than none.
                let is_said = entry.name != UNMENTIONED || entry.has_keys();
                let whose = if is_said { Whose::Configured } else { Whose::Unmentioned };
                section.enter(entry, |section| jail(section, entry.name, defaults, whose))
            }
        })
        .collect();
    jails.into_iter().collect()
}

fn name_problem(name: &str) -> Option<Problem> {
    if !is_name(name) {
        return Some(Problem::JailName);
    }
    (name == MANUAL).then_some(Problem::ReservedName)
}

/// Whether a jail, or a receiver, may be called so.
pub(super) fn is_name(name: &str) -> bool {
    let is_plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte));
    is_plain && (1..=MAX_JAIL_NAME_BYTES).contains(&name.len())
}

fn jail(section: &mut Section<'_, '_>, name: &str, defaults: &Limits, whose: Whose) -> Option<Jail> {
    let usual = Usual::of(name);
    let enabled = section.get("enabled", &ENABLED, Enabled::Auto);
    let named = section.filters().by_name(name).cloned();
    let filter = section.need("filter", filters::kind(section), named);
    let counts_bans = filter == Some(Filter::Bans);
    let inputs = if counts_bans { no_inputs(section) } else { inputs(section, usual, enabled, filter.as_ref()) };
    let ports = section.get("ports", &PORTS, usual.map_or(Ports::All, Usual::ports));
    let mode = section.get("mode", &MODE, Mode::Enforce);
    let of_recidive = Limits { repeat: defaults.repeat.clone(), ..RECIDIVE };
    let Limits { max_retry, find_time, ban_time, repeat, counter, forgive } =
        limits(section, if counts_bans { &of_recidive } else { defaults });
    let repeat = repeat.repeat();
    let name = name.to_owned();
    let (input, journal) = inputs?;
    Some(Jail {
        name,
        whose,
        enabled,
        filter: filter?,
        input,
        journal,
        ports,
        mode,
        max_retry,
        find_time,
        ban_time,
        repeat,
        counter,
        forgive,
    })
}

/// A jail that counts bans reads nothing.
fn no_inputs(section: &mut Section<'_, '_>) -> Option<(Option<Input>, Option<Journal>)> {
    for key in ["log", "command", "syslog", "journal"] {
        if section.has(key) {
            section.fault_at(key, Problem::Excluded { by: "filter", hint: "`recidive` counts bans and reads no log" });
        }
    }
    Some((None, None))
}

/// Where a jail's lines come from. A jail by the name of a filter that names neither reads what is usual: Dovecot's
/// files and the journal.
fn inputs(
    section: &mut Section<'_, '_>,
    usual: Option<&Usual>,
    enabled: Enabled,
    filter: Option<&Filter>,
) -> Option<(Option<Input>, Option<Journal>)> {
    let input = input(section);
    let journal = section.find("journal", &MATCHES);
    let trust = section.get("journal_trust", &TRUST, filter.and_then(Filter::journal_trust));
    let namespace = section.get("journal_namespace", &NAMESPACE, None);
    let directory = section.get("journal_directory", &MAYBE_DIRECTORY, None);
    let (input, matches) = match (input, journal, usual) {
        (Found::Faulty, _, _) | (_, Found::Faulty, _) => return None,
        (Found::Absent, Found::Absent, Some(usual)) => (
            Some(Input::Files(usual.log.iter().copied().map(str::to_owned).collect())),
            Matches::read(usual.journal.iter().copied()).ok(),
        ),
        (Found::Absent, Found::Absent, None) if enabled == Enabled::No => (None, None),
        (Found::Absent, Found::Absent, None) => (Some(Input::Files(section.need("log", &LOGS, None)?)), None),
        (Found::Value(input), Found::Absent, _) => (Some(input), None),
        (Found::Absent, Found::Value(matches), _) => (None, Some(matches)),
        (Found::Value(input), Found::Value(matches), _) => (Some(input), Some(matches)),
    };
    let Some(matches) = matches else {
        let is_about_journal = ["journal_trust", "journal_namespace", "journal_directory"];
        if is_about_journal.into_iter().any(|key| section.has(key)) {
            section.need("journal", &MATCHES, None)?;
        }
        return Some((input, None));
    };
    if trust.is_none() && !section.has("journal_trust") && !matches.name_the_sender() {
        section.fault_at("journal", Problem::AnybodysEntries);
        return None;
    }
    Some((input, Some(Journal { matches, trust, namespace, directory })))
}

/// The jail of bans made by command, which has no table.
const MANUAL: &str = "manual";
