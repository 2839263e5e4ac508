//! Those who are told of bans, in earnest: an SMTP server (aiosmtpd) that keeps its mails, an HTTP server that checks signatures
//! (webhook), and one who takes connections and never says a word.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, ensure};
use serde::Deserialize;

use crate::{
    netns::{Host, Net},
    probe,
    process::{self, Process},
};

/// A mail that was received, as Python's reader of mails sees it.
#[derive(Clone, Debug, Deserialize)]
pub struct Mail {
    /// Names and values, decoded, in their order; the server's own are `X-Peer`, `X-MailFrom` and `X-RcptTo`.
    pub headers: Vec<(String, String)>,
    /// The text, decoded.
    pub body: String,
    /// The message as it came.
    pub raw: String,
}

impl Mail {
    /// The only header of that name.
    ///
    /// # Panics
    ///
    /// If there is none, or several.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        let values: Vec<&str> = self
            .headers
            .iter()
            .filter(|(had, _)| had.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect();
        assert_eq!(values.len(), 1, "{name} in {self:?}");
        values[0]
    }
}

/// A mail server on the server's loopback address.
#[derive(Debug)]
pub struct MailServer {
    _process: Process,
    directory: PathBuf,
}

impl MailServer {
    /// Starts one at `port` that keeps its mails in `directory`; `options` are aiosmtpd's.
    ///
    /// # Errors
    ///
    /// If it does not listen within 30 s.
    pub fn start(net: &Net, port: u16, directory: &Path, options: &[String]) -> Result<Self> {
        let mut command = net.command(Host::Server, "aiosmtpd");
        command.arg("--nosetuid").args(["--listen", &format!("127.0.0.1:{port}")]).args(options);
        command.args(["--class", "aiosmtpd.handlers.Mailbox"]).arg(directory);
        let process = Process::spawn("aiosmtpd", command)?;
        let target = SocketAddr::new(LOOPBACK, port);
        ensure!(probe::comes_to_connect(net, Host::Server, target), "aiosmtpd says:\n{}", process.printed());
        Ok(Self { _process: process, directory: directory.to_owned() })
    }

    /// The mails received so far, in no order.
    ///
    /// # Errors
    ///
    /// If one cannot be read.
    pub fn mails(&self) -> Result<Vec<Mail>> {
        let new = self.directory.join("new");
        if !new.exists() {
            return Ok(Vec::new());
        }
        let mut python = Command::new("/usr/bin/python3");
        python.args(["-c", READ_MAILS]).arg(new);
        let printed = process::run(python, PATIENCE)?.success()?.stdout;
        serde_json::from_str(&printed).with_context(|| printed)
    }
}

/// Prints the mails of a directory as JSON.
const READ_MAILS: &str = "
import email, email.policy, json, os, sys
mails = []
for entry in sorted(os.scandir(sys.argv[1]), key=lambda entry: entry.stat().st_mtime_ns):
    with open(entry, 'rb') as file: raw = file.read()
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    mails.append({'headers': [[name, str(value)] for name, value in mail.items()], 'body': mail.get_content(), 'raw': raw.decode('ascii')})
json.dump(mails, sys.stdout)
";

/// An HTTP server on the server's loopback address that takes what is signed with its secret, and writes it down.
#[derive(Debug)]
pub struct HookServer {
    _process: Process,
    taken: PathBuf,
}

impl HookServer {
    /// Starts one at `port`, whose hook is `/hooks/bans`, with `secret`; with TLS, if there is a certificate.
    ///
    /// # Errors
    ///
    /// If it does not listen within 30 s.
    pub fn start(net: &Net, port: u16, directory: &Path, secret: &str, tls: Option<&Certificate>) -> Result<Self> {
        let taken = directory.join("taken");
        let script = directory.join("take");
        fs::write(&script, format!("#!/bin/sh\nprintf '%s\\n' \"$1\" >> {}\n", taken.display()))?;
        fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let hooks = serde_json::json!([{
            "id": "bans",
            "execute-command": script,
            "pass-arguments-to-command": [{ "source": "entire-payload" }],
            "trigger-rule-mismatch-http-response-code": 403,
            "trigger-rule": { "match": {
                "type": "payload-hmac-sha256",
                "secret": secret,
                "parameter": { "source": "header", "name": "X-Blocker-Signature" },
            } },
        }]);
        let file = directory.join("hooks.json");
        fs::write(&file, hooks.to_string())?;
        let mut command = net.command(Host::Server, "webhook");
        command
            .args(["-ip", "127.0.0.1", "-port", &port.to_string(), "-http-methods", "POST", "-verbose", "-hooks"])
            .arg(file);
        if let Some(Certificate { certificate, key }) = tls {
            command.arg("-secure").arg("-cert").arg(certificate).arg("-key").arg(key);
        }
        let process = Process::spawn("webhook", command)?;
        let target = SocketAddr::new(LOOPBACK, port);
        ensure!(probe::comes_to_connect(net, Host::Server, target), "webhook says:\n{}", process.printed());
        Ok(Self { _process: process, taken })
    }

    /// The documents that were taken.
    ///
    /// # Errors
    ///
    /// If one is no JSON.
    pub fn taken(&self) -> Result<Vec<serde_json::Value>> {
        crate::answers::per_line(&fs::read_to_string(&self.taken).unwrap_or_default())
    }
}

/// A certificate for `localhost` and `127.0.0.1`, signed by itself.
#[derive(Debug)]
pub struct Certificate {
    /// Its file, which is also the one to trust.
    pub certificate: PathBuf,
    /// Its key's.
    pub key: PathBuf,
}

impl Certificate {
    /// Makes one in `directory`.
    ///
    /// # Errors
    ///
    /// openssl's own.
    pub fn make(directory: &Path) -> Result<Self> {
        let made = Self { certificate: directory.join("certificate.pem"), key: directory.join("key.pem") };
        let mut openssl = Command::new("openssl");
        openssl.args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ]);
        openssl.args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]);
        openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
        openssl.arg("-keyout").arg(&made.key).arg("-out").arg(&made.certificate);
        process::run(openssl, PATIENCE)?.success()?;
        Ok(made)
    }
}

/// Takes connections at `port` of the server's loopback address and never says a word, as long as the value lives.
///
/// # Errors
///
/// If the port is taken.
pub fn mute(net: &Net, port: u16) -> Result<TcpListener> {
    // The kernel takes them; nobody ever looks.
    let listener = net.spawn(Host::Server, move || TcpListener::bind((Ipv4Addr::LOCALHOST, port)))?;
    Ok(listener.join().map_err(|_| anyhow!("the thread that listens panicked"))??)
}

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// For a program that needs milliseconds.
const PATIENCE: Duration = Duration::from_secs(60);
