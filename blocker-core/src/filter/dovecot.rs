//! Logins, failed and not, as Dovecot's login processes write them: imap, pop3, submission, managesieve; versions 2.2 to 2.4.
//!
//! ```text
//! imap-login: Disconnected: Connection closed (auth failed, 3 attempts in 8 secs): user=<bob>, method=PLAIN, rip=…
//! pop3-login: Login aborted: Logged out (auth failed, 3 attempts in 8 secs) (auth_failed): user=<bob>, method=PLAIN, …
//! └ service ┘ └────────────────────── head ──────────────────────────────┘  └──────────── fields ─────────────────
//! ```
//!
//! One line tells of one connection, when it ends. The **head** is the server's own text and says what happened and how
//! often (module `reason`). The **fields** hold the user name, unescaped, so everything behind `user=<` is the attacker's
//! until proven otherwise; module `fields` finds the peer's address there, and the session at the end is the witness.
//!
//! Nothing is searched for in the whole line. The message begins with the service, then comes a known word, then the
//! head up to its closing parenthesis; were the fields to begin before that, there is no reason to read. Where a line
//! leaves a doubt whose address it shows, nobody is named.
//!
//! Syslog's program is the instance's name and may be any; in Dovecot's own log file the service itself stands there.
//!
//! With `auth_verbose` the same tries are told one by one as well (module `auth`): the session says which are the same.

mod auth;
mod fields;
mod reason;
mod session;
mod table;

use memchr::memchr_iter;

use super::bytes::begins;
use super::{Failure, IsCounted, Judgement, Session, Success, Teller};
use crate::record::Record;
use reason::Reason;

/// Says what `record` tells.
#[must_use]
pub fn judge<'a>(record: &Record<'a>) -> Judgement<'a> {
    judge_of(record, &mut |_, _| true)
}

/// The same for who wants to know of logins that succeed from some addresses alone: others may be [`Judgement::Ignored`].
#[must_use]
pub(super) fn judge_of<'a>(record: &Record<'a>, is_counted: &mut IsCounted<'_>) -> Judgement<'a> {
    let Some((service, message)) = split_service(record) else {
        return auth::judge(record.program, record.message).unwrap_or(Judgement::NoMatch);
    };
    let message = match strip_level(message) {
        Level::Info(message) => message,
        Level::Other => return Judgement::Ignored("a warning or an error of the server's own".into()),
    };
    if !FAILED.iter().any(|start| begins(message, start)) {
        if let Some(fields) = SUCCEEDED.iter().find_map(|start| message.strip_prefix(*start)) {
            // Most lines of a healthy server are of nobody who has failed.
            return match fields::peer_behind_user(fields) {
                Some((peer, user)) if !is_counted(peer, user) => Judgement::Ignored(SUCCESS.into()),
                Some(_) | None => succeeded(fields),
            };
        }
        return match HARMLESS.iter().find(|(start, _)| begins(message, start)) {
            Some((_, why)) => Judgement::Ignored((*why).into()),
            None => Judgement::NoMatch,
        };
    }
    let Some((head, fields)) = split_head(message) else { return Judgement::NoMatch };
    let Some(reason) = Reason::read(head) else { return Judgement::NoMatch };
    if let Some(why) = reason.harmless() {
        return Judgement::Ignored(why.into());
    }
    let fields = match fields::read(fields) {
        Ok(fields) => fields,
        Err(why) => return Judgement::Ignored(why.into()),
    };
    let attempts = reason.weigh(fields.has_method, fields.has_user());
    if attempts.is_zero() {
        return Judgement::Ignored("no attempt was counted".into());
    }
    Judgement::Failure(Failure {
        addr: fields.addr,
        user: fields.user,
        attempts,
        forgivable: reason.forgivable(fields.has_method, fields.has_user()).min(attempts),
        span: reason.span(),
        session: fields.session.map(|id| Session { id, teller: Teller::Login }),
        service: service.into(),
        pattern: reason.name().into(),
    })
}

/// What the fields of a login say that succeeded; only who can be named is.
fn succeeded(fields: &[u8]) -> Judgement<'_> {
    match fields::read(fields) {
        Ok(fields::Fields { addr, user: Some(user), .. }) if !user.is_empty() => {
            Judgement::Success(Success { addr, user, pattern: SUCCESS.into() })
        }
        Ok(_) | Err(_) => Judgement::Ignored(SUCCESS.into()),
    }
}

/// The names of what it finds: in the order of its table, and then what is told of single tries.
pub(super) fn pattern_names() -> impl Iterator<Item = &'static str> {
    table::TABLE.iter().map(|row| row.name).chain(auth::NAMES)
}

/// Texts of which every line has at least one of which something is said here.
pub(super) const NEEDLES: [&[u8]; 2] = [NEEDLE, auth::NEEDLE];

/// The service and what its login process wrote.
fn split_service<'a>(record: &Record<'a>) -> Option<(&'static str, &'a [u8])> {
    if let Some((service, b"")) = read_process(record.program) {
        return Some((service, record.message));
    }
    let (service, rest) = read_process(record.message)?;
    let message = rest.strip_prefix(b": ")?;
    is_instance(record.program).then_some((service, message))
}

/// Whether a program may be an instance of Dovecot's. A log prefix with a user name in it, `auth(x: imap-login: …`, would be
/// read as program `auth(x`.
fn is_instance(program: &[u8]) -> bool {
    let is_of_instances = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'/' | b'@');
    !program.is_empty() && program.iter().all(is_of_instances)
}

/// What the login process logs into whose name `text` begins with, and what follows the name.
fn read_process(text: &[u8]) -> Option<(&'static str, &[u8])> {
    match text.first()? {
        b'i' => Some(("imap", text.strip_prefix(b"imap-login")?)),
        b'p' => Some(("pop3", text.strip_prefix(b"pop3-login")?)),
        b's' => Some(("submission", text.strip_prefix(b"submission-login")?)),
        b'm' => Some(("sieve", text.strip_prefix(b"managesieve-login")?)),
        _ => None,
    }
}

/// In the name of every login process, and so in each of their lines.
const NEEDLE: &[u8] = b"-login";

enum Level<'a> {
    /// An information, or no level written: what login lines have. Holds the message behind it.
    Info(&'a [u8]),
    Other,
}

fn strip_level(message: &[u8]) -> Level<'_> {
    if OTHER_LEVELS.iter().any(|level| begins(message, level)) {
        return Level::Other;
    }
    Level::Info(message.strip_prefix(b"Info: ").unwrap_or(message))
}

/// The head with its last parenthesis, and the fields behind `: `.
///
/// `None` if the fields begin before a parenthesis has closed: then a parenthesis further on is the attacker's.
fn split_head(message: &[u8]) -> Option<(&[u8], &[u8])> {
    for colon in memchr_iter(b':', message) {
        let (before, behind) = message.split_at(colon);
        if let Some(fields) = behind.strip_prefix(b": ")
            && before.ends_with(b")")
        {
            return Some((before, fields));
        }
        if FIELDS.iter().any(|start| behind.starts_with(start)) {
            return None;
        }
    }
    message.ends_with(b")").then_some((message, b""))
}

const OTHER_LEVELS: [&[u8]; 5] = [b"Warning: ", b"Error: ", b"Fatal: ", b"Panic: ", b"Debug: "];

/// How the line of a connection without a login begins.
const FAILED: [&[u8]; 5] =
    [b"Disconnected: ", b"Disconnected (", b"Aborted login: ", b"Aborted login (", b"Login aborted: "];

/// How fields begin behind a head.
const FIELDS: [&[u8]; 3] = [b": user=", b": method=", b": rip="];

/// How the line of a login begins: 2.2 and 2.3, and 2.4.
const SUCCEEDED: [&[u8]; 2] = [b"Login: ", b"Logged in: "];

const SUCCESS: &str = "login succeeded";

/// Lines that are known and counted elsewhere or not at all.
const HARMLESS: [(&[u8], &str); 7] = [
    (b"Login failed: ", "refused before the password was looked at; the line at the disconnect counts it"),
    (b"Authenticate ", "one try among several; the line at the disconnect counts it"),
    (b"APOP failed: ", "one try among several; the line at the disconnect counts it"),
    (b"Maximum number of connections from user+IP exceeded", "the password was right, too many connections"),
    (b"proxy(", "a proxy's report; the line at the disconnect counts it"),
    (b"proxy: ", "a proxy's report; the line at the disconnect counts it"),
    (b"haproxy: ", "a proxy's trouble"),
];

#[cfg(test)]
mod auth_tests;
#[cfg(test)]
mod tests;
