//! A mail log as a busy server writes it: made up, the same at every run.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Addresses that fail, in 198.18.0.0/16 (RFC 2544: for benchmarks).
const ATTACKERS: u64 = 20_000;

/// The first line is of this second after midnight.
const FIRST_SECOND: u64 = 3600;

/// Lines of the log in one second of it.
const LINES_A_SECOND: u64 = 100;

/// Writes a log of `lines` lines, `percent` of them failed logins by dovecot. Returns how many of them are, and the bytes.
pub(crate) fn write(path: &Path, lines: u64, percent: u64) -> Result<(u64, u64)> {
    let file = File::create(path).with_context(|| format!("creating {}", path.display()))?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let mut failures = 0;
    for number in 0..lines {
        let second = FIRST_SECOND + number / LINES_A_SECOND;
        let (hour, minute, second) = (second / 3600 % 24, second / 60 % 60, second % 60);
        write!(out, "Nov 25 {hour:02}:{minute:02}:{second:02} mx1 ")?;
        if random.below(100) < percent {
            failures += 1;
            failure(&mut out, &mut random)?;
        } else {
            other(&mut out, &mut random)?;
        }
    }
    out.flush()?;
    let bytes = path.metadata()?.len();
    Ok((failures, bytes))
}

/// A connection that ended without a login: one line of dovecot's for several refused passwords.
fn failure(out: &mut impl std::io::Write, random: &mut Random) -> Result<()> {
    let who = random.below(ATTACKERS);
    let (third, fourth) = (who / 250, 1 + who % 250);
    let (service, reason) = match random.below(4) {
        0 => ("pop3", "Connection closed"),
        1 => ("imap", "Aborted login by logging out"),
        2 => ("submission", "Connection closed"),
        _ => ("imap", "Inactivity during authentication"),
    };
    let attempts = 1 + random.below(5);
    let secs = 2 * attempts;
    let user = USERS[random.index(USERS.len())];
    writeln!(
        out,
        "dovecot: {service}-login: Disconnected: {reason} (auth failed, {attempts} attempts in {secs} secs): \
         user=<{user}>, method=PLAIN, rip=198.18.{third}.{fourth}, lip=192.0.2.1, TLS, session=<{}>",
        session(random, [198, 18, byte(third), byte(fourth)])
    )?;
    Ok(())
}

/// What fills a mail log besides.
fn other(out: &mut impl std::io::Write, random: &mut Random) -> Result<()> {
    let pid = 1000 + random.below(30_000);
    let id = random.next() >> 24;
    let user = USERS[random.index(USERS.len())];
    let host = random.below(250);
    match random.below(10) {
        0 => writeln!(
            out,
            "dovecot: imap-login: Login: user=<{user}>, method=PLAIN, rip=203.0.113.{host}, lip=192.0.2.1, mpid={pid}, \
             TLS, session=<{}>",
            session(random, [203, 0, 113, byte(host)])
        ),
        1 => writeln!(
            out,
            "dovecot: imap({user})<{pid}><{id:016x}>: Disconnected: Logged out in=811 out=4129 deleted=0 expunged=0 \
             trashed=0 hdr_count=0 hdr_bytes=0 body_count=0 body_bytes=0"
        ),
        2 => writeln!(
            out,
            "dovecot: imap-login: Disconnected: Connection closed (no auth attempts in 0 secs): user=<>, \
             rip=203.0.113.{host}, lip=192.0.2.1, TLS handshaking, session=<{}>",
            session(random, [203, 0, 113, byte(host)])
        ),
        3 => writeln!(out, "postfix/smtpd[{pid}]: connect from mail{host}.example.org[203.0.113.{host}]"),
        4 => writeln!(
            out,
            "postfix/smtpd[{pid}]: disconnect from mail{host}.example.org[203.0.113.{host}] ehlo=1 mail=1 rcpt=1 data=1 \
             quit=1 commands=5"
        ),
        5 => writeln!(out, "postfix/smtpd[{pid}]: {id:010X}: client=mail{host}.example.org[203.0.113.{host}]"),
        6 => writeln!(out, "postfix/cleanup[{pid}]: {id:010X}: message-id=<{id:x}.{pid}@mail{host}.example.org>"),
        7 => writeln!(
            out,
            "postfix/qmgr[{pid}]: {id:010X}: from=<{user}@example.org>, size={}, nrcpt=1 (queue active)",
            1000 + random.below(900_000)
        ),
        8 => writeln!(
            out,
            "postfix/lmtp[{pid}]: {id:010X}: to=<{user}@example.com>, relay=mx1[private/dovecot-lmtp], delay=0.31, \
             delays=0.2/0.01/0.02/0.08, dsn=2.0.0, status=sent (250 2.0.0 <{user}@example.com> {id:x} Saved)"
        ),
        _ => writeln!(out, "postfix/qmgr[{pid}]: {id:010X}: removed"),
    }?;
    Ok(())
}

/// Dovecot's name for a connection: a time, the client's port and address, in base64.
fn session(random: &mut Random, addr: [u8; 4]) -> String {
    let mut bytes = [0; 12];
    bytes[..8].copy_from_slice(&random.next().to_ne_bytes());
    bytes[8..].copy_from_slice(&addr);
    STANDARD.encode(bytes)
}

fn byte(number: u64) -> u8 {
    u8::try_from(number).expect("made below 256")
}

const USERS: [&str; 12] =
    ["alice", "bob", "carol", "info", "admin", "sales", "test", "office", "support", "dave", "erin", "postmaster"];

/// xorshift64* (Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled", 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`; the bias of the remainder does not matter here.
    fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 16) % bound
    }

    fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).expect("below a usize")
    }
}
