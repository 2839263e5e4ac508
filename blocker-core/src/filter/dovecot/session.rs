//! The session identifier: Dovecot's own name for a connection, with the peer's address inside.
//!
//! Unless a proxy hands one over, it is base64, without padding, of 6 bytes of time, 2 bytes of port and the 4 or 16
//! bytes of the address (dovecot src/login-common/client-common.c, `client_get_session_id`). That makes it a witness:
//! the address in it and the one behind `rip=` must be the same.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// The address in `session`, canonical; `None` if it is not of Dovecot's own making.
pub(super) fn address(session: &[u8]) -> Option<IpAddr> {
    let mut bytes = [0; V6_BYTES];
    if !matches!(session.len(), V4_CHARS | V6_CHARS) {
        return None;
    }
    let len = STANDARD_NO_PAD.decode_slice(session, &mut bytes).ok()?;
    match bytes.get(ADDRESS_AT..len)? {
        [a, b, c, d] => Some(IpAddr::V4(Ipv4Addr::new(*a, *b, *c, *d))),
        v6 => Some(IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(v6).ok()?)).to_canonical()),
    }
}

/// Behind 6 bytes of time and 2 of port.
const ADDRESS_AT: usize = 8;
/// The base64 of 8 + 4 bytes.
const V4_CHARS: usize = 16;
/// The base64 of 8 + 16 bytes.
const V6_CHARS: usize = 32;
const V6_BYTES: usize = 24;

/// A session as Dovecot makes it for a peer at `addr`.
#[cfg(test)]
pub(super) fn of(addr: IpAddr) -> String {
    let mut bytes = vec![0x85, 0xaf, 0xbe, 0x3f, 0xe7, 0x60, 0xe9, 0xc6];
    match addr {
        IpAddr::V4(v4) => bytes.extend(v4.octets()),
        IpAddr::V6(v6) => bytes.extend(v6.octets()),
    }
    STANDARD_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_peer_s_address_is_inside() {
        for text in ["192.0.2.9", "2001:db8::9"] {
            assert_eq!(address(of(addr(text)).as_bytes()), Some(addr(text)));
        }
    }

    #[test]
    fn a_mapped_address_inside_is_ipv4() {
        assert_eq!(address(of(addr("::ffff:192.0.2.9")).as_bytes()), Some(addr("192.0.2.9")));
    }

    #[test]
    fn what_dovecot_did_not_make_holds_no_address() {
        for text in [
            "",
            "y",
            "AAAAAAAAAAAAAAA",
            "AAAAAAAAAAAAAAAA=",
            "webmail-000000001",
            "AAAA AAAA AAAA A",
            "AAAAAAAAAAAAAAAAAAAA",
        ] {
            assert_eq!(address(text.as_bytes()), None, "{text:?}");
        }
    }
}
