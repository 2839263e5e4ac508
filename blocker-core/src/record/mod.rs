//! A log line with its header parsed off: by code, in one pass, without allocation.
//!
//! The header is what the log daemon wrote and can be trusted as far as that; the message behind it is the service's,
//! with the attacker's text in it. This module knows nothing of services and never searches the message.
//!
//! - `header`: what stands in front of a message, in every form;
//! - `rfc5424`: the same of syslog's newer protocol;
//! - `words`: the host, the program and its number;
//! - `repeat`: "the same again, N times";
//! - `stamp`: the time;
//! - `learnt`: which form of it a log has.

mod header;
mod learnt;
mod repeat;
mod rfc5424;
mod stamp;
mod words;

pub use header::{Malformed, parse, read};
pub use learnt::Learnt;
pub use repeat::MAX_REPEATS;
pub use stamp::{Date, Form, Stamp, Time, Zone};

/// One line, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The whole line, without its end.
    pub line: &'a [u8],
    /// When, as the line says; `None` if it does not.
    pub stamp: Option<Stamp>,
    /// What stands in front of the stamp, in a web server's access log: `192.0.2.9 - bob `. Else empty.
    pub front: &'a [u8],
    /// All that stands behind the stamp, for a service that writes a log file of its own without naming itself.
    pub body: &'a [u8],
    /// The host that logged it; absent in a service's own log file.
    pub host: Option<&'a [u8]>,
    /// The program's name, without `[pid]` and colon: `dovecot`, `postfix/smtpd`, or `imap-login` in Dovecot's own file.
    /// Empty in the file of a service that does not name itself.
    pub program: &'a [u8],
    /// The number in `[…]` behind it.
    pub pid: Option<u32>,
    /// The rest, without the blank in front and without a line end; of a repeated message, the message.
    pub message: &'a [u8],
    /// How many messages this stands for: 1, or the number in `message repeated N times`, up to [`MAX_REPEATS`].
    pub repeats: u32,
}

impl<'a> Record<'a> {
    /// A line of whose header nothing is known.
    #[must_use]
    pub fn bare(line: &'a [u8]) -> Self {
        let line = header::trim_line_end(line);
        let (front, program) = (&line[..0], &line[..0]);
        Self { line, stamp: None, front, body: line, host: None, program, pid: None, message: line, repeats: 1 }
    }
}

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// Something that a program said.
    Record(Record<'a>),
    /// The log daemon's word that the line before this one came again, instead of those lines.
    Again {
        /// When, as the line says.
        stamp: Option<Stamp>,
        /// The host whose line it was; `None` if it does not say: whichever was the last in the log.
        host: Option<&'a [u8]>,
        /// How many times, up to [`MAX_REPEATS`].
        times: u32,
    },
}
