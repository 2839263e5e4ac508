//! fail2ban's configuration: whatever its files say, they are read or refused within bounds, and what is made of them is valid.

use blocker_core::config::{self, Names};
use blocker_core::fail2ban::{Files, Logs, load_filter, load_jails, lower};

/// Between the texts of two files; in none that is UTF-8.
const BETWEEN: u8 = 0xff;

/// The files that the bytes are cut into.
const PATHS: [&str; 5] =
    ["jail.conf", "filter.d/sshd.conf", "action.d/iptables.conf", "jail.local", "filter.d/sshd.local"];

/// Reads the bytes as files, one after the other.
///
/// # Panics
///
/// If what is made of them is no configuration, or a fault is no line.
pub fn check(bytes: &[u8]) {
    let mut files = Files::default();
    for (path, text) in PATHS.into_iter().zip(bytes.split(|&byte| byte == BETWEEN)) {
        if files.add(path, text.to_vec()).is_err() {
            return;
        }
    }
    let names = Names::builtin();
    let faults = match load_jails(&files, &|path| path.len() % 2 == 0) {
        Ok(jails) => {
            let text = lower(&jails, &names, &|_| Ok(())).toml();
            let read = config::read(&text, &names);
            assert!(read.is_ok(), "{read:?}\n{text}");
            jails.jails.into_iter().flat_map(|jail| jail.faults).collect()
        }
        Err(faults) => faults,
    };
    let of_filter = load_filter(&files, "sshd[mode=x]", Logs::Journal).err().unwrap_or_default();
    for fault in faults.iter().chain(&of_filter) {
        assert!(!fault.to_string().contains(char::is_control), "{fault:?}");
    }
}

/// Files with everything in them that their language has.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let between: &[u8] = &[BETWEEN];
    vec![[JAIL, FILTER, ACTION, LOCAL].join(between), JAIL.to_vec(), Vec::new()]
}

const JAIL: &[u8] = b"[DEFAULT]
maxretry = 5
bantime = 1d12h30m
filter = %(__name__)s[mode=%(mode)s]
mode = normal
action = iptables[name=%(__name__)s, port=\"%(port)s\", protocol='tcp']
ignoreip = 127.0.0.1/8 ::1
[sshd]
enabled = true
port = ssh
logpath = /var/log/auth.log tail
  /var/log/x ; comment
failregex = %(known/failregex)s
  ^more <HOST>
";

const FILTER: &[u8] = b"[Definition]
failregex = ^<pre-<mode>> %%d %(x)s <HOST>$
x = <sec/y>
pre-normal = a
pre-x = b
journalmatch = _SYSTEMD_UNIT=ssh.service + _COMM=sshd
[sec]
y = z
[Init]
maxlines = 1
[Init?family=inet6]
y = z
";

const ACTION: &[u8] = b"[Definition]
type = multiport
[Init]
port = 0:65535
";

const LOCAL: &[u8] = b"[sshd]
bantime = -10
findtime = 2 * (1h + 30m)
logpath = %(known/logpath)s
[other]
enabled = true
failregex = ^<HOST>
filter =
backend = systemd[journalflags=1]
";
