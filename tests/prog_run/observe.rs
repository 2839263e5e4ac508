//! The mode `observe`: everything is judged and counted, nothing is dropped.

use blocker_common::Outcome::{DropBanned, PassAllowed, PassClean, PassObserved, PassOutOfScope, PassUnprotected};
use blocker_common::{SCOPE_ALL, SCOPE_ALL_OBSERVED};

use crate::frame::{ipv4, ipv6};
use crate::rows::{check, row};
use crate::tables::{
    Action::*, BANNED, BANNED6, CUSTOMER, HTTP, IMAP, IMAPS, Loaded, MAIL, OUTLAW, OUTLAW6, SUBMISSION, SUBMIT,
    in_force,
};

#[test]
fn observing_drops_nothing() {
    let mut loaded = Loaded::mail_server();
    loaded.observe();
    check(
        &mut loaded,
        &[
            row("banned", ipv4(BANNED).tcp(IMAP), Pass, PassObserved),
            row("banned, IPv6", ipv6(BANNED6).tcp(IMAP), Pass, PassObserved),
            row("banned, with a hidden port", ipv6(BANNED6).esp(), Pass, PassObserved),
            row("banned from another port", ipv4(BANNED).tcp(SUBMIT), Pass, PassOutOfScope),
            row("nobody's port", ipv4(BANNED).tcp(HTTP), Pass, PassUnprotected),
            row("not banned", ipv4(CUSTOMER).tcp(IMAP), Pass, PassClean),
        ],
    );
    let seen = loaded.entry(BANNED);
    assert_eq!(seen.packets, 3, "what would be dropped is counted on the ban, by all three programs");
}

#[test]
fn observing_drops_nothing_under_bans_of_all_ports() {
    let mut loaded = Loaded::strict_mail_server();
    loaded.allow(OUTLAW6);
    loaded.observe();
    check(
        &mut loaded,
        &[
            row("banned", ipv4(OUTLAW).tcp(HTTP), Pass, PassObserved),
            row("banned, later fragment", ipv4(OUTLAW).later_fragment(1).tcp(HTTP), Pass, PassObserved),
            row("banned and allow-listed", ipv6(OUTLAW6).tcp(HTTP), Pass, PassAllowed),
        ],
    );
}

#[test]
fn a_jail_that_observes_drops_nothing_and_hinders_nobody() {
    let mut loaded = Loaded::jails();
    loaded.ban("192.0.2.9", in_force(MAIL));
    loaded.ban("192.0.2.10", in_force(MAIL | SUBMISSION));
    loaded.ban("192.0.2.11", in_force(MAIL));
    loaded.ban("192.0.2.8/30", in_force(SUBMISSION));
    loaded.observe_jails(MAIL);
    check(
        &mut loaded,
        &[
            row("its ban, its port", ipv4("192.0.2.9").tcp(IMAP), Pass, PassObserved),
            row("two jails, its port", ipv4("192.0.2.10").tcp(IMAP), Pass, PassObserved),
            row("two jails, a port of both", ipv4("192.0.2.10").tcp(IMAPS), Drop, DropBanned),
            row("its narrow ban, another's wide one", ipv4("192.0.2.11").tcp(IMAPS), Drop, DropBanned),
            row("another's port", ipv4("192.0.2.11").tcp(SUBMIT), Drop, DropBanned),
        ],
    );
    assert_eq!(loaded.entry("192.0.2.9").packets, 3, "what would be dropped is counted, by all three programs");
    assert_eq!(loaded.entry("192.0.2.11").packets, 0, "who drops counts, not who would have");
}

#[test]
fn a_jail_of_all_ports_can_observe() {
    let mut loaded = Loaded::jails();
    loaded.ban(OUTLAW, in_force(SCOPE_ALL_OBSERVED | 1 << 7));
    loaded.ban(OUTLAW6, in_force(SCOPE_ALL_OBSERVED | SCOPE_ALL | 3 << 7));
    loaded.observe_jails(1 << 7);
    check(
        &mut loaded,
        &[
            row("by it alone", ipv4(OUTLAW).tcp(HTTP), Pass, PassObserved),
            row("by another, too", ipv6(OUTLAW6).tcp(HTTP), Drop, DropBanned),
        ],
    );
}

#[test]
fn an_interface_that_observes_drops_nothing() {
    let mut loaded = Loaded::strict_mail_server();
    loaded.observe_interface();
    check(
        &mut loaded,
        &[
            row("banned", ipv4(BANNED).tcp(IMAP), Pass, PassObserved),
            row("banned from everything", ipv6(OUTLAW6).tcp(HTTP), Pass, PassObserved),
            row("not banned", ipv4(CUSTOMER).tcp(IMAP), Pass, PassClean),
        ],
    );
}
