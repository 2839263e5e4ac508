//! The header in front of a message: priority, stamp, host, program, pid.
//!
//! ```text
//! [<PRI>] STAMP [<PRI>] HOST [mail.info] PROGRAM[PID]: message   syslog files, journalctl, Postfix's own file, busybox
//! STAMP PROGRAM: message                                        Dovecot's own file: the first word ends in a colon
//! STAMP [PID] message, [STAMP] message                          a service's own file, in which it does not name itself
//! STAMP PROGRAM [PID]: message                                  SOGo's own file
//! <PRI>1 STAMP HOST APP PROCID MSGID SD message                 RFC 5424
//! ADDRESS IDENT USER [STAMP] message                            a web server's access log
//! [<PRI>] [HOST] PROGRAM[PID]: message                          no stamp at all
//! ```
//!
//! STAMP is what a [`Form`](super::Form) reads. A host is made of the bytes of names and addresses only: were it any word, a user
//! name with a blank in the log prefix of an authentication worker (`auth(x imap-login: …`) could pose as a host with a
//! program behind it. One pass, no allocation; the message itself is not looked at, but for its very beginning.
//!
//! A file of a service's own can look like syslog: in `2026-11-23 01:00:00 TLS error: …` a host `TLS` and a program
//! `error` are read. The filter of such a service reads [`Record::body`].

use super::stamp::{Form, Stamp};
use super::words::{
    Tag, is_host, is_program, read_bracketed_pid, read_pid, read_tag, skip_facility, skip_priority, split_word,
};
use super::{Entry, Learnt, Record, repeat, rfc5424};

/// What a line lacks to be a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// No date and time in front, or one that does not exist.
    #[error("no timestamp in front")]
    Stamp,
    /// The word behind the stamp is no host name, no address and no program.
    #[error("no host behind the timestamp")]
    Host,
    /// No `program:` or `program[pid]:` behind the host.
    #[error("no program name")]
    Program,
    /// `[…]` behind the program holds no number.
    #[error("no number in the brackets behind the program name")]
    Pid,
    /// RFC 5424 structured data without an end.
    #[error("structured data without an end")]
    StructuredData,
    /// It tells only that the line before it came again.
    #[error("a repetition of the line before")]
    Again,
}

/// Takes the header off `line`, which is looked at alone.
///
/// The message is all that follows, whatever its bytes, less carriage returns and line feeds at its end.
///
/// # Errors
///
/// [`Malformed`] says what was missing.
pub fn parse(line: &[u8]) -> Result<Record<'_>, Malformed> {
    match read(line, &mut Learnt::default())? {
        Entry::Record(record) => Ok(record),
        Entry::Again { .. } => Err(Malformed::Again),
    }
}

/// The same for a line of a log of which something is `learnt`. The result does not depend on that.
///
/// # Errors
///
/// [`Malformed`] says what was missing.
pub fn read<'a>(line: &'a [u8], learnt: &mut Learnt) -> Result<Entry<'a>, Malformed> {
    let line = trim_line_end(line);
    match read_trimmed(line, learnt)? {
        Entry::Record(record) => Ok(Entry::Record(Record { line, ..record })),
        again @ Entry::Again { .. } => Ok(again),
    }
}

fn read_trimmed<'a>(line: &'a [u8], learnt: &mut Learnt) -> Result<Entry<'a>, Malformed> {
    let line = skip_rubbish(line);
    let (priority, rest) = skip_priority(line);
    if priority && let Some(rest) = rest.strip_prefix(b"1 ") {
        return rfc5424::read(rest);
    }
    let rest = rest.strip_prefix(b" ").unwrap_or(rest);
    if learnt.is_unstamped()
        && let Ok(entry) = read_unstamped(rest)
    {
        return Ok(entry);
    }
    if let Some((form, stamp, rest)) = learnt.read(rest) {
        let is_own = !form.is_syslog();
        return read_stamped(stamp, rest, is_own);
    }
    if let Ok(entry) = read_unstamped(rest) {
        learnt.set_unstamped();
        return Ok(entry);
    }
    if let Some((front, stamp, rest)) = read_enclosed(line, learnt) {
        let rest = rest.strip_prefix(b":").unwrap_or(rest);
        if rest.is_empty() {
            return Err(Malformed::Host);
        }
        let rest = rest.strip_prefix(b" ").unwrap_or(rest);
        return read_behind(Some(stamp), front, rest).or_else(|_| Ok(read_own(Some(stamp), front, rest)));
    }
    Err(Malformed::Stamp)
}

pub(super) fn trim_line_end(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1);
    &line[..end]
}

/// Skips what may stand in front of a header and is no part of it: a byte order mark, the NULs that a crash leaves in a
/// file, colours.
fn skip_rubbish(mut line: &[u8]) -> &[u8] {
    loop {
        line = match line {
            [0, rest @ ..] | [0xef, 0xbb, 0xbf, rest @ ..] => rest,
            [0x1b, b'[', rest @ ..] => {
                let len = rest.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b';').count();
                match &rest[len..] {
                    [b'm', rest @ ..] => rest,
                    _ => return line,
                }
            }
            _ => return line,
        }
    }
}

/// What follows a stamp that begins the line.
fn read_stamped(stamp: Stamp, rest: &[u8], is_own: bool) -> Result<Entry<'_>, Malformed> {
    let rest = match rest {
        [b' ', rest @ ..] => rest,
        // A table's bar, a colon or a comma: a service's own file.
        [b':' | b',' | b';' | b'|' | b'\t', rest @ ..] if is_own && !rest.is_empty() => {
            return Ok(read_own(Some(stamp), b"", rest.strip_prefix(b" ").unwrap_or(rest)));
        }
        _ => return Err(Malformed::Host),
    };
    match read_behind(Some(stamp), b"", rest) {
        Err(Malformed::Host | Malformed::Program | Malformed::Pid) if is_own && !rest.is_empty() => {
            Ok(read_own(Some(stamp), b"", rest))
        }
        Err(Malformed::Program) => read_spaced(stamp, rest).ok_or(Malformed::Program),
        result => result,
    }
}

/// `[<PRI>] HOST [mail.info] PROGRAM[PID]: message`, or without the host, or the news that the last line came again.
fn read_behind<'a>(stamp: Option<Stamp>, front: &'a [u8], body: &'a [u8]) -> Result<Entry<'a>, Malformed> {
    let rest = match skip_priority(body) {
        (true, behind) => behind.strip_prefix(b" ").ok_or(Malformed::Host)?,
        (false, rest) => rest,
    };
    let (first, behind) = split_word(rest);
    let (host, rest) = if first.ends_with(b":") {
        (None, rest)
    } else if is_host(first) {
        (Some(first), behind)
    } else {
        return Err(Malformed::Host);
    };
    let tag = match read_tag(rest) {
        Ok(tag) => tag,
        Err(malformed) => {
            if let Some(times) = repeat::last_message(rest) {
                return Ok(Entry::Again { stamp, host, times });
            }
            if first == b"last"
                && let Some(times) = repeat::last_message(body)
            {
                return Ok(Entry::Again { stamp, host: None, times });
            }
            let Some(rest) = skip_facility(rest) else { return Err(malformed) };
            if let Some(times) = repeat::last_message(rest) {
                return Ok(Entry::Again { stamp, host, times });
            }
            read_tag(rest)?
        }
    };
    let Tag { program, pid, message } = tag;
    Ok(Finish { stamp, front, body, host, program, pid, message }.record())
}

/// `PROGRAM [PID]: message`, with a blank between the two.
fn read_spaced(stamp: Stamp, body: &[u8]) -> Option<Entry<'_>> {
    let (program, rest) = split_word(body);
    let (pid, rest) = read_pid(rest.strip_prefix(b"[")?)?;
    let message = rest.strip_prefix(b"]: ")?;
    let finish = Finish { stamp: Some(stamp), front: b"", body, host: None, program, pid: Some(pid), message };
    (is_host(program) && is_program(program)).then(|| finish.record())
}

/// The message of a service that does not name itself, perhaps behind its number.
fn read_own<'a>(stamp: Option<Stamp>, front: &'a [u8], body: &'a [u8]) -> Entry<'a> {
    let (pid, message) = match read_bracketed_pid(body) {
        Some((pid, message)) => (Some(pid), message),
        None => (None, body),
    };
    Finish { stamp, front, body, host: None, program: b"", pid, message }.record()
}

/// A stamp that does not begin the line: what stands in front of it, the stamp, and what follows its enclosure.
fn read_enclosed<'a>(line: &'a [u8], learnt: &mut Learnt) -> Option<(&'a [u8], Stamp, &'a [u8])> {
    let (front, rest, end): (&[u8], &[u8], &[u8]) = match line {
        [b'[', rest @ ..] => (b"", rest, b"]"),
        [b'L', b' ', rest @ ..] => (b"", rest, b""),
        [b't', b'=', rest @ ..] => (b"", rest, b""),
        [b'<', ..] => (b"", line.strip_prefix(b"<co ts=\"")?, b"\""),
        [b't', b'y', b'p', b'e', b'=', ..] => {
            let (front, rest) = split_word(line);
            return read_audit(front, rest);
        }
        _ => {
            let (front, rest) = split_access(line)?;
            (front, rest, b"]")
        }
    };
    let (_, stamp, rest) = learnt.read(rest)?;
    Some((front, stamp, rest.strip_prefix(end)?))
}

/// `msg=audit(1373330716.415:29): message` behind the type.
fn read_audit<'a>(front: &'a [u8], text: &'a [u8]) -> Option<(&'a [u8], Stamp, &'a [u8])> {
    let (stamp, rest) = Form::Epoch.read(text.strip_prefix(b"msg=audit(")?)?;
    let serial = rest.strip_prefix(b":")?;
    let digits = serial.iter().take_while(|byte| byte.is_ascii_digit()).count();
    Some((front, stamp, serial[digits..].strip_prefix(b")")?))
}

/// `192.0.2.9 - bob [` and what follows: an access log. The user is the client's text: the first bracket behind a blank
/// is the server's, unless the client's name has one in it, and then there is no stamp or one of the client's choice.
fn split_access(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (address, rest) = split_word(line);
    // The identity is that of RFC 1413, which nobody asks for. Were it any word, a bracket in the message of a line without
    // a stamp could hide that line's program.
    let rest = rest.strip_prefix(b"- ")?;
    if !is_host(address) {
        return None;
    }
    let open = rest.windows(2).take(MAX_ACCESS_USER_BYTES).position(|pair| pair == b" [")?;
    let (_, rest) = rest.split_at(open + 2);
    Some((&line[..line.len() - rest.len() - 1], rest))
}

/// `[HOST] PROGRAM[PID]: message`: what Dovecot writes with an empty `log_timestamp`, and the journal's short form.
///
/// The first word must begin with a letter, or a stamp that does not exist could be one, and have no `=`, which encloses
/// stamps.
fn read_unstamped(text: &[u8]) -> Result<Entry<'_>, Malformed> {
    let (first, _) = split_word(text);
    let Some((_, but_last)) = first.split_last() else { return Err(Malformed::Stamp) };
    let is_name = first[0].is_ascii_alphabetic() && !but_last.iter().any(|byte| matches!(byte, b':' | b'='));
    if !is_name {
        return Err(Malformed::Stamp);
    }
    read_behind(None, b"", text).map_err(|_| Malformed::Stamp)
}

/// The parts of a record, before the message's very beginning is looked at.
pub(super) struct Finish<'a> {
    pub(super) stamp: Option<Stamp>,
    pub(super) front: &'a [u8],
    pub(super) body: &'a [u8],
    pub(super) host: Option<&'a [u8]>,
    pub(super) program: &'a [u8],
    pub(super) pid: Option<u32>,
    pub(super) message: &'a [u8],
}

impl<'a> Finish<'a> {
    /// The record, with a message that stands for itself: not wrapped as a repeated one, and without the date that a
    /// service wrote in front of it although the log daemon does (Exim).
    pub(super) fn record(self) -> Entry<'a> {
        let Self { stamp, front, body, host, program, pid, message } = self;
        let (repeats, message) = repeat::unwrap(message).unwrap_or((1, message));
        let message = match message.first() {
            Some(b'0'..=b'9') if !program.is_empty() => {
                Form::Iso.read(message).and_then(|(_, rest)| rest.strip_prefix(b" ")).unwrap_or(message)
            }
            Some(_) | None => message,
        };
        // The whole line is put in where it is known.
        Entry::Record(Record { line: body, stamp, front, body, host, program, pid, message, repeats })
    }
}

/// How far the bracket in front of an access log's stamp is looked for.
const MAX_ACCESS_USER_BYTES: usize = 256;

#[cfg(test)]
mod tests;
