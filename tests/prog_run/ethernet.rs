//! Below IP: what is no IP passes; VLAN tags and PPPoE hide nobody.

use blocker_common::Outcome::{
    DropBanned, PassClean, PassMalformed, PassNotIp, PassOutOfScope, PassTruncated, PassVlanTooDeep,
};

use crate::frame::{ethernet, ipv4};
use crate::rows::{check, row};
use crate::tables::{Action::*, BANNED, BANNED6, CUSTOMER, HTTP, IMAP, Loaded, OUTLAW6};

#[test]
fn what_is_not_ip_passes() {
    let banned_packet = ipv4(BANNED).tcp(IMAP).bytes()[14..].to_vec();
    let behind = |header: &[u8]| [header, &banned_packet].concat();
    check(
        &mut Loaded::mail_server(),
        &[
            row("a header alone, of IPv4", ethernet().other(0x0800, &[]), Pass, PassTruncated),
            row("a header alone, of IPv6", ethernet().other(0x86dd, &[]), Pass, PassTruncated),
            row("a header alone, of a VLAN tag", ethernet().other(0x8100, &[]), Pass, PassTruncated),
            row("a header alone, of nothing known", ethernet().other(0x1234, &[]), Pass, PassNotIp),
            row("ARP", ethernet().other(0x0806, &[0, 1, 8, 0, 6, 4, 0, 1]).padded(60), Pass, PassNotIp),
            row("a runt with the type of IPv4", ethernet().other(0x0800, &[0x45]), Pass, PassTruncated),
            row("a runt with half a tag", ethernet().other(0x8100, &[0, 7]), Pass, PassTruncated),
            row("LLDP", ethernet().other(0x88cc, &[2, 7, 4]).padded(60), Pass, PassNotIp),
            row("EAPOL", ethernet().other(0x888e, &[1, 0, 0, 0]).padded(60), Pass, PassNotIp),
            row("802.3 with LLC (spanning tree)", ethernet().other(38, &[0x42, 0x42, 3]).padded(60), Pass, PassNotIp),
            row("an 802.3 length that IPv4 follows", ethernet().other(40, &banned_packet), Pass, PassNotIp),
            row("PPPoE discovery", ethernet().other(0x8863, &[0x11, 9, 0, 0, 0, 0]).padded(60), Pass, PassNotIp),
            row("MPLS around IPv4", ethernet().other(0x8847, &behind(&[0, 0x64, 1, 64])), Pass, PassNotIp),
            row(
                "MPLS behind a VLAN tag",
                ethernet().vlan(7).other(0x8847, &behind(&[0, 0x64, 1, 64])),
                Pass,
                PassNotIp,
            ),
            row("IPv6 by its type, IPv4 by its version", ethernet().other(0x86dd, &banned_packet), Pass, PassMalformed),
        ],
    );
}

#[test]
fn up_to_two_vlan_tags_are_read() {
    check(
        &mut Loaded::mail_server(),
        &[
            row("untagged", ethernet().ipv4(BANNED).tcp(IMAP), Drop, DropBanned),
            row("802.1Q", ethernet().vlan(7).ipv4(BANNED).tcp(IMAP), Drop, DropBanned),
            row("802.1Q, priority only", ethernet().vlan(0x6000).ipv4(BANNED).tcp(IMAP), Drop, DropBanned),
            row("802.1Q, IPv6", ethernet().vlan(7).ipv6(BANNED6).tcp(IMAP), Drop, DropBanned),
            row("802.1Q, not banned", ethernet().vlan(7).ipv4(CUSTOMER).tcp(IMAP), Pass, PassClean),
            row("802.1Q, ARP", ethernet().vlan(7).other(0x0806, &[0; 28]), Pass, PassNotIp),
            row("802.1ad", ethernet().service_vlan(7).ipv4(BANNED).tcp(IMAP), Drop, DropBanned),
            row("0x9100", ethernet().old_service_vlan(7).ipv4(BANNED).tcp(IMAP), Drop, DropBanned),
            row("QinQ", ethernet().service_vlan(7).vlan(8).ipv4(BANNED).tcp(IMAP), Drop, DropBanned),
            row("QinQ, IPv6", ethernet().service_vlan(7).vlan(8).ipv6(BANNED6).tcp(IMAP), Drop, DropBanned),
            row("QinQ as of old", ethernet().old_service_vlan(7).vlan(8).ipv4(BANNED).tcp(IMAP), Drop, DropBanned),
            row("two of 802.1Q", ethernet().vlan(7).vlan(8).ipv4(BANNED).tcp(IMAP), Drop, DropBanned),
            row("three tags", ethernet().vlan(7).vlan(8).vlan(9).ipv4(BANNED).tcp(IMAP), Pass, PassVlanTooDeep),
            row(
                "three kinds of tag",
                ethernet().old_service_vlan(7).service_vlan(8).vlan(9).ipv6(BANNED6).tcp(IMAP),
                Pass,
                PassVlanTooDeep,
            ),
            row("four tags", ethernet().vlan(7).vlan(8).vlan(9).vlan(10).ipv4(BANNED).tcp(IMAP), Pass, PassVlanTooDeep),
            row("cut within the first tag", ethernet().vlan(7).ipv4(BANNED).cut_to(17), Pass, PassTruncated),
            row(
                "cut behind the first of two tags",
                ethernet().vlan(7).vlan(8).ipv4(BANNED).cut_to(18),
                Pass,
                PassTruncated,
            ),
            row("cut within the second tag", ethernet().vlan(7).vlan(8).ipv4(BANNED).cut_to(21), Pass, PassTruncated),
            row("cut behind the second tag", ethernet().vlan(7).vlan(8).ipv4(BANNED).cut_to(22), Pass, PassTruncated),
        ],
    );
}

/// Most cards take the outermost tag off and hand it over beside the frame, which the program does not see; so does the
/// kernel before tc. What is left is one tag less.
#[test]
fn a_tag_that_the_card_took_off_is_not_missed() {
    check(
        &mut Loaded::mail_server(),
        &[
            row("802.1Q, taken off", ethernet().ipv4(BANNED).tcp(IMAP), Drop, DropBanned),
            row("QinQ, the outer one taken off", ethernet().vlan(8).ipv4(BANNED).tcp(IMAP), Drop, DropBanned),
            row("three tags, one taken off", ethernet().vlan(8).vlan(9).ipv6(BANNED6).tcp(IMAP), Drop, DropBanned),
        ],
    );
}

/// The interface `ppp0` has no Ethernet header; the one that carries it does.
#[test]
fn a_pppoe_session_hides_nobody() {
    let session = |begin: [u8; 6], protocol: [u8; 2]| {
        let packet = ipv4(BANNED).tcp(IMAP).bytes()[14..].to_vec();
        ethernet().other(0x8864, &[&begin[..], &protocol, &packet].concat())
    };
    check(
        &mut Loaded::strict_mail_server(),
        &[
            row("IPv4", ethernet().pppoe().ipv4(BANNED).tcp(IMAP), Drop, DropBanned),
            row("IPv4, unprotected port", ethernet().pppoe().ipv4(BANNED).tcp(HTTP), Pass, PassOutOfScope),
            row("IPv4, not banned", ethernet().pppoe().ipv4(CUSTOMER).tcp(IMAP), Pass, PassClean),
            row("IPv4 with options", ethernet().pppoe().ipv4(BANNED).options(10).tcp(IMAP), Drop, DropBanned),
            row("IPv6", ethernet().pppoe().ipv6(BANNED6).tcp(IMAP), Drop, DropBanned),
            row("IPv6, banned from all ports", ethernet().pppoe().ipv6(OUTLAW6).udp(HTTP), Drop, DropBanned),
            row("on a VLAN", ethernet().vlan(7).pppoe().ipv4(BANNED).tcp(IMAP), Drop, DropBanned),
            row(
                "on a stacked VLAN",
                ethernet().service_vlan(7).vlan(8).pppoe().ipv4(BANNED).tcp(IMAP),
                Drop,
                DropBanned,
            ),
            row("cut within its header", ethernet().pppoe().ipv4(BANNED).tcp(IMAP).cut_to(14 + 7), Pass, PassTruncated),
            row("cut behind its header", ethernet().pppoe().ipv4(BANNED).tcp(IMAP).cut_to(14 + 8), Pass, PassTruncated),
            row(
                "IPv6 by its number, IPv4 by its version",
                session([0x11, 0, 0, 1, 0, 42], [0, 0x57]),
                Pass,
                PassMalformed,
            ),
            row("the link's own (LCP)", session([0x11, 0, 0, 1, 0, 42], [0xc0, 0x21]), Pass, PassNotIp),
            row("another version", session([0x21, 0, 0, 1, 0, 42], [0, 0x21]), Pass, PassNotIp),
            row("a code of no session", session([0x11, 7, 0, 1, 0, 42], [0, 0x21]), Pass, PassNotIp),
        ],
    );
}
