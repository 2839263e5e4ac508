//! The kernel keeps the deadlines itself: no daemon is needed for a ban to end, nor for it to go on.

use std::time::{Duration, Instant};

use blocker::kernel::Program;
use blocker_common::Ban;
use blocker_common::Outcome::{DropBanned, PassExpired};

use crate::frame::{ipv4, ipv6};
use crate::rows::{check, row};
use crate::tables::{
    ALL, Action::*, BANNED, BANNED6, HTTP, IMAP, Loaded, MAIL, TICK_NS, forever, in_force, now_ns, over,
};

#[test]
fn a_ban_lasts_until_its_deadline() {
    let mut loaded = Loaded::jails();
    loaded.ban("192.0.2.1", in_force(MAIL));
    loaded.ban("192.0.2.2", over(MAIL));
    loaded.ban("192.0.2.3", Ban { deadline_ns: 0, ..over(MAIL) });
    loaded.ban("192.0.2.4", forever(MAIL));
    loaded.ban("192.0.2.5", Ban { deadline_ns: u64::MAX, ..in_force(MAIL) });
    loaded.ban("192.0.2.6", over(ALL));
    loaded.ban("2001:db8:0:1::/64", in_force(MAIL));
    loaded.ban("2001:db8:0:2::/64", over(MAIL));
    loaded.ban("2001:db8:0:3::/64", forever(MAIL));
    check(
        &mut loaded,
        &[
            row("in an hour", ipv4("192.0.2.1").tcp(IMAP), Drop, DropBanned),
            row("a moment ago", ipv4("192.0.2.2").tcp(IMAP), Pass, PassExpired),
            row("at boot", ipv4("192.0.2.3").tcp(IMAP), Pass, PassExpired),
            row("never", ipv4("192.0.2.4").tcp(IMAP), Drop, DropBanned),
            row("in 584 years", ipv4("192.0.2.5").tcp(IMAP), Drop, DropBanned),
            row("a moment ago, all ports", ipv4("192.0.2.6").tcp(HTTP), Pass, PassExpired),
            row("IPv6, in an hour", ipv6("2001:db8:0:1::9").tcp(IMAP), Drop, DropBanned),
            row("IPv6, a moment ago", ipv6("2001:db8:0:2::9").tcp(IMAP), Pass, PassExpired),
            row("IPv6, never", ipv6("2001:db8:0:3::9").tcp(IMAP), Drop, DropBanned),
        ],
    );
}

#[test]
fn a_ban_ends_at_its_deadline_by_itself() {
    let mut loaded = Loaded::jails();
    let frame = ipv4(BANNED).tcp(IMAP);
    // Loads the program, so that the ban is not over before its first packet.
    loaded.run(Program::Frags, frame.bytes());
    let deadline_ns = now_ns() + 500_000_000;
    loaded.ban(BANNED, Ban { deadline_ns, ..in_force(MAIL) });
    assert_eq!(loaded.run(Program::Frags, frame.bytes()).action, Drop, "the ban has half a second to go");

    let give_up = Instant::now() + Duration::from_secs(10);
    loop {
        let before_ns = now_ns();
        let action = loaded.run(Program::Frags, frame.bytes()).action;
        let after_ns = now_ns();
        // The kernel reads the clock once in a tick.
        if before_ns >= deadline_ns + TICK_NS {
            assert_eq!(action, Pass, "the ban ended {} ns ago", before_ns - deadline_ns);
            break;
        }
        if after_ns < deadline_ns {
            assert_eq!(action, Drop, "the ban ends in {} ns", deadline_ns - after_ns);
        }
        assert!(Instant::now() < give_up, "the clock of the boot stands still: {after_ns}");
    }
}

#[test]
fn a_ban_that_is_renewed_is_in_force_again() {
    let mut loaded = Loaded::jails();
    loaded.ban("2001:db8:0:1::/64", over(MAIL));
    check(&mut loaded, &[row("over", ipv6(BANNED6).tcp(IMAP), Pass, PassExpired)]);

    loaded.ban("2001:db8:0:1::/64", in_force(MAIL));
    check(&mut loaded, &[row("renewed", ipv6(BANNED6).tcp(IMAP), Drop, DropBanned)]);
}
