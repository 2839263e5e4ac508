//! Where the daemon's own log goes.

use std::{fs::File, os::unix::fs::MetadataExt, process::Stdio};

use anyhow::Result;
use blocker_tests::{
    daemon::{self, Daemon, Settings},
    netns::Net,
    wait,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::siege::LIMIT;

#[test]
fn lines_for_the_journal_have_their_level_in_front() -> Result<()> {
    let said = first_lines("journal", |file| file.metadata().map(|data| format!("{}:{}", data.dev(), data.ino())))?;

    assert!(said.lines().all(|line| line.starts_with("<6>") || line.starts_with("<4>")), "{said}");
    Ok(())
}

#[test]
fn a_journal_that_stderr_does_not_lead_to_is_left_alone() -> Result<()> {
    let said = first_lines("elsewhere", |_| Ok("8:12345".to_owned()))?;

    assert!(
        said.lines().all(|line| !line.starts_with('<') && line.contains("INFO") || line.contains("WARN")),
        "{said}"
    );
    Ok(())
}

/// What the daemon says at its start to a stderr that systemd calls `stream`.
fn first_lines(name: &str, stream: impl Fn(&File) -> std::io::Result<String>) -> Result<String> {
    let net = Net::new()?;
    let daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let path = daemon.directory().join(name);
    let file = File::create(&path)?;
    let mut command = daemon.command(&["run"]);
    command.env("JOURNAL_STREAM", stream(&file)?).stdin(Stdio::null()).stderr(file);
    let mut child = command.spawn()?;
    let said = wait::until("the daemon to introduce itself", LIMIT, || {
        let said = std::fs::read_to_string(&path).map_err(|error| error.to_string())?;
        if said.contains("look next") { Ok(said) } else { Err(said) }
    });
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM)?;
    child.wait()?;
    said
}
