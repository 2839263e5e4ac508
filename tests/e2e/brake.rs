//! A log that has everybody fail bans no more than so many within a minute, and locks no customers out; it says so, and forgets nobody.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Result, ensure};
use blocker_tests::{
    daemon::{self, Daemon, Settings, covers},
    lines,
    netns::Net,
    wait,
};
use serde_json::Value;

use crate::siege::{LIMIT, VILLAIN};

#[test]
fn no_more_than_so_many_are_banned_within_a_minute_and_commands_go_on() -> Result<()> {
    const MOST: usize = 5;
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let text = daemon.configuration(&Settings::default());
    daemon.write_configuration(&format!("{text}\n[brake]\nbans_per_minute = {MOST}\n"))?;
    daemon.start()?;
    for number in 0..2 * MOST as u32 {
        let source: IpAddr = Ipv4Addr::from_bits(0xc633_6400 + number).into();
        daemon.log().append(lines::refused(source, 5).as_bytes())?;
    }

    wait::until("the brake to be told", LIMIT, || {
        let problems = daemon.status().map_err(|error| format!("{error:#}"))?.problems;
        let is_told = |problem: &String| problem.starts_with("bans are held") && problem.contains("5 failures");
        problems.iter().any(is_told).then_some(()).ok_or_else(|| format!("{problems:?}"))
    })?;

    ensure!(daemon.bans()?.len() == MOST && daemon.kernel_bans()?.len() == MOST);
    let alarms = daemon.printed().matches("further ones are held").count();
    ensure!(alarms == 1, "it is told once: {}", daemon.printed());
    daemon.cli(&["ban", &VILLAIN.to_string()])?.success()?;
    ensure!(daemon.kernel_bans()?.len() == MOST + 1);

    // Who goes on is banned by the next try when it is off, with all that was counted.
    daemon.write_configuration(&format!("{text}\n[brake]\nbans_per_minute = \"off\"\n"))?;
    daemon.cli(&["reload"])?.success()?;
    let held: IpAddr = Ipv4Addr::from_bits(0xc633_6400 + MOST as u32).into();
    daemon.log().append(lines::refused(held, 1).as_bytes())?;
    let ban = daemon.await_ban(held, LIMIT)?;
    ensure!(ban.attempts >= 6.0, "{ban:?}");
    Ok(())
}

#[test]
fn customers_that_a_directory_refuses_are_not_locked_out_and_strangers_are_banned_on() -> Result<()> {
    const CUSTOMERS: u32 = 20;
    const LEAST: usize = 5;
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let text = daemon.configuration(&Settings::default());
    daemon.start()?;
    let customer = |number: u32| -> IpAddr { Ipv4Addr::from_bits(0xc633_6400 + number).into() };
    for number in 0..CUSTOMERS {
        daemon.log().append(lines::logged_in(&format!("customer{number}"), customer(number)).as_bytes())?;
    }
    // The directory is away, and says no to everybody; an attacker is there besides, who has an account.
    for number in 0..CUSTOMERS {
        let refused = lines::refused_for(&format!("customer{number}"), customer(number), 5);
        daemon.log().append(refused.as_bytes())?;
    }
    daemon.log().append(lines::logged_in("mallory", VILLAIN).as_bytes())?;
    daemon.log().append(lines::refused_for("customer1", VILLAIN, 5).as_bytes())?;
    daemon.await_ban(VILLAIN, LIMIT)?;

    let locked_out = || -> Result<usize> {
        let banned = daemon.kernel_bans()?;
        Ok((0..CUSTOMERS).filter(|&number| banned.iter().any(|ban| covers(&ban.prefix, customer(number)))).count())
    };
    ensure!(locked_out()? == LEAST, "{:?}", daemon.bans()?);
    let status: Value = serde_json::from_str(&daemon.cli(&["status", "--json"])?.success()?.stdout)?;
    ensure!(
        status["alarms"]["held_logins"] == u64::from(CUSTOMERS) - LEAST as u64 && status["alarms"]["held_bans"] == 0,
        "{status}"
    );
    let shown = daemon.cli(&["status"])?.success()?.stdout;
    ensure!(shown.contains("bans of users who logged in lately are held: more than 25 %"), "{shown}");
    let why = daemon.cli(&["why", &customer(10).to_string()])?.success()?.stdout;
    ensure!(why.contains("is not banned yet: it has failed often enough") && why.contains("the brake holds"), "{why}");
    let alarms = daemon.printed().matches("further ones of such are held").count();
    ensure!(alarms == 1, "it is told once: {}", daemon.printed());
    daemon.cli(&["ban", &customer(10).to_string()])?.success()?;
    ensure!(locked_out()? == LEAST + 1, "a command is never held");

    // Whoever wants them banned says so: who goes on is, by the next try.
    daemon.write_configuration(&format!("{text}\n[brake]\nlogged_in_percent = \"off\"\n"))?;
    daemon.cli(&["reload"])?.success()?;
    daemon.log().append(lines::refused_for("customer19", customer(19), 1).as_bytes())?;
    let ban = daemon.await_ban(customer(19), LIMIT)?;
    ensure!(ban.attempts >= 6.0, "{ban:?}");
    Ok(())
}

#[test]
fn who_logged_in_before_a_crash_is_no_stranger_after_it() -> Result<()> {
    const CUSTOMERS: u32 = 12;
    const LEAST: usize = 5;
    let net = Net::new()?;
    let mut daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    let customer = |number: u32| -> IpAddr { Ipv4Addr::from_bits(0xc633_6400 + number).into() };
    for number in 0..CUSTOMERS {
        daemon.log().append(lines::logged_in(&format!("customer{number}"), customer(number)).as_bytes())?;
    }
    // Behind the logins in the same log.
    daemon.log().append(lines::refused(VILLAIN, 5).as_bytes())?;
    daemon.await_ban(VILLAIN, LIMIT)?;

    daemon.stop()?;
    daemon.start()?;
    daemon.kill9()?;
    daemon.start()?;

    for number in 0..CUSTOMERS {
        let refused = lines::refused_for(&format!("customer{number}"), customer(number), 5);
        daemon.log().append(refused.as_bytes())?;
    }
    wait::until("the brake to hold", LIMIT, || {
        let status = daemon.cli(&["status", "--json"]).map_err(|error| format!("{error:#}"))?.stdout;
        let status: Value = serde_json::from_str(&status).map_err(|error| format!("{error}"))?;
        let held = u64::from(CUSTOMERS) - LEAST as u64;
        if status["alarms"]["held_logins"] == held { Ok(()) } else { Err(status["alarms"].to_string()) }
    })?;
    let banned = daemon.kernel_bans()?;
    let locked_out = (0..CUSTOMERS).filter(|&number| banned.iter().any(|ban| covers(&ban.prefix, customer(number))));
    ensure!(locked_out.count() == LEAST, "{banned:?}");
    Ok(())
}
