//! The words of the daemon's log: those that programs look for that count what fail2ban does.

use std::{fs, net::Ipv4Addr, process::Command};

use anyhow::{Context, Result, ensure};
use blocker_tests::{
    daemon::{self, Daemon, Settings},
    journald::Journald,
    lines,
    netns::Net,
    process::{self, Process},
    wait,
};
use serde_json::Value;

use crate::{
    memory::SmallDisk,
    siege::{LIMIT, VILLAIN},
};

#[test]
fn what_happens_to_an_address_is_logged_in_fail2ban_s_words() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let fail2ban_log = daemon.directory().join("fail2ban.log");
    let setting = format!("[daemon]\nfail2ban_log = {fail2ban_log:?}\n");
    daemon.write_configuration(&daemon.configuration(&Settings::default()).replace("[daemon]\n", &setting))?;
    daemon.start()?;
    let log = |attempts| daemon.log().append(lines::refused_for("s3cret", VILLAIN, attempts).as_bytes());
    log(3)?;
    log(2)?;
    daemon.await_ban(VILLAIN, LIMIT)?;
    log(1)?;

    await_words(&daemon, &format!("[dovecot] {VILLAIN} already banned"))?;
    let printed = daemon.printed();
    let found: Vec<&str> = printed.lines().filter(|line| line.contains("] Found ")).collect();
    ensure!(found.len() == 2, "{printed}");
    for line in found {
        let (_, words) = line.split_once("[dovecot] Found ").context("of the jail")?;
        let (when, fields) = words.split_once(" attempts=").context("fields")?;
        let time = when.strip_prefix(&format!("{VILLAIN} - ")).context("the address, and when")?;
        let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(shape, "0000-00-00 00:00:00", "{line}");
        ensure!(fields.contains(" of=5 service=imap pattern=\"auth failed\""), "{line}");
    }
    assert_eq!(printed.matches(&format!("[dovecot] Ban {VILLAIN} until=")).count(), 1, "{printed}");
    ensure!(!printed.contains("s3cret"), "people type passwords where the user name belongs: {printed}");

    // Not killed: what had come last would be judged again.
    daemon.stop()?;
    daemon.start()?;
    await_words(&daemon, &format!("[dovecot] Restore Ban {VILLAIN} until="))?;
    ensure!(!daemon.printed().contains("] Ban "), "it is not new: {}", daemon.printed());
    daemon.cli(&["unban", &VILLAIN.to_string()])?.success()?;
    await_words(&daemon, &format!("[dovecot] Unban {VILLAIN}"))?;
    let written = fs::read_to_string(&fail2ban_log)?;
    let mut seen = Vec::new();
    for line in written.lines() {
        let shape: String = line.chars().take(23).map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(shape, "0000-00-00 00:00:00,000", "{line}");
        let (part, words) = line[24..].split_once("]: ").context("the process")?;
        let (part, pid) = part.split_at(24);
        ensure!(pid.starts_with('[') && pid[1..].parse::<u32>().is_ok(), "{line}");
        let words = words.split(" - ").next().unwrap_or_default();
        seen.push(format!("{} {words}", part.trim_end()));
    }
    assert_eq!(
        seen,
        [
            format!("fail2ban.filter INFO    [dovecot] Found {VILLAIN}"),
            format!("fail2ban.filter INFO    [dovecot] Found {VILLAIN}"),
            format!("fail2ban.actions NOTICE  [dovecot] Ban {VILLAIN}"),
            format!("fail2ban.actions NOTICE  [dovecot] {VILLAIN} already banned"),
            format!("fail2ban.actions NOTICE  [dovecot] Restore Ban {VILLAIN}"),
            format!("fail2ban.actions NOTICE  [dovecot] Unban {VILLAIN}"),
        ]
    );
    Ok(())
}

#[test]
fn a_full_disk_leaves_whole_lines_in_the_file_like_fail2ban_s() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let disk = SmallDisk::mount(daemon.directory().join("small"), "4k")?;
    let fail2ban_log = daemon.directory().join("small/fail2ban.log");
    let setting = format!("[daemon]\nfail2ban_log = {fail2ban_log:?}\n");
    daemon.write_configuration(&daemon.configuration(&Settings::default()).replace("[daemon]\n", &setting))?;
    daemon.start()?;
    for number in 0..60 {
        let source = Ipv4Addr::new(203, 0, 113, number).into();
        daemon.log().append(lines::refused(source, 1).as_bytes())?;
    }
    await_words(&daemon, "fail2ban.log cannot be written, lines are missing there: No space left on device")?;

    disk.resize("1m")?;
    daemon.log().append(lines::refused(VILLAIN, 5).as_bytes())?;
    await_words(&daemon, "fail2ban.log can be written again")?;
    daemon.stop()?;

    let written = fs::read_to_string(&fail2ban_log)?;
    ensure!(written.ends_with('\n') && written.contains(&format!("Ban {VILLAIN}")), "{written}");
    for line in written.lines() {
        ensure!(line.starts_with("20") && line.matches(" fail2ban.").count() == 1, "{line}");
        ensure!(line.contains(" Found ") || line.contains(" Ban "), "{line}");
    }
    Ok(())
}

#[test]
fn a_flood_of_failures_fills_no_log_and_hides_no_ban() -> Result<()> {
    const FAILING: u32 = 20_000;
    let net = Net::new()?;
    let daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    let mut flood = Vec::new();
    for number in 0..FAILING {
        let source = Ipv4Addr::from_bits(Ipv4Addr::new(100, 64, 0, 0).to_bits() + number).into();
        flood.extend(lines::refused(source, 1).into_bytes());
        flood.push(b'\n');
    }
    flood.pop();
    daemon.log().append(&flood)?;
    daemon.log().append(lines::refused(VILLAIN, 5).as_bytes())?;
    daemon.await_ban(VILLAIN, LIMIT)?;

    await_words(&daemon, &format!("[dovecot] Ban {VILLAIN}"))?;
    await_words(&daemon, "too many to be told one by one")?;
    let told = daemon.printed().matches("] Found ").count();
    ensure!((100..10_000).contains(&told), "{told} are told");
    let status = daemon.status()?;
    assert_eq!(status.jail("dovecot").failures, u64::from(FAILING) + 1, "and all are counted");
    ensure!(status.problems.iter().all(|problem| !problem.contains("missing from")), "{:?}", status.problems);
    Ok(())
}

/// The real thing: fields that a program can ask the journal for.
#[test]
fn in_the_journal_events_have_fields_of_their_own() -> Result<()> {
    let net = Net::new()?;
    let journald = Journald::start()?;
    let daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let run = daemon.command(&["run"]);
    // As systemd starts it: stderr is a stream of the journal's, and the environment says which.
    let mut command = Command::new("systemd-cat");
    command.args([
        "sh",
        "-c",
        "export JOURNAL_STREAM=$(stat --dereference --format=%d:%i /proc/self/fd/2); exec \"$@\"",
        "sh",
    ]);
    command.arg(run.get_program()).args(run.get_args());
    let running = Process::spawn("blocker", journald.around(&command))?;
    wait::until("blocker to answer", LIMIT, || {
        daemon.status().map_err(|error| format!("{error:#}\n{}", running.printed()))
    })?;

    daemon.log().append(lines::refused(VILLAIN, 5).as_bytes())?;
    daemon.await_ban(VILLAIN, LIMIT)?;

    let found = |event: &str| -> Result<Value, String> {
        let mut command = Command::new("journalctl");
        command.args(["--output=json", "--all", "--no-pager", &format!("BLOCKER_EVENT={event}")]);
        let finished = process::run(journald.around(&command), LIMIT).map_err(|error| format!("{error:#}"))?;
        let line = finished.stdout.lines().next().ok_or_else(|| format!("{finished:?}\n{}", running.printed()))?;
        serde_json::from_str(line).map_err(|error| error.to_string())
    };
    let ban = wait::until("the ban in the journal", LIMIT, || found("ban"))?;
    let villain = VILLAIN.to_string();
    let field = |name: &str| ban[name].as_str().unwrap_or_default();
    assert_eq!((field("BLOCKER_JAIL"), field("BLOCKER_PREFIX")), ("dovecot", &*villain));
    assert_eq!((field("PRIORITY"), field("SYSLOG_IDENTIFIER")), ("5", "blocker"));
    ensure!(field("MESSAGE").starts_with(&format!("[dovecot] Ban {VILLAIN} until=")), "{ban}");
    ensure!(field("BLOCKER_UNTIL").ends_with('Z') && field("_TRANSPORT") == "journal", "{ban}");
    let failure = found("found").map_err(anyhow::Error::msg)?;
    assert_eq!((&failure["BLOCKER_COUNT"], &failure["BLOCKER_OF"]), (&"5".into(), &"5".into()), "{failure}");
    Ok(())
}

fn await_words(daemon: &Daemon<'_>, words: &str) -> Result<()> {
    wait::until_true(&format!("`{words}` in the log"), LIMIT, || daemon.printed().contains(words), || daemon.printed())
}
