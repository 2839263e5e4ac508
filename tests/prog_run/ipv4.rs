//! IPv4 headers: options, damage, padding. Fragments have a file of their own.

use blocker_common::Outcome::{DropBanned, PassClean, PassMalformed, PassTruncated, PassUnprotected};

use crate::frame::ipv4;
use crate::rows::{check, row};
use crate::tables::{Action::*, BANNED, CUSTOMER, HTTP, IMAP, Loaded, OUTLAW};

#[test]
fn the_port_is_found_behind_options_of_every_length() {
    check(
        &mut Loaded::mail_server(),
        &[
            row("no options", ipv4(BANNED).tcp(IMAP), Drop, DropBanned),
            row("4 bytes", ipv4(BANNED).options(1).tcp(IMAP), Drop, DropBanned),
            row("8 bytes", ipv4(BANNED).options(2).tcp(IMAP), Drop, DropBanned),
            row("12 bytes", ipv4(BANNED).options(3).tcp(IMAP), Drop, DropBanned),
            row("16 bytes", ipv4(BANNED).options(4).tcp(IMAP), Drop, DropBanned),
            row("20 bytes", ipv4(BANNED).options(5).tcp(IMAP), Drop, DropBanned),
            row("24 bytes", ipv4(BANNED).options(6).tcp(IMAP), Drop, DropBanned),
            row("28 bytes", ipv4(BANNED).options(7).tcp(IMAP), Drop, DropBanned),
            row("32 bytes", ipv4(BANNED).options(8).tcp(IMAP), Drop, DropBanned),
            row("36 bytes", ipv4(BANNED).options(9).tcp(IMAP), Drop, DropBanned),
            row("40 bytes", ipv4(BANNED).options(10).tcp(IMAP), Drop, DropBanned),
            row("40 bytes, unprotected port", ipv4(BANNED).options(10).tcp(HTTP), Pass, PassUnprotected),
            row("40 bytes, not banned", ipv4(CUSTOMER).options(10).tcp(IMAP), Pass, PassClean),
        ],
    );
}

#[test]
fn a_header_that_contradicts_itself_passes() {
    check(
        &mut Loaded::strict_mail_server(),
        &[
            row("length of 0 words", ipv4(OUTLAW).tcp(IMAP).ip_begins_with(0x40), Pass, PassMalformed),
            row("length of 1 word", ipv4(OUTLAW).tcp(IMAP).ip_begins_with(0x41), Pass, PassMalformed),
            row("length of 4 words", ipv4(OUTLAW).tcp(IMAP).ip_begins_with(0x44), Pass, PassMalformed),
            row("version 0", ipv4(OUTLAW).tcp(IMAP).ip_begins_with(0x05), Pass, PassMalformed),
            row("version 5", ipv4(OUTLAW).tcp(IMAP).ip_begins_with(0x55), Pass, PassMalformed),
            row("version 6", ipv4(OUTLAW).tcp(IMAP).ip_begins_with(0x65), Pass, PassMalformed),
            row("version 15", ipv4(OUTLAW).tcp(IMAP).ip_begins_with(0xf5), Pass, PassMalformed),
        ],
    );
}

#[test]
fn a_packet_that_ends_before_its_headers_passes() {
    check(
        &mut Loaded::mail_server(),
        &[
            row("1 byte of IP", ipv4(BANNED).tcp(IMAP).cut_to(14 + 1), Pass, PassTruncated),
            row("19 bytes of IP", ipv4(BANNED).tcp(IMAP).cut_to(14 + 19), Pass, PassTruncated),
            row("IP without TCP", ipv4(BANNED).tcp(IMAP).cut_to(34), Pass, PassTruncated),
            row("TCP up to its source port", ipv4(BANNED).tcp(IMAP).cut_to(34 + 2), Pass, PassTruncated),
            row("TCP up to half its port", ipv4(BANNED).tcp(IMAP).cut_to(34 + 3), Pass, PassTruncated),
            row("TCP up to its port", ipv4(BANNED).tcp(IMAP).cut_to(34 + 4), Drop, DropBanned),
            row("UDP up to half its port", ipv4(BANNED).udp(IMAP).cut_to(34 + 3), Pass, PassTruncated),
            row("options without an end", ipv4(BANNED).options(10).tcp(IMAP).cut_to(14 + 59), Pass, PassTruncated),
            row("options without TCP", ipv4(BANNED).options(10).tcp(IMAP).cut_to(14 + 60), Pass, PassTruncated),
            row("a length beyond the end", ipv4(BANNED).tcp(IMAP).ip_begins_with(0x4f), Pass, PassTruncated),
        ],
    );
}

#[test]
fn padding_is_not_read_as_a_packet() {
    check(
        &mut Loaded::mail_server(),
        &[
            row("a SYN in the shortest frame", ipv4(BANNED).tcp(IMAP).padded(60), Drop, DropBanned),
            row("UDP in the shortest frame", ipv4(BANNED).udp(IMAP).padded(60), Pass, PassUnprotected),
            row("not banned, in the shortest frame", ipv4(CUSTOMER).tcp(IMAP).padded(60), Pass, PassClean),
            row("a full frame", ipv4(BANNED).tcp(IMAP).payload(&[0x20; 1460]), Drop, DropBanned),
        ],
    );
}
