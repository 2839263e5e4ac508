//! The program's parser and verdict, built for the host, against a naive model of the same promises.
//!
//! [`rules`] says what is to happen to a frame, [`world`] what is banned, protected and allow-listed, and [`frames`]
//! makes frames: whole ones of every kind, then damaged ones, then noise. `tests/prog_run` uses the last two again, to
//! see that the kernel runs what the host does.

mod frames;
mod rules;
mod world;

use blocker_common::{Ban, Outcome, Protocol, port_index};
use blocker_ebpf::packet::{Packet, Ports, Readable, parse, parse_plain4, parse_plain6};
use blocker_ebpf::verdict::judge;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use crate::world::{HostTables, NOW_NS, Net, World};

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_verdict_is_what_the_rules_say(world in world::worlds(), frames in prop::collection::vec(frames::frames(), 16)) {
        for frame in &frames {
            let tables = HostTables::of(&world);
            let outcome = verdict(&tables, frame);

            let ruling = rules::ruling(&world, frame);

            prop_assert!(ruling.outcomes.contains(&outcome), "{outcome:?}, but {:?}: {frame:02x?}", ruling.outcomes);
            let charged: Vec<Net> = tables.bans().filter(|(_, ban)| ban.packets > 0).map(|(net, _)| net).collect();
            if ruling.charged.is_empty() {
                prop_assert!(charged.is_empty(), "{outcome:?} counts on no ban, not on {charged:?}");
            } else {
                prop_assert!(matches!(charged.as_slice(), [net] if ruling.charged.contains(net)),
                    "{outcome:?} counts on one of {:?}, not on {charged:?}", ruling.charged);
            }
        }
    }

    #[test]
    fn nothing_beyond_the_end_of_a_frame_changes_what_is_read(
        frame in frames::frames(),
        beyond in prop::collection::vec(any::<u8>(), 64),
    ) {
        let alone = read(&frame.clone().into_boxed_slice());
        for filler in [vec![0; 64], vec![0xff; 64], beyond] {
            let longer = [frame.clone(), filler].concat();
            prop_assert_eq!(read(&longer[..frame.len()]), alone);
        }
    }
}

#[test]
fn a_frame_shorter_than_its_ethernet_header_is_truncated() {
    let whole = [0xff; 14];
    for len in 0..14 {
        assert_eq!(read(&Vec::from(&whole[..len]).into_boxed_slice()).0, Readable::Truncated, "{len} bytes");
    }
    assert_eq!(read(&whole).0, Readable::NotIp, "14 bytes are a header");
}

#[test]
fn a_ban_drops_until_its_deadline_and_not_at_it() {
    let frame = frames::tcp_from_first_source();
    for (deadline_ns, outcome) in [
        (NOW_NS - 1, Outcome::PassExpired),
        (NOW_NS, Outcome::PassExpired),
        (NOW_NS + 1, Outcome::DropBanned),
        (u64::MAX, Outcome::DropBanned),
    ] {
        let world = World::with_first_source_banned(deadline_ns);
        assert_eq!(verdict(&HostTables::of(&world), &frame), outcome, "{deadline_ns} at {NOW_NS}");
    }
}

#[test]
fn the_first_drop_keeps_its_time_and_the_last_moves_on() {
    let frame = frames::tcp_from_first_source();
    let mut tables = HostTables::of(&World::with_first_source_banned(u64::MAX));

    assert_eq!(verdict(&tables, &frame), Outcome::DropBanned);
    tables.advance_ns(5);
    assert_eq!(verdict(&tables, &frame), Outcome::DropBanned);

    let counts: Vec<Ban> = tables.bans().map(|(_, ban)| ban).collect();
    assert_eq!(counts.len(), 1);
    let Ban { packets, bytes, first_drop_ns, last_drop_ns, .. } = counts[0];
    assert_eq!((packets, bytes), (2, 2 * frame.len() as u64));
    assert_eq!((first_drop_ns, last_drop_ns), (NOW_NS, NOW_NS + 5));
}

#[test]
fn a_drop_is_told_once_in_64_ticks() {
    let frame = frames::tcp_from_first_source();
    let mut tables = HostTables::of(&World::with_first_source_banned(u64::MAX));
    for _ in 0..640 {
        verdict(&tables, &frame);
        tables.advance_ns(1);
    }

    assert_eq!(tables.told(), 10, "a tick of these tables is a nanosecond");
}

/// The short way is for speed alone.
#[test]
fn the_short_way_reads_what_the_long_one_does() {
    let mut runner = TestRunner::deterministic();
    let mut plain = [0, 0];
    for _ in 0..20_000 {
        let frame = frames::frames().new_tree(&mut runner).expect("frames are never refused").current();
        let (readable, expected) = read(&frame);
        let (data, end) = (frame.as_ptr() as usize, frame.as_ptr() as usize + frame.len());
        for (family, plain) in plain.iter_mut().enumerate() {
            let mut packet = Packet::unknown();
            let index = if family == 0 {
                // SAFETY: the addresses are those of one slice, which outlives the call.
                unsafe { parse_plain4(data, end, &mut packet) }
            } else {
                // SAFETY: as above.
                unsafe { parse_plain6(data, end, &mut packet) }
            };
            let Some(index) = index else {
                assert_eq!(packet, Packet::unknown(), "{frame:02x?}");
                continue;
            };
            assert_eq!((readable, packet), (Readable::Yes, expected), "{frame:02x?}");
            let protocol = if expected.ports == Ports::Tcp { Protocol::Tcp } else { Protocol::Udp };
            assert_eq!(index, port_index(protocol, expected.port), "{frame:02x?}");
            *plain += 1;
        }
    }
    assert!(plain.iter().all(|times| *times > 200), "too few to tell: {plain:?}");
}

/// Random tests of what never happens prove nothing.
#[test]
fn generated_frames_come_to_every_outcome_in_earnest() {
    const FRAMES: u32 = 40_000;
    let mut runner = TestRunner::deterministic();
    let mut seen = [0_u32; Outcome::ALL.len()];
    for _ in 0..FRAMES / 40 {
        let world = world::worlds().new_tree(&mut runner).expect("worlds are never refused").current();
        let tables = HostTables::of(&world);
        for _ in 0..40 {
            let frame = frames::frames().new_tree(&mut runner).expect("frames are never refused").current();
            seen[verdict(&tables, &frame) as usize] += 1;
        }
    }
    for (outcome, times) in Outcome::ALL.into_iter().zip(seen) {
        assert!(times >= FRAMES / 200, "{outcome:?} only {times} times of {FRAMES}: {seen:?}");
    }
}

fn verdict(tables: &HostTables, frame: &[u8]) -> Outcome {
    let mut packet = Packet::unknown();
    let data = frame.as_ptr() as usize;
    // SAFETY: the addresses are those of one slice, which outlives the call.
    unsafe { judge(tables, data, data + frame.len(), &mut packet, frame.len() as u64) }
}

fn read(frame: &[u8]) -> (Readable, Packet) {
    let mut packet = Packet::unknown();
    let data = frame.as_ptr() as usize;
    // SAFETY: the addresses are those of one slice, which outlives the call.
    let readable = unsafe { parse(data, data + frame.len(), &mut packet) };
    (readable, packet)
}
