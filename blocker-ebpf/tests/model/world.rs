//! What is banned, protected and allow-listed: as plain lists, at random, and as the tables of a verdict on the host.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use blocker_common::presence::{PLACE6_BITS, Place, SHORTEST4, place6, places4};
use blocker_common::{
    Ban, FOREVER, HOLDS_ALLOWED, Outcome, Protocol, SCOPE_ALL, SCOPE_ALL_OBSERVED, Tally, Trace, flags, port_index,
};
use blocker_ebpf::known::Known;
use blocker_ebpf::packet::Packet;
use blocker_ebpf::verdict::Tables;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

/// The present of every world; bans are over or have ages to go, so that it may as well be any time of this century.
pub(crate) const NOW_NS: u64 = 1 << 40;

/// Where packets come from. The first of each family lies in as many networks as may be banned one inside another.
pub(crate) const SOURCES4: [&str; 4] = ["192.0.2.9", "192.0.2.77", "198.51.100.7", "203.0.113.20"];
/// The same for IPv6.
pub(crate) const SOURCES6: [&str; 4] = ["2001:db8:0:1::9", "2001:db8:0:1:ff::9", "2001:db8:0:2::9", "3fff::1"];

/// Where they go; the first few are protected in most worlds.
pub(crate) const PORTS: [u16; 4] = [143, 993, 5060, 80];

const NETS: [&str; 26] = [
    "192.0.2.9/32",
    "192.0.2.77/32",
    "198.51.100.7/32",
    "192.0.2.8/31",
    "192.0.2.8/30",
    "192.0.2.8/29",
    "192.0.2.0/25",
    "192.0.2.0/24",
    "192.0.2.0/23",
    "192.0.0.0/2",
    "128.0.0.0/1",
    "198.51.100.0/24",
    "2001:db8:0:1::/64",
    "2001:db8:0:2::/64",
    "3fff::/64",
    "2001:db8:0:1::9/128",
    "2001:db8:0:1::8/127",
    "2001:db8:0:1::/96",
    "2001:db8:0:1::/65",
    "2001:db8::/62",
    "2001:db8::/48",
    "::/2",
    "::/1",
    "2001:db8:0:2::9/128",
    "203.0.112.0/20",
    "3fff::/20",
];

/// A prefix, with host bits zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Net {
    pub(crate) addr: IpAddr,
    pub(crate) len: u8,
}

impl Net {
    /// Reads `192.0.2.0/24`.
    pub(crate) fn parse(text: &str) -> Self {
        let (addr, len) = text.split_once('/').expect("a length follows a slash");
        Self { addr: addr.parse().expect("an address"), len: len.parse().expect("a number") }
    }

    pub(crate) fn contains(self, addr: IpAddr) -> bool {
        match (self.addr, addr) {
            (IpAddr::V4(net), IpAddr::V4(addr)) => {
                first_bits(net.to_bits().into(), 32, self.len) == first_bits(addr.to_bits().into(), 32, self.len)
            }
            (IpAddr::V6(net), IpAddr::V6(addr)) => {
                first_bits(net.to_bits(), 128, self.len) == first_bits(addr.to_bits(), 128, self.len)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    /// Whether its ban has an entry that is found at once, rather than one in a trie: IPv4 hosts and IPv6 /64s do.
    fn is_hashed(self) -> bool {
        matches!((self.addr, self.len), (IpAddr::V4(_), 32) | (IpAddr::V6(_), 64))
    }
}

/// The first `len` bits of an address of `width` bits.
fn first_bits(addr: u128, width: u8, len: u8) -> u128 {
    addr.checked_shr(u32::from(width - len)).unwrap_or(0)
}

/// What is banned, protected and allow-listed, without order or double entries.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) observe: bool,
    /// Jails that only observe.
    pub(crate) observed: u64,
    /// Which jails protect which port.
    pub(crate) protected: Vec<(Protocol, u16, u64)>,
    pub(crate) bans: Vec<(Net, Ban)>,
    pub(crate) allowed: Vec<Net>,
}

impl World {
    /// The first source may not reach its first port until `deadline_ns`.
    pub(crate) fn with_first_source_banned(deadline_ns: u64) -> Self {
        let net = Net { addr: SOURCES4[0].parse().expect("an address"), len: 32 };
        let ban = Ban { scope: 1, deadline_ns, prefix_len: 32, ..Ban::default() };
        let protected = vec![(Protocol::Tcp, PORTS[0], 1)];
        Self { observe: false, observed: 0, protected, bans: vec![(net, ban)], allowed: Vec::new() }
    }

    /// [`blocker_common::Config::flags`], as the daemon sets them.
    pub(crate) fn flags(&self) -> u32 {
        let any = |wanted: &dyn Fn(Net, &Ban) -> bool| self.bans.iter().any(|(net, ban)| wanted(*net, ban));
        let flag = |is_set: bool, flag: u32| if is_set { flag } else { 0 };
        flag(self.observe, flags::OBSERVE)
            | flag(any(&|_, ban| ban.scope & (SCOPE_ALL | SCOPE_ALL_OBSERVED) != 0), flags::ALL_PORTS)
            | flag(any(&|net, _| net.addr.is_ipv4() && u32::from(net.len) < SHORTEST4), flags::WIDE4)
            | flag(any(&|net, _| net.addr.is_ipv6() && u32::from(net.len) < PLACE6_BITS), flags::WIDE6)
            | flag(any(&|net, _| net.addr.is_ipv4() && !net.is_hashed()), flags::NETWORKS4)
            | flag(any(&|net, _| net.addr.is_ipv6() && !net.is_hashed()), flags::NETWORKS6)
    }
}

/// Worlds at random, few and many bans, nested as deep as is allowed.
pub(crate) fn worlds() -> impl Strategy<Value = World> {
    let some = (subsequence(NETS.to_vec(), 0..=NETS.len()), Just(1_u32));
    // With all networks and hardly a ban in force, the search goes through to the widest.
    let all = (Just(NETS.to_vec()), Just(9_u32));
    let bans = prop_oneof![3 => some, 1 => all]
        .prop_flat_map(|(nets, over)| {
            nets.into_iter().map(|net| (Just(Net::parse(net)), bans(over))).collect::<Vec<_>>()
        })
        .prop_map(|bans| bans.into_iter().map(with_prefix_len).collect());
    let port = (
        select(vec![Protocol::Tcp, Protocol::Udp, Protocol::Sctp]),
        select(PORTS.to_vec()),
        select(vec![1, 2, 3, 1 << 61]),
    );
    let allowed = prop_oneof![
        2 => Just(Vec::new()),
        1 => subsequence(NETS.to_vec(), 0..4).prop_map(|nets| nets.into_iter().map(Net::parse).collect()),
    ];
    let observed = prop_oneof![3 => Just(0), 1 => select(vec![1_u64, 2, 3, 1 << 61])];
    (prop::bool::weighted(0.1), observed, prop::collection::vec(port, 0..6), bans, allowed).prop_map(
        |(observe, observed, protected, bans, allowed)| World {
            observe,
            observed,
            protected: merged(protected),
            bans: with_holders_marked(bans, &allowed),
            allowed,
        },
    )
}

/// The bans in which something allow-listed lies are marked, as the daemon does.
fn with_holders_marked(bans: Vec<(Net, Ban)>, allowed: &[Net]) -> Vec<(Net, Ban)> {
    let holds = |net: Net| allowed.iter().any(|allowed| net.contains(allowed.addr) || allowed.contains(net.addr));
    let marked = |(net, ban): (Net, Ban)| {
        let mark = if holds(net) { HOLDS_ALLOWED } else { 0 };
        (net, Ban { flags: ban.flags | mark, ..ban })
    };
    bans.into_iter().map(marked).collect()
}

/// Bans of which `over` are over for each one in force.
fn bans(over: u32) -> impl Strategy<Value = Ban> {
    let all = select(vec![SCOPE_ALL, SCOPE_ALL | 1, SCOPE_ALL_OBSERVED | 4, SCOPE_ALL | SCOPE_ALL_OBSERVED | 6]);
    let scope = prop_oneof![2 => select(vec![1_u64, 2, 4, 1 << 61]), 1 => all];
    let end = prop_oneof![
        over => select(vec![(0, 0), (NOW_NS - 1, 0), (NOW_NS, 0)]),
        1 => select(vec![(u64::MAX, 0), (0, FOREVER), (NOW_NS / 2, FOREVER)]),
    ];
    (scope, end).prop_map(|(scope, (deadline_ns, flags))| Ban { scope, deadline_ns, flags, ..Ban::default() })
}

fn with_prefix_len((net, ban): (Net, Ban)) -> (Net, Ban) {
    (net, Ban { prefix_len: net.len.into(), ..ban })
}

/// One entry for each port.
fn merged(protected: Vec<(Protocol, u16, u64)>) -> Vec<(Protocol, u16, u64)> {
    let mut merged: Vec<(Protocol, u16, u64)> = Vec::new();
    for (protocol, port, scope) in protected {
        match merged.iter_mut().find(|entry| (entry.0, entry.1) == (protocol, port)) {
            Some(entry) => entry.2 |= scope,
            None => merged.push((protocol, port, scope)),
        }
    }
    merged
}

/// A world as the tables of a verdict.
pub(crate) struct HostTables {
    flags: u32,
    observed: u64,
    present4: BTreeSet<Place>,
    present6: BTreeSet<Place>,
    tallies4: Vec<Cell<Tally>>,
    tallies6: Vec<Cell<Tally>>,
    known: Vec<Cell<Known>>,
    trace: Cell<Trace>,
    told: Cell<u32>,
    now_ns: u64,
    ports: Vec<(u32, u64)>,
    bans: Vec<(Net, Cell<Ban>)>,
    allowed: Vec<Net>,
}

impl HostTables {
    pub(crate) fn of(world: &World) -> Self {
        let ports = world.protected.iter().map(|&(protocol, port, scope)| (port_index(protocol, port), scope));
        let mut present4 = BTreeSet::new();
        let mut present6 = BTreeSet::new();
        for (net, _) in &world.bans {
            match net.addr {
                IpAddr::V4(addr) => present4.extend(places4(addr.octets(), net.len.into()).into_iter().flatten()),
                IpAddr::V6(addr) => present6.extend(place6(first_half(addr), net.len.into())),
            }
        }
        let tallies = || (0..Tally::SLOTS).map(|_| Cell::default()).collect();
        Self {
            flags: world.flags(),
            observed: world.observed,
            present4,
            present6,
            tallies4: tallies(),
            tallies6: tallies(),
            known: (0..Known::SLOTS).map(|_| Cell::default()).collect(),
            trace: Cell::default(),
            told: Cell::new(0),
            now_ns: NOW_NS,
            ports: ports.collect(),
            bans: world.bans.iter().map(|&(net, ban)| (net, Cell::new(ban))).collect(),
            allowed: world.allowed.clone(),
        }
    }

    /// The bans with what was counted on them, and what is still in the tallies.
    pub(crate) fn bans(&self) -> impl Iterator<Item = (Net, Ban)> {
        self.bans.iter().map(|(net, ban)| {
            let (tallies, key) = match (net.addr, net.len) {
                (IpAddr::V4(addr), 32) => (&self.tallies4, u32::from_ne_bytes(addr.octets()).into()),
                (IpAddr::V6(addr), 64) => (&self.tallies6, u64::from_ne_bytes(first_half(addr))),
                _ => return (*net, ban.get()),
            };
            let tally = tallies[Tally::slot(key) as usize].get();
            let (ban, ours) = (ban.get(), tally.key == key && tally.packets > 0);
            let Tally { packets, bytes, last_ns, .. } = if ours { tally } else { Tally::default() };
            let last_drop_ns = ban.last_drop_ns.max(last_ns);
            (*net, Ban { packets: ban.packets + packets, bytes: ban.bytes + bytes, last_drop_ns, ..ban })
        })
    }

    /// How many drops were told.
    pub(crate) fn told(&self) -> u32 {
        self.told.get()
    }

    pub(crate) fn advance_ns(&mut self, by: u64) {
        self.now_ns += by;
    }

    fn exact(&self, wanted: Net) -> Option<*mut Ban> {
        self.bans.iter().find(|(net, _)| *net == wanted).map(|(_, ban)| ban.as_ptr())
    }

    fn longest(&self, addr: IpAddr, most: u32) -> Option<*mut Ban> {
        let fits = |net: Net| !net.is_hashed() && u32::from(net.len) <= most && net.contains(addr);
        let fitting = self.bans.iter().filter(|(net, _)| fits(*net));
        fitting.max_by_key(|(net, _)| net.len).map(|(_, ban)| ban.as_ptr())
    }

    fn is_allowed(&self, addr: IpAddr) -> bool {
        self.allowed.iter().any(|net| net.contains(addr))
    }
}

fn first_half(addr: Ipv6Addr) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = addr.octets();
    [a, b, c, d, e, f, g, h]
}

impl Tables for HostTables {
    fn flags(&self) -> u32 {
        self.flags
    }

    fn observed(&self) -> u64 {
        self.observed
    }

    fn observes_here(&self) -> bool {
        false
    }

    fn is_present4(&self, addr: [u8; 4]) -> bool {
        self.present4.contains(&Place::of4(addr))
    }

    fn is_present6(&self, network: [u8; 8]) -> bool {
        self.present6.contains(&Place::of6(network))
    }

    fn tally4(&self, slot: u32) -> Option<*mut Tally> {
        self.tallies4.get(slot as usize).map(Cell::as_ptr)
    }

    fn tally6(&self, slot: u32) -> Option<*mut Tally> {
        self.tallies6.get(slot as usize).map(Cell::as_ptr)
    }

    fn known(&self, slot: u32) -> Option<*mut Known> {
        self.known.get(slot as usize).map(Cell::as_ptr)
    }

    fn trace(&self) -> Option<*mut Trace> {
        Some(self.trace.as_ptr())
    }

    fn tick(&self) -> u64 {
        self.now_ns
    }

    fn tell(&self, _packet: &Packet, _outcome: Outcome, _now_ns: u64) {
        self.told.set(self.told.get() + 1);
    }

    fn port_scope(&self, index: u32) -> u64 {
        self.ports.iter().find(|(at, _)| *at == index).map_or(0, |(_, scope)| *scope)
    }

    fn sctp_scope(&self, port: u16) -> u64 {
        self.port_scope(port_index(Protocol::Sctp, port))
    }

    fn host4(&self, addr: [u8; 4]) -> Option<*mut Ban> {
        self.exact(Net { addr: addr.into(), len: 32 })
    }

    fn network64(&self, prefix: [u8; 8]) -> Option<*mut Ban> {
        let addr = Ipv6Addr::from_bits(u128::from(u64::from_be_bytes(prefix)) << 64);
        self.exact(Net { addr: addr.into(), len: 64 })
    }

    fn network4(&self, addr: [u8; 4], len: u32) -> Option<*mut Ban> {
        self.longest(Ipv4Addr::from(addr).into(), len)
    }

    fn network6(&self, addr: [u8; 16], len: u32) -> Option<*mut Ban> {
        self.longest(Ipv6Addr::from(addr).into(), len)
    }

    fn is_allowed4(&self, addr: [u8; 4]) -> bool {
        self.is_allowed(Ipv4Addr::from(addr).into())
    }

    fn is_allowed6(&self, addr: [u8; 16]) -> bool {
        self.is_allowed(Ipv6Addr::from(addr).into())
    }

    fn now_ns(&self) -> u64 {
        self.now_ns
    }
}
