//! The laboratory: network namespaces with a real Dovecot, a legitimate client, attackers, and `blocker` under test.
//!
//! `cargo xtask lab` tells the story of [`lab::run`], `cargo xtask bench latency` that of [`latency::latency`], and the
//! end-to-end tests (`e2e/`) assert on the same parts. The laboratory drives the daemon's binary and reads its JSON, as
//! any script would; it links nothing of the product.
//!
//! Everything here needs root, makes namespaces of its own, and removes them: at the end, after a panic, after Ctrl-C,
//! and, for a run that was killed, at the start of the next one.

pub mod answers;
pub mod arrivals;
pub mod attackers;
pub mod clock;
pub mod daemon;
pub mod disk;
pub mod dovecot;
pub mod fail2ban;
pub mod interrupt;
pub mod journal_files;
pub mod journald;
pub mod kernel;
pub mod knocker;
pub mod lab;
pub mod latency;
pub mod leftovers;
pub mod legitimate;
pub mod lines;
pub mod listener;
pub mod log_file;
pub mod netns;
pub mod postfix;
pub mod probe;
pub mod process;
pub mod receivers;
pub mod report;
pub mod story;
pub mod wait;
pub mod worker;
