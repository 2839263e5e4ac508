//! What becomes of fail2ban's options, for people.

use anyhow::Result;
use blocker_core::fail2ban::{Fate, Note};

use super::output;

/// Prints a line for each.
pub(super) fn notes(notes: &[Note]) -> Result<()> {
    notes.iter().try_for_each(|Note { fate, what, why }| {
        let fate = match fate {
            Fate::Carried => "carried",
            Fate::Changed => "changed",
            Fate::Refused => "REFUSED",
        };
        output::line(&format!("  {fate}  {what}: {why}"))
    })
}
