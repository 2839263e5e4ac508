//! A map's definition, as every loader reads it from the object's BTF: type, sizes, flags, and that it is pinned by its name.
//!
//! By the name, libxdp finds the daemon's pins when it loads the program as a component of its dispatcher, and takes those
//! maps instead of making new ones. Ours pins them itself, in its own directory. What a program keeps to itself is pinned
//! nowhere.

use core::ffi::c_void;
use core::ptr::{from_ref, null};

use aya_ebpf::bindings::BPF_F_NO_PREALLOC;
use aya_ebpf::bindings::bpf_map_type::{
    BPF_MAP_TYPE_ARRAY, BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_LPM_TRIE, BPF_MAP_TYPE_PERCPU_ARRAY, BPF_MAP_TYPE_RINGBUF,
};
use aya_ebpf::btf_maps::lpm_trie::Key;
use aya_ebpf::helpers::bpf_map_lookup_elem;

const NO_PREALLOC: usize = BPF_F_NO_PREALLOC as usize;

/// `LIBBPF_PIN_BY_NAME`, `tools/lib/bpf/bpf_helpers.h`.
const PIN_BY_NAME: usize = 1;

/// `LIBBPF_PIN_NONE`, the same.
const PIN_NONE: usize = 0;

/// Entries by index.
pub(crate) type Array<V, const LEN: usize> = Map<{ BPF_MAP_TYPE_ARRAY as usize }, u32, V, LEN>;

/// The same for each CPU.
pub(crate) type PerCpuArray<V, const LEN: usize> = Map<{ BPF_MAP_TYPE_PERCPU_ARRAY as usize }, u32, V, LEN>;

/// The same of this program alone: it comes and goes with it, and is nothing that versions must agree on.
pub(crate) type OwnPerCpuArray<V, const LEN: usize> =
    Map<{ BPF_MAP_TYPE_PERCPU_ARRAY as usize }, u32, V, LEN, 0, PIN_NONE>;

/// Entries by key, made when they are written.
pub(crate) type HashMap<K, V, const LEN: usize> = Map<{ BPF_MAP_TYPE_HASH as usize }, K, V, LEN, NO_PREALLOC>;

/// Entries by the longest prefix.
pub(crate) type LpmTrie<D, V, const LEN: usize> = Map<{ BPF_MAP_TYPE_LPM_TRIE as usize }, Key<D>, V, LEN, NO_PREALLOC>;

/// A map with keys. The fields are never read: the loaders know them by their types alone.
#[repr(C)]
pub(crate) struct Map<
    const TYPE: usize,
    K,
    V,
    const LEN: usize,
    const FLAGS: usize = 0,
    const PINNING: usize = PIN_BY_NAME,
> {
    r#type: *const [i32; TYPE],
    key: *const K,
    value: *const V,
    max_entries: *const [i32; LEN],
    map_flags: *const [i32; FLAGS],
    pinning: *const [i32; PINNING],
}

// SAFETY: its pointers are never followed; the kernel knows the map by the symbol.
unsafe impl<const TYPE: usize, K, V, const LEN: usize, const FLAGS: usize, const PINNING: usize> Sync
    for Map<TYPE, K, V, LEN, FLAGS, PINNING>
{
}

impl<const TYPE: usize, K, V, const LEN: usize, const FLAGS: usize, const PINNING: usize>
    Map<TYPE, K, V, LEN, FLAGS, PINNING>
{
    pub(crate) const fn new() -> Self {
        const { assert!(align_of::<V>() <= 8) };
        Self { r#type: null(), key: null(), value: null(), max_entries: null(), map_flags: null(), pinning: null() }
    }

    /// The entry with this key; of a trie the one of the longest prefix that matches.
    #[inline(always)]
    pub(crate) fn at(&'static self, key: &K) -> Option<*mut V> {
        // SAFETY: the symbol is a map whose keys are `K`s, and the kernel reads one.
        let value = unsafe { bpf_map_lookup_elem(from_ref(self).cast_mut().cast(), from_ref(key).cast()) };
        if value.is_null() { None } else { Some(value.cast()) }
    }

    /// The same, to be read.
    #[inline(always)]
    pub(crate) fn get(&'static self, key: &K) -> Option<&'static V> {
        // SAFETY: the kernel's entry, which is a `V` and stays memory of the map while the program runs.
        self.at(key).map(|value| unsafe { &*value })
    }
}

/// A ring buffer.
#[repr(C)]
pub(crate) struct Ring<const BYTES: usize> {
    r#type: *const [i32; BPF_MAP_TYPE_RINGBUF as usize],
    max_entries: *const [i32; BYTES],
    pinning: *const [i32; PIN_BY_NAME],
}

// SAFETY: as for `Map`.
unsafe impl<const BYTES: usize> Sync for Ring<BYTES> {}

impl<const BYTES: usize> Ring<BYTES> {
    pub(crate) const fn new() -> Self {
        Self { r#type: null(), max_entries: null(), pinning: null() }
    }

    /// The map, for the kernel's helpers.
    #[inline(always)]
    pub(crate) fn as_ptr(&'static self) -> *mut c_void {
        from_ref(self).cast_mut().cast()
    }
}
