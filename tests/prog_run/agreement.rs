//! What the rules say, the host's build of the parser and the verdict says too, and the kernel does: many generated frames,
//! and captured ones that were changed.
//!
//! Rules, worlds and frames are those of `blocker-ebpf/tests/model`. Here the verifier, the compiler for BPF and the kernel's
//! maps are held against them as well. The seed is fixed; `BLOCKER_FRAMES` says how many frames are tried (`cargo xtask test
//! --frames`), and each number has the frames of a lower one first.

#[path = "../../blocker-ebpf/tests/model/frames.rs"]
#[expect(dead_code, reason = "the model's tests use more of it")]
mod frames;
#[path = "../../blocker-ebpf/tests/model/rules.rs"]
#[expect(dead_code, reason = "the model's tests use more of it")]
mod rules;
#[path = "../../blocker-ebpf/tests/model/world.rs"]
#[expect(dead_code, reason = "the model's tests use more of it")]
mod world;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use blocker::kernel::Program;
use blocker_common::{Ban, Counter, FOREVER, Outcome};
use blocker_core::prefix::Prefix;
use blocker_ebpf::packet::{Packet, parse};
use blocker_ebpf::verdict::judge;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;

use self::world::{HostTables, NOW_NS, Net, World};
use crate::tables::{Action, Loaded, stay_on_this_cpu};

/// Frames that are tried unless `BLOCKER_FRAMES` says otherwise.
const FRAMES: usize = 20_000;

/// Frames that meet the same bans.
const FRAMES_A_WORLD: usize = 100;

/// The kernel runs no shorter frame (the model's tests have them), and lays longer ones out in several buffers.
const LENGTHS: RangeInclusive<usize> = 14..=3000;

#[test]
fn rules_host_and_kernel_agree_on_generated_and_on_captured_frames() {
    let mut runner = TestRunner::deterministic();
    stay_on_this_cpu();
    let mut loaded = Loaded::empty();
    let mut seen: BTreeMap<Outcome, u64> = BTreeMap::new();
    for _ in 0..wanted().div_ceil(FRAMES_A_WORLD) {
        let world = world::worlds().new_tree(&mut runner).expect("worlds are never refused").current();
        let tables = HostTables::of(&world);
        enter(&mut loaded, &world);
        let before = loaded.counters();
        let mut expected: BTreeMap<Outcome, Counter> = BTreeMap::new();
        let frames: Vec<Vec<u8>> = (0..FRAMES_A_WORLD).map(|_| a_frame(&mut runner)).collect();
        for (number, frame) in frames.iter().enumerate() {
            let outcome = on_host(&tables, frame);
            let ruling = rules::ruling(&world, frame);
            assert!(
                ruling.outcomes.contains(&outcome),
                "{outcome:?}, not {:?}: {world:?} {frame:02x?}",
                ruling.outcomes
            );
            let ran = in_kernel(&mut loaded, number, frame);
            assert_eq!(ran, action(outcome), "{outcome:?} on the host: {world:?} {frame:02x?}");
            let counter = expected.entry(outcome).or_default();
            counter.packets += 1;
            counter.bytes += frame.len() as u64;
            *seen.entry(outcome).or_default() += 1;
        }
        let counted: BTreeMap<Outcome, Counter> = rose(before, loaded.counters());
        assert_eq!(counted, expected, "the reasons differ: {world:?} {frames:02x?}");
        for (net, ban) in tables.bans() {
            let entry = loaded.entry(&text(net));
            assert_eq!((entry.packets, entry.bytes), (ban.packets, ban.bytes), "counted on {net:?} in {world:?}");
        }
        leave(&mut loaded, &world);
    }
    println!("frames by outcome:");
    for outcome in Outcome::ALL {
        let times = seen.get(&outcome).copied().unwrap_or(0);
        println!("{times:9} {}", outcome.name());
        assert!(times > 0, "{outcome:?} never came up: {seen:?}");
    }
}

/// As they are they come to no verdict by chance: each captured frame is read to its end.
#[test]
fn captured_frames_are_all_readable() {
    for frame in frames::captured() {
        let mut packet = Packet::unknown();
        let data = frame.as_ptr() as usize;
        // SAFETY: the addresses are those of one slice, which outlives the call.
        let readable = unsafe { parse(data, data + frame.len(), &mut packet) };
        let is_arp = frame[12..14] == [8, 6];
        let expected = if is_arp { "NotIp" } else { "Yes" };
        assert_eq!(format!("{readable:?}"), expected, "{frame:02x?}");
    }
}

/// A frame of a length that the kernel runs. Not by `prop_filter`, which refuses to go on after so many.
fn a_frame(runner: &mut TestRunner) -> Vec<u8> {
    loop {
        let frame = frames::frames().new_tree(runner).expect("frames are never refused").current();
        if LENGTHS.contains(&frame.len()) {
            return frame;
        }
    }
}

fn wanted() -> usize {
    match std::env::var("BLOCKER_FRAMES") {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("BLOCKER_FRAMES is {text:?}, expected a number of frames")),
        Err(_) => FRAMES,
    }
}

/// Runs one of the three programs. The one for tc takes no frame that is shorter than its IP header.
fn in_kernel(loaded: &mut Loaded, number: usize, frame: &[u8]) -> Action {
    let by_tc = if number % 3 == 2 { loaded.act_tc(frame) } else { None };
    by_tc.unwrap_or_else(|| {
        let program = if number.is_multiple_of(2) { Program::Frags } else { Program::NoFrags };
        loaded.repeat(program, frame, 1).0
    })
}

fn rose(before: Vec<(Outcome, Counter)>, after: Vec<(Outcome, Counter)>) -> BTreeMap<Outcome, Counter> {
    let difference = |((outcome, before), (_, after)): ((Outcome, Counter), (Outcome, Counter))| {
        (outcome, Counter { packets: after.packets - before.packets, bytes: after.bytes - before.bytes })
    };
    before.into_iter().zip(after).map(difference).filter(|(_, counter)| counter.packets > 0).collect()
}
fn on_host(tables: &HostTables, frame: &[u8]) -> Outcome {
    let mut packet = Packet::unknown();
    let data = frame.as_ptr() as usize;
    // SAFETY: the addresses are those of one slice, which outlives the call.
    unsafe { judge(tables, data, data + frame.len(), &mut packet, frame.len() as u64) }
}

fn action(outcome: Outcome) -> Action {
    if matches!(outcome, Outcome::DropBanned | Outcome::DropHidden) { Action::Drop } else { Action::Pass }
}

fn enter(loaded: &mut Loaded, world: &World) {
    for &(protocol, port, scope) in &world.protected {
        loaded.protect(protocol, port, scope);
    }
    for &(net, ban) in &world.bans {
        loaded.ban(&text(net), on_boot_clock(ban));
    }
    for &net in &world.allowed {
        loaded.allow_unasked(&text(net));
    }
    loaded.set_flags(world.flags());
    loaded.observe_jails(world.observed);
}

fn leave(loaded: &mut Loaded, world: &World) {
    for &(protocol, port, _) in &world.protected {
        loaded.protect(protocol, port, 0);
    }
    for (net, _) in &world.bans {
        loaded.unban(&text(*net));
    }
    for net in &world.allowed {
        loaded.maps.disallow(prefix(*net)).expect("a prefix can be taken off the allowlist");
    }
}

/// The ban with its deadline as far from the kernel's present as it was from the world's: long over, or ages to go.
fn on_boot_clock(ban: Ban) -> Ban {
    let is_over = ban.flags & FOREVER == 0 && ban.deadline_ns <= NOW_NS;
    Ban { deadline_ns: if is_over { 1 } else { u64::MAX }, ..ban }
}

fn prefix(net: Net) -> Prefix {
    Prefix::new(net.addr, net.len).expect("the world has good prefixes")
}

fn text(net: Net) -> String {
    format!("{}/{}", net.addr, net.len)
}
