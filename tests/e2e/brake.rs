//! A log that has everybody fail bans no more than so many within a minute, says so, and forgets nobody.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Result, ensure};
use blocker_tests::{
    daemon::{self, Daemon, Settings},
    lines,
    netns::Net,
    wait,
};

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
