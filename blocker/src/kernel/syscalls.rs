//! System calls that the loader's library does not wrap: many entries of a map at once (half a microsecond for each
//! instead of one and a half), the file descriptor of whatever is pinned, and the groups of who is at the other end of a socket.
//!
//! This is the only module of the crate with `unsafe` code.
#![expect(unsafe_code, reason = "system calls that no library wraps; each block says what makes it sound")]

use std::ffi::CString;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use aya::Pod;
use aya::maps::MapData;

/// Entries handled at once, so that the kernel holds no lock for long and our buffers stay small.
const CHUNK: usize = 4096;

/// A map, for calls with many entries.
#[derive(Debug)]
pub(super) struct Batch<K, V> {
    fd: OwnedFd,
    /// How many the map takes, as it was made: the configuration says so.
    max_entries: usize,
    entry: PhantomData<(K, V)>,
}

/// An update or a removal that stopped: what came before is done.
#[derive(Debug)]
pub(super) struct Stopped {
    /// How many entries were written or removed; the next one was refused, or the call is unknown to the kernel.
    pub(super) done: usize,
}

/// How far a map was read.
#[derive(Debug, Default)]
pub(super) struct Position {
    /// For the kernel, which writes no more than a key, or four bytes if that is shorter.
    at: [u64; 4],
    is_begun: bool,
    is_end: bool,
}

impl Position {
    /// Whether there is no more to be read.
    pub(super) fn is_end(&self) -> bool {
        self.is_end
    }
}

impl<K: Pod + Default, V: Pod + Default> Batch<K, V> {
    /// Another handle of `map`, whose keys and values must be of these types: the kernel is given their addresses.
    ///
    /// # Errors
    ///
    /// If the sizes are others, or there are no more file descriptors.
    pub(super) fn of(map: &MapData) -> io::Result<Self> {
        let info = map.info().map_err(io::Error::other)?;
        if (info.key_size() as usize, info.value_size() as usize) != (size_of::<K>(), size_of::<V>()) {
            return Err(io::Error::other("a map's keys or values are of another size"));
        }
        let max_entries = info.max_entries() as usize;
        Ok(Self { fd: map.fd().as_fd().try_clone_to_owned()?, max_entries, entry: PhantomData })
    }

    /// Writes entries, new or not.
    ///
    /// # Errors
    ///
    /// The kernel's refusal of one of them.
    pub(super) fn update(&self, keys: &[K], values: &[V]) -> Result<(), Stopped> {
        let mut done = 0;
        for (keys, values) in keys.chunks(CHUNK).zip(values.chunks(CHUNK)) {
            let count = keys.len().min(values.len());
            let mut attributes = Attributes {
                keys: keys.as_ptr() as u64,
                values: values.as_ptr() as u64,
                count: u32::try_from(count).unwrap_or(0),
                ..self.attributes()
            };
            // SAFETY: both slices have `count` entries of the sizes that the map has, and outlive the call, which reads them.
            let result = unsafe { bpf(BPF_MAP_UPDATE_BATCH, &mut attributes) };
            if result.is_err() {
                return Err(Stopped { done: done + before_refusal(&attributes, count) });
            }
            done += count;
        }
        Ok(())
    }

    /// Removes entries; that one is not there is no error.
    ///
    /// # Errors
    ///
    /// The kernel's refusal of one of them, or of all.
    pub(super) fn remove(&self, keys: &[K]) -> Result<(), Stopped> {
        let mut done = 0;
        while let Some(chunk) = keys.get(done..).and_then(|rest| rest.chunks(CHUNK).next()) {
            let mut attributes = Attributes {
                keys: chunk.as_ptr() as u64,
                count: u32::try_from(chunk.len()).unwrap_or(0),
                ..self.attributes()
            };
            // SAFETY: the slice has `count` keys of the size that the map has, and outlives the call, which reads them.
            let result = unsafe { bpf(BPF_MAP_DELETE_BATCH, &mut attributes) };
            let removed = before_refusal(&attributes, chunk.len());
            match result.map_err(|error| error.raw_os_error()) {
                Ok(_) => done += chunk.len(),
                // The one behind those that were removed is not there.
                Err(Some(libc::ENOENT)) => done += removed + 1,
                Err(_) => return Err(Stopped { done: done + removed }),
            }
        }
        Ok(())
    }

    /// Reads every entry, in no order. An entry that is written or removed meanwhile may be missed or come twice.
    ///
    /// # Errors
    ///
    /// The kernel's; EINVAL if it knows no such call. If there is no end of it.
    pub(super) fn read(&self) -> io::Result<Vec<(K, V)>> {
        let mut entries = Vec::new();
        let mut position = Position::default();
        while !position.is_end {
            // Twice the entries: the kernel may begin anew where a table changes under it, but not for ever.
            if entries.len() >= 2 * self.max_entries + CHUNK {
                return Err(io::Error::other("it has more entries than it takes"));
            }
            self.read_on(&mut position, &mut entries)?;
        }
        Ok(entries)
    }

    /// Reads some entries from `position` on: some thousands at most, unless one bucket of the hash has more. What is there all
    /// the while comes once; what has been read may be removed meanwhile.
    ///
    /// # Errors
    ///
    /// The kernel's; EINVAL if it knows no such call.
    pub(super) fn read_on(&self, position: &mut Position, entries: &mut Vec<(K, V)>) -> io::Result<()> {
        debug_assert!(size_of::<K>() <= size_of_val(&position.at));
        let mut chunk = CHUNK;
        while !position.is_end {
            let mut keys = vec![K::default(); chunk];
            let mut values = vec![V::default(); chunk];
            let at = position.at.as_mut_ptr() as u64;
            let mut attributes = Attributes {
                in_batch: if position.is_begun { at } else { 0 },
                out_batch: at,
                keys: keys.as_mut_ptr() as u64,
                values: values.as_mut_ptr() as u64,
                count: u32::try_from(chunk).unwrap_or(0),
                ..self.attributes()
            };
            // SAFETY: both vectors have room for `count` entries of the sizes that the map has; they and `position` outlive
            // the call. Any bytes are a valid `Pod`.
            let result = unsafe { bpf(BPF_MAP_LOOKUP_BATCH, &mut attributes) };
            let read = (attributes.count as usize).min(chunk);
            match result.map_err(|error| (error.raw_os_error(), error)) {
                // One bucket has more than there is room for.
                Err((Some(libc::ENOSPC), _)) if chunk < CHUNK << 8 => {
                    chunk *= 2;
                    continue;
                }
                Err((Some(libc::ENOENT), _)) => position.is_end = true,
                Err((_, error)) => return Err(error),
                Ok(_) => position.is_begun = true,
            }
            entries.extend(keys.into_iter().zip(values).take(read));
            break;
        }
        Ok(())
    }

    fn attributes(&self) -> Attributes {
        Attributes { map_fd: self.fd.as_raw_fd().cast_unsigned(), ..Attributes::default() }
    }
}

/// How many of `asked` entries were done before one was refused. A call that is refused as a whole, because it is unknown or not
/// permitted, leaves the count as it was: then none was.
fn before_refusal(attributes: &Attributes, asked: usize) -> usize {
    Some(attributes.count as usize).filter(|&done| done < asked).unwrap_or(0)
}

/// The part of `union bpf_attr` for the calls with many entries, `include/uapi/linux/bpf.h`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Attributes {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

/// A map whose entries are bytes of sizes that only the kernel knows: one of another version's layout.
#[derive(Debug)]
pub(super) struct RawMap {
    fd: OwnedFd,
    key_size: usize,
    value_size: usize,
    max_entries: usize,
}

impl RawMap {
    /// Another handle of `map`.
    ///
    /// # Errors
    ///
    /// If the kernel does not tell its sizes, or there are no more file descriptors.
    pub(super) fn of(map: &MapData) -> io::Result<Self> {
        let info = map.info().map_err(io::Error::other)?;
        Ok(Self {
            fd: map.fd().as_fd().try_clone_to_owned()?,
            key_size: info.key_size() as usize,
            value_size: info.value_size() as usize,
            max_entries: info.max_entries() as usize,
        })
    }

    /// Every entry: keys must be of the size of `K`, values are cut to the size of `V` or filled with zeros. Not for maps
    /// with values for each CPU.
    ///
    /// # Errors
    ///
    /// If keys have another size; the kernel's.
    pub(super) fn entries<K: Pod + Default, V: Pod + Default>(&self) -> io::Result<Vec<(K, V)>> {
        if self.key_size != size_of::<K>() {
            return Err(io::Error::other(format!("its keys have {} bytes, not {}", self.key_size, size_of::<K>())));
        }
        let mut entries = Vec::new();
        let mut key: Option<Vec<u8>> = None;
        let mut next = vec![0_u8; self.key_size];
        let mut value = vec![0_u8; self.value_size];
        // Nobody writes to it meanwhile, so each entry comes once.
        while entries.len() < self.max_entries && self.next_key(key.as_deref(), &mut next)? {
            let mut attributes =
                EntryAttributes { key: next.as_ptr() as u64, value: value.as_mut_ptr() as u64, ..self.attributes() };
            // SAFETY: `next` has the size of a key and `value` that of a value, as the kernel told them; both outlive the call.
            unsafe { bpf(BPF_MAP_LOOKUP_ELEM, &mut attributes) }?;
            entries.push((pod(&next), pod(&value)));
            key.get_or_insert_default().clone_from(&next);
        }
        Ok(entries)
    }

    /// Writes the key after `key`, or the first one, to `next`; says whether there is one.
    fn next_key(&self, key: Option<&[u8]>, next: &mut [u8]) -> io::Result<bool> {
        let mut attributes = EntryAttributes {
            key: key.map_or(0, |key| key.as_ptr() as u64),
            value: next.as_mut_ptr() as u64,
            ..self.attributes()
        };
        // SAFETY: `key` and `next` have the size of a key, as the kernel told it, and outlive the call.
        match unsafe { bpf(BPF_MAP_GET_NEXT_KEY, &mut attributes) } {
            Ok(_) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn attributes(&self) -> EntryAttributes {
        EntryAttributes { map_fd: self.fd.as_raw_fd().cast_unsigned(), ..EntryAttributes::default() }
    }
}

/// As much of a value as `bytes` hold, zeros for the rest.
fn pod<T: Pod + Default>(bytes: &[u8]) -> T {
    let mut value = T::default();
    let len = bytes.len().min(size_of::<T>());
    // SAFETY: both sides are at least `len` bytes long and do not overlap, and any bytes are a valid `Pod`.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), (&raw mut value).cast::<u8>(), len) };
    value
}

/// The part of `union bpf_attr` for one entry; `value` is also where the next key goes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct EntryAttributes {
    map_fd: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// Opens what is pinned at `path`.
///
/// # Errors
///
/// The kernel's; `NotFound` if nothing is.
pub(super) fn open_pinned(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attributes = ObjectAttributes { pathname: path.as_ptr() as u64, bpf_fd: 0, file_flags: 0 };
    // SAFETY: `pathname` is a string ended by a zero byte, which outlives the call.
    let fd = unsafe { bpf(BPF_OBJ_GET, &mut attributes) }?;
    // SAFETY: the kernel has just opened it for us, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The part of `union bpf_attr` for pins.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct ObjectAttributes {
    pathname: u64,
    bpf_fd: u32,
    file_flags: u32,
}

/// The supplementary groups of the process that opened the other end of a unix socket, as they were when it did: at most 65,536
/// (`NGROUPS_MAX`).
///
/// # Errors
///
/// The kernel's.
pub(crate) fn peer_groups(socket: BorrowedFd<'_>) -> io::Result<Vec<u32>> {
    let mut groups = vec![0_u32; 64];
    loop {
        let room = groups.len() * size_of::<u32>();
        let mut bytes = libc::socklen_t::try_from(room).map_err(io::Error::other)?;
        let (fd, buffer) = (socket.as_raw_fd(), groups.as_mut_ptr().cast());
        // SAFETY: the kernel writes at most `bytes` bytes to `buffer`, which has as many, and their number, or how many it would
        // need, to `bytes`.
        let answer = unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_PEERGROUPS, buffer, &raw mut bytes) };
        let needed = bytes as usize / size_of::<u32>();
        if answer == 0 {
            groups.truncate(needed);
            return Ok(groups);
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::ERANGE) || needed <= groups.len() {
            return Err(error);
        }
        groups.resize(needed, 0);
    }
}

const BPF_MAP_LOOKUP_ELEM: libc::c_int = 1;
const BPF_MAP_GET_NEXT_KEY: libc::c_int = 4;
const BPF_OBJ_GET: libc::c_int = 7;
const BPF_MAP_LOOKUP_BATCH: libc::c_int = 24;
const BPF_MAP_UPDATE_BATCH: libc::c_int = 26;
const BPF_MAP_DELETE_BATCH: libc::c_int = 27;

/// The system call; its answer is a file descriptor, or zero.
///
/// # Safety
///
/// `attributes` must be the beginning of the union's part for this command, and what it points to as the command asks.
unsafe fn bpf<T>(command: libc::c_int, attributes: &mut T) -> io::Result<libc::c_int> {
    // SAFETY: the kernel reads and writes no more of `attributes` than the size it is told; the rest is the caller's.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attributes, size_of::<T>()) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { libc::c_int::try_from(answer).map_err(io::Error::other) }
}
