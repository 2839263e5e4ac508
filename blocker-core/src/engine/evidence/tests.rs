//! The ring of lines, against its bounds and a plain list.

use proptest::prelude::*;

use super::*;

const JAIL: JailId = JailId::MIN;
const OTHER: JailId = JailId::MAX;
const EVER: Timestamp = Timestamp::from_nanos(i64::MIN);

#[test]
fn the_lines_of_a_prefix_in_a_jail_are_told_in_their_order() {
    let mut lines = Lines::default();
    for (from, jail, line) in
        [("192.0.2.9", JAIL, "one"), ("192.0.2.8", JAIL, "x"), ("192.0.2.9", OTHER, "y"), ("192.0.2.9", JAIL, "two")]
    {
        lines.note((prefix(from), jail), piece(from, line.as_bytes(), 10));
    }

    assert_eq!(told(&lines, "192.0.2.9", JAIL), ["one", "two"]);
    assert_eq!(told(&lines, "192.0.2.9", OTHER), ["y"]);
    assert_eq!(told(&lines, "192.0.2.7", JAIL), [""; 0]);
    let [one, _] = &lines.of((prefix("192.0.2.9"), JAIL), EVER)[..] else { panic!("two") };
    assert_eq!(
        *one,
        Evidence {
            line: (*b"one").into(),
            is_cut: false,
            addr: "192.0.2.9".parse().unwrap(),
            user: Some((*b"bob").into()),
            filter: "dovecot".into(),
            pattern: "auth failed".into(),
            made: Timestamp::from_secs(10),
            attempts: Attempts::tenths(7),
            count: Attempts::whole(2),
            of: 5,
        }
    );
}

#[test]
fn a_network_has_the_lines_of_its_hosts_and_says_whose_each_is() {
    let mut lines = Lines::default();
    for host in ["2001:db8::1", "2001:db8::2"] {
        lines.note((prefix("2001:db8::/64"), JAIL), piece(host, host.as_bytes(), 10));
    }

    let told = lines.of((prefix("2001:db8::/64"), JAIL), EVER);
    let hosts: Vec<String> = told.iter().map(|told| told.addr.to_string()).collect();
    assert_eq!(hosts, ["2001:db8::1", "2001:db8::2"]);
}

#[test]
fn lines_that_are_answered_or_too_old_are_told_no_more() {
    let mut lines = Lines::default();
    let key = (prefix("192.0.2.9"), JAIL);
    lines.note(key, piece("192.0.2.9", b"old", 10));
    lines.note((key.0, OTHER), piece("192.0.2.9", b"other", 10));
    lines.note(key, piece("192.0.2.9", b"new", 20));
    assert_eq!(lines.of(key, Timestamp::from_secs(10)).len(), 1, "made after that");

    lines.forget(key.0, Some(JAIL));
    lines.note(key, piece("192.0.2.9", b"newer", 30));
    assert_eq!(told(&lines, "192.0.2.9", JAIL), ["newer"]);
    lines.forget_jail(JAIL);
    assert_eq!(told(&lines, "192.0.2.9", JAIL), [""; 0]);
    assert_eq!(told(&lines, "192.0.2.9", OTHER), ["other"]);
    lines.forget(key.0, None);
    assert_eq!(told(&lines, "192.0.2.9", OTHER), [""; 0]);
}

#[test]
fn no_more_lines_and_bytes_than_the_bounds_and_the_last_are_kept() {
    let mut lines = Lines::default();
    for n in 0..MAX_EVIDENCE_LINES + 5 {
        lines.note((prefix("192.0.2.9"), JAIL), piece("192.0.2.9", n.to_string().as_bytes(), 10));
    }
    let expected: Vec<String> = (5..MAX_EVIDENCE_LINES + 5).map(|n| n.to_string()).collect();
    assert_eq!(told(&lines, "192.0.2.9", JAIL), expected);

    let long = [b'x'; 65_536];
    for _ in 0..MAX_EVIDENCE_LINES {
        lines.note((prefix("192.0.2.8"), JAIL), piece("192.0.2.8", &long, 10));
    }
    let told = lines.of((prefix("192.0.2.8"), JAIL), EVER);
    assert!(told.iter().all(|told| told.is_cut && told.line.len() == MAX_EVIDENCE_LINE_BYTES));
    assert_eq!(told.len(), MAX_EVIDENCE_BYTES / (MAX_EVIDENCE_LINE_BYTES + 3));
}

#[test]
fn the_oldest_lines_make_room_and_what_overwrote_them_is_nobody_elses() {
    let mut lines = Lines::default();
    let line = [b'x'; MAX_EVIDENCE_LINE_BYTES];
    let hosts = u32::try_from(3 * RING_BYTES / MAX_EVIDENCE_LINE_BYTES).unwrap();
    let host = |n: u32| Prefix::host(std::net::Ipv4Addr::from_bits(n).into());
    for n in 0..hosts {
        lines.note((host(n), JAIL), Piece { made: Timestamp::from_secs(n.into()), ..piece("192.0.2.9", &line, 0) });
    }

    let kept: Vec<u32> = (0..hosts).filter(|&n| !lines.of((host(n), JAIL), EVER).is_empty()).collect();
    assert!(kept.is_empty(), "the lines name another host than they were noted for");
    for n in 0..hosts {
        let addr = host(n).addr();
        lines.note(
            (host(n), JAIL),
            Piece { addr, made: Timestamp::from_secs(n.into()), ..piece("192.0.2.9", &line, 0) },
        );
    }
    let kept: Vec<u32> = (0..hosts)
        .filter(|&n| {
            let told = lines.of((host(n), JAIL), EVER);
            assert!(told.iter().all(|told| told.made == Timestamp::from_secs(n.into())), "{n}");
            !told.is_empty()
        })
        .collect();
    let fit = RING_BYTES / (MAX_EVIDENCE_LINE_BYTES + 80);
    assert!((fit..=RING_BYTES / MAX_EVIDENCE_LINE_BYTES).contains(&kept.len()), "{}", kept.len());
    assert_eq!(kept.last(), Some(&(hosts - 1)));
    assert_eq!(kept.len(), usize::try_from(hosts - kept[0]).unwrap(), "and those are the last ones");
}

proptest! {
    #[test]
    fn whatever_is_noted_and_forgotten_the_last_lines_that_are_left_are_told(
        steps in proptest::collection::vec((0_u8..6, 0_u8..3, 0_u8..8), 1..200)
    ) {
        let mut lines = Lines::default();
        let mut model: Vec<((Prefix, JailId), usize)> = Vec::new();
        let host = |n: u8| Prefix::host(std::net::Ipv4Addr::new(192, 0, 2, n).into());
        for (number, (host_number, jail, what)) in steps.into_iter().enumerate() {
            let (prefix, jail) = (host(host_number), JailId::new(jail).expect("it is small"));
            match what {
                0 => {
                    lines.forget(prefix, Some(jail));
                    model.retain(|&(key, _)| key != (prefix, jail));
                }
                1 => {
                    lines.forget(prefix, None);
                    model.retain(|&((known, _), _)| known != prefix);
                }
                2 => {
                    lines.forget_jail(jail);
                    model.retain(|&((_, known), _)| known != jail);
                }
                _ => {
                    let text = number.to_string();
                    lines.note((prefix, jail), Piece { addr: prefix.addr(), ..piece("192.0.2.1", text.as_bytes(), 1) });
                    model.push(((prefix, jail), number));
                }
            }
            let left: Vec<String> =
                model.iter().filter(|(key, _)| *key == (prefix, jail)).map(|(_, number)| number.to_string()).collect();
            let last = &left[left.len().saturating_sub(MAX_EVIDENCE_LINES)..];
            prop_assert_eq!(told(&lines, &prefix.to_string(), jail), last);
        }
    }
}

fn piece<'a>(from: &str, line: &'a [u8], made_secs: i64) -> Piece<'a> {
    Piece {
        line,
        addr: from.parse().unwrap(),
        user: Some(b"bob"),
        filter: "dovecot",
        pattern: "auth failed",
        made: Timestamp::from_secs(made_secs),
        attempts: Attempts::tenths(7),
        count: Attempts::whole(2),
        of: 5,
        is_own: false,
    }
}

fn told(lines: &Lines, of: &str, jail: JailId) -> Vec<String> {
    let told = lines.of((prefix(of), jail), EVER);
    told.iter().map(|told| String::from_utf8_lossy(&told.line).into_owned()).collect()
}

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}
