//! What outlives the daemon and a reboot, and what does not depend on the database.
//!
//! A reboot is a kill -9 and the loss of everything that was pinned.

use std::{fs, os::unix::fs::FileExt, path::PathBuf, process::Stdio, time::Duration};

use anyhow::{Context, Result, ensure};
use blocker_tests::{
    answers::Ban,
    daemon::{self, Daemon, Settings, covers},
    lines,
    netns::Net,
    process, wait,
};

use crate::siege::{LIMIT, STRANGER, Siege, VILLAIN};

#[test]
fn bans_outlive_a_reboot_with_beginning_end_and_evidence() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    let siege = Siege::begin(&net)?;
    siege.ban_villain(&daemon)?;
    daemon.cli(&["ban", "198.51.100.0/24", "2001:db8:3:9::/64", "--for", "3d", "--reason", "spam, much"])?.success()?;
    daemon.cli(&["ban", "203.0.113.99", "--for", "forever"])?.success()?;
    daemon.cli(&["ban", "203.0.113.98", "--for", "1s"])?.success()?;
    wait::until_true("the short ban to end", LIMIT, || daemon.bans().is_ok_and(|bans| bans.len() == 4), String::new)?;
    let before = daemon.bans()?;

    reboot(&mut daemon)?;

    let after = daemon.bans()?;
    ensure!(same(&before, &after), "before {before:#?}, after {after:#?}");
    ensure!(!daemon.printed().contains("] Ban "), "no ban is told as new: {}", daemon.printed());
    let arrived = siege.arrived();
    siege.holds_for(Duration::from_millis(300))?;
    assert_eq!(siege.arrived(), arrived, "the villain is kept out again");
    assert!(
        after
            .iter()
            .any(|ban| covers(&ban.prefix, VILLAIN) && ban.origin == "log" && (ban.attempts - 5.0).abs() < 0.01)
    );
    Ok(())
}

#[test]
fn what_a_command_changed_is_on_disk_when_it_returns() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    for round in 0..5 {
        let (banned, lifted) = (format!("203.0.113.{round}"), format!("203.0.113.{}", 100 + round));
        daemon.cli(&["ban", &lifted])?.success()?;
        daemon.cli(&["unban", &lifted])?.success()?;
        daemon.cli(&["ban", &banned])?.success()?;

        reboot(&mut daemon)?;

        let bans: Vec<String> = daemon.bans()?.into_iter().map(|ban| ban.prefix).collect();
        ensure!(bans.contains(&banned) && !bans.contains(&lifted), "round {round}: {bans:?}");
    }
    daemon.cli(&["unban", "--all"])?.success()?;
    reboot(&mut daemon)?;
    assert_eq!(daemon.bans()?.len(), 0);
    Ok(())
}

#[test]
fn what_was_lifted_in_the_kernel_with_the_daemon_down_stays_lifted() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    daemon.cli(&["ban", "203.0.113.1", "203.0.113.2"])?.success()?;
    daemon.kill9()?;
    daemon.cli(&["unban", "--kernel", "203.0.113.1"])?.success()?;

    daemon.start()?;

    let bans: Vec<String> = daemon.bans()?.into_iter().map(|ban| ban.prefix).collect();
    assert_eq!(bans, ["203.0.113.2"]);
    reboot(&mut daemon)?;
    assert_eq!(daemon.bans()?.len(), 1, "and after a reboot");
    Ok(())
}

#[test]
fn who_is_allowed_by_now_is_not_banned_again() -> Result<()> {
    let net = Net::new()?;
    let settings = Settings::default();
    let mut daemon = Daemon::launch(&net, &daemon::binary()?, &settings)?;
    daemon.cli(&["ban", "203.0.113.1", "198.51.100.1"])?.success()?;
    let allow = vec!["203.0.113.0/24".to_owned()];
    daemon.write_configuration(&daemon.configuration(&Settings { allow, ..settings }))?;

    reboot(&mut daemon)?;

    let bans: Vec<String> = daemon.bans()?.into_iter().map(|ban| ban.prefix).collect();
    assert_eq!(bans, ["198.51.100.1"]);
    Ok(())
}

#[test]
fn a_damaged_database_is_told_and_bans_are_enforced_and_kept_on() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    daemon.cli(&["ban", "203.0.113.1", "--reason", "before"])?.success()?;
    daemon.stop()?;
    fs::write(database(&daemon), b"neither a database nor empty, but long enough to be looked at")?;

    daemon.start()?;

    let problems = daemon.status()?.problems;
    ensure!(problems.iter().any(|problem| problem.contains("blocker.db.damaged")), "{problems:?}");
    assert_eq!(daemon.await_ban("203.0.113.1".parse()?, LIMIT)?.origin, "adopted", "the kernel had it");
    daemon.cli(&["ban", "203.0.113.2"])?.success()?;
    reboot(&mut daemon)?;
    assert_eq!(daemon.bans()?.len(), 2, "both are in the new database");
    Ok(())
}

#[test]
fn a_later_version_s_database_is_left_alone_and_bans_are_enforced() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    daemon.stop()?;
    // The header's user version: 4 bytes, big-endian, at 60.
    let file = fs::OpenOptions::new().write(true).open(database(&daemon))?;
    file.write_all_at(&99_u32.to_be_bytes(), 60)?;
    let before = fs::read(database(&daemon))?;

    daemon.start()?;

    let problems = daemon.status()?.problems;
    ensure!(problems.iter().any(|problem| problem.contains("version 99")), "{problems:?}");
    let banned = daemon.cli(&["ban", "203.0.113.1"])?.success()?;
    ensure!(banned.stderr.contains("could not be saved"), "{banned:?}");
    daemon.log().append(lines::refused(VILLAIN, 5).as_bytes())?;
    daemon.await_ban(VILLAIN, LIMIT)?;
    daemon.stop()?;
    ensure!(fs::read(database(&daemon))? == before, "not a byte was changed");
    Ok(())
}

#[test]
fn a_full_disk_is_told_delays_no_ban_and_loses_none_that_waited() -> Result<()> {
    const LEN: usize = 60_000;
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let disk = SmallDisk::mount(daemon.directory().join("state"), "400k")?;
    daemon.start()?;
    let list: String = (0..LEN).map(|n| format!("10.0.{}.{}\n", n / 256, n % 256)).collect();
    let said = ban_from_stdin(&daemon, &list)?;
    ensure!(said.contains("could not be saved"), "the operator hears of it: {said}");
    let problems = daemon.status()?.problems;
    ensure!(problems.iter().any(|problem| problem.contains("full")), "{problems:?}");
    daemon.log().append(lines::refused(VILLAIN, 5).as_bytes())?;
    daemon.await_ban(VILLAIN, LIMIT)?;
    assert_eq!(daemon.kernel_bans()?.len(), LEN + 1);
    let told = daemon.cli(&["why", &VILLAIN.to_string()])?.success()?.stdout;
    ensure!(told.contains("banned by jail dovecot until ") && told.contains("cannot be told: "), "{told}");

    disk.resize("64m")?;
    wait::until("the database to be written again", Duration::from_secs(90), || {
        let problems = daemon.status().map_err(|error| format!("{error:#}"))?.problems;
        if problems.iter().any(|problem| problem.contains("full")) { Err(format!("{problems:?}")) } else { Ok(()) }
    })?;
    daemon.cli(&["unban", "10.0.0.1"])?.success()?;
    reboot(&mut daemon)?;
    assert_eq!(daemon.bans()?.len(), LEN, "all but the one that was lifted");
    let told = daemon.cli(&["why", &VILLAIN.to_string()])?.success()?.stdout;
    ensure!(told.contains("the lines that earned it:"), "the account is kept too: {told}");
    daemon.stop()
}

#[test]
fn a_hundred_thousand_bans_are_taken_over_after_a_crash_and_enforced_again_after_a_reboot() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    let siege = Siege::begin(&net)?;
    let list: String = (0..100_000).map(|n| format!("10.{}.{}.{}\n", n >> 16, n >> 8 & 0xff, n & 0xff)).collect();
    ban_from_stdin(&daemon, &format!("{list}{VILLAIN}\n"))?;
    siege.settle()?;
    let arrived = siege.arrived();

    for is_reboot in [false, true] {
        if is_reboot {
            reboot(&mut daemon)?;
        } else {
            daemon.kill9()?;
            daemon.start()?;
            assert_eq!(siege.arrived(), arrived, "no banned packet reached the server meanwhile");
        }

        let printed = daemon.printed();
        let took = printed.lines().rfind(|line| line.contains("goes on from where an earlier run ended"));
        eprintln!("{}", took.context("it is told how long it took")?);
        assert_eq!(daemon.kernel_bans()?.len(), 100_001);
        let bans = daemon.status()?.bans;
        assert_eq!(bans.ipv4, 100_001);
        siege.settle()?;
        siege.holds_for(Duration::from_millis(300))?;
    }
    siege.await_arrival(STRANGER)
}

/// Kills the daemon, and takes away all that a reboot would.
pub(crate) fn reboot(daemon: &mut Daemon<'_>) -> Result<()> {
    daemon.kill9()?;
    daemon.cli(&["detach"])?.success()?;
    ensure!(fs::read_dir(daemon.pins()).map_or(0, Iterator::count) == 0, "nothing is pinned any more");
    daemon.start()?;
    Ok(())
}

fn database(daemon: &Daemon<'_>) -> PathBuf {
    daemon.directory().join("state/blocker.db")
}

/// Whether two lists are of the same bans; their times are told to the second.
fn same(before: &[Ban], after: &[Ban]) -> bool {
    let plain = |ban: &Ban| {
        let end = if ban.until == "forever" { "forever" } else { "some time" };
        (ban.prefix.clone(), ban.jail.clone(), end, ban.attempts.to_bits(), ban.origin.clone(), ban.reason.clone())
    };
    let near = |one: &str, other: &str| match (one.parse::<jiff::Timestamp>(), other.parse::<jiff::Timestamp>()) {
        (Ok(one), Ok(other)) => one.duration_since(other).abs() <= jiff::SignedDuration::from_secs(1),
        (one, other) => one.is_err() && other.is_err(),
    };
    before.len() == after.len()
        && before.iter().zip(after).all(|(one, other)| {
            plain(one) == plain(other) && near(&one.since, &other.since) && near(&one.until, &other.until)
        })
}

/// Bans a list, and returns what was said on the way.
fn ban_from_stdin(daemon: &Daemon<'_>, list: &str) -> Result<String> {
    let input = daemon.directory().join("list");
    fs::write(&input, list)?;
    let mut command = daemon.command(&["ban", "-", "--for", "1d"]);
    let said = fs::File::create(daemon.directory().join("said"))?;
    let mut child = command.stdin(fs::File::open(&input)?).stdout(Stdio::null()).stderr(said).spawn()?;
    let status = wait::until("the end of the list", Duration::from_secs(60), || match child.try_wait() {
        Ok(Some(status)) => Ok(status),
        other => Err(format!("{other:?}")),
    })?;
    let said = fs::read_to_string(daemon.directory().join("said"))?;
    ensure!(status.success(), "{status}: {said}");
    Ok(said)
}

/// A file system in memory with little room, mounted as long as this lives.
pub(crate) struct SmallDisk(PathBuf);

impl SmallDisk {
    pub(crate) fn mount(place: PathBuf, size: &str) -> Result<Self> {
        fs::create_dir_all(&place)?;
        let mut command = std::process::Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &format!("size={size},mode=0700"), "tmpfs"]).arg(&place);
        process::run(command, LIMIT)?.success().context("mounting a small disk")?;
        Ok(Self(place))
    }

    pub(crate) fn resize(&self, size: &str) -> Result<()> {
        let mut command = std::process::Command::new("mount");
        command.args(["-o", &format!("remount,size={size}")]).arg(&self.0);
        process::run(command, LIMIT)?.success().map(drop)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // At once for whoever looks, and in earnest when the last file is closed.
        match std::process::Command::new("umount").arg("--lazy").arg(&self.0).status() {
            Ok(status) if status.success() => {}
            other => eprintln!("{} stays mounted: {other:?}", self.0.display()),
        }
    }
}
