//! The virtual machine, as the tests handle it: its service, its users, and the network outside.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use blocker_tests::wait;
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, setsockopt, socket, sockopt::SendTimeout,
};
use nix::sys::time::{TimeVal, TimeValLike as _};

/// Where it is configured.
pub(crate) const CONFIGURATION: &str = "/etc/blocker/blocker.toml";

/// The machine, as it is seen from outside.
pub(crate) const MACHINE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// The machine's clock counts instructions, so this is no measure of how busy its host is.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// A user, who is in the group that may do everything.
pub(crate) const OPERATOR: &str = "olivia";

/// A user as any other.
pub(crate) const USER: &str = "alice";

/// What [`USER`] logs in by.
pub(crate) const PASSWORD: &str = "correct horse";

/// A configuration with the jail `sshd` on the journal: three failures earn a ban.
pub(crate) const PLAIN: &str = r#"
[daemon]
fail2ban_log = "/var/log/blocker/fail2ban.log"
[control]
group = "blocker"
[jails.sshd]
journal = ["_SYSTEMD_UNIT=ssh.service"]
max_retry = 3
"#;

/// Runs a command line by the shell, and returns what it printed.
pub(crate) fn shell(line: &str) -> Result<String> {
    let (code, said) = attempt(line)?;
    ensure!(code == 0, "`{line}` ended with {code}: {said}");
    Ok(said)
}

/// The same, with the code by which it ended.
pub(crate) fn attempt(line: &str) -> Result<(i32, String)> {
    let output = Command::new("sh").args(["-c", line]).stdin(Stdio::null()).output().context("starting sh")?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned()))
}

/// A property of the service, as systemd has it.
pub(crate) fn property(name: &str) -> Result<String> {
    Ok(shell(&format!("systemctl show --value --property {name} blocker"))?.trim().to_owned())
}

/// The daemon's process.
pub(crate) fn process() -> Result<u32> {
    property("MainPID")?.parse().context("the service has a process")
}

/// The service anew with this configuration, without a ban of an earlier test; and the users, if they are not there yet.
pub(crate) fn fresh(configuration: &str) -> Result<()> {
    if !Path::new("/home").join(USER).exists() {
        shell(&format!(
            "groupadd --system blocker && useradd --create-home --groups blocker {OPERATOR} && \
             useradd --create-home --shell /bin/bash {USER} && echo '{USER}:{PASSWORD}' | chpasswd"
        ))?;
    }
    configure(configuration)?;
    // However often it was started: the limit of systemd is of no interest here.
    shell("systemctl reset-failed blocker; systemctl restart blocker && blocker unban --all")?;
    Ok(())
}

/// Writes the configuration.
pub(crate) fn configure(text: &str) -> Result<()> {
    fs::write(CONFIGURATION, text).with_context(|| format!("writing {CONFIGURATION}"))
}

/// An address outside: those that end with 10 to 19 are there.
pub(crate) fn attacker(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, last)
}

/// Whether a connection from there to the machine's SSH server comes about. What is dropped takes a while to be known as such.
pub(crate) fn reaches(source: Ipv4Addr) -> Result<bool> {
    outside(move || {
        let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        setsockopt(&socket, SendTimeout, &TimeVal::seconds(3))?;
        bind(socket.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(source, 0)))?;
        Ok(connect(socket.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(MACHINE, 22))).is_ok())
    })
}

/// Runs `work` in a thread that lives outside.
fn outside<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let namespace = File::open("/run/netns/outside").context("opening the namespace outside")?;
    let thread = thread::spawn(move || {
        setns(namespace, CloneFlags::CLONE_NEWNET)?;
        work()
    });
    thread.join().map_err(|_| anyhow!("a thread panicked"))?
}

/// Somebody who logs in over SSH as [`USER`] with a password, which may be wrong, and is asked up to three times.
pub(crate) fn login(source: Ipv4Addr, password: &str, command: &str) -> Result<Command> {
    let asked = Path::new("/run/password-of-tests");
    fs::write(asked, "#!/bin/sh\necho \"$PASSWORD\"\n")?;
    shell(&format!("chmod 755 {}", asked.display()))?;
    let mut ssh = Command::new("ip");
    ssh.args(["netns", "exec", "outside", "ssh", "-F", "none", "-b", &source.to_string()]);
    for option in ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR"] {
        ssh.args(["-o", option]);
    }
    ssh.arg(format!("{USER}@{MACHINE}")).arg(command);
    ssh.env("DISPLAY", "none").env("SSH_ASKPASS", asked).env("SSH_ASKPASS_REQUIRE", "force").env("PASSWORD", password);
    ssh.stdin(Stdio::null());
    Ok(ssh)
}

/// Three wrong passwords of one login.
pub(crate) fn fails_thrice(source: Ipv4Addr) -> Result<()> {
    // When the third has failed it may be cut off instead of answered.
    let mut ssh = login(source, "wrong", "true")?;
    ssh.args(["-o", "ServerAliveInterval=5"]);
    let output = ssh.output().context("starting ssh")?;
    ensure!(!output.status.success(), "{USER} has logged in with a wrong password");
    Ok(())
}

/// Whether it is banned, by what the daemon says.
pub(crate) fn is_banned(source: Ipv4Addr) -> Result<bool> {
    let bans = shell("blocker bans --json")?;
    Ok(bans.lines().any(|line| line.contains(&format!("\"{source}\""))))
}

/// Waits until it is banned.
pub(crate) fn await_ban(source: Ipv4Addr) -> Result<()> {
    await_that(&format!("a ban of {source}"), || is_banned(source))
}

/// Waits until something is so.
pub(crate) fn await_that(what: &str, mut claim: impl FnMut() -> Result<bool>) -> Result<()> {
    wait::until(what, LIMIT, || match claim() {
        Ok(true) => Ok(()),
        Ok(false) => Err("it is not so".to_owned()),
        Err(error) => Err(format!("{error:#}")),
    })
}
