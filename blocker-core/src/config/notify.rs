//! Who is told of bans: the table `[notify]`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use super::error::Problem;
use super::input::{MAX_WORD_BYTES, MAX_WORDS};
use super::keys::{MAX_PATH_BYTES, SPAN, is_name, is_path};
use super::value::{Kind, Read, Reading};
use super::walk::Section;

/// Who is told, each by a worker of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notify {
    /// Who gets mails.
    pub mail: Option<Mail>,
    /// What is told by HTTP: names are unique.
    pub webhooks: Vec<Webhook>,
    /// What programs are run: names are unique.
    pub programs: Vec<Program>,
}

/// What somebody is told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Which kinds of things; at least one.
    pub on: Vec<Occasion>,
    /// Of which jails; empty for all. Whether there are such jails has not been looked at.
    pub jails: Vec<String>,
}

/// What there is to be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Occasion {
    /// The daemon has started.
    Start,
    /// It is going to stop.
    Stop,
    /// A ban has begun; not one that an earlier run of the daemon made.
    Ban,
    /// A ban is over.
    Unban,
}

impl Occasion {
    /// As in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Ban => "ban",
            Self::Unban => "unban",
        }
    }
}

/// The table `[notify.mail]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// What is mailed.
    pub wanted: Wanted,
    /// To whom: addresses of mail; names of local users only if a program sends. At least one.
    pub to: Vec<String>,
    /// From whom; `None` for `blocker` at this machine.
    pub from: Option<String>,
    /// How it is sent.
    pub way: MailWay,
    /// What each subject begins with; may be empty.
    pub subject: String,
    /// At least so long from one mail to the next.
    pub every: Duration,
    /// The program that says whom an address belongs to; `None` for none. An absolute path.
    pub whois: Option<String>,
}

/// How a mail is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MailWay {
    /// By a program that takes it as sendmail(8) does: its absolute path, and arguments before those of sendmail.
    Program(Vec<String>),
    /// By SMTP.
    Server(MailServer),
}

/// A server that takes mails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailServer {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How it is spoken to.
    pub security: MailSecurity,
    /// A user there, and the file that has the password: an absolute path.
    pub login: Option<(String, String)>,
}

/// How a mail server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailSecurity {
    /// Without TLS.
    Plain,
    /// STARTTLS, or nothing is sent.
    StartTls,
    /// TLS from the first byte.
    Tls,
}

/// The table `[notify.webhook.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// 1 to 31 bytes of `a-z`, `0-9`, `_` and `-`.
    pub name: String,
    /// What it is told.
    pub wanted: Wanted,
    /// Where.
    pub url: Url,
    /// The file of the secret that signs what is sent; an absolute path.
    pub secret_file: Option<String>,
}

/// Where a webhook is: ASCII without blanks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Whether by TLS.
    pub is_secure: bool,
    /// A name or an address; that of IPv6 in brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The path with the query; begins with `/`.
    pub path: String,
}

/// The table `[notify.exec.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// 1 to 31 bytes of `a-z`, `0-9`, `_` and `-`.
    pub name: String,
    /// What it is told.
    pub wanted: Wanted,
    /// Its absolute path, and its arguments. No shell reads them.
    pub command: Vec<String>,
    /// How long it may run, up to [`MAX_TIME_LIMIT`].
    pub time_limit: Duration,
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { is_secure, host, port, path } = self;
        let (scheme, usual) = if *is_secure { ("https", 443) } else { ("http", 80) };
        write!(f, "{scheme}://{host}")?;
        if *port != usual {
            write!(f, ":{port}")?;
        }
        f.write_str(path)
    }
}

/// Most webhooks, and most programs.
pub const MAX_RECEIVERS: usize = 16;

/// Longest time that a program may run.
pub const MAX_TIME_LIMIT: Duration = Duration::from_secs(60 * 60);

/// Most addresses of a mail.
const MAX_ADDRESSES: usize = 32;

/// Longest beginning of a subject, in characters.
const MAX_SUBJECT_CHARS: usize = 100;

/// Longest address of a webhook, in bytes.
const MAX_URL_BYTES: usize = 2_048;

pub(super) fn notify(section: &mut Section<'_, '_>) -> Notify {
    Notify {
        mail: section.table("mail", mail),
        webhooks: section.table("webhook", |section| receivers(section, webhook)),
        programs: section.table("exec", |section| receivers(section, program)),
    }
}

/// Reads the tables in this one. What is faulty is left out.
fn receivers<T>(section: &mut Section<'_, '_>, read: fn(&mut Section<'_, '_>, &str) -> Option<T>) -> Vec<T> {
    let entries = section.named();
    if let Some(surplus) = entries.get(MAX_RECEIVERS) {
        section.fault_of(*surplus, Problem::TooManyReceivers(MAX_RECEIVERS));
    }
    let mut receivers = Vec::new();
    for entry in entries.into_iter().take(MAX_RECEIVERS) {
        if is_name(entry.name) {
            receivers.extend(section.enter(entry, |section| read(section, entry.name)));
        } else {
            section.fault_of(entry, Problem::ReceiverName);
        }
    }
    receivers
}

fn mail(section: &mut Section<'_, '_>) -> Option<Mail> {
    let wanted = wanted(section, &[Occasion::Start, Occasion::Stop, Occasion::Ban]);
    let subject = section.get("subject", &SUBJECT, "[blocker]".to_owned());
    let every = section.get("every", &SPAN, Duration::from_secs(60));
    let whois = section.get("whois", &WHOIS, None);
    let from = section.get("from", &FROM, None);
    let way = way(section);
    if !section.is_there() {
        return None;
    }
    let expected = if matches!(way, MailWay::Program(_)) { &ADDRESSES_OR_USERS } else { &ADDRESSES };
    let to = section.need("to", expected, None)?;
    Some(Mail { wanted, to, from, way, subject, every, whois })
}

fn way(section: &mut Section<'_, '_>) -> MailWay {
    let server = section.get("server", &SERVER, None);
    let program = section.get("sendmail", &SENDMAIL, None);
    let starttls = section.get("starttls", &super::keys::TRUTH, true);
    let user = section.get("user", &USER, None);
    let password = section.get("password_file", &FILE, None);
    for (key, other) in [("user", "password_file"), ("password_file", "user")] {
        if section.has(key) && !section.has(other) {
            section.fault_at(key, Problem::Needs { other });
        }
    }
    let Some(mut server) = server else {
        for key in ["starttls", "user", "password_file"] {
            if section.has(key) && !section.has("server") {
                section.fault_at(key, Problem::Needs { other: "server" });
            }
        }
        return MailWay::Program(program.unwrap_or_else(|| vec!["/usr/sbin/sendmail".to_owned()]));
    };
    if program.is_some() {
        section.fault_at("sendmail", Problem::Excluded { by: "server", hint: "mails go one way" });
    }
    server.login = user.zip(password);
    match server.security {
        MailSecurity::StartTls | MailSecurity::Plain if section.has("starttls") => {
            server.security = if starttls { MailSecurity::StartTls } else { MailSecurity::Plain };
        }
        MailSecurity::StartTls | MailSecurity::Plain | MailSecurity::Tls => {}
    }
    if server.login.is_some() && !is_loopback(&server.host) && server.security == MailSecurity::Plain {
        let hint = "a password is not sent where everybody on the way can read it";
        section.fault_at("starttls", Problem::Excluded { by: "user", hint });
    }
    MailWay::Server(server)
}

fn webhook(section: &mut Section<'_, '_>, name: &str) -> Option<Webhook> {
    let wanted = wanted(section, &[Occasion::Ban, Occasion::Unban]);
    let secret_file = section.get("secret_file", &FILE, None);
    let url = section.need("url", &URL, None)?;
    Some(Webhook { name: name.to_owned(), wanted, url, secret_file })
}

fn program(section: &mut Section<'_, '_>, name: &str) -> Option<Program> {
    let wanted = wanted(section, &[Occasion::Ban, Occasion::Unban]);
    let time_limit = section.get("time_limit", &TIME_LIMIT, Duration::from_secs(30));
    let command = section.need("command", &COMMAND, None)?;
    Some(Program { name: name.to_owned(), wanted, command, time_limit })
}

fn wanted(section: &mut Section<'_, '_>, default: &[Occasion]) -> Wanted {
    Wanted { on: section.get("on", &OCCASIONS, default.to_vec()), jails: section.get("jails", &JAILS, Vec::new()) }
}

const OCCASIONS: Kind<Vec<Occasion>> = Kind {
    expected: "a list of \"start\", \"stop\", \"ban\" and \"unban\"",
    read: |value| {
        value.list(1, |value| {
            let all = [Occasion::Start, Occasion::Stop, Occasion::Ban, Occasion::Unban];
            value.or_unexpected(all.into_iter().find(|occasion| value.text() == Some(occasion.name())))
        })
    },
};

const JAILS: Kind<Vec<String>> = Kind {
    expected: "a list of names of jails, of which \"manual\" has the bans made by command",
    read: |value| {
        value.list(0, |value| value.or_unexpected(value.text().filter(|name| is_name(name)).map(str::to_owned)))
    },
};

const SUBJECT: Kind<String> = Kind {
    expected: "a text of at most 100 characters, on one line",
    read: |value| {
        let is_plain = |text: &&str| text.chars().count() <= MAX_SUBJECT_CHARS && !text.contains(char::is_control);
        value.or_unexpected(value.text().filter(is_plain).map(str::to_owned))
    },
};

const WHOIS: Kind<Option<String>> = Kind {
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

const FROM: Kind<Option<String>> =
    Kind { expected: "an address such as \"blocker@example.org\"", read: |value| address(value).map(Some) };

const ADDRESSES: Kind<Vec<String>> = Kind {
    expected: "at most 32 addresses such as \"admin@example.org\"; a name without @ is for `sendmail` alone",
    read: |value| addresses(value, address),
};

const ADDRESSES_OR_USERS: Kind<Vec<String>> = Kind {
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

const SERVER: Kind<Option<MailServer>> = Kind {
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
fn is_loopback(host: &str) -> bool {
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

const SENDMAIL: Kind<Option<Vec<String>>> = Kind {
    expected: "the absolute path of a program like sendmail, or a list of it and its first arguments",
    read: |value| {
        let words = value.text().map(|path| vec![path]).or_else(|| value.texts());
        value.or_unexpected(program_words(words).map(Some))
    },
};

const COMMAND: Kind<Vec<String>> = Kind {
    expected: "the absolute path of a program, and its arguments: [\"/usr/local/bin/tell\", \"--all\"]",
    read: |value| value.or_unexpected(program_words(value.texts())),
};

fn program_words(words: Option<Vec<&str>>) -> Option<Vec<String>> {
    let words = words.filter(|words| (1..=MAX_WORDS).contains(&words.len()))?;
    let is_word = |word: &&str| word.len() <= MAX_WORD_BYTES && !word.contains('\0');
    let is_program = words.first().is_some_and(|program| is_path(program, MAX_PATH_BYTES));
    (is_program && words.iter().all(is_word)).then(|| words.into_iter().map(str::to_owned).collect())
}

const USER: Kind<Option<String>> = Kind {
    expected: "a name of 1 to 255 characters, on one line",
    read: |value| {
        let is_user = |text: &&str| (1..=255).contains(&text.chars().count()) && !text.contains(char::is_control);
        value.or_unexpected(value.text().filter(is_user).map(|text| Some(text.to_owned())))
    },
};

const FILE: Kind<Option<String>> = Kind {
    expected: "the absolute path of a file",
    read: |value| {
        let path = value.text().filter(|text| is_path(text, MAX_PATH_BYTES));
        value.or_unexpected(path.map(|path| Some(path.to_owned())))
    },
};

const URL: Kind<Url> = Kind {
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

const TIME_LIMIT: Kind<Duration> = Kind {
    expected: "a length of time up to 1h, such as \"30s\"",
    read: |value| {
        let span = (SPAN.read)(value)?;
        value.or_unexpected((span <= MAX_TIME_LIMIT).then_some(span))
    },
};

#[cfg(test)]
mod tests;
