//! The machine booted again: the unit was enabled, so all of it is as it was.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, ensure};

use crate::machine::{process, property, reaches, shell};

/// Banned before.
pub(crate) const REMEMBERED: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 19);

#[test]
fn the_boot_starts_it_once_after_the_network() -> Result<()> {
    ensure!(
        property("ActiveState")? == "active" && property("NRestarts")? == "0",
        "{}",
        shell("systemctl status blocker")?
    );
    let time = |unit: &str, name: &str| -> Result<u64> {
        let text = shell(&format!("systemctl show --value --property {name} {unit}"))?;
        text.trim().parse().with_context(|| format!("{unit}: {text}"))
    };
    let network = time("network.target", "ActiveEnterTimestampMonotonic")?;
    let started = time("blocker.service", "InactiveExitTimestampMonotonic")?;
    ensure!(network > 0 && network <= started, "the network came at {network} µs, the daemon at {started} µs");
    let failed = shell("systemctl --failed --no-legend")?;
    ensure!(failed.is_empty(), "{failed}");
    Ok(())
}

#[test]
fn bans_from_before_are_in_force() -> Result<()> {
    let why = shell(&format!("blocker why {REMEMBERED}"))?;
    ensure!(why.contains("over the boot"), "{why}");
    ensure!(!reaches(REMEMBERED)?, "its packets are dropped");
    ensure!(reaches(Ipv4Addr::new(192, 0, 2, 18))?, "and nobody else's");
    let log = shell("journalctl --boot --output cat BLOCKER_EVENT=restore")?;
    ensure!(log.contains(&REMEMBERED.to_string()), "{log}");
    ensure!(process()? > 1, "it runs");
    Ok(())
}
