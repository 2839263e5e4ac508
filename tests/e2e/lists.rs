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

/// `blocker ban -`, to be fed.
fn ban_stdin(daemon: &Daemon<'_>, stdout: Stdio) -> Result<Child> {
    let mut command = daemon.command(&["ban", "-"]);
    command.stdin(Stdio::piped()).stdout(stdout).spawn().context("starting `blocker ban -`")
}
