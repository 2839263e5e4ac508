//! The edges of `blocker`: everything that touches the world. Decisions are made in `blocker-core`, verdicts on packets in
//! the XDP program; here are the file descriptors between them.
//!
//! ```text
//! source (log files) ─┐                         ┌─▶ kernel (maps, program, links)
//! control (socket)  ──┼─▶ daemon, owns Engine ──┤
//! network (changes) ──┘                         ├─▶ log
//!                                               └─▶ notify (mails, webhooks, programs)
//! ```
//!
//! One task, the daemon's, owns the engine and is the only writer of the kernel's maps.

// One module has what no library wraps: kernel/syscalls.rs.
#![deny(unsafe_code)]

pub mod cli;
pub mod clock;
pub mod control;
pub mod daemon;
mod digest;
pub mod doctor;
pub mod exit;
pub mod fail2ban;
pub mod kernel;
pub mod logging;
pub mod metrics;
pub mod network;
pub mod notify;
mod process_group;
mod regular;
pub mod settings;
pub mod source;
pub mod store;
