//! Who is told of bans: the table `[notify]`.

mod kinds;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use super::error::Problem;
use super::keys::is_name;
use super::kinds::{SPAN, TRUTH};
use super::walk::Section;

use self::kinds::{
    ADDRESSES, ADDRESSES_OR_USERS, COMMAND, FILE, FROM, JAILS, OCCASIONS, SENDMAIL, SERVER, SUBJECT, TIME_LIMIT, URL,
    USER, WHOIS, is_loopback,
};
pub use self::kinds::{is_local_part, is_mail_address};

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
    /// Which kinds of things; none if it is told of alarms alone.
    pub on: Vec<Occasion>,
    /// Of which jails; empty for all. Whether there are such jails has not been looked at.
    pub jails: Vec<String>,
    /// Whether also of what somebody should look after: a brake that holds, a table that is full, an interface without protection.
    pub alarms: bool,
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

impl Url {
    /// It without its path, for people: with many services the path is a secret, as good as a password.
    #[must_use]
    pub fn origin(&self) -> String {
        let Self { is_secure, host, port, path: _ } = self;
        match (is_secure, port) {
            (true, 443) => format!("https://{host}"),
            (true, _) => format!("https://{host}:{port}"),
            (false, 80) => format!("http://{host}"),
            (false, _) => format!("http://{host}:{port}"),
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin(), self.path)
    }
}

/// Most webhooks, and most programs.
pub const MAX_RECEIVERS: usize = 16;

/// Longest time that a program may run.
pub const MAX_TIME_LIMIT: Duration = Duration::from_secs(60 * 60);

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
    let starttls = section.get("starttls", &TRUTH, true);
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
    let wanted = Wanted {
        on: section.get("on", &OCCASIONS, default.to_vec()),
        jails: section.get("jails", &JAILS, Vec::new()),
        alarms: section.get("alarms", &TRUTH, true),
    };
    if wanted.on.is_empty() && !wanted.alarms {
        section.fault_at("on", Problem::Needs { other: "alarms" });
    }
    wanted
}
