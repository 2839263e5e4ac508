//! What a log held before it was read counts from when it was written; what says "the same again" counts as often.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use anyhow::Result;
use blocker_tests::{
    clock,
    daemon::{self, Daemon, Settings},
    lines,
    netns::Net,
    wait,
};

use nix::sys::signal::Signal;

use crate::siege::LIMIT;

const OLD: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 10));
const RECENT: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 11));
const LIVE: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 12));

#[test]
fn a_file_that_appears_is_judged_by_the_time_in_its_lines() -> Result<()> {
    let net = Net::new()?;
    let daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    let (hour, minutes) = (Duration::from_secs(3_600), Duration::from_secs(300));
    let text = |source, ago| (0..5).map(|_| written(source, ago) + "\n").collect::<String>();
    let found = daemon.log().path().with_extension("found");
    fs::write(&found, text(OLD, hour) + &text(RECENT, minutes))?;

    // In one step, with all that is in it.
    fs::rename(&found, daemon.log().path())?;

    let ban = daemon.await_ban(RECENT, LIMIT)?;
    assert!(ban.remaining_s.is_some_and(|left| left > 3_590.0), "the ban begins now: {ban:?}");
    assert!(!is_banned(&daemon, OLD)?, "what is older than find_time does not count");
    let status = daemon.status()?;
    assert_eq!((status.jail("dovecot").failures, status.jail("dovecot").too_old), (5, 5));

    // The very same old line, written now: who writes it wants it judged now.
    daemon.log().reopen()?;
    for _ in 0..5 {
        daemon.log().append(written(LIVE, hour).as_bytes())?;
    }
    daemon.await_ban(LIVE, LIMIT)?;
    Ok(())
}

#[test]
fn a_rewritten_file_is_judged_by_the_time_in_its_lines() -> Result<()> {
    let net = Net::new()?;
    let daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    daemon.log().append(lines::refused(LIVE, 1).as_bytes())?;
    await_failures(&daemon, 1)?;

    // Restored from a backup, longer than before; stopped, the daemon does not see the moment in which it is empty.
    let old: String = (0..5).map(|_| written(OLD, Duration::from_secs(86_400)) + "\n").collect();
    daemon.signal(Signal::SIGSTOP)?;
    fs::write(daemon.log().path(), old)?;
    daemon.signal(Signal::SIGCONT)?;
    daemon.log().append(lines::refused(LIVE, 1).as_bytes())?;

    await_failures(&daemon, 2)?;
    let status = daemon.status()?;
    assert_eq!((status.jail("dovecot").failures, status.jail("dovecot").too_old), (2, 5));
    assert!(!is_banned(&daemon, OLD)?);
    Ok(())
}

#[test]
fn a_time_without_a_zone_is_the_machine_s() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    daemon.start_in_zone("<-07>7")?;
    let west = Duration::from_secs(7 * 3_600);
    // `2026-11-23 01:11:33`, of a clock seven hours behind.
    let local = |source, ago| {
        let line = written(source, west + ago);
        let (stamp, rest) = line.split_once('.').expect("the stamp has a fraction");
        let (_, rest) = rest.split_once(' ').expect("the stamp ends");
        format!("{} {rest}\n", stamp.replace('T', " "))
    };
    let text = |source, ago: u64| local(source, Duration::from_secs(ago)).repeat(5);
    let found = daemon.log().path().with_extension("found");
    fs::write(&found, text(OLD, 900) + &text(RECENT, 300))?;

    fs::rename(&found, daemon.log().path())?;

    daemon.await_ban(RECENT, LIMIT)?;
    assert_eq!((daemon.status()?.jail("dovecot").failures, daemon.status()?.jail("dovecot").too_old), (5, 5));
    assert!(!is_banned(&daemon, OLD)?);
    Ok(())
}

#[test]
fn repeated_messages_count_as_often_as_the_log_daemon_says() -> Result<()> {
    let net = Net::new()?;
    let daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    let header = format!("{} mx1", clock::log_stamp());

    // As rsyslog writes it.
    let message = lines::refused(RECENT, 1).split_once("dovecot: ").map(|(_, message)| message.to_owned());
    let message = message.expect("the line is Dovecot's");
    daemon.log().append(lines::refused(RECENT, 1).as_bytes())?;
    daemon.log().append(format!("{header} dovecot: message repeated 4 times: [ {message}]").as_bytes())?;
    daemon.await_ban(RECENT, LIMIT)?;

    // As sysklogd does; in a user's name the same words are nothing.
    let forged = lines::refused_for("last message repeated 9 times", OLD, 1);
    daemon.log().append(forged.as_bytes())?;
    daemon.log().append(format!("{header} dovecot: last message repeated 9 times").as_bytes())?;
    daemon.log().append(lines::refused(LIVE, 1).as_bytes())?;
    daemon.log().append(format!("{header} last message repeated 4 times").as_bytes())?;
    daemon.await_ban(LIVE, LIMIT)?;
    assert!(!is_banned(&daemon, OLD)?, "one attempt was made from there");
    Ok(())
}

/// A refused password, logged some time ago.
fn written(source: IpAddr, ago: Duration) -> String {
    let line = lines::refused(source, 1);
    let (_, rest) = line.split_once(' ').expect("a line begins with its stamp");
    format!("{} {rest}", clock::log_stamp_of(ago))
}

fn is_banned(daemon: &Daemon<'_>, source: IpAddr) -> Result<bool> {
    Ok(daemon.bans()?.iter().any(|ban| ban.prefix == source.to_string()))
}

fn await_failures(daemon: &Daemon<'_>, lines: u64) -> Result<()> {
    wait::until(&format!("{lines} lines to be counted"), LIMIT, || {
        let status = daemon.status().map_err(|error| format!("{error:#}"))?;
        if status.jail("dovecot").failures >= lines { Ok(()) } else { Err(format!("{status:?}\n{}", daemon.printed())) }
    })
}
