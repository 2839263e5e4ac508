//! The presence bitmap spares who is not banned, and hides nobody who is.

use std::net::{Ipv4Addr, Ipv6Addr};

use blocker::kernel::Program;
use blocker_common::Outcome::{DropBanned, PassClean};

use crate::frame::{ipv4, ipv6};
use crate::rows::{check, row};
use crate::tables::{Action::*, IMAP, Loaded, MAIL, in_force};

#[test]
fn a_ban_is_found_wherever_it_is_and_gone_when_it_is_lifted() {
    for (prefix, inside, outside) in [
        ("198.51.100.7", "198.51.100.7", "198.51.100.8"),
        ("198.51.100.0/25", "198.51.100.127", "198.51.100.128"),
        ("198.51.100.0/24", "198.51.100.255", "198.51.101.0"),
        ("198.51.0.0/16", "198.51.255.255", "198.52.0.0"),
        ("198.48.0.0/12", "198.63.255.255", "198.64.0.0"),
        ("198.0.0.0/11", "198.31.255.255", "198.32.0.0"),
        ("128.0.0.0/1", "255.255.255.254", "127.255.255.255"),
        ("2001:db8:0:1::/64", "2001:db8:0:1::9", "2001:db8:0:2::9"),
        ("2001:db8:0:1::9", "2001:db8:0:1::9", "2001:db8:0:1::8"),
        ("2001:db8:1::/48", "2001:db8:1:ffff::9", "2001:db8:2::9"),
        ("2001:db8::/47", "2001:db8:1:ffff::9", "2001:db8:2::9"),
        ("8000::/1", "ffff::9", "7fff::9"),
    ] {
        let from = |addr: &str| if addr.contains(':') { ipv6(addr).tcp(IMAP) } else { ipv4(addr).tcp(IMAP) };
        let mut loaded = Loaded::jails();
        loaded.ban(prefix, in_force(MAIL));
        check(
            &mut loaded,
            &[row("inside", from(inside), Drop, DropBanned), row("outside", from(outside), Pass, PassClean)],
        );
        loaded.unban(prefix);
        check(&mut loaded, &[row("no more", from(inside), Pass, PassClean)]);
    }
}

#[test]
fn one_ban_that_ends_hides_no_other_of_its_place() {
    let mut loaded = Loaded::jails();
    let inside = ["192.0.2.1", "192.0.2.2", "192.0.2.128/25", "192.0.0.0/16"];
    for prefix in inside {
        loaded.ban(prefix, in_force(MAIL));
    }
    loaded.unban("192.0.2.1");
    loaded.unban("192.0.2.128/25");
    check(&mut loaded, &[row("a neighbour", ipv4("192.0.2.2").tcp(IMAP), Drop, DropBanned)]);
    loaded.unban("192.0.2.2");
    check(
        &mut loaded,
        &[
            row("by the wide one", ipv4("192.0.2.2").tcp(IMAP), Drop, DropBanned),
            row("elsewhere in it", ipv4("192.0.77.1").tcp(IMAP), Drop, DropBanned),
        ],
    );
    loaded.unban("192.0.0.0/16");
    check(&mut loaded, &[row("nobody is left", ipv4("192.0.2.2").tcp(IMAP), Pass, PassClean)]);
}

#[test]
fn of_many_bans_each_is_found_and_no_neighbour_is_hit() {
    const LEN: u32 = 100_000;
    let mut loaded = Loaded::jails();
    let host = |n: u32| Ipv4Addr::from_bits((n.wrapping_mul(0x9e37_79b1)) & !1);
    let network = |n: u32| Ipv6Addr::from_bits(0x2a00 << 112 | u128::from(n.wrapping_mul(0x9e37_79b1) & !1) << 64);
    let hosts: Vec<Ipv4Addr> = (0..LEN).map(host).collect();
    let networks: Vec<Ipv6Addr> = (0..LEN).map(network).collect();
    loaded.ban_many(&hosts, &networks);

    for n in (0..LEN).step_by(97) {
        let (banned, neighbour) = (hosts[n as usize], Ipv4Addr::from_bits(hosts[n as usize].to_bits() | 1));
        let banned6 = networks[n as usize];
        let neighbour6 = Ipv6Addr::from_bits(banned6.to_bits() | 1 << 64);
        let mut action = |frame: &[u8]| loaded.run(Program::Frags, frame).action;
        assert_eq!(action(ipv4(&banned.to_string()).tcp(IMAP).bytes()), Drop, "{banned}");
        assert_eq!(action(ipv4(&neighbour.to_string()).tcp(IMAP).bytes()), Pass, "{neighbour}");
        assert_eq!(action(ipv6(&banned6.to_string()).tcp(IMAP).bytes()), Drop, "{banned6}");
        assert_eq!(action(ipv6(&neighbour6.to_string()).tcp(IMAP).bytes()), Pass, "{neighbour6}");
    }
}
