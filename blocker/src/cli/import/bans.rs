//! The bans of fail2ban's database: printed, or handed to the daemon.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};
use blocker_core::fail2ban::{Files, Import, database};
use blocker_core::time::BanTime;
use blocker_core::whom::Whom;

use crate::cli::targets::Changes;
use crate::cli::{Globals, output};
use crate::clock::Reading;
use crate::control::client::Client;
use crate::control::wire::{MAX_PREFIXES, Reply, Request};
use crate::fail2ban::DATABASE;
use crate::fail2ban::database::{Ban, Bans, bans};
use crate::settings;

/// The database that the configuration names, or that is in the usual place; `None` if there is none.
pub(super) fn usual_database(files: &Files) -> Option<PathBuf> {
    let path = database(files).map_or_else(|| PathBuf::from(DATABASE), PathBuf::from);
    // One that we may not look for is told when it is read.
    path.try_exists().unwrap_or(true).then_some(path)
}

/// Reads the bans in force, and tells what of the database they are not.
pub(super) fn read(path: &Path) -> Result<Bans> {
    let found = bans(path, Reading::take().wall_ns() / 1_000_000_000)?;
    if found.no_addresses > 0 {
        eprintln!("blocker: {}: {} bans are of no address: left out", path.display(), found.no_addresses);
    }
    if found.left_out > 0 {
        eprintln!("blocker: {}: {} bans are too many: left out", path.display(), found.left_out);
    }
    Ok(found)
}

/// Prints whom fail2ban bans, each once.
pub(super) fn list(database: Option<&Path>) -> Result<()> {
    let Some(path) = database else { return Err(super::without_database()) };
    let prefixes: BTreeSet<String> = read(path)?.bans.into_iter().map(|ban| ban.prefix.to_string()).collect();
    prefixes.iter().try_for_each(|prefix| output::line(prefix))
}

/// Hands the bans to the daemon, each to the jail of ours that its own became.
pub(super) fn hand_over(globals: &Globals, import: &Import, found: &Bans) -> Result<()> {
    let places = settings::places(&globals.config)?;
    let mut running = BTreeSet::new();
    Client::connect(&places.runtime)?.ask(&Request::Status, |reply| {
        if let Reply::Status(status) = reply {
            running.extend(status.jails.into_iter().map(|jail| jail.name));
        }
        Ok(())
    })?;
    // What the daemon runs as it is in fail2ban goes before what would be written of it.
    let taken = settings::load(&globals.config).ok().and_then(|config| config.taken);
    let ours = super::ours(import, taken.as_ref());
    let mut requests: BTreeMap<(&str, Option<u64>), Vec<Whom>> = BTreeMap::new();
    let mut homeless: BTreeMap<&str, usize> = BTreeMap::new();
    for ban in &found.bans {
        match (ours.get(ban.jail.as_str()).filter(|jail| running.contains(**jail)), whom(ban)) {
            (Some(jail), Some(whom)) => requests.entry((jail, ban.remaining_s.map(rounded))).or_default().push(whom),
            (Some(_) | None, _) => *homeless.entry(&ban.jail).or_default() += 1,
        }
    }
    let mut changes = Changes::new(globals.json);
    for ((jail, remaining), prefixes) in requests {
        let ban_time = remaining.map_or(BanTime::Forever, |left| BanTime::For(Duration::from_secs(left)));
        for chunk in prefixes.chunks(MAX_PREFIXES) {
            let request = Request::Ban {
                prefixes: chunk.to_vec(),
                jail: Some(jail.to_owned()),
                ban_time: Some(ban_time.to_string()),
                reason: Some("banned by fail2ban".to_owned()),
                runs: true,
            };
            let mut asked = chunk.iter().copied();
            Client::connect(&places.runtime)?.ask(&request, |reply| changes.take(reply, &mut asked))?;
        }
    }
    changes.finish()?;
    if !globals.json {
        output::line(PLACES)?;
    }
    if homeless.is_empty() {
        return Ok(());
    }
    let counts: Vec<String> =
        homeless.iter().map(|(jail, count)| format!("{count} of {}", jail.escape_debug())).collect();
    bail!("bans left out because the daemon runs no such jail: {}; --list-bans prints all", counts.join(", "))
}

/// What of the database is left where it is.
const PLACES: &str = "\nWhat fail2ban has counted is not taken over. How far it has read its logs is, by --logs before the daemon's first \
                      start; without that the daemon has read them since it started, so let fail2ban run until then";

/// An address is banned as the log would have it banned.
fn whom(ban: &Ban) -> Option<Whom> {
    ban.prefix.to_string().parse().ok()
}

/// Up to a 64th longer, so that a million bans end at few times and go in few requests.
fn rounded(remaining_s: u64) -> u64 {
    let step = (remaining_s / 64).max(1);
    let step = 1 << step.ilog2();
    remaining_s.div_ceil(step).saturating_mul(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bans_are_never_shortened_and_hardly_prolonged() {
        for left in [1, 59, 64, 127, 128, 129, 599, 3_601, 86_399, 604_801, 31_557_601, 5_000_000_000] {
            let rounded = rounded(left);
            assert!(left <= rounded && rounded <= left + left / 64, "{left}: {rounded}");
        }
        let times: BTreeSet<u64> = (1..=1_000_000).map(rounded).collect();
        assert!(times.len() < 2_000, "{}", times.len());
    }
}
