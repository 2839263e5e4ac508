//! A log line with its header parsed off: by code, in one pass, without allocation.
//!
//! The header is what the log daemon wrote and can be trusted as far as that; the message behind it is the service's,
//! with the attacker's text in it. This module knows nothing of services and never searches the message.

mod header;
mod stamp;

pub use header::{Malformed, parse};
pub use stamp::Stamp;

/// One line, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// When, as the line says.
    pub stamp: Stamp,
    /// The host that logged it; absent in a service's own log file.
    pub host: Option<&'a [u8]>,
    /// The program's name, without `[pid]` and colon: `dovecot`, `postfix/smtpd`, or `imap-login` in Dovecot's own file.
    pub program: &'a [u8],
    /// The number in `[…]` behind it.
    pub pid: Option<u32>,
    /// The rest, without the blank in front and without a line end.
    pub message: &'a [u8],
}
