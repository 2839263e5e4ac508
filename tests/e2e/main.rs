//! End to end: the real binary, the real kernel, namespaces and veth, and a real Dovecot where one matters.
//!
//! A file per promise. Every test needs root, and fails without it; each makes a network of its own, so that they may
//! run at the same time. The binary under test is `$BLOCKER_BIN`, else the `blocker` of the same target directory.

mod aggregate;
mod allow_command;
mod allowed;
mod allowlist;
mod attempts;
mod bad_input;
mod brake;
mod brute_force;
mod closing;
mod commands;
mod confirm;
mod control;
mod control_hostile;
mod crashes;
mod daemon_log;
mod dispatcher;
mod doctor;
mod everybody;
mod fail2ban;
mod fail2ban_client;
mod fail2ban_jails;
mod fail2ban_logs;
mod fail2ban_regex;
mod filters;
mod groups;
mod hostile;
mod independence;
mod interfaces;
mod journal;
mod large;
mod lists;
mod lock_out;
mod log_words;
mod logs;
mod memory;
mod metrics;
mod notify;
mod past;
mod power_loss;
mod refusals;
mod reload;
mod repeat;
mod report;
mod restart;
mod rotation;
mod siege;
mod supervision;
mod terminal;
mod test_command;
mod watch;
mod why;
