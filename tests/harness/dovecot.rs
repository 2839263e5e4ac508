//! A real Dovecot in the server's namespace, with real accounts, whose log comes through a pipe to the laboratory.
//!
//! Dovecot logs to its standard error; the laboratory, in the part of the log daemon, appends each line to the watched
//! file and notes the time. Nothing of the machine's own Dovecot is touched: own directories, own configuration.

use std::{fs, net::SocketAddr, os::unix::fs::chown, path::PathBuf, process::Command, sync::Arc, time::Duration};

use anyhow::{Context, Result, anyhow, ensure};
use nix::{sys::signal::Signal, unistd::User};

use crate::{
    leftovers::Scratch,
    legitimate,
    log_file::LogFile,
    netns::{Host, Net, SERVER, SERVER_V4},
    probe,
    process::{self, Process},
    wait,
};

/// How Dovecot treats whoever gave a wrong password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As shipped: refusals take 2 s, and every further one from the same address longer, up to 15 s more.
    Shipped,
    /// At once, for tests.
    Brisk,
}

/// One who may log in.
#[derive(Clone, Copy, Debug)]
pub struct Account {
    /// The login name.
    pub user: &'static str,
    /// The right password.
    pub password: &'static str,
}

/// The legitimate user.
pub const ALICE: Account = Account { user: "alice", password: "right horse, right battery" };
/// Whose password the attackers are after.
pub const BOB: Account = Account { user: "bob", password: "not in any list" };

/// A running Dovecot; stopped on drop.
#[derive(Debug)]
pub struct Dovecot {
    process: Process,
    version: String,
    scratch: Scratch,
}

/// What it does besides.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extras {
    /// Tells each refused password at once (`auth_verbose`), and not only how many there were on a connection.
    pub is_verbose: bool,
    /// Tells Postfix, too, whether a password is right: at [`Dovecot::sasl`].
    pub has_sasl: bool,
}

impl Dovecot {
    /// Starts it on the server's IMAP and POP3 ports, IPv4 and IPv6, and waits until it answers on all of
    /// them and lets alice in.
    ///
    /// # Errors
    ///
    /// If it is not installed, does not start, or is not ready within half a minute.
    pub fn start(net: &Net, log: &Arc<LogFile>, pace: Pace) -> Result<Self> {
        Self::start_with(net, log, pace, Extras::default())
    }

    /// The same with more.
    ///
    /// # Errors
    ///
    /// As [`Self::start`].
    pub fn start_with(net: &Net, log: &Arc<LogFile>, pace: Pace, extras: Extras) -> Result<Self> {
        let version = version()?;
        let scratch = Scratch::new()?;
        write_configuration(&scratch, &version, pace, extras)?;

        let mut command = net.command(Host::Server, PROGRAM);
        command.arg("-F").arg("-c").arg(scratch.join("dovecot.conf"));
        let log = Arc::clone(log);
        let process = Process::spawn_watched("dovecot", command, move |line| {
            if let Err(error) = log.append(line) {
                eprintln!("Dovecot's line was lost: {error:#}");
            }
        })?;

        let mut dovecot = Self { process, version, scratch };
        for address in SERVER.iter().flat_map(|server| PORTS.map(|port| SocketAddr::new(*server, port))) {
            wait::until(&format!("Dovecot on {address}"), Duration::from_secs(60), || {
                probe::connects(net, Host::Server, address)
                    .then_some(())
                    .ok_or_else(|| format!("no connection; Dovecot says:\n{}", dovecot.process.printed()))
            })?;
        }
        // The first login of 2.4 may take 5 s; it is not the legitimate user who shall wait for that.
        wait::until("Dovecot to let alice in", Duration::from_secs(60), || {
            let login = net.spawn(Host::Server, || legitimate::log_in(SERVER_V4, ALICE));
            let outcome = login.and_then(|thread| thread.join().map_err(|_| anyhow!("a thread panicked"))?);
            outcome.map_err(|error| format!("{error:#}; Dovecot says:\n{}", dovecot.process.printed()))
        })?;
        ensure!(dovecot.process.ended()?.is_none(), "Dovecot ended: {}", dovecot.process.printed());
        Ok(dovecot)
    }

    /// `2.3.19.1`, say.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The socket at which others ask for passwords, with [`Extras::has_sasl`].
    #[must_use]
    pub fn sasl(&self) -> PathBuf {
        self.scratch.join(SASL)
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        // Its own way first, so that it ends its login processes; what then remains is killed by `Process`.
        if self.process.signal(Signal::SIGTERM).is_ok() {
            self.process.wait(Duration::from_secs(5)).ok();
        }
    }
}

const PROGRAM: &str = "dovecot";

/// In its directory.
const SASL: &str = "sasl";

/// IMAP and POP3.
const PORTS: [u16; 2] = [143, 110];

fn version() -> Result<String> {
    let mut command = Command::new(PROGRAM);
    command.arg("--version");
    let finished = process::run(command, Duration::from_secs(30))
        .context("Dovecot is needed; on Debian: apt-get install dovecot-imapd dovecot-pop3d")?
        .success()?;
    let version = finished.stdout.split_whitespace().next().context("`dovecot --version` prints nothing")?;
    Ok(version.to_owned())
}

fn write_configuration(scratch: &Scratch, version: &str, pace: Pace, extras: Extras) -> Result<()> {
    // Mail belongs to nobody, in the literal sense: an unprivileged user that every system has.
    let owner = User::from_name("nobody")?.context("there is no user `nobody`")?;
    let mail = scratch.join("mail");
    fs::create_dir(&mail)?;
    chown(&mail, Some(owner.uid.as_raw()), Some(owner.gid.as_raw()))?;

    let users = [ALICE, BOB].map(|account| format!("{}:{{PLAIN}}{}::::::\n", account.user, account.password));
    fs::write(scratch.join("passwd"), users.concat())?;

    let root = scratch.path().display();
    let (uid, gid) = (owner.uid, owner.gid);
    let delay = match pace {
        Pace::Shipped => "",
        // The second half turns off the growing penalty per address.
        Pace::Brisk => {
            "auth_failure_delay = 0\nservice anvil {\n  unix_listener anvil-auth-penalty {\n    mode = 0\n  }\n}\n"
        }
    };
    let Extras { is_verbose, has_sasl } = extras;
    let verbose = if is_verbose { "auth_verbose = yes\n" } else { "" };
    let sasl = if has_sasl {
        format!("service auth {{\n  unix_listener {root}/{SASL} {{\n    mode = 0666\n  }}\n}}\n")
    } else {
        String::new()
    };
    let common = format!(
        "base_dir = {root}/run\nstate_dir = {root}/state\nlog_path = /dev/stderr\nprotocols = imap pop3\n\
         listen = *, ::\nssl = no\nfirst_valid_uid = 1\nfirst_valid_gid = 1\n{delay}{verbose}{sasl}"
    );
    let specific = if version.starts_with("2.3") || version.starts_with("2.2") {
        format!(
            "disable_plaintext_auth = no\nmail_location = maildir:{root}/mail/%u\n\
             passdb {{\n  driver = passwd-file\n  args = {root}/passwd\n}}\n\
             userdb {{\n  driver = static\n  args = uid={uid} gid={gid} home={root}/mail/%u\n}}\n"
        )
    } else {
        format!(
            "auth_allow_cleartext = yes\nmail_driver = maildir\nmail_path = {root}/mail/%{{user}}\n\
             passdb passwd-file {{\n  passwd_file_path = {root}/passwd\n}}\n\
             userdb static {{\n  fields {{\n    uid = {uid}\n    gid = {gid}\n    home = {root}/mail/%{{user}}\n  }}\n}}\n"
        )
    };
    // From 2.4 on, the file must begin with the versions it is written for.
    let head = if version.starts_with("2.3") || version.starts_with("2.2") {
        ""
    } else {
        "dovecot_config_version = 2.4.0\ndovecot_storage_version = 2.4.0\n"
    };
    Ok(fs::write(scratch.join("dovecot.conf"), format!("{head}{common}{specific}"))?)
}
