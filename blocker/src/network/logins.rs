//! From where people are logged in on this machine, over the network and with authentication.
//!
//! Two places tell: the files of sessions that logind keeps, and utmp, which older systems and those without systemd write.
//! Both are written by root alone, after authentication. logind's files are private to systemd, but it is from them that
//! its own library answers `sd_session_get_remote_host`, and their form has not changed since that was added.
//!
//! A session of logind counts if it has a terminal or a desktop: those that mail and FTP services open for their users by
//! PAM have none. A name of a host counts for nothing, since names are not resolved.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use jiff::Timestamp as WallTime;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use utmp_rs::{UtmpEntry, UtmpParser};

/// Where logind keeps a file per session.
pub const SESSIONS: &str = "/run/systemd/sessions";

/// Who is logged in, as `who` reads it.
pub const UTMP: &str = "/run/utmp";

/// Sessions looked at, at most; also entries of utmp.
const MAX_SESSIONS: usize = 1024;

/// Bytes read of a session's file at most; they have some 500.
const MAX_SESSION_BYTES: u64 = 16 * 1024;

/// Addresses that are allowed for this reason at most: the kernel's list has a bound.
const MAX_LOGINS: usize = 256;

/// Characters kept of a name at most.
const MAX_NAME_CHARS: usize = 64;

/// Somebody who is logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// From where.
    pub addr: IpAddr,
    /// Who; empty if that is not known.
    pub user: String,
    /// By which service, such as `sshd`, if that is known.
    pub service: Option<String>,
    /// Since when, if that is known.
    pub since: Option<WallTime>,
}

/// From where somebody is logged in now, each address once. What cannot be read tells of nobody.
pub fn logged_in_from(sessions: &Path, utmp: &Path) -> Vec<Login> {
    let mut found: Vec<Login> = Vec::new();
    for login in of_logind(sessions).into_iter().chain(of_utmp(utmp)) {
        if found.len() < MAX_LOGINS && !found.iter().any(|known| known.addr == login.addr) {
            found.push(login);
        }
    }
    found
}

fn name(text: &str) -> String {
    text.chars().take(MAX_NAME_CHARS).collect()
}

fn of_logind(directory: &Path) -> Vec<Login> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    entries.take(MAX_SESSIONS).filter_map(|entry| session(open(&entry.ok()?.path()).ok()?)).collect()
}

/// Opens a file. logind has FIFOs among them: none of these may block.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)
}

/// Who has a session, from its file.
fn session(file: impl Read) -> Option<Login> {
    let mut text = String::new();
    // An empty FIFO tells nothing.
    file.take(MAX_SESSION_BYTES).read_to_string(&mut text).ok()?;
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    let is_person = matches!(value("TYPE")?, "tty" | "x11" | "wayland" | "mir" | "web");
    let is_here = value("REMOTE")? == "1" && value("STATE")? != "closing" && value("CLASS")? == "user";
    let addr = address(value("REMOTE_HOST")?).filter(|_| is_person && is_here)?;
    let since = value("REALTIME").and_then(|micros| WallTime::from_microsecond(micros.parse().ok()?).ok());
    Some(Login { addr, user: value("USER").map(name).unwrap_or_default(), service: value("SERVICE").map(name), since })
}

fn of_utmp(path: &Path) -> Vec<Login> {
    let Ok(entries) = UtmpParser::from_path(path) else { return Vec::new() };
    let peer = |entry: UtmpEntry| {
        let UtmpEntry::UserProcess { pid, host, user, time, .. } = entry else { return None };
        // What a process that was killed left behind is nobody's.
        let addr = address(&host).filter(|_| is_alive(pid))?;
        Some(Login { addr, user: name(&user), service: None, since: WallTime::from_second(time.unix_timestamp()).ok() })
    };
    entries.take(MAX_SESSIONS).map_while(Result::ok).filter_map(peer).collect()
}

fn is_alive(pid: i32) -> bool {
    pid > 0 && matches!(kill(Pid::from_raw(pid), None), Ok(()) | Err(Errno::EPERM))
}

/// An address that can be somebody's: a zone is no part of it, and this machine needs no leave.
fn address(text: &str) -> Option<IpAddr> {
    let addr: IpAddr = text.split('%').next()?.parse().ok()?;
    let addr = addr.to_canonical();
    (!addr.is_unspecified() && !addr.is_loopback() && !addr.is_multicast()).then_some(addr)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::source::testing::TempDir;

    const SSH: &str = "# This is private data. Do not parse.\nUID=1000\nUSER=alice\nACTIVE=1\nSTATE=active\nREMOTE=1\n\
                       TYPE=tty\nORIGINAL_TYPE=tty\nCLASS=user\nREMOTE_HOST=192.0.2.77\nSERVICE=sshd\nPOSITION=0\n";

    #[test]
    fn a_session_over_the_network_tells_where_from() {
        for (host, expected) in [
            ("192.0.2.77", Some("192.0.2.77")),
            ("2001:db8::7", Some("2001:db8::7")),
            ("::ffff:192.0.2.78", Some("192.0.2.78")),
            ("fe80::1%eth0", Some("fe80::1")),
            ("office.example.org", None),
            ("0.0.0.0", None),
            ("127.0.0.1", None),
            ("", None),
        ] {
            let text = SSH.replace("192.0.2.77", host);
            let found = session(text.as_bytes()).map(|login| login.addr);
            assert_eq!(found, expected.map(|text| text.parse().unwrap()), "{host}");
        }
    }

    #[test]
    fn a_session_tells_who_and_by_which_service_and_since_when() {
        let long = SSH.replace("alice", &"a".repeat(1000)).replace("ACTIVE=1", "ACTIVE=1\nREALTIME=1795708535075862");
        let Login { addr: _, user, service, since } = session(long.as_bytes()).unwrap();

        assert_eq!((user.len(), service.as_deref()), (MAX_NAME_CHARS, Some("sshd")));
        assert_eq!(since.unwrap().as_microsecond(), 1_795_708_535_075_862);
        let nobody = SSH.replace("USER=alice\n", "").replace("SERVICE=sshd\n", "REALTIME=soon\n");
        let login = session(nobody.as_bytes()).unwrap();
        assert_eq!((login.user.as_str(), login.service, login.since), ("", None, None));
    }

    #[test]
    fn who_is_not_there_in_person_or_not_any_more_is_nobody() {
        for (line, other) in [
            ("REMOTE=1", "REMOTE=0"),
            ("STATE=active", "STATE=closing"),
            ("CLASS=user", "CLASS=greeter"),
            ("\nTYPE=tty", "\nTYPE=unspecified"),
            ("\nTYPE=tty", ""),
        ] {
            assert!(SSH.contains(line), "{line}");
            assert_eq!(session(SSH.replace(line, other).as_bytes()), None, "{other}");
        }
        assert_eq!(session(io::repeat(b'x')), None, "an endless file");
    }

    #[test]
    fn the_living_entries_of_utmp_tell_where_from_and_each_address_is_told_once() {
        let dir = TempDir::new();
        let mut dead = std::process::Command::new("true").spawn().expect("it can be run");
        dead.wait().expect("it ends");
        let entries = [
            (7, std::process::id(), "198.51.100.7"),
            (7, std::process::id(), "192.0.2.77"),
            (7, dead.id(), "198.51.100.8"),
            (7, std::process::id(), "host.example.org"),
            // LOGIN_PROCESS: nobody has logged in.
            (6, std::process::id(), "198.51.100.9"),
        ];
        let bytes: Vec<u8> = entries.into_iter().flat_map(|(kind, pid, host)| utmp(kind, pid, host)).collect();
        dir.write("utmp", &bytes);
        fs::create_dir(dir.path("sessions")).expect("it can be made");
        let mut file = File::create(dir.path("sessions").join("1")).expect("it can be made");
        file.write_all(SSH.as_bytes()).expect("it can be written");
        let fifo = dir.path("sessions").join("1.ref");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR).expect("it can be made");

        let found = logged_in_from(&dir.path("sessions"), &dir.path("utmp"));

        let expected = ["192.0.2.77", "198.51.100.7"].map(|text| text.parse::<IpAddr>().unwrap());
        assert_eq!(found.iter().map(|login| login.addr).collect::<Vec<_>>(), expected);
        let told = |login: &Login| (login.user.clone(), login.service.clone(), login.since.map(WallTime::as_second));
        assert_eq!(told(&found[1]), ("alice".to_owned(), None, Some(1_800_000_000)));
        assert_eq!(logged_in_from(&dir.path("none"), &dir.path("none")), []);
        dir.write("utmp", b"rubbish");
        assert_eq!(logged_in_from(&dir.path("none"), &dir.path("utmp")), []);
    }

    /// An entry as glibc writes it on x86-64 (`bits/utmp.h`): 384 bytes.
    fn utmp(kind: i16, pid: u32, host: &str) -> Vec<u8> {
        let mut entry = vec![0; 384];
        entry[..2].copy_from_slice(&kind.to_ne_bytes());
        entry[4..8].copy_from_slice(&pid.to_ne_bytes());
        entry[8..13].copy_from_slice(b"pts/0");
        entry[44..49].copy_from_slice(b"alice");
        entry[76..76 + host.len()].copy_from_slice(host.as_bytes());
        entry[340..344].copy_from_slice(&1_800_000_000_i32.to_ne_bytes());
        entry
    }
}
