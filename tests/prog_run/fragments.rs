//! Fragments: the first shows its ports or is taken for the worst; later ones are worth nothing without it.

use blocker_common::Outcome::{
    DropBanned, DropHidden, PassClean, PassExpired, PassOutOfScope, PassTruncated, PassUnprotected,
};

use crate::frame::Extension::{DestinationOptions, HopByHop};
use crate::frame::{Frame, ipv4, ipv6};
use crate::rows::{check, row};
use crate::tables::{
    Action::*, BANNED, BANNED6, CUSTOMER, CUSTOMER6, HTTP, IMAP, Loaded, MAIL, OUTLAW, OUTLAW6, SUBMISSION, SUBMIT,
    over,
};

const LATER: [u8; 32] = [0xdd; 32];

#[test]
fn ipv4_fragments_under_bans_of_some_ports() {
    check(
        &mut Loaded::mail_server(),
        &[
            row("first, with its port", ipv4(BANNED).first_fragment().tcp(IMAP), Drop, DropBanned),
            row("first, behind options", ipv4(BANNED).options(3).first_fragment().tcp(IMAP), Drop, DropBanned),
            row("first, unprotected port", ipv4(BANNED).first_fragment().tcp(HTTP), Pass, PassUnprotected),
            row("first, not banned", ipv4(CUSTOMER).first_fragment().tcp(IMAP), Pass, PassClean),
            row("not to be fragmented", ipv4(BANNED).dont_fragment().tcp(IMAP), Drop, DropBanned),
            row(
                "later, with what looks like the port",
                ipv4(BANNED).later_fragment(1).tcp(IMAP),
                Pass,
                PassUnprotected,
            ),
            row("last", ipv4(BANNED).last_fragment(185).tcp(IMAP), Pass, PassUnprotected),
            row("last, the farthest", ipv4(BANNED).last_fragment(0x1fff).udp(IMAP), Pass, PassUnprotected),
            row("later, not banned", ipv4(CUSTOMER).later_fragment(1).tcp(IMAP), Pass, PassUnprotected),
            row("later, empty", ipv4(BANNED).last_fragment(1).tcp(IMAP).cut_to(34), Pass, PassUnprotected),
            row("first, without its port", ipv4(BANNED).first_fragment().tcp(IMAP).cut_to(34), Drop, DropHidden),
            row("first, with half its port", ipv4(BANNED).first_fragment().tcp(IMAP).cut_to(37), Drop, DropHidden),
            row("first, UDP without its port", ipv4(BANNED).first_fragment().udp(HTTP).cut_to(34), Drop, DropHidden),
            row(
                "first, without its port, not banned",
                ipv4(CUSTOMER).first_fragment().tcp(IMAP).cut_to(34),
                Pass,
                PassClean,
            ),
            row("no fragment, without its port", ipv4(BANNED).tcp(IMAP).cut_to(34), Pass, PassTruncated),
            row("first, ICMP", ipv4(BANNED).first_fragment().icmp(8), Pass, PassUnprotected),
        ],
    );
}

#[test]
fn ipv4_fragments_under_bans_of_all_ports() {
    check(
        &mut Loaded::strict_mail_server(),
        &[
            row("first", ipv4(OUTLAW).first_fragment().tcp(HTTP), Drop, DropBanned),
            row("first, without its port", ipv4(OUTLAW).first_fragment().tcp(HTTP).cut_to(34), Drop, DropHidden),
            row("later", ipv4(OUTLAW).later_fragment(1).tcp(HTTP), Drop, DropBanned),
            row("last", ipv4(OUTLAW).last_fragment(185).tcp(HTTP), Drop, DropBanned),
            row("last, empty", ipv4(OUTLAW).last_fragment(185).tcp(HTTP).cut_to(34), Drop, DropBanned),
            row("later, of ICMP", ipv4(OUTLAW).later_fragment(1).icmp(8), Drop, DropBanned),
            row(
                "later, from one banned from some ports",
                ipv4(BANNED).later_fragment(1).tcp(IMAP),
                Pass,
                PassOutOfScope,
            ),
            row("later, not banned", ipv4(CUSTOMER).later_fragment(1).tcp(IMAP), Pass, PassClean),
        ],
    );
}

#[test]
fn ipv6_fragments_under_bans_of_some_ports() {
    check(
        &mut Loaded::mail_server(),
        &[
            row("first, with its port", ipv6(BANNED6).fragment(0, true).tcp(IMAP), Drop, DropBanned),
            row("first, unprotected port", ipv6(BANNED6).fragment(0, true).tcp(HTTP), Pass, PassUnprotected),
            row("first, not banned", ipv6(CUSTOMER6).fragment(0, true).tcp(IMAP), Pass, PassClean),
            row("atomic", ipv6(BANNED6).fragment(0, false).tcp(IMAP), Drop, DropBanned),
            row("atomic, unprotected port", ipv6(BANNED6).fragment(0, false).tcp(HTTP), Pass, PassUnprotected),
            row("atomic, without its port", ipv6(BANNED6).fragment(0, false).tcp(IMAP).cut_to(62), Drop, DropHidden),
            row("first, without its port", ipv6(BANNED6).fragment(0, true).tcp(IMAP).cut_to(62), Drop, DropHidden),
            row("first, with half its port", ipv6(BANNED6).fragment(0, true).tcp(IMAP).cut_to(65), Drop, DropHidden),
            row(
                "first, without its port, not banned",
                ipv6(CUSTOMER6).fragment(0, true).tcp(IMAP).cut_to(62),
                Pass,
                PassClean,
            ),
            row(
                "first, whose options are in the next",
                ipv6(BANNED6).fragment(0, true).extension(DestinationOptions, 0).tcp(IMAP).cut_to(62),
                Drop,
                DropHidden,
            ),
            row(
                "first, whose options end in the next",
                ipv6(BANNED6).fragment(0, true).extension(DestinationOptions, 9).tcp(IMAP).cut_to(62 + 16),
                Drop,
                DropHidden,
            ),
            row(
                "first, cut within options before the fragment header",
                ipv6(BANNED6).extension(HopByHop, 0).fragment(0, true).tcp(IMAP).cut_to(54 + 4),
                Pass,
                PassTruncated,
            ),
            row(
                "cut within the fragment header",
                ipv6(BANNED6).fragment(0, true).tcp(IMAP).cut_to(54 + 7),
                Pass,
                PassTruncated,
            ),
            row(
                "first of a first",
                ipv6(BANNED6).fragment(0, true).fragment(0, true).tcp(IMAP).cut_to(54 + 16),
                Drop,
                DropHidden,
            ),
            row(
                "first, behind options",
                ipv6(BANNED6).extension(HopByHop, 0).fragment(0, true).tcp(IMAP),
                Drop,
                DropBanned,
            ),
            row("first, ESP", ipv6(BANNED6).fragment(0, true).esp(), Drop, DropHidden),
            row("first, ICMPv6", ipv6(BANNED6).fragment(0, true).icmpv6(128), Pass, PassUnprotected),
            row(
                "later, with what looks like the port",
                ipv6(BANNED6).fragment(1, true).tcp(IMAP),
                Pass,
                PassUnprotected,
            ),
            row("last", ipv6(BANNED6).fragment(0x1fff, false).tcp(IMAP), Pass, PassUnprotected),
            row(
                "later, of options",
                ipv6(BANNED6).fragment(1, true).extension(DestinationOptions, 0).payload(&LATER),
                Pass,
                PassUnprotected,
            ),
            row("later, empty", ipv6(BANNED6).fragment(1, false).tcp(IMAP).cut_to(62), Pass, PassUnprotected),
            row("later, not banned", ipv6(CUSTOMER6).fragment(1, true).tcp(IMAP), Pass, PassUnprotected),
        ],
    );
}

/// A frame may be longer than its packet. What follows is cut off by the stack, which then puts the fragments together: a
/// port that stands there is none, and whoever writes it wants another.
#[test]
fn a_port_behind_the_end_of_an_ipv6_fragment_is_no_port() {
    let http = [0x9c, 0x41, 0, 80, 0, 0, 0, 0];
    // Options and nothing more: TCP is in the next fragment.
    let options = |source| ipv6(source).fragment(0, true).extension(DestinationOptions, 0);
    let says_tcp = |frame: Frame| frame.says_next(62, 6);
    let later = [6, 0, 0, 0x08, 0, 0, 0, 7];
    check(
        &mut Loaded::mail_server(),
        &[
            row("an unprotected port", says_tcp(options(BANNED6)).trailer(&http), Drop, DropHidden),
            row("zeros, as Ethernet pads", says_tcp(options(BANNED6)).padded(100), Drop, DropHidden),
            row("a protected port", says_tcp(options(BANNED6)).trailer(&[0x9c, 0x41, 0, 143]), Drop, DropHidden),
            row("not banned", says_tcp(options(CUSTOMER6)).trailer(&http), Pass, PassClean),
            row(
                "what looks like ICMPv6",
                options(BANNED6).says_next(62, 60).trailer(&[58, 0, 0, 0, 0, 0, 0, 0]),
                Drop,
                DropHidden,
            ),
            row(
                "what looks like a later fragment",
                options(BANNED6).says_next(62, 44).trailer(&later),
                Drop,
                DropHidden,
            ),
            row(
                "an atomic fragment without its port",
                ipv6(BANNED6).fragment(0, false).says_next(54, 6).trailer(&http),
                Drop,
                DropHidden,
            ),
            row(
                "options without a port, and no fragment",
                ipv6(BANNED6).extension(DestinationOptions, 0).says_next(54, 6).trailer(&http),
                Drop,
                DropHidden,
            ),
            row(
                "a whole packet, padded",
                ipv6(BANNED6).extension(DestinationOptions, 0).tcp(HTTP).padded(120),
                Pass,
                PassUnprotected,
            ),
            row(
                "a later fragment, padded",
                ipv6(BANNED6).fragment(1, false).payload(&[0xdd; 8]).padded(120),
                Pass,
                PassUnprotected,
            ),
        ],
    );
}

#[test]
fn ipv6_fragments_under_bans_of_all_ports() {
    check(
        &mut Loaded::strict_mail_server(),
        &[
            row("first", ipv6(OUTLAW6).fragment(0, true).tcp(HTTP), Drop, DropBanned),
            row("first, without its port", ipv6(OUTLAW6).fragment(0, true).tcp(HTTP).cut_to(62), Drop, DropHidden),
            row("later", ipv6(OUTLAW6).fragment(1, true).tcp(HTTP), Drop, DropBanned),
            row("last", ipv6(OUTLAW6).fragment(185, false).payload(&LATER), Drop, DropBanned),
            row(
                "later, from one banned from some ports",
                ipv6(BANNED6).fragment(1, true).tcp(IMAP),
                Pass,
                PassOutOfScope,
            ),
            row("later, not banned", ipv6(CUSTOMER6).fragment(1, true).tcp(IMAP), Pass, PassClean),
        ],
    );
}

#[test]
fn hiding_the_port_is_no_crime_once_the_ban_is_over() {
    let mut loaded = Loaded::jails();
    loaded.ban(BANNED, over(MAIL));
    loaded.ban("2001:db8:0:1::/64", over(SUBMISSION));
    check(
        &mut loaded,
        &[
            row("IPv4", ipv4(BANNED).first_fragment().tcp(IMAP).cut_to(34), Pass, PassExpired),
            row("IPv6", ipv6(BANNED6).fragment(0, true).tcp(SUBMIT).cut_to(62), Pass, PassExpired),
        ],
    );
}
