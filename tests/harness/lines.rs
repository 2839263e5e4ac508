//! Lines in the shape of Dovecot's, for tests and benches that need hundreds of attackers or hostile text.

use std::{
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::clock;

/// One connection from `source` that had `attempts` passwords refused, as rsyslog writes it from Dovecot 2.3.
#[must_use]
pub fn refused(source: IpAddr, attempts: u32) -> String {
    refused_for("alice", source, attempts)
}

/// The same for a chosen user name, which may be anything an attacker can send.
#[must_use]
pub fn refused_for(user: &str, source: IpAddr, attempts: u32) -> String {
    format!(
        "{} mx1 dovecot: imap-login: Disconnected: Connection closed (auth failed, {attempts} attempts in 2 secs): \
         user=<{user}>, method=PLAIN, rip={source}, lip={}, session=<{}>",
        clock::log_stamp(),
        if source.is_ipv4() { crate::netns::SERVER_V4 } else { crate::netns::SERVER_V6 },
        session(source),
    )
}

/// A login that succeeded, as rsyslog writes it from Dovecot 2.3.
#[must_use]
pub fn logged_in(user: &str, source: IpAddr) -> String {
    format!(
        "{} mx1 dovecot: imap-login: Login: user=<{user}>, method=PLAIN, rip={source}, lip={}, mpid=4711, TLS, session=<{}>",
        clock::log_stamp(),
        if source.is_ipv4() { crate::netns::SERVER_V4 } else { crate::netns::SERVER_V6 },
        session(source),
    )
}

/// A session identifier as Dovecot makes it: six bytes of time, two of port, the client's address, in base64.
fn session(source: IpAddr) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let moment = clock::boot_ns() / 1000 + NEXT.fetch_add(1, Ordering::Relaxed);
    let mut bytes = moment.to_le_bytes()[..6].to_vec();
    bytes.extend(49_152_u16.to_le_bytes());
    match source {
        IpAddr::V4(address) => bytes.extend(address.octets()),
        IpAddr::V6(address) => bytes.extend(address.octets()),
    }
    base64(&bytes)
}

/// Base64 of bytes whose number is a multiple of three, as it is in both kinds of session identifier (12 and 24).
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    bytes
        .chunks_exact(3)
        .flat_map(|three| {
            let bits = usize::from(three[0]) << 16 | usize::from(three[1]) << 8 | usize::from(three[2]);
            [bits >> 18, bits >> 12 & 63, bits >> 6 & 63, bits & 63].map(|six| char::from(ALPHABET[six]))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{base64, session};

    #[test]
    fn base64_is_the_usual_one() {
        assert_eq!(base64(b"Man"), "TWFu");
        assert_eq!(base64(&[0xff; 3]), "////");
    }

    #[test]
    fn sessions_end_with_the_address_and_never_repeat() {
        let source = "192.0.2.66".parse().unwrap();
        assert!(session(source).ends_with("wAACQg") || session(source).ends_with("AAJC"), "{}", session(source));
        assert_ne!(session(source), session(source));
    }
}
