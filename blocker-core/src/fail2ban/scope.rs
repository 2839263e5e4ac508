//! The ports that an action closes, in our words.

use std::fmt;

use serde::{Serialize, Serializer};

use super::fault::shown;
use crate::config::{Protocol, Services};

/// What a ban closes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closed {
    /// All ports of all protocols.
    All,
    /// These, as `ports` in a configuration has them: `pop3`, `5000-5010`, `sip/udp`. Not empty, each once.
    Listed(Vec<String>),
}

impl Closed {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::All, _) | (_, Self::All) => Self::All,
            (Self::Listed(mut ports), Self::Listed(more)) => {
                for port in more {
                    if !ports.contains(&port) {
                        ports.push(port);
                    }
                }
                Self::Listed(ports)
            }
        }
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all ports"),
            Self::Listed(ports) => f.write_str(&ports.join(", ")),
        }
    }
}

impl Serialize for Closed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All => serializer.serialize_str("all"),
            Self::Listed(ports) => ports.serialize(serializer),
        }
    }
}

/// What `port` and `protocol` of an action close, `None` if nothing is left of them; and what cannot be told, in words.
pub(super) fn closed(port: &str, protocol: &str, services: &Services) -> (Option<Closed>, Vec<String>) {
    let words = |text: &str| {
        text.split(|c: char| c.is_whitespace() || c == ',')
            .filter(|word| !word.is_empty())
            .map(str::to_lowercase)
            .collect::<Vec<_>>()
    };
    let mut problems = Vec::new();
    let mut protocols = Vec::new();
    for word in words(protocol) {
        match (word.as_str(), Protocol::by_name(&word)) {
            ("all", _) => protocols.extend(Protocol::ALL),
            (_, Some(protocol)) => protocols.push(protocol),
            (_, None) => {
                problems.push(format!("{}: no protocol that has ports, expected tcp, udp or sctp", shown(&word)));
            }
        }
    }
    protocols.dedup();
    let all_ports =
        words(port).iter().any(|word| ["0:65535", "0-65535", "1:65535", "1-65535"].contains(&word.as_str()));
    if all_ports && protocols.len() == Protocol::ALL.len() {
        return (Some(Closed::All), problems);
    }
    let mut listed: Vec<String> = Vec::new();
    for word in words(port) {
        let mut is_known = false;
        for &protocol in &protocols {
            let Some(range) = range(&word, protocol, services) else { continue };
            is_known = true;
            let text = if protocol == Protocol::Tcp { range } else { format!("{range}/{protocol}") };
            if !listed.contains(&text) && listed.len() < MAX_LISTED {
                listed.push(text);
            }
        }
        if !is_known && !protocols.is_empty() {
            problems.push(format!("{}: no port, and no service of that name is known here", shown(&word)));
        }
    }
    ((!listed.is_empty()).then_some(Closed::Listed(listed)), problems)
}

/// Most entries of a list.
const MAX_LISTED: usize = 1_024;

/// `imap`, `143`, `5000:5010`, as we write it. Port 0 is in no packet.
fn range(word: &str, protocol: Protocol, services: &Services) -> Option<String> {
    if services.lookup(word, protocol).is_some() {
        return Some(word.to_owned());
    }
    let (first, last) = word.split_once([':', '-']).unwrap_or((word, word));
    let number =
        |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<u16>().ok()).flatten();
    let (first, last) = (number(first)?.max(1), number(last)?);
    match first.cmp(&last) {
        std::cmp::Ordering::Less => Some(format!("{first}-{last}")),
        std::cmp::Ordering::Equal => Some(first.to_string()),
        std::cmp::Ordering::Greater => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(port: &str, protocol: &str) -> (String, usize) {
        let (closed, problems) = closed(port, protocol, &Services::builtin());
        (closed.map(|closed| closed.to_string()).unwrap_or_default(), problems.len())
    }

    #[test]
    fn ports_are_named_numbered_and_ranged() {
        assert_eq!(of("pop3,pop3s, imap\nimaps", "tcp"), ("pop3, pop3s, imap, imaps".into(), 0));
        assert_eq!(of("5000:5010,22,22:22", "tcp"), ("5000-5010, 22".into(), 0));
        assert_eq!(of("sip,5061", "udp"), ("sip/udp, 5061/udp".into(), 0));
        assert_eq!(of("53", "tcp,udp"), ("53, 53/udp".into(), 0));
    }

    #[test]
    fn all_ports_of_a_protocol_are_not_all_ports() {
        assert_eq!(of("0:65535", "tcp"), ("1-65535".into(), 0));
        assert_eq!(of("0:65535", "all"), ("all ports".into(), 0));
    }

    #[test]
    fn what_is_no_port_is_told() {
        assert_eq!(of("nosuch,imap", "tcp"), ("imap".into(), 1));
        assert_eq!(of("imap", "icmp"), (String::new(), 1));
        assert_eq!(of("imap", "udp"), (String::new(), 1));
        assert_eq!(of("70000,9:8,0", "tcp"), (String::new(), 3));
    }
}
