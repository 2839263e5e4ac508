//! The daemon as it was installed, on a machine that was just booted.
//!
//! Tests run one after the other, by name. Each takes an attacker's address of its own, and begins with [`crate::machine::fresh`].

mod installed;
mod journal;
mod logins;
mod sandbox;
mod unit;
/// The last by name: what the journal has of all the others.
mod verdict;
