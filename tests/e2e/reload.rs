//! A new configuration is taken whole, or not at all; bans in force outlive it either way.

use std::time::Duration;

use anyhow::Result;
use blocker_tests::{
    answers::Status,
    daemon::{self, Daemon, Settings},
    lines,
    netns::Net,
    wait,
};

use crate::siege::{LIMIT, STRANGER, Siege, VILLAIN};

#[test]
fn a_faulty_configuration_is_refused_and_the_old_one_kept() -> Result<()> {
    let net = Net::new()?;
    let daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    let before = daemon.status()?;
    let faulty = daemon.configuration(&Settings::default()).replacen("max_retry = 5", "max_retry = 0", 1);
    daemon.write_configuration(&faulty)?;

    let refused = daemon.cli(&["reload"])?;

    assert_eq!(refused.code, Some(78), "{refused:?}");
    assert!(refused.stderr.contains("max_retry"), "{refused:?}");
    let after = daemon.status()?;
    assert_eq!(after.pid, before.pid, "the daemon runs on");
    daemon.log().append(lines::refused(STRANGER, 5).as_bytes())?;
    daemon.await_ban(STRANGER, LIMIT)?;
    Ok(())
}

#[test]
fn sighup_takes_a_new_limit_and_keeps_the_bans() -> Result<()> {
    let net = Net::new()?;
    let daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    let siege = Siege::begin(&net)?;
    siege.ban_villain(&daemon)?;
    let arrived = siege.arrived();
    let stricter = daemon.configuration(&Settings::default()).replacen("max_retry = 5", "max_retry = 2", 1);
    daemon.write_configuration(&stricter)?;

    daemon.signal(nix::sys::signal::Signal::SIGHUP)?;

    wait::until_true("the reload", LIMIT, || daemon.printed().contains("reloaded"), || daemon.printed())?;
    daemon.log().append(lines::refused(STRANGER, 2).as_bytes())?;
    daemon.await_ban(STRANGER, LIMIT)?;
    // The stranger is banned as well by now, so that it cannot show that the way is open.
    siege.await_sent(siege.sent() + 100)?;
    wait::holds("the villain's ban", Duration::from_millis(200), || siege.unchanged(arrived))
}

#[test]
fn under_load_a_reload_loses_and_repeats_no_line_and_lets_no_banned_packet_through() -> Result<()> {
    const SOURCES: u32 = 400;
    const RELOADS: usize = 12;
    let net = Net::new()?;
    let daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    let siege = Siege::begin(&net)?;
    siege.ban_villain(&daemon)?;
    let arrived = siege.arrived();
    let before = daemon.status()?;
    let source = |number: u32| std::net::IpAddr::V4(std::net::Ipv4Addr::from_bits(0x0a00_0000 + number));

    // Each source fails four times, one short of a ban, while the limits of another jail change again and again.
    let text = daemon.configuration(&Settings::default());
    std::thread::scope(|scope| -> Result<()> {
        let writing = scope.spawn(|| -> Result<()> {
            for _ in 0..4 {
                for number in 0..SOURCES {
                    daemon.log().append(lines::refused(source(number), 1).as_bytes())?;
                    if number % 16 == 0 {
                        std::thread::sleep(Duration::from_millis(4));
                    }
                }
            }
            Ok(())
        });
        for round in 1..=RELOADS {
            let more = format!("{text}\n[jails.postfix]\nlog = [\"/nonexistent/{round}.log\"]\nmax_retry = {round}\n");
            daemon.write_configuration(&more)?;
            daemon.cli(&["reload"])?.success()?;
        }
        writing.join().map_err(|_| anyhow::anyhow!("the writer panicked"))?
    })?;

    let expected = before.jail("dovecot").failures + u64::from(4 * SOURCES);
    wait::until("all lines to be judged", LIMIT * 2, || {
        let found = daemon.status().map_err(|error| format!("{error:#}"))?.jail("dovecot").failures;
        if found >= expected { Ok(()) } else { Err(format!("{found} of {expected} failures")) }
    })?;
    let after = daemon.status()?;
    assert_eq!((after.jail("dovecot").failures, after.pid), (expected, before.pid), "each line counts once");
    assert_eq!(daemon.bans()?.len(), 1, "nobody is banned for a line that counted twice");
    // And none was forgotten: one more earns each a ban.
    for number in 0..SOURCES {
        daemon.log().append(lines::refused(source(number), 1).as_bytes())?;
    }
    wait::until("all to be banned", LIMIT * 2, || {
        let bans = daemon.status().map_err(|error| format!("{error:#}"))?.bans.ipv4;
        if bans == u64::from(SOURCES) + 1 { Ok(()) } else { Err(format!("{bans} bans")) }
    })?;
    siege.await_sent(siege.sent() + 100)?;
    wait::holds("the villain's ban", Duration::from_millis(200), || siege.unchanged(arrived))
}

#[test]
fn a_jail_that_is_taken_away_keeps_its_bans_until_they_end() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    let siege = Siege::begin(&net)?;
    siege.ban_villain(&daemon)?;
    let without =
        daemon.configuration(&Settings::default()).replacen("[jails.dovecot]", "[jails.dovecot]\nenabled = false", 1);
    daemon.write_configuration(&without)?;

    daemon.cli(&["reload"])?.success()?;
    assert!(!has_jail(&daemon.status()?, "dovecot"));
    siege.holds_for(Duration::from_millis(300))?;

    daemon.kill9()?;
    daemon.start()?;
    siege.holds_for(Duration::from_millis(300))?;
    assert_eq!(daemon.await_ban(VILLAIN, LIMIT)?.jail, "dovecot", "its name outlives it");
    Ok(())
}

#[test]
fn whom_to_allow_is_known_before_more_ports_are_closed() -> Result<()> {
    let net = Net::new()?;
    let before = Settings { ports: vec!["imap".to_owned()], ..Settings::default() };
    let daemon = Daemon::launch(&net, &daemon::binary()?, &before)?;
    let siege = Siege::begin(&net)?;
    daemon.cli(&["ban", "--jail", "dovecot", &VILLAIN.to_string()])?.success()?;
    siege.await_arrival(VILLAIN)?;
    let after = Settings { allow: vec![VILLAIN.to_string()], ..Settings::default() };
    daemon.write_configuration(&daemon.configuration(&after))?;
    let dropped = |status: &Status| status.counters["drop_banned"].packets;
    let dropped_before = dropped(&daemon.status()?);

    daemon.cli(&["reload"])?.success()?;

    siege.await_arrival(VILLAIN)?;
    assert_eq!(dropped(&daemon.status()?), dropped_before, "not one packet was dropped in between");
    Ok(())
}

#[test]
fn an_interface_that_is_taken_away_is_let_go_of() -> Result<()> {
    let net = Net::new()?;
    let daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    let siege = Siege::begin(&net)?;
    siege.ban_villain(&daemon)?;
    let elsewhere = Settings { interfaces: vec!["lo".to_owned()], ..Settings::default() };
    daemon.write_configuration(&daemon.configuration(&elsewhere))?;

    daemon.cli(&["reload"])?.success()?;

    siege.await_arrival(VILLAIN)?;
    let names: Vec<String> = daemon.status()?.interfaces.into_iter().map(|interface| interface.name).collect();
    assert_eq!(names, ["lo"]);
    Ok(())
}

fn has_jail(status: &Status, name: &str) -> bool {
    status.jails.iter().any(|jail| jail.name == name)
}
