//! `run --confirm`: whoever locked himself out is let in again, whatever has become of the daemon; and who confirmed is not asked twice.

use std::{process::Command, time::Duration};

use anyhow::{Result, ensure};
use blocker_tests::{
    daemon::{self, Daemon, Settings},
    lines,
    netns::Net,
    wait,
};
use serde_json::Value;

use crate::siege::{LIMIT, STRANGER, Siege, VILLAIN};

/// Long enough to ban somebody and to see packets dropped, on a busy machine.
const TIME: &str = "12s";

#[test]
fn a_daemon_that_is_killed_before_it_is_confirmed_drops_nothing_when_the_time_is_over() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    start(&mut daemon)?;
    let siege = Siege::begin(&net)?;
    siege.ban_villain(&daemon)?;
    daemon.cli(&["ban", &STRANGER.to_string()])?.success()?;
    let before = confirmation(&daemon)?;
    let left = before["remaining_s"].as_u64();
    ensure!(before["state"] == "pending" && left.is_some_and(|left| left <= 12), "{before}");

    daemon.kill9()?;

    let arrived = siege.arrived();
    wait::holds("the ban", Duration::from_millis(300), || siege.unchanged(arrived))?;
    siege.await_arrival(VILLAIN)?;
    siege.await_arrival(STRANGER)?;

    // A supervisor that starts it again starts no clock again.
    start(&mut daemon)?;
    ensure!(confirmation(&daemon)?["state"] == "over" && daemon.status()?.mode == "observe");
    let bans = daemon.bans()?;
    let far = |ban: &blocker_tests::answers::Ban| ban.remaining_s.is_none_or(|left| left > 3000.0);
    ensure!(bans.len() == 2 && bans.iter().all(far), "the bans are kept, with their own ends: {bans:?}");
    daemon.await_drop(VILLAIN, LIMIT)?;
    siege.await_arrival(VILLAIN)?;
    let problems = daemon.status()?.problems;
    ensure!(problems.iter().any(|problem| problem.starts_with("nothing is dropped")), "{problems:?}");
    let why = daemon.cli(&["why", &VILLAIN.to_string()])?.success()?.stdout;
    ensure!(why.starts_with(&format!("{VILLAIN} is banned, but only observed")), "{why}");
    let late = daemon.cli(&["confirm"])?;
    ensure!(late.code == Some(1) && late.stderr.contains("it is too late"), "{late:?}");
    Ok(())
}

#[test]
fn a_living_daemon_observes_from_the_end_on_and_a_reload_begins_the_time_anew() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    start(&mut daemon)?;
    let siege = Siege::begin(&net)?;
    siege.ban_villain(&daemon)?;

    siege.await_arrival(VILLAIN)?;

    wait::until("the end to be told", LIMIT, || {
        let printed = daemon.printed();
        if printed.contains("nothing is dropped") { Ok(()) } else { Err(printed) }
    })?;
    ensure!(daemon.status()?.mode == "observe" && daemon.bans()?.len() == 1);
    let reloaded = daemon.cli(&["reload"])?.success()?;
    ensure!(reloaded.stderr.contains("`blocker confirm`"), "{reloaded:?}");
    ensure!(daemon.status()?.mode == "enforce");
    siege.settle()?;
    let confirmed = daemon.cli(&["confirm"])?.success()?;
    assert_eq!(confirmed.stdout, "confirmed\n");
    let kernel = daemon.kernel_bans()?;
    ensure!(kernel.len() == 1);
    siege.holds_for(Duration::from_secs(13))
}

#[test]
fn what_was_confirmed_stays_in_force_until_the_configuration_changes() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    start(&mut daemon)?;
    let siege = Siege::begin(&net)?;
    siege.ban_villain(&daemon)?;
    // Killed between ban and confirmation: the kernel's end of the ban is the trial's.
    daemon.kill9()?;
    start(&mut daemon)?;
    ensure!(confirmation(&daemon)?["state"] == "pending");
    daemon.cli(&["confirm"])?.success()?;
    let again = daemon.cli(&["confirm", "--json"])?.success()?;
    assert_eq!(again.stdout, "{\"confirmed\":true}\n");

    daemon.kill9()?;
    siege.holds_for(Duration::from_secs(13))?;
    start(&mut daemon)?;

    ensure!(confirmation(&daemon)?["state"] == "confirmed" && daemon.status()?.problems.is_empty());
    daemon.stop()?;
    let changed = Settings { ban_time: "2h".into(), ..Settings::default() };
    daemon.write_configuration(&daemon.configuration(&changed))?;
    start(&mut daemon)?;
    ensure!(confirmation(&daemon)?["state"] == "pending", "another configuration is to be confirmed anew");
    // Started without being on trial, everything holds as long as it should.
    daemon.kill9()?;
    daemon.start()?;
    ensure!(daemon.status()?.mode == "enforce" && confirmation(&daemon)?.is_null());
    let nothing = daemon.cli(&["confirm"])?;
    ensure!(nothing.code == Some(1) && nothing.stderr.contains("not started with `--confirm`"), "{nothing:?}");
    daemon.kill9()?;
    siege.holds_for(Duration::from_secs(13))
}

#[test]
fn bans_that_a_trial_held_back_have_their_own_ends_also_when_another_configuration_is_tried() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    start(&mut daemon)?;
    daemon.log().append(lines::refused(VILLAIN, 5).as_bytes())?;
    daemon.await_ban(VILLAIN, LIMIT)?;
    daemon.stop()?;

    let changed = Settings { ban_time: "2h".into(), ..Settings::default() };
    daemon.write_configuration(&daemon.configuration(&changed))?;
    start(&mut daemon)?;

    ensure!(confirmation(&daemon)?["state"] == "pending", "another configuration is to be confirmed anew");
    let bans = daemon.bans()?;
    ensure!(bans.len() == 1 && bans[0].remaining_s.is_some_and(|left| left > 3000.0), "{bans:?}");
    daemon.cli(&["confirm"])?.success()?;
    let kernel: Value = serde_json::from_str(&daemon.cli(&["bans", "--kernel", "--json"])?.success()?.stdout)?;
    ensure!(kernel["remaining_s"].as_u64().is_some_and(|left| left > 3000), "the ban's own end: {kernel}");
    Ok(())
}

fn start(daemon: &mut Daemon<'_>) -> Result<()> {
    daemon.start_by(Command::new("env"), &["run", "--confirm", TIME]).map(drop)
}

fn confirmation(daemon: &Daemon<'_>) -> Result<Value> {
    let status: Value = serde_json::from_str(&daemon.cli(&["status", "--json"])?.success()?.stdout)?;
    Ok(status["confirm"].clone())
}
