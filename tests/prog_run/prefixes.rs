//! Hosts and networks: who is meant by a ban, and which of several that lie one inside another decides.

use blocker_common::MAX_NESTING;
use blocker_common::Outcome::{DropBanned, PassClean, PassExpired, PassOutOfScope};

use crate::frame::{ipv4, ipv6};
use crate::rows::{check, row};
use crate::tables::{Action::*, IMAP, Loaded, MAIL, SUBMISSION, SUBMIT, forever, in_force, over};

#[test]
fn a_prefix_bans_whom_it_contains_and_nobody_else() {
    let mut loaded = Loaded::jails();
    loaded.ban("192.0.2.9", in_force(MAIL));
    loaded.ban("198.51.100.64/26", in_force(MAIL));
    loaded.ban("203.0.113.2/31", in_force(MAIL));
    loaded.ban("64.0.0.0/2", in_force(MAIL));
    loaded.ban("2001:db8:0:1::/64", in_force(MAIL));
    loaded.ban("2001:db8:0:2::9", in_force(MAIL));
    loaded.ban("2001:db8:0:3:8000::/65", in_force(MAIL));
    loaded.ban("2001:db8:0:4:ffff::/80", in_force(MAIL));
    loaded.ban("2001:db8:8::/45", in_force(MAIL));
    loaded.ban("3ffe::/16", in_force(MAIL));
    loaded.ban("64:ff9b::198.51.100.9", in_force(MAIL));
    loaded.ban("2002:c633:6409::/64", in_force(MAIL));
    loaded.ban("2001:0:c000:201::/64", in_force(MAIL));
    check(
        &mut loaded,
        &[
            row("the host", ipv4("192.0.2.9").tcp(IMAP), Drop, DropBanned),
            row("the host below", ipv4("192.0.2.8").tcp(IMAP), Pass, PassClean),
            row("the host above", ipv4("192.0.2.10").tcp(IMAP), Pass, PassClean),
            row("the host with its bytes reversed", ipv4("9.2.0.192").tcp(IMAP), Pass, PassClean),
            row("the first of a /26", ipv4("198.51.100.64").tcp(IMAP), Drop, DropBanned),
            row("the last of a /26", ipv4("198.51.100.127").tcp(IMAP), Drop, DropBanned),
            row("before a /26", ipv4("198.51.100.63").tcp(IMAP), Pass, PassClean),
            row("behind a /26", ipv4("198.51.100.128").tcp(IMAP), Pass, PassClean),
            row("the first of a /31", ipv4("203.0.113.2").tcp(IMAP), Drop, DropBanned),
            row("the last of a /31", ipv4("203.0.113.3").tcp(IMAP), Drop, DropBanned),
            row("behind a /31", ipv4("203.0.113.4").tcp(IMAP), Pass, PassClean),
            row("the last of a /2", ipv4("127.255.255.255").tcp(IMAP), Drop, DropBanned),
            row("before a /2", ipv4("63.255.255.255").tcp(IMAP), Pass, PassClean),
            row("the first of a /64", ipv6("2001:db8:0:1::").tcp(IMAP), Drop, DropBanned),
            row("the last of a /64", ipv6("2001:db8:0:1:ffff:ffff:ffff:ffff").tcp(IMAP), Drop, DropBanned),
            row("the next /64", ipv6("2001:db8:0:2::").tcp(IMAP), Pass, PassClean),
            row("a /128", ipv6("2001:db8:0:2::9").tcp(IMAP), Drop, DropBanned),
            row("beside a /128", ipv6("2001:db8:0:2::8").tcp(IMAP), Pass, PassClean),
            row("the first of a /65", ipv6("2001:db8:0:3:8000::").tcp(IMAP), Drop, DropBanned),
            row("before a /65", ipv6("2001:db8:0:3:7fff:ffff:ffff:ffff").tcp(IMAP), Pass, PassClean),
            row("the last of a /80", ipv6("2001:db8:0:4:ffff:ffff:ffff:ffff").tcp(IMAP), Drop, DropBanned),
            row("before a /80", ipv6("2001:db8:0:4:fffe:ffff:ffff:ffff").tcp(IMAP), Pass, PassClean),
            row("the last of a /45", ipv6("2001:db8:f:ffff::1").tcp(IMAP), Drop, DropBanned),
            row("behind a /45", ipv6("2001:db8:10::1").tcp(IMAP), Pass, PassClean),
            row("the last of a /16", ipv6("3ffe:ffff:ffff:ffff::1").tcp(IMAP), Drop, DropBanned),
            row("behind a /16", ipv6("3fff::1").tcp(IMAP), Pass, PassClean),
            // The stack drops such a packet (since 5.4); only logs write so, and there it is read as IPv4.
            row("a mapped IPv4 address is another source", ipv6("::ffff:192.0.2.9").tcp(IMAP), Pass, PassClean),
            row("a host behind NAT64", ipv6("64:ff9b::198.51.100.9").tcp(IMAP), Drop, DropBanned),
            row("its neighbour behind NAT64", ipv6("64:ff9b::198.51.100.10").tcp(IMAP), Pass, PassClean),
            row("the same host without NAT64", ipv4("198.51.100.9").tcp(IMAP), Pass, PassClean),
            row("a /64 of 6to4", ipv6("2002:c633:6409::1").tcp(IMAP), Drop, DropBanned),
            row("the next /64 of 6to4", ipv6("2002:c633:6409:1::1").tcp(IMAP), Pass, PassClean),
            row("Teredo, all of one server's", ipv6("2001:0:c000:201::9").tcp(IMAP), Drop, DropBanned),
        ],
    );
}

#[test]
fn a_narrow_ban_that_is_over_does_not_shadow_a_wider_one() {
    let mut loaded = Loaded::jails();
    loaded.ban("192.0.2.9", over(MAIL));
    loaded.ban("192.0.2.0/29", over(MAIL));
    loaded.ban("192.0.2.0/24", in_force(MAIL));
    loaded.ban("2001:db8:0:1::9", over(MAIL));
    loaded.ban("2001:db8:0:1::/64", over(MAIL));
    loaded.ban("2001:db8:0:1::/80", over(MAIL));
    loaded.ban("2001:db8::/32", forever(MAIL));
    check(
        &mut loaded,
        &[
            row("host within network", ipv4("192.0.2.9").tcp(IMAP), Drop, DropBanned),
            row("network within network", ipv4("192.0.2.1").tcp(IMAP), Drop, DropBanned),
            row("the network alone", ipv4("192.0.2.200").tcp(IMAP), Drop, DropBanned),
            row("IPv6 host within four", ipv6("2001:db8:0:1::9").tcp(IMAP), Drop, DropBanned),
            row("IPv6 /80 within /64 within /32", ipv6("2001:db8:0:1::8").tcp(IMAP), Drop, DropBanned),
            row("IPv6 /64 within /32", ipv6("2001:db8:0:1:8::").tcp(IMAP), Drop, DropBanned),
        ],
    );
}

#[test]
fn a_wider_ban_that_is_over_does_not_shadow_a_narrow_one() {
    let mut loaded = Loaded::jails();
    loaded.ban("192.0.2.9", in_force(MAIL));
    loaded.ban("192.0.2.16/28", in_force(MAIL));
    loaded.ban("192.0.2.0/24", over(MAIL));
    loaded.ban("2001:db8:0:1::/64", in_force(MAIL));
    loaded.ban("2001:db8:0:2::9", in_force(MAIL));
    loaded.ban("2001:db8:0:2::/64", over(MAIL));
    loaded.ban("2001:db8::/32", over(MAIL));
    check(
        &mut loaded,
        &[
            row("host within network", ipv4("192.0.2.9").tcp(IMAP), Drop, DropBanned),
            row("network within network", ipv4("192.0.2.17").tcp(IMAP), Drop, DropBanned),
            row("the network alone", ipv4("192.0.2.200").tcp(IMAP), Pass, PassExpired),
            row("/64 within /32", ipv6("2001:db8:0:1::9").tcp(IMAP), Drop, DropBanned),
            row("/128 within /64", ipv6("2001:db8:0:2::9").tcp(IMAP), Drop, DropBanned),
            row("the /64 alone", ipv6("2001:db8:0:2::8").tcp(IMAP), Pass, PassExpired),
            row("the /32 alone", ipv6("2001:db8:7::8").tcp(IMAP), Pass, PassExpired),
        ],
    );
}

#[test]
fn a_narrow_ban_of_other_ports_does_not_shadow_a_wider_one() {
    let mut loaded = Loaded::jails();
    loaded.ban("192.0.2.9", in_force(SUBMISSION));
    loaded.ban("192.0.2.16/28", in_force(SUBMISSION));
    loaded.ban("192.0.2.0/24", in_force(MAIL));
    loaded.ban("2001:db8:0:1::/64", in_force(SUBMISSION));
    loaded.ban("2001:db8:0:1::9", in_force(SUBMISSION));
    loaded.ban("2001:db8::/32", in_force(MAIL));
    check(
        &mut loaded,
        &[
            row("host, at the network's port", ipv4("192.0.2.9").tcp(IMAP), Drop, DropBanned),
            row("host, at its own port", ipv4("192.0.2.9").tcp(SUBMIT), Drop, DropBanned),
            row("network, at the wider one's port", ipv4("192.0.2.17").tcp(IMAP), Drop, DropBanned),
            row("the wider network, at the narrow one's port", ipv4("192.0.2.200").tcp(SUBMIT), Pass, PassOutOfScope),
            row("/128 in /64, at the /32's port", ipv6("2001:db8:0:1::9").tcp(IMAP), Drop, DropBanned),
            row("/64, at its own port", ipv6("2001:db8:0:1::8").tcp(SUBMIT), Drop, DropBanned),
            row("the /32, at the /64's port", ipv6("2001:db8:0:2::8").tcp(SUBMIT), Pass, PassOutOfScope),
        ],
    );
}

#[test]
fn the_widest_of_as_many_networks_as_may_be_nested_is_found() {
    let nested4 = [
        "10.1.1.8/31",
        "10.1.1.8/30",
        "10.1.1.8/29",
        "10.1.1.0/28",
        "10.1.1.0/24",
        "10.1.0.0/16",
        "10.0.0.0/9",
        "10.0.0.0/8",
    ];
    let nested6 = [
        "2001:db8::9",
        "2001:db8::8/127",
        "2001:db8::/112",
        "2001:db8::/80",
        "2001:db8::/63",
        "2001:db8::/48",
        "2001:db8::/32",
        "2001::/16",
    ];
    assert_eq!((nested4.len(), nested6.len()), (MAX_NESTING as usize, MAX_NESTING as usize));
    let mut loaded = Loaded::jails();
    loaded.ban("10.1.1.9", over(MAIL));
    loaded.ban("2001:db8::/64", over(MAIL));
    for prefix in nested4.iter().chain(&nested6) {
        loaded.ban(prefix, over(MAIL));
    }
    check(
        &mut loaded,
        &[
            row("IPv4, all over", ipv4("10.1.1.9").tcp(IMAP), Pass, PassExpired),
            row("IPv6, all over", ipv6("2001:db8::9").tcp(IMAP), Pass, PassExpired),
        ],
    );

    loaded.ban(nested4[7], in_force(MAIL));
    loaded.ban(nested6[7], in_force(MAIL));
    check(
        &mut loaded,
        &[
            row("IPv4, the widest in force", ipv4("10.1.1.9").tcp(IMAP), Drop, DropBanned),
            row("IPv4, from a wider network", ipv4("10.1.2.9").tcp(IMAP), Drop, DropBanned),
            row("IPv4, another port", ipv4("10.1.1.9").tcp(SUBMIT), Pass, PassOutOfScope),
            row("IPv6, the widest in force", ipv6("2001:db8::9").tcp(IMAP), Drop, DropBanned),
            row("IPv6, another port", ipv6("2001:db8::9").tcp(SUBMIT), Pass, PassOutOfScope),
        ],
    );

    loaded.ban(nested4[7], over(MAIL));
    loaded.ban(nested4[3], in_force(MAIL));
    loaded.ban(nested6[7], over(MAIL));
    loaded.ban(nested6[3], in_force(MAIL));
    check(
        &mut loaded,
        &[
            row("IPv4, one in the middle", ipv4("10.1.1.9").tcp(IMAP), Drop, DropBanned),
            row("IPv4, outside of it", ipv4("10.1.1.16").tcp(IMAP), Pass, PassExpired),
            row("IPv6, one in the middle", ipv6("2001:db8::9").tcp(IMAP), Drop, DropBanned),
            row("IPv6, outside of it", ipv6("2001:db8:0:0:1::9").tcp(IMAP), Pass, PassExpired),
        ],
    );
}

#[test]
fn the_widest_networks_there_can_be_are_found() {
    let mut loaded = Loaded::jails();
    loaded.ban("128.0.0.0/1", in_force(MAIL));
    loaded.ban("::/1", in_force(MAIL));
    check(
        &mut loaded,
        &[
            row("in the upper half", ipv4("203.0.113.9").tcp(IMAP), Drop, DropBanned),
            row("in the lower half", ipv4("100.64.0.9").tcp(IMAP), Pass, PassClean),
            row("in the lower half of IPv6", ipv6("2001:db8::9").tcp(IMAP), Drop, DropBanned),
            row("in the upper half of IPv6", ipv6("fe80::9").tcp(IMAP), Pass, PassClean),
            row("in the upper half, another port", ipv4("203.0.113.9").tcp(SUBMIT), Pass, PassOutOfScope),
        ],
    );
}
