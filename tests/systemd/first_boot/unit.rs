//! The states of the service, as systemd sees them, and what becomes of bans in each.

use anyhow::{Result, ensure};

use crate::machine::{
    CONFIGURATION, PLAIN, attacker, attempt, await_that, configure, fresh, is_banned, process, property, reaches, shell,
};

#[test]
fn started_means_that_packets_are_dropped() -> Result<()> {
    fresh(PLAIN)?;
    let villain = attacker(10);
    ensure!(reaches(villain)?, "nobody is banned, so everybody gets in");
    shell(&format!("blocker ban {villain} && systemctl stop blocker && blocker detach"))?;
    ensure!(reaches(villain)?, "nothing is left to drop its packets");

    shell("systemctl start blocker")?;

    let link = shell("ip -details link show dev wan")?;
    ensure!(link.contains("xdp"), "when `systemctl start` returns the program is attached: {link}");
    shell(&format!("blocker ban {villain}"))?;
    ensure!(!reaches(villain)?, "and drops");
    Ok(())
}

#[test]
fn the_status_tells_jails_and_bans() -> Result<()> {
    fresh(PLAIN)?;
    let jails = "jails: 2; bans in force:";
    await_that("a status without bans", || Ok(property("StatusText")? == format!("{jails} 0")))?;

    shell("blocker ban 203.0.113.7 203.0.113.8")?;

    await_that("a status with two bans", || Ok(property("StatusText")? == format!("{jails} 2")))?;
    let status = shell("systemctl status --no-pager blocker")?;
    ensure!(status.contains(&format!("{jails} 2")), "{status}");
    Ok(())
}

#[test]
fn a_reload_is_over_when_the_configuration_is_in_force_and_fails_if_it_is_faulty() -> Result<()> {
    fresh(PLAIN)?;
    let process_before = process()?;
    configure(&format!("{PLAIN}[jails.vsftpd]\n"))?;

    shell("systemctl reload blocker")?;

    ensure!(shell("blocker status")?.contains("jail vsftpd:"), "the jail is there at once");
    configure("[daemon]\nmode = 7\n")?;
    let (code, said) = attempt("systemctl reload blocker")?;
    ensure!(code != 0, "a faulty configuration is refused: {said}");
    let log = shell("journalctl --unit blocker --output cat --lines 30")?;
    ensure!(log.contains(CONFIGURATION) && log.contains("daemon.mode"), "the journal says what is wrong: {log}");
    ensure!(shell("blocker status")?.contains("jail vsftpd:"), "what was in force stays in force");
    ensure!(property("ActiveState")? == "active" && process()? == process_before, "it is the same process");
    configure(PLAIN)
}

#[test]
fn what_hangs_is_started_again_by_the_watchdog_and_bans_hold_all_the_while() -> Result<()> {
    fresh(PLAIN)?;
    let villain = attacker(11);
    shell(&format!("blocker ban {villain}"))?;
    let (hanging, before) = (process()?, property("NRestarts")?);

    shell(&format!("kill -STOP {hanging}"))?;

    await_that("another process", || {
        ensure!(!reaches(villain)?, "the ban holds while it hangs and while it is started");
        Ok(property("NRestarts")? != before && property("ActiveState")? == "active" && process()? != hanging)
    })?;
    let log = shell("journalctl --unit blocker --output cat --lines 60")?;
    ensure!(log.contains("Watchdog timeout"), "{log}");
    ensure!(is_banned(villain)? && !reaches(villain)?, "and after that");
    Ok(())
}

#[test]
fn killed_it_is_started_again_and_bans_hold_all_the_while() -> Result<()> {
    fresh(PLAIN)?;
    let villain = attacker(12);
    shell(&format!("blocker ban {villain}"))?;
    let killed = process()?;

    shell(&format!("kill -KILL {killed}"))?;

    await_that("another process", || {
        ensure!(!reaches(villain)?, "the ban holds while there is none");
        Ok(property("ActiveState")? == "active" && process()? != killed)
    })?;
    ensure!(is_banned(villain)?, "the ban is known again");
    Ok(())
}

#[test]
fn stopped_it_leaves_bans_in_force_and_started_it_knows_them() -> Result<()> {
    fresh(PLAIN)?;
    let villain = attacker(13);
    shell(&format!("blocker ban {villain}"))?;

    shell("systemctl stop blocker")?;

    ensure!(property("ActiveState")? == "inactive" && property("Result")? == "success", "it has ended well");
    ensure!(!reaches(villain)?, "the kernel drops on");
    let (_, processes) = attempt("pgrep --list-full blocker")?;
    ensure!(processes.is_empty(), "nothing is left of it: {processes}");
    shell("systemctl start blocker")?;
    ensure!(is_banned(villain)? && !reaches(villain)?, "the ban is known again");
    shell(&format!("blocker unban {villain}"))?;
    ensure!(reaches(villain)?, "and lifted when somebody lifts it");
    Ok(())
}

#[test]
fn a_new_program_takes_over_without_a_gap() -> Result<()> {
    fresh(PLAIN)?;
    let villain = attacker(14);
    shell(&format!("blocker ban {villain}"))?;

    shell("install -m 755 /tests/checkout/target/release/blocker /usr/bin/blocker")?;
    ensure!(!reaches(villain)?, "the old process runs on");
    let dropped =
        |text: &str| text.lines().filter(|line| line.contains("drop_banned")).map(str::to_owned).collect::<Vec<_>>();
    let before = process()?;
    shell("systemctl restart --no-block blocker")?;
    await_that("the new program", || {
        ensure!(!reaches(villain)?, "the ban holds while it is started");
        Ok(property("ActiveState")? == "active" && process()? != before)
    })?;

    ensure!(is_banned(villain)?, "the ban is known again");
    let status = shell("blocker status")?;
    ensure!(dropped(&status).iter().any(|line| line.split_whitespace().nth(1) != Some("0")), "it counts on: {status}");
    Ok(())
}

#[test]
fn a_systemd_that_starts_itself_anew_knows_it_still() -> Result<()> {
    fresh(PLAIN)?;
    let before = process()?;

    shell("systemctl daemon-reexec")?;

    shell("blocker ban 203.0.113.9")?;
    await_that("the status to get through", || Ok(property("StatusText")?.ends_with("in force: 1")))?;
    ensure!(process()? == before && property("ActiveState")? == "active", "it is the same process");
    Ok(())
}
