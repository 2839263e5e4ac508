//! What is shown, on screens of all sizes, and which rates are made.

use std::collections::BTreeMap;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;

use super::screen::Shown;
use super::view::View;
use super::*;
use crate::control::status::{
    Alarms, BanCounts, InterfaceStatus, JailStatus, LineCounts, PacketCount, Status, TableStatus,
};
use crate::control::watch::{Attacker, JournalPlace, NewBan, Watch};

/// What an attacker could have been called.
const HOSTILE: &str = "\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}\r\n漢字漢字漢字漢字漢字漢字";

#[test]
fn rates_are_made_of_two_answers_of_one_run_and_of_no_others() {
    let (first, second) = (watch(1_000, 100), watch(3_000, 500));

    let view = View::new(None, &first, Vec::new());
    assert_eq!((view.interval_s, view.packets.dropped.packets_per_s), (None, None));
    assert_eq!((view.packets.dropped.packets, view.jails[0].failures_per_s), (100, None));

    let view = View::new(Some(&first), &second, Vec::new());
    assert_eq!((view.interval_s, view.packets.dropped.packets_per_s), (Some(2.0), Some(200.0)));
    assert_eq!(view.packets.dropped.bytes_per_s, Some(12_000.0));
    assert_eq!(view.interfaces[0].packets.dropped.packets_per_s, Some(200.0));
    assert_eq!((view.jails[0].failures_per_s, view.attackers[0].packets_per_s), (Some(200.0), Some(200.0)));

    let mut restarted = watch(3_000, 50);
    restarted.status.pid += 1;
    assert_eq!(View::new(Some(&second), &restarted, Vec::new()).packets.dropped.packets_per_s, None);
    let set_back = watch(5_000, 3);
    let rate = View::new(Some(&second), &set_back, Vec::new()).packets.dropped.packets_per_s;
    assert_eq!(rate, Some(0.0), "the maps were made anew");
}

#[test]
fn no_size_of_a_screen_is_too_small_and_none_shows_what_a_terminal_would_obey() {
    for shown in [shown(true), Shown::new(true), Shown { waiting: Some(HOSTILE.to_owned()), ..shown(true) }] {
        for width in [0, 1, 2, 10, 39, 40, 79, 80, 81, 250] {
            for height in [0, 1, 2, 3, 4, 5, 9, 10, 11, 24, 60] {
                let screen = drawn(&shown, width, height);
                let harmless = |c: char| !c.is_control() && c != '\u{202e}';
                assert!(screen.lines().all(|line| line.chars().all(harmless)), "{width}×{height}: {screen:?}");
            }
        }
    }
}

#[test]
fn a_small_screen_shows_the_last_bans_and_a_large_one_all_there_is() {
    let shown = shown(true);

    let small = drawn(&shown, 40, 10);
    for words in ["dropping 200 packets/s", "BANNED", "198.51.100.99", "q quit"] {
        assert!(small.contains(words), "{words} in\n{small}");
    }
    let large = drawn(&shown, 140, 50);
    for words in [
        "ENFORCE",
        "BANS HELD",
        "watchdog 30s",
        "03:00:02Z",
        "! bans are held",
        "INTERFACE",
        "eth0",
        "native",
        "not attached: no carrier",
        "dovecot",
        "192.0.2.9",
        "\\u{1b}[2J",
        "198.51.100.99",
        "ipv4 80%",
        "7B behind",
        "/var/log/mail.log",
        "12s ago",
        "_SYSTEMD_UNIT=dovecot.service",
        "3 of 16 pieces wait",
    ] {
        assert!(large.contains(words), "{words} in\n{large}");
    }
    let waiting = drawn(&Shown { waiting: Some("no daemon answers".to_owned()), ..shown }, 80, 24);
    assert!(waiting.contains("NOT RUNNING, WAITING") && waiting.contains("no daemon answers"), "{waiting}");
    assert!(drawn(&Shown::new(true), 80, 24).contains("not running, waiting"));
}

#[test]
fn bans_that_are_told_again_after_a_gap_are_shown_once_and_no_more_than_are_told_are_kept() {
    let mut shown = shown(true);
    let known = shown.bans.len();
    shown.take(News::Waiting("a gap".to_owned()));
    shown.take(News::Told(Box::new(View::new(None, &watch(9_000, 900), Vec::new()))));
    assert_eq!((shown.bans.len(), shown.waiting), (known, None));

    let mut shown = Shown::new(true);
    let mut before = watch(0, 0);
    for second in 1..100 {
        let now = watch(1_000 * second, second);
        shown.take(News::Told(Box::new(View::new(Some(&before), &now, Vec::new()))));
        before = now;
    }
    assert_eq!(shown.bans.len(), crate::control::watch::MAX_NEW_BANS);
}

#[test]
fn without_colours_there_are_none() {
    for (is_coloured, expected) in [(true, true), (false, false)] {
        let mut terminal = Terminal::new(TestBackend::new(120, 40)).unwrap();
        terminal.draw(|frame| draw::draw(frame, &shown(is_coloured))).unwrap();

        let cells = terminal.backend().buffer().content();
        let has_colour = cells.iter().any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset);
        assert_eq!(has_colour, expected);
    }
}

#[test]
fn an_interval_is_from_a_second_to_a_minute() {
    assert_eq!(interval("10"), Ok(Duration::from_secs(10)));
    assert_eq!(interval("1m"), Ok(Duration::from_secs(60)));
    for wrong in ["0", "61s", "1h", "100ms", "", "-1"] {
        assert!(interval(wrong).is_err(), "{wrong}");
    }
}

fn shown(is_coloured: bool) -> Shown {
    let mut shown = Shown::new(is_coloured);
    let (first, second) = (watch(1_000, 100), watch(3_000, 500));
    let log = places::Log { path: "/var/log/mail.log".to_owned(), behind_bytes: Some(7) };
    shown.take(News::Told(Box::new(View::new(None, &first, Vec::new()))));
    shown.take(News::Told(Box::new(View::new(Some(&first), &second, vec![log]))));
    shown
}

fn drawn(shown: &Shown, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("it is memory");
    terminal.draw(|frame| draw::draw(frame, shown)).expect("it is memory");
    let buffer = terminal.backend().buffer();
    let cells: Vec<&str> = buffer.content().iter().map(ratatui::buffer::Cell::symbol).collect();
    cells.chunks(usize::from(width.max(1))).map(|row| row.concat() + "\n").collect()
}

fn watch(boot_ms: u64, number: u64) -> Watch {
    let counters = BTreeMap::from([
        ("drop_banned".to_owned(), PacketCount { packets: number, bytes: 60 * number }),
        ("pass_clean".to_owned(), PacketCount { packets: 7, bytes: 700 }),
    ]);
    let interface = |name: &str, mode: Option<&str>| InterfaceStatus {
        name: name.to_owned(),
        mode: mode.map(str::to_owned),
        error: mode.is_none().then(|| "no carrier".to_owned()),
        counters: counters.clone(),
        ..InterfaceStatus::default()
    };
    let ban = |host: u64| NewBan {
        time: "2026-11-27T03:00:01Z".to_owned(),
        prefix: format!("198.51.100.{host}").parse().unwrap(),
        jail: "dovecot".to_owned(),
        until: "forever".to_owned(),
        origin: "log".to_owned(),
        user: Some(HOSTILE.to_owned()),
        attempts: 5.0,
    };
    Watch {
        time: "2026-11-27T03:00:02Z".to_owned(),
        boot_ms,
        holding: Some("too many".to_owned()),
        watchdog_s: Some(30),
        waiting_batches: (3, 16),
        next_ban: 9,
        new_bans: (90..100).map(ban).collect(),
        left_out: 0,
        attackers: vec![Attacker {
            prefix: "192.0.2.9".parse().unwrap(),
            packets: Some(number),
            bytes: Some(60 * number),
            attempts: 3.0,
            user: Some(HOSTILE.to_owned()),
            ago_s: 1,
        }],
        logs: Vec::new(),
        journals: vec![JournalPlace {
            matches: "_SYSTEMD_UNIT=dovecot.service".to_owned(),
            last: Some("2026-11-27T02:59:50Z".to_owned()),
            ago_s: Some(12),
        }],
        status: Status {
            version: "0.1.0".to_owned(),
            pid: 77,
            uptime_s: 100,
            mode: "enforce".to_owned(),
            confirm: None,
            config: String::new(),
            pins: String::new(),
            interfaces: vec![interface("eth0", Some("native")), interface(HOSTILE, None)],
            jails: vec![JailStatus {
                name: "dovecot".to_owned(),
                filter: Some("dovecot".to_owned()),
                ports: "143/tcp".to_owned(),
                mode: "enforce".to_owned(),
                max_retry: 5,
                find_time: "10m".to_owned(),
                ban_time: "1h".to_owned(),
                files: Vec::new(),
                unannounced: BTreeMap::new(),
                streams: Vec::new(),
                journal: Vec::new(),
                waiting: Vec::new(),
                failures: number,
                attempts: 1.0,
                forgiven: 0.0,
                tracked: 2,
                bans: 4,
                in_force: 3,
                ignored: 1,
                too_old: 1,
            }],
            bans: BanCounts::default(),
            allowed: 1,
            lines: LineCounts { judged: number, ..LineCounts::default() },
            counters: counters.clone(),
            tables: vec![TableStatus { name: "ipv4".to_owned(), bans: 800, capacity: 1_000, nearly_full: true }],
            sources: Vec::new(),
            receivers: Vec::new(),
            alarms: Alarms::default(),
            problems: vec!["bans are held: too many".to_owned(), HOSTILE.to_owned()],
        },
    }
}
