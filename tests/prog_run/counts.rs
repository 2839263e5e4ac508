//! What is counted: on the ban, when and how much it dropped; over all, by outcome.

use std::time::Duration;

use blocker::kernel::Program;
use blocker_common::Outcome::{DropBanned, DropHidden, PassOutOfScope};
use blocker_common::{Ban, Counter, Tally};
use blocker_tests::kernel::has_frames_in_several_buffers;

use crate::frame::{ipv4, ipv6};
use crate::rows::{check, row};
use crate::tables::{
    Action::*, BANNED, BANNED6, CUSTOMER, IMAP, IMAPS, Loaded, MAIL, SUBMIT, TICK_NS, in_force, now_ns, over,
    stay_on_this_cpu,
};

#[test]
fn a_ban_counts_its_drops_and_remembers_the_first_and_the_last() {
    let mut loaded = Loaded::mail_server();
    let frame = ipv4(BANNED).tcp(IMAP).payload(b"a1 LOGIN");
    let bytes = frame.bytes().len() as u64;
    let unused = loaded.entry(BANNED);
    assert_eq!((unused.packets, unused.bytes, unused.first_drop_ns, unused.last_drop_ns), (0, 0, 0, 0));

    let before_ns = now_ns();
    loaded.run(Program::Frags, frame.bytes());
    let between_ns = now_ns();
    let first = loaded.entry(BANNED);
    loaded.run(Program::NoFrags, frame.bytes());
    loaded.repeat(Program::Frags, frame.bytes(), 1000);
    let after_ns = now_ns();
    let last = loaded.entry(BANNED);

    assert_eq!((first.packets, first.bytes), (1, bytes));
    assert!((before_ns..=between_ns).contains(&first.first_drop_ns), "{before_ns} {between_ns} {first:?}");
    assert!(
        first.last_drop_ns.abs_diff(first.first_drop_ns) <= TICK_NS,
        "the first drop is the last as yet: {first:?}"
    );
    assert_eq!((last.packets, last.bytes), (1002, 1002 * bytes));
    assert_eq!(last.first_drop_ns, first.first_drop_ns);
    assert!((between_ns - TICK_NS..=after_ns).contains(&last.last_drop_ns), "{between_ns} {after_ns} {last:?}");
    assert_eq!(
        Ban { packets: 0, bytes: 0, first_drop_ns: 0, last_drop_ns: 0, ..last },
        unused,
        "the rest is the daemon's"
    );
}

#[test]
fn what_passes_is_not_counted_on_the_ban() {
    let mut loaded = Loaded::mail_server();
    let before = loaded.entry(BANNED);

    check(&mut loaded, &[row("another jail's port", ipv4(BANNED).tcp(SUBMIT), Pass, PassOutOfScope)]);

    assert_eq!(loaded.entry(BANNED), before);
}

#[test]
fn the_narrowest_ban_that_drops_counts() {
    let mut loaded = Loaded::jails();
    let nested = ["192.0.2.9", "192.0.2.8/30", "192.0.2.0/24", "2001:db8::9", "2001:db8::/64", "2001:db8::/32"];
    loaded.ban(nested[0], over(MAIL));
    loaded.ban(nested[1], in_force(MAIL));
    loaded.ban(nested[2], in_force(MAIL));
    loaded.ban(nested[3], over(MAIL));
    loaded.ban(nested[4], over(MAIL));
    loaded.ban(nested[5], in_force(MAIL));

    check(
        &mut loaded,
        &[
            row("the /30", ipv4("192.0.2.9").tcp(IMAP), Drop, DropBanned),
            row("the /24", ipv4("192.0.2.99").tcp(IMAP), Drop, DropBanned),
            row("the /32", ipv6("2001:db8::9").tcp(IMAP), Drop, DropBanned),
            row("the /32, by a hidden port", ipv6("2001:db8::9").esp(), Drop, DropHidden),
        ],
    );

    let counted = nested.map(|prefix| loaded.entry(prefix).packets);
    assert_eq!(counted, [0, 3, 3, 0, 0, 6], "three programs ran each row");
}

/// A CPU keeps its own tally, so that CPUs do not wait for each other; now and then it goes to the ban.
#[test]
fn what_a_cpu_counts_goes_to_the_ban_64_packets_at_a_time() {
    let mut loaded = Loaded::mail_server();
    let frame = ipv4(BANNED).tcp(IMAP);
    let bytes = frame.bytes().len() as u64;
    stay_on_this_cpu();

    loaded.repeat(Program::Frags, frame.bytes(), 130);

    assert_eq!(loaded.bare_entry(BANNED).packets, 128);
    let Ban { packets, bytes: counted, .. } = loaded.entry(BANNED);
    assert_eq!((packets, counted), (130, 130 * bytes), "none is lost");
}

/// What is told of is in the ring once in many ticks; the first drop is.
#[test]
fn a_drop_is_told_of_with_its_source_and_port() {
    let mut loaded = Loaded::mail_server();
    let mut ring = loaded.maps.take_drops().expect("nobody has taken it");
    loaded.repeat(Program::Frags, ipv4(CUSTOMER).tcp(IMAP).bytes(), 3);
    loaded.repeat(Program::Frags, ipv6(BANNED6).tcp(IMAPS).bytes(), 1000);

    let mut told = Vec::new();
    ring.read(|dropped| told.push(dropped));

    assert!((1..20).contains(&told.len()), "some, of a thousand: {told:?}");
    let first = told[0];
    assert_eq!(first.addr(), Some(BANNED6.parse().unwrap()));
    assert_eq!((first.port, first.interface, first.outcome), (IMAPS, 0, DropBanned as u8));
    assert!(now_ns() - first.boot_ns < 60_000_000_000, "{first:?}");
}

/// Tallies are few: one is left to the source that has it for a second at most, and others count on their bans meanwhile; then
/// whoever takes its place hands over what was counted there.
#[test]
fn a_tally_is_one_ban_s_for_a_second_and_loses_nothing_when_it_is_taken_over() {
    let mut loaded = Loaded::jails();
    let key = |addr: &str| u64::from(u32::from_ne_bytes(addr.parse::<std::net::Ipv4Addr>().unwrap().octets()));
    let slot = Tally::slot(key(BANNED));
    let rival =
        (1..=u16::MAX).map(|n| format!("10.9.{}.{}", n >> 8, n & 0xff)).find(|addr| Tally::slot(key(addr)) == slot);
    let rival = rival.expect("one of many shares the place");
    loaded.ban(BANNED, in_force(MAIL));
    loaded.ban(&rival, in_force(MAIL));
    stay_on_this_cpu();
    let (own, other) = (ipv4(BANNED).tcp(IMAP), ipv4(&rival).tcp(IMAP));
    // To verify it takes an emulated processor seconds, and none of them may count.
    loaded.program(Program::Frags);

    let begin = now_ns();
    loaded.repeat(Program::Frags, own.bytes(), 5);
    loaded.repeat(Program::Frags, other.bytes(), 7);
    let counted = (loaded.bare_entry(BANNED).packets, loaded.bare_entry(&rival).packets);
    // A machine may stand still for so long.
    if now_ns() - begin < Tally::MOST_NS {
        assert_eq!(counted, (0, 7), "the rival counts on its ban");
    }
    assert_eq!((loaded.entry(BANNED).packets, loaded.entry(&rival).packets), (5, 7));

    while now_ns() - begin < 2 * Tally::MOST_NS {
        std::thread::sleep(Duration::from_nanos(TICK_NS));
    }
    loaded.repeat(Program::Frags, other.bytes(), 7);
    assert_eq!(loaded.bare_entry(BANNED).packets, 5, "what had been counted is handed over");
    assert_eq!((loaded.entry(BANNED).packets, loaded.entry(&rival).packets), (5, 14));
}

/// Frames of several buffers: headers are read, and bytes counted, in the first one. A kernel without them has nothing to run.
#[test]
fn a_jumbo_frame_is_judged_by_its_first_buffer() {
    if !has_frames_in_several_buffers() {
        return;
    }
    let mut loaded = Loaded::mail_server();
    let frame = ipv4(BANNED).tcp(IMAP).payload(&[0x20; 8960]);

    for program in [Program::Frags, Program::NoFrags] {
        let ran = loaded.run(program, frame.bytes());

        assert_eq!(ran.action, Drop, "{program:?}");
        let [(DropBanned, Counter { packets: 1, bytes })] = ran.rose[..] else { panic!("{program:?}: {ran:?}") };
        assert!((54..frame.bytes().len() as u64).contains(&bytes), "{program:?} counts the first buffer: {bytes}");
    }
}
