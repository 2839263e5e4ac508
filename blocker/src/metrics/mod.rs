//! Metrics for Prometheus: the daemon's status, once more, as numbers with names.
//!
//! [`server`] answers whoever collects them; [`families`] makes them of a [`Status`](crate::control::status::Status). Labels are
//! names of jails, interfaces, tables and reasons, which an administrator bounds; never addresses or names of users.

mod families;
mod server;

pub use server::Server;
