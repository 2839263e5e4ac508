//! The yardstick: a program that only drops, run by the same system call.

use std::ffi::CString;
use std::io::Error;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

/// `return XDP_DROP`, loaded into the kernel: no object of ours has such a program, so it is made of two instructions.
pub(crate) struct BareDrop {
    fd: OwnedFd,
}

impl BareDrop {
    /// Loads it.
    pub(crate) fn load() -> Result<Self> {
        // `struct bpf_insn`: mov r0, 1 (XDP_DROP); exit.
        let instructions: [[u8; 8]; 2] = [[0xb7, 0, 0, 0, 1, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];
        let licence = c"GPL";
        let mut load = LoadProgram {
            prog_type: BPF_PROG_TYPE_XDP,
            insn_cnt: 2,
            insns: instructions.as_ptr() as u64,
            license: licence.as_ptr() as u64,
        };
        // SAFETY: the instructions and the licence, to which `load` points, outlive the call.
        let fd = unsafe { bpf(BPF_PROG_LOAD, &mut load) }.context("loading a program that only drops")?;
        // SAFETY: the kernel has just opened it for us, and nobody else knows of it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { fd })
    }

    /// Pins it.
    pub(crate) fn pin(&self, path: &Path) -> Result<()> {
        let path = CString::new(path.as_os_str().as_bytes()).context("a path for a pin")?;
        let mut pin =
            PinObject { pathname: path.as_ptr() as u64, bpf_fd: self.fd.as_raw_fd().cast_unsigned(), file_flags: 0 };
        // SAFETY: `pathname` is a string ended by a zero byte, which outlives the call.
        unsafe { bpf(BPF_OBJ_PIN, &mut pin) }.context("pinning a program that only drops").map(drop)
    }

    /// Whole nanoseconds that one of `repeat` runs took on average.
    pub(crate) fn run(&self, frame: &[u8], repeat: u32) -> Result<u128> {
        let mut run = RunProgram {
            prog_fd: self.fd.as_raw_fd().cast_unsigned(),
            retval: 0,
            data_size_in: u32::try_from(frame.len())?,
            data_size_out: 0,
            data_in: frame.as_ptr() as u64,
            data_out: 0,
            repeat,
            duration: 0,
        };
        // SAFETY: the frame, to which `run` points, outlives the call; the kernel gets no place to write a frame to.
        unsafe { bpf(BPF_PROG_TEST_RUN, &mut run) }.context("running a program that only drops")?;
        ensure!(run.retval == XDP_DROP, "the program that only drops returned {}", run.retval);
        Ok(run.duration.into())
    }
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

/// The beginning of `union bpf_attr` for `BPF_PROG_LOAD`, `include/uapi/linux/bpf.h`; the rest counts as zero.
#[repr(C)]
struct LoadProgram {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
}

/// The same for `BPF_PROG_TEST_RUN`.
#[repr(C)]
struct RunProgram {
    prog_fd: u32,
    retval: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
}

/// The same for `BPF_OBJ_PIN`.
#[repr(C)]
struct PinObject {
    pathname: u64,
    bpf_fd: u32,
    file_flags: u32,
}

/// Of `enum xdp_action`, `include/uapi/linux/bpf.h`.
const XDP_DROP: u32 = 1;

const BPF_OBJ_PIN: libc::c_int = 6;
const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_PROG_TEST_RUN: libc::c_int = 10;
const BPF_PROG_TYPE_XDP: u32 = 6;
