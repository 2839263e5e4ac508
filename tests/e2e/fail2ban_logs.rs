//! Where fail2ban has read its logs up to, the daemon's first run goes on: each line is judged by the one or by the other.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    net::{IpAddr, Ipv4Addr},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use blocker_tests::{
    daemon::{self, Daemon, Settings},
    fail2ban::{Fail2ban, RELEASES},
    journal_files::JournalFile,
    lines,
    netns::Net,
    process, wait,
};
use serde_json::Value;

use crate::fail2ban::Running;
use crate::fail2ban_jails;

const LIMIT: Duration = Duration::from_secs(60);

const EARLY: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 21));
const BETWEEN: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 22));
const LATE: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 23));

fn append(log: &Path, source: IpAddr, count: usize) -> Result<()> {
    append_text(log, &(0..count).map(|_| lines::refused(source, 1) + "\n").collect::<String>())
}

fn append_text(log: &Path, text: &str) -> Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(log)?;
    Ok(file.write_all(text.as_bytes())?)
}

/// Waits until fail2ban has judged so many lines.
fn await_judged(fail2ban: &Running, lines: usize) -> Result<()> {
    wait::until("fail2ban to judge all lines", LIMIT, || {
        let answer = fail2ban.client(&["status", "dovecot"]).map_err(|error| error.to_string())?;
        if answer.stdout.contains(&format!("Total failed:\t{lines}\n")) { Ok(()) } else { Err(answer.stdout) }
    })
}

/// Waits until fail2ban has written down how far it is; of lines of which nobody is to be judged it is given more until it does.
fn await_noted(fail2ban: &Running, log: &Path) -> Result<()> {
    let mut given = Instant::now();
    wait::until("fail2ban to write down how far it is", LIMIT, || {
        let database = fail2ban.package.beside("f.sqlite3");
        let read = blocker::fail2ban::database::logs(&database, |jail| jail == "dovecot");
        let read = read.map_err(|error| format!("{error:#}"))?;
        let length = fs::metadata(log).map_err(|error| error.to_string())?.len();
        if read.files.iter().any(|read| read.path == log && read.offset == length) {
            return Ok(());
        }
        // It writes it down with what it reads, and not more often than every ten seconds.
        if given.elapsed() > Duration::from_secs(3) {
            given = Instant::now();
            append_text(log, "Nov 27 01:00:00 mx1 other: nothing\n").map_err(|error| error.to_string())?;
        }
        Err(format!("{read:?} of {length}"))
    })
}

/// Has fail2ban end, with all written down.
fn stop(fail2ban: &Running) -> Result<()> {
    fail2ban.client(&["stop"])?.success()?;
    wait::until_true("fail2ban to end", LIMIT, || !fail2ban.socket.exists(), || "its socket is there".to_owned())
}

/// A daemon that has not run, whose jail reads fail2ban's log.
fn configured<'net>(net: &'net Net, log: &Path) -> Result<Daemon<'net>> {
    let daemon = Daemon::configure(net, &daemon::binary()?, &Settings::default())?;
    let input = format!("log = [\"{}\"]", log.display());
    daemon.write_configuration(&daemon.configuration_with_input(&Settings::default(), &input))?;
    Ok(daemon)
}

/// Has the places taken over, and says where the first run begins in the log, and why.
fn take_over(daemon: &Daemon<'_>, directory: &str) -> Result<Vec<(Option<u64>, String)>> {
    let told = daemon.cli(&["--json", "import", "fail2ban", directory, "--logs"])?.success()?.stdout;
    let told: Value = serde_json::from_str(&told)?;
    let logs = told["logs"].as_array().context("the logs are told")?;
    Ok(logs.iter().map(|log| (log["offset"].as_u64(), log["why"].as_str().unwrap_or_default().to_owned())).collect())
}

fn await_failures(daemon: &Daemon<'_>, lines: u64) -> Result<()> {
    wait::until(&format!("{lines} lines to be judged"), LIMIT, || {
        let status = daemon.status().map_err(|error| format!("{error:#}"))?;
        if status.jail("dovecot").failures >= lines { Ok(()) } else { Err(format!("{status:?}\n{}", daemon.printed())) }
    })?;
    ensure!(daemon.status()?.jail("dovecot").failures == lines, "none is judged twice");
    Ok(())
}

#[test]
fn where_fail2ban_has_read_up_to_the_first_run_goes_on_and_each_line_is_judged_once() -> Result<()> {
    for (release, version) in RELEASES {
        let fail2ban = Running::start(release, &["dovecot"])?;
        let directory = fail2ban.package.directory().display().to_string();
        let log = fail2ban.package.beside("x.log");
        append(&log, EARLY, 4)?;
        await_judged(&fail2ban, 4)?;
        await_noted(&fail2ban, &log)?;
        let read = fs::metadata(&log)?.len();
        let net = Net::new()?;
        let mut daemon = configured(&net, &log)?;

        // It goes on while the places are taken over.
        let places = take_over(&daemon, &directory)?;

        assert_eq!(places, [(Some(read), "fail2ban has read so far".to_owned())], "{version}");
        assert_eq!(take_over(&daemon, &directory)?, places, "{version}: as often as one likes before the first run");
        let ended = fail2ban.client(&["status"])?.success()?;
        assert!(ended.stdout.contains("dovecot"), "{version}: fail2ban runs: {ended:?}");
        stop(&fail2ban)?;
        append(&log, BETWEEN, 4)?;
        daemon.start()?;
        await_failures(&daemon, 4)?;
        append(&log, BETWEEN, 1)?;
        daemon.await_ban(BETWEEN, LIMIT)?;
        await_failures(&daemon, 5)?;
        append(&log, EARLY, 4)?;
        await_failures(&daemon, 9)?;
        assert!(daemon.bans()?.iter().all(|ban| ban.prefix != EARLY.to_string()), "four of its eight are fail2ban's");

        let refused = daemon.cli(&["import", "fail2ban", &directory, "--logs"])?;
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.stderr.contains("the daemon runs, and has read the logs since it started"), "{refused:?}");
        daemon.stop()?;
        append(&log, LATE, 1)?;
        let places = take_over(&daemon, &directory)?;
        assert_eq!(places, [(None, "blocker has read it before, and goes on where it was".to_owned())], "{version}");
        daemon.start()?;
        await_failures(&daemon, 1)?;
    }
    Ok(())
}

#[test]
fn what_was_rotated_away_before_and_after_the_places_were_taken_over_is_judged_once() -> Result<()> {
    let fail2ban = Running::start(RELEASES[1].0, &["dovecot"])?;
    let directory = fail2ban.package.directory().display().to_string();
    let log = fail2ban.package.beside("x.log");
    append(&log, EARLY, 2)?;
    await_judged(&fail2ban, 2)?;
    stop(&fail2ban)?;
    let read = fs::metadata(&log)?.len();
    append(&log, BETWEEN, 1)?;
    fs::rename(&log, log.with_extension("log.1"))?;
    append(&log, BETWEEN, 1)?;
    let net = Net::new()?;
    let mut daemon = configured(&net, &log)?;

    let places = take_over(&daemon, &directory)?;

    let offsets: Vec<Option<u64>> = places.iter().map(|(offset, _)| *offset).collect();
    assert_eq!(offsets, [Some(read), Some(0)], "{places:?}");
    append(&log, BETWEEN, 2)?;
    fs::rename(log.with_extension("log.1"), log.with_extension("log.2"))?;
    fs::rename(&log, log.with_extension("log.1"))?;
    append(&log, BETWEEN, 1)?;
    daemon.start()?;
    daemon.await_ban(BETWEEN, LIMIT)?;
    await_failures(&daemon, 5)?;
    append(&log, EARLY, 1)?;
    await_failures(&daemon, 6)?;
    Ok(())
}

/// What fail2ban's systemd backend writes down: the time of the last entry, in seconds with a fraction.
fn database_of_journal(path: &Path, seconds: &str) -> Result<()> {
    let script = "import sqlite3, sys\n\
                  base = sqlite3.connect(sys.argv[1])\n\
                  base.execute('CREATE TABLE logs(jail TEXT NOT NULL, path TEXT, firstlinemd5 TEXT, lastfilepos INTEGER DEFAULT 0)')\n\
                  base.execute('CREATE TABLE bips(ip TEXT, jail TEXT, timeofban INTEGER, bantime INTEGER)')\n\
                  base.execute('INSERT INTO logs VALUES (?, ?, ?, ?)', ('sshd', 'systemd-journal', 'then', float(sys.argv[2])))\n\
                  base.commit()\n";
    let mut command = Command::new("python3");
    command.args(["-c", script]).arg(path).arg(seconds);
    process::run(command, LIMIT)?.success()?;
    Ok(())
}

#[test]
fn entries_of_the_journal_that_fail2ban_has_read_are_not_read_again_and_those_behind_them_are() -> Result<()> {
    let package = Fail2ban::of(RELEASES[1].0)?;
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let journal = fail2ban_jails::journal_of_sshd(&package, &daemon)?;
    let directory = package.directory().display().to_string();
    let text = daemon.configuration(&Settings::default());
    daemon.write_configuration(&text.replacen("[daemon]\n", &format!("[daemon]\nfail2ban = '{directory}'\n"), 1))?;
    let mut file = JournalFile::create(&journal, "system")?;
    let message = format!("Failed password for root from {BETWEEN} port 51234 ssh2");
    let fields = [
        ("_SYSTEMD_UNIT", "ssh.service"),
        ("_COMM", "sshd"),
        ("_UID", "0"),
        ("SYSLOG_IDENTIFIER", "sshd"),
        ("MESSAGE", message.as_str()),
    ];
    for ago in [52, 51, 50] {
        file.append_fields(&fields, Duration::from_secs(ago))?;
    }
    let last = wait::until("three entries in the journal", LIMIT, || {
        let mut command = Command::new("journalctl");
        command.args(["-q", "-o", "short-unix", "--file"]).arg(file.path());
        let printed = process::run(command, LIMIT).map_err(|error| error.to_string())?.stdout;
        let times: Vec<&str> = printed.lines().filter_map(|line| line.split(' ').next()).collect();
        if let [_, _, last] = times[..] { Ok(last.to_owned()) } else { Err(printed) }
    })?;
    for ago in [20, 10] {
        file.append_fields(&fields, Duration::from_secs(ago))?;
    }
    let database = package.beside("journal.sqlite3");
    database_of_journal(&database, &last)?;

    let database = database.display().to_string();
    let told = daemon.cli(&["import", "fail2ban", &directory, "--database", &database, "--logs"])?.success()?.stdout;

    assert!(told.contains("  the journal, for sshd: behind 20"), "{told}");
    daemon.start()?;
    let failures = |lines: u64| {
        wait::until(&format!("{lines} entries to be judged"), LIMIT, || {
            let status = daemon.status().map_err(|error| format!("{error:#}"))?;
            let seen = status.jail("sshd").failures;
            if seen == lines { Ok(()) } else { Err(format!("{status:?}\n{}", daemon.printed())) }
        })
    };
    failures(2)?;
    assert!(daemon.bans()?.is_empty(), "three are fail2ban's");
    file.append_fields(&fields, Duration::ZERO)?;
    assert_eq!(daemon.await_ban(BETWEEN, LIMIT)?.jail, "sshd");
    failures(3)
}
