//! What a CPU remembers of a ban it has just dropped for is never more than what the ban says.

use std::time::{Duration, Instant};

use aya::maps::{HashMap, Map, MapData, loaded_maps};
use blocker::kernel::Program;
use blocker_common::Outcome::{
    DropBanned, DropHidden, PassAllowed, PassClean, PassExpired, PassObserved, PassOutOfScope,
};
use blocker_common::{Ban, HOLDS_ALLOWED, Host4, MapName, Outcome, Tally};

use crate::frame::{Frame, ipv4, ipv6};
use crate::tables::{
    Action, BANNED, BANNED6, IMAP, Loaded, MAIL, SUBMISSION, SUBMIT, TICK_NS, in_force, now_ns, stay_on_this_cpu,
};

/// The prefixes that the tables of a mail server ban, and a frame from each.
fn banned() -> [(&'static str, Frame); 2] {
    [(BANNED, ipv4(BANNED).tcp(IMAP)), ("2001:db8:0:1::/64", ipv6(BANNED6).tcp(IMAP))]
}

/// A mail server that has just dropped for both bans, on this CPU.
fn besieged() -> Loaded {
    stay_on_this_cpu();
    let mut loaded = Loaded::mail_server();
    // Neighbours, for whose sake the bans' places stay marked.
    loaded.ban("192.0.2.200", in_force(MAIL));
    loaded.ban("2001:db8:0:2::/64", in_force(MAIL));
    for (_, frame) in banned() {
        for _ in 0..3 {
            assert_eq!(at_once(&mut loaded, &frame), Action::Drop);
        }
    }
    loaded
}

/// Runs on this CPU's notes: a CPU goes by what it remembers for the rest of a tick in which it has read the clock, and the clock
/// is read for a neighbour's packet. The program for tc, because the kernel takes several ticks to begin with another.
fn at_once(loaded: &mut Loaded, frame: &Frame) -> Action {
    for neighbour in [ipv4("192.0.2.200").tcp(IMAP), ipv6("2001:db8:0:2::9").tcp(IMAP)] {
        loaded.act_tc(neighbour.bytes());
    }
    loaded.act_tc(frame.bytes()).expect("it is long enough for tc")
}

/// The very next packets of both, and more.
fn expect(loaded: &mut Loaded, outcome: Outcome) {
    for (prefix, frame) in banned() {
        let action = if outcome == DropBanned { Action::Drop } else { Action::Pass };
        for _ in 0..30 {
            assert_eq!(at_once(loaded, &frame), action, "{prefix}, {outcome:?}");
        }
        let ran = loaded.run(Program::Frags, frame.bytes());
        let rose: Vec<Outcome> = ran.rose.iter().map(|(outcome, _)| *outcome).collect();
        assert_eq!(rose, [outcome], "{prefix}");
    }
}

#[test]
fn a_ban_that_is_lifted_is_forgotten_at_once() {
    let mut loaded = besieged();

    for (prefix, _) in banned() {
        loaded.unban(prefix);
    }

    expect(&mut loaded, PassClean);
}

#[test]
fn a_ban_that_is_changed_counts_as_it_is_from_the_next_packet_on() {
    let mut loaded = besieged();

    for (prefix, _) in banned() {
        loaded.ban(prefix, in_force(SUBMISSION));
    }
    expect(&mut loaded, PassOutOfScope);

    for (prefix, _) in banned() {
        loaded.ban(prefix, in_force(MAIL));
    }
    expect(&mut loaded, DropBanned);
}

#[test]
fn many_bans_that_are_written_at_once_are_changes_too() {
    let mut loaded = besieged();

    let bans = banned().map(|(prefix, _)| (prefix.parse().expect("a prefix"), in_force(SUBMISSION)));
    assert!(loaded.maps.set_bans(&bans).is_empty(), "there is room");

    expect(&mut loaded, PassOutOfScope);
}

#[test]
fn what_is_allowed_now_passes_from_the_next_packet_on() {
    let mut loaded = besieged();
    loaded.allow_unasked(BANNED);
    loaded.allow_unasked(BANNED6);
    expect(&mut loaded, DropBanned);

    loaded.set_flags(blocker_common::flags::ASK_ALWAYS);
    expect(&mut loaded, PassAllowed);

    loaded.set_flags(0);
    for (prefix, _) in banned() {
        loaded.ban(prefix, Ban { flags: HOLDS_ALLOWED, ..in_force(MAIL) });
    }
    expect(&mut loaded, PassAllowed);
    expect(&mut loaded, PassAllowed);
}

#[test]
fn who_only_observes_from_now_on_drops_nothing_more() {
    let mut loaded = besieged();
    loaded.observe();
    expect(&mut loaded, PassObserved);

    let mut loaded = besieged();
    loaded.observe_jails(MAIL);
    expect(&mut loaded, PassObserved);

    let mut loaded = besieged();
    loaded.observe_interface();
    expect(&mut loaded, PassObserved);
}

#[test]
fn only_the_ports_and_the_sources_of_the_ban_are_closed() {
    let mut loaded = besieged();
    let outcome = |loaded: &mut Loaded, frame: &Frame| loaded.run(Program::Frags, frame.bytes()).rose[0].0;

    assert_eq!(outcome(&mut loaded, &ipv4(BANNED).tcp(SUBMIT)), PassOutOfScope);
    assert_eq!(outcome(&mut loaded, &ipv6(BANNED6).tcp(SUBMIT)), PassOutOfScope);
    assert_eq!(outcome(&mut loaded, &ipv6(BANNED6).esp()), DropHidden);
    for host in 0..=u8::MAX {
        let expected = if [9, 200].contains(&host) { DropBanned } else { PassClean };
        let frame = ipv4(&format!("192.0.2.{host}")).tcp(IMAP);
        assert_eq!(outcome(&mut loaded, &frame), expected, "192.0.2.{host}");
    }
}

#[test]
fn a_ban_in_a_flood_ends_at_its_deadline() {
    let mut loaded = besieged();
    let deadline_ns = now_ns() + 300_000_000;
    for (prefix, _) in banned() {
        loaded.ban(prefix, Ban { deadline_ns, ..in_force(MAIL) });
    }
    let mut dropped = 0;
    let give_up = Instant::now() + Duration::from_secs(10);

    while now_ns() < deadline_ns + TICK_NS {
        for (_, frame) in banned() {
            let before_ns = now_ns();
            let action = at_once(&mut loaded, &frame);
            assert!(action == Action::Drop || now_ns() >= deadline_ns, "{} ns early", deadline_ns - before_ns);
            dropped += u32::from(action == Action::Drop);
        }
        assert!(Instant::now() < give_up);
    }

    expect(&mut loaded, PassExpired);
    assert!(dropped > 0, "the bans were over before the first packet");
}

/// Nobody tells of a change that is made by hand, so the ban is looked for again now and then. That it is dropped for at all
/// shows that something is remembered.
#[test]
fn a_ban_that_is_deleted_by_hand_is_dropped_for_less_than_64_packets() {
    let mut loaded = besieged();
    let frame = ipv4(BANNED).tcp(IMAP);
    let give_up = Instant::now() + Duration::from_secs(30);
    let mut dropped = 0;

    // A machine that is busy may take longer than a tick from one packet to the next.
    for attempt in 0.. {
        // Of its kind: other tests' maps have the same name and the same bans.
        let deadline_ns = now_ns() + 3_600_000_000_000 + u64::from(std::process::id());
        loaded.ban(BANNED, Ban { deadline_ns, ..in_force(MAIL) });
        for _ in 0..3 {
            at_once(&mut loaded, &frame);
        }
        delete_by_hand(BANNED, deadline_ns);
        let now: usize = (0..200).filter(|_| at_once(&mut loaded, &frame) == Action::Drop).count();
        assert!((now as u64) < Tally::MOST_PACKETS, "{now} of 200 were dropped");
        dropped += now;
        if dropped > 0 {
            break;
        }
        assert!(Instant::now() < give_up, "nothing was remembered, {attempt} times");
    }
}

/// Deletes the entry of a host with this end, in whatever map it is.
fn delete_by_hand(addr: &str, deadline_ns: u64) {
    let key = Host4 { addr: addr.parse::<std::net::Ipv4Addr>().expect("an address").octets() };
    let mut deleted = 0;
    for info in loaded_maps().flatten().filter(|info| info.name_as_str() == Some(MapName::Bans4.as_str())) {
        // A map of another test may have gone meanwhile.
        let Ok(map) = MapData::from_id(info.id()).and_then(Map::from_map_data) else { continue };
        let mut bans: HashMap<_, Host4, Ban> = map.try_into().expect("the map of hosts");
        if bans.get(&key, 0).is_ok_and(|ban| ban.deadline_ns == deadline_ns) {
            bans.remove(&key).expect("it is there");
            deleted += 1;
        }
    }
    assert_eq!(deleted, 1, "the ban is in one map");
}
