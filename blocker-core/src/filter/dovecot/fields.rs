//! The fields of a login line, and the peer's address among them.
//!
//! ```text
//! user=<%u>, method=%m, rip=%r, lip=%l, mpid=%e, %c, session=<%{session}>
//! └ 80 bytes of the attacker's ┘                 └ TLS text  └ the witness
//! ```
//!
//! That is the default order; empty fields are left out, except the user. `login_log_format_elements` may change it all.
//! The user name is not escaped and may hold `>, method=PLAIN, rip=203.0.113.66, lip=…, session=<…`. Hence:
//!
//! - If `user=` comes in front of the address, the address is behind the **last** `, rip=`: the user's forgery stands
//!   before it. It is believed only if nothing but the user's `>` and plain `key=value` fields stand right before it; a
//!   forgery in a later field (the name in a TLS hello, if the administrator logs it) has the true address before it.
//! - If the address comes first, behind harmless fields only, it is the **first** `rip=`. A field before it that we do
//!   not know may be the attacker's, and then nobody is named.
//! - The session, the last field, names the address again; if it names another one, nobody is named. A session that
//!   cannot be read (a proxy's, or none) is no witness, neither for nor against.

use std::net::{IpAddr, Ipv4Addr};

use memchr::memchr;

use super::super::bytes::{find, rfind};
use super::session;

/// What the fields tell.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fields<'a> {
    /// The peer.
    pub(super) addr: IpAddr,
    /// The user name, if the format has it; often empty.
    pub(super) user: Option<&'a [u8]>,
    /// Whether a mechanism is named: without one no password was looked at.
    pub(super) has_method: bool,
    /// The session, not empty.
    pub(super) session: Option<&'a [u8]>,
}

impl Fields<'_> {
    /// Whether a user was ever named, and so a password perhaps tried.
    pub(super) fn has_user(&self) -> bool {
        self.user.is_some_and(|user| !user.is_empty())
    }
}

/// Reads `fields`; the error says why nobody can be named.
pub(super) fn read(fields: &[u8]) -> Result<Fields<'_>, &'static str> {
    let Order { rip, user, has_method } = read_order(fields)?;
    let (value, tail) = split_value(&fields[rip + RIP.len()..]);
    let addr = address(value).ok_or("the peer has no address that could be banned")?;
    if tail.strip_prefix(b", lip=").and_then(|lip| address(split_value(lip).0)) == Some(addr) {
        return Err("the server's own address");
    }
    let (tail, session) = split_session(tail);
    if session.and_then(session::address).is_some_and(|witness| witness != addr) {
        return Err("the session was another address's");
    }
    let user = user.or_else(|| user_behind_address(tail));
    let has_method = has_method || find(tail, b", method=").is_some();
    Ok(Fields { addr, user, has_method, session })
}

/// The peer of fields that begin with the user, as they do by default, and the user up to the first `>`, empty without `<`:
/// [`read`] names this peer, or nobody, and this user, or one with a `>` in the name.
pub(super) fn peer_behind_user(fields: &[u8]) -> Option<(IpAddr, &[u8])> {
    let named = fields.strip_prefix(b"user=")?;
    let rip = rfind(fields, b", rip=")?;
    let peer = address(split_value(&fields[rip + b", rip=".len()..]).0)?;
    let user = named.strip_prefix(b"<").and_then(|name| Some(&name[..memchr(b'>', name)?]));
    Some((peer, user.unwrap_or_default()))
}

/// In which order the fields come.
struct Order<'a> {
    /// Where the true `rip=` begins.
    rip: usize,
    /// The user, if in front of it.
    user: Option<&'a [u8]>,
    /// Whether a method is in front of it.
    has_method: bool,
}

/// Walks over harmless fields until the address or the user begins.
fn read_order(fields: &[u8]) -> Result<Order<'_>, &'static str> {
    let mut at = 0;
    let mut has_method = false;
    loop {
        let rest = &fields[at..];
        if rest.starts_with(RIP) {
            return Ok(Order { rip: at, user: None, has_method });
        }
        if rest.starts_with(b"user=") {
            let order = read_user_first(rest)?;
            return Ok(Order { rip: at + order.rip, has_method: has_method || order.has_method, ..order });
        }
        let end = find(rest, b", ").ok_or(NO_ADDRESS)?;
        if !is_harmless(&rest[..end]) {
            return Err("an unknown field in front of the address");
        }
        has_method |= rest.starts_with(b"method=");
        at += end + 2;
    }
}

/// Finds the address behind a user, and the user's end by going back from there.
fn read_user_first(fields: &[u8]) -> Result<Order<'_>, &'static str> {
    let last = rfind(fields, b", rip=").ok_or(NO_ADDRESS)?;
    let rip = last + 2;
    let mut has_method = false;
    let mut before = &fields[..last];
    loop {
        if let Some(user) = before.strip_prefix(b"user=<").and_then(|rest| rest.strip_suffix(b">")) {
            return Ok(Order { rip, user: Some(user), has_method });
        }
        match rfind(before, b", ") {
            Some(comma) if is_plain(&before[comma + 2..]) => {
                has_method |= before[comma + 2..].starts_with(b"method=");
                before = &before[..comma];
            }
            Some(_) | None => break,
        }
    }
    // A format of one's own, `user=%u` without brackets: fine as long as there is no choice of addresses.
    let is_only_one = || find(fields, b", rip=") == Some(last);
    match before.strip_prefix(b"user=") {
        Some(user) if !user.starts_with(b"<") && is_only_one() => Ok(Order { rip, user: Some(user), has_method }),
        Some(_) | None => Err("an address in a place where it may be forged"),
    }
}

/// The user in a format that has the address first; only shown, never used to find anything.
fn user_behind_address(tail: &[u8]) -> Option<&[u8]> {
    let rest = &tail[find(tail, b", user=<")? + b", user=<".len()..];
    Some(&rest[..rfind(rest, b">")?])
}

/// A value and what follows it from the comma on.
fn split_value(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(text.iter().position(|byte| *byte == b',').unwrap_or(text.len()))
}

/// An address as the system prints it, canonical. A zone (`fe80::1%eth0`) is refused: no ban could reach it.
pub(super) fn address(text: &[u8]) -> Option<IpAddr> {
    if let Some(v4) = ipv4(text) {
        return Some(v4.into());
    }
    str::from_utf8(text).ok()?.parse::<IpAddr>().ok().map(|addr| addr.to_canonical())
}

/// What the standard library reads as IPv4, in half of the time: nearly every line has two of them.
fn ipv4(text: &[u8]) -> Option<Ipv4Addr> {
    // The octets that are finished, and the one that is being read, if it has begun.
    let (mut octets, mut finished, mut octet) = (0_u32, 0, None);
    for &byte in text {
        octet = match (byte, octet) {
            (b'.', Some(value)) => {
                octets = octets << 8 | value;
                finished += 1;
                None
            }
            (b'0'..=b'9', None) => Some(u32::from(byte - b'0')),
            // No zero goes on.
            (b'0'..=b'9', Some(value @ 1..=25)) if value < 25 || byte <= b'5' => {
                Some(value * 10 + u32::from(byte - b'0'))
            }
            _ => return None,
        };
    }
    (finished == 3).then_some(Ipv4Addr::from_bits(octets << 8 | octet?))
}

/// Splits the last field off if it is a session.
fn split_session(tail: &[u8]) -> (&[u8], Option<&[u8]>) {
    let split = || {
        let at = rfind(tail, SESSION)?;
        let session = tail[at + SESSION.len()..].strip_suffix(b">")?;
        // Brackets inside: it was not the last field.
        let is_last = !session.iter().any(|byte| matches!(byte, b'<' | b'>'));
        is_last.then_some((&tail[..at], (!session.is_empty()).then_some(session)))
    };
    split().unwrap_or((tail, None))
}

/// `key=value` without blanks and brackets, and not an address: what may stand between the user and the address.
fn is_plain(field: &[u8]) -> bool {
    is_flag(field)
        || field.iter().position(|byte| *byte == b'=').is_some_and(|equals| {
            let (key, value) = field.split_at(equals);
            key.iter().all(|byte| byte.is_ascii_lowercase() || *byte == b'_')
                && key != b"rip"
                && value.iter().all(|byte| !matches!(byte, b' ' | b'<' | b'>'))
        })
}

/// A field that no client can write a further field into.
fn is_harmless(field: &[u8]) -> bool {
    is_flag(field) || HARMLESS_KEYS.iter().any(|key| field.starts_with(key)) && !field.contains(&b' ')
}

fn is_flag(field: &[u8]) -> bool {
    matches!(field, b"TLS" | b"TLS handshaking" | b"secured")
}

const RIP: &[u8] = b"rip=";
const SESSION: &[u8] = b", session=<";
const NO_ADDRESS: &str = "no address in the line";

/// Fields whose values Dovecot makes, or, as `method=`, lets no blank into.
const HARMLESS_KEYS: [&[u8]; 12] = [
    b"method=",
    b"lip=",
    b"lport=",
    b"rport=",
    b"mpid=",
    b"pid=",
    b"service=",
    b"protocol=",
    b"session=<",
    b"real_rip=",
    b"real_lip=",
    b"listener=",
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PEER: &str = "192.0.2.9";
    const VICTIM: &str = "203.0.113.66";

    fn addr(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn session(text: &str) -> String {
        session::of(addr(text))
    }

    fn peer(fields: &str) -> Result<IpAddr, &'static str> {
        read(fields.as_bytes()).map(|fields| fields.addr)
    }

    #[test]
    fn reads_the_default_order() {
        let session = session(PEER);
        let line = format!("user=<bob>, method=PLAIN, rip={PEER}, lip=198.51.100.1, mpid=7, TLS, session=<{session}>");

        assert_eq!(
            read(line.as_bytes()),
            Ok(Fields { addr: addr(PEER), user: Some(b"bob"), has_method: true, session: Some(session.as_bytes()) })
        );
    }

    #[test]
    fn the_peer_behind_a_user_is_the_one_that_is_read_or_nobody_is() {
        for fields in [
            "user=<bob>, method=PLAIN, rip=192.0.2.9, lip=198.51.100.1",
            "user=<x>, rip=203.0.113.66, lip=198.51.100.2>, rip=192.0.2.9, lip=198.51.100.1",
            "user=<bob>, rip=192.0.2.9, lip=198.51.100.1, local_name=x, rip=203.0.113.66",
            "user=<bob>, rip=::ffff:192.0.2.9",
            "user=x, rip=2001:db8::9",
            "user=<bob>, rip=nowhere",
            "user=<bob>",
        ] {
            let behind = peer_behind_user(fields.as_bytes());
            if let Ok(read) = read(fields.as_bytes()) {
                assert_eq!(behind.map(|(peer, _)| peer), Some(read.addr), "{fields}");
                let name = behind.map(|(_, name)| name);
                let is_bare = fields.starts_with("user=x") && name == Some(b"");
                let is_cut = read.user.is_none_or(|user| user.contains(&b'>'));
                assert!(name == read.user || is_bare || is_cut, "{fields}");
            }
        }
        assert_eq!(peer_behind_user(b"method=PLAIN, rip=192.0.2.9, user=<x, rip=203.0.113.66>"), None);
    }

    #[test]
    fn the_user_ends_at_the_real_fields() {
        for user in ["", ">", "x>, method=PLAIN", "x>, lport=1", "a, b", "x>, rip=203.0.113.66, lip=198.51.100.2"] {
            for (method, has_method) in [("", false), (", method=PLAIN", true)] {
                let line = format!("user=<{user}>{method}, rip={PEER}, lip=198.51.100.1");
                let fields = read(line.as_bytes()).unwrap();

                assert_eq!(fields.user, Some(user.as_bytes()), "{line}");
                assert_eq!((fields.addr, fields.has_method), (addr(PEER), has_method), "{line}");
            }
        }
    }

    #[test]
    fn reads_orders_of_an_administrator_s_own() {
        for fields in [
            "rip=192.0.2.9",
            "method=PLAIN, rip=192.0.2.9, lip=198.51.100.1",
            "session=<AAAA>, rip=192.0.2.9, user=<x, rip=203.0.113.66>",
            "rip=192.0.2.9, user=<x>, rip=203.0.113.66, lip=198.51.100.2>, method=PLAIN",
            "service=imap, user=<bob>, method=PLAIN, lport=143, rip=192.0.2.9",
            "user=<bob>, rip=192.0.2.9, lip=198.51.100.1, method=PLAIN, local_name=mail.example.org",
            "user=bob, method=PLAIN, rip=192.0.2.9, lip=198.51.100.1",
        ] {
            assert_eq!(peer(fields), Ok(addr(PEER)), "{fields}");
        }
    }

    #[test]
    fn a_method_may_be_in_front_of_or_behind_the_address() {
        assert!(read(b"method=PLAIN, rip=192.0.2.9").unwrap().has_method);
        assert!(read(b"rip=192.0.2.9, user=<bob>, method=PLAIN, session=<x>").unwrap().has_method);
        assert!(!read(b"rip=192.0.2.9, user=<bob>, session=<x>").unwrap().has_method);
        assert_eq!(read(b"rip=192.0.2.9, user=<b>b>, session=<x>").unwrap().user, Some(&b"b>b"[..]));
    }

    #[test]
    fn a_doubtful_address_is_nobody_s() {
        for fields in [
            // The name of a TLS hello behind the address; the second form, with a `>` in it, is what sessions are for.
            "user=<bob>, rip=192.0.2.9, lip=198.51.100.1, local_name=x, rip=203.0.113.66",
            "user=<bob>, rip=192.0.2.9, lip=198.51.100.1, TLS: x, rip=203.0.113.66",
            "local_name=x, rip=203.0.113.66, rip=192.0.2.9",
            "user=x, rip=203.0.113.66, lip=198.51.100.2, method=PLAIN, rip=192.0.2.9",
            "user=<x, rip=203.0.113.66, lip=198.51.100.2",
            "TLS: x, rip=203.0.113.66",
        ] {
            assert!(peer(fields).is_err(), "{fields}");
        }
    }

    #[test]
    fn a_session_of_another_address_clears_everybody() {
        let line = format!("user=<bob>, rip={VICTIM}, lip=198.51.100.1, session=<{}>", session(PEER));

        assert_eq!(peer(&line), Err("the session was another address's"));
    }

    #[test]
    fn the_last_session_is_the_witness() {
        let line = format!(
            "user=<x>, method=PLAIN, rip={VICTIM}, lip=198.51.100.2, session=<{}>, method=PLAIN, rip={PEER}, \
             lip=198.51.100.1, session=<{}>",
            session(VICTIM),
            session(PEER)
        );

        assert_eq!(peer(&line), Ok(addr(PEER)));
    }

    #[test]
    fn a_session_that_cannot_be_read_is_no_contradiction() {
        for session in ["", ", session=<>", ", session=<y>", ", session=<proxy-0001>"] {
            assert_eq!(
                peer(&format!("user=<bob>, rip={PEER}, lip=198.51.100.1{session}")),
                Ok(addr(PEER)),
                "{session}"
            );
        }
    }

    #[test]
    fn addresses_are_read_strictly_and_unmapped() {
        assert_eq!(peer("user=<b>, rip=::ffff:192.0.2.9, lip=198.51.100.1"), Ok(addr(PEER)));
        assert_eq!(peer("user=<b>, rip=2001:db8::9"), Ok(addr("2001:db8::9")));
        for value in ["", "192.0.2", "192.0.2.09", "fe80::1%eth0", "mail.example.org", "192.0.2.9 ", "[2001:db8::9]"] {
            assert!(peer(&format!("user=<b>, rip={value}, lip=198.51.100.1")).is_err(), "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn ipv4_is_read_as_the_standard_library_does(text in "[0-9.]{0,16}|([0-9]{1,3}[.]){3,4}[0-9]{0,3}|[12]?[0-9]{1,2}([.][12]?[0-9]{1,2}){3}") {
            prop_assert_eq!(ipv4(text.as_bytes()), text.parse::<Ipv4Addr>().ok(), "{}", text);
        }
    }

    #[test]
    fn the_server_itself_is_never_named() {
        assert_eq!(peer("user=<b>, rip=198.51.100.1, lip=198.51.100.1"), Err("the server's own address"));
        assert_eq!(peer("user=<b>, rip=198.51.100.1, lip=::ffff:198.51.100.1"), Err("the server's own address"));
    }

    #[test]
    fn an_upper_case_method_is_no_address() {
        assert_eq!(peer("user=<>, method=X,RIP=203.0.113.66,LIP=198.51.100.2, rip=192.0.2.9"), Ok(addr(PEER)));
    }
}
