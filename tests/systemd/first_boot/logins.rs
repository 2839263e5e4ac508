//! Who is logged in, by logind.

use anyhow::{Context as _, Result, ensure};

use crate::machine::{
    PASSWORD, PLAIN, USER, attacker, attempt, await_that, fails_thrice, fresh, is_banned, login, reaches, shell,
};

#[test]
fn from_where_somebody_is_logged_in_nobody_is_banned_until_they_leave() -> Result<()> {
    fresh(PLAIN)?;
    let home = attacker(10);
    let mut session = login(home, PASSWORD, "sleep 10000")?.spawn().context("starting ssh")?;

    let mut listed = String::new();
    await_that("the session on the allow list", || {
        listed = shell("blocker allow --list")?;
        Ok(listed.contains(&home.to_string()))
    })?;
    let line = listed.lines().find(|line| line.contains(&home.to_string())).unwrap_or_default();
    ensure!(line.contains(USER), "it says who: {line}");
    fails_thrice(home)?;
    let (_, said) = attempt(&format!("blocker ban {home}"))?;
    ensure!(said.contains("is logged in from"), "a command is told why not: {said}");
    ensure!(!is_banned(home)? && reaches(home)?, "no failure bans it");

    session.kill().context("ending ssh")?;
    session.wait().context("waiting for ssh")?;
    await_that(
        "the address to be anybody's again",
        || Ok(!shell("blocker allow --list")?.contains(&home.to_string())),
    )?;
    shell(&format!("blocker ban {home}"))?;
    ensure!(is_banned(home)?, "now it can be banned");
    Ok(())
}
