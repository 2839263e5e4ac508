//! Lists of addresses on stdin: each is banned, however slowly the list comes, and whoever reads the answer.

use std::{
    fmt::Write as _,
    io::Write as _,
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

/// `blocker ban -`, to be fed.
fn ban_stdin(daemon: &Daemon<'_>, stdout: Stdio) -> Result<Child> {
    let mut command = daemon.command(&["ban", "-"]);
    command.stdin(Stdio::piped()).stdout(stdout).spawn().context("starting `blocker ban -`")
}
