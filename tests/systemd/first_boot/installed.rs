//! What the commands of the README have made of the machine. These tests are the first by name.

use anyhow::{Result, ensure};

use crate::machine::{property, shell};

#[test]
fn it_runs_and_will_run_after_a_boot() -> Result<()> {
    ensure!(property("ActiveState")? == "active" && property("UnitFileState")? == "enabled", "it does not");
    ensure!(property("NRestarts")? == "0", "it was started more than once");
    let status = shell("blocker status")?;
    ensure!(status.contains("interface wan: attached"), "{status}");
    Ok(())
}
