//! `blocker report`: what happened, with the daemon and without it; as text, as objects and as a page; and with names that would harm
//! who reads.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
};

use anyhow::{Context, Result, ensure};
use blocker_tests::{
    daemon::{self, Daemon, Settings},
    lines,
    netns::{Net, SERVER_V4},
    wait,
};
use serde_json::Value;

use crate::siege::{LIMIT, VILLAIN};

const HOSTILE: &str = "\u{1b}[2J</td><script>alert(1)</script><img src=x onerror=alert(2)>\u{202e}&\"'";

#[test]
fn what_happened_is_told_with_the_daemon_and_without_it_and_harms_nobody_who_reads() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    daemon.log().append(lines::refused_for(HOSTILE, VILLAIN, 5).as_bytes())?;
    daemon.await_ban(VILLAIN, LIMIT)?;
    daemon.cli(&["ban", "198.51.100.0/24", "--for", "forever", "--reason", HOSTILE])?.success()?;

    let with_daemon = json(&daemon)?;
    ensure!(with_daemon["bans"]["made"] == 2 && with_daemon["bans"]["by_log"] == 1, "{with_daemon}");
    ensure!(with_daemon["daemon"]["in_force"]["ipv4"] == 1 && with_daemon["daemon"]["held_bans"] == 0, "{with_daemon}");
    ensure!(with_daemon["users"][0]["user"] == HOSTILE, "{with_daemon}");
    ensure!(with_daemon["networks"][0]["network"] == "203.0.113.0/24", "{with_daemon}");
    ensure!(with_daemon["longest"][0]["until"] == "forever", "{with_daemon}");
    ensure!(with_daemon["times"].as_array().is_some_and(|times| times.len() >= 24), "{with_daemon}");
    check_text(&daemon.cli(&["report"])?.success()?.stdout, "now in force: 1 IPv4, 0 IPv6, 1 networks")?;
    check_page(&daemon, "with.html")?;

    for is_crash in [false, true] {
        if is_crash {
            daemon.kill9()?;
        } else {
            daemon.stop()?;
        }
        let database = daemon.directory().join("state/blocker.db");
        let before = fs::read(&database)?;
        let without = json(&daemon)?;
        for key in ["bans", "users", "networks", "longest", "jails", "offenders"] {
            ensure!(without[key] == with_daemon[key], "{key}: {without}");
        }
        ensure!(without["daemon"].is_null(), "{without}");
        check_text(&daemon.cli(&["report", "--since", "7d"])?.success()?.stdout, "the daemon does not run")?;
        check_page(&daemon, "without.html")?;
        ensure!(fs::read(&database)? == before, "the database is read and not written");
        daemon.start()?;
        ensure!(daemon.bans()?.len() == 2, "and the daemon goes on from it");
    }
    daemon.check_alive()
}

#[test]
fn who_was_banned_and_logs_in_after_all_is_named_as_perhaps_no_attacker() -> Result<()> {
    let net = Net::new()?;
    let mut daemon =
        Daemon::launch(&net, &daemon::binary()?, &Settings { ban_time: "1s".into(), ..Settings::default() })?;
    daemon.log().append(lines::refused(VILLAIN, 5).as_bytes())?;
    wait::until("the ban, and its end", LIMIT, || {
        let told = json(&daemon).map_err(|error| format!("{error:#}"))?;
        if told["bans"]["made"] == 1 && told["bans"]["in_force"] == 0 { Ok(()) } else { Err(told.to_string()) }
    })?;
    ensure!(json(&daemon)?["suspects"] == Value::Array(Vec::new()));

    for _ in 0..2 {
        let line = format!(
            "Nov 27 03:00:00 mx1 dovecot: imap-login: Login: user=<alice>, method=PLAIN, rip={VILLAIN}, lip={SERVER_V4}, mpid=7, TLS"
        );
        daemon.log().append(line.as_bytes())?;
    }

    let told = wait::until("the login to be told", LIMIT, || {
        let told = json(&daemon).map_err(|error| format!("{error:#}"))?;
        if told["suspects"][0]["why"] == "logged-in" { Ok(told) } else { Err(format!("{told}\n{}", daemon.printed())) }
    })?;
    let suspects = told["suspects"].as_array().context("a list")?;
    ensure!(suspects.len() == 1 && suspects[0]["prefix"] == VILLAIN.to_string(), "{told}");
    ensure!(suspects[0]["user"] == "alice" && suspects[0]["at"].is_string(), "{told}");
    daemon.stop()?;
    let text = daemon.cli(&["report"])?.success()?.stdout;
    ensure!(text.contains("perhaps no attackers") && text.contains("logged in after it began at"), "{text}");
    Ok(())
}

#[test]
fn what_cannot_be_reported_or_written_is_said_in_a_line() -> Result<()> {
    let net = Net::new()?;
    let daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let said = |arguments: &[&str], code, words: &str| -> Result<()> {
        let refused = daemon.cli(arguments)?;
        ensure!(refused.code == Some(code) && refused.stdout.is_empty(), "{arguments:?}: {refused:?}");
        ensure!(refused.stderr.contains(words), "{arguments:?}: {refused:?}");
        Ok(())
    };
    said(&["report"], 3, "no daemon has run")?;
    said(&["report", "--since", "11w2y"], 2, "--since")?;
    said(&["report", "--since", "600w"], 2, "ten years")?;

    let mut daemon = daemon;
    daemon.start()?;
    let target = daemon.directory().join("target");
    fs::write(&target, "kept")?;
    symlink(&target, daemon.directory().join("link.html"))?;
    for (name, words) in [("link.html", "no regular file"), ("none/x.html", "writing"), ("run", "no regular file")] {
        let path = daemon.directory().join(name).display().to_string();
        let refused = daemon.cli(&["report", "--html", &path])?;
        ensure!(refused.code == Some(1) && refused.stderr.contains(words), "{refused:?}");
    }
    ensure!(fs::read_to_string(&target)? == "kept");
    Ok(())
}

fn json(daemon: &Daemon<'_>) -> Result<Value> {
    let out = daemon.cli(&["report", "--json"])?.success()?.stdout;
    ensure!(out.trim_end().bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{out:?}");
    serde_json::from_str(&out).context(out)
}

fn check_text(text: &str, words: &str) -> Result<()> {
    let is_harmless = |c: char| c == '\n' || !c.is_control() && c != '\u{202e}';
    ensure!(text.chars().all(is_harmless), "{text:?}");
    for words in
        ["bans: 2 of 2 addresses or networks", "bans by jail", "dovecot", "203.0.113.0/24", "\\u{1b}[2J", words]
    {
        ensure!(text.contains(words), "{words} in {text}");
    }
    Ok(())
}

fn check_page(daemon: &Daemon<'_>, name: &str) -> Result<()> {
    let path = daemon.directory().join(name);
    let said = daemon.cli(&["report", "--html", &path.display().to_string()])?.success()?;
    ensure!(said.stdout.starts_with("written to "), "{said:?}");
    ensure!(fs::metadata(&path)?.permissions().mode() & 0o777 == 0o600);
    let page = fs::read_to_string(&path)?;
    ensure!(
        page.contains("&lt;script&gt;alert(1)") && page.contains("<svg") && page.contains("203.0.113.0/24"),
        "{page}"
    );
    let is_harmless = |c: char| c == '\n' || !c.is_control() && c != '\u{202e}';
    ensure!(page.chars().all(is_harmless) && !page.contains("<script") && !page.contains("<img"), "{page}");
    Ok(())
}
