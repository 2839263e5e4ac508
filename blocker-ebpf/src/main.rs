//! The XDP program: a packet comes in, one `match` decides its fate.

#![no_std]
#![no_main]

mod maps;

use aya_ebpf::{
    bindings::xdp_action::{XDP_DROP, XDP_PASS},
    macros::xdp,
    programs::XdpContext,
};
use blocker_common::Outcome;
use blocker_ebpf::{
    packet::{Packet, parse},
    verdict::decide,
};

use crate::maps::Maps;

/// For drivers and kernels that take multi-buffer frames (5.18).
#[xdp(frags)]
fn blocker(ctx: XdpContext) -> u32 {
    handle(&ctx)
}

/// For those that do not.
#[xdp]
fn blocker_nofrags(ctx: XdpContext) -> u32 {
    handle(&ctx)
}

#[inline(always)]
fn handle(ctx: &XdpContext) -> u32 {
    let (data, end) = (ctx.data(), ctx.data_end());
    let bytes = (end - data) as u64;
    let mut packet = Packet::unknown();
    // SAFETY: the kernel lends `data..end` to the program for this run.
    let readable = unsafe { parse(data, end, &mut packet) };
    let outcome = decide(&Maps, readable, &packet, bytes);
    maps::count(outcome, bytes);
    #[cfg(feature = "log")]
    aya_log_ebpf::debug!(ctx, "outcome {} port {} bytes {}", outcome as u32, packet.port, bytes);
    match outcome {
        Outcome::DropBanned | Outcome::DropHidden => XDP_DROP,
        // Fail open: a packet we cannot read is no evidence against its sender.
        Outcome::PassNotIp | Outcome::PassTruncated | Outcome::PassMalformed | Outcome::PassVlanTooDeep => XDP_PASS,
        Outcome::PassUnprotected
        | Outcome::PassClean
        | Outcome::PassExpired
        | Outcome::PassOutOfScope
        | Outcome::PassAllowed
        | Outcome::PassObserved => XDP_PASS,
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
