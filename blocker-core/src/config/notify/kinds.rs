//! What may stand at the keys of `[notify]`: addresses of people, servers and webhooks, and programs.
//!
//! What passes cannot become an option of a program, a second header or a second addressee.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use super::super::input::{MAX_WORD_BYTES, MAX_WORDS};
use super::super::keys::is_name;
use super::super::kinds::{MAX_PATH_BYTES, SPAN, is_path};
use super::super::value::{Kind, Read, Reading};
use super::{MAX_TIME_LIMIT, MailSecurity, MailServer, Occasion, Url};

pub(super) const OCCASIONS: Kind<Vec<Occasion>> = Kind {
    expected: "a list of \"start\", \"stop\", \"ban\" and \"unban\"",
    read: |value| {
        value.list(0, |value| {
            let all = [Occasion::Start, Occasion::Stop, Occasion::Ban, Occasion::Unban];
            value.or_unexpected(all.into_iter().find(|occasion| value.text() == Some(occasion.name())))
        })
    },
};

pub(super) const JAILS: Kind<Vec<String>> = Kind {
    expected: "a list of names of jails, of which \"manual\" has the bans made by command",
    read: |value| {
        value.list(0, |value| value.or_unexpected(value.text().filter(|name| is_name(name)).map(str::to_owned)))
    },
};

pub(super) const SUBJECT: Kind<String> = Kind {
    expected: "a text of at most 100 characters, on one line",
    read: |value| {
        let is_plain = |text: &&str| text.chars().count() <= MAX_SUBJECT_CHARS && !text.contains(char::is_control);
        value.or_unexpected(value.text().filter(is_plain).map(str::to_owned))
    },
};

pub(super) const WHOIS: Kind<Option<String>> = Kind {
    expected: "true, false, or the absolute path of a program",
    read: |value| match (value.truth(), value.text()) {
        (Some(true), _) => Ok(Some("/usr/bin/whois".to_owned())),
        (Some(false), _) => Ok(None),
        (None, text) => {
            let path = text.filter(|text| is_path(text, MAX_PATH_BYTES));
            value.or_unexpected(path.map(|path| Some(path.to_owned())))
        }
    },
};

pub(super) const FROM: Kind<Option<String>> =
    Kind { expected: "an address such as \"blocker@example.org\"", read: |value| address(value).map(Some) };

pub(super) const ADDRESSES: Kind<Vec<String>> = Kind {
    expected: "at most 32 addresses such as \"admin@example.org\"; a name without @ is for `sendmail` alone",
    read: |value| addresses(value, address),
};

pub(super) const ADDRESSES_OR_USERS: Kind<Vec<String>> = Kind {
    expected: "at most 32 addresses such as \"admin@example.org\", or names of users of this machine such as \"root\"",
    read: |value| {
        addresses(value, |value| {
            let user = value.text().filter(|text| is_local_part(text)).map(str::to_owned);
            if user.is_some() { value.or_unexpected(user) } else { address(value) }
        })
    },
};

fn addresses(value: Reading<'_>, one: fn(Reading<'_>) -> Read<String>) -> Read<Vec<String>> {
    let addresses = value.list(1, one)?;
    value.or_unexpected((addresses.len() <= MAX_ADDRESSES).then_some(addresses))
}

fn address(value: Reading<'_>) -> Read<String> {
    value.or_unexpected(value.text().filter(|text| is_mail_address(text)).map(str::to_owned))
}

/// Whether mail can be sent to it: an address whose two parts need no quotes. Other letters than ASCII's are written as DNS has them.
#[must_use]
pub fn is_mail_address(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    is_local_part(local) && is_host_name(domain)
}

/// Whether it may stand before the @, and by itself is the name of a local user. It is never taken for an option.
#[must_use]
pub fn is_local_part(text: &str) -> bool {
    let is_of_atom = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+/=?^_`{|}~-".contains(&byte);
    let is_atom = |atom: &str| !atom.is_empty() && atom.bytes().all(is_of_atom);
    text.len() <= 64 && !text.starts_with('-') && text.split('.').all(is_atom)
}

/// Labels of letters, digits and hyphens (RFC 1123, section 2.1).
fn is_host_name(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

pub(super) const SERVER: Kind<Option<MailServer>> = Kind {
    expected: "\"smtp://mail.example.org\", with STARTTLS but on this machine, or \"smtps://mail.example.org\", with a port if it is not 25 or 465",
    read: |value| {
        let server = value.text().and_then(|text| {
            let (scheme, rest) = text.split_once("://")?;
            let usual = match scheme {
                "smtp" => 25,
                "smtps" => 465,
                _ => return None,
            };
            let (host, port) = host_and_port(rest.strip_suffix('/').unwrap_or(rest), usual)?;
            let host = host.trim_matches(['[', ']']).to_owned();
            let security = match scheme {
                "smtps" => MailSecurity::Tls,
                _ if is_loopback(&host) => MailSecurity::Plain,
                _ => MailSecurity::StartTls,
            };
            Some(Some(MailServer { host, port, security, login: None }))
        });
        value.or_unexpected(server)
    },
};

/// Whether it is this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|addr: IpAddr| addr.is_loopback())
}

/// `mail.example.org`, `192.0.2.1:2525`, `[2001:db8::1]:25`.
fn host_and_port(text: &str, usual: u16) -> Option<(&str, u16)> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => {
            let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
            (host, port.parse().ok().filter(|&port| is_number && port != 0)?)
        }
        Some(_) | None => (text, usual),
    };
    let is_v6 = || {
        let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        inner.is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok())
    };
    (is_host_name(host) || is_v6()).then_some((host, port))
}

pub(super) const SENDMAIL: Kind<Option<Vec<String>>> = Kind {
    expected: "the absolute path of a program like sendmail, or a list of it and its first arguments",
    read: |value| {
        let words = value.text().map(|path| vec![path]).or_else(|| value.texts());
        value.or_unexpected(program_words(words).map(Some))
    },
};

pub(super) const COMMAND: Kind<Vec<String>> = Kind {
    expected: "the absolute path of a program, and its arguments: [\"/usr/local/bin/tell\", \"--all\"]",
    read: |value| value.or_unexpected(program_words(value.texts())),
};

fn program_words(words: Option<Vec<&str>>) -> Option<Vec<String>> {
    let words = words.filter(|words| (1..=MAX_WORDS).contains(&words.len()))?;
    let is_word = |word: &&str| word.len() <= MAX_WORD_BYTES && !word.contains('\0');
    let is_program = words.first().is_some_and(|program| is_path(program, MAX_PATH_BYTES));
    (is_program && words.iter().all(is_word)).then(|| words.into_iter().map(str::to_owned).collect())
}

pub(super) const USER: Kind<Option<String>> = Kind {
    expected: "a name of 1 to 255 characters, on one line",
    read: |value| {
        let is_user = |text: &&str| (1..=255).contains(&text.chars().count()) && !text.contains(char::is_control);
        value.or_unexpected(value.text().filter(is_user).map(|text| Some(text.to_owned())))
    },
};

pub(super) const FILE: Kind<Option<String>> = Kind {
    expected: "the absolute path of a file",
    read: |value| {
        let path = value.text().filter(|text| is_path(text, MAX_PATH_BYTES));
        value.or_unexpected(path.map(|path| Some(path.to_owned())))
    },
};

pub(super) const URL: Kind<Url> = Kind {
    expected: "an address such as \"https://example.org/hook\", in ASCII, without user and fragment",
    read: |value| value.or_unexpected(value.text().and_then(url)),
};

fn url(text: &str) -> Option<Url> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}#".contains(&byte));
    if !is_plain || text.len() > MAX_URL_BYTES {
        return None;
    }
    let (scheme, rest) = text.split_once("://")?;
    let (is_secure, usual) = match scheme {
        "https" => (true, 443),
        "http" => (false, 80),
        _ => return None,
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (host, port) = host_and_port(authority, usual)?;
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Some(Url { is_secure, host: host.to_owned(), port, path })
}

pub(super) const TIME_LIMIT: Kind<Duration> = Kind {
    expected: "a length of time up to 1h, such as \"30s\"",
    read: |value| {
        let span = (SPAN.read)(value)?;
        value.or_unexpected((span <= MAX_TIME_LIMIT).then_some(span))
    },
};

/// Most addresses of a mail.
const MAX_ADDRESSES: usize = 32;

/// Longest beginning of a subject, in characters.
const MAX_SUBJECT_CHARS: usize = 100;

/// Longest address of a webhook, in bytes.
const MAX_URL_BYTES: usize = 2_048;
