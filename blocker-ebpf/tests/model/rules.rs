//! What is to happen to a frame, in the plainest words that run.
//!
//! Nothing here is fast, and nothing is shared with the program but the names of outcomes and bans. Where two reasons
//! hold at once (of two bans that let a packet pass, one is over and the other is for other ports), either may be given.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use blocker_common::{Ban, FOREVER, Outcome, Protocol, SCOPE_ALL, SCOPE_ALL_OBSERVED};

use super::world::{NOW_NS, Net, World};

/// What may be said of a frame, and which bans may count it: exactly one of them does, if there are any.
pub(crate) struct Ruling {
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) charged: Vec<Net>,
}

/// Judges a frame.
pub(crate) fn ruling(world: &World, frame: &[u8]) -> Ruling {
    let Ip { source, wants } = match ethernet(frame) {
        Ok(ip) => ip,
        Err(outcome) => return pass(&[outcome]),
    };
    if !is_looked_at(world, wants) {
        return pass(&[Outcome::PassUnprotected]);
    }
    let of_source: Vec<&(Net, Ban)> = world.bans.iter().filter(|(net, _)| net.contains(source)).collect();
    let in_force = || of_source.iter().filter(|(_, ban)| !is_over(ban) && closed(world, ban, wants) != 0);
    let dropping: Vec<Net> = in_force().filter(|(_, ban)| drops(world, ban, wants)).map(|&&(net, _)| net).collect();
    // Who only observes counts if nobody drops.
    let charged: Vec<Net> =
        if dropping.is_empty() { in_force().map(|&&(net, _)| net).collect() } else { dropping.clone() };
    if charged.is_empty() {
        let reasons: Vec<Outcome> = of_source
            .iter()
            .map(|(_, ban)| if is_over(ban) { Outcome::PassExpired } else { Outcome::PassOutOfScope })
            .collect();
        return pass(if reasons.is_empty() { &[Outcome::PassClean] } else { &reasons });
    }
    if world.allowed.iter().any(|net| net.contains(source)) {
        return pass(&[Outcome::PassAllowed]);
    }
    let outcome = match (dropping.is_empty(), wants) {
        (true, _) => Outcome::PassObserved,
        (false, Wants::Secret) => Outcome::DropHidden,
        (false, Wants::Port(..) | Wants::NoPort) => Outcome::DropBanned,
        (false, Wants::ToBeLeftAlone) => unreachable!("it was not looked at"),
    };
    Ruling { outcomes: vec![outcome], charged }
}

fn pass(outcomes: &[Outcome]) -> Ruling {
    Ruling { outcomes: outcomes.to_vec(), charged: Vec::new() }
}

/// Whether any ban could close what the packet wants: if not, its source is not even looked up.
fn is_looked_at(world: &World, wants: Wants) -> bool {
    let some_ban_closes_all = world.bans.iter().any(|(_, ban)| ban.scope & ALL != 0);
    match wants {
        Wants::Port(protocol, port) => some_ban_closes_all || protectors(world, protocol, port) != 0,
        Wants::NoPort => some_ban_closes_all,
        Wants::Secret => true,
        Wants::ToBeLeftAlone => false,
    }
}

/// The jails of a ban that close what is wanted, those of all ports as two of their own.
fn closed(world: &World, ban: &Ban, wants: Wants) -> u64 {
    match wants {
        Wants::Port(protocol, port) => ban.scope & (ALL | protectors(world, protocol, port)),
        Wants::NoPort => ban.scope & ALL,
        Wants::Secret => ban.scope,
        Wants::ToBeLeftAlone => 0,
    }
}

/// Whether one of them does more than observe.
fn drops(world: &World, ban: &Ban, wants: Wants) -> bool {
    let observing = if world.observe { u64::MAX } else { world.observed | SCOPE_ALL_OBSERVED };
    closed(world, ban, wants) & !observing != 0
}

const ALL: u64 = SCOPE_ALL | SCOPE_ALL_OBSERVED;

fn is_over(ban: &Ban) -> bool {
    ban.flags & FOREVER == 0 && NOW_NS >= ban.deadline_ns
}

/// The jails that protect a port.
fn protectors(world: &World, protocol: Protocol, port: u16) -> u64 {
    let protects = |entry: &&(Protocol, u16, u64)| entry.0 == protocol && entry.1 == port;
    world.protected.iter().filter(protects).fold(0, |jails, (_, _, scope)| jails | scope)
}

/// An IP packet as its sender's intent.
struct Ip {
    source: IpAddr,
    wants: Wants,
}

#[derive(Clone, Copy)]
enum Wants {
    Port(Protocol, u16),
    /// It has no port, or the fragment that went before had it.
    NoPort,
    /// It must have one, and does not show it.
    Secret,
    /// ICMP.
    ToBeLeftAlone,
}

fn ethernet(frame: &[u8]) -> Result<Ip, Outcome> {
    let is_tag = |kind: u16| [0x8100, 0x88a8, 0x9100].contains(&kind);
    let (header, mut rest) = split(frame, 14)?;
    let mut kind = be16(header, 12);
    let mut tags = 0;
    while is_tag(kind) {
        if tags == 2 {
            return Err(Outcome::PassVlanTooDeep);
        }
        let (tag, behind) = split(rest, 4)?;
        kind = be16(tag, 2);
        rest = behind;
        tags += 1;
    }
    if kind == 0x8864 {
        let (session, behind) = split(rest, 8)?;
        kind = match (be16(session, 0), be16(session, 6)) {
            (0x1100, 0x0021) => 0x0800,
            (0x1100, 0x0057) => 0x86dd,
            _ => return Err(Outcome::PassNotIp),
        };
        rest = behind;
    }
    match kind {
        0x0800 => ipv4(rest),
        0x86dd => ipv6(rest),
        _ => Err(Outcome::PassNotIp),
    }
}

fn ipv4(packet: &[u8]) -> Result<Ip, Outcome> {
    let (fixed, _) = split(packet, 20)?;
    let (version, words) = (fixed[0] / 16, fixed[0] % 16);
    if version != 4 || words < 5 {
        return Err(Outcome::PassMalformed);
    }
    let source = Ipv4Addr::new(fixed[12], fixed[13], fixed[14], fixed[15]).into();
    let (more, offset) = (fixed[6] & 0b0010_0000 != 0, be16(fixed, 6) % 8192);
    if offset > 0 {
        return Ok(Ip { source, wants: Wants::NoPort });
    }
    let behind = packet.get(usize::from(words) * 4..).unwrap_or_default();
    let wants = if fixed[9] == 1 { Wants::ToBeLeftAlone } else { transport(fixed[9], behind, more)? };
    Ok(Ip { source, wants })
}

fn ipv6(packet: &[u8]) -> Result<Ip, Outcome> {
    const MOST_EXTENSIONS: usize = 8;
    let (fixed, mut rest) = split(packet, 40)?;
    if fixed[0] / 16 != 6 {
        return Err(Outcome::PassMalformed);
    }
    let source: [u8; 16] = fixed[8..24].try_into().expect("it is 16 bytes long");
    let source = Ipv6Addr::from(source).into();
    let secret = Ok(Ip { source, wants: Wants::Secret });
    // Where the packet ends by its own account, if it gives one: behind that is no part of it.
    let told = Some(usize::from(be16(fixed, 4))).filter(|&told| told > 0);
    let is_beyond = |at: usize| told.is_some_and(|told| at > told);
    let (mut kind, mut has_extensions, mut at) = (fixed[6], false, 0);
    for read in 0.. {
        if !is_extension(kind) {
            break;
        }
        if read == MOST_EXTENSIONS {
            return secret;
        }
        let Ok((header, _)) = split(rest, 8) else {
            return if has_extensions { secret } else { Err(Outcome::PassTruncated) };
        };
        let len = match kind {
            44 => 8,
            51 => 4 * (usize::from(header[1]) + 2),
            _ => 8 * (usize::from(header[1]) + 1),
        };
        has_extensions = true;
        at += len;
        if kind == 44 && be16(header, 2) / 8 > 0 {
            return if is_beyond(at) { secret } else { Ok(Ip { source, wants: Wants::NoPort }) };
        }
        kind = header[0];
        rest = rest.get(len..).unwrap_or_default();
    }
    let ports_len = if [6, 17, 132].contains(&kind) { 4 } else { 0 };
    if has_extensions && is_beyond(at + ports_len) {
        return secret;
    }
    let wants = match kind {
        58 => Wants::ToBeLeftAlone,
        // Encrypted, or said to be nothing: there is no telling what.
        50 | 59 => Wants::Secret,
        _ => transport(kind, rest, has_extensions)?,
    };
    Ok(Ip { source, wants })
}

/// Hop-by-hop, routing, fragment, authentication, destination options, mobility, HIP, Shim6.
fn is_extension(kind: u8) -> bool {
    [0, 43, 44, 51, 60, 135, 139, 140].contains(&kind)
}

/// What follows the last IP header. A fragment, or a packet with extension headers, that is too short for its ports hides
/// them; any other packet is just short.
fn transport(kind: u8, segment: &[u8], may_hide: bool) -> Result<Wants, Outcome> {
    let protocol = match kind {
        6 => Protocol::Tcp,
        17 => Protocol::Udp,
        132 => Protocol::Sctp,
        _ => return Ok(Wants::NoPort),
    };
    match split(segment, 4) {
        Ok((ports, _)) => Ok(Wants::Port(protocol, be16(ports, 2))),
        Err(_) if may_hide => Ok(Wants::Secret),
        Err(short) => Err(short),
    }
}

fn split(bytes: &[u8], at: usize) -> Result<(&[u8], &[u8]), Outcome> {
    bytes.split_at_checked(at).ok_or(Outcome::PassTruncated)
}

fn be16(bytes: &[u8], at: usize) -> u16 {
    256 * u16::from(bytes[at]) + u16::from(bytes[at + 1])
}
