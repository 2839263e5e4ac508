//! The kernel alone: as many entries as there are bans, written into a table like the daemon's, read and removed, by nothing
//! but the system calls that are for it. No loader can be faster.

use std::io::Error;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use blocker_common::{Ban, FOREVER, Host4, MapName, SCOPE_ALL, Shape};

/// Entries of a call, as many as the daemon's.
const AT_ONCE: usize = 4096;

/// How long each took.
pub(crate) struct Alone {
    pub(crate) written: Duration,
    pub(crate) read: Duration,
    pub(crate) removed: Duration,
}

impl Alone {
    /// Measures with these addresses.
    pub(crate) fn measure(addresses: &[Ipv4Addr]) -> Result<Self> {
        let Shape { kind, key_size, value_size, max_entries, flags } = MapName::Bans4.shape();
        ensure!((key_size as usize, value_size as usize) == (size_of::<Host4>(), size_of::<Ban>()), "another layout");
        let mut create = CreateMap { kind, key_size, value_size, max_entries, flags };
        // SAFETY: the kernel reads the attributes alone.
        let map = unsafe { bpf(BPF_MAP_CREATE, &mut create) }.context("making a table")?;
        // SAFETY: the kernel has just opened it for us, and nobody else knows of it.
        let map = unsafe { OwnedFd::from_raw_fd(map) };
        let keys: Vec<Host4> = addresses.iter().map(|addr| Host4 { addr: addr.octets() }).collect();
        let ban = Ban { scope: SCOPE_ALL, flags: FOREVER, prefix_len: 32, ..Ban::default() };
        let values = vec![ban; AT_ONCE];
        let written = for_each_piece(BPF_MAP_UPDATE_BATCH, &map, &keys, &values).context("writing entries")?;
        let read = read_all(&map, keys.len())?;
        let removed = for_each_piece(BPF_MAP_DELETE_BATCH, &map, &keys, &[]).context("removing entries")?;
        Ok(Self { written, read, removed })
    }
}

fn for_each_piece(command: libc::c_int, map: &OwnedFd, keys: &[Host4], values: &[Ban]) -> Result<Duration> {
    let began = Instant::now();
    for piece in keys.chunks(AT_ONCE) {
        let mut batch = Batch {
            keys: piece.as_ptr() as u64,
            values: if values.is_empty() { 0 } else { values.as_ptr() as u64 },
            ..Batch::of(map, piece.len())
        };
        // SAFETY: there are `count` keys, no more than there are values, if any; both outlive the call, which reads them.
        unsafe { bpf(command, &mut batch) }?;
        ensure!(batch.count as usize == piece.len(), "only {} of {} were taken", batch.count, piece.len());
    }
    Ok(began.elapsed())
}

fn read_all(map: &OwnedFd, count: usize) -> Result<Duration> {
    let began = Instant::now();
    let mut keys = [Host4::default(); AT_ONCE];
    let mut values = vec![Ban::default(); AT_ONCE];
    let mut position = [0_u64; 4];
    let (mut read, mut is_begun) = (0, false);
    while read < count {
        let at = position.as_mut_ptr() as u64;
        let mut batch = Batch {
            in_batch: if is_begun { at } else { 0 },
            out_batch: at,
            keys: keys.as_mut_ptr() as u64,
            values: values.as_mut_ptr() as u64,
            ..Batch::of(map, AT_ONCE)
        };
        // SAFETY: there is room for `count` keys and values, and for a position; all outlive the call, which writes them.
        let result = unsafe { bpf(BPF_MAP_LOOKUP_BATCH, &mut batch) };
        read += batch.count as usize;
        is_begun = true;
        if result.is_err() {
            break;
        }
    }
    ensure!(read == count, "{read} of {count} entries were read");
    Ok(began.elapsed())
}

/// The system call.
///
/// # Safety
///
/// `attributes` must be the beginning of the union's part for this command, and point to what that asks for.
unsafe fn bpf<T>(command: libc::c_int, attributes: &mut T) -> Result<libc::c_int> {
    // SAFETY: the kernel reads and writes no more of `attributes` than the size it is told; the rest is the caller's.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attributes, size_of::<T>()) };
    if answer < 0 { Err(Error::last_os_error().into()) } else { Ok(libc::c_int::try_from(answer)?) }
}

/// The beginning of `union bpf_attr` for `BPF_MAP_CREATE`, `include/uapi/linux/bpf.h`; the rest counts as zero.
#[repr(C)]
struct CreateMap {
    kind: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
}

/// The same for the calls with many entries.
#[repr(C)]
#[derive(Default)]
struct Batch {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

impl Batch {
    fn of(map: &OwnedFd, count: usize) -> Self {
        Self { map_fd: map.as_raw_fd().cast_unsigned(), count: u32::try_from(count).unwrap_or(0), ..Self::default() }
    }
}

const BPF_MAP_CREATE: libc::c_int = 0;
const BPF_MAP_LOOKUP_BATCH: libc::c_int = 24;
const BPF_MAP_UPDATE_BATCH: libc::c_int = 26;
const BPF_MAP_DELETE_BATCH: libc::c_int = 27;
