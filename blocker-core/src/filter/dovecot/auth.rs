//! Refused passwords as Dovecot's authentication processes write them with `auth_verbose`: each at once.
//!
//! ```text
//! auth: passwd-file(bob,192.0.2.9,<SESSION>): Password mismatch                      2.2 and 2.3
//! auth-worker(77): Info: conn unix:… (pid=5,uid=97): auth-worker<7>: sql(bob,…): …   2.3, of a process of its own
//! auth(bob,192.0.2.9,sasl:plain)<SESSION>: passwd-file: Password mismatch            2.4
//! auth-worker(bob,192.0.2.9,sasl:plain)<77><SESSION>: request [7]: sql: unknown user
//! └ process ┘└──────── who ──────────┘└ session ┘          └──── what ────────────┘
//! ```
//!
//! The same attempts are told by the login process when the connection ends (module `reason`), under the same session;
//! for Postfix, which asks here too, there is none, and its own line has no name for the connection either.
//!
//! As a rule the user is of letters, digits and a few signs (`auth_username_chars`). If anything is let through, it may hold
//! commas: the address is the last thing before the session. A name with a parenthesis is nobody's: what it closes is no
//! end of anything. A message must be known from its first byte to its last, and a password that is logged behind it
//! (`auth_verbose_passwords`) may hold no parenthesis either, or a name could have put its own message in front of it.

use std::time::Duration;

use super::super::bytes::{begins, find, rfind};
use super::super::{Failure, Judgement, Session, Teller};
use super::fields::address;
use super::{is_instance, session};
use crate::attempts::Attempts;

/// In every line that is known here: what the names of the processes begin with. Few lines of others have it, and one search is
/// faster than three for what may stand behind it.
pub(super) const NEEDLE: &[u8] = b"auth";

/// Says what the message of a process called `program` tells; `None` if it is no line of an authentication process.
///
/// In syslog the name stands in the message, behind the instance's; in Dovecot's own log file it is the program.
pub(super) fn judge<'a>(program: &'a [u8], message: &'a [u8]) -> Option<Judgement<'a>> {
    let line = if program == b"auth" || worker_number(program).is_some_and(<[u8]>::is_empty) {
        read_plain(skip_level(message))
    } else if begins(message, NEEDLE) && is_instance(program) {
        read(message)
    } else {
        return None;
    };
    Some(line.map_or(Judgement::NoMatch, Line::judge))
}

/// A line that has been taken apart.
struct Line<'a> {
    /// The user and, behind a comma, the address.
    who: &'a [u8],
    session: &'a [u8],
    what: &'a [u8],
}

/// A message that begins with the name of the process.
fn read(message: &[u8]) -> Option<Line<'_>> {
    let rest = message.strip_prefix(b"auth")?;
    if let Some(rest) = rest.strip_prefix(b": ") {
        return read_plain(skip_level(rest));
    }
    if let Some(rest) = worker_number(message) {
        return read_plain(skip_level(rest.strip_prefix(b": ")?));
    }
    if let Some(rest) = rest.strip_prefix(b"(") {
        let (who, rest) = rest.split_at(find(rest, b")<")?);
        let (session, rest) = split_session(rest.strip_prefix(b")<")?)?;
        let what = skip_level(rest.strip_prefix(b": ")?);
        return Some(Line { who: of_mechanism(who)?, session, what: skip_driver(what) });
    }
    let rest = rest.strip_prefix(b"-worker(")?;
    let (who, rest) = rest.split_at(find(rest, b")<")?);
    let (number, rest) = split_session(rest.strip_prefix(b")<")?)?;
    let (session, rest) = split_session(rest.strip_prefix(b"<").filter(|_| is_number(number))?)?;
    let what = skip_level(rest.strip_prefix(b": ")?).strip_prefix(b"request [")?;
    let (number, what) = what.split_at(find(what, b"]: ")?);
    let what = what.strip_prefix(b"]: ").filter(|_| is_number(number))?;
    Some(Line { who: of_mechanism(who)?, session, what: skip_driver(what) })
}

/// `DRIVER(USER,ADDRESS,<SESSION>): what`, perhaps behind the connection of a worker.
fn read_plain(text: &[u8]) -> Option<Line<'_>> {
    let text = if begins(text, b"conn unix:") { skip_connection(text)? } else { text };
    let open = find(text, b"(").filter(|&open| is_driver(&text[..open]))?;
    let rest = &text[open + 1..];
    let (inner, rest) = rest.split_at(find(rest, b")")?);
    let what = rest.strip_prefix(b"): ")?;
    if inner.contains(&b'(') {
        return None;
    }
    let Some(open) = inner.strip_suffix(b">") else { return Some(Line { who: inner, session: b"", what }) };
    let (who, session) = open.split_at(rfind(open, b",<")?);
    let session = &session[b",<".len()..];
    is_session(session).then_some(Line { who, session, what })
}

/// `conn unix:PATH (pid=5,uid=97): auth-worker<7>: rest`.
fn skip_connection(text: &[u8]) -> Option<&[u8]> {
    let path = text.strip_prefix(b"conn unix:")?;
    let (_, rest) = path.split_at(find(path, b" ")?);
    let peer = rest.strip_prefix(b" (")?;
    let (peer, rest) = peer.split_at(find(peer, b")")?);
    let worker = rest.strip_prefix(b"): auth-worker<").filter(|_| !peer.contains(&b'('))?;
    let (number, rest) = worker.split_at(find(worker, b">")?);
    rest.strip_prefix(b">: ").filter(|_| is_number(number))
}

/// What follows `auth-worker(77)`.
fn worker_number(text: &[u8]) -> Option<&[u8]> {
    let rest = text.strip_prefix(b"auth-worker(")?;
    let (number, rest) = rest.split_at(find(rest, b")")?);
    is_number(number).then_some(&rest[1..])
}

/// `USER,ADDRESS` of `USER,ADDRESS,sasl:MECHANISM`.
fn of_mechanism(who: &[u8]) -> Option<&[u8]> {
    let (front, mechanism) = who.split_at(rfind(who, b",sasl:")?);
    let is_free = !front.iter().any(|byte| matches!(byte, b'(' | b')'));
    (is_free && is_driver(&mechanism[b",sasl:".len()..])).then_some(front)
}

/// What stands before the next `>`, and what behind it.
fn split_session(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (session, rest) = text.split_at(find(text, b">")?);
    is_session(session).then_some((session, &rest[1..]))
}

fn is_session(text: &[u8]) -> bool {
    !text.iter().any(|byte| matches!(byte, b'<' | b'>' | b'(' | b')' | b' '))
}

fn is_number(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

/// Whether it may name a database or a mechanism.
fn is_driver(text: &[u8]) -> bool {
    let of_names = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
    !text.is_empty() && text.iter().all(of_names)
}

fn skip_level(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"Info: ").unwrap_or(text)
}

/// `passwd-file: ` in front of a message, which some have.
fn skip_driver(what: &[u8]) -> &[u8] {
    match find(what, b": ") {
        Some(colon) if is_driver(&what[..colon]) => &what[colon + 2..],
        Some(_) | None => what,
    }
}

impl<'a> Line<'a> {
    fn judge(self) -> Judgement<'a> {
        let Self { who, session, what } = self;
        let Some(comma) = rfind(who, b",") else { return Judgement::NoMatch };
        let (user, addr) = (&who[..comma], &who[comma + 1..]);
        let told = match Told::read(what, user) {
            Some(Told::NotFinal) => {
                return Judgement::Ignored("not final: the next database may accept the password".into());
            }
            Some(told) => told,
            None => return Judgement::NoMatch,
        };
        let Some(addr) = address(addr) else {
            return Judgement::Ignored("the peer has no address that could be banned".into());
        };
        if session::address(session).is_some_and(|witness| witness != addr) {
            return Judgement::Ignored("the session was another address's".into());
        }
        let user = (!user.is_empty() && user != NOBODY).then_some(user);
        let attempts = told.weight();
        Judgement::Failure(Failure {
            addr,
            user,
            attempts,
            forgivable: if user.is_some() { attempts } else { Attempts::ZERO },
            span: Duration::ZERO,
            session: (!session.is_empty()).then_some(Session { id: session, teller: Teller::Auth }),
            service: "mail".into(),
            pattern: told.name().into(),
        })
    }
}

/// What became of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Refused,
    NameNotAllowed,
    Probe,
    NotFinal,
}

impl Told {
    fn read(what: &[u8], user: &[u8]) -> Option<Self> {
        // Behind the number stands what the client sent. Longer than a name in front of it can be: 64 bytes.
        if let Some(rest) = what.strip_prefix(b"Username character disallowed by auth_username_chars: 0x") {
            let is_whole = rest.get(2..).is_some_and(|rest| rest.starts_with(b" (username: "));
            return (user == NOBODY && is_whole).then_some(Self::NameNotAllowed);
        }
        if let Some(rest) = what.strip_prefix(b"Invalid base64 data in ") {
            return matches!(rest, b"initial response" | b"continued response").then_some(Self::Probe);
        }
        let text = REFUSED.iter().find(|text| begins(what, text))?;
        match without_password(&what[text.len()..])? {
            b"" => Some(Self::Refused),
            b" - trying the next passdb" => Some(Self::NotFinal),
            _ => None,
        }
    }

    const fn weight(self) -> Attempts {
        match self {
            Self::Refused | Self::NameNotAllowed => Attempts::whole(1),
            Self::Probe => Attempts::tenths(3),
            Self::NotFinal => Attempts::ZERO,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Refused => NAMES[0],
            Self::NameNotAllowed => NAMES[1],
            Self::Probe => NAMES[2],
            Self::NotFinal => "",
        }
    }
}

/// What follows ` (given password: TEXT)`, if that is there. `None` if it does not end.
fn without_password(text: &[u8]) -> Option<&[u8]> {
    let given = [&b" (given password: "[..], b" (SHA1 of given password: "].into_iter();
    let Some(password) = given.into_iter().find_map(|start| text.strip_prefix(start)) else { return Some(text) };
    let (password, rest) = password.split_at(find(password, b")")?);
    (!password.contains(&b'(')).then_some(&rest[1..])
}

/// For people, in the order in which they are numbered.
pub(super) const NAMES: [&str; 3] = ["password refused", "user name not allowed", "SASL probe"];

/// The user where there is none.
const NOBODY: &[u8] = b"?";

/// How a refused password is told.
#[cfg(test)]
pub(super) fn refusals() -> impl Iterator<Item = &'static str> {
    REFUSED.iter().map(|text| str::from_utf8(text).expect("it is ASCII"))
}

/// How a refused password is told (dovecot src/auth/: `auth-request.c`, `passdb-pam.c`, `passdb-ldap.c`, `auth-policy.c`); none
/// begins another, but for the one behind it.
const REFUSED: [&[u8]; 9] = [
    b"Password mismatch",
    b"unknown user",
    b"invalid credentials",
    b"pam_authenticate() failed: Authentication failure (Password mismatch?)",
    b"pam_authenticate() failed: Authentication failure",
    b"pam_authenticate() failed: User not known to the underlying authentication module",
    b"Authentication failure due to policy server refusal",
    b"Master user login attempted without master passdbs",
    b"login user: Master user login attempted without master passdbs",
];
