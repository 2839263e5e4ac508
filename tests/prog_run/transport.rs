//! Above IP: protocols with ports, and those without.

use blocker_common::Outcome::{
    DropBanned, DropHidden, PassClean, PassNotIp, PassOutOfScope, PassTruncated, PassUnprotected,
};

use crate::frame::Extension::{DestinationOptions, HopByHop};
use crate::frame::{ethernet, ipv4, ipv6};
use crate::rows::{check, row};
use crate::tables::{
    Action::*, BANNED, BANNED6, CUSTOMER, CUSTOMER6, HTTP, IMAP, Loaded, OUTLAW, OUTLAW6, SIP, TELEPHONE, in_force,
};

#[test]
fn tcp_udp_and_sctp_ports_of_one_number_are_three_ports() {
    let mut loaded = Loaded::mail_server();
    loaded.ban("192.0.2.50", in_force(TELEPHONE));
    loaded.ban("2001:db8:0:50::/64", in_force(TELEPHONE));
    check(
        &mut loaded,
        &[
            row("TCP 143, protected", ipv4(BANNED).tcp(IMAP), Drop, DropBanned),
            row("UDP 143, not protected", ipv4(BANNED).udp(IMAP), Pass, PassUnprotected),
            row("UDP 5060, protected", ipv4("192.0.2.50").udp(SIP), Drop, DropBanned),
            row("TCP 5060, not protected", ipv4("192.0.2.50").tcp(SIP), Pass, PassUnprotected),
            row("SCTP 5060, protected", ipv4("192.0.2.50").sctp(SIP), Drop, DropBanned),
            row("SCTP 5060 over IPv6", ipv6("2001:db8:0:50::9").sctp(SIP), Drop, DropBanned),
            row("SCTP 143, not protected", ipv4("192.0.2.50").sctp(IMAP), Pass, PassUnprotected),
            row("SCTP 5060, by whom another jail bans", ipv4(BANNED).sctp(SIP), Pass, PassOutOfScope),
            row("SCTP 5060, not banned", ipv4(CUSTOMER).sctp(SIP), Pass, PassClean),
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
    loaded.protect(blocker_common::Protocol::Sctp, 0, 1);
    loaded.protect(blocker_common::Protocol::Sctp, 65_535, 1);
    check(
        &mut loaded,
        &[
            row("TCP 65535, protected", ipv4(BANNED).tcp(65_535), Drop, DropBanned),
            row("TCP 0, not protected", ipv4(BANNED).tcp(0), Pass, PassUnprotected),
            row("UDP 0, protected", ipv4(BANNED).udp(0), Drop, DropBanned),
            row("UDP 65535, not protected", ipv4(BANNED).udp(65_535), Pass, PassUnprotected),
            row("SCTP 0, protected", ipv4(BANNED).sctp(0), Drop, DropBanned),
            row("SCTP 65535, protected", ipv4(BANNED).sctp(65_535), Drop, DropBanned),
            row("SCTP 1, not protected", ipv4(BANNED).sctp(1), Pass, PassUnprotected),
        ],
    );
}

#[test]
fn an_sctp_port_is_read_wherever_a_tcp_port_is() {
    let mut loaded = Loaded::jails();
    loaded.ban(BANNED, in_force(TELEPHONE));
    loaded.ban("2001:db8:0:1::/64", in_force(TELEPHONE));
    check(
        &mut loaded,
        &[
            row("behind IPv4 options", ipv4(BANNED).options(10).sctp(SIP), Drop, DropBanned),
            row("in a first fragment", ipv4(BANNED).first_fragment().sctp(SIP), Drop, DropBanned),
            row("in a later fragment, no port", ipv4(BANNED).later_fragment(1).sctp(SIP), Pass, PassUnprotected),
            row("cut before its port", ipv4(BANNED).sctp(SIP).cut_to(34 + 3), Pass, PassTruncated),
            row("cut behind its port", ipv4(BANNED).sctp(SIP).cut_to(34 + 4), Drop, DropBanned),
            row(
                "a first fragment without its port",
                ipv4(BANNED).first_fragment().sctp(SIP).cut_to(34),
                Drop,
                DropHidden,
            ),
            row(
                "behind IPv6 options and a fragment header",
                ipv6(BANNED6).extension(DestinationOptions, 2).fragment(0, true).sctp(SIP),
                Drop,
                DropBanned,
            ),
            row(
                "behind IPv6 options that reach beyond the end",
                ipv6(BANNED6).extension(DestinationOptions, 9).sctp(SIP).cut_to(54 + 16),
                Drop,
                DropHidden,
            ),
            row("behind IPv6 authentication", ipv6(BANNED6).authentication(3).sctp(SIP), Drop, DropBanned),
            row("in UDP it is UDP", ipv4(BANNED).udp(9899).payload(&[0x9c, 0x41, 0x13, 0xc4]), Pass, PassUnprotected),
        ],
    );
}

#[test]
fn what_the_network_itself_needs_is_never_dropped() {
    // Multicast listener messages carry an option of this kind (RFC 2711, RFC 3810).
    let router_alert = || ipv6(OUTLAW6).extension(HopByHop, 0);
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
            row("multicast listener query", router_alert().icmpv6(130), Pass, PassUnprotected),
            row("multicast listener report", router_alert().icmpv6(131), Pass, PassUnprotected),
            row("multicast listener done", router_alert().icmpv6(132), Pass, PassUnprotected),
            row("multicast listener report, version 2", router_alert().icmpv6(143), Pass, PassUnprotected),
            row("IPv6 unreachable", ipv6(OUTLAW6).icmpv6(1), Pass, PassUnprotected),
            row("IPv6 time exceeded", ipv6(OUTLAW6).icmpv6(3), Pass, PassUnprotected),
            row("IPv6 parameter problem", ipv6(OUTLAW6).icmpv6(4), Pass, PassUnprotected),
            row("time exceeded", ipv4(OUTLAW).icmp(11), Pass, PassUnprotected),
            row("parameter problem", ipv4(OUTLAW).icmp(12), Pass, PassUnprotected),
            row(
                "packet too big, with what was sent in it",
                ipv6(OUTLAW6).icmpv6(2).payload(ipv6(OUTLAW6).tcp(IMAP).bytes()),
                Pass,
                PassUnprotected,
            ),
            row(
                "packet too big, in an atomic fragment",
                ipv6(OUTLAW6).fragment(0, false).icmpv6(2),
                Pass,
                PassUnprotected,
            ),
            row("ARP", ethernet().other(0x0806, &[0, 1, 8, 0, 6, 4, 0, 2]).padded(60), Pass, PassNotIp),
            row("neighbour solicitation, banned from some ports", ipv6(BANNED6).icmpv6(135), Pass, PassUnprotected),
            row("IPv6's number in IPv4 is not ICMP", ipv4(OUTLAW).protocol(58, 24), Drop, DropBanned),
            row("IPv4's number in IPv6 is not ICMP", ipv6(OUTLAW6).protocol(1, 8), Drop, DropBanned),
        ],
    );
}

#[test]
fn protocols_without_protected_ports_under_bans_of_some_ports() {
    let vxlan = ipv4(BANNED).tcp(IMAP);
    check(
        &mut Loaded::mail_server(),
        &[
            row("GRE", ipv4(BANNED).gre().ipv4(BANNED).tcp(IMAP), Pass, PassUnprotected),
            row("IPIP", ipv4(BANNED).ipv4(BANNED).tcp(IMAP), Pass, PassUnprotected),
            row("6in4", ipv4(BANNED).ipv6(BANNED6).tcp(IMAP), Pass, PassUnprotected),
            row("4in6", ipv6(BANNED6).ipv4(BANNED).tcp(IMAP), Pass, PassUnprotected),
            row("ESP over IPv4", ipv4(BANNED).protocol(50, 40), Pass, PassUnprotected),
            row("AH over IPv4", ipv4(BANNED).protocol(51, 44), Pass, PassUnprotected),
            row("IGMP", ipv4(BANNED).options(1).protocol(2, 8), Pass, PassUnprotected),
            row("DCCP", ipv4(BANNED).protocol(33, 16), Pass, PassUnprotected),
            row("UDP-Lite", ipv4(BANNED).protocol(136, 16), Pass, PassUnprotected),
            row("GRE over IPv6", ipv6(BANNED6).gre().ipv6(BANNED6).tcp(IMAP), Pass, PassUnprotected),
            row("6in6", ipv6(BANNED6).ipv6(BANNED6).tcp(IMAP), Pass, PassUnprotected),
            row("VXLAN", ipv4(BANNED).udp(4789).payload(vxlan.bytes()), Pass, PassUnprotected),
            row("OSPF", ipv4(BANNED).protocol(89, 44), Pass, PassUnprotected),
            row("a protocol of no name", ipv4(BANNED).protocol(253, 20), Pass, PassUnprotected),
        ],
    );
}

#[test]
fn protocols_without_protected_ports_under_bans_of_all_ports() {
    let (inside, outlaw_inside) = (ipv4(CUSTOMER).tcp(IMAP), ipv4(OUTLAW).tcp(IMAP));
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
            row("6in4, not by its inner one", ipv4(CUSTOMER).ipv6(OUTLAW6).tcp(IMAP), Pass, PassClean),
            row("4in6, by its outer source", ipv6(OUTLAW6).ipv4(CUSTOMER).tcp(IMAP), Drop, DropBanned),
            row("4in6, not by its inner one", ipv6(CUSTOMER6).ipv4(OUTLAW).tcp(IMAP), Pass, PassClean),
            row("6in6, by its outer source", ipv6(OUTLAW6).ipv6(CUSTOMER6).tcp(IMAP), Drop, DropBanned),
            row("6in6, not by its inner one", ipv6(CUSTOMER6).ipv6(OUTLAW6).tcp(IMAP), Pass, PassClean),
            row("GRE over IPv6, by its outer source", ipv6(OUTLAW6).gre().ipv6(CUSTOMER6).tcp(IMAP), Drop, DropBanned),
            row("VXLAN, by its outer source", ipv4(OUTLAW).udp(4789).payload(inside.bytes()), Drop, DropBanned),
            row(
                "VXLAN, not by its inner one",
                ipv4(CUSTOMER).udp(4789).payload(outlaw_inside.bytes()),
                Pass,
                PassClean,
            ),
            row("IGMP", ipv4(OUTLAW).options(1).protocol(2, 8), Drop, DropBanned),
            row("ESP over IPv4", ipv4(OUTLAW).protocol(50, 40), Drop, DropBanned),
            row("AH over IPv4", ipv4(OUTLAW).protocol(51, 44), Drop, DropBanned),
        ],
    );
}
