//! Ports and the sets of them that a jail protects.

use std::fmt;
use std::ops::RangeInclusive;

use super::services::Services;

/// The transport protocols that have ports here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Tcp, Self::Udp, Self::Sctp];

    /// Its name behind the slash: `tcp`, `udp`, `sctp`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }

    /// The protocol called `name`, in small letters.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.name() == name)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Some neighbouring ports of one protocol; as read from a configuration, `first` is neither 0 nor above `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    /// Theirs.
    pub protocol: Protocol,
    /// The lowest port.
    pub first: u16,
    /// The highest port.
    pub last: u16,
}

impl PortRange {
    /// Reads one as a configuration has it: `imap`, `588`, `5000-5010`, `sip/udp`; TCP unless it says otherwise.
    pub(crate) fn read(text: &str, services: &Services) -> Option<Self> {
        let (text, protocol) = Self::parts(text);
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let numbers = port(first).zip(port(last));
        let (first, last) = numbers.or_else(|| services.lookup(text, protocol).map(|port| (port, port)))?;
        (first <= last).then_some(Self { protocol, first, last })
    }

    /// What stands before the protocol, and that.
    pub(super) fn parts(text: &str) -> (&str, Protocol) {
        text.rsplit_once('/')
            .and_then(|(text, protocol)| Some((text, Protocol::by_name(protocol)?)))
            .unwrap_or((text, Protocol::Tcp))
    }

    /// Whether it has `port` of `protocol`.
    #[must_use]
    pub fn contains(self, protocol: Protocol, port: u16) -> bool {
        self.protocol == protocol && (self.first..=self.last).contains(&port)
    }

    /// Its ports, from the lowest.
    #[must_use]
    pub fn iter(self) -> RangeInclusive<u16> {
        self.first..=self.last
    }
}

/// A port from 1, in digits and nothing else.
fn port(digits: &str) -> Option<u16> {
    if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok().filter(|&port| port != 0) } else { None }
}

/// The scope of a jail's bans.
///
/// As read from a configuration, a list is not empty, in order of protocol and port, and no two ranges overlap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ports {
    /// All ports of all protocols, and what has no ports.
    All,
    /// These ports.
    Listed(Vec<PortRange>),
}

impl Ports {
    /// The ports of all `ranges`, in order and without overlaps.
    #[must_use]
    pub fn listed(mut ranges: Vec<PortRange>) -> Self {
        ranges.sort_unstable();
        ranges.dedup_by(|next, kept| {
            let overlaps = kept.contains(next.protocol, next.first);
            if overlaps {
                kept.last = kept.last.max(next.last);
            }
            overlaps
        });
        Self::Listed(ranges)
    }

    /// Whether a ban closes `port` of `protocol`.
    #[must_use]
    pub fn contains(&self, protocol: Protocol, port: u16) -> bool {
        match self {
            Self::All => true,
            Self::Listed(ranges) => ranges.iter().any(|range| range.contains(protocol, port)),
        }
    }
}

impl fmt::Display for Ports {
    /// `all`, `110,143,993/tcp`, `5000-5010/tcp 53,5060/udp 588/sctp`; `none` for an empty list.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ranges = match self {
            Self::All => return f.write_str("all"),
            Self::Listed(ranges) if ranges.is_empty() => return f.write_str("none"),
            Self::Listed(ranges) => ranges,
        };
        for (position, group) in ranges.chunk_by(|a, b| a.protocol == b.protocol).enumerate() {
            for (index, PortRange { protocol: _, first, last }) in group.iter().enumerate() {
                f.write_str(match (position, index) {
                    (0, 0) => "",
                    (_, 0) => " ",
                    (_, _) => ",",
                })?;
                if first == last { write!(f, "{first}") } else { write!(f, "{first}-{last}") }?;
            }
            write!(f, "/{}", group[0].protocol)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(first: u16, last: u16) -> PortRange {
        PortRange { protocol: Protocol::Tcp, first, last }
    }

    fn udp(first: u16, last: u16) -> PortRange {
        PortRange { protocol: Protocol::Udp, first, last }
    }

    fn sctp(first: u16, last: u16) -> PortRange {
        PortRange { protocol: Protocol::Sctp, first, last }
    }

    #[test]
    fn lists_are_ordered_and_overlaps_joined() {
        let ports = Ports::listed(vec![
            udp(53, 53),
            tcp(993, 993),
            tcp(5000, 5010),
            tcp(5005, 5020),
            tcp(993, 993),
            tcp(994, 994),
        ]);

        assert_eq!(ports, Ports::Listed(vec![tcp(993, 993), tcp(994, 994), tcp(5000, 5020), udp(53, 53)]));
    }

    #[test]
    fn are_written_for_people() {
        assert_eq!(Ports::All.to_string(), "all");
        assert_eq!(Ports::listed(vec![]).to_string(), "none");
        assert_eq!(Ports::listed(vec![tcp(993, 993), tcp(110, 110), tcp(143, 143)]).to_string(), "110,143,993/tcp");
        assert_eq!(
            Ports::listed(vec![sctp(588, 588), udp(5060, 5060), udp(53, 53), tcp(5000, 5010)]).to_string(),
            "5000-5010/tcp 53,5060/udp 588/sctp"
        );
    }

    #[test]
    fn a_port_of_another_protocol_is_another_port() {
        let ports = Ports::listed(vec![tcp(53, 53)]);

        assert!(ports.contains(Protocol::Tcp, 53));
        assert!(!ports.contains(Protocol::Udp, 53));
        assert!(!ports.contains(Protocol::Sctp, 53));
        assert!(!ports.contains(Protocol::Tcp, 54));
        assert!(Ports::All.contains(Protocol::Udp, 1));
    }

    #[test]
    fn a_range_ends_at_the_highest_port_there_is() {
        assert_eq!(tcp(65_534, 65_535).iter().count(), 2);
    }
}
