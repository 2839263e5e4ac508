//! fail2ban's files on this machine: its configuration, and the database of its bans.

pub mod database;
mod directory;
mod jails;

pub use directory::{is_there, read};
pub use jails::{add_filters, add_jails, check_allow_file, compiled, in_words};

/// Where fail2ban's configuration is as a rule.
pub const DIRECTORY: &str = "/etc/fail2ban";

/// Where fail2ban's database is as a rule.
pub const DATABASE: &str = "/var/lib/fail2ban/fail2ban.sqlite3";
