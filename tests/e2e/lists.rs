//! Lists of addresses on stdin: each is banned, however slowly the list comes, and whoever reads the answer.

use std::{
    collections::HashSet,
    fmt::Write as _,
    io::{BufRead as _, BufReader, Write as _},
    net::Ipv4Addr,
    process::{Child, Stdio},
};

use anyhow::{Context, Result};
use blocker_tests::{
    daemon::{self, Daemon, Settings},
    netns::Net,
    wait,
};

use crate::siege::LIMIT;

#[test]
fn a_list_that_comes_slowly_is_banned_as_it_comes() -> Result<()> {
    let net = Net::new()?;
    let daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    let mut child = ban_stdin(&daemon, Stdio::null())?;
    let mut list = child.stdin.take().context("stdin is a pipe")?;

    for source in ["203.0.113.7", "203.0.113.8"] {
        writeln!(list, "{source}")?;
        daemon.await_ban(source.parse()?, LIMIT)?;
    }
    drop(list);

    assert!(child.wait()?.success());
    Ok(())
}

#[test]
fn a_reader_that_goes_away_ends_no_list() -> Result<()> {
    const LEN: u32 = 20_000;
    let net = Net::new()?;
    let daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    let (reader, writer) = std::io::pipe()?;
    let mut child = ban_stdin(&daemon, writer.into())?;
    drop(reader);
    let mut list = String::new();
    for number in 0..LEN {
        writeln!(list, "{}", Ipv4Addr::from(0x0a00_0000 + number))?;
    }

    child.stdin.take().context("stdin is a pipe")?.write_all(list.as_bytes())?;

    let status = wait::until("the end of the list", LIMIT, || match child.try_wait() {
        Ok(Some(status)) => Ok(status),
        other => Err(format!("{other:?}")),
    })?;
    assert!(status.success(), "a reader that had seen enough is no fault");
    assert_eq!(daemon.status()?.bans.ipv4, u64::from(LEN));
    Ok(())
}

#[test]
fn of_a_long_list_the_answer_tells_every_address_and_the_log_their_number() -> Result<()> {
    const LEN: usize = 5_000;
    let net = Net::new()?;
    let daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    let list: Vec<String> = (0..LEN as u32).map(|number| Ipv4Addr::from(0x0a00_0000 + number).to_string()).collect();
    let mut child = ban_stdin(&daemon, Stdio::piped())?;
    let mut stdin = child.stdin.take().context("stdin is a pipe")?;
    let fed = list.join("\n");
    let feeder = std::thread::spawn(move || stdin.write_all(fed.as_bytes()));

    let answer = String::from_utf8(child.wait_with_output()?.stdout)?;

    feeder.join().expect("the feeder does not panic")?;
    let told: Vec<&str> = answer.lines().filter_map(|line| line.strip_suffix(": banned")).collect();
    assert_eq!(told, list);
    wait::until("the log to tell of all", LIMIT, || {
        let printed = daemon.printed();
        let singly = printed.matches("] Ban ").count();
        let numbers = printed.split("banned=").skip(1).filter_map(|rest| rest.split(' ').next()?.parse::<usize>().ok());
        let summed_up: usize = numbers.sum();
        if singly + summed_up == LEN && summed_up > LEN / 2 {
            Ok(())
        } else {
            Err(format!("{singly} told singly and {summed_up} summed up"))
        }
    })
}

#[test]
fn what_is_wrong_in_the_middle_of_a_long_list_is_told_by_its_line_and_all_else_is_done() -> Result<()> {
    const LEN: u32 = 30_000;
    let net = Net::new()?;
    let settings = Settings { allow: vec!["10.0.64.0/30".into()], ..Settings::default() };
    let daemon = Daemon::launch(&net, &daemon::binary()?, &settings)?;
    let mut fed = String::new();
    let mut expected = Vec::new();
    for number in 0..LEN {
        let addr = Ipv4Addr::from(0x0a00_0000 + number);
        writeln!(fed, "{addr}")?;
        let is_allowed = (0x4000..0x4004).contains(&number);
        expected.push(format!("{addr}: {}", if is_allowed { "refused: allow-listed" } else { "banned" }));
        if number == 9_998 {
            writeln!(fed, "10.0.0.256")?;
        }
        if number == 20_000 {
            writeln!(fed, "2001:db8:7::9")?;
            expected.push("2001:db8:7::/64: banned".to_owned());
        }
    }
    writeln!(fed, "10.0.0.1")?;
    expected.push("10.0.0.1: renewed".to_owned());
    let mut command = daemon.command(&["ban", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut stdin = child.stdin.take().context("stdin is a pipe")?;
    let feeder = std::thread::spawn(move || stdin.write_all(fed.as_bytes()));

    let output = child.wait_with_output()?;

    feeder.join().expect("the feeder does not panic")?;
    let (answer, errors) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
    let told: Vec<&str> = answer.lines().collect();
    assert_eq!(told.len(), expected.len());
    for (told, expected) in told.iter().zip(&expected) {
        assert!(told.starts_with(expected.as_str()), "{told}, expected {expected}");
    }
    assert!(errors.contains("stdin, line 10000: left out: `10.0.0.256`"), "{errors}");
    assert!(errors.contains("1 lines of stdin left out"), "{errors}");
    assert_eq!(output.status.code(), Some(1));
    let bans = daemon.status()?.bans;
    assert_eq!((bans.ipv4, bans.ipv6), (u64::from(LEN) - 4, 1));
    Ok(())
}

#[test]
fn what_a_list_was_told_to_be_done_before_the_daemon_was_killed_outlives_a_reboot() -> Result<()> {
    const LEN: u32 = 300_000;
    const TOLD: usize = 20_000;
    let net = Net::new()?;
    let mut daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    let mut command = daemon.command(&["ban", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut stdin = child.stdin.take().context("stdin is a pipe")?;
    let feeder = std::thread::spawn(move || {
        let list: String = (0..LEN).map(|number| format!("{}\n", Ipv4Addr::from(0x0a00_0000 + number))).collect();
        // The command ends before it has read all.
        stdin.write_all(list.as_bytes()).is_ok()
    });
    let mut answer = BufReader::new(child.stdout.take().context("stdout is a pipe")?).lines();
    let mut told: Vec<String> = answer.by_ref().take(TOLD).collect::<std::io::Result<_>>()?;

    daemon.kill9()?;

    told.extend(answer.collect::<std::io::Result<Vec<String>>>()?);
    let output = child.wait_with_output()?;
    feeder.join().expect("the feeder does not panic");
    assert!(told.len() >= TOLD);
    if told.len() < LEN as usize {
        let errors = String::from_utf8(output.stderr)?;
        assert!(errors.contains("stdin, lines "), "where it ended is told: {errors}");
        assert_eq!(output.status.code(), Some(1));
    }
    daemon.cli(&["detach"])?.success()?;
    daemon.start()?;
    let bans: HashSet<String> = daemon.bans()?.into_iter().map(|ban| ban.prefix).collect();
    for line in &told {
        let source = line.strip_suffix(": banned").context("all are banned")?;
        assert!(bans.contains(source), "{source} was told to be banned");
    }
    Ok(())
}

#[test]
fn a_list_and_what_was_lifted_of_it_outlive_a_reboot() -> Result<()> {
    const LEN: u32 = 10_000;
    let net = Net::new()?;
    let mut daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    let mut command = daemon.command(&["ban", "-", "--for", "3d", "--reason", "a list"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    let list: String = (0..LEN).map(|number| format!("{}\n", Ipv4Addr::from(0x0a00_0000 + number))).collect();
    child.stdin.take().context("stdin is a pipe")?.write_all(list.as_bytes())?;
    assert!(child.wait()?.success());
    daemon.cli(&["unban", "10.0.0.7", "10.0.0.8"])?.success()?;
    daemon.cli(&["ban", "10.0.0.8", "--reason", "again"])?.success()?;
    let before = daemon.bans()?;

    for _ in 0..2 {
        crate::memory::reboot(&mut daemon)?;
    }

    let after = daemon.bans()?;
    assert_eq!(after.len(), LEN as usize - 1);
    assert!(!after.iter().any(|ban| ban.prefix == "10.0.0.7"), "it was lifted");
    for (before, after) in before.iter().zip(&after) {
        assert_eq!((&before.prefix, &before.reason, &before.origin), (&after.prefix, &after.reason, &after.origin));
    }
    let again = after.iter().find(|ban| ban.prefix == "10.0.0.8").context("it was banned again")?;
    assert_eq!(again.reason.as_deref(), Some("again"));
    Ok(())
}

/// `blocker ban -`, to be fed.
fn ban_stdin(daemon: &Daemon<'_>, stdout: Stdio) -> Result<Child> {
    let mut command = daemon.command(&["ban", "-"]);
    command.stdin(Stdio::piped()).stdout(stdout).spawn().context("starting `blocker ban -`")
}
