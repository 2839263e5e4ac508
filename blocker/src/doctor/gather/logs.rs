//! The logs of the jails that are on.

use std::path::Path;

use blocker_core::config::{Enabled, Input, Jail, Journal};

use super::super::facts::{JailJournal, JailLogs};
use crate::source;

/// Where journald keeps a machine's journal: until the next boot, or for good.
const JOURNALS: [&str; 2] = ["/run/log/journal", "/var/log/journal"];

/// What the patterns of each jail lead to, and what else it reads.
pub(super) fn logs(jails: &[Jail]) -> Vec<JailLogs> {
    let on = jails.iter().filter(|jail| jail.enabled != Enabled::No);
    let seen = |jail: &Jail| {
        let (patterns, is_sent_lines) = match &jail.input {
            // A pattern that is none is a fault of the configuration, and told as such.
            Some(Input::Files(patterns)) => (source::look(patterns).ok()?, false),
            Some(Input::Command(_) | Input::Syslog(_) | Input::Stdin) => (Vec::new(), true),
            None => (Vec::new(), false),
        };
        let journal = jail.journal.as_ref().map(journal);
        Some(JailLogs { jail: jail.name.clone(), patterns, journal, is_sent_lines })
    };
    on.filter_map(seen).collect()
}

fn journal(journal: &Journal) -> JailJournal {
    let is_there = match &journal.directory {
        Some(directory) => directory.is_dir(),
        None => JOURNALS.iter().any(|directory| Path::new(directory).is_dir()),
    };
    JailJournal { matches: journal.matches.to_string(), is_there }
}
