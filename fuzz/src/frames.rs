//! Frames: whatever arrives, in whatever world, the verdict is what the plain rules say, and no byte outside is read.
//!
//! An input is a byte with the length of the world's description, the description, and the frame.

use std::net::IpAddr;

use blocker_common::{Ban, FOREVER, HOLDS_ALLOWED, MAX_NESTING, Outcome, Protocol, SCOPE_ALL, SCOPE_ALL_OBSERVED};
use blocker_ebpf::packet::Packet;
use blocker_ebpf::verdict::judge;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;

use crate::world::{HostTables, NOW_NS, Net, PORTS, SOURCES4, SOURCES6, World};
use crate::{generated, rules};

/// Checks the verdict on one frame.
///
/// # Panics
///
/// If it is none that the rules allow, or counts on a ban that they do not.
pub fn check(bytes: &[u8]) {
    let Some((world, frame)) = read(bytes) else { return };
    let tables = HostTables::of(&world);
    let outcome = verdict(&tables, &frame);

    let ruling = rules::ruling(&world, &frame);
    assert!(ruling.outcomes.contains(&outcome), "{outcome:?}, but {:?}: {frame:02x?} in {world:?}", ruling.outcomes);
    let charged: Vec<Net> = tables.bans().filter(|(_, ban)| ban.packets > 0).map(|(net, _)| net).collect();
    let as_ruled = match charged.as_slice() {
        [] => ruling.charged.is_empty(),
        [net] => ruling.charged.contains(net),
        _ => false,
    };
    assert!(
        as_ruled,
        "{outcome:?} counts on one of {:?}, not on {charged:?}: {frame:02x?} in {world:?}",
        ruling.charged
    );
}

/// What comes of one frame; `None` if the input describes none.
#[must_use]
pub fn outcome(bytes: &[u8]) -> Option<Outcome> {
    read(bytes).map(|(world, frame)| verdict(&HostTables::of(&world), &frame))
}

/// The model's own frames, in a few worlds; always the same.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let mut runner = TestRunner::deterministic();
    let frames = generated::frames();
    let mut seeds = Vec::new();
    for world in WORLDS {
        for _ in 0..FRAMES {
            let Ok(frame) = frames.new_tree(&mut runner) else { continue };
            let len = u8::try_from(world.len()).unwrap_or(u8::MAX);
            seeds.push([&[len][..], world, &frame.current()].concat());
        }
    }
    seeds
}

/// Frames for each world.
const FRAMES: usize = 150;

/// Descriptions as [`world`] reads them: nobody banned; hosts of both families; networks one inside another, of which the
/// widest drops; bans of other ports, or over; jails that observe; something allow-listed.
const WORLDS: [&[u8]; 6] = [
    &[0, 0, 1, 0, 0, 0],
    &[0, 0, 2, 0, 0, 0, 1, 2, 3, 0, 31, 0, 3, 4, 63, 0, 3],
    &[0, 0, 1, 0, 0, 0, 0, 31, 0, 0, 0, 23, 0, 1, 0, 15, 0, 2, 0, 7, 4, 4, 4, 127, 0, 0, 4, 47, 0, 1, 4, 31, 5, 4],
    &[0, 0, 1, 0, 0, 0, 0, 31, 1, 4, 0, 24, 0, 0, 4, 63, 1, 4],
    &[0, 1, 2, 0, 0, 0, 1, 2, 3, 0, 31, 0, 3, 4, 63, 6, 3],
    &[4, 0, 1, 0, 0, 0, 0, 30, 4, 60, 0, 31, 4, 3, 4, 63, 4, 3],
];

/// Takes an input apart. The frame has a place of its own, so that a sanitizer sees a look beyond its end.
fn read(bytes: &[u8]) -> Option<(World, Box<[u8]>)> {
    let (&len, rest) = bytes.split_first()?;
    let (description, frame) = rest.split_at(rest.len().min(usize::from(len)));
    Some((world(description), frame.into()))
}

fn verdict(tables: &HostTables, frame: &[u8]) -> Outcome {
    let mut packet = Packet::unknown();
    let data = frame.as_ptr() as usize;
    // SAFETY: the addresses are those of one slice, which outlives the call.
    unsafe { judge(tables, data, data + frame.len(), &mut packet, frame.len() as u64) }
}

/// A world that the daemon could have set up, from any description; zeros follow its end.
fn world(description: &[u8]) -> World {
    let mut from = description.iter().copied();
    let first = from.next().unwrap_or(0);
    let allowed_nets = usize::from(first >> 1 & 3);
    let observed = pick(&[0, 1, 2, 3, 1 << 61], from.next());
    let mut protected: Vec<(Protocol, u16, u64)> = Vec::new();
    for _ in 0..from.next().unwrap_or(0) % 8 {
        let protocol = pick(&[Protocol::Tcp, Protocol::Udp], from.next());
        let port = pick(&PORTS, from.next());
        let scope = pick(&[1, 2, 3, 1 << 61], from.next());
        if !protected.iter().any(|entry| (entry.0, entry.1) == (protocol, port)) {
            protected.push((protocol, port, scope));
        }
    }
    let allowed: Vec<Net> = (0..allowed_nets).map(|_| net(from.next(), from.next())).collect();
    let mut bans: Vec<(Net, Ban)> = Vec::new();
    while let Some(source) = from.next() {
        let net = net(Some(source), from.next());
        let scope = pick(&SCOPES, from.next());
        let (deadline_ns, flags) = pick(&ENDS, from.next());
        // So many of a family cannot be nested deeper than is allowed.
        let is_like = |other: Net| !is_hashed(other) && other.addr.is_ipv4() == net.addr.is_ipv4();
        let nested = bans.iter().filter(|(other, _)| is_like(*other)).count();
        if bans.iter().any(|(other, _)| *other == net) || !is_hashed(net) && nested >= MAX_NESTING as usize {
            continue;
        }
        let holds = allowed.iter().any(|allowed| net.contains(allowed.addr) || allowed.contains(net.addr));
        let flags = flags | if holds { HOLDS_ALLOWED } else { 0 };
        bans.push((net, Ban { scope, deadline_ns, flags, prefix_len: net.len.into(), ..Ban::default() }));
    }
    World { observe: first & 1 != 0, observed, protected, bans, allowed }
}

const SCOPES: [u64; 8] =
    [1, 2, 4, 1 << 61, SCOPE_ALL, SCOPE_ALL | 1, SCOPE_ALL_OBSERVED | 4, SCOPE_ALL | SCOPE_ALL_OBSERVED | 6];

/// Deadline and flags.
const ENDS: [(u64, u32); 6] = [(0, 0), (NOW_NS - 1, 0), (NOW_NS, 0), (u64::MAX, 0), (0, FOREVER), (NOW_NS + 1, 0)];

/// A network around one of the sources.
fn net(source: Option<u8>, len: Option<u8>) -> Net {
    let sources: Vec<IpAddr> = SOURCES4.iter().chain(&SOURCES6).map(|addr| addr.parse().expect("an address")).collect();
    let (source, len) = (pick(&sources, source), len.unwrap_or(0));
    let (addr, len) = match source {
        IpAddr::V4(addr) => {
            let len = len % 32 + 1;
            (IpAddr::V4((addr.to_bits() & u32::MAX << (32 - len)).into()), len)
        }
        IpAddr::V6(addr) => {
            let len = len % 128 + 1;
            (IpAddr::V6((addr.to_bits() & u128::MAX << (128 - len)).into()), len)
        }
    };
    Net { addr, len }
}

/// Whether its ban has an entry in a hash.
fn is_hashed(net: Net) -> bool {
    matches!((net.addr, net.len), (IpAddr::V4(_), 32) | (IpAddr::V6(_), 64))
}

fn pick<T: Copy>(from: &[T], at: Option<u8>) -> T {
    from[usize::from(at.unwrap_or(0)) % from.len()]
}
