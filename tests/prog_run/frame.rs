//! Builds frames layer by layer, in the words one would use: `ethernet().vlan(7).ipv4(BANNED).tcp(IMAP)`.
//!
//! A layer writes its type into the header before it, and its length into the IP headers around it. Checksums are zero:
//! the program reads none. Every address and port in a frame differs from every other, so that reading a wrong field
//! shows.

use std::net::{Ipv4Addr, Ipv6Addr};

/// A frame that may yet get more layers.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    bytes: Vec<u8>,
    next: Next,
    /// Where IP headers begin, the outermost first.
    ip: Vec<usize>,
}

/// Where the type of the layer that follows is written.
#[derive(Clone, Copy, Debug)]
enum Next {
    Ethertype(usize),
    Protocol(usize),
    /// PPP's number.
    Ppp(usize),
    /// Nothing follows that has a type.
    Payload,
}

/// Begins a frame.
pub(crate) fn ethernet() -> Frame {
    let bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0, 0];
    Frame { bytes, next: Next::Ethertype(12), ip: Vec::new() }
}

/// An untagged IPv4 packet.
pub(crate) fn ipv4(source: &str) -> Frame {
    ethernet().ipv4(source)
}

/// An untagged IPv6 packet.
pub(crate) fn ipv6(source: &str) -> Frame {
    ethernet().ipv6(source)
}

/// Tags and other link layers.
impl Frame {
    /// An 802.1Q tag.
    pub(crate) fn vlan(self, id: u16) -> Self {
        self.tag(0x8100, id)
    }

    /// An 802.1ad service tag.
    pub(crate) fn service_vlan(self, id: u16) -> Self {
        self.tag(0x88a8, id)
    }

    /// A service tag from before 802.1ad.
    pub(crate) fn old_service_vlan(self, id: u16) -> Self {
        self.tag(0x9100, id)
    }

    /// A PPPoE session's header, and PPP's.
    pub(crate) fn pppoe(mut self) -> Self {
        self.name_layer(0x8864, 0);
        let start = self.append(&[0x11, 0, 0, 1, 0, 0, 0, 0]);
        self.next = Next::Ppp(start + 6);
        self
    }

    /// Anything else, by its Ethernet type.
    pub(crate) fn other(mut self, ethertype: u16, payload: &[u8]) -> Self {
        self.name_layer(ethertype, 0);
        self.next = Next::Payload;
        self.payload(payload)
    }

    fn tag(mut self, ethertype: u16, id: u16) -> Self {
        self.name_layer(ethertype, 0);
        let start = self.append(&[0, 0, 0, 0]);
        self.put(start, &id.to_be_bytes());
        self.next = Next::Ethertype(start + 2);
        self
    }
}

/// Internet layers.
impl Frame {
    /// An IPv4 header without options.
    pub(crate) fn ipv4(mut self, source: &str) -> Self {
        let source: Ipv4Addr = source.parse().expect("an IPv4 address");
        self.name_layer(0x0800, 4);
        let start = self.bytes.len();
        self.ip.push(start);
        self.append(&[0x45, 0, 0, 0, 0x12, 0x34, 0, 0, 64, 0, 0, 0]);
        self.append(&source.octets());
        self.append(&[198, 51, 100, 25]);
        self.next = Next::Protocol(start + 9);
        self
    }

    /// Options behind the IPv4 header, `words` of four bytes, all no-operations.
    pub(crate) fn options(mut self, words: u8) -> Self {
        let start = self.last_ip();
        self.bytes[start] += words;
        self.append(&vec![1; usize::from(words) * 4]);
        self
    }

    /// Makes the IPv4 packet the first fragment of a datagram.
    pub(crate) fn first_fragment(self) -> Self {
        self.fragmented(0x2000)
    }

    /// Makes it one from the midst, `offset` times eight bytes from the start.
    pub(crate) fn later_fragment(self, offset: u16) -> Self {
        self.fragmented(0x2000 | offset)
    }

    /// Makes it the last.
    pub(crate) fn last_fragment(self, offset: u16) -> Self {
        self.fragmented(offset)
    }

    /// Forbids fragments.
    pub(crate) fn dont_fragment(self) -> Self {
        self.fragmented(0x4000)
    }

    /// An IPv6 header.
    pub(crate) fn ipv6(mut self, source: &str) -> Self {
        let source: Ipv6Addr = source.parse().expect("an IPv6 address");
        let destination: Ipv6Addr = "2001:db8:ffff::25".parse().expect("an IPv6 address");
        self.name_layer(0x86dd, 41);
        let start = self.bytes.len();
        self.ip.push(start);
        self.append(&[0x60, 0, 0, 0, 0, 0, NO_NEXT, 64]);
        self.append(&source.octets());
        self.append(&destination.octets());
        self.next = Next::Protocol(start + 6);
        self
    }

    /// An IPv6 extension header of 8 bytes and `units` times 8 more.
    pub(crate) fn extension(mut self, kind: Extension, units: u8) -> Self {
        let start = self.named_header(kind as u8, 8 * (usize::from(units) + 1));
        self.put(start + 1, &[units]);
        self.next = Next::Protocol(start);
        self
    }

    /// An authentication header with `words` of four bytes of integrity value: 12 bytes without any.
    pub(crate) fn authentication(mut self, words: u8) -> Self {
        let start = self.named_header(51, 12 + 4 * usize::from(words));
        self.put(start + 1, &[words + 1]);
        self.next = Next::Protocol(start);
        self
    }

    /// An IPv6 fragment header: `offset` times eight bytes from the start, and whether more follow.
    pub(crate) fn fragment(mut self, offset: u16, more: bool) -> Self {
        let start = self.named_header(44, 8);
        self.put(start + 1, &[0]);
        self.put(start + 2, &(offset << 3 | u16::from(more)).to_be_bytes());
        self.next = Next::Protocol(start);
        self
    }

    /// Encrypted payload.
    pub(crate) fn esp(mut self) -> Self {
        self.named_header(50, 40);
        self
    }

    /// The mark that nothing follows, and something nevertheless.
    pub(crate) fn no_next(mut self) -> Self {
        self.named_header(NO_NEXT, 20);
        self
    }

    fn fragmented(mut self, field: u16) -> Self {
        let start = self.last_ip();
        self.put(start + 6, &field.to_be_bytes());
        self
    }
}

/// IPv6 extension headers whose length counts units of eight bytes.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(crate) enum Extension {
    HopByHop = 0,
    Routing = 43,
    DestinationOptions = 60,
    Mobility = 135,
    Hip = 139,
    Shim6 = 140,
}

/// Transport layers; the source port is always 40,001.
impl Frame {
    pub(crate) fn tcp(mut self, port: u16) -> Self {
        let start = self.named_header(6, 20);
        self.put(start + 12, &[0x50, 0x02]);
        self.ports(start, port)
    }

    pub(crate) fn udp(mut self, port: u16) -> Self {
        let start = self.named_header(17, 12);
        self.put(start + 4, &[0, 12]);
        self.ports(start, port)
    }

    pub(crate) fn sctp(mut self, port: u16) -> Self {
        let start = self.named_header(132, 28);
        self.ports(start, port)
    }

    /// ICMP of IPv4, of this type.
    pub(crate) fn icmp(mut self, kind: u8) -> Self {
        let start = self.named_header(1, 8);
        self.put(start, &[kind]);
        self
    }

    /// ICMP of IPv6.
    pub(crate) fn icmpv6(mut self, kind: u8) -> Self {
        let start = self.named_header(58, 24);
        self.put(start, &[kind]);
        self
    }

    /// A GRE header, behind which an IP packet may follow.
    pub(crate) fn gre(mut self) -> Self {
        let start = self.named_header(47, 4);
        self.put(start, &[0; 4]);
        self.next = Next::Ethertype(start + 2);
        self
    }

    /// Any other protocol, by its number.
    pub(crate) fn protocol(mut self, number: u8, len: usize) -> Self {
        self.named_header(number, len);
        self
    }

    fn ports(mut self, start: usize, port: u16) -> Self {
        self.put(start, &40_001_u16.to_be_bytes());
        self.put(start + 2, &port.to_be_bytes());
        self
    }
}

/// What comes last, and damage.
impl Frame {
    pub(crate) fn payload(mut self, bytes: &[u8]) -> Self {
        self.append(bytes);
        self
    }

    /// Pads the frame with zeros up to `len` bytes, as Ethernet does; the IP lengths stay.
    pub(crate) fn padded(mut self, len: usize) -> Self {
        self.bytes.resize(self.bytes.len().max(len), 0);
        self
    }

    /// Bytes behind the packet's end: the IP lengths do not count them.
    pub(crate) fn trailer(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// Cuts the frame off after `len` bytes; the IP lengths stay.
    pub(crate) fn cut_to(mut self, len: usize) -> Self {
        assert!(len < self.bytes.len(), "a frame of {} bytes cannot be cut to {len}", self.bytes.len());
        self.bytes.truncate(len);
        self
    }

    /// Overwrites the first byte of the IP header: the version, and of IPv4 the length in words.
    pub(crate) fn ip_begins_with(mut self, byte: u8) -> Self {
        let start = self.last_ip();
        self.put(start, &[byte]);
        self
    }

    /// The source port of TCP, UDP or SCTP right behind the last IP header.
    pub(crate) fn sent_from(mut self, port: u16) -> Self {
        let start = self.last_ip();
        let len = if self.bytes[start] >> 4 == 4 { usize::from(self.bytes[start] & 15) * 4 } else { 40 };
        self.put(start + len, &port.to_be_bytes());
        self
    }

    /// Says in the header that begins at `start`, and has its next header's number first, that `protocol` follows.
    pub(crate) fn says_next(mut self, start: usize, protocol: u8) -> Self {
        self.put(start, &[protocol]);
        self
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// The protocol number that says "no next header".
const NO_NEXT: u8 = 59;

impl Frame {
    /// A header of `len` bytes behind an IP header or an extension; `0xee` where it has no meaning here.
    fn named_header(&mut self, protocol: u8, len: usize) -> usize {
        self.name_layer(0, protocol);
        self.next = Next::Payload;
        self.append(&vec![0xee; len])
    }

    /// Tells the header before what follows, in the numbers that it uses.
    fn name_layer(&mut self, ethertype: u16, protocol: u8) {
        match self.next {
            Next::Ethertype(at) => self.put(at, &ethertype.to_be_bytes()),
            Next::Protocol(at) => self.put(at, &[protocol]),
            Next::Ppp(at) => self.put(at, &if ethertype == 0x0800 { [0, 0x21] } else { [0, 0x57] }),
            Next::Payload => panic!("no layer has a place behind {:02x?}", self.bytes),
        }
    }

    /// Appends bytes, and says where they begin.
    fn append(&mut self, bytes: &[u8]) -> usize {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        for header in self.ip.clone() {
            let behind = self.bytes.len() - header;
            let (at, len) = if self.bytes[header] >> 4 == 4 { (2, behind) } else { (4, behind.saturating_sub(40)) };
            if behind >= 20 {
                let len = u16::try_from(len).expect("a packet is shorter than 64 KiB");
                self.put(header + at, &len.to_be_bytes());
            }
        }
        start
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn last_ip(&self) -> usize {
        *self.ip.last().expect("the frame has an IP header")
    }
}
