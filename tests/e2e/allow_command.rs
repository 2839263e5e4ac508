//! Who is never banned by command: at once, for as long as was said, and not a moment longer than that.

use std::{
    io::Write as _,
    net::{IpAddr, Ipv4Addr},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use blocker_tests::{
    answers::per_line,
    daemon::{self, Daemon, Settings, covers},
    lines,
    netns::{Host, Net},
    process::Finished,
    wait,
};
use serde::Deserialize;

use crate::{
    memory::reboot,
    siege::{LIMIT, STRANGER, Siege, VILLAIN},
};

#[test]
fn what_is_allowed_by_command_passes_at_once_and_what_is_taken_back_is_banned_again() -> Result<()> {
    let net = Net::new()?;
    let daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    let siege = Siege::begin(&net)?;
    siege.ban_villain(&daemon)?;

    let allowed = daemon.cli(&["allow", &VILLAIN.to_string(), "--reason", "the \u{1b}[2Joffice", "--json"])?;

    let rows = changes(&allowed.success()?)?;
    assert_eq!(rows, [row(VILLAIN, "allowed"), row(VILLAIN, "unbanned")], "the ban that was lifted is told");
    siege.await_arrival(VILLAIN)?;
    ensure!(daemon.bans()?.is_empty() && daemon.kernel_bans()?.is_empty());
    never_banned(&daemon, VILLAIN)?;
    let refused = daemon.cli(&["ban", &VILLAIN.to_string()])?;
    ensure!(refused.code == Some(1) && refused.stdout.contains("allowed by command"), "{refused:?}");
    let listed = listed(&daemon)?;
    let of_command: Vec<&Allowed> = listed.iter().filter(|row| row.why == "by-command").collect();
    let [Allowed { prefix, detail, until, persist, since, .. }] = of_command[..] else { panic!("{listed:?}") };
    assert_eq!((prefix.as_str(), until.as_deref(), *persist), ("203.0.113.77", Some("restart"), Some(false)));
    assert_eq!((detail.as_deref(), since.is_some()), (Some("the \u{1b}[2Joffice"), true));
    let for_people = daemon.cli(&["allow", "--list"])?.success()?.stdout;
    ensure!(for_people.contains("allowed by command: the \\u{1b}[2Joffice"), "no terminal obeys it: {for_people}");

    let taken_back = daemon.cli(&["disallow", &VILLAIN.to_string()])?.success()?;
    assert_eq!(taken_back.stdout, format!("{VILLAIN}: disallowed\n"));
    let nothing = daemon.cli(&["disallow", &VILLAIN.to_string()])?.success()?;
    assert_eq!(nothing.stdout, format!("{VILLAIN}: not-allowed\n"));
    siege.ban_villain(&daemon)?;
    siege.holds_for(Duration::from_millis(300))
}

#[test]
fn what_is_allowed_by_command_inside_a_wider_ban_passes_and_that_ban_stays() -> Result<()> {
    let net = Net::new()?;
    let daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    let siege = Siege::begin(&net)?;
    daemon.cli(&["ban", "203.0.113.0/24", "203.0.0.0/16"])?.success()?;
    siege.settle()?;

    let allowed = daemon.cli(&["allow", &STRANGER.to_string()])?.success()?;

    assert_eq!(allowed.stdout, format!("{STRANGER}: allowed: the ban of 203.0.113.0/24 stays, and leaves it out\n"));
    siege.await_arrival(STRANGER)?;
    siege.holds_for(Duration::from_millis(500))?;
    assert_eq!(daemon.bans()?.len(), 2);
    // A network lifts all the bans inside it.
    let wide = daemon.cli(&["allow", "203.0.112.0/23", "--json"])?.success()?;
    let outcomes: Vec<(String, String)> = changes(&wide)?.into_iter().map(|row| (row.prefix, row.outcome)).collect();
    let told = |prefix: &str, outcome: &str| (prefix.to_owned(), outcome.to_owned());
    assert_eq!(outcomes, [told("203.0.112.0/23", "allowed"), told("203.0.113.0/24", "unbanned")]);
    siege.await_arrival(VILLAIN)
}

#[test]
fn an_allowance_is_over_at_its_end_or_at_the_next_start_unless_it_persists() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    daemon.cli(&["allow", "198.51.100.1", "--persist", "--reason", "our office"])?.success()?;
    daemon.cli(&["allow", "198.51.100.2", "--persist", "--for", "3d"])?.success()?;
    daemon.cli(&["allow", "198.51.100.3"])?.success()?;
    daemon.cli(&["allow", "198.51.100.4", "--for", "3d"])?.success()?;
    daemon.cli(&["allow", &VILLAIN.to_string(), "--for", "1s"])?.success()?;
    daemon.cli(&["allow", "198.51.100.5", "--for", "1s", "--persist"])?.success()?;
    daemon.cli(&["allow", "198.51.100.6", "--persist"])?.success()?;
    daemon.cli(&["disallow", "198.51.100.6"])?.success()?;

    await_by_command(&daemon, &["198.51.100.1", "198.51.100.2", "198.51.100.3", "198.51.100.4"])?;
    daemon.log().append(lines::refused(VILLAIN, 5).as_bytes())?;
    daemon.await_ban(VILLAIN, LIMIT)?;
    let before = listed(&daemon)?;

    daemon.kill9()?;
    daemon.start()?;

    await_by_command(&daemon, &["198.51.100.1", "198.51.100.2"])?;
    let of = |list: &[Allowed], prefix: &str| list.iter().find(|row| row.prefix == prefix).cloned();
    let after = listed(&daemon)?;
    assert_eq!(of(&after, "198.51.100.1"), of(&before, "198.51.100.1"), "with its beginning and its words");
    assert_eq!(of(&after, "198.51.100.1").context("it is there")?.until.as_deref(), Some("forever"));
    assert_eq!(of(&after, "198.51.100.2"), of(&before, "198.51.100.2"), "and with its end");
    reboot(&mut daemon)?;
    await_by_command(&daemon, &["198.51.100.1", "198.51.100.2"])?;
    let refused = daemon.cli(&["ban", "198.51.100.1"])?;
    ensure!(refused.code == Some(1), "{refused:?}");
    // What is taken back stays so.
    daemon.cli(&["disallow", "198.51.100.1", "198.51.100.2"])?.success()?;
    daemon.kill9()?;
    daemon.start()?;
    await_by_command(&daemon, &[])
}

/// The log of a container behind a proxy of its engine's shows the bridge's address for everybody.
#[test]
fn a_local_bridge_is_never_banned_and_who_allows_what_is_told() -> Result<()> {
    let net = Net::new()?;
    let settings = Settings { allow: vec!["203.0.113.64/26".into()], ..Settings::default() };
    let daemon = Daemon::launch(&net, &daemon::binary()?, &settings)?;
    net.ip(Host::Server, "link add br-mail type bridge\naddr add 172.18.0.1/16 dev br-mail\nlink set br-mail up\n")?;
    let bridge: IpAddr = Ipv4Addr::new(172, 18, 0, 1).into();
    wait::until("the bridge to be found", LIMIT, || {
        let listed = listed(&daemon).map_err(|error| format!("{error:#}"))?;
        let found = listed.iter().any(|row| {
            row.prefix == "172.18.0.1" && row.why == "own-address" && row.detail.as_deref() == Some("br-mail")
        });
        found.then_some(()).ok_or_else(|| format!("{listed:?}"))
    })?;

    never_banned(&daemon, bridge)?;
    for (prefix, expected) in [
        ("172.18.0.1", "an address of this machine): br-mail; it is allowed as long as the machine has it"),
        ("203.0.113.77", "203.0.113.64/26 (allowed by the configuration); take it out of `daemon.allow`, and reload"),
        ("127.0.0.2", "127.0.0.0/8 (a loopback address); it is always allowed"),
    ] {
        let refused = daemon.cli(&["disallow", prefix])?;
        ensure!(refused.code == Some(1) && refused.stdout.contains(expected), "{refused:?}");
    }
    // What two allow, one does not take away.
    daemon.cli(&["allow", "172.18.0.1"])?.success()?;
    let kept = daemon.cli(&["disallow", "172.18.0.1"])?.success()?;
    ensure!(kept.stdout.contains("disallowed: it stays allowed: 172.18.0.1 (an address of this machine)"), "{kept:?}");
    never_banned(&daemon, bridge)
}

#[test]
fn so_many_are_allowed_by_command_and_no_more() -> Result<()> {
    const MOST: u32 = 512;
    let net = Net::new()?;
    let daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    let mut child = daemon.command(&["allow", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let list: Vec<String> = (0..=MOST).map(|number| Ipv4Addr::from(0x0a00_0000 + number).to_string()).collect();
    child.stdin.take().context("stdin is a pipe")?.write_all(list.join("\n").as_bytes())?;

    let output = child.wait_with_output()?;

    let told = String::from_utf8(output.stdout)?;
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert_eq!(told.lines().filter(|line| line.ends_with(": allowed")).count(), MOST as usize);
    ensure!(told.contains("10.0.2.0: refused: 512 prefixes are allowed by command"), "{told}");
    Ok(())
}

/// A line of `allow --list --json`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Allowed {
    prefix: String,
    why: String,
    detail: Option<String>,
    since: Option<String>,
    until: Option<String>,
    persist: Option<bool>,
}

/// A line of `allow --json`.
#[derive(Debug, PartialEq, Deserialize)]
struct Change {
    prefix: String,
    outcome: String,
}

fn row(addr: IpAddr, outcome: &str) -> Change {
    Change { prefix: addr.to_string(), outcome: outcome.to_owned() }
}

fn changes(finished: &Finished) -> Result<Vec<Change>> {
    per_line(&finished.stdout)
}

fn listed(daemon: &Daemon<'_>) -> Result<Vec<Allowed>> {
    per_line(&daemon.cli(&["allow", "--list", "--json"])?.success()?.stdout)
}

/// Waits until exactly these are allowed by command.
fn await_by_command(daemon: &Daemon<'_>, expected: &[&str]) -> Result<()> {
    wait::until("what is allowed by command", LIMIT, || {
        let listed = listed(daemon).map_err(|error| format!("{error:#}"))?;
        let by_command: Vec<_> = listed.iter().filter(|row| row.why == "by-command").map(|row| &row.prefix).collect();
        if by_command == expected { Ok(()) } else { Err(format!("{by_command:?}")) }
    })
}

/// Fails as often as earns a ban, and sees that it is not banned by the time that another is.
fn never_banned(daemon: &Daemon<'_>, source: IpAddr) -> Result<()> {
    let marker: IpAddr = Ipv4Addr::new(192, 0, 2, 66).into();
    daemon.cli(&["unban", &marker.to_string()])?.success()?;
    daemon.log().append(lines::refused(source, 50).as_bytes())?;
    daemon.log().append(lines::refused(marker, 5).as_bytes())?;
    daemon.await_ban(marker, LIMIT)?;
    ensure!(!daemon.bans()?.iter().any(|ban| covers(&ban.prefix, source)), "{source} is banned");
    daemon.cli(&["unban", &marker.to_string()])?.success().map(drop)
}
