//! Ends TCP connections on this side.
//!
//! The kernel is asked for the connections of this network namespace (`sock_diag`), and told to end those of some sources
//! to some local ports (`SOCK_DESTROY`): their sockets fail in the service's hands with "Software caused connection abort",
//! and the peer gets a reset.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context, Result};
use blocker_core::config::{Ports, Protocol};
use blocker_core::prefix::Prefix;
use nix::errno::Errno;
use nix::sys::socket::SockProtocol;

use super::netlink::{Question, Refused, ask, dump_of};

/// Connections of a banned source that are to end.
#[derive(Clone, Debug)]
pub struct Closing {
    /// Whose.
    pub prefix: Prefix,
    /// To which ports of this machine.
    pub ports: Ports,
    /// Who lies in the prefix and keeps theirs.
    pub allowed: Vec<Prefix>,
}

/// That this kernel ends no connections (it was built without `CONFIG_INET_DIAG_DESTROY`, or has no module `tcp_diag`).
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("this kernel cannot end connections: it lacks CONFIG_INET_DIAG_DESTROY, or its module tcp_diag")]
pub struct Unsupported;

/// Ends what `closings` say, and returns how many that were. One that ends by itself meanwhile is none.
///
/// Takes milliseconds: all connections of the machine are looked at, however few are wanted.
///
/// # Errors
///
/// [`Unsupported`]; the kernel's.
pub fn close(closings: &[Closing]) -> Result<usize> {
    let wanted = Wanted::of(closings);
    let mut closed = 0;
    for family in [libc::AF_INET, libc::AF_INET6] {
        let family = u8::try_from(family).expect("families are small numbers");
        let everything = request(family, &[0; ID_BYTES]);
        let question =
            Question { protocol: SockProtocol::NetlinkSockDiag, kind: SOCK_DIAG_BY_FAMILY, payload: &everything };
        let found = dump_of(&question, |payload| connection(payload).filter(|it| wanted.has(it)).into_iter().collect());
        for connection in found.map_err(unsupported).context("listing connections")?.entries {
            let question = Question { kind: SOCK_DESTROY, payload: &request(family, &connection.id), ..question };
            match ask(&question, |_| None::<()>) {
                Ok(_) => closed += 1,
                Err(error) if refused(&error) == Some(Errno::ENOENT) => {}
                Err(error) => return Err(unsupported(error)).context("ending a connection"),
            }
        }
    }
    Ok(closed)
}

fn refused(error: &anyhow::Error) -> Option<Errno> {
    error.downcast_ref::<Refused>().map(|Refused(errno)| *errno)
}

fn unsupported(error: anyhow::Error) -> anyhow::Error {
    // ENOENT of a dump: there is no handler for TCP.
    match refused(&error) {
        Some(Errno::EOPNOTSUPP | Errno::ENOENT | Errno::EINVAL) => Unsupported.into(),
        Some(_) | None => error,
    }
}

/// What is to be closed, by prefix.
struct Wanted<'a> {
    closings: BTreeMap<Prefix, Vec<&'a Closing>>,
    /// The lengths of the prefixes, IPv4 and IPv6.
    lengths: [BTreeSet<u8>; 2],
}

impl<'a> Wanted<'a> {
    fn of(closings: &'a [Closing]) -> Self {
        let mut wanted = Self { closings: BTreeMap::new(), lengths: Default::default() };
        for closing in closings {
            wanted.lengths[usize::from(closing.prefix.addr().is_ipv6())].insert(closing.prefix.len());
            wanted.closings.entry(closing.prefix).or_default().push(closing);
        }
        wanted
    }

    fn has(&self, connection: &Connection) -> bool {
        let host = Prefix::host(connection.peer);
        let is_wanted = |closing: &Closing| {
            closing.ports.contains(Protocol::Tcp, connection.port)
                && !closing.allowed.iter().any(|allowed| allowed.contains(connection.peer))
        };
        self.lengths[usize::from(host.addr().is_ipv6())]
            .iter()
            .filter_map(|&length| self.closings.get(&host.shortened(length)?))
            .flatten()
            .any(|closing| is_wanted(closing))
    }
}

/// A connection, as the kernel lists it.
#[derive(Debug)]
struct Connection {
    /// By what the kernel knows it again: `struct inet_diag_sockid`.
    id: [u8; ID_BYTES],
    /// Of this machine.
    port: u16,
    /// Canonical: a v4-mapped one is IPv4.
    peer: IpAddr,
}

/// Reads `struct inet_diag_msg` (`include/uapi/linux/inet_diag.h`): four single bytes, of which the first is the family,
/// then the identity.
fn connection(payload: &[u8]) -> Option<Connection> {
    let family = i32::from(*payload.first()?);
    let id: [u8; ID_BYTES] = payload.get(4..)?.first_chunk().copied()?;
    // Ports and addresses in the order of the network: 2 bytes each, then 16 each, of which IPv4 fills the first 4.
    let port = u16::from_be_bytes([id[0], id[1]]);
    let address = id.get(20..36)?;
    let peer = match family {
        libc::AF_INET => Ipv4Addr::from(*address.first_chunk::<4>()?).into(),
        libc::AF_INET6 => IpAddr::from(Ipv6Addr::from(*address.first_chunk::<16>()?)).to_canonical(),
        _ => return None,
    };
    Some(Connection { id, port, peer })
}

/// `struct inet_diag_req_v2`: family, protocol, two bytes that ask for more, the states, and an identity.
fn request(family: u8, id: &[u8; ID_BYTES]) -> Vec<u8> {
    let protocol = u8::try_from(libc::IPPROTO_TCP).expect("protocols of IP are bytes");
    let mut request = vec![family, protocol, 0, 0];
    request.extend(STATES.to_ne_bytes());
    request.extend(id);
    request
}

/// `include/uapi/linux/sock_diag.h`.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const SOCK_DESTROY: u16 = 21;

/// Bytes of `struct inet_diag_sockid`: ports, addresses, an interface's number and a cookie.
const ID_BYTES: usize = 48;

/// The states in which a service has the connection, by their numbers in `include/net/tcp_states.h`: established (1),
/// SYN received (3), FIN-WAIT-1 (4), CLOSE-WAIT (8), LAST-ACK (9), closing (11), and requests that are not accepted yet (12).
const STATES: u32 = 1 << 1 | 1 << 3 | 1 << 4 | 1 << 8 | 1 << 9 | 1 << 11 | 1 << 12;

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::net::{TcpListener, TcpStream};

    use blocker_core::config::PortRange;

    use super::*;

    #[test]
    fn connections_of_a_source_to_a_port_end_and_no_others() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let (one, other) = (Pair::new(address), Pair::new(address));
            let peer = one.here.peer_addr().expect("it is connected").ip();
            let closing = |ports, allowed| Closing { prefix: Prefix::host(peer), ports, allowed };

            let spared = close(&[
                closing(one.port(), vec![Prefix::host(peer)]),
                Closing { prefix: "203.0.113.0/24".parse().unwrap(), ports: Ports::All, allowed: vec![] },
            ]);
            assert_eq!(spared.expect("the kernel can"), 0, "{address}");
            assert!(one.is_open());

            // Both ends are on this machine, but only one of them at the port.
            assert_eq!(close(&[closing(one.port(), vec![])]).expect("the kernel can"), 1, "{address}");
            assert!(!one.is_open() && other.is_open(), "{address}");
        }
    }

    #[test]
    fn a_network_s_connections_end_also_over_a_socket_for_both_families() {
        let pair = Pair::to("[::]:0", "127.0.0.1");
        let prefix = "127.0.0.0/8".parse().unwrap();

        assert_eq!(close(&[Closing { prefix, ports: pair.port(), allowed: vec![] }]).expect("the kernel can"), 1);

        assert!(!pair.is_open());
    }

    #[test]
    fn what_is_cut_short_or_of_another_family_is_no_connection() {
        for length in 0..80 {
            for byte in [0, 2, 10, 255] {
                assert_eq!(
                    connection(&vec![byte; length]).is_some(),
                    length >= 4 + ID_BYTES && [2, 10].contains(&byte)
                );
            }
        }
    }

    struct Pair {
        here: TcpStream,
        there: TcpStream,
    }

    impl Pair {
        fn new(address: &str) -> Self {
            let host = address.rsplit_once(':').expect("it has a port").0.trim_matches(['[', ']']);
            Self::to(address, host)
        }

        fn to(address: &str, host: &str) -> Self {
            let listener = TcpListener::bind(address).expect("a port is free");
            let port = listener.local_addr().expect("it is bound").port();
            let there = TcpStream::connect((host, port)).expect("it listens");
            let (here, _) = listener.accept().expect("it was connected to");
            Self { here, there }
        }

        fn port(&self) -> Ports {
            let port = self.here.local_addr().expect("it is bound").port();
            Ports::listed(vec![PortRange { protocol: Protocol::Tcp, first: port, last: port }])
        }

        fn is_open(&self) -> bool {
            let (mut here, mut there) = (&self.here, &self.there);
            match there.write_all(b"x") {
                Ok(()) => here.read_exact(&mut [0]).is_ok(),
                Err(error) => {
                    assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
                    false
                }
            }
        }
    }
}
