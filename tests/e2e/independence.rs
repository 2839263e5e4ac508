//! Nothing outside the process can delay a ban.

use std::process::Stdio;

use anyhow::Result;
use blocker_tests::{
    daemon::{self, Daemon, Settings},
    lines,
    netns::Net,
    wait,
};

use crate::siege::{LIMIT, STRANGER, VILLAIN};

#[test]
fn a_log_that_nobody_reads_delays_no_ban() -> Result<()> {
    let net = Net::new()?;
    let daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let mut command = daemon.command(&["run", "-vv"]);
    // A pipe holds 64 KiB; nobody takes anything out of this one.
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let seen = (|| {
        wait::until("blocker to answer and attach", LIMIT, || {
            let status = daemon.status().map_err(|error| format!("{error:#}"))?;
            let is_attached = status.interfaces.iter().any(|interface| interface.mode.is_some());
            if is_attached { Ok(()) } else { Err(format!("{:?}", status.interfaces)) }
        })?;
        // What is logged of these lines is several times what the pipe holds.
        for _ in 0..4_000 {
            daemon.log().append(lines::refused(STRANGER, 0).as_bytes())?;
        }
        daemon.log().append(lines::refused(VILLAIN, 5).as_bytes())?;
        daemon.await_ban(VILLAIN, LIMIT)
    })();
    let pid = nix::unistd::Pid::from_raw(child.id().try_into()?);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL)?;
    child.wait()?;
    seen.map(drop)
}
