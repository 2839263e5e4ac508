//! fail2ban's jails that run beside those of the configuration: what of them cannot be had is said.

use anyhow::Result;
use blocker_core::config::{Config, Enabled, Whose};
use blocker_core::fail2ban::Taken;
use blocker_core::filter::patterns::Attack;

use crate::exit::Failure;

/// What may not be as it was meant in the filters and jails of fail2ban, a sentence each.
pub(super) fn problems(config: &Config) -> impl Iterator<Item = String> {
    let taken = config.taken.iter().flat_map(Taken::problems);
    config.warnings.iter().cloned().chain(taken)
}

/// Says in the log what became of them.
pub(super) fn tell(config: &Config) {
    for problem in problems(config) {
        tracing::warn!("{problem}");
    }
    for jail in &config.jails {
        let filter = jail.filter.fail2ban().filter(|_| jail.enabled != Enabled::No);
        // One shows that there are such; `blocker check` shows them all.
        let Some((filter, Attack { pattern, message })) =
            filter.and_then(|filter| Some((filter, filter.attacks().into_iter().next()?)))
        else {
            continue;
        };
        let instead = filter.remedy().unwrap_or_default();
        tracing::warn!(
            jail = %jail.name,
            pattern,
            line = %message.escape_debug(),
            instead,
            "clients can have others banned by this pattern of a fail2ban filter: {} types the line and {} is named",
            Attack::PEER,
            Attack::VICTIM
        );
    }
    if let Some(taken) = &config.taken {
        let run = config.jails.iter().filter(|jail| jail.whose == Whose::Fail2ban).count();
        let on = taken.jails.len();
        tracing::info!(directory = %taken.directory, on, run, "runs jails of fail2ban; `blocker check` says what is as it is there");
    }
}

/// Checks that no jail of fail2ban's that runs by `old` is missing in `new` because of a fault in its files: that must not take away what
/// protects.
///
/// # Errors
///
/// [`Failure::Configuration`] with the jail and the fault.
pub(super) fn check(old: &Config, new: &Config) -> Result<()> {
    let (Some(old), Some(new)) = (&old.taken, &new.taken) else { return Ok(()) };
    match old.lost_in(new) {
        None => Ok(()),
        Some((jail, note)) => Err(Failure::Configuration(format!(
            "{}: the jail {jail}, which runs, is faulty: {}: {}; all is kept as it was",
            new.directory, note.what, note.why
        ))
        .into()),
    }
}
