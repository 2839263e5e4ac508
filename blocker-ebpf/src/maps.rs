//! The kernel's maps, and their use as the verdict's tables.
//!
//! All are BTF-typed, so that `bpftool map dump` prints named fields and any loader can check their shape, which is
//! [`blocker_common::MapName::shape`]. None is an LRU: a ban is never evicted behind the daemon's back.

use core::mem::MaybeUninit;

use aya_ebpf::{
    Global,
    btf_maps::lpm_trie::Key,
    helpers::{bpf_jiffies64, bpf_ktime_get_boot_ns, bpf_ringbuf_reserve, bpf_ringbuf_submit},
    macros::btf_map,
};
use blocker_common::{
    Address4, Address6, Allowed, Ban, Config, Counter, DROPS_BYTES, Dropped, Host4, Interface, JailName, MAX_ALLOWED,
    MAX_BANS4, MAX_BANS6, MAX_INTERFACES, MAX_JAILS, MAX_NETWORKS, Network6, Outcome, PORT_TABLE_LEN, SCTP_TABLE_LEN,
    Tally, Trace, counter_index, flags,
    presence::{self, Place},
};
use blocker_ebpf::{known::Known, packet::Packet, verdict::Tables};

use crate::definition::{Array, HashMap, LpmTrie, OwnPerCpuArray, PerCpuArray, Ring};

/// The index of this interface in [`INTERFACES`], set when the program is loaded for it.
#[unsafe(no_mangle)]
static THIS_INTERFACE: Global<u32> = Global::new(0);

#[btf_map]
static CONFIG: Array<Config, 1> = Array::new();
#[btf_map]
static JAILS: Array<JailName, { MAX_JAILS as usize }> = Array::new();
#[btf_map]
static PORTS: Array<u64, { PORT_TABLE_LEN as usize }> = Array::new();
#[btf_map]
static SCTP_PORTS: Array<u64, { SCTP_TABLE_LEN as usize }> = Array::new();
#[btf_map]
static BANS4: HashMap<Host4, Ban, { MAX_BANS4 as usize }> = HashMap::new();
#[btf_map]
static BANS6: HashMap<Network6, Ban, { MAX_BANS6 as usize }> = HashMap::new();
#[btf_map]
static NETWORKS4: LpmTrie<Address4, Ban, { MAX_NETWORKS as usize }> = LpmTrie::new();
#[btf_map]
static NETWORKS6: LpmTrie<Address6, Ban, { MAX_NETWORKS as usize }> = LpmTrie::new();
#[btf_map]
static ALLOW4: LpmTrie<Address4, Allowed, { MAX_ALLOWED as usize }> = LpmTrie::new();
#[btf_map]
static ALLOW6: LpmTrie<Address6, Allowed, { MAX_ALLOWED as usize }> = LpmTrie::new();
#[btf_map]
static COUNTERS: PerCpuArray<Counter, { 16 * MAX_INTERFACES as usize }> = PerCpuArray::new();
#[btf_map]
static PRESENT4: Array<u64, { presence::WORDS as usize }> = Array::new();
#[btf_map]
static PRESENT6: Array<u64, { presence::WORDS as usize }> = Array::new();
#[btf_map]
static INTERFACES: Array<Interface, { MAX_INTERFACES as usize }> = Array::new();
#[btf_map]
static TRACES: PerCpuArray<Trace, 1> = PerCpuArray::new();
#[btf_map]
static TALLIES4: PerCpuArray<Tally, { Tally::SLOTS as usize }> = PerCpuArray::new();
#[btf_map]
static TALLIES6: PerCpuArray<Tally, { Tally::SLOTS as usize }> = PerCpuArray::new();
#[btf_map]
static KNOWN: OwnPerCpuArray<Known, { Known::SLOTS as usize }> = OwnPerCpuArray::new();
#[btf_map]
static DROPS: Ring<{ DROPS_BYTES as usize }> = Ring::new();

/// The maps as the tables a verdict is drawn from.
pub(crate) struct Maps;

impl Tables for Maps {
    #[inline(always)]
    fn flags(&self) -> u32 {
        CONFIG.get(&0).map_or(0, |config| config.flags)
    }

    #[inline(always)]
    fn observed(&self) -> u64 {
        CONFIG.get(&0).map_or(0, |config| config.observed)
    }

    #[inline(always)]
    fn observes_here(&self) -> bool {
        INTERFACES.get(&THIS_INTERFACE.load()).is_some_and(|interface| interface.flags & flags::OBSERVE != 0)
    }

    #[inline(always)]
    fn is_present4(&self, addr: [u8; 4]) -> bool {
        let place = Place::of4(addr);
        PRESENT4.get(&place.word()).is_some_and(|word| word & place.mask() != 0)
    }

    #[inline(always)]
    fn is_present6(&self, network: [u8; 8]) -> bool {
        let place = Place::of6(network);
        PRESENT6.get(&place.word()).is_some_and(|word| word & place.mask() != 0)
    }

    #[inline(always)]
    fn tally4(&self, slot: u32) -> Option<*mut Tally> {
        TALLIES4.at(&slot)
    }

    #[inline(always)]
    fn tally6(&self, slot: u32) -> Option<*mut Tally> {
        TALLIES6.at(&slot)
    }

    #[inline(always)]
    fn known(&self, slot: u32) -> Option<*mut Known> {
        KNOWN.at(&slot)
    }

    #[inline(always)]
    fn port_scope(&self, index: u32) -> u64 {
        PORTS.get(&index).copied().unwrap_or(0)
    }

    #[inline(always)]
    fn sctp_scope(&self, port: u16) -> u64 {
        SCTP_PORTS.get(&port.into()).copied().unwrap_or(0)
    }

    #[inline(always)]
    fn host4(&self, addr: [u8; 4]) -> Option<*mut Ban> {
        BANS4.at(&Host4 { addr })
    }

    #[inline(always)]
    fn network64(&self, prefix: [u8; 8]) -> Option<*mut Ban> {
        BANS6.at(&Network6 { prefix })
    }

    #[inline(always)]
    fn network4(&self, addr: [u8; 4], len: u32) -> Option<*mut Ban> {
        NETWORKS4.at(LpmKey::<3>::unset().set(len, addr))
    }

    #[inline(always)]
    fn network6(&self, addr: [u8; 16], len: u32) -> Option<*mut Ban> {
        NETWORKS6.at(LpmKey::<5>::unset().set(len, addr))
    }

    #[inline(always)]
    fn is_allowed4(&self, addr: [u8; 4]) -> bool {
        ALLOW4.get(LpmKey::<3>::unset().set(32, addr)).is_some()
    }

    #[inline(always)]
    fn is_allowed6(&self, addr: [u8; 16]) -> bool {
        ALLOW6.get(LpmKey::<5>::unset().set(128, addr)).is_some()
    }

    #[inline(always)]
    fn trace(&self) -> Option<*mut Trace> {
        TRACES.at(&0)
    }

    #[inline(always)]
    fn tick(&self) -> u64 {
        // SAFETY: a helper without arguments.
        unsafe { bpf_jiffies64() }
    }

    #[inline(always)]
    fn now_ns(&self) -> u64 {
        // SAFETY: a helper without arguments.
        unsafe { bpf_ktime_get_boot_ns() }
    }

    #[inline(always)]
    fn tell(&self, packet: &Packet, outcome: Outcome, now_ns: u64) {
        tell(packet, outcome, now_ns);
    }
}

/// Counts a packet of `bytes` bytes under `outcome`, on this interface and this CPU.
#[inline(always)]
pub(crate) fn count(outcome: Outcome, bytes: u64) {
    if let Some(counter) = COUNTERS.at(&counter_index(THIS_INTERFACE.load(), outcome)) {
        // SAFETY: the entry of this CPU, which runs this program alone until it returns.
        let counter = unsafe { &mut *counter };
        counter.packets += 1;
        counter.bytes += bytes;
    }
}

/// A key of a longest-prefix-match map, built in place on the stack.
///
/// The kernel's key is packed; written as such, or moved once built, the compiler stores words of it unaligned, which the
/// verifier refuses on the stack. So it is made of aligned 32-bit words, each stored by itself, and lent out as the packed
/// type.
#[repr(C, align(8))]
struct LpmKey<const WORDS: usize>(MaybeUninit<[u32; WORDS]>);

impl<const WORDS: usize> LpmKey<WORDS> {
    #[inline(always)]
    const fn unset() -> Self {
        Self(MaybeUninit::uninit())
    }

    /// Sets the key to the first `len` bits of `addr`, zero beyond its end.
    #[inline(always)]
    fn set<D, const BYTES: usize>(&mut self, len: u32, addr: [u8; BYTES]) -> &Key<D> {
        const { assert!(size_of::<Key<D>>() == WORDS * size_of::<u32>()) };
        let words = self.0.as_mut_ptr().cast::<u32>();
        // SAFETY: the first of the words.
        unsafe { words.write_volatile(len) };
        for index in 1..WORDS {
            // SAFETY: `index` is below the number of words.
            let word = unsafe { words.add(index) };
            // SAFETY: as above.
            unsafe { word.write_volatile(word_at(&addr, (index - 1) * size_of::<u32>())) };
        }
        // SAFETY: every word was written, the size is the same (asserted), and a packed type asks for no alignment.
        unsafe { &*words.cast::<Key<D>>() }
    }
}

/// Four of `bytes` as a native word, zero beyond their end.
#[inline(always)]
fn word_at<const N: usize>(bytes: &[u8; N], offset: usize) -> u32 {
    if offset + 4 > N {
        return 0;
    }
    u32::from_ne_bytes([bytes[offset], bytes[offset + 1], bytes[offset + 2], bytes[offset + 3]])
}

/// Tells of a drop, unless the reader is too slow and the ring is full.
#[inline(always)]
fn tell(packet: &Packet, outcome: Outcome, boot_ns: u64) {
    // SAFETY: the ring is a map of the program.
    let place = unsafe { bpf_ringbuf_reserve(DROPS.as_ptr(), size_of::<Dropped>() as u64, 0) }.cast::<Dropped>();
    if place.is_null() {
        return;
    }
    let (network, host) =
        if packet.is_v6 { packet.source6_words() } else { (u32::from_ne_bytes(packet.source4()).into(), 0) };
    // Field by field: a value as a whole is copied byte by byte on this target.
    // SAFETY: the kernel lent `place` until it is submitted; so for all below.
    let dropped = unsafe { &mut *place };
    dropped.boot_ns = boot_ns;
    let source = (&raw mut dropped.source).cast::<u64>();
    // SAFETY: the first eight bytes of the source, which is aligned to 8 (at offset 8 of an aligned struct).
    unsafe { source.write(network) };
    // SAFETY: the second eight.
    unsafe { source.add(1).write(host) };
    dropped.interface = THIS_INTERFACE.load();
    dropped.port = packet.port;
    dropped.version = if packet.is_v6 { 6 } else { 4 };
    dropped.outcome = outcome as u8;
    // SAFETY: it was reserved above and is submitted once.
    unsafe { bpf_ringbuf_submit(place.cast(), 0) };
}
