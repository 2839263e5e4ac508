//! The session identifier: Dovecot's own name for a connection, with the peer's address inside.
//!
//! Unless a proxy hands one over, it is base64, without padding, of 6 bytes of time, 2 bytes of port and the 4 or 16
//! bytes of the address (dovecot src/login-common/client-common.c, `client_get_session_id`). That makes it a witness:
//! the address in it and the one behind `rip=` must be the same.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The address in `session`, canonical; `None` if it is not of Dovecot's own making.
pub(super) fn address(session: &[u8]) -> Option<IpAddr> {
    match session.len() {
        V4_CHARS => {
            let [.., a, b, c, d] = decode::<V4_BYTES>(session)?;
            Some(Ipv4Addr::new(a, b, c, d).into())
        }
        V6_CHARS => {
            let bytes = decode::<V6_BYTES>(session)?;
            let (_, addr) = bytes.split_last_chunk::<16>()?;
            Some(IpAddr::V6(Ipv6Addr::from(*addr)).to_canonical())
        }
        _ => None,
    }
}

/// Reads base64 (RFC 4648, section 4): every four characters are three bytes.
fn decode<const BYTES: usize>(text: &[u8]) -> Option<[u8; BYTES]> {
    let mut bytes = [0; BYTES];
    for (three, four) in bytes.chunks_exact_mut(3).zip(text.chunks_exact(4)) {
        let mut bits = 0;
        for char in four {
            let value = VALUES[usize::from(*char)];
            if value == NO_VALUE {
                return None;
            }
            bits = bits << 6 | u32::from(value);
        }
        three.copy_from_slice(&bits.to_be_bytes()[1..]);
    }
    Some(bytes)
}

/// The six bits that each character of base64 stands for; [`NO_VALUE`] for all others.
const VALUES: [u8; 256] = {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut values = [NO_VALUE; 256];
    let mut value = 0;
    while value < 64 {
        values[alphabet[value as usize] as usize] = value;
        value += 1;
    }
    values
};

const NO_VALUE: u8 = u8::MAX;

/// The base64 of 8 + 4 bytes.
const V4_CHARS: usize = 16;
/// The base64 of 8 + 16 bytes.
const V6_CHARS: usize = 32;
/// 6 of time, 2 of port, 4 of the address.
const V4_BYTES: usize = 12;
/// 6 of time, 2 of port, 16 of the address.
const V6_BYTES: usize = 24;

/// A session as Dovecot makes it for a peer at `addr`.
#[cfg(test)]
pub(super) fn of(addr: IpAddr) -> String {
    let mut bytes = vec![0x85, 0xaf, 0xbe, 0x3f, 0xe7, 0x60, 0xe9, 0xc6];
    match addr {
        IpAddr::V4(v4) => bytes.extend(v4.octets()),
        IpAddr::V6(v6) => bytes.extend(v6.octets()),
    }
    base64::Engine::encode(&base64::engine::general_purpose::STANDARD_NO_PAD, bytes)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD_NO_PAD;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn base64_is_read_as_others_do(text in "[A-Za-z0-9+/=_ -]{16}|[A-Za-z0-9+/]{16}", bytes in any::<[u8; 12]>()) {
            let expected = STANDARD_NO_PAD.decode(&text).ok();
            prop_assert_eq!(decode::<V4_BYTES>(text.as_bytes()).map(Vec::from), expected);
            prop_assert_eq!(decode::<V4_BYTES>(STANDARD_NO_PAD.encode(bytes).as_bytes()), Some(bytes));
        }
    }

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
