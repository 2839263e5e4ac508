//! The mode `observe`: everything is judged and counted, nothing is dropped.

use blocker_common::Outcome::{PassAllowed, PassClean, PassObserved, PassOutOfScope, PassUnprotected};

use crate::frame::{ipv4, ipv6};
use crate::rows::{check, row};
use crate::tables::{Action::*, BANNED, BANNED6, CUSTOMER, HTTP, IMAP, Loaded, OUTLAW, OUTLAW6, SUBMIT};

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
    assert_eq!(seen.packets, 2, "what would be dropped is counted on the ban, by both programs");
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
