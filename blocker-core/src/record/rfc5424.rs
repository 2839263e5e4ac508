//! The header of RFC 5424, section 6: `<PRI>1 STAMP HOST APP PROCID MSGID SD message`, `-` for what is missing.

use super::header::{Finish, Malformed};
use super::words::{is_host, is_program, read_pid, split_word};
use super::{Entry, Form};

/// Reads what follows `<PRI>1 `.
pub(super) fn read(line: &[u8]) -> Result<Entry<'_>, Malformed> {
    let (stamp, rest) = match line.strip_prefix(b"- ") {
        Some(rest) => (None, rest),
        None => {
            let (stamp, rest) = Form::Iso.read(line).ok_or(Malformed::Stamp)?;
            (Some(stamp), rest.strip_prefix(b" ").ok_or(Malformed::Host)?)
        }
    };
    let body = rest;
    let (host, rest) = split_word(rest);
    let host = if is_host(host) { Some(host).filter(|host| host != b"-") } else { return Err(Malformed::Host) };
    let (program, rest) = split_word(rest);
    if program == b"-" || !is_program(program) {
        return Err(Malformed::Program);
    }
    let (process, rest) = split_word(rest);
    let (_message_id, rest) = split_word(rest);
    let rest = skip_structured_data(rest).ok_or(Malformed::StructuredData)?;
    // rsyslog puts a second blank in front of the text: it keeps the one that stood behind the tag.
    let rest = rest.trim_ascii_start();
    let message = rest.strip_prefix(b"\xef\xbb\xbf").unwrap_or(rest);
    Ok(Finish {
        stamp,
        front: b"",
        body,
        host,
        program,
        pid: read_pid(process).filter(|(_, rest)| rest.is_empty()).map(|(pid, _)| pid),
        message,
    }
    .record())
}

/// Skips `-` or `[id name="value" …][…]`; inside the quotes a backslash takes the next byte's meaning away.
fn skip_structured_data(text: &[u8]) -> Option<&[u8]> {
    let mut rest = match text.strip_prefix(b"-") {
        Some(rest) => rest,
        None if text.starts_with(b"[") => text,
        None => return None,
    };
    while let Some(inner) = rest.strip_prefix(b"[") {
        let mut quoted = false;
        let mut escaped = false;
        let end = inner.iter().position(|byte| {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                b']' => return !quoted,
                _ => {}
            }
            false
        })?;
        rest = &inner[end + 1..];
    }
    matches!(rest.first(), None | Some(b' ')).then_some(rest)
}
