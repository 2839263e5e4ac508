//! Words that people type and files hold: prefixes and lengths of time are read or refused, and come back as they were.

use std::net::IpAddr;

use blocker_core::prefix::Prefix;
use blocker_core::time::{BanTime, format_span, parse_span};

/// Reads the bytes as each kind of word.
///
/// # Panics
///
/// If what was read is not what its own text says, or a prefix is not in its canonical form.
pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(prefix) = text.parse::<Prefix>() {
        assert_eq!(prefix.to_string().parse(), Ok(prefix), "{text:?}");
        assert!(prefix.len() > 0 && prefix.contains(prefix.addr()), "{text:?}");
        assert_eq!(Prefix::new(prefix.addr(), prefix.len()), Ok(prefix), "{text:?}");
        match prefix.addr() {
            IpAddr::V4(_) => assert!(prefix.len() <= 32, "{text:?}"),
            IpAddr::V6(addr) => assert!(prefix.len() < 96 || addr.to_ipv4_mapped().is_none(), "{text:?}"),
        }
    }
    if let Ok(span) = parse_span(text) {
        assert_eq!(parse_span(&format_span(span)).as_ref(), Ok(&span), "{text:?}");
    }
    if let Ok(time) = text.parse::<BanTime>() {
        assert_eq!(time.to_string().parse().as_ref(), Ok(&time), "{text:?}");
    }
}

/// One of each kind.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let words = [
        "192.0.2.9",
        "192.0.2.77/24",
        "2001:db8::9/64",
        "::ffff:192.0.2.9/120",
        "::1",
        "1::/1",
        "90s",
        "1h30m",
        "3d",
        "1w",
        "600",
        "forever",
    ];
    words.map(Vec::from).into()
}
