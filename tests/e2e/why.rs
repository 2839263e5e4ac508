//! `blocker why`: the story of an address, before its ban, during and after it, over crashes; and nothing in it that harms who reads.

use anyhow::{Context, Result, ensure};
use blocker_tests::{
    daemon::{self, Daemon, Settings},
    lines,
    netns::Net,
    process::Finished,
    wait,
};
use serde_json::Value;

use crate::{
    groups::{CHANGE, RunAs as _, USER, Who, gid, share},
    memory::reboot,
    siege::{LIMIT, Siege, VILLAIN},
};

#[test]
fn the_story_is_told_before_during_and_after_a_ban_and_outlives_crashes_and_a_reboot() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    let siege = Siege::begin(&net)?;
    let villain = VILLAIN.to_string();

    let first = lines::refused(VILLAIN, 3);
    daemon.log().append(first.as_bytes())?;
    let before = await_verdict(&daemon, &villain, "counted")?;
    let count = &before["counts"][0];
    assert_eq!((&count["jail"], &count["count"], &count["max_retry"]), (&"dovecot".into(), &3.0.into(), &5.into()));
    assert_eq!((&count["find_time"], &count["evidence"][0]["line"]), (&"10m".into(), &first.clone().into()));
    let told = text(&daemon, &villain)?;
    ensure!(told.starts_with(&format!("{villain} is not banned: it has failed, and not often enough\n")), "{told}");
    ensure!(told.contains("3 of 5 attempts in 10m in jail dovecot") && told.contains(&first), "{told}");

    daemon.kill9()?;
    daemon.start()?;
    let after_crash = json(&daemon, &villain)?;
    assert_eq!(after_crash["counts"][0]["count"], 3.0, "the count is kept: {after_crash}");

    let last = lines::refused(VILLAIN, 2);
    daemon.log().append(last.as_bytes())?;
    daemon.await_drop(VILLAIN, LIMIT)?;
    siege.settle()?;
    daemon.kill9()?;
    daemon.start()?;
    reboot(&mut daemon)?;
    daemon.await_drop(VILLAIN, LIMIT)?;
    let during = json(&daemon, &villain)?;
    assert_eq!(during["verdict"], "banned");
    let ban = &during["bans"][0];
    assert_eq!((&ban["jail"], &ban["origin"]), (&"dovecot".into(), &"log".into()));
    assert_eq!((&ban["attempts"], &ban["max_retry"], &ban["find_time"]), (&5.0.into(), &5.into(), &"10m".into()));
    let line = &ban["evidence"][0];
    assert_eq!((&line["line"], &line["user"], &line["count"]), (&last.clone().into(), &"alice".into(), &5.0.into()));
    assert_eq!((&line["filter"], &line["pattern"]), (&"dovecot".into(), &"auth failed".into()));
    ensure!(ban["dropped"]["packets"].as_u64() > Some(0) && ban["dropped"]["last_ago_s"].as_u64() < Some(60), "{ban}");
    let told = text(&daemon, &villain)?;
    for words in
        ["is banned\n", "banned by jail dovecot until ", "5 of 5 attempts in 10m", "packets dropped since: ", &last]
    {
        ensure!(told.contains(words), "{words} in {told}");
    }
    ensure!(told.ends_with(&format!("to let it in again: blocker unban {villain}\n")), "{told}");

    daemon.cli(&["unban", &villain])?.success()?;
    for _ in 0..2 {
        let after = json(&daemon, &villain)?;
        assert_eq!((&after["verdict"], after["past"].as_array().map(Vec::len)), (&"not-banned".into(), Some(1)));
        let past = &after["past"][0];
        assert_eq!((&past["how"], &past["lifted_by_uid"]), (&"command".into(), &0.into()));
        assert_eq!(past["evidence"][0]["line"], last);
        let told = text(&daemon, &villain)?;
        ensure!(told.contains("lifted by hand at ") && told.contains(" by root (user 0)"), "{told}");
        reboot(&mut daemon)?;
    }
    Ok(())
}

#[test]
fn a_ban_that_has_ended_says_when_and_the_next_one_what_was_before() -> Result<()> {
    let net = Net::new()?;
    let settings = Settings { ban_time: "1s".into(), ..Settings::default() };
    let daemon = Daemon::launch(&net, &daemon::binary()?, &settings)?;
    let villain = VILLAIN.to_string();
    for times in 1..=2 {
        // What was logged as the ban began was made before it.
        wait::until("a ban, and its end", LIMIT, || {
            let known = json(&daemon, &villain).map_err(|error| format!("{error:#}"))?;
            if known["past"].as_array().map(Vec::len) == Some(times) {
                return Ok(());
            }
            if known["bans"].as_array().is_some_and(Vec::is_empty)
                && known["past"].as_array().map(Vec::len) < Some(times)
            {
                daemon.log().append(lines::refused(VILLAIN, 5).as_bytes()).map_err(|error| error.to_string())?;
            }
            Err(known.to_string())
        })?;
    }

    let known = json(&daemon, &villain)?;
    ensure!(known["past"][0]["how"] == "over" && known["past"][0]["ended"].is_string(), "{known}");
    let earlier = known["earlier"][0]["bans"].as_u64();
    ensure!(earlier >= Some(2), "{known}");
    ensure!(text(&daemon, &villain)?.contains("earlier bans, the last one first:\n"));
    Ok(())
}

#[test]
fn a_ban_by_hand_says_by_whom_and_why_to_whomever_it_covers() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    share(&daemon, CHANGE, "adm")?;
    daemon.start()?;
    daemon
        .cli(&["ban", "198.51.100.0/24", "2001:db8:3:9::1", "--for", "3d", "--reason", "spam\u{1b}[2J"])?
        .success()?;
    as_operator(&daemon, &net, &["ban", "198.51.100.7", "--jail", "dovecot"])?.success()?;

    for _ in 0..2 {
        let known = json(&daemon, "2001:db8:3:9::77")?;
        assert_eq!((&known["verdict"], &known["prefix"]), (&"banned".into(), &"2001:db8:3:9::/64".into()));
        let ban = &known["bans"][0];
        assert_eq!((&ban["by_uid"], &ban["reason"]), (&0.into(), &"spam\u{1b}[2J".into()));
        let told = text(&daemon, "2001:db8:3:9::77")?;
        ensure!(told.contains(r#"by hand, by root (user 0): "spam\u{1b}[2J""#), "{told}");
        ensure!(told.contains("all ports are closed") && told.contains("whole network 2001:db8:3:9::/64"), "{told}");

        let known = json(&daemon, "198.51.100.7")?;
        let bans: Vec<_> =
            known["bans"].as_array().context("bans")?.iter().map(|ban| (&ban["jail"], &ban["by_uid"])).collect();
        assert_eq!(bans, [(&"dovecot".into(), &USER.into()), (&"manual".into(), &0.into())], "the narrowest first");
        ensure!(text(&daemon, "198.51.100.7")?.contains(&format!("by hand, by user {USER}, no reason given")));

        let known = json(&daemon, "198.51.0.0/16")?;
        assert_eq!((&known["banned_inside"], &known["verdict"]), (&2.into(), &"not-banned".into()));
        let told = text(&daemon, "198.51.0.0/16")?;
        ensure!(told.contains("banned inside: 2\n") && told.contains("198.51.100.7 by jail dovecot until "), "{told}");
        reboot(&mut daemon)?;
    }
    daemon.cli(&["ban", "203.0.113.200", "203.0.113.201"])?.success()?;
    as_operator(&daemon, &net, &["unban", "203.0.113.200"])?.success()?;
    as_operator(&daemon, &net, &["unban", "--all"])?.success()?;
    for lifted in ["203.0.113.200", "203.0.113.201", "198.51.100.7"] {
        assert_eq!(json(&daemon, lifted)?["past"][0]["lifted_by_uid"], USER, "{lifted}");
    }
    Ok(())
}

#[test]
fn who_is_not_banned_is_told_why_not_and_what_is_no_address_is_refused() -> Result<()> {
    let net = Net::new()?;
    let settings = Settings { allow: vec!["203.0.113.64/28".into()], ..Settings::default() };
    let mut daemon = Daemon::launch(&net, &daemon::binary()?, &settings)?;
    let villain = VILLAIN.to_string();
    for _ in 0..3 {
        daemon.log().append(lines::refused(VILLAIN, 5).as_bytes())?;
    }
    let marker = "203.0.113.9".parse()?;
    daemon.log().append(lines::refused(marker, 5).as_bytes())?;
    daemon.await_ban(marker, LIMIT)?;

    let known = json(&daemon, &villain)?;
    assert_eq!((&known["verdict"], &known["allowed"]["prefix"]), (&"allowed".into(), &"203.0.113.64/28".into()));
    let told = text(&daemon, &villain)?;
    let never = "is not banned, and never will be: 203.0.113.64/28 is allowed by the configuration\n";
    assert_eq!(told, format!("{villain} {never}"));
    daemon.cli(&["ban", "203.0.113.0/24"])?.success()?;
    let told = text(&daemon, &villain)?;
    ensure!(told.contains("is let through, although it lies in what is banned"), "{told}");
    let told = text(&daemon, "203.0.113.0/24")?;
    ensure!(told.contains("never dropped inside, by the allowlist: 203.0.113.64/28"), "{told}");

    let told = text(&daemon, "192.0.2.200")?;
    ensure!(told.starts_with("192.0.2.200 is not banned: nothing counts against it\n"), "{told}");
    ensure!(told.contains("no jail has counted a failure of it lately; these judge lines: dovecot"), "{told}");

    for nonsense in ["mail.example.org", "203.0.113.256", "::/0", ""] {
        let refused = daemon.cli(&["why", nonsense])?;
        ensure!(refused.code == Some(2) && refused.stdout.is_empty(), "{nonsense}: {refused:?}");
    }
    daemon.stop()?;
    assert_eq!(daemon.cli(&["why", &villain])?.code, Some(3));
    Ok(())
}

#[test]
fn hostile_lines_harm_nobody_who_reads_them() -> Result<()> {
    let net = Net::new()?;
    let daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let longest =
        daemon.configuration(&Settings::default()).replace("[daemon]\n", "[daemon]\nmax_line_bytes = 65536\n");
    daemon.write_configuration(&longest)?;
    let mut daemon = daemon;
    daemon.start()?;
    let long = "A".repeat(60_000);
    let names = [
        "\u{1b}[2J\u{1b}]0;owned\u{7}\u{1b}[31m".to_owned(),
        "nul\0and\u{8}\u{7f}\u{9b}31m\u{202e}".to_owned(),
        "quote\"'\\ü".to_owned(),
        long,
    ];
    for (number, name) in (1..).zip(&names) {
        let source = std::net::Ipv4Addr::new(203, 0, 113, number).into();
        let mut line = lines::refused_for(name, source, 5).into_bytes();
        if let Some(at) = line.windows(3).position(|bytes| bytes == b"nul") {
            line[at] = 0xff;
        }
        daemon.log().append(&line)?;
        daemon.await_ban(source, LIMIT)?;
        let known = daemon.cli(&["why", "--json", &source.to_string()])?.success()?.stdout;
        ensure!(known.trim_end().bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{known:?}");
        let told: Value = serde_json::from_str(&known)?;
        let line = String::from_utf8_lossy(&line).into_owned();
        let kept = told["bans"][0]["evidence"][0]["line"].as_str().context("a line")?;
        let is_cut = told["bans"][0]["evidence"][0]["is_cut"] == true;
        ensure!(line.starts_with(kept) && (is_cut == (line.len() > 512)) && kept.len() <= 512, "{kept:?} of {line:?}");

        let told = text(&daemon, &source.to_string())?;
        let is_harmless = |c: char| c == '\n' || !c.is_control() && c != '\u{202e}';
        ensure!(told.chars().all(is_harmless), "{told:?}");
        ensure!(told.lines().all(|line| line.len() < 2_000), "{told:?}");
    }
    daemon.check_alive()
}

fn await_verdict(daemon: &Daemon<'_>, whom: &str, verdict: &str) -> Result<Value> {
    wait::until(&format!("{whom} to be {verdict}"), LIMIT, || {
        let known = json(daemon, whom).map_err(|error| format!("{error:#}"))?;
        if known["verdict"] == verdict { Ok(known) } else { Err(format!("{known}\n{}", daemon.printed())) }
    })
}

fn json(daemon: &Daemon<'_>, whom: &str) -> Result<Value> {
    let finished = daemon.cli(&["why", "--json", whom])?.success()?;
    serde_json::from_str(&finished.stdout).with_context(|| finished.stdout)
}

fn text(daemon: &Daemon<'_>, whom: &str) -> Result<String> {
    Ok(daemon.cli(&["why", whom])?.success()?.stdout)
}

/// Runs a command as a user without a name who is in the group that may do everything.
fn as_operator(daemon: &Daemon<'_>, net: &Net, arguments: &[&str]) -> Result<Finished> {
    daemon.run_as(net, &Who { gid: gid(CHANGE)?, groups: Vec::new() }, arguments)
}
