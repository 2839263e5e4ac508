//! A real Postfix in the server's namespace that asks Dovecot for passwords; its log goes where Dovecot's goes.
//!
//! Nothing of the machine's own Postfix is touched: own configuration, own queue. What it takes it throws away.

use std::{fs, net::SocketAddr, os::unix::fs::chown, path::Path, process::Command, sync::Arc, time::Duration};

use anyhow::{Context, Result, anyhow};
use nix::unistd::User;

use crate::{
    leftovers::Scratch,
    log_file::LogFile,
    netns::{Host, Net, SERVER_V4},
    probe,
    process::{self, Process},
    wait,
};

/// A running Postfix; stopped on drop.
#[derive(Debug)]
pub struct Postfix<'net> {
    net: &'net Net,
    scratch: Scratch,
    // Behind what its end needs.
    process: Process,
}

impl<'net> Postfix<'net> {
    /// Starts it on the server's port 25, asking for passwords at the socket `sasl`, and waits until it answers.
    ///
    /// # Errors
    ///
    /// If it is not installed, does not start, or is not ready within a minute.
    pub fn start(net: &'net Net, log: &Arc<LogFile>, sasl: &Path) -> Result<Self> {
        let scratch = Scratch::new()?;
        write_configuration(&scratch, sasl)?;
        let mut command = net.command(Host::Server, PROGRAM);
        command.arg("-c").arg(scratch.join("etc")).arg("start-fg");
        let log = Arc::clone(log);
        let process = Process::spawn_watched("postfix", command, move |line| {
            if let Err(error) = log.append(line) {
                eprintln!("Postfix's line was lost: {error:#}");
            }
        })
        .context("Postfix is needed; on Debian: apt-get install postfix")?;
        let postfix = Self { net, scratch, process };
        wait::until("Postfix to answer", Duration::from_secs(60), || {
            probe::connects(net, Host::Server, SocketAddr::new(SERVER_V4, SMTP))
                .then_some(())
                .ok_or_else(|| format!("no connection; Postfix says:\n{}", postfix.process.printed()))
        })?;
        Ok(postfix)
    }

    /// What it has printed.
    #[must_use]
    pub fn printed(&self) -> String {
        self.process.printed()
    }
}

impl Drop for Postfix<'_> {
    fn drop(&mut self) {
        // Its servers are of other process groups than the one that is killed.
        let mut stop = self.net.command(Host::Server, PROGRAM);
        stop.arg("-c").arg(self.scratch.join("etc")).arg("stop");
        if let Err(error) = process::run(stop, Duration::from_secs(30)) {
            eprintln!("Postfix was not stopped: {error:#}");
        }
    }
}

/// One login over SMTP by curl from `host`, and a message if it succeeds; whether it did.
///
/// # Errors
///
/// If curl cannot be run, or ends for another reason than a refused password.
pub fn submit(net: &Net, host: Host, user: &str, password: &str, message: &Path) -> Result<bool> {
    let mut command: Command = net.command(host, "curl");
    command
        .args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "60", "--login-options", "AUTH=PLAIN"])
        .args(["--user", &format!("{user}:{password}"), "--upload-file"])
        .arg(message)
        .args(["--mail-from", "alice@example.org", "--mail-rcpt", "bob@example.org"])
        .arg(format!("smtp://{SERVER_V4}:{SMTP}/client.example.org"));
    let finished = process::run(command, Duration::from_secs(90))?;
    match finished.code {
        Some(0) => Ok(true),
        Some(LOGIN_DENIED) => Ok(false),
        _ => Err(anyhow!("curl: {finished:?}")),
    }
}

const PROGRAM: &str = "postfix";
const SMTP: u16 = 25;

/// curl's `CURLE_LOGIN_DENIED`.
const LOGIN_DENIED: i32 = 67;

fn write_configuration(scratch: &Scratch, sasl: &Path) -> Result<()> {
    let owner = User::from_name("postfix")?.context("there is no user `postfix`: is Postfix installed?")?;
    for name in ["etc", "queue", "data"] {
        fs::create_dir(scratch.join(name))?;
    }
    chown(scratch.join("data"), Some(owner.uid.as_raw()), None)?;
    let root = scratch.path().display();
    // No DNS in the namespace, no patience with wrong passwords needed, and the whole of a submission.
    let main = format!(
        "compatibility_level = 3.6\nqueue_directory = {root}/queue\ndata_directory = {root}/data\n\
         maillog_file = /dev/stdout\nmyhostname = mx1.example.org\nmydestination =\nmynetworks =\n\
         inet_interfaces = all\ninet_protocols = all\nalias_maps =\nalias_database =\nlocal_recipient_maps =\n\
         smtpd_peername_lookup = no\nsmtp_dns_support_level = disabled\ndefault_transport = discard:\n\
         smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = {sasl}\n\
         smtpd_relay_restrictions = permit_sasl_authenticated, reject\nsmtpd_error_sleep_time = 0\n",
        sasl = sasl.display(),
    );
    fs::write(scratch.join("etc/main.cf"), main)?;
    Ok(fs::write(scratch.join("etc/master.cf"), MASTER)?)
}

/// Its servers: none in a chroot.
const MASTER: &str = "\
smtp      inet  n       -       n       -       -       smtpd
pickup    unix  n       -       n       60      1       pickup
cleanup   unix  n       -       n       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
tlsmgr    unix  -       -       n       1000?   1       tlsmgr
rewrite   unix  -       -       n       -       -       trivial-rewrite
bounce    unix  -       -       n       -       0       bounce
defer     unix  -       -       n       -       0       bounce
trace     unix  -       -       n       -       0       bounce
verify    unix  -       -       n       -       1       verify
flush     unix  n       -       n       1000?   0       flush
proxymap  unix  -       -       n       -       -       proxymap
error     unix  -       -       n       -       -       error
retry     unix  -       -       n       -       -       error
discard   unix  -       -       n       -       -       discard
anvil     unix  -       -       n       -       1       anvil
postlog   unix-dgram n  -       n       -       1       postlogd
";
