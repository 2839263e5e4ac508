//! Configurations: whatever stands in the file, it is read or refused within bounds, and what is read is valid.

use blocker_core::config::notify::{Notify, is_local_part, is_mail_address};
use blocker_core::config::{self, Config, MAX_ERRORS, MAX_JAILS, Names};

/// Reads the bytes as a configuration file.
///
/// # Panics
///
/// If a bound is passed, or what is promised of a valid configuration does not hold.
pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let places = config::places(text);
    match config::read(text, &Names::builtin()) {
        Ok(Config { daemon, jails, notify, .. }) => {
            assert!(places.runtime == daemon.runtime && places.pins == daemon.pins, "{places:?} of {daemon:?}");
            assert!(jails.len() <= MAX_JAILS, "{} jails", jails.len());
            check_receivers(&notify);
            for (at, jail) in jails.iter().enumerate() {
                assert!((1..=1000).contains(&jail.max_retry) && !jail.find_time.is_zero(), "{jail:?}");
                assert!(!jails[..at].iter().any(|other| other.name == jail.name), "{} comes twice", jail.name);
            }
        }
        Err(errors) => {
            assert!((1..=MAX_ERRORS).contains(&errors.len()), "{} errors", errors.len());
            for error in errors {
                assert!(!error.to_string().is_empty());
            }
        }
    }
}

/// That nothing of it can become an option or a second header.
fn check_receivers(notify: &Notify) {
    let Notify { mail, webhooks, programs } = notify;
    if let Some(mail) = mail {
        assert!(!mail.to.is_empty() && mail.to.iter().all(|to| is_mail_address(to) || is_local_part(to)), "{mail:?}");
        assert!(mail.from.as_deref().is_none_or(is_mail_address), "{mail:?}");
        assert!(!mail.subject.contains(char::is_control), "{mail:?}");
    }
    for webhook in webhooks {
        let url = webhook.url.to_string();
        assert!(url.bytes().all(|byte| byte.is_ascii_graphic()) && webhook.url.path.starts_with('/'), "{url:?}");
    }
    for program in programs {
        assert!(program.command.first().is_some_and(|path| path.starts_with('/')), "{program:?}");
    }
}

/// The shipped file, and one with every kind of value in it.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let shipped = include_str!("../../dist/blocker.toml");
    // What is commented out in it shows the other keys.
    let all = shipped.lines().map(|line| line.strip_prefix("#").filter(|key| key.contains(" = ")).unwrap_or(line));
    let all: String = all.flat_map(|line| [line.trim_start(), "\n"]).collect();
    [shipped.to_owned(), all, EVERY_KIND.to_owned(), String::new()].map(String::into_bytes).into()
}

const EVERY_KIND: &str = r#"[daemon]
interfaces = ["eth0", "ens*"]
mode = "observe"
attach = ["native", "tcx"]
allow = ["192.0.2.0/28", "2001:db8::/32"]
max_bans_ipv4 = 4096
state = "/var/lib/blocker"
runtime = "/run/blocker"
pins = "/sys/fs/bpf/blocker"

[defaults]
max_retry = 3
find_time = "1h30m"
ban_time = "forever"

[jails.mail]
enabled = true
filter = "dovecot"
log = ["/var/log/mail*.log"]
ports = ["imap", 588, "5000-5010", "sip/udp"]

[notify.mail]
to = ["root", "a@example.org"]
from = "b@example.org"
sendmail = ["/usr/bin/msmtp", "-x"]
on = ["start", "unban"]
whois = "/usr/bin/whois"

[notify.webhook.desk]
url = "https://example.org:8443/hook?a=b"
secret_file = "/etc/blocker/secret"

[notify.exec.tell]
command = ["/usr/local/bin/tell", "one word"]
time_limit = "1m"
jails = "mail"
mode = "enforce"
ban_time = 90
"#;
