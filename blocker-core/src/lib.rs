//! Detection and decision: log lines and a time in, commands out.
//!
//! ```text
//! Line ─▶ record ─▶ filter ─▶ Failure ─▶ policy (allowlist, ban book, tracker) ─▶ Decision ─▶ Command
//! ```
//!
//! Everything here is a pure state machine. This crate opens nothing, reads no clock, has no thread and no `unsafe`:
//! the daemon (crate `blocker`) hands [`engine::Engine`] the bytes of log lines, requests and the current
//! [`time::Timestamp`], and carries out the [`engine::Command`]s that come back.

#![forbid(unsafe_code)]

pub mod aggregate;
pub mod allowlist;
pub mod attempts;
pub mod bans;
pub mod bounds;
pub mod brake;
pub mod calendar;
pub mod config;
pub mod engine;
pub mod escalation;
pub mod fail2ban;
pub mod filter;
pub mod grants;
pub mod jail;
pub mod journal;
pub mod keyed;
pub mod logins;
pub mod policy;
pub mod prefix;
pub mod record;
pub mod time;
pub mod touched;
pub mod tracker;
pub mod whom;
