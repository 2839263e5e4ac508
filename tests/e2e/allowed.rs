//! Who is never banned because of what is found while the daemon runs: in files, and by who is logged in.

use std::{fs, net::IpAddr, path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use blocker_tests::{
    daemon::{self, Daemon, Settings},
    lines,
    netns::Net,
    wait,
};

use crate::siege::{LIMIT, STRANGER, VILLAIN};

#[test]
fn what_a_file_names_is_let_go_when_it_is_written_there_and_never_banned_again() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let file = daemon.directory().join("allow");
    fs::write(&file, "# nobody yet\n")?;
    let key = format!("mode = \"enforce\"\nallow_files = [{:?}]\n", file.display().to_string());
    let text = daemon.configuration(&Settings::default()).replacen("mode = \"enforce\"\n", &key, 1);
    daemon.write_configuration(&text)?;
    daemon.start()?;
    fail(&daemon, VILLAIN)?;
    daemon.await_ban(VILLAIN, LIMIT)?;

    // As editors do it.
    let other = daemon.directory().join("allow.new");
    fs::write(&other, format!("{VILLAIN} # our office\n"))?;
    fs::rename(&other, &file)?;

    await_let_go(&daemon, VILLAIN)?;
    let refused = daemon.cli(&["ban", &VILLAIN.to_string()])?;
    ensure!(refused.stdout.contains("allowed by a file"), "{refused:?}");

    fs::write(&file, "203.0.113.0/33\n")?;
    wait::until("the fault to be told", LIMIT, || {
        let problems = daemon.status().map_err(|error| format!("{error:#}"))?.problems;
        let is_told = problems.iter().any(|problem| problem.contains("line 1") && problem.contains("counts as it was"));
        is_told.then_some(()).ok_or_else(|| format!("{problems:?}"))
    })?;
    never_banned(&daemon, VILLAIN)?;
    let checked = daemon.cli(&["check"])?;
    ensure!(checked.code == Some(78) && checked.stderr.contains("line 1"), "{checked:?}");
    let reloaded = daemon.cli(&["reload"])?;
    ensure!(reloaded.code == Some(78), "{reloaded:?}");

    fs::write(&file, "")?;
    wait::until("the villain to be nobody's friend any more", LIMIT, || {
        fail(&daemon, VILLAIN).map_err(|error| format!("{error:#}"))?;
        daemon.await_ban(VILLAIN, std::time::Duration::from_millis(300)).map_err(|error| format!("{error:#}"))
    })?;
    Ok(())
}

#[test]
fn a_file_that_is_missing_at_the_start_is_a_fault_of_the_configuration() -> Result<()> {
    let net = Net::new()?;
    let daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let text = daemon.configuration(&Settings::default());
    daemon.write_configuration(&text.replacen(
        "[daemon]\n",
        "[daemon]\nallow_files = [\"/nonexistent/allow\"]\n",
        1,
    ))?;

    let run = daemon.cli(&["run"])?;

    ensure!(run.code == Some(78), "{run:?}");
    ensure!(run.stderr.contains("`daemon.allow_files`: /nonexistent/allow: No such file"), "{run:?}");
    Ok(())
}

#[test]
fn where_somebody_is_logged_in_from_is_let_go_and_not_banned_as_long_as_they_are() -> Result<()> {
    for is_on in [true, false] {
        let net = Net::new()?;
        let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
        let sessions = daemon.directory().join("sessions");
        fs::create_dir(&sessions)?;
        if !is_on {
            let text = daemon.configuration(&Settings::default());
            daemon.write_configuration(&text.replacen("[daemon]\n", "[daemon]\nallow_logins = false\n", 1))?;
        }
        daemon.start_by(with_sessions(&sessions)?, &["run"])?;
        fail(&daemon, VILLAIN)?;
        daemon.await_ban(VILLAIN, LIMIT)?;

        log_in(&sessions, VILLAIN)?;

        if is_on {
            await_let_go(&daemon, VILLAIN)?;
            let listed = daemon.cli(&["allow", "--list"])?.success()?.stdout;
            let line = listed.lines().find(|line| line.starts_with(&VILLAIN.to_string())).context("it is listed")?;
            let (since, who) = ("2026-11-26T14:35:35Z", "where an administrator is logged in from: root by sshd");
            ensure!(line.contains(since) && line.ends_with(who), "{line}");
            never_banned(&daemon, VILLAIN)?;
            fs::remove_file(sessions.join("7"))?;
            wait::until("the end of the session to be noticed", LIMIT, || {
                fail(&daemon, VILLAIN).map_err(|error| format!("{error:#}"))?;
                daemon.await_ban(VILLAIN, std::time::Duration::from_millis(300)).map_err(|error| format!("{error:#}"))
            })?;
        } else {
            // A reload looks at everything that could be found.
            daemon.cli(&["reload"])?.success()?;
            ensure!(is_banned(&daemon, VILLAIN)?, "sessions are not looked at");
        }
    }
    Ok(())
}

/// Runs a program with these as logind's sessions.
fn with_sessions(directory: &Path) -> Result<Command> {
    // The place must be there to be covered, also where systemd is not.
    fs::create_dir_all(SESSIONS).with_context(|| format!("making {SESSIONS}"))?;
    let mut unshare = Command::new("unshare");
    let script = format!("mount --bind \"$1\" {SESSIONS}; shift; exec \"$@\"");
    unshare.args(["--mount", "sh", "-euc", &script, "sh"]).arg(directory);
    Ok(unshare)
}

const SESSIONS: &str = "/run/systemd/sessions";

/// Writes a session over SSH as logind does.
fn log_in(sessions: &Path, peer: IpAddr) -> Result<()> {
    let text = format!(
        "# This is private data. Do not parse.\nUID=0\nUSER=root\nREALTIME=1795703735075862\nACTIVE=1\nIS_DISPLAY=0\nSTATE=active\nREMOTE=1\n\
         TYPE=tty\nORIGINAL_TYPE=tty\nCLASS=user\nREMOTE_HOST={peer}\nSERVICE=sshd\n"
    );
    let temporary = sessions.join(".#7");
    fs::write(&temporary, text)?;
    Ok(fs::rename(temporary, sessions.join("7"))?)
}

fn fail(daemon: &Daemon<'_>, source: IpAddr) -> Result<()> {
    daemon.log().append(lines::refused(source, 5).as_bytes()).map(drop)
}

fn await_let_go(daemon: &Daemon<'_>, source: IpAddr) -> Result<()> {
    wait::until("the ban to be lifted", LIMIT, || {
        match is_banned(daemon, source).map_err(|error| format!("{error:#}"))? {
            false => Ok(()),
            true => Err(daemon.printed()),
        }
    })
}

/// Fails as often as earns a ban, and sees that it is not banned by the time that another is.
fn never_banned(daemon: &Daemon<'_>, source: IpAddr) -> Result<()> {
    daemon.cli(&["unban", &STRANGER.to_string()])?;
    fail(daemon, source)?;
    fail(daemon, STRANGER)?;
    daemon.await_ban(STRANGER, LIMIT)?;
    ensure!(!is_banned(daemon, source)?, "{source} is banned");
    Ok(())
}

fn is_banned(daemon: &Daemon<'_>, source: IpAddr) -> Result<bool> {
    Ok(daemon.bans()?.iter().any(|ban| daemon::covers(&ban.prefix, source)))
}
