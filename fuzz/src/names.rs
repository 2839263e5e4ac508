//! User names: whatever a client calls itself, a login names its true peer and that name, and none that failed is taken for one
//! that succeeded, or the other way round.
//!
//! An input is a byte that says what kind of line it is, and what the client wrote.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use blocker_core::filter::{Filter, Judgement};
use blocker_core::record;

const PEER: &str = "192.0.2.9";
const VICTIM: &str = "203.0.113.66";

/// Checks what comes of one name.
///
/// # Panics
///
/// If somebody else is named, or nobody where the peer must be.
pub fn check(bytes: &[u8]) {
    let Some((&kind, name)) = bytes.split_first() else { return };
    // A line has no newline in it; the log daemon and Dovecot see to that.
    if name.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
        return;
    }
    let peer: IpAddr = PEER.parse().expect("a constant");
    let header = HEADERS[usize::from(kind) % HEADERS.len()];
    let head = HEADS[usize::from(kind >> 2) % HEADS.len()];
    let session = format!(", session=<{}>", session());
    let (before, behind, fate): (&str, String, Fate) = match kind >> 4 & 7 {
        0 => ("user=<", format!(">, method=PLAIN, rip={PEER}, lip=198.51.100.1, TLS{session}"), Fate::PeerWithName),
        1 => ("user=<", format!(">, method=PLAIN, rip={PEER}, lip=198.51.100.1"), Fate::PeerWithName),
        2 => ("user=<", format!(">, rip={PEER}, lip=198.51.100.1{session}"), Fate::PeerWithName),
        3 => ("user=<bob>, method=PLAIN, rip=192.0.2.9, lip=198.51.100.1, TLS: ", session, Fate::PeerOrNobody),
        4 => ("user=<bob>, rip=192.0.2.9, lip=198.51.100.1, local_name=", session, Fate::PeerOrNobody),
        5 => ("local_name=", format!(", rip={PEER}, user=<bob>{session}"), Fate::PeerOrNobody),
        6 => ("user=<", format!(">, rip={PEER}, local_name=x{session}"), Fate::PeerOrNobody),
        _ => ("user=<", format!(">, method=PLAIN, rip={PEER}, lip=198.51.100.1{session}"), Fate::Success),
    };
    let head = if fate == Fate::Success { "Login" } else { head };
    let line = [header.as_bytes(), head.as_bytes(), b": ", before.as_bytes(), name, behind.as_bytes()].concat();
    let Ok(record) = record::parse(&line) else { panic!("a good header cannot be read: {}", line.escape_ascii()) };

    let judgement = Filter::Dovecot.judge(&record);

    let named = match &judgement {
        Judgement::Failure(failure) => Some((failure.addr, failure.user)),
        Judgement::Success(success) => Some((success.addr, Some(success.user))),
        Judgement::Ignored(_) | Judgement::Helper(_) | Judgement::NoMatch => None,
    };
    let is_success = matches!(judgement, Judgement::Success(_));
    let is_kept = match fate {
        Fate::PeerWithName => !is_success && named == Some((peer, Some(name))),
        Fate::PeerOrNobody => !is_success && named.is_none_or(|(addr, _)| addr == peer),
        Fate::Success if name.is_empty() => named.is_none(),
        Fate::Success => is_success && named == Some((peer, Some(name))),
    };
    assert!(is_kept, "{judgement:?} of {}", line.escape_ascii());
}

/// Pieces of real lines, and addresses that are not the peer's, where a name belongs.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let victims = format!("x>, method=PLAIN, rip={VICTIM}, lip=198.51.100.2, session=<{}", session());
    let names = [
        String::new(),
        "bob@example.org".to_owned(),
        ">, rip=203.0.113.66, lip=198.51.100.2, session=<".to_owned(),
        " (auth failed, 99 attempts in 1 secs): user=<x>, rip=203.0.113.66".to_owned(),
        "(no auth attempts in 0 secs)".to_owned(),
        "<>, user=<x>, TLS: , local_name=, method=".to_owned(),
        victims,
    ];
    (0..=u8::MAX)
        .step_by(5)
        .flat_map(|kind| names.iter().map(move |name| [&[kind], name.as_bytes()].concat()))
        .collect()
}

/// What must come of a line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// A failure of the peer, with the name as it is.
    PeerWithName,
    /// A failure of the peer, or, where the line leaves a doubt, of nobody.
    PeerOrNobody,
    /// No failure.
    Success,
}

const HEADERS: [&str; 4] = [
    "Nov 23 01:06:25 mx1 dovecot: imap-login: ",
    "2026-11-23T01:11:33.070638+00:00 mx1 dovecot: pop3-login: ",
    "Nov 23 01:13:57 submission-login: Info: ",
    "<22>1 2026-11-23T01:11:33.070638Z mx1 dovecot 77 - - imap-login: ",
];

const HEADS: [&str; 4] = [
    "Disconnected (auth failed, 3 attempts in 8 secs)",
    "Disconnected: Connection closed (auth failed, 3 attempts in 8 secs)",
    "Login aborted: Logged out (auth failed, 3 attempts in 8 secs) (auth_failed)",
    "Aborted login (auth failed, 1 attempts in 2 secs)",
];

/// A session as Dovecot makes it for the peer.
fn session() -> String {
    let mut bytes = vec![0x85, 0xaf, 0xbe, 0x3f, 0xe7, 0x60, 0xe9, 0xc6];
    bytes.extend([192, 0, 2, 9]);
    STANDARD_NO_PAD.encode(bytes)
}
