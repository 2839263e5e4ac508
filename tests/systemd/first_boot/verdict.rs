//! What all the other tests have left in the journal, and in the state that the second boot finds.

use anyhow::{Result, ensure};

use crate::machine::{PLAIN, fresh, property, shell};
use crate::second_boot::REMEMBERED;

#[test]
fn nothing_was_refused_to_the_daemon() -> Result<()> {
    let log = shell("journalctl --unit blocker --output cat --boot")?;
    let words = ["Operation not permitted", "Permission denied", "Read-only file system", "EPERM", "EACCES", "EROFS"];
    let refused: Vec<&str> = log.lines().filter(|line| words.iter().any(|word| line.contains(word))).collect();
    ensure!(refused.is_empty(), "{refused:#?}");
    ensure!(!log.contains("panicked"), "{log}");
    Ok(())
}

#[test]
fn a_stop_is_no_problem_of_the_journal() -> Result<()> {
    let log = shell("journalctl --unit blocker --output cat --boot")?;
    let ended: Vec<&str> = log.lines().filter(|line| line.contains("journalctl ended")).collect();
    ensure!(ended.is_empty(), "{ended:#?}");
    Ok(())
}

#[test]
fn z_a_ban_for_the_second_boot() -> Result<()> {
    fresh(PLAIN)?;
    shell(&format!("blocker ban {REMEMBERED} --for 10h --reason 'over the boot'"))?;
    ensure!(property("ActiveState")? == "active", "it runs until the machine goes down");
    Ok(())
}
