//! Where a jail's lines come from.

use std::fmt;
use std::net::SocketAddr;

use super::error::Problem;
use super::kinds::{LOGS, is_path};
use super::value::Kind;
use super::walk::{Found, Section};

/// Where a jail's lines come from: one of the keys `log`, `command` and `syslog` of its table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Input {
    /// Files: globs of absolute paths, each once. Empty only in a jail that is off.
    Files(Vec<String>),
    /// What a program prints: it, and its arguments. No shell reads them.
    Command(Vec<String>),
    /// What log daemons and services send.
    Syslog(SyslogSocket),
    /// Standard input: no key says it, but `blocker run --stdin` of all jails.
    Stdin,
}

/// Where syslog messages are received.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SyslogSocket {
    /// A unix datagram socket at this absolute path, of [`MAX_SOCKET_BYTES`] at most.
    Unix(String),
    /// UDP on a loopback address.
    Udp(SocketAddr),
    /// TCP on a loopback address.
    Tcp(SocketAddr),
}

impl fmt::Display for Input {
    /// For people: `/var/log/mail.log, /var/log/maillog`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Files(paths) => f.write_str(&paths.join(", ")),
            Self::Command(words) => write!(f, "command {}", words.join(" ")),
            Self::Syslog(socket) => write!(f, "syslog {socket}"),
            Self::Stdin => f.write_str("standard input"),
        }
    }
}

impl fmt::Display for SyslogSocket {
    /// As in the configuration.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => f.write_str(path),
            Self::Udp(addr) => write!(f, "udp://{addr}"),
            Self::Tcp(addr) => write!(f, "tcp://{addr}"),
        }
    }
}

/// Longest path of a unix socket: `sun_path` of unix(7) less its last zero byte.
pub const MAX_SOCKET_BYTES: usize = 107;

/// Most words of a command.
pub(super) const MAX_WORDS: usize = 64;

/// Longest word of a command, in bytes.
pub(super) const MAX_WORD_BYTES: usize = 4096;

/// Reads the one key that says it.
pub(super) fn input(section: &mut Section<'_, '_>) -> Found<Input> {
    let given = [
        ("log", section.find("log", &LOGS).map(Input::Files)),
        ("command", section.find("command", &COMMAND).map(Input::Command)),
        ("syslog", section.find("syslog", &SYSLOG).map(Input::Syslog)),
    ];
    let mut given = given.into_iter().filter(|(_, input)| !matches!(input, Found::Absent));
    let Some((first, input)) = given.next() else { return Found::Absent };
    for (key, _) in given {
        section.fault_at(key, Problem::Excluded { by: first, hint: "a jail has one input, make two jails of it" });
    }
    input
}

const COMMAND: Kind<Vec<String>> = Kind {
    expected: "a program and its arguments: [\"docker\", \"logs\", \"-f\", \"mail\"]",
    read: |value| {
        let is_word = |word: &&str| word.len() <= MAX_WORD_BYTES && !word.contains('\0');
        let words = value.texts().filter(|words| (1..=MAX_WORDS).contains(&words.len()) && words.iter().all(is_word));
        let words = words.filter(|words| words.first().is_some_and(|program| !program.is_empty()));
        value.or_unexpected(words.map(|words| words.into_iter().map(str::to_owned).collect()))
    },
};

const SYSLOG: Kind<SyslogSocket> = Kind {
    expected: "an absolute path of at most 107 bytes, or \"udp://127.0.0.1:5514\" or \"tcp://[::1]:5514\", on a loopback address",
    read: |value| {
        let loopback =
            |addr: &str| addr.parse().ok().filter(|addr: &SocketAddr| addr.ip().is_loopback() && addr.port() != 0);
        let socket = value.text().and_then(|text| match text.split_once("://") {
            Some(("udp", addr)) => loopback(addr).map(SyslogSocket::Udp),
            Some(("tcp", addr)) => loopback(addr).map(SyslogSocket::Tcp),
            Some(_) => None,
            None => is_path(text, MAX_SOCKET_BYTES).then(|| SyslogSocket::Unix(text.to_owned())),
        });
        value.or_unexpected(socket)
    },
};
