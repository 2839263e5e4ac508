//! An allow-listed source is never dropped, whatever else is said of it.

use blocker_common::Outcome::{DropBanned, PassAllowed, PassClean, PassExpired, PassOutOfScope, PassUnprotected};
use blocker_common::{Ban, HOLDS_ALLOWED};

use crate::frame::{ipv4, ipv6};
use crate::rows::{check, row};
use crate::tables::{ALL, Action::*, HTTP, IMAP, Loaded, MAIL, SUBMIT, in_force, over};

#[test]
fn an_allow_listed_source_passes_though_it_is_banned() {
    let mut loaded = Loaded::jails();
    loaded.ban("192.0.2.9", in_force(MAIL));
    loaded.allow("192.0.2.9");
    loaded.ban("192.0.2.20", in_force(ALL));
    loaded.allow("192.0.2.16/28");
    loaded.ban("198.51.100.0/24", in_force(MAIL));
    loaded.allow("198.51.100.7");
    loaded.ban("2001:db8:0:1::/64", in_force(MAIL));
    loaded.allow("2001:db8:0:1::9");
    loaded.ban("2001:db8:0:2::/64", in_force(MAIL));
    loaded.allow("2001:db8:0:2::/64");
    loaded.ban("2001:db8:8::9", in_force(MAIL));
    loaded.allow("2001:db8:8::/45");
    check(
        &mut loaded,
        &[
            row("exactly", ipv4("192.0.2.9").tcp(IMAP), Pass, PassAllowed),
            row("by a wider network", ipv4("192.0.2.20").tcp(IMAP), Pass, PassAllowed),
            row("by a wider network, all ports banned", ipv4("192.0.2.20").tcp(HTTP), Pass, PassAllowed),
            row(
                "by a wider network, a later fragment",
                ipv4("192.0.2.20").later_fragment(1).tcp(HTTP),
                Pass,
                PassAllowed,
            ),
            row("inside a banned network", ipv4("198.51.100.7").tcp(IMAP), Pass, PassAllowed),
            row("its neighbour in the banned network", ipv4("198.51.100.8").tcp(IMAP), Drop, DropBanned),
            row("IPv6 inside a banned /64", ipv6("2001:db8:0:1::9").tcp(IMAP), Pass, PassAllowed),
            row("its neighbour in the banned /64", ipv6("2001:db8:0:1::8").tcp(IMAP), Drop, DropBanned),
            row("IPv6, the banned /64 itself", ipv6("2001:db8:0:2::9").tcp(IMAP), Pass, PassAllowed),
            row("IPv6, by a wider network", ipv6("2001:db8:8::9").tcp(IMAP), Pass, PassAllowed),
            row("with a hidden port", ipv6("2001:db8:0:1::9").esp(), Pass, PassAllowed),
            row(
                "its neighbour with a hidden port",
                ipv6("2001:db8:0:1::8").esp(),
                Drop,
                blocker_common::Outcome::DropHidden,
            ),
        ],
    );
}

#[test]
fn the_allowlist_is_asked_only_about_what_would_be_dropped() {
    let mut loaded = Loaded::jails();
    loaded.ban("192.0.2.9", in_force(MAIL));
    loaded.ban("192.0.2.10", over(MAIL));
    loaded.allow("192.0.2.0/24");
    check(
        &mut loaded,
        &[
            row("not banned", ipv4("192.0.2.1").tcp(IMAP), Pass, PassClean),
            row("banned from another port", ipv4("192.0.2.9").tcp(SUBMIT), Pass, PassOutOfScope),
            row("nobody's port", ipv4("192.0.2.9").tcp(HTTP), Pass, PassUnprotected),
            row("the ban is over", ipv4("192.0.2.10").tcp(IMAP), Pass, PassExpired),
            row("banned", ipv4("192.0.2.9").tcp(IMAP), Pass, PassAllowed),
        ],
    );
}

#[test]
fn what_is_passed_by_the_allowlist_is_not_counted_as_dropped() {
    let mut loaded = Loaded::jails();
    loaded.ban("192.0.2.9", in_force(MAIL));
    loaded.allow("192.0.2.9");
    let before = loaded.entry("192.0.2.9");

    check(&mut loaded, &[row("banned and allow-listed", ipv4("192.0.2.9").tcp(IMAP), Pass, PassAllowed)]);

    assert_eq!(loaded.entry("192.0.2.9"), before);
}

#[test]
fn a_ban_that_holds_something_allow_listed_says_so() {
    let mut loaded = Loaded::jails();
    let holding = |scope| Ban { flags: HOLDS_ALLOWED, ..in_force(scope) };
    loaded.ban("192.0.2.9", over(MAIL));
    loaded.ban("192.0.2.0/24", holding(MAIL));
    loaded.ban("2001:db8:0:1::/64", holding(MAIL));
    loaded.allow_unasked("192.0.2.9");
    loaded.allow_unasked("2001:db8:0:1::9");
    check(
        &mut loaded,
        &[
            row("in a marked network", ipv4("192.0.2.9").tcp(IMAP), Pass, PassAllowed),
            row("its neighbour", ipv4("192.0.2.8").tcp(IMAP), Drop, DropBanned),
            row("in a marked /64", ipv6("2001:db8:0:1::9").tcp(IMAP), Pass, PassAllowed),
            row("its neighbour, IPv6", ipv6("2001:db8:0:1::8").tcp(IMAP), Drop, DropBanned),
        ],
    );
}
