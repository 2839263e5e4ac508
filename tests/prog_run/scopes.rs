//! Jails and their ports: a ban closes the ports of its jails, and no others.

use blocker_common::Outcome::{DropBanned, PassClean, PassOutOfScope, PassUnprotected};
use blocker_common::{Protocol, flags};

use crate::frame::{ipv4, ipv6};
use crate::rows::{check, row};
use crate::tables::{
    ALL, Action::*, CUSTOMER, CUSTOMER6, HTTP, IMAP, IMAPS, Loaded, MAIL, SIP, SUBMISSION, SUBMIT, TELEPHONE, in_force,
};

const BY_MAIL: &str = "192.0.2.1";
const BY_SUBMISSION: &str = "192.0.2.2";
const BY_BOTH: &str = "192.0.2.3";
const BY_TELEPHONE: &str = "192.0.2.4";
const BY_ALL: &str = "192.0.2.5";

#[test]
fn a_ban_closes_the_ports_of_its_jails_alone() {
    let mut loaded = Loaded::jails();
    loaded.ban(BY_MAIL, in_force(MAIL));
    loaded.ban(BY_SUBMISSION, in_force(SUBMISSION));
    loaded.ban(BY_BOTH, in_force(MAIL | SUBMISSION));
    loaded.ban(BY_TELEPHONE, in_force(TELEPHONE));
    check(
        &mut loaded,
        &[
            row("its own port", ipv4(BY_MAIL).tcp(IMAP), Drop, DropBanned),
            row("its own port that another jail has, too", ipv4(BY_MAIL).tcp(IMAPS), Drop, DropBanned),
            row("another jail's port", ipv4(BY_MAIL).tcp(SUBMIT), Pass, PassOutOfScope),
            row("another jail's UDP port", ipv4(BY_MAIL).udp(SIP), Pass, PassOutOfScope),
            row("nobody's port", ipv4(BY_MAIL).tcp(HTTP), Pass, PassUnprotected),
            row("the other jail's ban at its own port", ipv4(BY_SUBMISSION).tcp(SUBMIT), Drop, DropBanned),
            row("the other jail's ban at the shared port", ipv4(BY_SUBMISSION).tcp(IMAPS), Drop, DropBanned),
            row("the other jail's ban at the first one's port", ipv4(BY_SUBMISSION).tcp(IMAP), Pass, PassOutOfScope),
            row("both jails' ban at the first one's port", ipv4(BY_BOTH).tcp(IMAP), Drop, DropBanned),
            row("both jails' ban at the second one's port", ipv4(BY_BOTH).tcp(SUBMIT), Drop, DropBanned),
            row("both jails' ban at a third one's port", ipv4(BY_BOTH).udp(SIP), Pass, PassOutOfScope),
            row("the highest jail's ban at its own port", ipv4(BY_TELEPHONE).udp(SIP), Drop, DropBanned),
            row("the highest jail's ban at the lowest one's", ipv4(BY_TELEPHONE).tcp(IMAP), Pass, PassOutOfScope),
            row("nobody's ban", ipv4(CUSTOMER).tcp(IMAP), Pass, PassClean),
            row("nobody's ban over IPv6", ipv6(CUSTOMER6).udp(SIP), Pass, PassClean),
            row("nobody's ban at nobody's port", ipv4(CUSTOMER).tcp(HTTP), Pass, PassUnprotected),
        ],
    );
}

#[test]
fn a_ban_of_all_ports_closes_them_and_leaves_the_others_bans_alone() {
    let mut loaded = Loaded::jails();
    loaded.ban(BY_ALL, in_force(ALL));
    loaded.ban(BY_MAIL, in_force(MAIL));
    check(
        &mut loaded,
        &[
            row("a protected port", ipv4(BY_ALL).tcp(IMAP), Drop, DropBanned),
            row("a protected UDP port", ipv4(BY_ALL).udp(SIP), Drop, DropBanned),
            row("nobody's port", ipv4(BY_ALL).tcp(HTTP), Drop, DropBanned),
            row("nobody's UDP port", ipv4(BY_ALL).udp(HTTP), Drop, DropBanned),
            row("one banned from some ports, at one of them", ipv4(BY_MAIL).tcp(IMAP), Drop, DropBanned),
            row("one banned from some ports, at nobody's", ipv4(BY_MAIL).tcp(HTTP), Pass, PassOutOfScope),
            row("nobody's ban at nobody's port", ipv4(CUSTOMER).tcp(HTTP), Pass, PassClean),
        ],
    );
}

#[test]
fn without_any_ban_nothing_is_dropped() {
    check(
        &mut Loaded::empty(),
        &[
            row("no port protected", ipv4(BY_MAIL).tcp(IMAP), Pass, PassUnprotected),
            row("no port protected, IPv6", ipv6(CUSTOMER6).udp(SIP), Pass, PassUnprotected),
            row("a hidden port", ipv6(CUSTOMER6).esp(), Pass, PassClean),
        ],
    );
}

#[test]
fn a_port_that_is_released_is_open() {
    let mut loaded = Loaded::jails();
    loaded.ban(BY_MAIL, in_force(MAIL));
    check(&mut loaded, &[row("protected", ipv4(BY_MAIL).tcp(IMAP), Drop, DropBanned)]);

    loaded.protect(Protocol::Tcp, IMAP, SUBMISSION);
    check(&mut loaded, &[row("another jail's", ipv4(BY_MAIL).tcp(IMAP), Pass, PassOutOfScope)]);

    loaded.protect(Protocol::Tcp, IMAP, 0);
    check(&mut loaded, &[row("nobody's", ipv4(BY_MAIL).tcp(IMAP), Pass, PassUnprotected)]);
}

#[test]
fn searches_for_which_there_is_nothing_to_find_change_no_verdict() {
    let mut loaded = Loaded::jails();
    loaded.ban(BY_MAIL, in_force(MAIL));
    loaded.set_flags(flags::ALL_PORTS | flags::NETWORKS4 | flags::NETWORKS6);
    check(
        &mut loaded,
        &[
            row("banned", ipv4(BY_MAIL).tcp(IMAP), Drop, DropBanned),
            row("banned, nobody's port", ipv4(BY_MAIL).tcp(HTTP), Pass, PassOutOfScope),
            row("not banned", ipv4(CUSTOMER).tcp(IMAP), Pass, PassClean),
            row("not banned, IPv6", ipv6(CUSTOMER6).tcp(IMAP), Pass, PassClean),
        ],
    );
}
