//! The local ports at which somebody listens, in this network namespace.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{ErrorKind, Read};

use anyhow::{Context, Result};
use blocker_core::config::Protocol;

/// Bytes read of each table at most. Those that listen come first.
const MAX_TABLE_BYTES: u64 = 4 * 1024 * 1024;

/// The kernel's tables of sockets, and the number of the state in which they listen (`include/net/tcp_states.h`): LISTEN, and
/// for UDP CLOSE, which means that it is connected to nobody.
const TABLES: [(&str, Protocol, &str); 4] = [
    ("/proc/net/tcp", Protocol::Tcp, "0A"),
    ("/proc/net/tcp6", Protocol::Tcp, "0A"),
    ("/proc/net/udp", Protocol::Udp, "07"),
    ("/proc/net/udp6", Protocol::Udp, "07"),
];

/// All of them.
///
/// # Errors
///
/// If the kernel's tables cannot be read.
pub(super) fn listening() -> Result<BTreeSet<(Protocol, u16)>> {
    let mut ports = BTreeSet::new();
    for (path, protocol, state) in TABLES {
        let table = match File::open(path) {
            Ok(table) => table,
            // IPv6 is off.
            Err(error) if error.kind() == ErrorKind::NotFound && path.ends_with('6') => continue,
            Err(error) => return Err(error).with_context(|| format!("opening {path}")),
        };
        let mut bytes = Vec::new();
        table.take(MAX_TABLE_BYTES).read_to_end(&mut bytes).with_context(|| format!("reading {path}"))?;
        let text = String::from_utf8_lossy(&bytes);
        ports.extend(text.lines().filter_map(|line| port(line, state)).map(|port| (protocol, port)));
    }
    Ok(ports)
}

/// The local port of a line, if it is in `state`.
fn port(line: &str, state: &str) -> Option<u16> {
    let mut words = line.split_ascii_whitespace().skip(1);
    let local = words.next()?;
    let is_it = words.nth(1)? == state;
    let (_, port) = local.rsplit_once(':')?;
    u16::from_str_radix(port, 16).ok().filter(|_| is_it)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_its_port_if_it_listens() {
        let line =
            "   0: 00000000000000000000000001000000:008F 00000000000000000000000000000000:0000 0A 00000000:00000000";

        assert_eq!(port(line, "0A"), Some(143));
        assert_eq!(port(line, "07"), None);
        assert_eq!(port("  sl  local_address rem_address   st tx_queue", "0A"), None);
        assert_eq!(port("", "0A"), None);
    }

    #[test]
    fn a_socket_that_listens_is_found() {
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();

        let ports = listening().unwrap();

        assert!(ports.contains(&(Protocol::Tcp, tcp.local_addr().unwrap().port())));
        assert!(ports.contains(&(Protocol::Udp, udp.local_addr().unwrap().port())));
    }
}
