//! Reads a frame's headers: whence, by which protocol, to which port.
//!
//! A bounds-checked cursor walks Ethernet, VLAN tags, a PPPoE session, IPv4 or IPv6 with extension headers, and the first
//! four bytes of TCP, UDP or SCTP. Nothing is decided here. All results are plain integers that are always initialised: an enum with
//! data that crosses a branch makes LLVM spill undefined bytes, which the verifier refuses.

use core::mem::size_of;

use blocker_common::{Protocol, port_index};

/// VLAN tags read at most, 802.1Q or 802.1ad.
pub const MAX_VLAN_TAGS: u32 = 2;

/// IPv6 extension headers read at most. Eight is twice what RFC 8200 recommends to send; each costs the verifier about
/// 7,000 instructions.
pub const MAX_EXTENSION_HEADERS: u32 = 8;

const ETH_P_8021Q: u16 = 0x8100;
const ETH_P_8021AD: u16 = 0x88a8;
/// QinQ as it was before 802.1ad.
const ETH_P_QINQ1: u16 = 0x9100;
const ETH_P_IP: u16 = 0x0800;
const ETH_P_IPV6: u16 = 0x86dd;
const ETH_P_PPP_SES: u16 = 0x8864;

/// Version, type and code of a PPPoE packet of a session (RFC 2516, section 4).
const PPPOE_SESSION: u16 = 0x1100;
const PPP_IP: u16 = 0x0021;
const PPP_IPV6: u16 = 0x0057;

const IPPROTO_HOPOPTS: u8 = 0;
const IPPROTO_ICMP: u8 = 1;
const IPPROTO_TCP: u8 = 6;
const IPPROTO_UDP: u8 = 17;
const IPPROTO_ROUTING: u8 = 43;
const IPPROTO_FRAGMENT: u8 = 44;
const IPPROTO_ESP: u8 = 50;
const IPPROTO_AH: u8 = 51;
const IPPROTO_ICMPV6: u8 = 58;
const IPPROTO_NONE: u8 = 59;
const IPPROTO_DSTOPTS: u8 = 60;
const IPPROTO_SCTP: u8 = 132;
const IPPROTO_MOBILITY: u8 = 135;
const IPPROTO_HIP: u8 = 139;
const IPPROTO_SHIM6: u8 = 140;

/// Whether a packet could be read, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Readable {
    /// It is IP, and the [`Packet`] says the rest.
    Yes,
    /// Another protocol.
    NotIp,
    /// It ends before its headers do.
    Truncated,
    /// Its IP header contradicts itself.
    Malformed,
    /// More VLAN tags than [`MAX_VLAN_TAGS`].
    VlanTooDeep,
}

/// What is known of the port a packet wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Ports {
    /// The protocol has none, or none that can be protected.
    None,
    /// A TCP port, in [`Packet::port`].
    Tcp,
    /// A UDP port, in [`Packet::port`].
    Udp,
    /// An SCTP port, in [`Packet::port`].
    Sctp,
    /// ICMP or ICMPv6: neighbour discovery, path-MTU errors, echo. Never dropped.
    Icmp,
    /// A later fragment: the first one had the ports.
    LaterFragment,
    /// It should have had ports and hides them.
    Hidden,
}

/// An IP packet's headers, as far as a verdict needs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Whether it is IPv6.
    pub is_v6: bool,
    /// What [`Packet::port`] is.
    pub ports: Ports,
    /// Destination port, if `ports` says there is one.
    pub port: u16,
    /// Source address: the bytes of the header as two native integers (of IPv4 the first four bytes alone), because
    /// byte arrays are moved byte by byte on this target.
    source: [u64; 2],
}

impl Packet {
    /// A packet of which nothing is known.
    #[inline(always)]
    #[must_use]
    pub const fn unknown() -> Self {
        Self { is_v6: false, ports: Ports::None, port: 0, source: [0; 2] }
    }

    /// The source address, if the packet is IPv4.
    #[inline(always)]
    #[must_use]
    pub const fn source4(&self) -> [u8; 4] {
        #[expect(clippy::cast_possible_truncation, reason = "only the lower half was ever set")]
        let word = self.source[0] as u32;
        word.to_ne_bytes()
    }

    /// The first 64 bits of the source address, if the packet is IPv6.
    #[inline(always)]
    #[must_use]
    pub const fn source6_network(&self) -> [u8; 8] {
        self.source[0].to_ne_bytes()
    }

    /// The same as two native integers.
    #[inline(always)]
    #[must_use]
    pub const fn source6_words(&self) -> (u64, u64) {
        (self.source[0], self.source[1])
    }

    /// The same packet, as numbers of which the verifier knows nothing: else it would go through all that follows once for
    /// each way on which a packet is read. Of `ports` no more is told than whether they are hidden. See [`forget`].
    #[inline(always)]
    #[must_use]
    pub(crate) fn forgotten(&self, unknown: u64) -> Self {
        let [first, second] = self.source;
        let hides = forget(matches!(self.ports, Ports::Hidden).into(), unknown) != 0;
        Self {
            is_v6: forget(self.is_v6.into(), unknown) != 0,
            ports: if hides { Ports::Hidden } else { Ports::None },
            port: forget(self.port.into(), unknown) as u16,
            source: [forget(first, unknown), forget(second, unknown)],
        }
    }

    /// The source address, if the packet is IPv6.
    #[inline(always)]
    #[must_use]
    pub fn source6(&self) -> [u8; 16] {
        let (network, host) = (self.source[0].to_ne_bytes(), self.source[1].to_ne_bytes());
        let mut addr = [0; 16];
        addr[..8].copy_from_slice(&network);
        addr[8..].copy_from_slice(&host);
        addr
    }
}

/// Reads the frame that lies from address `data` up to address `end` into `packet`, if it is like nearly all: TCP or UDP right
/// behind an IPv4 header without options, of no fragment, behind Ethernet without tags. What [`parse`] says of such a frame,
/// in a third of the instructions. Returns the port's [`port_index`]; of another frame `packet` stays as it was.
///
/// # Safety
///
/// As for [`parse`].
#[inline(always)]
pub unsafe fn parse_plain4(data: usize, end: usize, packet: &mut Packet) -> Option<u32> {
    let frame = Cursor { at: data, end }.peek::<[u8; 14 + 20 + 4]>()?;
    // SAFETY: `peek` checked the headers, of which every load below reads a part.
    let ethertype: u16 = unsafe { load(frame, 12) };
    // SAFETY: as above.
    let version_and_length: u8 = unsafe { load(frame, 14) };
    // SAFETY: as above.
    let fragment: u16 = unsafe { load(frame, 14 + 6) };
    let is_plain = ethertype == ETH_P_IP.to_be() && version_and_length == 0x45 && fragment & 0x3fff_u16.to_be() == 0;
    if !is_plain {
        return None;
    }
    // SAFETY: as above.
    let protocol = plain_protocol(unsafe { load(frame, 14 + 9) }, packet)?;
    // SAFETY: as above.
    packet.source = [u64::from(unsafe { load::<u32>(frame, 14 + 12) }), 0];
    // SAFETY: as above.
    packet.port = u16::from_be(unsafe { load(frame, 14 + 20 + 2) });
    Some(port_index(protocol, packet.port))
}

/// The same of IPv6, without extension headers.
///
/// # Safety
///
/// As for [`parse`].
#[inline(always)]
pub unsafe fn parse_plain6(data: usize, end: usize, packet: &mut Packet) -> Option<u32> {
    let frame = Cursor { at: data, end }.peek::<[u8; 14 + 40 + 4]>()?;
    // SAFETY: `peek` checked the headers, of which every load below reads a part.
    let ethertype: u16 = unsafe { load(frame, 12) };
    // SAFETY: as above.
    let version: u8 = unsafe { load(frame, 14) };
    if ethertype != ETH_P_IPV6.to_be() || version >> 4 != 6 {
        return None;
    }
    // SAFETY: as above.
    let protocol = plain_protocol(unsafe { load(frame, 14 + 6) }, packet)?;
    packet.is_v6 = true;
    // SAFETY: as above.
    packet.source = unsafe { load(frame, 14 + 8) };
    // SAFETY: as above.
    packet.port = u16::from_be(unsafe { load(frame, 14 + 40 + 2) });
    Some(port_index(protocol, packet.port))
}

/// TCP or UDP, which is noted in `packet`.
#[inline(always)]
fn plain_protocol(number: u8, packet: &mut Packet) -> Option<Protocol> {
    let (ports, protocol) = match number {
        IPPROTO_TCP => (Ports::Tcp, Protocol::Tcp),
        IPPROTO_UDP => (Ports::Udp, Protocol::Udp),
        _ => return None,
    };
    packet.ports = ports;
    Some(protocol)
}

/// Reads the frame that lies from address `data` up to address `end` into `packet`.
///
/// # Safety
///
/// `data..end` must be readable memory of one allocation (in the kernel: the packet).
#[inline(always)]
pub unsafe fn parse(data: usize, end: usize, packet: &mut Packet) -> Readable {
    let mut cursor = Cursor { at: data, end };
    let Some(ethernet) = cursor.take::<[u8; 14]>() else { return Readable::Truncated };
    // SAFETY: `take` checked 14 bytes.
    let mut ethertype = u16::from_be(unsafe { load(ethernet, 12) });
    for _ in 0..MAX_VLAN_TAGS {
        if !is_vlan(ethertype) {
            break;
        }
        let Some(tag) = cursor.take::<[u8; 4]>() else { return Readable::Truncated };
        // SAFETY: `take` checked 4 bytes.
        ethertype = u16::from_be(unsafe { load(tag, 2) });
    }
    if ethertype == ETH_P_PPP_SES {
        let Some(session) = cursor.take::<[u8; 8]>() else { return Readable::Truncated };
        // SAFETY: `take` checked 8 bytes.
        let kind = u16::from_be(unsafe { load(session, 0) });
        // SAFETY: as above.
        let protocol = u16::from_be(unsafe { load(session, 6) });
        ethertype = match (kind, protocol) {
            (PPPOE_SESSION, PPP_IP) => ETH_P_IP,
            (PPPOE_SESSION, PPP_IPV6) => ETH_P_IPV6,
            _ => return Readable::NotIp,
        };
    }
    cursor.at = data + distance(data, cursor.at);
    match ethertype {
        ETH_P_IP => {
            // SAFETY: the cursor lies in `data..end`, as the caller promised.
            unsafe { parse_ipv4(&mut cursor, packet) }
        }
        ETH_P_IPV6 => {
            // SAFETY: as above.
            unsafe { parse_ipv6(&mut cursor, packet) }
        }
        deeper if is_vlan(deeper) => Readable::VlanTooDeep,
        _ => Readable::NotIp,
    }
}

/// How far `at` lies behind `data`, as a number that the verifier knows nothing of but its bound: else it would go through
/// the rest of the program once for each way to the IP header, which takes it three times as long.
#[cfg(target_arch = "bpf")]
#[inline(always)]
fn distance(data: usize, at: usize) -> usize {
    let mut distance = at;
    // SAFETY: a subtraction of registers. In Rust the compiler would work out the result for each way.
    unsafe {
        core::arch::asm!("{distance} -= {data}", distance = inout(reg) distance, data = in(reg) data,
            options(pure, nomem, nostack));
    }
    distance & MAX_LINK_BYTES
}

/// How far `at` lies behind `data`.
#[cfg(not(target_arch = "bpf"))]
#[inline(always)]
fn distance(data: usize, at: usize) -> usize {
    (at - data) & MAX_LINK_BYTES
}

/// The value, and for the verifier any: what it knows is lost in an exclusive or with a number unknown to it, twice.
#[cfg(target_arch = "bpf")]
#[inline(always)]
pub(crate) fn forget(value: u64, unknown: u64) -> u64 {
    let mut forgotten = value;
    // SAFETY: operations on registers, which come to nothing. In Rust the compiler would leave them out.
    unsafe {
        core::arch::asm!("{value} ^= {unknown}", "{value} ^= {unknown}", value = inout(reg) forgotten,
            unknown = in(reg) unknown, options(pure, nomem, nostack));
    }
    forgotten
}

/// The value.
#[cfg(not(target_arch = "bpf"))]
#[inline(always)]
pub(crate) fn forget(value: u64, _unknown: u64) -> u64 {
    value
}

/// Ethernet, VLAN tags and PPPoE take 14 + 8 + 8 bytes; the next power of two, less one.
const MAX_LINK_BYTES: usize = 31;

#[inline(always)]
fn is_vlan(ethertype: u16) -> bool {
    ethertype == ETH_P_8021Q || ethertype == ETH_P_8021AD || ethertype == ETH_P_QINQ1
}

/// # Safety
///
/// The cursor must lie in readable memory.
#[inline(always)]
unsafe fn parse_ipv4(cursor: &mut Cursor, packet: &mut Packet) -> Readable {
    let Some(header) = cursor.peek::<[u8; 20]>() else { return Readable::Truncated };
    // SAFETY: `peek` checked 20 bytes, of which every load below reads a part.
    let version_and_length: u8 = unsafe { load(header, 0) };
    let length = usize::from(version_and_length & 0x0f) << 2;
    if version_and_length >> 4 != 4 || length < 20 {
        return Readable::Malformed;
    }
    // SAFETY: as above.
    packet.source = [u64::from(unsafe { load::<u32>(header, 12) }), 0];
    // SAFETY: as above.
    let protocol: u8 = unsafe { load(header, 9) };
    // SAFETY: as above.
    let fragment = u16::from_be(unsafe { load(header, 6) });
    if fragment & 0x1fff != 0 {
        packet.ports = Ports::LaterFragment;
        return Readable::Yes;
    }
    cursor.at += length;
    let is_first_fragment = fragment & 0x2000 != 0;
    // SAFETY: as the caller promised.
    unsafe { parse_transport(cursor, protocol, is_first_fragment, packet) }
}

/// # Safety
///
/// The cursor must lie in readable memory.
#[inline(always)]
unsafe fn parse_ipv6(cursor: &mut Cursor, packet: &mut Packet) -> Readable {
    packet.is_v6 = true;
    let Some(header) = cursor.take::<[u8; 40]>() else { return Readable::Truncated };
    // SAFETY: `take` checked 40 bytes, of which every load below reads a part.
    let version: u8 = unsafe { load(header, 0) };
    if version >> 4 != 6 {
        return Readable::Malformed;
    }
    // SAFETY: as above.
    packet.source = unsafe { load(header, 8) };
    // SAFETY: as above.
    let mut payload = Payload { len: u16::from_be(unsafe { load(header, 4) }).into(), read: 0 };
    // SAFETY: as above.
    let mut next: u8 = unsafe { load(header, 6) };
    let mut may_hide = false;
    for _ in 0..MAX_EXTENSION_HEADERS {
        match next {
            IPPROTO_HOPOPTS | IPPROTO_ROUTING | IPPROTO_DSTOPTS | IPPROTO_MOBILITY | IPPROTO_HIP | IPPROTO_SHIM6
            | IPPROTO_AH => {
                let Some(extension) = cursor.peek::<[u8; 8]>() else { return cut_off(may_hide, packet) };
                may_hide = true;
                // AH alone counts in units of four bytes, and two fewer (RFC 4302, section 2.2).
                // SAFETY: `peek` checked 8 bytes.
                let units = usize::from(unsafe { load::<u8>(extension, 1) });
                let len = if next == IPPROTO_AH { (units + 2) << 2 } else { (units + 1) << 3 };
                cursor.at += len;
                payload.read += len;
                // SAFETY: as above.
                next = unsafe { load(extension, 0) };
            }
            IPPROTO_FRAGMENT => {
                let Some(extension) = cursor.take::<[u8; 8]>() else { return cut_off(may_hide, packet) };
                may_hide = true;
                payload.read += 8;
                // SAFETY: `take` checked 8 bytes.
                let offset = u16::from_be(unsafe { load(extension, 2) });
                if offset & 0xfff8 != 0 {
                    packet.ports = if payload.ends_before(0) { Ports::Hidden } else { Ports::LaterFragment };
                    return Readable::Yes;
                }
                // SAFETY: as above.
                next = unsafe { load(extension, 0) };
            }
            _ => break,
        }
    }
    let ports_len = if matches!(next, IPPROTO_TCP | IPPROTO_UDP | IPPROTO_SCTP) { 4 } else { 0 };
    if may_hide && payload.ends_before(ports_len) {
        packet.ports = Ports::Hidden;
        return Readable::Yes;
    }
    // SAFETY: as the caller promised.
    unsafe { parse_transport(cursor, next, may_hide, packet) }
}

/// The payload of an IPv6 packet, by what its header says.
struct Payload {
    /// In bytes; 0 if the header does not say it (a jumbogram, which is never a fragment).
    len: usize,
    /// Bytes of it that the extension headers take which were read.
    read: usize,
}

impl Payload {
    /// Whether it ends before `more` bytes have been read. A frame may go on behind it, and an attacker may write headers
    /// there that the stack cuts off unread: to read a port in them would be to believe it.
    #[inline(always)]
    fn ends_before(&self, more: usize) -> bool {
        self.len != 0 && self.read + more > self.len
    }
}

/// Reads the port behind the last IP header.
///
/// # Safety
///
/// The cursor must lie in readable memory.
#[inline(always)]
unsafe fn parse_transport(cursor: &mut Cursor, protocol: u8, may_hide: bool, packet: &mut Packet) -> Readable {
    packet.ports = match protocol {
        IPPROTO_TCP => Ports::Tcp,
        IPPROTO_UDP => Ports::Udp,
        IPPROTO_SCTP => Ports::Sctp,
        IPPROTO_ICMP if !packet.is_v6 => Ports::Icmp,
        IPPROTO_ICMPV6 if packet.is_v6 => Ports::Icmp,
        // Behind these of IPv6 anything can follow, more extension headers too.
        IPPROTO_ESP | IPPROTO_NONE if packet.is_v6 => Ports::Hidden,
        IPPROTO_HOPOPTS | IPPROTO_ROUTING | IPPROTO_FRAGMENT | IPPROTO_AH | IPPROTO_DSTOPTS | IPPROTO_MOBILITY
        | IPPROTO_HIP | IPPROTO_SHIM6
            if packet.is_v6 =>
        {
            Ports::Hidden
        }
        _ => Ports::None,
    };
    // All three begin with the source port and the destination port.
    if matches!(packet.ports, Ports::Tcp | Ports::Udp | Ports::Sctp) {
        let Some(ports) = cursor.peek::<[u8; 4]>() else { return cut_off(may_hide, packet) };
        // SAFETY: `peek` checked 4 bytes.
        packet.port = u16::from_be(unsafe { load(ports, 2) });
    }
    Readable::Yes
}

/// A packet that ends inside its headers, as far as it can be read here. If it is a fragment, or has IPv6 extension headers,
/// it may hide its port from us but not from the stack: that puts fragments together (RFC 7112 forbids such ones), and
/// reads on in the next buffer of a frame that has several.
#[inline(always)]
fn cut_off(may_hide: bool, packet: &mut Packet) -> Readable {
    if may_hide {
        packet.ports = Ports::Hidden;
        Readable::Yes
    } else {
        Readable::Truncated
    }
}

/// A position in a packet that never moves or reads beyond its end unchecked.
struct Cursor {
    at: usize,
    end: usize,
}

impl Cursor {
    /// The address of the next bytes, if as many as a `T` has remain.
    #[inline(always)]
    fn peek<T>(&self) -> Option<*const u8> {
        if self.at + size_of::<T>() > self.end { None } else { Some(self.at as *const u8) }
    }

    /// The same, and moves behind them.
    #[inline(always)]
    fn take<T>(&mut self) -> Option<*const u8> {
        let start = self.peek::<T>()?;
        self.at += size_of::<T>();
        Some(start)
    }
}

/// Reads a `T` that begins `offset` bytes behind `start`, wherever that lies.
///
/// # Safety
///
/// The bytes must have been checked to be there.
#[inline(always)]
unsafe fn load<T: Copy>(start: *const u8, offset: usize) -> T {
    // SAFETY: as the caller promised, the offset lies in the bytes that were checked.
    let at = unsafe { start.add(offset) };
    // SAFETY: as the caller promised.
    unsafe { at.cast::<T>().read_unaligned() }
}
