//! The words of a header: host, program, number.

use super::header::Malformed;

/// What the line's program said, and which one it was.
pub(super) struct Tag<'a> {
    pub(super) program: &'a [u8],
    pub(super) pid: Option<u32>,
    pub(super) message: &'a [u8],
}

/// `PROGRAM: message` or `PROGRAM[PID]: message`.
#[inline]
pub(super) fn read_tag(text: &[u8]) -> Result<Tag<'_>, Malformed> {
    // One byte beyond the bound is enough to see that there is no end within it.
    let len = text.iter().take(MAX_PROGRAM_BYTES + 1).take_while(|byte| has(**byte, OF_PROGRAMS)).count();
    if !(1..=MAX_PROGRAM_BYTES).contains(&len) {
        return Err(Malformed::Program);
    }
    let (program, rest) = text.split_at(len);
    let (pid, rest) = match rest {
        [b'[', inner @ ..] => {
            let (pid, rest) = read_pid(inner).ok_or(Malformed::Pid)?;
            match rest {
                [b']', rest @ ..] => (Some(pid), rest),
                _ => return Err(Malformed::Pid),
            }
        }
        _ => (None, rest),
    };
    match rest {
        [b':'] => Ok(Tag { program, pid, message: b"" }),
        [b':', b' ', message @ ..] => Ok(Tag { program, pid, message }),
        _ => Err(Malformed::Program),
    }
}

/// `[PID] rest`, as Exim writes it in front of a message of its own file.
pub(super) fn read_bracketed_pid(text: &[u8]) -> Option<(u32, &[u8])> {
    let (pid, rest) = read_pid(text.strip_prefix(b"[")?)?;
    Some((pid, rest.strip_prefix(b"] ")?))
}

/// A decimal number of a process, and what follows.
pub(super) fn read_pid(text: &[u8]) -> Option<(u32, &[u8])> {
    let digits = text.iter().take(MAX_PID_BYTES + 1).take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=MAX_PID_BYTES).contains(&digits) {
        return None;
    }
    let (number, rest) = text.split_at(digits);
    let value = number.iter().fold(0_u64, |value, digit| value * 10 + u64::from(digit - b'0'));
    Some((u32::try_from(value).ok()?, rest))
}

/// A decimal number, `bound` if it is larger than that, and what follows.
pub(super) fn number(text: &[u8], bound: u32) -> Option<(u32, &[u8])> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = text.split_at(digits);
    let value =
        number.iter().fold(0_u32, |value, digit| value.saturating_mul(10).saturating_add(u32::from(digit - b'0')));
    (digits > 0).then_some((value.min(bound), rest))
}

/// Skips `<22>`, or a priority in words, `<mail.info>` or `<2.6>`; says whether there was one.
#[inline]
pub(super) fn skip_priority(line: &[u8]) -> (bool, &[u8]) {
    let [b'<', rest @ ..] = line else { return (false, line) };
    let inner = Some(rest).and_then(|rest| {
        let len = rest.iter().take(MAX_PRIORITY_BYTES + 1).position(|byte| *byte == b'>')?;
        let is_priority = len > 0 && rest[..len].iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'.');
        is_priority.then(|| &rest[len + 1..])
    });
    (inner.is_some(), inner.unwrap_or(line))
}

/// Skips `mail.info `, which busybox writes behind the host.
pub(super) fn skip_facility(text: &[u8]) -> Option<&[u8]> {
    let len = text.iter().take(MAX_PRIORITY_BYTES + 1).position(|byte| *byte == b' ')?;
    let (word, rest) = text.split_at(len);
    let dot = word.iter().position(|byte| *byte == b'.')?;
    let (facility, severity) = (&word[..dot], &word[dot + 1..]);
    let is_facility =
        !facility.is_empty() && facility.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    (is_facility && SEVERITIES.contains(&severity)).then_some(&rest[1..])
}

/// `word rest`, without the blank between them; all of it is the word if there is no blank.
#[inline]
pub(super) fn split_word(text: &[u8]) -> (&[u8], &[u8]) {
    match text.iter().position(|byte| *byte == b' ') {
        Some(blank) => (&text[..blank], &text[blank + 1..]),
        None => (text, b""),
    }
}

/// Whether it is made of the bytes of names and addresses only.
#[inline]
pub(super) fn is_host(word: &[u8]) -> bool {
    (1..=MAX_HOST_BYTES).contains(&word.len()) && word.iter().all(|byte| has(*byte, OF_HOSTS))
}

/// Whether it may name a program.
pub(super) fn is_program(word: &[u8]) -> bool {
    (1..=MAX_PROGRAM_BYTES).contains(&word.len()) && word.iter().all(|byte| has(*byte, OF_PROGRAMS))
}

/// Whether a byte is of a class.
#[inline]
fn has(byte: u8, class: u8) -> bool {
    CLASSES[usize::from(byte)] & class != 0
}

/// Bytes of the names and addresses of hosts.
const OF_HOSTS: u8 = 1;
/// Bytes of the names of programs: what can be seen, but for what ends them.
const OF_PROGRAMS: u8 = 2;

const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0_u8;
    while byte < 0x80 {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'%') {
            classes[byte as usize] |= OF_HOSTS;
        }
        if byte.is_ascii_graphic() && !matches!(byte, b':' | b'[') {
            classes[byte as usize] |= OF_PROGRAMS;
        }
        byte += 1;
    }
    classes
};

/// The severities of syslog, RFC 5424 section 6.2.1, as log daemons abbreviate them.
const SEVERITIES: [&[u8]; 11] =
    [b"emerg", b"panic", b"alert", b"crit", b"err", b"error", b"warning", b"warn", b"notice", b"info", b"debug"];

/// Longest priority between `<` and `>`: `authpriv.warning` has 16.
const MAX_PRIORITY_BYTES: usize = 16;
/// Longest host: 255 is the limit of RFC 5424 and of DNS.
const MAX_HOST_BYTES: usize = 255;
/// Longest program: 48 is the limit of RFC 5424's APP-NAME.
const MAX_PROGRAM_BYTES: usize = 48;
/// Longest pid: the digits of the largest `u32`.
const MAX_PID_BYTES: usize = 10;
