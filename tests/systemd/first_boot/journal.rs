//! The journal: as a source, with what it vouches for, and as the place of the daemon's own log.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::machine::{
    PASSWORD, PLAIN, USER, attacker, await_ban, await_that, fails_thrice, fresh, is_banned, login, reaches, shell,
};

#[test]
fn failed_logins_at_the_real_server_are_banned_and_successes_are_not() -> Result<()> {
    fresh(PLAIN)?;
    let (villain, user) = (attacker(17), attacker(18));

    let said = login(user, PASSWORD, "echo welcome")?.output()?;
    ensure!(String::from_utf8_lossy(&said.stdout).contains("welcome"), "{said:?}");
    fails_thrice(villain)?;

    await_ban(villain)?;
    ensure!(!reaches(villain)?, "its packets are dropped");
    ensure!(!is_banned(user)? && reaches(user)?, "who knows the password gets in");
    Ok(())
}

#[test]
fn lines_that_a_user_writes_in_the_name_of_the_server_do_not_count() -> Result<()> {
    fresh(PLAIN)?;
    let innocent = "203.0.113.40";
    let line = format!("Failed password for root from {innocent} port 40000 ssh2");
    let mut forger = String::new();
    for name in ["sshd", "sshd-session"] {
        let fields = format!("SYSLOG_IDENTIFIER={name}\\n_SYSTEMD_UNIT=ssh.service\\nMESSAGE={line}\\n");
        forger.push_str(&format!("logger --tag '{name}[1]' '{line}'\n"));
        forger.push_str(&format!("echo '{line}' | systemd-cat --identifier={name}\n"));
        forger.push_str(&format!("printf '{fields}' | logger --journald\n"));
    }
    fs::write("/tmp/forger", forger.repeat(3))?;
    shell(&format!("su {USER} -c 'sh /tmp/forger'"))?;
    let forged = shell(&format!("journalctl --output cat --grep '{innocent}'"))?;
    ensure!(forged.lines().count() >= 18, "they are in the journal: {forged}");

    // What comes after them has been judged when it is banned.
    let villain = attacker(19);
    fails_thrice(villain)?;
    await_ban(villain)?;

    let bans = shell("blocker bans")?;
    ensure!(!bans.contains(innocent), "{bans}");
    let why = shell(&format!("blocker why {innocent}"))?;
    ensure!(why.contains("not banned"), "nothing was counted, either: {why}");
    Ok(())
}

#[test]
fn its_own_lines_have_fields() -> Result<()> {
    fresh(PLAIN)?;

    shell("blocker ban 203.0.113.41 --for 1h --reason test && blocker unban 203.0.113.41")?;

    for (event, level) in [("ban", "5"), ("unban", "5")] {
        let mut found = Value::Null;
        await_that(&format!("the entry of {event}"), || {
            let query = format!("journalctl --output json --lines 1 BLOCKER_EVENT={event} BLOCKER_PREFIX=203.0.113.41");
            let said = shell(&query)?;
            found = serde_json::from_str(said.trim()).context("an entry")?;
            Ok(true)
        })?;
        ensure!(found["BLOCKER_JAIL"] == "manual" && found["SYSLOG_IDENTIFIER"] == "blocker", "{found}");
        ensure!(found["_SYSTEMD_UNIT"] == "blocker.service" && found["PRIORITY"] == level, "{found}");
        ensure!(found["MESSAGE"].as_str().is_some_and(|text| text.contains("203.0.113.41")), "{found}");
    }
    let errors = shell("journalctl --unit blocker --priority err --output cat --lines 5")?;
    ensure!(!errors.contains("203.0.113.41"), "levels are the journal's own: {errors}");
    Ok(())
}
