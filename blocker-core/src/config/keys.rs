//! The keys of the file: what each may be and what it is if absent.
//!
//! This is the only list of keys there is. Each is one line in the table it belongs to, with its kind and its default;
//! the kinds stand below, each with the words that an error shows.

use std::path::PathBuf;
use std::time::Duration;

use super::brake::brake;
use super::control::control;
use super::error::Problem;
use super::filters;
use super::input::{Input, input};
use super::metrics::METRICS;
use super::notify::notify;
use super::ports::{PortRange, Ports};
use super::repeat;
use super::usual::{UNMENTIONED, Usual};
use super::value::{Kind, Read, Reading};
use super::walk::{Found, Named, Section};
use super::{
    Attach, Config, Daemon, Enabled, Interfaces, Jail, Journal, MAX_ALLOW_FILES, MAX_JAIL_NAME_BYTES, MAX_JAILS, Mode,
    Places, Whose,
};
use crate::filter::Filter;
use crate::jail::Counter;
use crate::journal::{Matches, Unmatchable};
use crate::prefix::Prefix;
use crate::time::{BanTime, parse_span};

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
    let Daemon { runtime, pins, ipv6_prefix, .. } = root.table("daemon", daemon);
    Places { runtime, pins, ipv6_prefix }
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

const INTERFACES: Kind<Interfaces> = Kind {
    expected: "\"auto\", or names of interfaces of 1 to 15 characters, in which *, ? and [] stand for what varies",
    read: |value| match value.text() {
        Some("auto") => Ok(Interfaces::Auto),
        Some(_) | None => value.list(1, interface).map(Interfaces::Named),
    },
};

const ATTACH: Kind<Vec<Attach>> = Kind {
    expected: "a list of \"native\", \"generic\", \"tcx\" and \"dispatcher\", each at most once",
    read: |value| {
        let way = |value: Reading<'_>| {
            value.or_unexpected(match value.text() {
                Some("native") => Some(Attach::Native),
                Some("generic") => Some(Attach::Generic),
                Some("tcx") => Some(Attach::Tcx),
                Some("dispatcher") => Some(Attach::Dispatcher),
                Some(_) | None => None,
            })
        };
        let ways = value.list(1, way)?;
        let is_twice = (1..ways.len()).any(|at| ways[..at].contains(&ways[at]));
        value.or_unexpected((!is_twice).then_some(ways))
    },
};

const INTERFACE_LIST: Kind<Vec<String>> =
    Kind { expected: "a list of names of interfaces of 1 to 15 characters", read: |value| value.list(0, interface) };

fn interface(value: Reading<'_>) -> Read<String> {
    // What Linux takes as a name (dev_valid_name); `auto` has a meaning here. A pattern is longer than what it matches.
    let is_name = |name: &&str| {
        let longest = if name.contains(['*', '?', '[']) { MAX_PATTERN_BYTES } else { 15 };
        (1..=longest).contains(&name.len())
            && ![".", "..", "auto"].contains(name)
            && !name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control())
    };
    value.or_unexpected(value.text().filter(is_name).map(str::to_owned))
}

/// Longest pattern of interfaces' names.
const MAX_PATTERN_BYTES: usize = 64;

const COUNTER: Kind<Counter> = Kind {
    expected: "\"exact\" or \"fail2ban\"",
    read: |value| {
        value.or_unexpected(match value.text() {
            Some("exact") => Some(Counter::Exact),
            Some("fail2ban") => Some(Counter::Fail2ban),
            Some(_) | None => None,
        })
    },
};

const MODE: Kind<Mode> = Kind {
    expected: "\"enforce\" or \"observe\"",
    read: |value| {
        value.or_unexpected(match value.text() {
            Some("enforce") => Some(Mode::Enforce),
            Some("observe") => Some(Mode::Observe),
            Some(_) | None => None,
        })
    },
};

const PREFIXES: Kind<Vec<Prefix>> = Kind {
    expected: "addresses and networks such as \"192.0.2.9\" or \"2001:db8::/64\"",
    read: |value| value.list(0, |value| value.or_unexpected(value.text().and_then(|text| text.parse().ok()))),
};

const ALLOW_FILES: Kind<Vec<PathBuf>> = Kind {
    expected: "at most 16 absolute paths of files",
    read: |value| {
        let paths = value.list(0, |value| path(value, MAX_PATH_BYTES))?;
        value.or_unexpected((paths.len() <= MAX_ALLOW_FILES).then_some(paths))
    },
};

pub(super) const TRUTH: Kind<bool> =
    Kind { expected: "true or false", read: |value| value.or_unexpected(value.truth()) };

const LOG_FILE: Kind<Option<PathBuf>> = Kind {
    expected: "the absolute path of a file, or \"\" for none",
    read: |value| match value.text() {
        Some("") => Ok(None),
        _ => path(value, MAX_PATH_BYTES).map(Some),
    },
};

const DIRECTORY: Kind<PathBuf> = Kind { expected: "an absolute path", read: |value| path(value, MAX_PATH_BYTES) };

const SOCKET_DIRECTORY: Kind<PathBuf> = Kind {
    expected: "an absolute path of at most 94 bytes, for a socket in it",
    read: |value| path(value, MAX_SOCKET_DIRECTORY_BYTES),
};

fn path(value: Reading<'_>, max_bytes: usize) -> Read<PathBuf> {
    value.or_unexpected(value.text().filter(|text| is_path(text, max_bytes)).map(PathBuf::from))
}

pub(super) fn is_path(text: &str, max_bytes: usize) -> bool {
    text.starts_with('/') && text.len() <= max_bytes && !text.contains(char::is_control)
}

/// Longest path the kernel takes: `PATH_MAX` less its final zero.
pub(super) const MAX_PATH_BYTES: usize = 4_095;

/// What `sun_path` leaves beside `/control.sock` and a final zero (unix(7): 108 bytes).
const MAX_SOCKET_DIRECTORY_BYTES: usize = 108 - "/control.sock".len() - 1;

const CAPACITY: Kind<Option<u32>> = Kind {
    expected: "\"auto\", or a whole number from 1024 to 16777216",
    read: |value| match value.text() {
        Some("auto") => Ok(None),
        Some(_) | None => {
            let number = value.number().and_then(|number| u32::try_from(number).ok());
            value.or_unexpected(number.filter(|number| (1 << 10..=1 << 24).contains(number)).map(Some))
        }
    },
};

const IPV6_PREFIX: Kind<u8> = Kind {
    expected: "a whole number from 32 to 128",
    read: |value| {
        let number = value.number().and_then(|number| u8::try_from(number).ok());
        value.or_unexpected(number.filter(|number| (32..=128).contains(number)))
    },
};

const LINE_BYTES: Kind<usize> = Kind {
    expected: "a whole number from 1024 to 65536",
    read: |value| {
        let number = value.number().and_then(|number| usize::try_from(number).ok());
        value.or_unexpected(number.filter(|number| (1 << 10..=1 << 16).contains(number)))
    },
};

const RETRIES: Kind<u32> = Kind {
    expected: "a whole number from 1 to 1000",
    read: |value| {
        let number = value.number().and_then(|number| u32::try_from(number).ok());
        value.or_unexpected(number.filter(|number| (1..=1_000).contains(number)))
    },
};

pub(super) const SPAN: Kind<Duration> = Kind {
    expected: "a length of time such as \"90s\", \"10m\", \"1h30m\", \"3d\" or \"1w\"",
    read: |value| value.or_unexpected(span(value)),
};

const BAN_TIME: Kind<BanTime> = Kind {
    expected: "a length of time such as \"10m\", \"1h30m\" or \"3d\", or \"forever\"",
    read: |value| {
        // fail2ban's habit, in either spelling: a negative time never ends.
        let seconds = value.number().or_else(|| value.text()?.trim().parse().ok());
        let is_forever =
            seconds.is_some_and(|seconds| seconds < 0) || value.text().is_some_and(|text| text.trim() == "forever");
        value.or_unexpected(if is_forever { Some(BanTime::Forever) } else { span(value).map(BanTime::For) })
    },
};

/// A length of time, written out or as bare seconds.
fn span(value: Reading<'_>) -> Option<Duration> {
    let written = value.number().map(|seconds| seconds.to_string());
    parse_span(written.as_deref().or_else(|| value.text())?).ok()
}

const ENABLED: Kind<Enabled> = Kind {
    expected: "\"auto\", true or false",
    read: |value| {
        value.or_unexpected(match (value.text(), value.truth()) {
            (Some("auto"), _) => Some(Enabled::Auto),
            (_, Some(true)) => Some(Enabled::Yes),
            (_, Some(false)) => Some(Enabled::No),
            (_, None) => None,
        })
    },
};

pub(super) const LOGS: Kind<Vec<String>> = Kind {
    expected: "absolute paths of log files, in which *, ? and [] stand for what varies",
    read: |value| {
        value.list(1, |value| {
            let path = value.text().filter(|text| is_path(text, MAX_PATH_BYTES));
            value.or_unexpected(path.map(str::to_owned))
        })
    },
};

const MATCHES: Kind<Matches> = Kind {
    expected: EXPECTED_MATCHES,
    read: |value| match matches(value)? {
        Some(matches) => Ok(matches),
        None => value.or_unexpected(None),
    },
};

/// An empty list trusts everybody.
const TRUST: Kind<Option<Matches>> = Kind { expected: EXPECTED_MATCHES, read: matches };

const EXPECTED_MATCHES: &str = "matches as journalctl takes them, such as \"_SYSTEMD_UNIT=dovecot.service\", with \"+\" \
                                between alternatives";

/// `None` for an empty list.
fn matches(value: Reading<'_>) -> Read<Option<Matches>> {
    let entries = value.entries();
    let mut words = Vec::new();
    for entry in &entries {
        match entry.text() {
            Some(word) => words.push(word),
            None => return entry.or_unexpected(None),
        }
    }
    match Matches::read(words) {
        Ok(matches) => Ok(Some(matches)),
        Err(Unmatchable::None) => Ok(None),
        Err(Unmatchable::Word(place) | Unmatchable::Plus(place)) => {
            entries.get(place).copied().unwrap_or(value).or_unexpected(None)
        }
        Err(Unmatchable::TooMany) => value.or_unexpected(None),
    }
}

const NAMESPACE: Kind<Option<String>> = Kind {
    expected: "the name of a journal's namespace, 1 to 64 letters, digits, _, -, . and :, or \"\"",
    read: |value| {
        if value.text() == Some("") {
            return Ok(None);
        }
        let is_name = |text: &&str| {
            let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte);
            (1..=64).contains(&text.len()) && text.bytes().all(is_of_name)
        };
        value.or_unexpected(value.text().filter(is_name).map(|text| Some(text.to_owned())))
    },
};

const MAYBE_DIRECTORY: Kind<Option<PathBuf>> = Kind {
    expected: "an absolute path, or \"\"",
    read: |value| match value.text() {
        Some("") => Ok(None),
        Some(_) | None => path(value, MAX_PATH_BYTES).map(Some),
    },
};

const PORTS: Kind<Ports> = Kind {
    expected: "services and ports such as \"imap\", 588, \"5000-5010\", \"sip/udp\" or \"588/sctp\", or \"all\" by itself",
    read: |value| match value.text() {
        Some("all") => Ok(Ports::All),
        Some(_) | None => value.list(1, ports).map(Ports::listed),
    },
};

fn ports(value: Reading<'_>) -> Read<PortRange> {
    let number = value.number().map(|number| number.to_string());
    let Some(text) = number.as_deref().or_else(|| value.text()) else {
        return value.or_unexpected(None);
    };
    let range = PortRange::read(text, value.services());
    let (text, protocol) = PortRange::parts(text);
    let is_name =
        text != "all" && !text.contains(char::is_whitespace) && text.contains(|c: char| c.is_ascii_alphabetic());
    match range {
        Some(range) => Ok(range),
        None if is_name => Err(value.no_such("service", value.services().names(protocol), false)),
        None => value.or_unexpected(None),
    }
}
