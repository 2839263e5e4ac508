//! Service names and their ports, as `ports` in a jail may use them.

use std::collections::HashMap;

use super::ports::Protocol;

/// Names of services: those every machine knows, then those of its own `/etc/services`.
#[derive(Clone, Debug)]
pub struct Services {
    ports: HashMap<(String, Protocol), u16>,
}

impl Services {
    /// The names known without any file: mail, and what else is commonly guessed at.
    #[must_use]
    pub fn builtin() -> Self {
        let ports = BUILTIN
            .iter()
            .flat_map(|&(name, port, protocols)| {
                protocols.iter().map(move |&protocol| ((name.to_owned(), protocol), port))
            })
            .collect();
        Self { ports }
    }

    /// The built-in names, and over them those of `text`, which is in the format of `/etc/services`:
    /// `name port/protocol aliases… # comment`.
    ///
    /// As for `getservbyname(3)`, the first line that has a name wins. Lines of another form and other protocols are
    /// skipped, and so is what comes after the first 65,536 lines.
    #[must_use]
    pub fn with_etc_services(text: &str) -> Self {
        let mut own = HashMap::new();
        for (names, port, protocol) in text.lines().take(MAX_LINES).filter_map(entry) {
            for name in names {
                own.entry((name.to_owned(), protocol)).or_insert(port);
            }
        }
        let mut services = Self::builtin();
        services.ports.extend(own);
        services
    }

    /// The port of `name`, or of the service that has it as an alias.
    #[must_use]
    pub fn lookup(&self, name: &str, protocol: Protocol) -> Option<u16> {
        self.ports.get(&(name.to_owned(), protocol)).copied()
    }

    /// The names that have a port of `protocol`, in no order.
    pub(super) fn names(&self, protocol: Protocol) -> impl Iterator<Item = &str> {
        self.ports.keys().filter(move |(_, of)| *of == protocol).map(|(name, _)| name.as_str())
    }
}

/// The names, port and protocol of one line.
fn entry(line: &str) -> Option<(impl Iterator<Item = &str>, u16, Protocol)> {
    let text = line.split_once('#').map_or(line, |(text, _comment)| text);
    let mut words = text.split_whitespace();
    let name = words.next()?;
    let (port, protocol) = words.next()?.split_once('/')?;
    let port = port.parse().ok().filter(|&port| port != 0)?;
    Some((std::iter::once(name).chain(words), port, Protocol::by_name(protocol)?))
}

/// Most lines read of a file of services; the complete registry has some 12,000.
const MAX_LINES: usize = 65_536;

const TCP: &[Protocol] = &[Protocol::Tcp];
const UDP: &[Protocol] = &[Protocol::Udp];
const BOTH: &[Protocol] = &[Protocol::Tcp, Protocol::Udp];

/// As registered (RFC 6335 registry), with the aliases of common `/etc/services` files.
const BUILTIN: &[(&str, u16, &[Protocol])] = &[
    ("ftp-data", 20, TCP),
    ("ftp", 21, TCP),
    ("ssh", 22, TCP),
    ("telnet", 23, TCP),
    ("smtp", 25, TCP),
    ("mail", 25, TCP),
    ("domain", 53, BOTH),
    ("http", 80, TCP),
    ("www", 80, TCP),
    ("kerberos", 88, BOTH),
    ("pop3", 110, TCP),
    ("pop-3", 110, TCP),
    ("ntp", 123, UDP),
    ("imap", 143, TCP),
    ("imap2", 143, TCP),
    ("imap3", 220, TCP),
    ("ldap", 389, BOTH),
    ("https", 443, BOTH),
    ("submissions", 465, TCP),
    ("smtps", 465, TCP),
    ("ssmtp", 465, TCP),
    ("urd", 465, TCP),
    ("submission", 587, TCP),
    ("ldaps", 636, BOTH),
    ("domain-s", 853, BOTH),
    ("rsync", 873, TCP),
    ("ftps-data", 989, TCP),
    ("ftps", 990, TCP),
    ("imaps", 993, TCP),
    ("pop3s", 995, TCP),
    ("openvpn", 1194, BOTH),
    ("ms-sql-s", 1433, TCP),
    ("sieve", 4190, TCP),
    ("managesieve", 4190, TCP),
    ("mysql", 3306, TCP),
    ("ms-wbt-server", 3389, TCP),
    ("sip", 5060, BOTH),
    ("sips", 5061, BOTH),
    ("sip-tls", 5061, BOTH),
    ("xmpp-client", 5222, TCP),
    ("xmpp-server", 5269, TCP),
    ("postgresql", 5432, TCP),
    ("postgres", 5432, TCP),
    ("http-alt", 8080, TCP),
    ("webcache", 8080, TCP),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_mail_without_any_file() {
        let services = Services::builtin();

        for (name, port) in [("smtp", 25), ("submissions", 465), ("submission", 587), ("imap", 143), ("imaps", 993)] {
            assert_eq!(services.lookup(name, Protocol::Tcp), Some(port), "{name}");
        }
        assert_eq!(services.lookup("sip", Protocol::Udp), Some(5060));
        assert_eq!(services.lookup("imap", Protocol::Udp), None, "mail is not spoken over UDP");
    }

    #[test]
    fn no_built_in_name_is_listed_twice() {
        let listed: usize = BUILTIN.iter().map(|(_, _, protocols)| protocols.len()).sum();

        assert_eq!(Services::builtin().ports.len(), listed);
    }

    #[test]
    fn the_machines_own_file_wins_over_the_built_in_names() {
        let services =
            Services::with_etc_services("webmail\t8443/tcp  roundcube hook # ours\n imap 1143/tcp\nimap 2143/tcp\n");

        assert_eq!(services.lookup("webmail", Protocol::Tcp), Some(8443));
        assert_eq!(services.lookup("hook", Protocol::Tcp), Some(8443), "an alias is a name");
        assert_eq!(services.lookup("ours", Protocol::Tcp), None, "a comment is not");
        assert_eq!(services.lookup("imap", Protocol::Tcp), Some(1143), "the first line that has a name wins");
        assert_eq!(services.lookup("imaps", Protocol::Tcp), Some(993), "the others stay");
    }

    #[test]
    fn one_name_may_have_ports_of_several_protocols() {
        let services = Services::with_etc_services("m2ua 2904/sctp\nm2ua 2905/tcp\n");

        assert_eq!(services.lookup("m2ua", Protocol::Sctp), Some(2904));
        assert_eq!(services.lookup("m2ua", Protocol::Tcp), Some(2905));
        assert_eq!(services.lookup("m2ua", Protocol::Udp), None);
    }

    #[test]
    fn skips_lines_of_another_form() {
        let text = "a\nb 1\nc x/tcp\nd 0/tcp\ne 70000/tcp\nf 7/dccp\n# g 7/tcp\n\n  \nh 7/tcp\r\n/ 8/tcp/udp\n";
        let services = Services::with_etc_services(text);

        for name in ["a", "b", "c", "d", "e", "f", "g", "/"] {
            assert_eq!(services.lookup(name, Protocol::Tcp), None, "{name}");
        }
        assert_eq!(services.lookup("h", Protocol::Tcp), Some(7));
    }
}
