//! Above IP: protocols with ports, and those without.

use blocker_common::Outcome::{DropBanned, PassClean, PassOutOfScope, PassUnprotected};

use crate::frame::{ipv4, ipv6};
use crate::rows::{check, row};
use crate::tables::{
    Action::*, BANNED, BANNED6, CUSTOMER, CUSTOMER6, HTTP, IMAP, Loaded, OUTLAW, OUTLAW6, SIP, TELEPHONE, in_force,
};

#[test]
fn tcp_and_udp_ports_of_one_number_are_two_ports() {
    let mut loaded = Loaded::mail_server();
    loaded.ban("192.0.2.50", in_force(TELEPHONE));
    check(
        &mut loaded,
        &[
            row("TCP 143, protected", ipv4(BANNED).tcp(IMAP), Drop, DropBanned),
            row("UDP 143, not protected", ipv4(BANNED).udp(IMAP), Pass, PassUnprotected),
            row("UDP 5060, protected", ipv4("192.0.2.50").udp(SIP), Drop, DropBanned),
            row("TCP 5060, not protected", ipv4("192.0.2.50").tcp(SIP), Pass, PassUnprotected),
            row("TCP 143 over IPv6", ipv6(BANNED6).tcp(IMAP), Drop, DropBanned),
            row("UDP 143 over IPv6", ipv6(BANNED6).udp(IMAP), Pass, PassUnprotected),
            row("the source port is not looked at", ipv4(BANNED).tcp(40_001), Pass, PassUnprotected),
            row("a port whose bytes are swapped", ipv4(BANNED).tcp(IMAP.swap_bytes()), Pass, PassUnprotected),
        ],
    );
}

#[test]
fn the_first_and_the_last_port_are_ports() {
    let mut loaded = Loaded::mail_server();
    loaded.protect(blocker_common::Protocol::Tcp, 65_535, 1);
    loaded.protect(blocker_common::Protocol::Udp, 0, 1);
    check(
        &mut loaded,
        &[
            row("TCP 65535, protected", ipv4(BANNED).tcp(65_535), Drop, DropBanned),
            row("TCP 0, not protected", ipv4(BANNED).tcp(0), Pass, PassUnprotected),
            row("UDP 0, protected", ipv4(BANNED).udp(0), Drop, DropBanned),
            row("UDP 65535, not protected", ipv4(BANNED).udp(65_535), Pass, PassUnprotected),
        ],
    );
}

#[test]
fn icmp_is_never_dropped() {
    check(
        &mut Loaded::strict_mail_server(),
        &[
            row("echo", ipv4(OUTLAW).icmp(8), Pass, PassUnprotected),
            row("echo reply", ipv4(OUTLAW).icmp(0), Pass, PassUnprotected),
            row("fragmentation needed", ipv4(OUTLAW).icmp(3), Pass, PassUnprotected),
            row("echo, banned from some ports", ipv4(BANNED).icmp(8), Pass, PassUnprotected),
            row("IPv6 echo", ipv6(OUTLAW6).icmpv6(128), Pass, PassUnprotected),
            row("IPv6 packet too big", ipv6(OUTLAW6).icmpv6(2), Pass, PassUnprotected),
            row("router solicitation", ipv6(OUTLAW6).icmpv6(133), Pass, PassUnprotected),
            row("router advertisement", ipv6(OUTLAW6).icmpv6(134), Pass, PassUnprotected),
            row("neighbour solicitation", ipv6(OUTLAW6).icmpv6(135), Pass, PassUnprotected),
            row("neighbour advertisement", ipv6(OUTLAW6).icmpv6(136), Pass, PassUnprotected),
            row("redirect", ipv6(OUTLAW6).icmpv6(137), Pass, PassUnprotected),
            row("neighbour solicitation, banned from some ports", ipv6(BANNED6).icmpv6(135), Pass, PassUnprotected),
            row("IPv6's number in IPv4 is not ICMP", ipv4(OUTLAW).protocol(58, 24), Drop, DropBanned),
            row("IPv4's number in IPv6 is not ICMP", ipv6(OUTLAW6).protocol(1, 8), Drop, DropBanned),
        ],
    );
}

#[test]
fn protocols_without_protected_ports_under_bans_of_some_ports() {
    check(
        &mut Loaded::mail_server(),
        &[
            row("SCTP", ipv4(BANNED).sctp(IMAP), Pass, PassUnprotected),
            row("SCTP over IPv6", ipv6(BANNED6).sctp(IMAP), Pass, PassUnprotected),
            row("GRE", ipv4(BANNED).gre().ipv4(BANNED).tcp(IMAP), Pass, PassUnprotected),
            row("IPIP", ipv4(BANNED).ipv4(BANNED).tcp(IMAP), Pass, PassUnprotected),
            row("6in4", ipv4(BANNED).ipv6(BANNED6).tcp(IMAP), Pass, PassUnprotected),
            row("4in6", ipv6(BANNED6).ipv4(BANNED).tcp(IMAP), Pass, PassUnprotected),
            row("ESP over IPv4", ipv4(BANNED).protocol(50, 40), Pass, PassUnprotected),
            row("AH over IPv4", ipv4(BANNED).protocol(51, 44), Pass, PassUnprotected),
            row("OSPF", ipv4(BANNED).protocol(89, 44), Pass, PassUnprotected),
            row("a protocol of no name", ipv4(BANNED).protocol(253, 20), Pass, PassUnprotected),
        ],
    );
}

#[test]
fn protocols_without_protected_ports_under_bans_of_all_ports() {
    check(
        &mut Loaded::strict_mail_server(),
        &[
            row("TCP to a protected port", ipv4(OUTLAW).tcp(IMAP), Drop, DropBanned),
            row("TCP to an unprotected port", ipv4(OUTLAW).tcp(HTTP), Drop, DropBanned),
            row("UDP to an unprotected port", ipv6(OUTLAW6).udp(HTTP), Drop, DropBanned),
            row("SCTP", ipv4(OUTLAW).sctp(HTTP), Drop, DropBanned),
            row("SCTP over IPv6", ipv6(OUTLAW6).sctp(HTTP), Drop, DropBanned),
            row("SCTP, not banned", ipv4(CUSTOMER).sctp(HTTP), Pass, PassClean),
            row("GRE, by its outer source", ipv4(OUTLAW).gre().ipv4(CUSTOMER).tcp(IMAP), Drop, DropBanned),
            row("GRE, not by its inner one", ipv4(CUSTOMER).gre().ipv4(OUTLAW).tcp(IMAP), Pass, PassClean),
            row("IPIP, by its outer source", ipv4(OUTLAW).ipv4(CUSTOMER).tcp(IMAP), Drop, DropBanned),
            row("IPIP, not by its inner one", ipv4(CUSTOMER).ipv4(OUTLAW).tcp(IMAP), Pass, PassClean),
            row("IPIP, from one banned from some ports", ipv4(BANNED).ipv4(CUSTOMER).tcp(IMAP), Pass, PassOutOfScope),
            row("6in4, by its outer source", ipv4(OUTLAW).ipv6(CUSTOMER6).tcp(IMAP), Drop, DropBanned),
            row("4in6, by its outer source", ipv6(OUTLAW6).ipv4(CUSTOMER).tcp(IMAP), Drop, DropBanned),
            row("ESP over IPv4", ipv4(OUTLAW).protocol(50, 40), Drop, DropBanned),
            row("AH over IPv4", ipv4(OUTLAW).protocol(51, 44), Drop, DropBanned),
        ],
    );
}
