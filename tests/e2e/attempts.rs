//! As many attempts count as passwords were tried, however the services tell of them; and a login forgives its user.
//!
//! Real servers, real clients: what is counted is compared with what was sent.

use std::{fs, net::IpAddr, time::Duration};

use anyhow::{Context, Result, anyhow, ensure};
use blocker_tests::{
    attackers::{self, Service},
    clock,
    daemon::{self, Daemon, Settings, covers},
    dovecot::{ALICE, BOB, Dovecot, Extras, Pace},
    legitimate, lines,
    log_file::Entry,
    netns::{ACCOMPLICE_V4, ATTACKER_V4, ATTACKER_V6, Host, Net, SERVER_V4, SERVER_V6},
    postfix::{self, Postfix},
    process::Process,
    wait,
};

use crate::siege::LIMIT;

/// Until all clients are through.
const MANY_GUESSES: Duration = Duration::from_secs(150);

/// Nobody is banned: everything is counted.
fn lenient() -> Settings {
    Settings { max_retry: 1_000, ..Settings::default() }
}

#[test]
fn as_many_attempts_count_as_passwords_were_tried_with_auth_verbose_and_without() -> Result<()> {
    for is_verbose in [false, true] {
        let net = Net::new()?;
        let daemon = Daemon::launch(&net, &daemon::binary()?, &lenient())?;
        let extras = Extras { is_verbose, ..Extras::default() };
        let _dovecot = Dovecot::start_with(&net, daemon.log(), Pace::Brisk, extras)?;

        let tried = guess_everywhere(&net, &daemon)?;

        // Only then is every connection over, and every line about it written.
        wait::until("the ends of all connections", LIMIT, || {
            let told: u32 = daemon.log().entries_from(0).iter().map(Entry::refused_passwords).sum();
            if told == tried { Ok(()) } else { Err(format!("{told} of {tried} passwords are told of")) }
        })?;
        // The third one tried by hand is no user's name.
        let is_at_once = |entry: &&Entry| {
            ["): Password mismatch", "): Username character disallowed"].iter().any(|text| entry.text.contains(text))
        };
        let at_once = daemon.log().entries_from(0).iter().filter(is_at_once).count();
        assert_eq!(at_once, if is_verbose { tried as usize } else { 0 }, "as many lines more");
        await_attempts(&daemon, "dovecot", tried)?;
    }
    Ok(())
}

/// Every client tries wrong passwords: how many.
fn guess_everywhere(net: &Net, daemon: &Daemon<'_>) -> Result<u32> {
    let imap = attackers::password_list(daemon.directory(), "imap", 12)?;
    let pop3 = attackers::password_list(daemon.directory(), "pop3", 5)?;
    let hydra = |host, service, list, tasks| {
        Process::spawn("hydra", attackers::hydra(net, host, (service, SERVER_V4), BOB.user, list, tasks))
    };
    let mut programs =
        vec![hydra(Host::Attacker, Service::Imap, &imap, 4)?, hydra(Host::Accomplice, Service::Pop3, &pop3, 1)?];
    for (service, number) in [(Service::Imap, 1), (Service::Pop3, 2), (Service::Imap, 3)] {
        let password = format!("curl-guess-{number}");
        let target = (service, SERVER_V6);
        let guess = attackers::curl(net, Host::Attacker, ATTACKER_V6, target, BOB.user, &password, LIMIT);
        programs.push(Process::spawn("curl", guess)?);
    }
    let on_one_connection = net.spawn(Host::Accomplice, || {
        legitimate::guess(SERVER_V4, &[("bob", "a"), ("alice", "b"), ("nobody at all", "c"), ("bob", "d (e)")])
    })?;
    let by_hand = on_one_connection.join().map_err(|_| anyhow!("the client's thread panicked"))??;
    assert_eq!(by_hand, 4, "each was refused");
    for program in &mut programs {
        program.wait(MANY_GUESSES)?;
    }
    // What was in the lists, and what curl was told.
    Ok(12 + 5 + 3 + by_hand)
}

/// Waits until all that has been logged is judged, and compares.
fn await_attempts(daemon: &Daemon<'_>, jail: &str, expected: u32) -> Result<()> {
    let marker: IpAddr = "203.0.113.200".parse()?;
    let before = daemon.status()?.jail("dovecot").failures;
    daemon.log().append(lines::refused(marker, 1).as_bytes())?;
    wait::until_true(
        "a line behind all others to be judged",
        LIMIT,
        || daemon.status().is_ok_and(|status| status.jail("dovecot").failures > before),
        || format!("{:?}", daemon.status()),
    )?;
    let marked = if jail == "dovecot" { 1.0 } else { 0.0 };
    let counted = daemon.status()?.jail(jail).attempts - marked;
    ensure!(
        (counted - f64::from(expected)).abs() < 0.01,
        "{expected} passwords were tried, {jail} counts {counted}:\n{}",
        daemon.log().entries_from(0).iter().map(|entry| format!("{}\n", entry.text)).collect::<String>()
    );
    Ok(())
}

#[test]
fn a_login_forgives_what_its_user_failed_at_there_and_no_guess_at_others() -> Result<()> {
    for is_verbose in [false, true] {
        let net = Net::new()?;
        let daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
        let extras = Extras { is_verbose, ..Extras::default() };
        let _dovecot = Dovecot::start_with(&net, daemon.log(), Pace::Brisk, extras)?;
        let guess = |user: &'static str, number: u32| -> Result<()> {
            let password = format!("guess {number}");
            let target = (Service::Imap, SERVER_V4);
            let command = attackers::curl(&net, Host::Attacker, ATTACKER_V4, target, user, &password, LIMIT);
            Process::spawn("curl", command)?.wait(LIMIT)?;
            Ok(())
        };
        let counts = |number: f64| {
            wait::until("the guesses to be counted", LIMIT, || {
                let counted = daemon.status().map_err(|error| format!("{error:#}"))?.jail("dovecot").attempts;
                if counted >= number { Ok(()) } else { Err(format!("{counted} of {number}")) }
            })
        };
        for (user, number) in [(ALICE.user, 1), (BOB.user, 2), (ALICE.user, 3), (BOB.user, 4)] {
            guess(user, number)?;
        }
        counts(4.0)?;
        let logs_in = net.spawn(Host::Attacker, || legitimate::log_in(SERVER_V4, ALICE))?;
        logs_in.join().map_err(|_| anyhow!("the client's thread panicked"))??;
        wait::until("alice's slips to be forgiven", LIMIT, || {
            let forgiven = daemon.status().map_err(|error| format!("{error:#}"))?.jail("dovecot").forgiven;
            if (forgiven - 2.0).abs() < 0.01 { Ok(()) } else { Err(format!("{forgiven} of 2")) }
        })?;

        guess(BOB.user, 5)?;
        guess(BOB.user, 6)?;
        counts(6.0)?;
        assert!(daemon.bans()?.is_empty(), "four guesses at bob are below five: {:?}", daemon.bans());
        guess(BOB.user, 7)?;
        let ban = daemon.await_ban(ATTACKER_V4, LIMIT)?;
        assert!((ban.attempts - 5.0).abs() < 0.01, "those at bob, all of them: {ban:?}");
        assert!(!covers(&ban.prefix, ACCOMPLICE_V4));
    }
    Ok(())
}

#[test]
fn passwords_that_postfix_asks_dovecot_for_count_once_in_each_jail_and_a_message_sent_forgives() -> Result<()> {
    for is_verbose in [false, true] {
        let net = Net::new()?;
        let mut daemon = Daemon::configure(&net, &daemon::binary()?, &lenient())?;
        let postfix = format!(
            "[jails.postfix]\nlog = [\"{}\"]\nmax_retry = 1000\nports = [\"smtp\"]\n",
            daemon.log().path().display()
        );
        daemon.write_configuration(&(daemon.configuration(&lenient()) + &postfix))?;
        daemon.start()?;
        let extras = Extras { is_verbose, has_sasl: true };
        let dovecot = Dovecot::start_with(&net, daemon.log(), Pace::Brisk, extras)?;
        let postfix = Postfix::start(&net, daemon.log(), &dovecot.sasl())?;
        let message = daemon.directory().join("message");
        fs::write(&message, "Subject: x\r\n\r\nx\r\n")?;
        let submit = |user, password: &str| postfix::submit(&net, Host::Attacker, user, password, &message);

        for number in 0..3 {
            ensure!(!submit(ALICE.user, &format!("slip {number}"))?, "it is refused");
            ensure!(!submit(BOB.user, &format!("guess {number}"))?, "it is refused");
        }
        await_attempts(&daemon, "postfix", 6).with_context(|| postfix.printed())?;
        await_attempts(&daemon, "dovecot", if is_verbose { 6 + 1 } else { 1 })?;

        ensure!(submit(ALICE.user, ALICE.password)?, "the right password");
        wait::until("alice's slips to be forgiven", LIMIT, || {
            let forgiven = daemon.status().map_err(|error| format!("{error:#}"))?.jail("postfix").forgiven;
            if (forgiven - 3.0).abs() < 0.01 { Ok(()) } else { Err(format!("{forgiven} of 3\n{}", postfix.printed())) }
        })?;
    }
    Ok(())
}

#[test]
fn what_was_told_before_a_restart_or_a_kill_is_not_counted_again_after_it() -> Result<()> {
    for is_killed in [false, true] {
        let net = Net::new()?;
        let mut daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
        let (source, marker): (IpAddr, IpAddr) = ("203.0.113.5".parse()?, "203.0.113.200".parse()?);
        let stamp = clock::log_stamp();
        let auth =
            |session| format!("{stamp} mx1 dovecot: auth: passwd-file(bob,{source},<{session}>): Password mismatch");
        for _ in 0..3 {
            daemon.log().append(auth("abc").as_bytes())?;
        }
        wait::until("the lines to be judged", LIMIT, || {
            let counted = daemon.status().map_err(|error| format!("{error:#}"))?.jail("dovecot").failures;
            if counted == 3 { Ok(()) } else { Err(format!("{counted} of 3")) }
        })?;
        if is_killed {
            daemon.kill9()?;
        } else {
            daemon.stop()?;
        }

        // Of the four on the connection three were counted.
        let ended = lines::refused_for("bob", source, 4);
        let ended = ended.split(", session=").next().unwrap_or_default();
        daemon.log().append(format!("{ended}, session=<abc>").as_bytes())?;
        daemon.log().append(lines::refused(marker, 5).as_bytes())?;
        daemon.start()?;
        daemon.await_ban(marker, LIMIT)?;
        let bans = daemon.bans()?;
        assert!(!bans.iter().any(|ban| covers(&ban.prefix, source)), "four attempts are below five: {bans:?}");

        daemon.log().append(auth("abd").as_bytes())?;
        let ban = daemon.await_ban(source, LIMIT)?;
        assert!((ban.attempts - 5.0).abs() < 0.01, "{ban:?}");
    }
    Ok(())
}
