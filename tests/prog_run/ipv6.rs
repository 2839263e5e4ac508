//! IPv6 headers: the chain of extensions, and how far it is followed. Fragments have a file of their own.

use blocker_common::Outcome::{DropBanned, DropHidden, PassClean, PassMalformed, PassTruncated, PassUnprotected};

use crate::frame::Extension::{DestinationOptions, Hip, HopByHop, Mobility, Routing, Shim6};
use crate::frame::{Frame, ipv6};
use crate::rows::{check, check_in_several_buffers, row};
use crate::tables::{Action::*, BANNED6, CUSTOMER6, HTTP, IMAP, Loaded, OUTLAW6};

#[test]
fn the_port_is_found_behind_every_extension_header() {
    check(
        &mut Loaded::mail_server(),
        &[
            row("none", ipv6(BANNED6).tcp(IMAP), Drop, DropBanned),
            row("none, unprotected port", ipv6(BANNED6).tcp(HTTP), Pass, PassUnprotected),
            row("none, not banned", ipv6(CUSTOMER6).tcp(IMAP), Pass, PassClean),
            row("hop-by-hop options", ipv6(BANNED6).extension(HopByHop, 0).tcp(IMAP), Drop, DropBanned),
            row("hop-by-hop, unprotected", ipv6(BANNED6).extension(HopByHop, 0).tcp(HTTP), Pass, PassUnprotected),
            row("hop-by-hop, not banned", ipv6(CUSTOMER6).extension(HopByHop, 0).tcp(IMAP), Pass, PassClean),
            row("routing", ipv6(BANNED6).extension(Routing, 0).tcp(IMAP), Drop, DropBanned),
            row("routing of 24 bytes", ipv6(BANNED6).extension(Routing, 2).tcp(IMAP), Drop, DropBanned),
            row("destination options", ipv6(BANNED6).extension(DestinationOptions, 0).tcp(IMAP), Drop, DropBanned),
            row(
                "the longest options, 2048 bytes",
                ipv6(BANNED6).extension(DestinationOptions, 255).tcp(IMAP),
                Drop,
                DropBanned,
            ),
            row("mobility", ipv6(BANNED6).extension(Mobility, 0).tcp(IMAP), Drop, DropBanned),
            row("HIP", ipv6(BANNED6).extension(Hip, 4).tcp(IMAP), Drop, DropBanned),
            row("Shim6", ipv6(BANNED6).extension(Shim6, 0).tcp(IMAP), Drop, DropBanned),
            row("fragment", ipv6(BANNED6).fragment(0, true).tcp(IMAP), Drop, DropBanned),
            row("authentication of 12 bytes", ipv6(BANNED6).authentication(0).tcp(IMAP), Drop, DropBanned),
            row("authentication of 24 bytes", ipv6(BANNED6).authentication(3).tcp(IMAP), Drop, DropBanned),
            row(
                "authentication of 24 bytes, unprotected",
                ipv6(BANNED6).authentication(3).tcp(HTTP),
                Pass,
                PassUnprotected,
            ),
        ],
    );
}

#[test]
fn a_chain_is_followed_through_eight_headers() {
    let one_after_another = |source| {
        let chain = ipv6(source).extension(HopByHop, 0).extension(DestinationOptions, 1).extension(Routing, 2);
        chain.fragment(0, false).authentication(3).extension(Mobility, 0).extension(Hip, 0).extension(Shim6, 1)
    };
    check(
        &mut Loaded::mail_server(),
        &[
            row("2 headers", chain(BANNED6, 2).tcp(IMAP), Drop, DropBanned),
            row("4 headers", chain(BANNED6, 4).tcp(IMAP), Drop, DropBanned),
            row("7 headers", chain(BANNED6, 7).tcp(IMAP), Drop, DropBanned),
            row("8 headers", chain(BANNED6, 8).tcp(IMAP), Drop, DropBanned),
            row("8 headers, unprotected port", chain(BANNED6, 8).tcp(HTTP), Pass, PassUnprotected),
            row("8 headers, not banned", chain(CUSTOMER6, 8).tcp(IMAP), Pass, PassClean),
            row("8 headers, then ICMPv6", chain(BANNED6, 8).icmpv6(128), Pass, PassUnprotected),
            row("8 headers, one of each kind", one_after_another(BANNED6).tcp(IMAP), Drop, DropBanned),
            row("8 headers of each kind, not banned", one_after_another(CUSTOMER6).tcp(IMAP), Pass, PassClean),
        ],
    );
}

#[test]
fn a_longer_chain_wins_a_banned_source_nothing() {
    check(
        &mut Loaded::strict_mail_server(),
        &[
            row("9 headers, banned", chain(BANNED6, 9).tcp(IMAP), Drop, DropHidden),
            row("9 headers, banned, unprotected port", chain(BANNED6, 9).tcp(HTTP), Drop, DropHidden),
            row("9 headers, banned, ICMPv6", chain(BANNED6, 9).icmpv6(128), Drop, DropHidden),
            row("9 headers, banned from all ports", chain(OUTLAW6, 9).tcp(IMAP), Drop, DropHidden),
            row("9 headers, not banned", chain(CUSTOMER6, 9).tcp(IMAP), Pass, PassClean),
            row(
                "8 headers and a fragment's, banned",
                chain(BANNED6, 8).fragment(9, true).payload(&[0; 16]),
                Drop,
                DropHidden,
            ),
            row(
                "8 headers and authentication, banned",
                chain(BANNED6, 8).authentication(0).tcp(IMAP),
                Drop,
                DropHidden,
            ),
            row("20 headers, banned", chain(BANNED6, 20).tcp(IMAP), Drop, DropHidden),
            row("20 headers, not banned", chain(CUSTOMER6, 20).tcp(IMAP), Pass, PassClean),
        ],
    );
}

#[test]
fn what_cannot_be_looked_into_hides_its_port() {
    check(
        &mut Loaded::strict_mail_server(),
        &[
            row("ESP, banned", ipv6(BANNED6).esp(), Drop, DropHidden),
            row("ESP, banned from all ports", ipv6(OUTLAW6).esp(), Drop, DropHidden),
            row("ESP, not banned", ipv6(CUSTOMER6).esp(), Pass, PassClean),
            row("ESP behind options, banned", chain(BANNED6, 2).esp(), Drop, DropHidden),
            row("no next header, banned", ipv6(BANNED6).no_next(), Drop, DropHidden),
            row("no next header, not banned", ipv6(CUSTOMER6).no_next(), Pass, PassClean),
            row("no next header behind options, banned", chain(BANNED6, 3).no_next(), Drop, DropHidden),
        ],
    );
}

#[test]
fn a_header_that_contradicts_itself_or_ends_early_passes() {
    check(
        &mut Loaded::strict_mail_server(),
        &[
            row("version 4", ipv6(OUTLAW6).tcp(IMAP).ip_begins_with(0x45), Pass, PassMalformed),
            row("version 0", ipv6(OUTLAW6).tcp(IMAP).ip_begins_with(0), Pass, PassMalformed),
            row("1 byte of IP", ipv6(OUTLAW6).tcp(IMAP).cut_to(14 + 1), Pass, PassTruncated),
            row("39 bytes of IP", ipv6(OUTLAW6).tcp(IMAP).cut_to(14 + 39), Pass, PassTruncated),
            row("IP without TCP", ipv6(OUTLAW6).tcp(IMAP).cut_to(54), Pass, PassTruncated),
            row("TCP up to half its port", ipv6(OUTLAW6).tcp(IMAP).cut_to(54 + 3), Pass, PassTruncated),
            row("TCP up to its port", ipv6(OUTLAW6).tcp(IMAP).cut_to(54 + 4), Drop, DropBanned),
            row("cut before the options", chain(OUTLAW6, 1).tcp(IMAP).cut_to(54), Pass, PassTruncated),
            row("cut within the options", chain(OUTLAW6, 1).tcp(IMAP).cut_to(54 + 7), Pass, PassTruncated),
        ],
    );
}

#[test]
fn extension_headers_that_reach_beyond_what_can_be_read_win_a_banned_source_nothing() {
    let reaching_beyond = |source| ipv6(source).extension(DestinationOptions, 255).tcp(IMAP).cut_to(54 + 100);
    // Longer than the first buffer of a frame in several: the port is there, but not to be seen here.
    let beyond_the_first_buffer =
        |source| ipv6(source).extension(DestinationOptions, 255).extension(DestinationOptions, 255).tcp(IMAP);
    check(
        &mut Loaded::strict_mail_server(),
        &[
            row("cut behind the options", chain(OUTLAW6, 1).tcp(IMAP).cut_to(54 + 8), Drop, DropHidden),
            row("cut behind the options, port-scoped ban", chain(BANNED6, 1).tcp(IMAP).cut_to(62), Drop, DropHidden),
            row("cut behind the options, not banned", chain(CUSTOMER6, 1).tcp(IMAP).cut_to(62), Pass, PassClean),
            row("cut within the second of two", chain(OUTLAW6, 2).tcp(IMAP).cut_to(54 + 12), Drop, DropHidden),
            row("options that reach beyond the end", reaching_beyond(OUTLAW6), Drop, DropHidden),
            row("the same, not banned", reaching_beyond(CUSTOMER6), Pass, PassClean),
        ],
    );
    check_in_several_buffers(&[
        row("port beyond the first buffer, banned", beyond_the_first_buffer(BANNED6), Drop, DropHidden),
        row("port beyond the first buffer, not banned", beyond_the_first_buffer(CUSTOMER6), Pass, PassClean),
    ]);
}

/// A packet with as many extension headers.
fn chain(source: &str, headers: usize) -> Frame {
    (0..headers).fold(ipv6(source), |frame, _| frame.extension(DestinationOptions, 0))
}
