//! Nanoseconds the XDP program takes for a packet, over a program that only drops.
//!
//! Both run by `BPF_PROG_TEST_RUN`, a million times for each figure, on one CPU. The kernel says how long a run took on
//! average, in whole nanoseconds, its own loop included: hence the program that only drops, measured in the same rounds.
//! The packet and the map entries it meets stay in the cache ("hot"): what a flood from one source costs, and less than
//! what traffic from many costs. No driver takes part, so these are no figures of a network card.

#[path = "../prog_run/frame.rs"]
#[expect(dead_code, reason = "the tests build more kinds of frames")]
mod frame;
#[path = "../prog_run/tables.rs"]
#[expect(dead_code, reason = "the tests do more with the tables")]
mod tables;

use std::fs;
use std::io::Error;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use anyhow::{Context as _, Result, ensure};
use blocker::kernel::Program;
use blocker_common::{Ban, HOLDS_ALLOWED, Outcome};

use crate::frame::{Frame, ethernet, ipv4, ipv6};
use crate::tables::{
    Action, BANNED, BANNED6, CUSTOMER, CUSTOMER6, HTTP, IMAP, Loaded, MAIL, in_force, stay_on_this_cpu,
};

/// Packets of one run.
const REPEAT: u32 = 1_000_000;

/// Runs of each case. They take turns, so that what slows the machine for a while slows them all.
const RUNS: usize = 9;

/// A source that is banned and allow-listed.
const FRIEND: &str = "192.0.2.10";

struct Case {
    name: &'static str,
    frame: Frame,
    outcome: Outcome,
    /// One for each run, in nanoseconds.
    took: Vec<u128>,
}

fn main() -> Result<()> {
    stay_on_this_cpu();
    let bare = BareDrop::load()?;
    let any_frame = ipv4(CUSTOMER).tcp(HTTP).padded(60);
    let mut loaded = Loaded::mail_server();
    loaded.ban(FRIEND, Ban { flags: HOLDS_ALLOWED, ..in_force(MAIL) });
    loaded.allow_unasked(FRIEND);
    let mut cases = cases();
    let mut bare_took = Vec::new();
    for _ in 0..RUNS {
        bare_took.push(bare.run(&any_frame)?);
        for case in &mut cases {
            case.took.push(run(&mut loaded, case)?);
        }
    }
    print(&bare_took, &cases);
    Ok(())
}

fn cases() -> Vec<Case> {
    let case = |name, frame: Frame, outcome| Case { name, frame: frame.padded(60), outcome, took: Vec::new() };
    vec![
        case("IPv4, unprotected port", ipv4(CUSTOMER).tcp(HTTP), Outcome::PassUnprotected),
        case("IPv6, unprotected port", ipv6(CUSTOMER6).tcp(HTTP), Outcome::PassUnprotected),
        case("IPv4, protected port, not banned", ipv4(CUSTOMER).tcp(IMAP), Outcome::PassClean),
        case("IPv6, protected port, not banned", ipv6(CUSTOMER6).tcp(IMAP), Outcome::PassClean),
        case("the same with a VLAN tag, IPv4", ethernet().vlan(7).ipv4(CUSTOMER).tcp(IMAP), Outcome::PassClean),
        case("IPv4, banned", ipv4(BANNED).tcp(IMAP), Outcome::DropBanned),
        case("IPv6, its /64 banned", ipv6(BANNED6).tcp(IMAP), Outcome::DropBanned),
        case("IPv4, banned but allow-listed", ipv4(FRIEND).tcp(IMAP), Outcome::PassAllowed),
    ]
}

/// Runs a case, and sees that it is the one it is called.
fn run(loaded: &mut Loaded, case: &Case) -> Result<u128> {
    let packets = |loaded: &Loaded| loaded.maps.counter(0, case.outcome).map(|counter| counter.packets);
    let before = packets(loaded)?;
    let (_, took) = loaded.repeat(Program::Frags, case.frame.bytes(), REPEAT);
    let counted = packets(loaded)? - before;
    ensure!(counted == u64::from(REPEAT), "{}: {counted} of {REPEAT} were {:?}", case.name, case.outcome);
    Ok(took)
}

fn print(bare: &[u128], cases: &[Case]) {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    println!(
        "Linux {}, {}: ns per packet, {RUNS} runs of {REPEAT}, hot; over = more than a program that only drops",
        kernel.trim(),
        processor(),
    );
    println!("{:36}{:>8}{:>8}{:>14}{:>14}", "", "min", "median", "over, min", "over, median");
    println!("{:36}{:>8}{:>8}", "only drops", min(bare), median(bare));
    for Case { name, took, .. } in cases {
        let over = |took: u128, bare: u128| i128::try_from(took).unwrap_or(0) - i128::try_from(bare).unwrap_or(0);
        println!(
            "{name:36}{:>8}{:>8}{:>14}{:>14}",
            min(took),
            median(took),
            over(min(took), min(bare)),
            over(median(took), median(bare)),
        );
    }
}

fn min(runs: &[u128]) -> u128 {
    runs.iter().copied().min().unwrap_or(0)
}

fn median(runs: &[u128]) -> u128 {
    let mut sorted = runs.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or(0)
}

fn processor() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    model.map_or("unknown processor", |(_, name)| name.trim()).to_owned()
}

/// `return XDP_DROP`, loaded into the kernel: no object of ours has such a program, so it is made of two instructions.
struct BareDrop {
    fd: OwnedFd,
}

impl BareDrop {
    fn load() -> Result<Self> {
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

    /// Whole nanoseconds that one run took on average.
    fn run(&self, frame: &Frame) -> Result<u128> {
        let mut run = RunProgram {
            prog_fd: self.fd.as_raw_fd().cast_unsigned(),
            retval: 0,
            data_size_in: u32::try_from(frame.bytes().len())?,
            data_size_out: 0,
            data_in: frame.bytes().as_ptr() as u64,
            data_out: 0,
            repeat: REPEAT,
            duration: 0,
        };
        // SAFETY: the frame, to which `run` points, outlives the call; the kernel gets no place to write a frame to.
        unsafe { bpf(BPF_PROG_TEST_RUN, &mut run) }.context("running a program that only drops")?;
        ensure!(Action::of(run.retval) == Action::Drop, "the program that only drops returned {}", run.retval);
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

const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_PROG_TEST_RUN: libc::c_int = 10;
const BPF_PROG_TYPE_XDP: u32 = 6;
