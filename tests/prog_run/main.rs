//! Packets through the XDP program in the kernel, by `BPF_PROG_TEST_RUN`: no interface, no traffic, exact counts.
//!
//! The tests are tables. A row says what a frame is, how it is built, what becomes of it and which counter tells so:
//!
//! ```text
//! row("TCP to a protected port", ipv4(BANNED).tcp(IMAP), Drop, DropBanned),
//! ```
//!
//! Every row is run through all three programs: the one for frames of several buffers, where the kernel has them, the one
//! without, and the one for tc. Each test loads an object of its own, whose maps nobody else sees. All need root, and fail
//! without it.

mod agreement;
mod allowlist;
mod bypasses;
mod counts;
mod deadlines;
mod ethernet;
mod fragments;
mod frame;
mod ipv4;
mod ipv6;
mod observe;
mod prefixes;
mod presence;
mod program;
mod remembered;
mod rows;
mod scopes;
mod tables;
mod transport;
