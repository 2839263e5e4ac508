//! Logins that succeeded, and the connections on which others failed.

use std::net::IpAddr;

use super::Label;

/// A login that succeeded: what its user failed at before, from there, was a slip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Success<'a> {
    /// The peer, canonical (a v4-mapped address is IPv4).
    pub addr: IpAddr,
    /// Who it is, as the service knows him; not empty.
    pub user: &'a [u8],
    /// Which of the filter's patterns matched, for people: `login succeeded`.
    pub pattern: Label,
}

/// A connection, by the service's own name for it, and who of the service tells of it.
///
/// Unique only together with the peer's address: a proxy, or an unusual log format, may let others choose the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session<'a> {
    /// The name; not empty.
    pub id: &'a [u8],
    /// Whose line it is.
    pub teller: Teller,
}

/// Which part of a service tells of attempts. Each may tell of the same ones, and none tells of one twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Teller {
    /// The process that has the connection: in one line, when it ends.
    Login,
    /// The process that looks passwords up: of each attempt, at once.
    Auth,
}
