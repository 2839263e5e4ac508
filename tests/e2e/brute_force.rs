//! Whoever guesses passwords loses the mail ports, and nobody else loses anything.

use anyhow::Result;
use blocker_tests::{
    clock,
    daemon::{self, Daemon, Settings, covers},
    dovecot::Pace,
    lab, lines,
    netns::{Host, Net, SERVER_V4},
    probe, wait,
};

use crate::siege::LIMIT;

#[test]
fn attackers_lose_the_mail_ports_and_nobody_else_loses_anything() -> Result<()> {
    let report = lab::run(&daemon::binary()?, &lab::Options { pace: Pace::Brisk, aloud: false })?;

    assert_eq!(report.broken_promises(), Vec::<String>::new());
    assert_eq!(report.attackers.len(), 3, "hydra on IMAP, hydra on POP3, curl over IPv6");
    assert!(report.legitimate.logins > 0, "the legitimate user logged in");
    for attacker in &report.attackers {
        assert!(attacker.dropped > 0, "{attacker:?}: packets were dropped");
        assert!(!attacker.delay.is_zero(), "{attacker:?}: nothing was dropped before the line that made the ban");
    }
    let hydra_pop3 = &report.attackers[1];
    assert_eq!((hydra_pop3.lines, hydra_pop3.refused), (1, 5), "five passwords on one connection are one line");
    Ok(())
}

#[test]
fn attempts_are_counted_not_lines() -> Result<()> {
    let net = Net::new()?;
    let daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    let (one_line, one_short) = ("203.0.113.5".parse()?, "203.0.113.4".parse()?);

    daemon.log().append(lines::refused(one_short, 4).as_bytes())?;
    daemon.log().append(lines::refused(one_line, 5).as_bytes())?;

    let ban = daemon.await_ban(one_line, LIMIT)?;
    assert_eq!((ban.attempts, ban.jail.as_str(), ban.origin.as_str()), (5.0, "dovecot", "log"));
    assert!(!daemon.bans()?.iter().any(|ban| covers(&ban.prefix, one_short)), "four attempts are below five");

    daemon.log().append(lines::refused(one_short, 1).as_bytes())?;
    assert!((daemon.await_ban(one_short, LIMIT)?.attempts - 5.0).abs() < f64::EPSILON, "the fifth attempt");
    let status = daemon.status()?;
    let jail = status.jail("dovecot");
    assert_eq!((jail.failures, jail.attempts, jail.bans), (3, 10.0, 2), "three lines, ten attempts, two bans");
    Ok(())
}

#[test]
fn an_attempt_outside_the_window_does_not_count() -> Result<()> {
    let net = Net::new()?;
    let settings = Settings { find_time: "1s".into(), ..Settings::default() };
    let daemon = Daemon::launch(&net, &daemon::binary()?, &settings)?;
    let source = "203.0.113.5".parse()?;

    daemon.log().append(lines::refused(source, 4).as_bytes())?;
    wait::until_true(
        "the line to be counted",
        LIMIT,
        || daemon.status().is_ok_and(|status| status.jail("dovecot").failures == 1),
        || format!("{:?}", daemon.status()),
    )?;
    // The line was judged by now, whenever it was written.
    let judged_ns = clock::boot_ns();
    wait::until_true("the window to pass", LIMIT, || clock::boot_ns() > judged_ns + 1_200_000_000, String::new)?;
    daemon.log().append(lines::refused(source, 4).as_bytes())?;
    let marker = "203.0.113.6".parse()?;
    daemon.log().append(lines::refused(marker, 5).as_bytes())?;
    daemon.await_ban(marker, LIMIT)?;

    assert!(!daemon.bans()?.iter().any(|ban| covers(&ban.prefix, source)), "four attempts, and four a window later");
    Ok(())
}

#[test]
fn an_ipv6_ban_takes_the_whole_64_and_no_more() -> Result<()> {
    let net = Net::new()?;
    let daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    daemon.log().append(lines::refused("2001:db8:3:9::1".parse()?, 3).as_bytes())?;
    daemon.log().append(lines::refused("2001:db8:3:9:ffff::2".parse()?, 2).as_bytes())?;

    let ban = daemon.await_ban("2001:db8:3:9::7".parse()?, LIMIT)?;

    assert_eq!(ban.prefix, "2001:db8:3:9::/64", "two addresses of one /64 are one attacker");
    assert!(!daemon.bans()?.iter().any(|ban| covers(&ban.prefix, "2001:db8:3:a::1".parse().unwrap())));
    Ok(())
}

#[test]
fn ipv6_is_counted_and_banned_by_the_length_that_is_set() -> Result<()> {
    let net = Net::new()?;
    let daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let narrow = daemon.configuration(&Settings::default()).replacen("[daemon]\n", "[daemon]\nipv6_prefix = 128\n", 1);
    daemon.write_configuration(&narrow)?;
    let mut daemon = daemon;
    daemon.start()?;
    daemon.log().append(lines::refused("2001:db8:3:9::1".parse()?, 3).as_bytes())?;
    daemon.log().append(lines::refused("2001:db8:3:9::2".parse()?, 5).as_bytes())?;
    daemon.await_ban("2001:db8:3:9::2".parse()?, LIMIT)?;
    let banned: Vec<String> = daemon.kernel_bans()?.into_iter().map(|ban| ban.prefix).collect();
    assert_eq!(banned, ["2001:db8:3:9::2"], "each address for itself");

    daemon.write_configuration(&narrow.replacen("ipv6_prefix = 128", "ipv6_prefix = 56", 1))?;
    daemon.cli(&["reload"])?.success()?;
    daemon.log().append(lines::refused("2001:db8:4:1::1".parse()?, 3).as_bytes())?;
    daemon.log().append(lines::refused("2001:db8:4:2::1".parse()?, 2).as_bytes())?;
    wait::until("the ban of a /56", LIMIT, || {
        let bans = daemon.bans().map_err(|error| format!("{error:#}"))?;
        if bans.iter().any(|ban| ban.prefix == "2001:db8:4::/56") { Ok(()) } else { Err(format!("{bans:?}")) }
    })?;
    daemon.kill9()?;
    let lifted = daemon.cli(&["unban", "--kernel", "2001:db8:4:7::7"])?.success()?;
    assert_eq!(lifted.stdout, "2001:db8:4::/56: unbanned\n");
    Ok(())
}

#[test]
fn a_ban_ends_at_its_deadline() -> Result<()> {
    let net = Net::new()?;
    // Long enough for a slow machine to find the port closed before it opens again.
    let settings = Settings { ban_time: "8s".into(), ..Settings::default() };
    let daemon = Daemon::launch(&net, &daemon::binary()?, &settings)?;
    let _service = blocker_tests::listener::Listener::start(&net, 143)?;
    let imap = std::net::SocketAddr::new(SERVER_V4, 143);
    assert!(probe::connects(&net, Host::Attacker, imap), "before the ban the port is open");

    daemon.log().append(lines::refused(blocker_tests::netns::ATTACKER_V4, 5).as_bytes())?;
    wait::until_true("the port to close", LIMIT, || !probe::connects(&net, Host::Attacker, imap), String::new)?;

    wait::until_true("the port to open again", LIMIT, || probe::connects(&net, Host::Attacker, imap), String::new)?;
    wait::until_true(
        "the ban to leave the list",
        LIMIT,
        || daemon.bans().is_ok_and(|bans| bans.is_empty()),
        || format!("{:?}", daemon.bans()),
    )
}
