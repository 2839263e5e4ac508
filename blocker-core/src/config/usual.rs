//! What jails are by their names, if the file does not say otherwise: those of the built-in filters.

use super::ports::{PortRange, Ports, Protocol};
use crate::filter::registry::present_name;

/// The jail that is there without being mentioned.
pub(super) const UNMENTIONED: &str = "dovecot";

/// Where a service logs as a rule, and where it listens.
#[derive(Debug)]
pub(super) struct Usual {
    name: &'static str,
    pub(super) log: &'static [&'static str],
    /// Matches of its entries in the journal; empty if that is not read.
    pub(super) journal: &'static [&'static str],
    /// TCP; the registered numbers, which no file of services can move.
    ports: &'static [u16],
}

impl Usual {
    /// That of the jail called `name`, and of its filter.
    pub(super) fn of(name: &str) -> Option<&'static Self> {
        let name = present_name(name);
        USUAL.iter().find(|usual| usual.name == name)
    }

    /// All, if none are listed.
    pub(super) fn ports(&self) -> Ports {
        if self.ports.is_empty() {
            return Ports::All;
        }
        let range = |&port: &u16| PortRange { protocol: Protocol::Tcp, first: port, last: port };
        Ports::listed(self.ports.iter().map(range).collect())
    }
}

/// Debian's and Red Hat's places, and those that the services' own manuals name.
const USUAL: &[Usual] = &[
    Usual {
        name: "apache",
        log: &["/var/log/apache2/error.log", "/var/log/httpd/error_log"],
        journal: &[],
        ports: WEB,
    },
    Usual { name: "courier", log: MAIL_LOG, journal: &[], ports: &[110, 995, 143, 993] },
    Usual { name: "cyrus", log: MAIL_LOG, journal: &[], ports: &[110, 995, 143, 993, 4190] },
    Usual { name: "dovecot", log: MAIL_LOG, journal: &["_SYSTEMD_UNIT=dovecot.service"], ports: DOVECOT },
    Usual { name: "exim", log: &["/var/log/exim4/mainlog", "/var/log/exim/main.log"], journal: &[], ports: SMTP },
    Usual { name: "nginx", log: &["/var/log/nginx/access.log"], journal: &[], ports: WEB },
    Usual { name: "postfix", log: MAIL_LOG, journal: &[], ports: SMTP },
    Usual { name: "postfix-postscreen", log: MAIL_LOG, journal: &[], ports: &[25] },
    Usual { name: "proftpd", log: &["/var/log/proftpd/proftpd.log"], journal: &[], ports: FTP },
    Usual { name: "pure-ftpd", log: SYSTEM_LOG, journal: &[], ports: FTP },
    // No log: it counts bans.
    Usual { name: "recidive", log: &[], journal: &[], ports: &[] },
    Usual { name: "roundcube", log: SYSTEM_LOG, journal: &[], ports: WEB },
    Usual { name: "rspamd", log: &["/var/log/rspamd/rspamd.log"], journal: &[], ports: &[11334] },
    Usual { name: "sendmail", log: MAIL_LOG, journal: &[], ports: SMTP },
    Usual { name: "sogo", log: &["/var/log/sogo/sogo.log"], journal: &[], ports: WEB },
    Usual { name: "sshd", log: &["/var/log/auth.log", "/var/log/secure"], journal: &[], ports: &[22] },
    // smtp, http, pop3, imap, https, submissions, submission, imaps, pop3s, sieve
    Usual {
        name: "stalwart",
        log: &["/var/log/stalwart/stalwart.log*", "/opt/stalwart/logs/stalwart.log*"],
        journal: &[],
        ports: &[25, 80, 110, 143, 443, 465, 587, 993, 995, 4190],
    },
    Usual { name: "vsftpd", log: &["/var/log/vsftpd.log"], journal: &[], ports: FTP },
];

const MAIL_LOG: &[&str] = &["/var/log/mail.log", "/var/log/maillog"];
const SYSTEM_LOG: &[&str] = &["/var/log/syslog", "/var/log/messages"];

/// pop3, pop3s, imap, imaps, submission, submissions, sieve
const DOVECOT: &[u16] = &[110, 995, 143, 993, 587, 465, 4190];
/// smtp, submission, submissions
const SMTP: &[u16] = &[25, 587, 465];
/// http, https
const WEB: &[u16] = &[80, 443];
/// ftp, ftps
const FTP: &[u16] = &[21, 990];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::Filter;
    use crate::filter::registry::Filters;

    #[test]
    fn every_built_in_filter_has_a_usual_jail_and_the_other_way_round() {
        let filters = Filters::builtin();
        let names: Vec<&str> = filters.iter().map(Filter::name).collect();
        let usual: Vec<&str> = USUAL.iter().map(|usual| usual.name).collect();

        assert_eq!(usual, names);
    }
}
