//! The journal as a source: real journal files, read by the real `journalctl`, and a real journald.

mod journald;
mod twice;

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};
use blocker_tests::{
    daemon::{self, Daemon, Settings},
    journal_files::JournalFile,
    lines,
    netns::{Host, Net},
    process::Process,
    wait,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::siege::LIMIT;

const OLD: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 10));
const LIVE: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 11));
const VICTIM: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 12));
const SECOND: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 13));
const SECOND_VICTIM: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 14));

const ROOT: u32 = 0;
const MALLORY: u32 = 1_000;
const NOW: Duration = Duration::ZERO;

/// The pauses between attempts to read a journal grow: 1, 2, 4 … s.
const LONGER: Duration = Duration::from_secs(60);

#[test]
fn failures_in_the_journal_earn_a_ban_and_what_was_before_the_start_does_not() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = configured(&net, &["_SYSTEMD_UNIT=dovecot.service"], "")?;
    let mut file = JournalFile::create(&journal(&daemon), "system")?;
    for _ in 0..5 {
        file.append(&refused(OLD), ROOT, NOW)?;
    }
    file.finish()?;
    start(&mut daemon)?;

    let mut file = JournalFile::create(&journal(&daemon), "next")?;
    for _ in 0..4 {
        file.append(&refused(LIVE), ROOT, NOW)?;
    }
    await_failures(&daemon, 4)?;
    assert!(daemon.bans()?.is_empty(), "four are borne");
    file.append(&refused(LIVE), ROOT, NOW)?;

    daemon.await_ban(LIVE, LIMIT)?;
    assert!(!is_banned(&daemon, OLD)?);
    assert_eq!(daemon.status()?.problems, Vec::<String>::new());
    Ok(())
}

#[test]
fn rotation_and_vacuuming_lose_and_repeat_no_entry() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = configured(&net, &["_SYSTEMD_UNIT=dovecot.service"], "max_retry = 100\n")?;
    let mut first = JournalFile::create(&journal(&daemon), "first")?;
    first.append(&refused(OLD), ROOT, NOW)?;
    await_file(&first)?;
    start(&mut daemon)?;
    first.append(&refused(LIVE), ROOT, NOW)?;
    await_failures(&daemon, 1)?;

    // Rotated.
    let mut second = JournalFile::create(&journal(&daemon), "second")?;
    first.append(&refused(LIVE), ROOT, NOW)?;
    first.finish()?;
    second.append(&refused(LIVE), ROOT, NOW)?;
    await_failures(&daemon, 3)?;

    // Vacuumed while it is followed.
    fs::remove_file(first.path())?;
    second.append(&refused(LIVE), ROOT, NOW)?;
    await_failures(&daemon, 4)?;

    // The reader's end: it goes on from its cursor.
    let reader = journalctl(&daemon)?;
    kill(reader, Signal::SIGKILL)?;
    second.append(&refused(LIVE), ROOT, NOW)?;
    await_failures(&daemon, 5)?;

    // Its end, and meanwhile the entry of the cursor is vacuumed.
    let mut third = JournalFile::create(&journal(&daemon), "third")?;
    let reader = await_other_journalctl(&daemon, reader)?;
    kill(reader, Signal::SIGSTOP)?;
    third.append(&refused(LIVE), ROOT, NOW)?;
    await_file(&third)?;
    second.finish()?;
    fs::remove_file(second.path())?;
    kill(reader, Signal::SIGKILL)?;
    third.append(&refused(LIVE), ROOT, NOW)?;
    await_failures(&daemon, 7)?;
    third.append(&refused(VICTIM), ROOT, NOW)?;
    await_failures(&daemon, 8)?;
    assert_eq!(daemon.status()?.jail("dovecot").attempts.to_string(), "8");
    Ok(())
}

#[test]
fn entries_taken_while_the_daemon_is_down_are_judged_by_their_own_time_and_none_twice() -> Result<()> {
    for is_killed in [false, true] {
        let net = Net::new()?;
        let mut daemon = configured(&net, &["_SYSTEMD_UNIT=dovecot.service"], "")?;
        let mut file = JournalFile::create(&journal(&daemon), "system")?;
        for _ in 0..5 {
            file.append(&refused(OLD), ROOT, Duration::from_secs(3 * 3_600))?;
        }
        await_file(&file)?;
        start(&mut daemon)?;
        // What comes while it runs counts from its arrival. What is not saved yet when it is killed is judged again, as past.
        let ago = if is_killed { 400 } else { 2 * 3_600 };
        for _ in 0..3 {
            file.append(&refused(VICTIM), ROOT, Duration::from_secs(ago))?;
        }
        await_failures(&daemon, 3)?;
        end(&mut daemon, is_killed)?;

        let too_old = if is_killed { 0 } else { 5 };
        for _ in 0..too_old {
            file.append(&refused(OLD), ROOT, Duration::from_secs(3_600))?;
        }
        for _ in 0..5 {
            file.append(&refused(LIVE), ROOT, Duration::from_secs(300))?;
        }
        file.append(&refused(VICTIM), ROOT, NOW)?;
        start(&mut daemon)?;

        daemon.await_ban(LIVE, LIMIT)?;
        wait::until("all entries to be judged", LIMIT, || {
            let status = daemon.status().map_err(|error| format!("{error:#}"))?;
            let jail = status.jail("dovecot");
            let (least, most) = if is_killed { (6, 9) } else { (6, 6) };
            let is_done = (least..=most).contains(&jail.failures) && jail.too_old == too_old;
            if is_done { Ok(()) } else { Err(format!("{status:?}")) }
        })?;
        assert!(!is_banned(&daemon, VICTIM)? && !is_banned(&daemon, OLD)?, "four are borne: {:?}", daemon.status()?);
        assert_eq!(daemon.status()?.problems, Vec::<String>::new());
        file.append(&refused(VICTIM), ROOT, NOW)?;
        daemon.await_ban(VICTIM, LIMIT)?;
    }
    Ok(())
}

#[test]
fn a_journal_without_an_entry_of_ours_is_gone_on_from_too() -> Result<()> {
    for is_empty in [false, true] {
        let net = Net::new()?;
        let mut daemon = configured(&net, &["_SYSTEMD_UNIT=dovecot.service"], "")?;
        if !is_empty {
            let mut file = JournalFile::create(&journal(&daemon), "before")?;
            file.append_fields(&[("_COMM", "another"), ("MESSAGE", "of nobody")], NOW)?;
            file.finish()?;
        }
        start(&mut daemon)?;
        end(&mut daemon, false)?;

        let mut file = JournalFile::create(&journal(&daemon), "system")?;
        for _ in 0..5 {
            file.append(&refused(LIVE), ROOT, NOW)?;
        }
        file.finish()?;
        daemon.start()?;

        daemon.await_ban(LIVE, LIMIT).with_context(|| format!("is_empty: {is_empty}"))?;
    }
    Ok(())
}

#[test]
fn a_saved_cursor_that_was_vacuumed_is_gone_on_from_at_its_time() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = configured(&net, &["_SYSTEMD_UNIT=dovecot.service"], "")?;
    let mut first = JournalFile::create(&journal(&daemon), "first")?;
    let mut beside = JournalFile::create(&journal(&daemon), "beside")?;
    beside.append(&refused(OLD), ROOT, NOW)?;
    await_file(&beside)?;
    start(&mut daemon)?;
    for _ in 0..4 {
        beside.append(&refused(VICTIM), ROOT, NOW)?;
    }
    await_failures(&daemon, 4)?;
    first.append(&refused(OLD), ROOT, NOW)?;
    await_failures(&daemon, 5)?;
    end(&mut daemon, false)?;

    let mut second = JournalFile::create(&journal(&daemon), "second")?;
    for _ in 0..5 {
        second.append(&refused(LIVE), ROOT, NOW)?;
    }
    await_file(&second)?;
    first.finish()?;
    fs::remove_file(first.path())?;
    start(&mut daemon)?;

    daemon.await_ban(LIVE, LIMIT)?;
    await_failures(&daemon, 5)?;
    assert!(!is_banned(&daemon, VICTIM)?, "four are borne, and what was judged before is not again");
    Ok(())
}

#[test]
fn kill_9_at_any_moment_loses_and_repeats_no_entry_of_any_jail() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = configured(&net, &["_SYSTEMD_UNIT=dovecot.service"], "max_retry = 31\n")?;
    let text = fs::read_to_string(daemon.config_path())?;
    let second = format!(
        "[jails.second]\nfilter = \"dovecot\"\nmax_retry = 31\njournal = [\"_COMM=other\"]\njournal_trust = []\n\
         journal_directory = {:?}\n",
        journal(&daemon)
    );
    daemon.write_configuration(&(text + &second))?;
    let mut file = JournalFile::create(&journal(&daemon), "system")?;
    file.append(&refused(OLD), ROOT, NOW)?;
    await_file(&file)?;
    let others = |file: &mut JournalFile, source| {
        file.append_fields(&[("_COMM", "other"), ("SYSLOG_IDENTIFIER", "imapd"), ("MESSAGE", &refused(source))], NOW)
    };

    start(&mut daemon)?;
    for round in 0..6_u64 {
        for number in 0..5 {
            // Killed while some are on their way, after as many of this run as the round says.
            if number == round.min(4) {
                end(&mut daemon, true)?;
            }
            file.append(&refused(LIVE), ROOT, NOW)?;
            others(&mut file, SECOND)?;
        }
        start(&mut daemon)?;
    }
    // When these are judged, all that stands before them is.
    for _ in 0..31 {
        file.append(&refused(VICTIM), ROOT, NOW)?;
        others(&mut file, SECOND_VICTIM)?;
    }
    daemon.await_ban(VICTIM, LIMIT)?;
    daemon.await_ban(SECOND_VICTIM, LIMIT)?;

    assert!(!is_banned(&daemon, LIVE)? && !is_banned(&daemon, SECOND)?, "thirty are borne: {:?}", daemon.status()?);
    file.append(&refused(LIVE), ROOT, NOW)?;
    others(&mut file, SECOND)?;
    daemon.await_ban(LIVE, LIMIT)?;
    daemon.await_ban(SECOND, LIMIT)?;
    Ok(())
}

#[test]
fn what_comes_while_the_journal_cannot_be_read_is_judged_by_its_own_time() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = configured(&net, &["_SYSTEMD_UNIT=dovecot.service"], "")?;
    fs::remove_dir(journal(&daemon))?;
    daemon.start()?;
    await_problem(&daemon, "No such file or directory")?;

    let aside = daemon.directory().join("aside");
    let mut file = JournalFile::create(&aside, "system")?;
    for _ in 0..5 {
        file.append(&refused(OLD), ROOT, Duration::from_secs(3_600))?;
    }
    for _ in 0..5 {
        file.append(&refused(LIVE), ROOT, Duration::from_secs(300))?;
    }
    file.finish()?;
    fs::rename(&aside, journal(&daemon))?;

    let ban = daemon.await_ban(LIVE, LONGER)?;
    assert!(ban.remaining_s.is_some_and(|left| left > 3_590.0), "the ban begins now: {ban:?}");
    let status = daemon.status()?;
    assert_eq!((status.jail("dovecot").failures, status.jail("dovecot").too_old), (5, 5));
    assert!(!is_banned(&daemon, OLD)? && status.problems.is_empty(), "{status:?}");
    Ok(())
}

#[test]
fn one_reader_serves_all_jails_and_gives_each_its_own() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = configured(&net, &["_SYSTEMD_UNIT=dovecot.service"], "max_retry = 100\n")?;
    let text = fs::read_to_string(daemon.config_path())?;
    let second = format!(
        "[jails.second]\nfilter = \"dovecot\"\nmax_retry = 100\njournal = [\"_COMM=other\", \"+\", \"_COMM=another\"]\n\
         journal_trust = []\njournal_directory = {:?}\n",
        journal(&daemon)
    );
    daemon.write_configuration(&(text.clone() + &second))?;
    start(&mut daemon)?;
    let mut file = JournalFile::create(&journal(&daemon), "system")?;
    let reader = journalctl(&daemon)?;

    file.append(&refused(LIVE), ROOT, NOW)?;
    for name in ["other", "another", "third"] {
        file.append_fields(&[("_COMM", name), ("SYSLOG_IDENTIFIER", "imapd"), ("MESSAGE", &refused(VICTIM))], NOW)?;
    }
    file.append(&refused(LIVE), ROOT, NOW)?;
    await_failures(&daemon, 2)?;
    let status = daemon.status()?;
    assert_eq!((status.jail("dovecot").failures, status.jail("second").failures), (2, 2));
    assert_eq!(status.jail("second").journal, ["_COMM=other + _COMM=another"]);

    // A jail less: the other one misses nothing.
    daemon.write_configuration(&text)?;
    daemon.cli(&["reload"])?.success()?;
    file.append(&refused(LIVE), ROOT, NOW)?;
    await_failures(&daemon, 3)?;
    await_other_journalctl(&daemon, reader)?;
    Ok(())
}

#[test]
fn without_journalctl_status_says_so() -> Result<()> {
    let net = Net::new()?;
    let daemon = configured(&net, &["_SYSTEMD_UNIT=dovecot.service"], "")?;
    let mut command = net.command(Host::Server, "env");
    command.arg("PATH=/nonexistent").arg(daemon::binary()?).arg("--config").arg(daemon.config_path()).arg("run");
    let _running = Process::spawn("blocker", command)?;

    await_problem(&daemon, "the journal cannot be read: there is no journalctl on this machine")
}

#[test]
fn journalctl_ends_with_the_daemon_however_it_ends() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = configured(&net, &["_SYSTEMD_UNIT=dovecot.service"], "")?;
    let mut file = JournalFile::create(&journal(&daemon), "system")?;
    file.append(&refused(OLD), ROOT, NOW)?;
    await_file(&file)?;
    for is_killed in [true, false] {
        start(&mut daemon)?;
        let reader = journalctl(&daemon)?;
        if is_killed {
            daemon.kill9()?;
        } else {
            daemon.stop()?;
        }
        await_end_of(&reader.to_string(), "journalctl")?;
    }
    Ok(())
}

#[test]
fn whom_to_trust_can_be_said() -> Result<()> {
    let net = Net::new()?;
    let matches = ["_SYSTEMD_UNIT=session-1.scope"];
    let mut daemon = configured(&net, &matches, "journal_trust = [\"_UID=1000\", \"_UID=1001\"]\n")?;
    start(&mut daemon)?;
    let mut file = JournalFile::create(&journal(&daemon), "system")?;
    for uid in [MALLORY, 1_001, 1_002, MALLORY, 1_001, MALLORY] {
        file.append(&refused(LIVE), uid, NOW)?;
    }

    daemon.await_ban(LIVE, LIMIT)?;
    assert_eq!(daemon.status()?.jail("dovecot").failures, 5);
    Ok(())
}

/// A daemon whose jail reads the journal in its own directory, with some more `keys`; not started.
fn configured<'net>(net: &'net Net, matches: &[&str], keys: &str) -> Result<Daemon<'net>> {
    let settings = Settings::default();
    let daemon = Daemon::configure(net, &daemon::binary()?, &settings)?;
    fs::create_dir(journal(&daemon))?;
    let text = daemon.configuration(&settings);
    let text = match keys.split_once(" = ") {
        // Once in a table.
        Some((key, _)) => {
            text.lines().filter(|line| !line.starts_with(&format!("{key} = "))).collect::<Vec<_>>().join("\n")
        }
        None => text,
    };
    let log = format!("log = [\"{}\"]\n", daemon.log().path().display());
    let reads = format!("journal = {matches:?}\njournal_directory = {:?}\n{keys}", journal(&daemon));
    daemon.write_configuration(&(text + "\n").replace(&log, &reads))?;
    Ok(daemon)
}

fn journal(daemon: &Daemon<'_>) -> PathBuf {
    daemon.directory().join("journal")
}

/// Starts it, and waits until no entry is missed.
fn start(daemon: &mut Daemon<'_>) -> Result<()> {
    daemon.start()?;
    await_journal(daemon)
}

fn end(daemon: &mut Daemon<'_>, is_killed: bool) -> Result<()> {
    if is_killed { daemon.kill9() } else { daemon.stop() }
}

fn await_journal(daemon: &Daemon<'_>) -> Result<()> {
    wait::until("the journal to be read", LIMIT, || {
        let status = daemon.status().map_err(|error| format!("{error:#}"))?;
        let reads = !status.jail("dovecot").journal.is_empty();
        if reads { Ok(()) } else { Err(format!("{status:?}\n{}", daemon.printed())) }
    })
}

/// What Dovecot would say of one refused password.
fn refused(source: IpAddr) -> String {
    message(&lines::refused(source, 1)).to_owned()
}

fn message(line: &str) -> &str {
    line.split_once("dovecot: ").map_or(line, |(_, message)| message)
}

fn is_banned(daemon: &Daemon<'_>, source: IpAddr) -> Result<bool> {
    Ok(daemon.bans()?.iter().any(|ban| ban.prefix == source.to_string()))
}

fn await_failures(daemon: &Daemon<'_>, lines: u64) -> Result<()> {
    wait::until(&format!("{lines} entries to be counted"), LIMIT, || {
        let status = daemon.status().map_err(|error| format!("{error:#}"))?;
        if status.jail("dovecot").failures == lines { Ok(()) } else { Err(format!("{status:?}\n{}", daemon.printed())) }
    })
}

fn await_problem(daemon: &Daemon<'_>, words: &str) -> Result<()> {
    wait::until(&format!("a problem: {words}"), LIMIT, || {
        let status = daemon.status().map_err(|error| format!("{error:#}"))?;
        let is_said = status.problems.iter().any(|problem| problem.contains(words));
        if is_said { Ok(()) } else { Err(format!("{status:?}\n{}", daemon.printed())) }
    })
}

/// Waits until what was appended is in the file, as `journalctl` sees it.
fn await_file(file: &JournalFile) -> Result<()> {
    wait::until("the journal file to be written", LIMIT, || {
        let output = Command::new("journalctl").args(["-q", "-o", "cat", "--file"]).arg(file.path()).output();
        let output = output.map_err(|error| error.to_string())?;
        if output.stdout.is_empty() { Err(format!("{output:?}")) } else { Ok(()) }
    })
}

/// Waits until the process `pid`, which is a `name`, has ended.
fn await_end_of(pid: &str, name: &str) -> Result<()> {
    wait::until(&format!("the end of {name}"), LIMIT, || {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let is_over = !status.contains(&format!("Name:\t{name}")) || status.contains("State:\tZ");
        if is_over { Ok(()) } else { Err(status) }
    })
}

/// The `journalctl` of a daemon, of which it has one.
fn journalctl(daemon: &Daemon<'_>) -> Result<Pid> {
    let pid = daemon.pid().context("it runs")?;
    wait::until("a journalctl that follows", LIMIT, || {
        let children =
            fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).map_err(|error| error.to_string())?;
        let followers: Vec<&str> = children
            .split_whitespace()
            .filter(|child| {
                fs::read_to_string(format!("/proc/{child}/cmdline")).is_ok_and(|line| line.contains("--follow"))
            })
            .collect();
        match followers.as_slice() {
            [one] => one.parse().map(Pid::from_raw).map_err(|_| children.clone()),
            others => Err(format!("{others:?}")),
        }
    })
}

fn await_other_journalctl(daemon: &Daemon<'_>, old: Pid) -> Result<Pid> {
    wait::until("another journalctl", LIMIT, || {
        let found = journalctl(daemon).map_err(|error| format!("{error:#}"))?;
        if found == old { Err("the same".to_owned()) } else { Ok(found) }
    })
}
