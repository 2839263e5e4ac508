//! The programs: a packet comes in, one `match` decides its fate.

#![no_std]
#![no_main]

mod definition;
mod maps;

use aya_ebpf::{
    EbpfContext,
    bindings::{
        tcx_action_base::{TCX_DROP, TCX_NEXT},
        xdp_action::{XDP_DROP, XDP_PASS},
    },
    macros::{classifier, xdp},
    programs::{TcContext, XdpContext},
};
use blocker_common::Outcome;
use blocker_ebpf::{packet::Packet, verdict::judge};

use crate::maps::Maps;

/// For drivers and kernels that take multi-buffer frames (5.18).
#[xdp(frags)]
fn blocker(ctx: XdpContext) -> u32 {
    xdp_action(&ctx)
}

/// For those that do not.
#[xdp]
fn blocker_nofrags(ctx: XdpContext) -> u32 {
    xdp_action(&ctx)
}

/// For interfaces whose XDP is taken by another program: behind it, on packets that the kernel has wrapped (6.6).
#[classifier]
fn blocker_tc(ctx: TcContext) -> i32 {
    let len = ctx.len();
    if ctx.data_end() - ctx.data() < HEADER_BYTES as usize && ctx.data_end() - ctx.data() < len as usize {
        // Headers may lie beyond the first part. If they cannot be had, the packet is truncated for us, and passes.
        let wanted = if len < HEADER_BYTES { len } else { HEADER_BYTES };
        if ctx.pull_data(wanted).is_err() {
            maps::count(Outcome::PassTruncated, len.into());
            return TCX_NEXT;
        }
    }
    if drops(&ctx, ctx.data(), ctx.data_end(), len.into()) { TCX_DROP } else { TCX_NEXT }
}

/// Bytes in which all headers that are read lie, of any packet that is not made to hide something.
const HEADER_BYTES: u32 = 256;

#[inline(always)]
fn xdp_action(ctx: &XdpContext) -> u32 {
    let (data, end) = (ctx.data(), ctx.data_end());
    if drops(ctx, data, end, (end - data) as u64) { XDP_DROP } else { XDP_PASS }
}

/// Judges the packet at `data..end`, of `bytes` bytes, and counts it.
#[inline(always)]
#[cfg_attr(not(feature = "log"), expect(unused_variables, reason = "the debug events are told by it"))]
fn drops(ctx: &impl EbpfContext, data: usize, end: usize, bytes: u64) -> bool {
    let mut packet = Packet::unknown();
    // SAFETY: the kernel lends `data..end` to the program for this run.
    let outcome = unsafe { judge(&Maps, data, end, &mut packet, bytes) };
    maps::count(outcome, bytes);
    #[cfg(feature = "log")]
    aya_log_ebpf::debug!(ctx, "outcome {} port {} bytes {}", outcome as u32, packet.port, bytes);
    match outcome {
        Outcome::DropBanned | Outcome::DropHidden => true,
        // Fail open: a packet we cannot read is no evidence against its sender.
        Outcome::PassNotIp | Outcome::PassTruncated | Outcome::PassMalformed | Outcome::PassVlanTooDeep => false,
        Outcome::PassUnprotected
        | Outcome::PassClean
        | Outcome::PassExpired
        | Outcome::PassOutOfScope
        | Outcome::PassAllowed
        | Outcome::PassObserved => false,
    }
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// What the kernel reads: some helpers are for GPL-compatible programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
