//! The log files of the jails that are on.

use blocker_core::config::{Enabled, Input, Jail};

use super::super::facts::JailLogs;
use crate::source;

/// What the patterns of each jail lead to.
pub(super) fn logs(jails: &[Jail]) -> Vec<JailLogs> {
    let on = jails.iter().filter(|jail| jail.enabled != Enabled::No);
    let seen = |jail: &Jail| {
        // A pattern that is none is a fault of the configuration, and told as such.
        let Some(Input::Files(patterns)) = &jail.input else { return None };
        source::look(patterns).ok().map(|patterns| JailLogs { jail: jail.name.clone(), patterns })
    };
    on.filter_map(seen).collect()
}
