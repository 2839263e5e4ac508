//! The unit in `dist/` under a real systemd: its states and its watchdog, what its sandbox lets the daemon do, the journal as a
//! source and as a log, logind's sessions, a boot.
//!
//! `cargo xtask test-systemd` runs it in a virtual machine, where the daemon is installed by the commands of the README: first the
//! tests in `first_boot`, then, in a machine that was booted again, those in `second_boot`. It stops services and writes
//! below `/etc`, so it runs nowhere else.

mod first_boot;
mod machine;
mod second_boot;
