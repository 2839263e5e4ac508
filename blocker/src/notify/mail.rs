//! The receiver of mails: by SMTP, or by a program like sendmail.
//!
//! lettre makes the message: a header cannot hold more than one line, whatever is put into it. What a mail is about comes from
//! [`words`](super::words).

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use blocker_core::config::notify::{self, MailSecurity, MailServer, MailWay};
use lettre::message::header::{ContentType, Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};

use super::notice::Batch;
use super::worker::{Failed, Receiver, within};
use super::{child, secret, whois, words};
use crate::clock::Reading;

/// What is waited for before a mail is sent, so that what comes together is in one.
const GATHERS: Duration = Duration::from_secs(1);

/// How long sending may take, answers of whois aside.
const SEND_WITHIN: Duration = Duration::from_secs(30);

/// Bytes of what sendmail prints that are told.
const MAX_PRINTED: usize = 1_024;

/// Most characters of a subject: four lines of it, encoded.
const MAX_SUBJECT_CHARS: usize = 200;

/// Who gets mails.
#[derive(Debug)]
pub(super) struct MailReceiver {
    config: notify::Mail,
    host: String,
}

impl MailReceiver {
    pub(super) fn new(config: notify::Mail, host: &str) -> Self {
        Self { config, host: host.to_owned() }
    }

    fn message(&self, batch: &Batch, whois: &[(String, String)]) -> Result<Message, String> {
        let from = self.config.from.clone().unwrap_or_else(|| format!("blocker@{}", self.host));
        let mut builder = Message::builder()
            .from(mailbox(&from, &self.host)?)
            .subject(self.subject(batch))
            .message_id(Some(format!("<{}.{}.blocker@{}>", Reading::take().wall_ns(), std::process::id(), self.host)))
            .date_now()
            // RFC 3834: nobody is to answer it by a machine.
            .header(AutoSubmitted)
            .header(ContentType::TEXT_PLAIN);
        for to in &self.config.to {
            builder = builder.to(mailbox(to, &self.host)?);
        }
        builder
            .body(words::text(batch, &self.host, whois))
            .map_err(|error| format!("the message cannot be made: {error}"))
    }

    fn subject(&self, batch: &Batch) -> String {
        let mut subject = self.config.subject.clone();
        if !subject.is_empty() {
            subject.push(' ');
        }
        subject.push_str(&words::subject(batch, &self.host));
        if let Some((end, _)) = subject.char_indices().nth(MAX_SUBJECT_CHARS) {
            subject.truncate(end);
            subject.push('…');
        }
        subject
    }

    async fn by_program(&self, program: &[String], message: &Message) -> Result<(), Failed> {
        let from = message.envelope().from().map(ToString::to_string).unwrap_or_default();
        // A dot alone ends nothing, nobody reads addressees from the message, and after -- nothing is an option.
        let arguments = ["-i", "-f", &from, "--"].map(str::to_owned);
        let words: Vec<String> =
            program.iter().cloned().chain(arguments).chain(self.config.to.iter().cloned()).collect();
        let left = match child::run(&words, &with_line_ends(&message.formatted()), SEND_WITHIN, MAX_PRINTED).await {
            Ok(left) => left,
            Err(Failed::Later(why)) => return Err(Failed::Later(why + confinement())),
            Err(Failed::Never(why)) => return Err(Failed::Never(why + confinement())),
        };
        if left.status.success() {
            return Ok(());
        }
        let mut why = format!("{} {}", program.first().map(String::as_str).unwrap_or_default(), left.ended());
        if !left.output.is_empty() {
            write!(why, ": {}", left.words()).expect("a string takes it");
        }
        why.push_str(confinement());
        Err(if left.is_temporary() { Failed::Later(why) } else { Failed::Never(why) })
    }

    async fn by_server(&self, server: &MailServer, message: Message) -> Result<(), Failed> {
        let MailServer { host, port, security, login } = server;
        let wrong = |error: lettre::transport::smtp::Error| Failed::Later(said(&error));
        let tls = || TlsParameters::builder(host.clone()).build_rustls().map_err(wrong);
        let tls = match security {
            MailSecurity::Plain => Tls::None,
            MailSecurity::StartTls => Tls::Required(tls()?),
            MailSecurity::Tls => Tls::Wrapper(tls()?),
        };
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host.as_str())
            .port(*port)
            .tls(tls)
            .hello_name(ClientId::Domain(self.host.clone()))
            .timeout(Some(SEND_WITHIN));
        if let Some((user, file)) = login {
            let password = String::from_utf8(secret::read(file)?)
                .map_err(|_| Failed::Later(format!("the password in {file} is no text in UTF-8")))?;
            transport = transport.credentials(Credentials::new(user.clone(), password));
        }
        match transport.build().send(message).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_permanent() => Err(Failed::Never(said(&error))),
            Err(error) => Err(Failed::Later(said(&error))),
        }
    }
}

impl Receiver for MailReceiver {
    async fn tell(&mut self, batch: &Batch, is_hurried: bool) -> Result<(), Failed> {
        let answers = match &self.config.whois {
            Some(program) if !is_hurried => whois::ask(program, batch).await,
            Some(_) | None => Vec::new(),
        };
        let message = self.message(batch, &answers).map_err(Failed::Never)?;
        match &self.config.way {
            // Has the same time, and what it has printed by then is told.
            MailWay::Program(words) => self.by_program(words, &message).await,
            MailWay::Server(server) => within(SEND_WITHIN, self.by_server(server, message)).await,
        }
    }

    fn every(&self) -> Duration {
        self.config.every
    }

    fn gathers(&self) -> Duration {
        GATHERS
    }
}

/// What to say of a program that failed, if this process may not give it the rights that it has of its own: Postfix's sendmail, seen
/// with 3.7, then tries for ever to write into its spool.
fn confinement() -> &'static str {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let is_confined = status.lines().any(|line| line.split_whitespace().eq(["NoNewPrivs:", "1"]));
    if is_confined {
        "; the unit's sandbox may be why (NoNewPrivileges): server = \"smtp://localhost\" needs no rights, see \"Word to the outside\" in \
         docs/operations.md"
    } else {
        ""
    }
}

/// An address as it is configured; the name of a user of this machine is one at it.
fn mailbox(text: &str, host: &str) -> Result<Mailbox, String> {
    let (user, domain) = text.rsplit_once('@').unwrap_or((text, host));
    let address = Address::new(user, domain).map_err(|error| format!("{text} is no address: {error}"))?;
    Ok(Mailbox::new(None, address))
}

/// A message for a program, which has the line ends of this system.
fn with_line_ends(message: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(message.len());
    for (at, &byte) in message.iter().enumerate() {
        if byte != b'\r' || message.get(at + 1) != Some(&b'\n') {
            text.push(byte);
        }
    }
    text
}

/// An error with its causes: what a server said is among them.
fn said(error: &lettre::transport::smtp::Error) -> String {
    use std::error::Error as _;
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        // Some repeat what they come from.
        if !text.contains(&words) {
            write!(text, ": {words}").expect("a string takes it");
        }
        cause = error.source();
    }
    super::shown(&text)
}

#[derive(Clone, Debug)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use blocker_core::config::notify::{Occasion, Wanted};

    use super::super::notice::testing::{HOSTILE, ban};
    use super::*;

    fn receiver(way: MailWay) -> MailReceiver {
        let config = notify::Mail {
            wanted: Wanted { on: vec![Occasion::Ban], jails: Vec::new(), alarms: true },
            to: vec!["root".to_owned(), "admin@example.org".to_owned()],
            from: None,
            way,
            subject: "[blocker] ä".to_owned(),
            every: Duration::from_secs(60),
            whois: None,
        };
        MailReceiver::new(config, "mx1.example.org")
    }

    fn program(script: &str) -> MailReceiver {
        receiver(MailWay::Program(["/bin/sh", "-c", script, "sh"].map(str::to_owned).into()))
    }

    /// The lines of the head, and all the rest.
    fn split(message: &str) -> (Vec<String>, &str) {
        let (head, body) = message.split_once("\r\n\r\n").expect("a head and a body");
        // A line that begins with a blank goes on with the one before it.
        (head.replace("\r\n ", " ").split("\r\n").map(str::to_owned).collect(), body)
    }

    #[test]
    fn nobody_adds_a_header_or_an_addressee() {
        let mut hostile = ban("192.0.2.9", HOSTILE);
        // As if nothing had been escaped before.
        let raw = "x\r\nBcc: victim@example.org\r\n\r\nbody\0\x1b";
        if let super::super::notice::Detail::Ban(ban) = &mut hostile.detail {
            ban.jail = raw.to_owned();
        }
        let receiver = program("true");
        let message = receiver.message(&Batch { notices: vec![hostile], left_out: 0 }, &[]).expect("it can be made");

        let text = String::from_utf8(message.formatted()).expect("ASCII");
        let (head, _) = split(&text);

        let names: Vec<&str> = head.iter().filter_map(|line| line.split_once(": ")).map(|(name, _)| name).collect();
        let mut expected = vec![
            "From",
            "Subject",
            "Message-ID",
            "Date",
            "Auto-Submitted",
            "Content-Type",
            "To",
            "Content-Transfer-Encoding",
        ];
        let mut sorted = names.clone();
        sorted.sort_unstable();
        expected.sort_unstable();
        assert_eq!(sorted, expected, "{text}");
        assert_eq!(message.envelope().to().len(), 2, "{text}");
        assert!(text.is_ascii(), "{text}");
        assert!(head.iter().any(|line| line == "From: blocker@mx1.example.org"), "{head:?}");
        assert!(head.iter().any(|line| line == "To: root@mx1.example.org, admin@example.org"), "{head:?}");
    }

    #[tokio::test]
    async fn a_program_is_given_the_message_and_the_addressees_as_they_are_configured() {
        let dir = crate::source::testing::TempDir::new();
        let file = dir.text("mail");
        let mut receiver = program(&format!("{{ echo \"$@\"; cat; }} > {file}"));

        let batch = Batch { notices: vec![ban("192.0.2.9", b"bob")], left_out: 0 };
        receiver.tell(&batch, false).await.expect("it is taken");

        let mail = fs::read_to_string(dir.path("mail")).expect("it was written");
        assert_eq!(mail.lines().next(), Some("-i -f blocker@mx1.example.org -- root admin@example.org"));
        assert!(
            !mail.contains('\r') && mail.contains("\n\n2026-11-26T18:00:00Z  [dovecot] 192.0.2.9 is banned until"),
            "{mail}"
        );
    }

    #[tokio::test]
    async fn what_a_program_says_is_told_and_75_is_for_later() {
        let batch = Batch { notices: vec![ban("192.0.2.9", b"bob")], left_out: 0 };

        let later = program("cat >/dev/null; printf 'try\\033 later' >&2; exit 75").tell(&batch, false).await;
        let never = program("cat >/dev/null; exit 67").tell(&batch, false).await;

        assert_eq!(later, Err(Failed::Later("/bin/sh ended with exit status 75: try\\u{1b} later".to_owned())));
        assert_eq!(never, Err(Failed::Never("/bin/sh ended with exit status 67".to_owned())));
    }
}
