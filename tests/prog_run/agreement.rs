//! What the host's build of the parser and the verdict says, the kernel does: thousands of generated frames.
//!
//! The worlds and frames are those of `blocker-ebpf/tests/model`, which holds the host's build against the rules. Here the
//! verifier, the compiler for BPF and the kernel's maps are held against the host's build. The seed is fixed.

#[path = "../../blocker-ebpf/tests/model/frames.rs"]
#[expect(dead_code, reason = "the model's tests use more of it")]
mod frames;
#[path = "../../blocker-ebpf/tests/model/world.rs"]
#[expect(dead_code, reason = "the model's tests use more of it")]
mod world;

use std::ops::RangeInclusive;

use blocker::kernel::Program;
use blocker_common::{Ban, Counter, FOREVER, Outcome};
use blocker_core::prefix::Prefix;
use blocker_ebpf::packet::{Packet, parse};
use blocker_ebpf::verdict::decide;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;

use self::world::{HostTables, NOW_NS, Net, World};
use crate::tables::{Action, Loaded, Ran, stay_on_this_cpu};

const WORLDS: usize = 100;
const FRAMES: usize = 60;

/// The kernel runs no shorter frame (the model's tests have them), and lays longer ones out in several buffers.
const LENGTHS: RangeInclusive<usize> = 14..=3000;

#[test]
fn host_and_kernel_agree_on_generated_frames() {
    let mut runner = TestRunner::deterministic();
    stay_on_this_cpu();
    let mut loaded = Loaded::empty();
    let mut seen = [0_u32; Outcome::ALL.len()];
    for _ in 0..WORLDS {
        let world = world::worlds().new_tree(&mut runner).expect("worlds are never refused").current();
        let tables = HostTables::of(&world);
        enter(&mut loaded, &world);
        let frames = frames::frames().prop_filter("a length", |frame| LENGTHS.contains(&frame.len()));
        for number in 0..FRAMES {
            let frame = frames.new_tree(&mut runner).expect("few frames are refused").current();
            let outcome = on_host(&tables, &frame);
            let program = if number % 2 == 0 { Program::Frags } else { Program::NoFrags };

            let ran = loaded.run(program, &frame);

            let counter = Counter { packets: 1, bytes: frame.len() as u64 };
            let agreed = Ran { action: action(outcome), rose: vec![(outcome, counter)] };
            assert_eq!(ran, agreed, "{program:?} in {world:?} on {frame:02x?}");
            seen[outcome as usize] += 1;
        }
        for (net, ban) in tables.bans() {
            let entry = loaded.entry(&text(net));
            assert_eq!((entry.packets, entry.bytes), (ban.packets, ban.bytes), "counted on {net:?} in {world:?}");
        }
        leave(&mut loaded, &world);
    }
    println!("frames by outcome:");
    for (outcome, times) in Outcome::ALL.into_iter().zip(seen) {
        println!("{times:6} {}", outcome.name());
        assert!(times > 0, "{outcome:?} never came up: {seen:?}");
    }
}

fn on_host(tables: &HostTables, frame: &[u8]) -> Outcome {
    let mut packet = Packet::unknown();
    let data = frame.as_ptr() as usize;
    // SAFETY: the addresses are those of one slice, which outlives the call.
    let readable = unsafe { parse(data, data + frame.len(), &mut packet) };
    decide(tables, readable, &packet, frame.len() as u64)
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
