//! Real brute-force programs, as command lines: hydra, and curl in a loop of its own.

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};

use crate::{
    netns::{Host, Net},
    process,
};

/// What is attacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Port 143; hydra tries three passwords per connection.
    Imap,
    /// Port 110; hydra tries all its passwords on one connection per task.
    Pop3,
}

impl Service {
    /// The scheme of its addresses.
    #[must_use]
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Imap => "imap",
            Self::Pop3 => "pop3",
        }
    }
}

/// Hydra on `host`, trying every password of the list on `user`, over `tasks` connections at a time.
#[must_use]
pub fn hydra(net: &Net, host: Host, target: (Service, IpAddr), user: &str, passwords: &Path, tasks: u32) -> Command {
    let (service, server) = target;
    let mut command = net.command(host, "hydra");
    command
        // `-I`: never wait for an earlier run's restore file; `-K`: take up nothing again that failed.
        .args(["-I", "-K", "-t", &tasks.to_string(), "-l", user, "-P"])
        .arg(passwords)
        .arg(format!("{}://{}", service.scheme(), bracketed(server)))
        // Its restore file goes where it is removed with everything else.
        .current_dir(passwords.parent().unwrap_or(Path::new("/tmp")));
    command
}

/// One login by curl from `source`, an address of `host`.
#[must_use]
pub fn curl(
    net: &Net,
    host: Host,
    source: IpAddr,
    target: (Service, IpAddr),
    user: &str,
    password: &str,
    limit: Duration,
) -> Command {
    let (service, server) = target;
    let mut command = net.command(host, "curl");
    command
        .args(["--silent", "--show-error", "--noproxy", "*", "--max-time", &limit.as_secs().to_string()])
        .args(["--interface", &source.to_string(), "--user", &format!("{user}:{password}")])
        .arg(format!("{}://{}/", service.scheme(), bracketed(server)));
    command
}

/// A list of `count` wrong passwords in `directory`, none of them tried by anybody else.
///
/// # Errors
///
/// The file system's.
pub fn password_list(directory: &Path, name: &str, count: usize) -> Result<PathBuf> {
    let path = directory.join(name);
    let passwords: String = (1..=count).map(|number| format!("{name}-guess-{number}\n")).collect();
    fs::write(&path, passwords)?;
    Ok(path)
}

/// Checks that the attackers' programs are installed.
///
/// # Errors
///
/// Naming the package that is missing.
pub fn check_installed() -> Result<()> {
    for (program, flag) in [("hydra", "-h"), ("curl", "--version")] {
        let mut command = Command::new(program);
        command.arg(flag);
        process::run(command, Duration::from_secs(30))
            .with_context(|| format!("`{program}` is needed; on Debian: apt-get install {program}"))?;
    }
    Ok(())
}

fn bracketed(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}
