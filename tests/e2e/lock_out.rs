//! Nobody is locked out who must not be, whatever is tried: by logs, commands, imports, a restart, wide networks, or aggregation.

use std::{fs, net::IpAddr, time::Duration};

use anyhow::{Result, ensure};
use blocker_tests::{
    daemon::{self, Daemon, Settings, covers},
    lines,
    netns::{Net, SERVER_V4},
    wait,
};

use crate::{
    fail2ban::Running,
    memory::reboot,
    siege::{LIMIT, STRANGER, Siege, VILLAIN},
};

/// Of the stranger's network, to have it aggregated.
const NEIGHBOURS: std::ops::RangeInclusive<u8> = 1..=4;

#[test]
fn whatever_is_tried_the_allowed_address_gets_through_and_its_neighbour_does_not() -> Result<()> {
    let net = Net::new()?;
    let settings = Settings { allow: vec![STRANGER.to_string()], ..Settings::default() };
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &settings)?;
    let key = "aggregate_after = 4\nmax_retry";
    daemon.write_configuration(&daemon.configuration(&settings).replacen("max_retry", key, 1))?;
    daemon.start()?;
    let siege = Siege::begin(&net)?;
    let stranger = STRANGER.to_string();

    // By log: again and again, and inside the network of which many are banned.
    daemon.log().append(lines::refused(STRANGER, 500).as_bytes())?;
    for number in NEIGHBOURS {
        daemon.log().append(lines::refused(IpAddr::from([203, 0, 113, number]), 5).as_bytes())?;
    }
    wait::until("the network to be banned", LIMIT, || {
        let bans = daemon.bans().map_err(|error| format!("{error:#}"))?;
        if bans.iter().any(|ban| ban.prefix == "203.0.113.0/24") { Ok(()) } else { Err(format!("{bans:?}")) }
    })?;
    siege.settle()?;
    siege.holds_for(Duration::from_millis(300))?;

    // By command: itself, and networks of every width around it.
    ensure!(daemon.cli(&["ban", &stranger])?.code == Some(1));
    ensure!(daemon.cli(&["ban", &stranger, "--jail", "dovecot"])?.code == Some(1));
    let own = daemon.cli(&["ban", &SERVER_V4.to_string()])?;
    ensure!(own.code == Some(1) && own.stdout.contains("refused"), "the machine's own address: {own:?}");
    for wide in ["203.0.113.88/31", "203.0.112.0/22", "203.0.0.0/16", "203.0.0.0/8", "128.0.0.0/1", "0.0.0.0/1"] {
        daemon.cli(&["ban", wide])?.success()?;
        siege.await_arrival(STRANGER)?;
        siege.await_arrival(STRANGER)?;
    }
    siege.holds_for(Duration::from_millis(300))?;

    // By a list, in which it stands among others.
    let list = daemon.directory().join("list");
    fs::write(&list, format!("192.0.2.1\n{stranger}\n192.0.2.2\n"))?;
    let mut command = daemon.command(&["ban", "-"]);
    let output = command.stdin(fs::File::open(&list)?).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.code() == Some(1) && text.contains(&format!("{stranger}: refused")), "{text}");
    ensure!(text.contains("192.0.2.2: banned"), "the others are: {text}");

    // By a restart, and by a reboot.
    daemon.kill9()?;
    daemon.start()?;
    siege.holds_for(Duration::from_millis(300))?;
    reboot(&mut daemon)?;
    siege.settle()?;
    siege.holds_for(Duration::from_millis(300))?;

    never_banned(&daemon, STRANGER)?;
    never_banned(&daemon, SERVER_V4)
}

#[test]
fn what_fail2ban_has_banned_is_not_taken_over_of_who_is_allowed_here() -> Result<()> {
    let (release, _) = blocker_tests::fail2ban::RELEASES[1];
    let fail2ban = Running::start(release, &["dovecot"])?;
    let (stranger, villain) = (STRANGER.to_string(), VILLAIN.to_string());
    fail2ban.client(&["set", "dovecot", "banip", &stranger, &villain])?.success()?;
    let net = Net::new()?;
    let settings = Settings { allow: vec![stranger.clone()], ..Settings::default() };
    let daemon = Daemon::launch(&net, &daemon::binary()?, &settings)?;
    let siege = Siege::begin(&net)?;
    let directory = fail2ban.package.directory().display().to_string();
    wait::until("both in its database", LIMIT, || {
        match daemon.cli(&["import", "fail2ban", &directory, "--list-bans"]) {
            Ok(found) if found.stdout.contains(&stranger) && found.stdout.contains(&villain) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })?;

    let told = daemon.cli(&["import", "fail2ban", &directory, "--bans"])?;

    let all = format!("{}{}", told.stdout, told.stderr);
    ensure!(told.code == Some(1) && all.contains(&stranger) && all.contains("allow-listed"), "{told:?}");
    daemon.await_ban(VILLAIN, LIMIT)?;
    siege.settle()?;
    siege.holds_for(Duration::from_millis(300))?;
    never_banned(&daemon, STRANGER)
}

/// Each kind of address that nobody has to configure: refused when it is banned by command, and not banned for what a log says.
#[test]
fn what_the_machine_needs_to_hear_is_banned_neither_by_command_nor_by_log() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let resolver = daemon.directory().join("resolv.conf");
    fs::write(&resolver, "search example.org\nnameserver 198.51.100.53\nnameserver 2001:db8:2::53\n")?;
    let bind = "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"";
    daemon.start_confined(&["unshare", "--mount", "sh", "-c", bind, &resolver.display().to_string()])?;
    let never = [
        // An own address as well.
        ("127.0.0.1", "refused"),
        ("::1", "refused"),
        ("127.9.9.9", "a loopback address"),
        ("169.254.10.1", "a link-local address"),
        ("fe80::9", "a link-local address"),
        ("224.0.0.1", "a multicast address"),
        ("ff02::1", "a multicast address"),
        ("192.0.2.10", "an address of this machine"),
        ("2001:db8:1::10", "an address of this machine"),
        ("192.0.2.1", "a gateway"),
        ("2001:db8:1::1", "a gateway"),
        ("198.51.100.53", "a name server"),
        ("2001:db8:2::53", "a name server"),
    ];

    for (addr, why) in never {
        let exactly = if addr.contains(':') { format!("{addr}/128") } else { addr.to_owned() };
        let refused = daemon.cli(&["ban", &exactly])?;
        ensure!(refused.code == Some(1) && refused.stdout.contains(why), "{addr}, {why}: {refused:?}");
        daemon.log().append(lines::refused(addr.parse()?, 50).as_bytes())?;
    }
    let marker = "203.0.113.6".parse()?;
    daemon.log().append(lines::refused(marker, 5).as_bytes())?;
    daemon.await_ban(marker, LIMIT)?;

    for (addr, _) in never {
        never_banned(&daemon, addr.parse()?)?;
    }
    Ok(())
}

/// That no ban is of `addr` itself; wider ones leave it out.
fn never_banned(daemon: &Daemon<'_>, addr: IpAddr) -> Result<()> {
    let own = addr.to_string();
    let bans: Vec<String> = daemon.bans()?.into_iter().map(|ban| ban.prefix).collect();
    let kernel: Vec<String> = daemon.kernel_bans()?.into_iter().map(|ban| ban.prefix).collect();
    ensure!(!bans.contains(&own) && !kernel.contains(&own), "{own} in {bans:?} or {kernel:?}");
    ensure!(bans.iter().filter(|prefix| covers(prefix, addr)).all(|prefix| prefix.contains('/')), "{bans:?}");
    Ok(())
}
