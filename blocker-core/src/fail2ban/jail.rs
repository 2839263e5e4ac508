//! Jails: what `jail.conf` and its kin say of each.

use std::str::FromStr;
use std::time::Duration;

use super::action::Action;
use super::chain::{Chain, bounded};
use super::fault::{Fault, Place, Problem};
use super::files::Files;
use super::filter::{self, Filter, Logs, lines};
use super::ini::{DEFAULT, Sections};
use super::interpolation::Scope;
use super::parameters::Named;
use super::part::Part;
use super::span;
use crate::time::BanTime;

/// All jails of a configuration.
#[derive(Clone, Debug)]
pub struct Jails {
    /// In the order in which they come in the files, those that are off among them.
    pub jails: Vec<Jail>,
    /// What concerns no jail alone.
    pub warnings: Vec<Fault>,
    /// What `fail2ban.conf` says.
    pub program: Program,
}

/// What `fail2ban.conf` and its kin say of fail2ban as a whole, as written. What is `None` is not said anywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// Whether addresses of IPv6 are banned: `auto`, or true or false.
    pub allow_ipv6: Option<String>,
    /// How long what is over is remembered.
    pub purge_age: Option<String>,
}

/// A jail. What is `None` is not said anywhere, and fail2ban has a value of its own for it.
#[derive(Clone, Debug)]
pub struct Jail {
    /// Its name, whatever characters there are in it.
    pub name: String,
    /// Whether fail2ban runs it.
    pub enabled: bool,
    /// Its filter as it is called; `None` if the jail has the expressions itself.
    pub filter_name: Option<Named>,
    /// Its filter, with what the jail says itself put over it. `None` if that is wrong, which [`Jail::faults`] tell.
    pub filter: Option<Filter>,
    /// Whether it has expressions of its own.
    pub has_own_expressions: bool,
    /// How its lines are read, as it says: `auto`, `polling`, `systemd`, …, with parameters.
    pub backend: Named,
    /// Where its lines come from: the journal also if none of its log files is there.
    pub reads: Logs,
    /// Its log files.
    pub logs: Vec<Log>,
    /// Failures that earn a ban.
    pub max_retry: Option<u32>,
    /// How long a failure counts.
    pub find_time: Option<Duration>,
    /// How long a ban lasts; every negative time is for ever.
    pub ban_time: Option<BanTime>,
    /// A ban time below zero that is not -1, as written: since 0.11.1 fail2ban bans nobody by it.
    pub odd_ban_time: Option<String>,
    /// How bans grow.
    pub increment: Increment,
    /// Who is never banned: addresses, networks, names, `file:` and a path.
    pub ignore_ip: Vec<String>,
    /// Whether the machine itself is never banned.
    pub ignore_self: Option<bool>,
    /// A command that says who is not banned.
    pub ignore_command: Option<String>,
    /// How long its answers are kept.
    pub ignore_cache: Option<String>,
    /// What is done about names in logs: `yes`, `warn`, `no`, `raw`.
    pub use_dns: Option<String>,
    /// The encoding of its logs.
    pub log_encoding: Option<String>,
    /// The zone of times without one.
    pub log_timezone: Option<String>,
    /// How many lines are kept of a failure.
    pub max_matches: Option<u32>,
    /// The ports it is about, as written; what a ban closes is up to [`Jail::actions`].
    pub port: Option<String>,
    /// Their protocol.
    pub protocol: Option<String>,
    /// The chain of the firewall.
    pub chain: Option<String>,
    /// What is done about a ban.
    pub actions: Vec<Action>,
    /// What is wrong: fail2ban would not run the jail, or not as it is meant.
    pub faults: Vec<Fault>,
}

/// A log file of a jail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Its path, in which `*`, `?` and `[]` may stand for what varies.
    pub path: String,
    /// Whether only what comes new is read.
    pub tail: bool,
}

/// How bans of those who were banned before grow.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Increment {
    /// Whether they do.
    pub on: bool,
    /// The factor.
    pub factor: Option<f64>,
    /// An expression in Python, as written: nothing evaluates it.
    pub formula: Option<String>,
    /// A factor for each time.
    pub multipliers: Vec<f64>,
    /// The longest ban.
    pub max_time: Option<BanTime>,
    /// How much is added at random, at most.
    pub random_time: Option<BanTime>,
    /// Whether bans of other jails count.
    pub all_jails: bool,
}

/// Reads all jails. `is_there` says whether a path, with `*`, `?` and `[]` for what varies, has a file.
///
/// # Errors
///
/// What is wrong with the files that jails are in: fail2ban would not start, or not with all of them. What is wrong with one jail is
/// among its [`Jail::faults`].
pub fn load_jails(files: &Files, is_there: &dyn Fn(&str) -> bool) -> Result<Jails, Vec<Fault>> {
    let Chain { sections, warnings, .. } = Chain::of_jails(files)?;
    let names: Vec<&String> = sections.order.iter().filter(|name| *name != DEFAULT).collect();
    if let Some(surplus) = names.get(MAX_JAILS) {
        let place = sections.get(surplus).and_then(|section| section.values().next()).map(|value| value.place.clone());
        let problem = Problem::Value { found: names.len().to_string(), expected: "at most 512 jails" };
        return Err(vec![Fault { place, section: Some((*surplus).clone()), key: None, problem }]);
    }
    let jails = names
        .iter()
        .map(|name| Reader { files, sections: &sections, is_there, name, filter: None, faults: Vec::new() }.jail())
        .collect();
    Ok(Jails { jails, warnings: bounded(warnings), program: program(files) })
}

/// What is wrong with these files is fail2ban's to tell: no jail is in them.
fn program(files: &Files) -> Program {
    let Ok(chain) = Chain::of_program(files) else { return Program::default() };
    let get = |key: &str| {
        let text = Scope::new(&chain.sections, "Definition").get(key).ok()??;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    };
    Program { allow_ipv6: get("allowipv6"), purge_age: get("dbpurgeage") }
}

/// Where fail2ban keeps its bans, if its configuration says so and says a path.
#[must_use]
pub fn database(files: &Files) -> Option<String> {
    let chain = Chain::of_program(files).ok()?;
    let path = Scope::new(&chain.sections, "Definition").get("dbfile").ok()??;
    path.starts_with('/').then_some(path)
}

/// Most jails; fail2ban 1.1 brings 99.
const MAX_JAILS: usize = 512;

struct Reader<'a> {
    files: &'a Files,
    is_there: &'a dyn Fn(&str) -> bool,
    sections: &'a Sections,
    name: &'a str,
    /// The jail's filter, once it is read.
    filter: Option<Part>,
    faults: Vec<Fault>,
}

impl Reader<'_> {
    fn jail(mut self) -> Jail {
        let backend = self.backend();
        let filter_name = self.named("filter");
        let logs = self.logs();
        let mut reads = if backend.name == "systemd" { Logs::Journal } else { Logs::Files };
        let (mut filter, mut has_own_expressions) = self.filter(filter_name.as_ref(), reads);
        let has_matches = filter.as_ref().map(|filter| !filter.definition.journalmatch.is_empty());
        let is_a_log_there = logs.iter().any(|log| (self.is_there)(&log.path));
        let otherwise = match (backend.name.as_str(), has_matches) {
            ("auto", Some(true)) if !is_a_log_there && self.truth("systemd_if_nologs") != Some(false) => {
                Some(Logs::Journal)
            }
            // fail2ban looks for the lines among all entries of the journal then, and for most programs in vain.
            ("systemd", Some(false)) if is_a_log_there => Some(Logs::Files),
            _ => None,
        };
        if let Some(otherwise) = otherwise {
            reads = otherwise;
            (filter, has_own_expressions) = self.filter(filter_name.as_ref(), reads);
        }
        let ban_time = self.text("bantime");
        let odd_ban_time =
            ban_time.clone().filter(|text| span::read(text).is_some_and(|seconds| seconds < 0.0 && seconds != -1.0));
        Jail {
            name: self.name.to_owned(),
            enabled: self.truth("enabled").unwrap_or(false),
            filter_name,
            filter,
            has_own_expressions,
            backend,
            reads,
            logs,
            max_retry: self.number("maxretry"),
            find_time: self.ban_time("findtime").and_then(|time| match time {
                BanTime::For(span) => Some(span),
                BanTime::Forever => {
                    self.unexpected("findtime", "a length of time such as 10m");
                    None
                }
            }),
            ban_time: self.ban_time("bantime"),
            odd_ban_time,
            increment: self.increment(),
            ignore_ip: words(&self.text("ignoreip").unwrap_or_default()),
            ignore_self: self.truth("ignoreself"),
            ignore_command: self.text("ignorecommand"),
            ignore_cache: self.text("ignorecache"),
            use_dns: self.text("usedns"),
            log_encoding: self.text("logencoding"),
            log_timezone: self.text("logtimezone"),
            max_matches: self.number("maxmatches"),
            port: self.text("port"),
            protocol: self.text("protocol"),
            chain: self.text("chain"),
            actions: self.actions(),
            faults: bounded(self.faults),
        }
    }

    /// What an option is set to: what it is known as is what the filter says, if that says anything.
    fn get(&mut self, key: &str) -> Option<String> {
        let filter = self.filter.as_ref();
        let known = |name: &str| filter.map_or(Ok(None), |filter| filter.get(name));
        let got = Scope::new(self.sections, self.name).with_known(&known).get(key);
        got.unwrap_or_else(|fault| {
            // Some options are looked at more than once.
            if !self.faults.contains(&fault) {
                self.faults.push(fault);
            }
            None
        })
    }

    /// The same, and not empty.
    fn text(&mut self, key: &str) -> Option<String> {
        self.get(key).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    fn place(&self, key: &str) -> Option<Place> {
        Scope::new(self.sections, self.name).value(key).map(|value| value.place.clone())
    }

    fn fault(&mut self, key: &str, problem: Problem) {
        let place = self.place(key);
        self.faults.push(Fault::of(place.as_ref(), self.name, key, problem));
    }

    /// Notes that the value of `key` is none that may stand there.
    fn unexpected(&mut self, key: &str, expected: &'static str) {
        let found = self.text(key).unwrap_or_default();
        self.fault(key, Problem::Value { found, expected });
    }

    fn truth(&mut self, key: &str) -> Option<bool> {
        match self.text(key)?.to_lowercase().as_str() {
            "1" | "on" | "true" | "yes" => Some(true),
            "0" | "off" | "false" | "no" => Some(false),
            _ => {
                self.unexpected(key, "true or false");
                None
            }
        }
    }

    /// The value of a key, or a fault that says what was `expected`.
    fn parsed<T: FromStr>(&mut self, key: &str, expected: &'static str) -> Option<T> {
        match self.text(key)?.parse() {
            Ok(value) => Some(value),
            Err(_) => {
                self.unexpected(key, expected);
                None
            }
        }
    }

    fn number(&mut self, key: &str) -> Option<u32> {
        self.parsed(key, "a whole number")
    }

    fn ban_time(&mut self, key: &str) -> Option<BanTime> {
        let seconds = span::read(&self.text(key)?);
        let time = seconds.and_then(|seconds| {
            if seconds < 0.0 {
                Some(BanTime::Forever)
            } else {
                Duration::try_from_secs_f64(seconds.ceil())
                    .ok()
                    .filter(|span| !span.is_zero())
                    .map(|span| if span > LONGEST { BanTime::Forever } else { BanTime::For(span) })
            }
        });
        if time.is_none() {
            self.unexpected(key, "a length of time such as 600, 10m, 1d12h or 1y 6mo");
        }
        time
    }

    fn named(&mut self, key: &str) -> Option<Named> {
        let text = self.text(key)?;
        match Named::read(&text) {
            Ok(named) => Some(named),
            Err(problem) => {
                self.fault(key, problem);
                None
            }
        }
    }

    /// How lines are read; large and small letters are the same.
    fn backend(&mut self) -> Named {
        let auto = || Named { name: "auto".to_owned(), ..Named::default() };
        let mut backend = self.named("backend").unwrap_or_else(auto);
        backend.name.make_ascii_lowercase();
        if !["auto", "pyinotify", "gamin", "polling", "systemd"].contains(&backend.name.as_str()) {
            self.unexpected("backend", "auto, pyinotify, polling or systemd");
        }
        backend
    }

    fn logs(&mut self) -> Vec<Log> {
        let text = self.text("logpath").unwrap_or_default();
        let log = |line: String| match line.rsplit_once(' ') {
            Some((path, how @ ("tail" | "head"))) => Log { path: path.trim_end().to_owned(), tail: how == "tail" },
            Some(_) | None => Log { path: line, tail: false },
        };
        lines(&text).into_iter().map(log).collect()
    }

    /// The filter, with the jail's own words over it, and whether it has expressions of its own.
    fn filter(&mut self, named: Option<&Named>, logs: Logs) -> (Option<Filter>, bool) {
        let mut filter = Filter::default();
        filter.definition.name = self.name.to_owned();
        filter.definition.maxlines = 1;
        if let Some(named) = named {
            let at = self.place("filter").unwrap_or(Place { file: "jail.conf".into(), line: 0 });
            let loaded = filter::load(self.files, named, &at, logs)
                .and_then(|part| Ok((filter::read(&part, &named.name)?, part)));
            match loaded {
                Ok((read, part)) => {
                    filter = read;
                    self.filter = Some(part);
                }
                Err(faults) => {
                    self.faults.extend(faults);
                    return (None, false);
                }
            }
        } else if self.text("filter").is_some() {
            return (None, false);
        }
        let faults = self.faults.len();
        let has_own = self.put_over(&mut filter);
        if self.faults.len() > faults {
            return (None, has_own);
        }
        if filter.definition.failregex.is_empty() {
            self.faults.push(filter::without_expressions(&filter.definition.name));
            return (None, has_own);
        }
        (Some(filter), has_own)
    }

    /// Puts what the jail says of its filter over what the filter says.
    fn put_over(&mut self, filter: &mut Filter) -> bool {
        let definition = &mut filter.definition;
        let mut has_own = false;
        for (key, list) in [
            ("failregex", &mut definition.failregex),
            ("ignoreregex", &mut definition.ignoreregex),
            ("journalmatch", &mut definition.journalmatch),
        ] {
            if let Some(text) = self.get(key) {
                has_own |= key != "journalmatch" && !text.trim().is_empty();
                *list = lines(&text);
            }
        }
        for (key, one) in [("prefregex", &mut definition.prefregex), ("datepattern", &mut definition.datepattern)] {
            if let Some(text) = self.text(key) {
                has_own = true;
                if one.as_ref().is_some_and(|theirs| *theirs != text) {
                    filter.warnings.push(Fault::of(self.place(key).as_ref(), self.name, key, Problem::InBoth));
                }
                *one = Some(text);
            }
        }
        if let Some(count) = self.number("maxlines").map(|count| count.max(1)) {
            if ![1, count].contains(&definition.maxlines) {
                filter.warnings.push(Fault::of(
                    self.place("maxlines").as_ref(),
                    self.name,
                    "maxlines",
                    Problem::InBoth,
                ));
            }
            definition.maxlines = count;
        }
        has_own
    }

    fn increment(&mut self) -> Increment {
        let numbers = |text: &str| text.split_whitespace().map(|word| word.parse().ok()).collect::<Option<Vec<f64>>>();
        let factor = self.parsed("bantime.factor", "a number");
        let multipliers = self.text("bantime.multipliers").and_then(|text| {
            let multipliers = numbers(&text);
            if multipliers.is_none() {
                self.unexpected("bantime.multipliers", "numbers with blanks between them");
            }
            multipliers
        });
        Increment {
            on: self.truth("bantime.increment").unwrap_or(false),
            factor,
            formula: self.text("bantime.formula"),
            multipliers: multipliers.unwrap_or_default(),
            max_time: self.ban_time("bantime.maxtime"),
            random_time: self.ban_time("bantime.rndtime"),
            all_jails: self.truth("bantime.overalljails").unwrap_or(false),
        }
    }

    fn actions(&mut self) -> Vec<Action> {
        let Some(text) = self.text("action") else { return Vec::new() };
        let at = self.place("action").unwrap_or(Place { file: "jail.conf".into(), line: 0 });
        let all = match Named::read_all(&text) {
            Ok(all) => all,
            Err(problem) => {
                self.fault("action", problem);
                return Vec::new();
            }
        };
        let mut actions = Vec::new();
        for named in all {
            match Action::read(self.files, named, &at) {
                Ok(action) => actions.push(action),
                Err(faults) => self.faults.extend(faults),
            }
        }
        actions
    }
}

/// What is longer is for ever: 200 years.
const LONGEST: Duration = Duration::from_secs(200 * 366 * 86_400);

/// What stands between blanks and commas.
fn words(text: &str) -> Vec<String> {
    text.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty()).map(str::to_owned).collect()
}
