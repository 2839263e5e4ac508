//! Frames at random: whole ones of every kind, whole ones and captured ones cut short or with bytes changed, and noise.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::world::{PORTS, SOURCES4, SOURCES6};

/// Frames at random.
pub(crate) fn frames() -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec((any::<Index>(), any::<u8>()), 1..4);
    let captured = select(captured());
    prop_oneof![
        1 => captured.clone(),
        5 => (captured, mutations()).prop_map(|(frame, mutations)| mutated(frame, &mutations)),
        12 => whole(),
        3 => (whole(), any::<Index>()).prop_map(|(frame, end)| frame[..end.index(frame.len() + 1)].to_vec()),
        3 => (whole(), changes).prop_map(|(frame, changes)| changed(frame, &changes)),
        1 => prop::collection::vec(any::<u8>(), 0..200),
    ]
}

/// A TCP segment from the first source to the first port.
pub(crate) fn tcp_from_first_source() -> Vec<u8> {
    let source = SOURCES4[0].parse().expect("an address");
    let segment = Segment { protocol: TCP, port: PORTS[0], len: 20 };
    [ethernet(&[], 0x0800), ipv4(source, 5, 0, &segment)].concat()
}

const TCP: u8 = 6;
const FRAGMENT: u8 = 44;

fn whole() -> impl Strategy<Value = Vec<u8>> {
    let tags = prop_oneof![
        6 => Just(Vec::new()),
        3 => prop::collection::vec(select(vec![0x8100_u16, 0x88a8, 0x9100]), 1..=4),
    ];
    let session = prop_oneof![9 => Just(None), 1 => select(vec![0x1100_u16, 0x1100, 0x1107, 0x2100]).prop_map(Some)];
    (tags, session, packet()).prop_map(|(tags, session, (kind, packet))| {
        let Some(session) = session else { return [ethernet(&tags, kind), packet].concat() };
        [ethernet(&tags, 0x8864), pppoe(session, kind, packet.len()), packet].concat()
    })
}

/// A packet and its Ethernet type.
fn packet() -> impl Strategy<Value = (u16, Vec<u8>)> {
    let source4 = select(SOURCES4.to_vec()).prop_map(|addr| addr.parse().expect("an address"));
    let source6 = select(SOURCES6.to_vec()).prop_map(|addr| addr.parse().expect("an address"));
    let words = prop_oneof![8 => Just(5_u8), 3 => 6_u8..=15, 1 => 0_u8..5];
    // Unfragmented, "don't fragment", first, later, last.
    let fragment = prop_oneof![4 => Just(0_u16), 2 => Just(0x4000), 2 => Just(0x2000), 1 => 0x2001..0x4000_u16, 1 => 1..0x2000_u16];
    let chain =
        prop_oneof![4 => 0_usize..3, 2 => 3_usize..11].prop_flat_map(|len| prop::collection::vec(extension(), len));
    let told = prop_oneof![6 => Just(Told::All), 3 => (1_usize..60).prop_map(Told::Less), 1 => Just(Told::Nothing)];
    let others = select(vec![0x0806_u16, 0x8864, 0x8847, 0x88cc, 0x0026, 0x0801]);
    prop_oneof![
        8 => (source4, words, fragment, segment())
            .prop_map(|(source, words, fragment, segment)| (0x0800, ipv4(source, words, fragment, &segment))),
        8 => (source6, chain, segment(), told)
            .prop_map(|(source, chain, segment, told)| (0x86dd, ipv6(source, &chain, &segment, told))),
        1 => (others, prop::collection::vec(any::<u8>(), 0..60)),
    ]
}

/// What follows the IP headers; some too short for their ports.
#[derive(Clone, Debug)]
struct Segment {
    protocol: u8,
    port: u16,
    len: usize,
}

fn segment() -> impl Strategy<Value = Segment> {
    let protocol = prop_oneof![
        6 => Just(TCP),
        4 => Just(17_u8),
        2 => Just(132_u8),
        4 => select(vec![1_u8, 4, 41, 47, 50, 51, 58, 59]),
        1 => any::<u8>(),
    ];
    let len = prop_oneof![5 => Just(20_usize), 2 => 0_usize..8];
    (protocol, select(PORTS.to_vec()), len).prop_map(|(protocol, port, len)| Segment { protocol, port, len })
}

/// An IPv6 extension header: what it is, the byte that says its length, and its fragment offset if it has one.
#[derive(Clone, Debug)]
struct Extension {
    kind: u8,
    units: u8,
    fragment: u16,
}

fn extension() -> impl Strategy<Value = Extension> {
    let kind = prop_oneof![8 => select(vec![0_u8, 43, 51, 60, 135, 139, 140]), 2 => Just(FRAGMENT)];
    let units = prop_oneof![8 => 0_u8..3, 1 => any::<u8>()];
    // Atomic, first, with a reserved bit; later, last.
    let fragment = prop_oneof![4 => select(vec![0_u16, 1, 6]), 1 => select(vec![0x0008_u16, 0x0009, 0xfff8])];
    (kind, units, fragment).prop_map(|(kind, units, fragment)| Extension { kind, units, fragment })
}

/// What an IPv6 header says of the length of its payload.
#[derive(Clone, Copy, Debug)]
enum Told {
    All,
    /// That it is shorter by so many bytes: those are padding.
    Less(usize),
    Nothing,
}

/// The header of a PPPoE session that begins with these two bytes, and PPP's around a packet of this Ethernet type.
fn pppoe(begin: u16, kind: u16, len: usize) -> Vec<u8> {
    let protocol: u16 = match kind {
        0x0800 => 0x0021,
        0x86dd => 0x0057,
        // The link's own.
        _ => 0xc021,
    };
    let len = u16::try_from(len + 2).unwrap_or(u16::MAX);
    [begin, 1, len, protocol].into_iter().flat_map(u16::to_be_bytes).collect()
}

fn ethernet(tags: &[u16], kind: u16) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    for tag in tags {
        bytes.extend(tag.to_be_bytes());
        bytes.extend([0x20, 0x07]);
    }
    bytes.extend(kind.to_be_bytes());
    bytes
}

fn ipv4(source: Ipv4Addr, words: u8, fragment: u16, segment: &Segment) -> Vec<u8> {
    let mut bytes = vec![0; usize::from(words.max(5)) * 4];
    bytes[0] = 0x40 | words;
    bytes[6..8].copy_from_slice(&fragment.to_be_bytes());
    bytes[9] = segment.protocol;
    bytes[12..16].copy_from_slice(&source.octets());
    // An address that nothing is said of, so that reading it for the source would show.
    bytes[16..20].copy_from_slice(&[10, 0, 0, 1]);
    bytes.extend(segment_bytes(segment));
    bytes
}

fn ipv6(source: Ipv6Addr, chain: &[Extension], segment: &Segment, told: Told) -> Vec<u8> {
    let kinds: Vec<u8> = chain.iter().map(|header| header.kind).chain([segment.protocol]).collect();
    let mut bytes = vec![0; 40];
    bytes[0] = 0x60;
    bytes[6] = kinds[0];
    bytes[8..24].copy_from_slice(&source.octets());
    bytes[24] = 0xfd;
    for (header, next) in chain.iter().zip(&kinds[1..]) {
        let Extension { kind, units, fragment } = header;
        let len = match *kind {
            FRAGMENT => 8,
            51 => 4 * (usize::from(*units) + 2),
            _ => 8 * (usize::from(*units) + 1),
        };
        let start = bytes.len();
        bytes.resize(start + len, 0xee);
        bytes[start] = *next;
        bytes[start + 1] = *units;
        bytes[start + 2..start + 4].copy_from_slice(&fragment.to_be_bytes());
    }
    bytes.extend(segment_bytes(segment));
    let told = match told {
        Told::All => bytes.len() - 40,
        Told::Less(padding) => (bytes.len() - 40).saturating_sub(padding),
        Told::Nothing => 0,
    };
    bytes[4..6].copy_from_slice(&u16::try_from(told).unwrap_or(u16::MAX).to_be_bytes());
    bytes
}

/// Source port, destination port, and as much more as there is room for.
fn segment_bytes(segment: &Segment) -> Vec<u8> {
    let [high, low] = segment.port.to_be_bytes();
    let mut bytes = vec![0x9c, 0x41, high, low];
    bytes.resize(segment.len.max(4), 0x55);
    bytes.truncate(segment.len);
    bytes
}

/// Frames that a Linux host sent.
pub(crate) fn captured() -> Vec<Vec<u8>> {
    let lines = include_str!("captured.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(bytes_of_hex).collect()
}

fn bytes_of_hex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).expect("the file holds hexadecimal digits");
    let byte = |pair: &[u8]| u8::try_from(16 * digit(pair[0]) + digit(pair[1])).expect("two digits are a byte");
    text.as_bytes().chunks_exact(2).map(byte).collect()
}

/// A way to damage a frame, or to dress it up.
#[derive(Clone, Debug)]
enum Mutation {
    /// One byte becomes another.
    Byte(Index, u8),
    /// One bit is turned over.
    Bit(Index, u8),
    /// One of the first bytes of the IP header, where most is decided.
    Head(usize, u8),
    /// It ends here.
    Cut(Index),
    /// Bytes follow.
    Trailer(Vec<u8>),
    /// Some bytes are taken out.
    Gap(Index, usize),
    /// Some come twice.
    Twice(Index, usize),
    /// A VLAN tag.
    Tag(u16),
    /// PPPoE around it.
    Session,
}

fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    let mutation = prop_oneof![
        4 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Mutation::Byte(at, byte)),
        4 => (any::<Index>(), 0_u8..8).prop_map(|(at, bit)| Mutation::Bit(at, bit)),
        6 => (12_usize..64, any::<u8>()).prop_map(|(at, byte)| Mutation::Head(at, byte)),
        2 => any::<Index>().prop_map(Mutation::Cut),
        1 => prop::collection::vec(any::<u8>(), 1..40).prop_map(Mutation::Trailer),
        1 => (any::<Index>(), 1_usize..12).prop_map(|(at, len)| Mutation::Gap(at, len)),
        2 => (any::<Index>(), 1_usize..24).prop_map(|(at, len)| Mutation::Twice(at, len)),
        3 => select(vec![0x8100_u16, 0x88a8, 0x9100]).prop_map(Mutation::Tag),
        1 => Just(Mutation::Session),
    ];
    prop::collection::vec(mutation, 1..5)
}

fn mutated(mut frame: Vec<u8>, mutations: &[Mutation]) -> Vec<u8> {
    for mutation in mutations {
        match mutation {
            _ if frame.len() < 14 => return frame,
            Mutation::Byte(at, byte) => frame = changed(frame, &[(*at, *byte)]),
            Mutation::Bit(at, bit) => {
                let at = at.index(frame.len());
                frame[at] ^= 1 << bit;
            }
            Mutation::Head(at, byte) => {
                if let Some(at) = frame.get_mut(*at) {
                    *at = *byte;
                }
            }
            Mutation::Cut(at) => frame.truncate(at.index(frame.len()) + 1),
            Mutation::Trailer(bytes) => frame.extend(bytes),
            Mutation::Gap(at, len) => {
                let at = at.index(frame.len());
                frame.drain(at..frame.len().min(at + len));
            }
            Mutation::Twice(at, len) => {
                let at = at.index(frame.len());
                let again = frame[at..frame.len().min(at + len)].to_vec();
                frame.splice(at..at, again);
            }
            Mutation::Tag(kind) => {
                let [high, low] = kind.to_be_bytes();
                frame.splice(12..12, [high, low, 0x20, 0x07]);
            }
            Mutation::Session => {
                let kind = u16::from_be_bytes([frame[12], frame[13]]);
                let header = pppoe(0x1100, kind, frame.len() - 14);
                frame.splice(12..14, [vec![0x88, 0x64], header].concat());
            }
        }
    }
    frame
}

fn changed(mut frame: Vec<u8>, changes: &[(Index, u8)]) -> Vec<u8> {
    for (at, byte) in changes {
        let at = at.index(frame.len());
        frame[at] = *byte;
    }
    frame
}
