//! Enforcement does not depend on the daemon: stop, crash and restart let not one banned packet through.

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};
use aya::maps::{Array, Map, MapData};
use blocker_common::{LAYOUT, MapName};
use blocker_tests::{
    answers::Ban,
    daemon::{self, Daemon, Settings, covers},
    lines,
    netns::Net,
    wait,
};

use crate::siege::{LIMIT, Siege, VILLAIN};

/// Rounds of every way to go down and come up again.
const ROUNDS: u32 = 20;

#[test]
fn kill_9_and_restart_let_no_banned_packet_through() -> Result<()> {
    no_banned_packet_through(|daemon, _| {
        daemon.kill9()?;
        daemon.start()?;
        Ok(())
    })
}

#[test]
fn stop_and_start_let_no_banned_packet_through() -> Result<()> {
    no_banned_packet_through(|daemon, _| {
        daemon.stop()?;
        daemon.start()?;
        Ok(())
    })
}

/// The maps of another layout are in a directory of its name; bans are carried over before the program is replaced.
#[test]
fn a_change_of_layout_lets_no_banned_packet_through() -> Result<()> {
    no_banned_packet_through(|daemon, round| {
        let other = if round % 2 == 0 { LAYOUT - 1 } else { LAYOUT + 1 };
        let [ours, others] = [LAYOUT, other].map(|layout| daemon.pins().join(format!("v{layout}")));
        if round % 3 == 0 {
            daemon.stop()?;
        } else {
            daemon.kill9()?;
        }
        fs::rename(&ours, &others)?;
        if other == 2 {
            // Layout 2 has no such map.
            fs::remove_file(others.join(MapName::SctpPorts.as_str()))?;
        }
        daemon.start()?;
        ensure!(ours.exists() && !others.exists(), "everything moved to {}", ours.display());
        Ok(())
    })
}

#[test]
fn a_change_of_capacity_lets_no_banned_packet_through() -> Result<()> {
    no_banned_packet_through(|daemon, round| {
        let capacity = format!("[daemon]\nmax_bans_ipv4 = {}\n", 2048 << (round % 3));
        let text = daemon.configuration(&Settings::default()).replacen("[daemon]\n", &capacity, 1);
        daemon.write_configuration(&text)?;
        if round % 2 == 0 {
            daemon.stop()?;
        } else {
            daemon.kill9()?;
        }
        daemon.start()?;
        Ok(())
    })
}

/// A directory that was being filled, and one that was complete and not yet in place: what a crash may leave.
#[test]
fn a_crash_while_bans_are_carried_over_loses_none() -> Result<()> {
    no_banned_packet_through(|daemon, round| {
        daemon.kill9()?;
        let directory = |state: &str| daemon.pins().join(format!("v{LAYOUT}{state}"));
        match round % 3 {
            0 => fs::create_dir(directory("-next"))?,
            1 => fs::rename(directory(""), directory("-ready"))?,
            _ => fs::create_dir(directory("-old"))?,
        }
        daemon.start()?;
        let left: Vec<_> = fs::read_dir(daemon.pins())?.collect::<Result<_, _>>()?;
        ensure!(left.len() == 1, "only one directory is left: {left:?}");
        Ok(())
    })
}

/// Bans the villain, has the daemon go down and up again in rounds, and counts at the receiving end.
fn no_banned_packet_through(round: impl Fn(&mut Daemon<'_>, u32) -> Result<()>) -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    let siege = Siege::begin(&net)?;
    siege.ban_villain(&daemon)?;
    let (arrived, sent) = (siege.arrived(), siege.sent());
    let before = villains_ban(&daemon)?;

    for number in 0..ROUNDS {
        round(&mut daemon, number).with_context(|| format!("round {number}"))?;
        assert_eq!(siege.arrived(), arrived, "no banned packet reached the server in round {number}");
    }
    // It kept knocking all the while.
    siege.await_sent(sent + 1000)?;
    siege.holds_for(Duration::from_millis(300))?;
    assert_eq!(siege.arrived(), arrived, "no banned packet reached the server");

    let after = villains_ban(&daemon)?;
    assert_eq!((after.until, after.jail), (before.until, before.jail), "the ban was adopted with its deadline");
    assert_eq!(after.origin, "log", "and with what it came from");

    // The way was open all the time, but for the ban.
    daemon.cli(&["unban", &VILLAIN.to_string()])?.success()?;
    all_arrive(&siege)
}

/// Under the pin of one map lies another, as if it were of a layout that nobody knows: to use it would write beyond its entries.
#[test]
fn a_pinned_map_of_another_shape_is_refused_and_the_bans_hold() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    let siege = Siege::begin(&net)?;
    siege.ban_villain(&daemon)?;
    let pin = |name: MapName| daemon.pins().join(format!("v{LAYOUT}")).join(name.as_str());
    let (hosts, networks) = (pin(MapName::Bans4), pin(MapName::Networks4));
    daemon.stop()?;
    let arrived = siege.arrived();
    fs::remove_file(&hosts)?;
    fs::rename(&networks, &hosts)?;

    let refused = daemon.cli(&["run"])?;

    assert_eq!(refused.code, Some(1), "{refused:?}");
    let said = format!("{}{}", refused.stdout, refused.stderr);
    assert!(said.contains("BANS4") && said.contains("blocker detach"), "it names the map and what helps: {said}");
    siege.holds_for(Duration::from_millis(300))?;
    assert_eq!(siege.arrived(), arrived, "what was attached goes on");
    Ok(())
}

#[test]
fn a_stopped_daemon_leaves_its_bans_in_force_until_detached() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    let siege = Siege::begin(&net)?;
    siege.ban_villain(&daemon)?;
    let arrived = siege.arrived();

    daemon.stop()?;
    siege.holds_for(Duration::from_secs(1))?;
    let kernel = daemon.kernel_bans()?;
    assert!(kernel.iter().any(|ban| covers(&ban.prefix, VILLAIN)), "the pins tell of the ban: {kernel:?}");
    assert_eq!(siege.arrived(), arrived, "not one banned packet reached the server");

    daemon.cli(&["detach"])?.success()?;
    siege.await_arrival(VILLAIN)
}

#[test]
fn a_dead_daemon_holds_nobody_past_the_deadline() -> Result<()> {
    let net = Net::new()?;
    // Long enough for a slow machine to see the ban before it ends.
    let settings = Settings { ban_time: "10s".into(), ..Settings::default() };
    let mut daemon = Daemon::launch(&net, &daemon::binary()?, &settings)?;
    let siege = Siege::begin(&net)?;
    siege.ban_villain(&daemon)?;

    daemon.kill9()?;

    siege.await_arrival(VILLAIN).context("the kernel knows the deadline")
}

#[test]
fn a_line_judged_before_a_restart_is_not_judged_again() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    let (source, marker, later) = ("203.0.113.7".parse()?, "203.0.113.6".parse()?, "203.0.113.8".parse()?);
    daemon.log().append(lines::refused(source, 4).as_bytes())?;
    daemon.log().append(lines::refused(marker, 5).as_bytes())?;
    daemon.await_ban(marker, LIMIT)?;

    for _ in 0..2 {
        daemon.stop()?;
        daemon.start()?;
    }
    daemon.log().append(lines::refused(later, 5).as_bytes())?;

    daemon.await_ban(later, LIMIT)?;
    assert!(!daemon.bans()?.iter().any(|ban| covers(&ban.prefix, source)), "four attempts, told once");
    Ok(())
}

#[test]
fn sctp_ports_reach_the_kernel_and_are_carried_over() -> Result<()> {
    let net = Net::new()?;
    let settings = Settings { ports: vec!["imap".into(), "588/sctp".into()], ..Settings::default() };
    let mut daemon = Daemon::launch(&net, &daemon::binary()?, &settings)?;
    let [ours, later] = [LAYOUT, LAYOUT + 1].map(|layout| daemon.pins().join(format!("v{layout}")));
    let scopes = || -> Result<(u64, u64)> {
        let path = ours.join(MapName::SctpPorts.as_str());
        let ports: Array<MapData, u64> = Map::from_map_data(MapData::from_pin(path)?)?.try_into()?;
        Ok((ports.get(&588, 0)?, ports.get(&143, 0)?))
    };
    let before = scopes()?;
    assert!(before.0 != 0 && before.1 == 0, "588 is the jail's, 143 nobody's: {before:?}");

    daemon.stop()?;
    fs::rename(&ours, &later)?;
    daemon.start()?;

    assert_eq!(scopes()?, before);
    Ok(())
}

/// Waits until of a thousand of the villain's datagrams all have reached the server, but for the few on the way.
fn all_arrive(siege: &Siege) -> Result<()> {
    wait::until("the villain's datagrams to reach the server", LIMIT, || {
        let (arrived, sent) = (siege.arrived(), siege.sent());
        siege.await_sent(sent + 1000).map_err(|error| format!("{error:#}"))?;
        let (arrived, sent) = (siege.arrived() - arrived, siege.sent() - sent);
        if 100 * arrived >= 95 * sent { Ok(()) } else { Err(format!("{arrived} of {sent}")) }
    })
}

fn villains_ban(daemon: &Daemon<'_>) -> Result<Ban> {
    daemon
        .bans()?
        .into_iter()
        .find(|ban| covers(&ban.prefix, VILLAIN))
        .context("the villain is not in the list of bans")
}
