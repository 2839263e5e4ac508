//! Ways past a ban that work with other XDP programs, each with what becomes of it here.
//!
//! Firewalls and ban tools on XDP were read for what gets past them, and for what they drop and should not. A row is a packet
//! of somebody banned, unless it says otherwise; the files beside this one have the same matters in all detail.

use blocker_common::Outcome::{
    DropBanned, DropHidden, PassAllowed, PassClean, PassExpired, PassOutOfScope, PassTruncated,
};

use crate::frame::Extension::{DestinationOptions, HopByHop, Mobility, Routing};
use crate::frame::{ethernet, ipv4, ipv6};
use crate::rows::{check, row};
use crate::tables::{
    Action::*, BANNED, BANNED6, CUSTOMER, HTTP, IMAP, Loaded, MAIL, OUTLAW, OUTLAW6, SIP, forever, in_force, over,
};

const DNS: u16 = 53;

#[test]
fn a_packet_that_is_dressed_up_is_still_known() {
    check(
        &mut Loaded::strict_mail_server(),
        &[
            row("a VLAN tag", ethernet().vlan(7).ipv4(BANNED).tcp(IMAP), Drop, DropBanned),
            row("two VLAN tags", ethernet().service_vlan(7).vlan(8).ipv6(BANNED6).tcp(IMAP), Drop, DropBanned),
            row("a VLAN tag of priority alone", ethernet().vlan(0xe000).ipv4(BANNED).tcp(IMAP), Drop, DropBanned),
            row("a PPPoE session", ethernet().pppoe().ipv4(BANNED).tcp(IMAP), Drop, DropBanned),
            row("IPv4 options", ipv4(BANNED).options(1).tcp(IMAP), Drop, DropBanned),
            row("hop-by-hop options", ipv6(BANNED6).extension(HopByHop, 0).tcp(IMAP), Drop, DropBanned),
            row("a routing header", ipv6(BANNED6).extension(Routing, 2).tcp(IMAP), Drop, DropBanned),
            row("destination options", ipv6(BANNED6).extension(DestinationOptions, 0).tcp(IMAP), Drop, DropBanned),
            row("a mobility header", ipv6(BANNED6).extension(Mobility, 0).tcp(IMAP), Drop, DropBanned),
            row(
                "authentication, whose length has units of its own",
                ipv6(BANNED6).authentication(3).tcp(IMAP),
                Drop,
                DropBanned,
            ),
            row("an atomic fragment", ipv6(BANNED6).fragment(0, false).tcp(IMAP), Drop, DropBanned),
            row("more headers than are read", many_options(9).tcp(IMAP), Drop, DropHidden),
            row(
                "a first fragment without its port",
                ipv4(BANNED).first_fragment().tcp(IMAP).cut_to(34),
                Drop,
                DropHidden,
            ),
            row(
                "an unprotected port behind the packet's end",
                ipv6(BANNED6)
                    .fragment(0, true)
                    .extension(DestinationOptions, 0)
                    .says_next(62, 6)
                    .trailer(&[0x9c, 0x41, 0, 80]),
                Drop,
                DropHidden,
            ),
        ],
    );
}

#[test]
fn a_ban_of_all_ports_knows_no_protocol_that_is_forgotten() {
    check(
        &mut Loaded::strict_mail_server(),
        &[
            row("SCTP", ipv4(OUTLAW).sctp(HTTP), Drop, DropBanned),
            row("GRE", ipv4(OUTLAW).gre().ipv4(CUSTOMER).tcp(HTTP), Drop, DropBanned),
            row("IPIP", ipv4(OUTLAW).ipv4(CUSTOMER).tcp(HTTP), Drop, DropBanned),
            row("6in4", ipv4(OUTLAW).ipv6("2001:db8:7::9").tcp(HTTP), Drop, DropBanned),
            row("ESP", ipv4(OUTLAW).protocol(50, 40), Drop, DropBanned),
            row("ESP over IPv6", ipv6(OUTLAW6).esp(), Drop, DropHidden),
            row("UDP from port 53, as if it were an answer", ipv6(OUTLAW6).udp(HTTP).sent_from(DNS), Drop, DropBanned),
            row("UDP to port 53", ipv6(OUTLAW6).udp(DNS), Drop, DropBanned),
            row("IPv4 UDP from port 53", ipv4(OUTLAW).udp(HTTP).sent_from(DNS), Drop, DropBanned),
            row("a later fragment", ipv4(OUTLAW).later_fragment(3).udp(HTTP), Drop, DropBanned),
        ],
    );
}

#[test]
fn one_ban_hides_no_other() {
    let mut loaded = Loaded::jails();
    loaded.ban("192.0.2.0/24", in_force(MAIL));
    loaded.ban("192.0.2.9", over(MAIL));
    loaded.ban("192.0.2.64/26", over(MAIL));
    loaded.ban("2001:db8::/32", forever(MAIL));
    loaded.ban("2001:db8:0:1::/64", over(MAIL));
    loaded.ban("198.51.100.9", over(MAIL));
    check(
        &mut loaded,
        &[
            row("a host whose ban is over, in a banned network", ipv4("192.0.2.9").tcp(IMAP), Drop, DropBanned),
            row("a network whose ban is over, in a banned one", ipv4("192.0.2.65").tcp(IMAP), Drop, DropBanned),
            row("a /64 whose ban is over, in a banned /32", ipv6("2001:db8:0:1::9").tcp(IMAP), Drop, DropBanned),
            row("a ban that is over and not yet removed", ipv4("198.51.100.9").tcp(IMAP), Pass, PassExpired),
        ],
    );
}

#[test]
fn who_is_not_banned_from_this_port_loses_nothing() {
    let mut loaded = Loaded::strict_mail_server();
    loaded.ban("192.0.2.128/25", in_force(MAIL));
    loaded.allow("192.0.2.200");
    check(
        &mut loaded,
        &[
            row(
                "a later fragment that looks like a port",
                ipv4(BANNED).later_fragment(1).tcp(IMAP),
                Pass,
                PassOutOfScope,
            ),
            row("a short later fragment", ipv4(CUSTOMER).last_fragment(9).udp(IMAP).cut_to(36), Pass, PassClean),
            row("a short packet of a friend", ipv4("192.0.2.200").tcp(IMAP).cut_to(36), Pass, PassTruncated),
            row("a friend in a banned network", ipv4("192.0.2.200").tcp(IMAP), Pass, PassAllowed),
            row("UDP to the TCP port's number", ipv4(BANNED).udp(IMAP), Pass, PassOutOfScope),
            row("another jail's port", ipv4(BANNED).udp(SIP), Pass, PassOutOfScope),
            row("what its tunnel carries is not judged", ipv4(CUSTOMER).gre().ipv4(OUTLAW).tcp(IMAP), Pass, PassClean),
        ],
    );
}

fn many_options(headers: usize) -> crate::frame::Frame {
    (0..headers).fold(ipv6(BANNED6), |frame, _| frame.extension(DestinationOptions, 0))
}
