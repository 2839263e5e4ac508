//! Where fail2ban has read its logs up to: noted for the daemon's first run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use blocker_core::config::{Config, Enabled, Input};
use blocker_core::fail2ban::Import;
use serde::Serialize;

use crate::cli::output;
use crate::clock::rfc3339;
use crate::daemon::{journal_name, source_name};
use crate::exit::Failure;
use crate::fail2ban::database::{self, ReadLogs};
use crate::settings;
use crate::source::{Handed, JournalMark, ReadLog, Why, hand_over};
use crate::store::{NotNoted, Places, begin_logs};

/// Where the first run begins in a log.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Begun {
    /// The log's path.
    path: PathBuf,
    /// The first byte that it reads; `None` if it is not for fail2ban to say, or the journal.
    offset: Option<u64>,
    /// Of the journal the time of the last entry that is not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    /// Why there.
    why: &'static str,
}

/// Notes where the daemon that `config` configures is to begin in logs that it never read. Says of each log of fail2ban's, and of
/// those read together with one, where that is.
///
/// # Errors
///
/// If the daemon runs, or the database cannot be written or fail2ban's be read.
pub(super) fn take_over(config: &Path, import: &Import, database: &Path) -> Result<Vec<Begun>> {
    let on: BTreeSet<&str> = import.jails.iter().filter(|jail| jail.enabled).map(|jail| jail.name.as_str()).collect();
    let ReadLogs { files, journals } = database::logs(database, |jail| on.contains(jail))?;
    let config = settings::load(config)?;
    let journals = journals_of(&config, import, &journals);
    let mut begun = Vec::new();
    let mut refused = None;
    let noted = begin_logs(&config.daemon.state, |known| {
        let marks: Vec<_> = known.logs.values().flat_map(|marks| marks.files.iter().cloned()).collect();
        let mut places = Places::default();
        for (name, patterns) in sources(&config) {
            let handed = match hand_over(patterns, &files, &marks) {
                Ok(handed) => handed,
                Err(error) => {
                    refused = Some(error);
                    return Places::default();
                }
            };
            let is_known = known.logs.get(&name).is_some_and(|marks| marks.is_known);
            begun.extend(handed.iter().map(|handed| self::begun(handed, is_known)));
            if !is_known && !handed.is_empty() {
                places.logs.push((name, handed.into_iter().map(|handed| handed.mark).collect()));
            }
        }
        for (name, (jails, micros)) in journals {
            let is_known = known.cursors.contains_key(&name);
            begun.push(Begun::of_journal(&jails, (!is_known).then_some(micros)));
            if !is_known {
                places.cursors.push((name, JournalMark::behind_time(micros)));
            }
        }
        places
    });
    if let Some(error) = refused {
        return Err(error.into());
    }
    noted.map_err(|error| match error {
        NotNoted::Running => anyhow!(
            "the daemon runs, and has read the logs since it started: places are taken over before its first start; --bans hands \
             it the bans"
        ),
        NotNoted::Permission(why) => Failure::Permission(why).into(),
        NotNoted::Failed(why) => anyhow!(why),
    })?;
    begun.extend(unread(&files, &begun));
    Ok(begun)
}

/// The files that the daemon will read: of each source its name, and its patterns.
fn sources(config: &Config) -> BTreeMap<String, &[String]> {
    let on = config.jails.iter().filter(|jail| jail.enabled != Enabled::No);
    on.filter_map(|jail| match jail.input.as_ref()? {
        input @ Input::Files(patterns) => Some((source_name(input), patterns.as_slice())),
        Input::Command(_) | Input::Syslog(_) | Input::Stdin => None,
    })
    .collect()
}

/// The journals that the daemon will read for jails that fail2ban `read` one for: of each source its name, these jails, and the time up to
/// which all of them have read.
fn journals_of(config: &Config, import: &Import, read: &BTreeMap<String, u64>) -> BTreeMap<String, (Vec<String>, u64)> {
    let mut sources: BTreeMap<String, (Vec<String>, u64)> = BTreeMap::new();
    for (theirs, ours) in super::ours(import, config.taken.as_ref()) {
        let Some(&micros) = read.get(theirs) else { continue };
        let on = config.jails.iter().find(|jail| jail.name == ours && jail.enabled != Enabled::No);
        let Some((jail, journal)) = on.and_then(|jail| Some((jail, jail.journal.clone()?))) else { continue };
        let name = journal_name(&(journal, jail.input.is_some()));
        let (jails, earliest) = sources.entry(name).or_insert_with(|| (Vec::new(), micros));
        jails.push(ours.to_owned());
        *earliest = (*earliest).min(micros);
    }
    sources
}

impl Begun {
    fn of_journal(jails: &[String], micros: Option<u64>) -> Self {
        let path = format!("the journal, for {}", jails.join(", ")).into();
        let since = micros.and_then(|micros| i64::try_from(micros.saturating_mul(1_000)).ok());
        match since {
            Some(nanos) => Self { path, offset: None, since: Some(rfc3339(nanos)), why: "fail2ban has read so far" },
            None => Self { path, offset: None, since: None, why: BEFORE },
        }
    }
}

/// Why fail2ban has nothing to say.
const BEFORE: &str = "blocker has read it before, and goes on where it was";

fn begun(handed: &Handed, is_known: bool) -> Begun {
    let path = handed.mark.path.clone();
    if is_known {
        return Begun { path, offset: None, since: None, why: BEFORE };
    }
    let why = match handed.why {
        Why::ReadSoFar => "fail2ban has read so far",
        Why::RotatedAway => "fail2ban has read so far of what was rotated away since: that is read first",
        Why::Another => "it is another file than fail2ban has read, or was rewritten since: it is read whole",
        Why::OwnMark => "another jail of blocker's has read so far",
        Why::NeverRead => "fail2ban has not read it: its end",
    };
    Begun { path, offset: Some(handed.mark.offset), since: None, why }
}

/// Logs of fail2ban's that are none of ours.
fn unread(read: &[ReadLog], begun: &[Begun]) -> Vec<Begun> {
    let paths: BTreeSet<&PathBuf> = read.iter().map(|log| &log.path).collect();
    let is_ours = |path: &Path| {
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        begun.iter().any(|ours| ours.path.canonicalize().is_ok_and(|ours| ours == path))
    };
    let why = "no jail of the configuration reads it, or it is not there";
    let unread = paths.into_iter().filter(|path| !is_ours(path));
    unread.map(|path| Begun { path: path.clone(), offset: None, since: None, why }).collect()
}

/// Prints a line for each.
pub(super) fn print(begun: &[Begun]) -> Result<()> {
    output::line("\nwhere the first `blocker run` begins in the logs:")?;
    if begun.is_empty() {
        return output::line("  fail2ban has read none: each at its end");
    }
    begun.iter().try_for_each(|Begun { path, offset, since, why }| {
        let path = path.display().to_string();
        let at = offset.map(|offset| format!("byte {offset}: ")).unwrap_or_default();
        let behind = since.as_ref().map(|since| format!("behind {since}: ")).unwrap_or_default();
        output::line(&format!("  {}: {at}{behind}{why}", path.escape_debug()))
    })
}
