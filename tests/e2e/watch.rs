//! `blocker watch`: on a terminal and in a pipe, over restarts of the daemon, and with names that would harm who looks.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use blocker_tests::{
    daemon::{self, Daemon, Settings},
    lines,
    netns::Net,
    process::{self, Process},
    wait,
};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{
    groups::{CHANGE, RunAs as _, Who, gid, share},
    siege::{LIMIT, Siege, VILLAIN},
    terminal::{self, Terminal},
};

/// Clears the screen, gives it a title, rings, and turns writing round.
const HOSTILE: &str = "\u{1b}[2J\u{1b}]0;owned\u{7}\u{1b}[31m\u{202e}eve";

/// As it is shown.
const SHOWN: &str = "\\u{1b}[2J\\u{1b}]0;owned\\u{7}\\u{1b}[31m\\u{202e}eve";

#[test]
fn a_flood_and_bans_are_shown_as_they_come_over_a_restart_and_the_terminal_is_given_back() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    let siege = Siege::begin(&net)?;
    let mut terminal = Terminal::run(&daemon.command(&["watch"]), (130, 40))?;
    terminal.await_words(&["blocker 0.", "ENFORCE", "eth0", "dovecot", "0 bans in force", "mail.log", "q quit"])?;

    daemon.log().append(lines::refused_for(HOSTILE, VILLAIN, 5).as_bytes())?;
    siege.settle()?;
    let screen = terminal.await_words(&["1 bans in force", "BANNED AT", &VILLAIN.to_string(), SHOWN, "0B behind"])?;
    ensure!(!screen.contains("owned\u{7}"), "{screen}");
    // A few of the packets are told of, and all are counted.
    terminal.await_screen("the villain among the attackers, with its packets", |screen| {
        let of_villain = |line: &str| line.starts_with(&format!("{VILLAIN} ")) && line.contains("eve");
        screen.lines().any(of_villain) && !screen.contains("dropping 0.0 packets/s") && screen.contains('█')
    })?;

    terminal.press("s")?;
    terminal.await_screen("another order", |screen| {
        screen.contains("s sort: packets") && !screen.contains("s sort: packets/s")
    })?;
    terminal.press("p")?;
    terminal.await_words(&["PAUSED", "p go on"])?;
    daemon.cli(&["ban", "198.51.100.7"])?.success()?;
    let after_pause = daemon.bans()?.len();
    ensure!(after_pause == 2 && terminal.screen().contains("1 bans in force"), "{}", terminal.screen());
    terminal.press("p")?;
    terminal.await_words(&["2 bans in force", "198.51.100.7", "(by command)"])?;

    terminal.resize((40, 10))?;
    terminal.await_screen("a small screen", |screen| {
        screen.contains("BANNED") && screen.contains("198.51.100.7") && !screen.contains("BANNED AT")
    })?;
    terminal.resize((9, 3))?;
    terminal.await_words(&["blocker"])?;
    terminal.resize((130, 40))?;

    daemon.kill9()?;
    terminal.await_words(&["NOT RUNNING, WAITING", "no daemon answers"])?;
    daemon.start()?;
    terminal.await_screen("the daemon again", |screen| {
        !screen.contains("NOT RUNNING") && screen.contains("2 bans in force")
    })?;

    terminal.press("q")?;
    ensure!(terminal.await_end()?.success(), "{}", terminal.screen());
    let bytes = terminal.bytes();
    let has = |needle: &[u8]| bytes.windows(needle.len()).any(|bytes| bytes == needle);
    ensure!(!has(b"\x1b]") && !has(b"\x07") && !has("\u{202e}".as_bytes()), "nothing of the name was obeyed");
    ensure!(has(b"38;5;"), "it has colours");
    daemon.check_alive()
}

#[test]
fn every_way_to_end_it_gives_the_terminal_back_and_no_colour_is_heeded() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let watch = |daemon: &Daemon<'_>| {
        let mut command = daemon.command(&["watch"]);
        command.env("NO_COLOR", "1");
        Terminal::run(&command, (100, 30))
    };
    let mut without_daemon = watch(&daemon)?;
    without_daemon.await_words(&["not running, waiting", "no daemon answers"])?;

    daemon.start()?;
    without_daemon.await_words(&["ENFORCE", "eth0"])?;
    daemon.cli(&["ban", "198.51.100.7"])?.success()?;
    without_daemon.await_words(&["198.51.100.7"])?;
    // Ctrl-C is a key where keys are read one by one.
    without_daemon.press("\u{3}")?;
    ensure!(without_daemon.await_end()?.success(), "{}", without_daemon.screen());
    let bytes = String::from_utf8_lossy(&without_daemon.bytes()).into_owned();
    ensure!(!bytes.contains("38;5;") && !bytes.contains("\u{1b}[31m"), "{bytes:?}");

    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let mut terminal = watch(&daemon)?;
        terminal.await_words(&["ENFORCE"])?;
        terminal.signal(signal)?;
        ensure!(terminal.await_end()?.success(), "{signal}: {}", terminal.screen());
    }
    daemon.check_alive()
}

/// As many a serial console.
#[test]
fn a_terminal_that_does_not_tell_its_size_shows_something() -> Result<()> {
    let net = Net::new()?;
    let daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    let mut terminal = Terminal::run(&daemon.command(&["watch"]), (0, 0))?;

    wait::until("the keys to be shown", LIMIT, || {
        let bytes = String::from_utf8_lossy(&terminal.bytes()).into_owned();
        if bytes.contains("ENFORCE") && bytes.contains("quit") { Ok(()) } else { Err(bytes) }
    })?;

    terminal.press("q")?;
    ensure!(terminal.await_end()?.success());
    Ok(())
}

#[test]
fn it_ends_with_its_terminal() -> Result<()> {
    let net = Net::new()?;
    let daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    for _ in 0..5 {
        let ended = terminal::lose(&daemon.command(&["watch"]), "q quit")?;
        ensure!(ended.success(), "{ended}");
    }
    Ok(())
}

#[test]
fn without_a_terminal_it_says_what_else_there_is_and_objects_go_through_a_pipe() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let refused = daemon.cli(&["watch"])?;
    ensure!(refused.code == Some(2) && refused.stdout.is_empty(), "{refused:?}");
    ensure!(refused.stderr.lines().count() == 1 && refused.stderr.contains("--json"), "{refused:?}");
    for interval in ["0", "61s", "100ms"] {
        ensure!(daemon.cli(&["watch", "--json", "--interval", interval])?.code == Some(2), "{interval}");
    }

    let waiting = objects(&daemon, 1)?;
    ensure!(waiting[0]["running"] == false, "{waiting:?}");
    ensure!(waiting[0]["error"].as_str().is_some_and(|why| why.contains("no daemon answers")), "{waiting:?}");

    daemon.start()?;
    daemon.log().append(lines::refused_for(HOSTILE, VILLAIN, 5).as_bytes())?;
    daemon.await_ban(VILLAIN, LIMIT)?;
    let began = Instant::now();
    let told = objects(&daemon, 3)?;
    ensure!(began.elapsed() >= Duration::from_secs(2), "one a second: {:?}", began.elapsed());
    ensure!(told.iter().all(|object| object["running"] == true), "{told:?}");
    ensure!(told[0]["dropped"]["packets_per_s"].is_null() && told[0]["interval_s"].is_null(), "{}", told[0]);
    ensure!(told[1]["dropped"]["packets_per_s"].is_number() && told[1]["interval_s"].is_number(), "{}", told[1]);
    let ban = &told[0]["new_bans"][0];
    ensure!(ban["prefix"] == VILLAIN.to_string() && ban["jail"] == "dovecot" && ban["attempts"] == 5.0, "{ban}");
    ensure!(ban["user"] == HOSTILE, "{ban}");
    ensure!(told[1]["new_bans"] == Value::Array(Vec::new()), "a ban is told once: {}", told[1]);
    let log = &told[0]["logs"][0];
    ensure!(log["behind_bytes"] == 0 && log["path"].as_str().is_some_and(|path| path.ends_with("mail.log")), "{log}");
    daemon.check_alive()
}

#[test]
fn the_bans_of_a_daemon_that_was_started_again_between_two_looks_are_told() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    daemon.cli(&["ban", "198.51.100.7"])?.success()?;
    let watcher = Process::spawn("watch", daemon.command(&["watch", "--json", "--interval", "8s"]))?;
    let told = |words: &'static str| {
        wait::until_true(words, LIMIT, || watcher.printed().contains(words), || watcher.printed())
    };
    told("198.51.100.7")?;

    daemon.kill9()?;
    daemon.start()?;
    daemon.cli(&["ban", "198.51.100.8"])?.success()?;

    // Its number is that of the ban of the run before. Where all this takes longer than the interval, it is told in any case.
    told("198.51.100.8")
}

#[test]
fn who_may_look_may_watch_and_who_may_not_hears_so_in_a_line() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    share(&daemon, CHANGE, "adm")?;
    daemon.start()?;

    let refused = daemon.run_as(&net, &Who { gid: 54_321, groups: Vec::new() }, &["watch", "--json"])?;
    ensure!(refused.code == Some(77) && refused.stdout.is_empty(), "{refused:?}");
    ensure!(refused.stderr.lines().count() == 1, "{refused:?}");

    let looker = Who { gid: gid("adm")?, groups: Vec::new() };
    let report = daemon.run_as(&net, &looker, &["report"])?.success()?;
    ensure!(report.stdout.contains("no bans began"), "{report:?}");
    let mut watch = daemon.command_as(&net, &looker, &["watch", "--json"])?;
    let told = first_lines(&mut watch, 2)?;
    ensure!(told.iter().all(|line| line.contains("\"running\":true")), "{told:?}");
    Ok(())
}

#[test]
fn watchers_that_hang_keep_nobody_from_the_daemon() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    // More than the control socket has places.
    let watchers: Vec<Process> =
        (0..24).map(|_| Process::spawn("watch", daemon.command(&["watch", "--json"]))).collect::<Result<_>>()?;
    for watcher in &watchers {
        wait::until_true("an object", LIMIT, || watcher.printed().contains("running"), || watcher.printed())?;
        watcher.signal(Signal::SIGSTOP)?;
    }

    daemon.log().append(lines::refused(VILLAIN, 5).as_bytes())?;

    daemon.await_ban(VILLAIN, LIMIT)?;
    ensure!(daemon.status()?.jails.iter().any(|jail| jail.name == "dovecot"));
    daemon.check_alive()
}

/// The first objects of a stream whose reader then goes away, which ends it without a word.
fn objects(daemon: &Daemon<'_>, count: usize) -> Result<Vec<Value>> {
    let lines = first_lines(&mut daemon.command(&["watch", "--json", "--interval", "1s"]), count)?;
    lines.iter().map(|line| serde_json::from_str(line).with_context(|| line.clone())).collect()
}

fn first_lines(watch: &mut Command, count: usize) -> Result<Vec<String>> {
    let mut shell = Command::new("bash");
    shell.arg("-c").arg(format!("\"$@\" | head -n {count}; echo \"${{PIPESTATUS[0]}}\"")).arg("bash");
    shell.arg(watch.get_program()).args(watch.get_args());
    let finished = process::run(shell, Duration::from_secs(60))?.success()?;
    ensure!(finished.stderr.is_empty(), "{finished:?}");
    let mut lines: Vec<String> = finished.stdout.lines().map(str::to_owned).collect();
    ensure!(lines.pop().as_deref() == Some("0"), "a reader that has seen enough is no failure: {finished:?}");
    ensure!(lines.len() == count && lines.iter().all(|line| line.bytes().all(|byte| (b' '..=b'~').contains(&byte))));
    Ok(lines)
}
