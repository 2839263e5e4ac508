//! The control socket: what operators and scripts ask of the daemon, and its answers.
//!
//! One JSON object per line, both ways ([`wire`]). [`server`] accepts connections, checks who asks ([`access`]), and hands requests to
//! the daemon's task, which alone decides; [`client`] is the commands' side. [`fail2ban`] answers fail2ban's own client, if that is wanted.

pub mod access;
pub mod client;
pub mod fail2ban;
pub mod report;
pub mod server;
pub mod status;
pub(crate) mod unix;
pub mod watch;
pub mod why;
pub mod wire;

use std::path::{Path, PathBuf};

/// The socket in the configured runtime directory.
#[must_use]
pub fn socket_path(runtime: &Path) -> PathBuf {
    runtime.join("control.sock")
}
