//! The commands: what they do, what they print, and who may.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::IpAddr,
    os::unix::net::UnixStream,
};

use anyhow::Result;
use blocker_tests::{
    daemon::{self, Daemon, Settings, covers},
    netns::{Host, Net},
    process,
};

use crate::siege::{LIMIT, Siege, VILLAIN};

#[test]
fn ban_and_unban_take_effect_and_show() -> Result<()> {
    let net = Net::new()?;
    let daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    let siege = Siege::begin(&net)?;
    let villain = VILLAIN.to_string();

    daemon.cli(&["ban", &villain, "--for", "10m", "--reason", "shown the door"])?.success()?;

    let ban = daemon.await_ban(VILLAIN, LIMIT)?;
    assert_eq!(ban.origin, "command");
    assert_eq!(ban.reason.as_deref(), Some("shown the door"));
    let remaining = ban.remaining_s.expect("ten minutes are not for ever");
    assert!((500.0..=600.0).contains(&remaining), "ten minutes, just begun: {remaining} s");
    let dropped = daemon.await_drop(VILLAIN, LIMIT)?;
    assert!(dropped.packets > 0 && dropped.bytes > dropped.packets, "{dropped:?}");
    siege.settle()?;

    daemon.cli(&["unban", &villain])?.success()?;
    siege.await_arrival(VILLAIN)?;
    assert!(!daemon.bans()?.iter().any(|ban| covers(&ban.prefix, VILLAIN)));
    assert!(!daemon.kernel_bans()?.iter().any(|ban| covers(&ban.prefix, VILLAIN)));
    Ok(())
}

#[test]
fn a_ban_for_ever_says_so() -> Result<()> {
    let net = Net::new()?;
    let daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;

    daemon.cli(&["ban", "203.0.113.9", "--for", "forever"])?.success()?;

    let ban = daemon.await_ban("203.0.113.9".parse()?, LIMIT)?;
    assert_eq!((ban.until.as_str(), ban.remaining_s), ("forever", None));
    Ok(())
}

#[test]
fn status_tells_what_is_watched_and_where() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let status = daemon.start()?;

    assert_eq!(Some(status.pid), daemon.pid());
    assert_eq!(status.mode, "enforce");
    assert_eq!(status.interfaces.len(), 1);
    assert_eq!(status.interfaces[0].name, "eth0");
    assert_eq!(status.interfaces[0].mode.as_deref(), Some("native"), "veth has native XDP");
    assert_eq!(status.jail("dovecot").failures, 0);
    daemon.cli(&["ban", "203.0.113.9", "203.0.113.128/25", "2001:db8:3:9::/64"])?.success()?;
    let bans = daemon.status()?.bans;
    assert_eq!((bans.ipv4, bans.ipv6, bans.networks), (1, 1, 1));
    Ok(())
}

#[test]
fn the_pins_alone_answer_and_let_go_with_the_daemon_down() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    let siege = Siege::begin(&net)?;
    siege.ban_villain(&daemon)?;
    daemon.kill9()?;

    let kernel = daemon.kernel_bans()?;
    let entry = kernel.iter().find(|ban| covers(&ban.prefix, VILLAIN)).expect("the villain's ban is pinned");
    assert_eq!(entry.jails, ["dovecot"]);
    assert!(entry.packets > 0 && entry.first_drop_boot_ns <= entry.last_drop_boot_ns, "{entry:?}");

    daemon.cli(&["detach"])?.success()?;
    siege.await_arrival(VILLAIN)?;
    let left = fs::read_dir(daemon.pins()).map_or(0, Iterator::count);
    assert_eq!(left, 0, "no pin is left in {}", daemon.pins().display());
    Ok(())
}

#[test]
fn the_pins_alone_let_one_address_go_with_the_daemon_down() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    let siege = Siege::begin(&net)?;
    siege.ban_villain(&daemon)?;
    let other = "2001:db8:3:9::/64";
    let banned = daemon.cli(&["ban", "2001:db8:3:9::66"])?.success()?;
    assert_eq!(banned.stdout, format!("{other}: banned\n"), "an address is banned as the log would have it");
    let villain = VILLAIN.to_string();

    let refused = daemon.cli(&["unban", "--kernel", &villain])?;
    assert_eq!(refused.code, Some(1), "not beside a daemon that runs: {refused:?}");
    daemon.kill9()?;
    let lifted = daemon.cli(&["unban", "--kernel", &villain, "2001:db8:3:9::1", "203.0.113.1"])?.success()?;

    assert_eq!(lifted.stdout, format!("{villain}: unbanned\n{other}: unbanned\n203.0.113.1: not-banned\n"));
    siege.await_arrival(VILLAIN)?;
    daemon.start()?;
    assert_eq!(daemon.bans()?.len(), 0);
    Ok(())
}

/// What accepts IPv4 on a socket of IPv6 has such addresses.
#[test]
fn an_application_may_tell_of_an_ipv4_address_as_ipv6_has_it() -> Result<()> {
    let net = Net::new()?;
    let daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    let mut stream = UnixStream::connect(daemon.directory().join("run/control.sock"))?;
    stream.set_read_timeout(Some(LIMIT))?;

    writeln!(stream, "{{\"command\":\"attempt\",\"jail\":\"dovecot\",\"addr\":\"::ffff:{VILLAIN}\",\"attempts\":5}}")?;

    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    assert_eq!(answer.trim(), "\"done\"");
    daemon.await_ban(VILLAIN, LIMIT)?;
    let why = daemon.cli(&["why", &VILLAIN.to_string()])?.success()?.stdout;
    assert!(why.contains("+5, 5 in all: dovecot \"told by an application\""), "{why}");
    Ok(())
}

#[test]
fn addresses_that_are_none_are_refused() -> Result<()> {
    let net = Net::new()?;
    let daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    for wrong in ["203.0.113", "203.0.113.9/33", "example.org", "0.0.0.0/0", "::/0", ""] {
        let refused = daemon.cli(&["ban", wrong])?;
        assert!(matches!(refused.code, Some(1 | 2)), "`{wrong}`: {refused:?}");
        assert!(!refused.stderr.is_empty(), "`{wrong}` is refused with a reason");
    }
    assert_eq!(daemon.bans()?.len(), 0);
    Ok(())
}

#[test]
fn another_user_is_refused() -> Result<()> {
    let net = Net::new()?;
    let daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    let villain: IpAddr = "203.0.113.9".parse()?;

    for arguments in [&["status"][..], &["bans"], &["ban", "203.0.113.9"], &["unban", "203.0.113.9"]] {
        let mut command = crate::bad_input::as_nobody(&net, Host::Server, &daemon)?;
        command.arg("--config").arg(daemon.config_path()).args(arguments);
        let refused = process::run(command, LIMIT)?;
        assert_eq!(refused.code, Some(77), "{arguments:?}: {refused:?}");
        assert_eq!(refused.stderr.lines().count(), 1, "one line: {refused:?}");
    }
    assert!(!daemon.bans()?.iter().any(|ban| covers(&ban.prefix, villain)));
    Ok(())
}
