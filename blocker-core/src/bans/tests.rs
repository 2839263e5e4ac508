//! The ban book by itself: ends, merging, bounds, nesting.

use super::*;

const A: JailId = JailId::MIN;
const B: JailId = JailId::MAX;

#[test]
fn the_union_of_the_jails_and_the_latest_end_are_in_force() {
    let mut book = book();
    enter(&mut book, "192.0.2.9", A, at(60));
    enter(&mut book, "192.0.2.9", B, at(90));

    assert_eq!(book.merged(prefix("192.0.2.9")), Some(Merged { jails: set(&[A, B]), until: at(90) }));
    assert_eq!((book.count(Kind::HostV4), book.in_force(A), book.in_force(B)), (1, 1, 1));
}

#[test]
fn the_jail_whose_ban_ends_first_leaves_the_others() {
    let mut book = book();
    enter(&mut book, "192.0.2.9", A, at(60));
    enter(&mut book, "192.0.2.9", B, at(90));

    assert_eq!(book.next_end(), Some(secs(60)));
    assert_eq!(book.expire_next(secs(59)), None);
    let left = Some(Merged { jails: set(&[B]), until: at(90) });
    assert_eq!(book.expire_next(secs(60)), Some(removal("192.0.2.9", &[A], left)));
    assert_eq!(book.expire_next(secs(60)), None);
    assert_eq!(book.expire_next(secs(90)), Some(removal("192.0.2.9", &[B], None)));
    assert_eq!(book.count(Kind::HostV4), 0);
}

#[test]
fn bans_of_a_prefix_that_end_together_end_as_one() {
    let mut book = book();
    enter(&mut book, "192.0.2.9", A, at(60));
    enter(&mut book, "192.0.2.9", B, at(70));

    assert_eq!(book.expire_next(secs(70)), Some(removal("192.0.2.9", &[A, B], None)));
}

#[test]
fn a_permanent_ban_does_not_end() {
    let mut book = book();
    enter(&mut book, "192.0.2.9", A, Until::Forever);

    assert_eq!(book.next_end(), None);
    assert_eq!(book.expire_next(secs(i64::MAX)), None);
}

#[test]
fn a_command_shortens_a_ban_and_a_log_does_not() {
    let mut book = book();
    enter(&mut book, "192.0.2.9", A, at(60));

    let longest = book.insert(prefix("192.0.2.9"), A, ban(10, at(30)), Renewal::Longest).expect("it is there already");
    assert!(longest.renewed);
    assert_eq!(book.merged(prefix("192.0.2.9")).map(|m| m.until), Some(at(60)));

    book.insert(prefix("192.0.2.9"), A, ban(20, at(30)), Renewal::Exactly).expect("it is there already");
    let renewed = book.ban(prefix("192.0.2.9"), A).expect("it is there");
    assert_eq!((renewed.started, renewed.until), (secs(0), at(30)), "it began when it began");
    assert_eq!((book.count(Kind::HostV4), book.in_force(A)), (1, 1));
    assert_eq!(book.expire_next(secs(30)), Some(removal("192.0.2.9", &[A], None)));
}

#[test]
fn a_full_table_makes_the_ban_soonest_to_end_give_way() {
    let mut book = Book::new(Bounds { max_bans_v4: 2, ..Bounds::default() });
    enter(&mut book, "192.0.2.1", A, at(60));
    enter(&mut book, "192.0.2.1", B, at(100));
    enter(&mut book, "192.0.2.2", A, at(90));

    let gave_way = enter(&mut book, "192.0.2.3", A, at(70));

    let evicted = removal("192.0.2.2", &[A], None);
    assert_eq!(gave_way, [evicted], "192.0.2.1 is banned until 100 s, by another jail");
    assert_eq!(enter(&mut book, "2001:db8::/64", A, at(5)), [], "the other tables are not full");
    assert_eq!(enter(&mut book, "192.0.2.1", A, at(80)), [], "who is in the table already needs no room");
}

#[test]
fn permanent_bans_do_not_give_way() {
    let mut book = Book::new(Bounds { max_bans_v6: 2, ..Bounds::default() });
    enter(&mut book, "2001:db8:0:1::/64", A, Until::Forever);
    enter(&mut book, "2001:db8:0:2::/64", A, at(60));

    assert_eq!(enter(&mut book, "2001:db8:0:3::/64", A, Until::Forever).len(), 1);
    assert_eq!(
        book.insert(prefix("2001:db8:0:4::/64"), A, ban(0, at(60)), Renewal::Longest),
        Err(Refusal::TableFull { kind: Kind::NetV6, bound: 2 })
    );
    assert_eq!(book.count(Kind::NetV6), 2);
}

#[test]
fn a_smaller_bound_is_reached_by_the_next_ban() {
    let mut book = book();
    for host in ["192.0.2.1", "192.0.2.2", "192.0.2.3"] {
        enter(&mut book, host, A, at(60));
    }
    book.set_bounds(Bounds { max_bans_v4: 2, ..Bounds::default() });

    assert_eq!(enter(&mut book, "192.0.2.4", A, at(60)).len(), 2);
    assert_eq!(book.count(Kind::HostV4), 2);
}

#[test]
fn networks_nest_only_so_deep() {
    let mut book = Book::new(Bounds { max_nesting: 3, ..Bounds::default() });
    let too_deep = Err(Refusal::TooDeeplyNested { deepest: 3 });
    for network in ["198.51.100.0/24", "198.51.100.0/26", "198.51.100.64/26", "198.51.100.64/28"] {
        enter(&mut book, network, A, at(60));
    }

    for network in ["198.51.100.72/30", "198.51.100.64/27", "198.51.0.0/16"] {
        assert_eq!(book.insert(prefix(network), A, ban(0, at(60)), Renewal::Exactly), too_deep, "{network}");
    }
    enter(&mut book, "198.51.100.16/28", A, at(60));
    enter(&mut book, "198.51.100.72", A, at(60));
    enter(&mut book, "198.51.100.64/28", B, at(90));
}

#[test]
fn finds_the_narrowest_ban_of_the_jail_that_was_asked_for() {
    let mut book = book();
    enter(&mut book, "198.51.100.0/24", A, at(60));
    enter(&mut book, "198.51.100.0/28", A, at(60));
    enter(&mut book, "198.51.100.9", B, at(60));
    let addr = prefix("198.51.100.9").addr();

    assert_eq!(book.covering(addr, A), Some(prefix("198.51.100.0/28")));
    assert_eq!(book.covering(addr, B), Some(prefix("198.51.100.9")));
    assert_eq!(book.covering(prefix("198.51.101.9").addr(), A), None);
}

#[test]
fn lists_what_lies_inside_a_network_and_nothing_beside_it() {
    let mut book = book();
    for banned in
        ["198.51.99.255", "198.51.0.0/16", "198.51.100.0/24", "198.51.100.0", "198.51.100.255", "198.51.101.0"]
    {
        enter(&mut book, banned, A, at(60));
        enter(&mut book, banned, B, at(60));
    }

    assert_eq!(
        book.inside(prefix("198.51.100.0/24")),
        [prefix("198.51.100.0/24"), prefix("198.51.100.0"), prefix("198.51.100.255")]
    );
}

#[test]
fn the_beginning_of_a_ban_outlives_it_unless_it_was_lifted() {
    let mut book = book();
    for host in ["192.0.2.1", "192.0.2.2"] {
        enter(&mut book, host, A, at(60));
    }
    book.remove(prefix("192.0.2.2"));
    assert_eq!(book.ended_ban_start(prefix("192.0.2.1"), A), None, "it is in force");

    book.expire_next(secs(60));

    assert_eq!(book.ended_ban_start(prefix("192.0.2.1"), A), Some(secs(0)));
    assert_eq!(book.ended_ban_start(prefix("192.0.2.1"), B), None);
    assert_eq!(book.ended_ban_start(prefix("192.0.2.2"), A), None);
    book.remove(prefix("192.0.2.1"));
    assert_eq!(book.ended_ban_start(prefix("192.0.2.1"), A), None, "lifting forgets ended bans too");
}

fn book() -> Book {
    Book::new(Bounds::default())
}

fn ban(from_secs: i64, until: Until) -> Ban {
    Ban { started: secs(from_secs), until, origin: Origin::Command { reason: None, by: None } }
}

fn enter(book: &mut Book, whom: &str, jail: JailId, until: Until) -> Vec<Removal> {
    book.insert(prefix(whom), jail, ban(0, until), Renewal::Exactly).expect("there is room").gave_way
}

fn removal(whom: &str, jails: &[JailId], left: Option<Merged>) -> Removal {
    Removal { prefix: prefix(whom), jails: set(jails), left }
}

fn set(jails: &[JailId]) -> JailSet {
    jails.iter().copied().collect()
}

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn at(n: i64) -> Until {
    Until::At(secs(n))
}

fn secs(n: i64) -> Timestamp {
    Timestamp::from_secs(n)
}
