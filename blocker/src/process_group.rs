//! A child process that leads a group of its own: with it ends all that it began.

use std::io;
use std::process::ExitStatus;

use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use tokio::process::Child;
use tracing::warn;

/// A program that runs, begun with `process_group(0)`. Dropping it ends the group.
#[derive(Debug)]
pub(crate) struct ProcessGroup(Child);

impl ProcessGroup {
    /// The group that `leader` leads.
    pub(crate) fn of(leader: Child) -> Self {
        Self(leader)
    }

    /// The number of its leader; none after that was waited for.
    pub(crate) fn id(&self) -> Option<u32> {
        self.0.id()
    }

    /// Whether its leader has ended, without waiting for it.
    pub(crate) fn has_ended(&self) -> bool {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        self.leader().is_none_or(|leader| !matches!(waitid(Id::Pid(leader), flags), Ok(WaitStatus::StillAlive)))
    }

    /// Ends all of it, and waits for its leader. In this order: until that is waited for, nobody else can have the number of the
    /// group.
    pub(crate) async fn end(mut self) -> io::Result<ExitStatus> {
        self.kill();
        self.0.wait().await
    }

    fn leader(&self) -> Option<Pid> {
        self.0.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw)
    }

    fn kill(&self) {
        if let Some(leader) = self.leader()
            && let Err(error) = killpg(leader, Signal::SIGKILL)
        {
            warn!(%error, process = %leader, "cannot end a command");
        }
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.kill();
    }
}

/// How a process ended, in words.
pub(crate) fn ended(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit status {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}
