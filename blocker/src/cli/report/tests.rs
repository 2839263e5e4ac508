use super::*;
use crate::control::report::{Ban, Jail, Network, Offender, Suspect, Time, Totals, User};

/// What an attacker could have been called.
const HOSTILE: &str = "</td><script>alert(1)</script>\u{1b}[2J\u{202e}\"'&\n";

fn whole() -> Whole {
    let prefix = "192.0.2.9".parse().unwrap();
    let time = |hour: u64, bans| Time { start: format!("2026-11-26T{hour:02}:00:00Z"), bans };
    Whole {
        host: "mail.example.org".to_owned(),
        report: Report {
            from: "2026-11-26T00:00:00Z".to_owned(),
            to: "2026-11-26T03:00:00Z".to_owned(),
            known_from: None,
            bans: Totals {
                made: 12,
                by_log: 11,
                by_command: 1,
                prefixes: 9,
                attempts: 55.5,
                lifted: 1,
                in_force: 4,
                ..Totals::default()
            },
            jails: vec![
                Jail { jail: "dovecot".to_owned(), bans: 10, attempts: 50.5 },
                Jail { jail: HOSTILE.to_owned(), bans: 2, attempts: 5.0 },
            ],
            step_s: 3_600,
            times: vec![time(0, 0), time(1, 8), time(2, 4)],
            networks: vec![Network { network: "192.0.2.0/24".parse().unwrap(), bans: 9, attempts: 45.0 }],
            users: vec![User { user: HOSTILE.to_owned(), attempts: 40.0, bans: 8 }],
            offenders: vec![Offender { prefix, bans: 3, ever: 7, last: "2026-11-26T02:00:00Z".to_owned() }],
            longest: vec![Ban {
                prefix,
                jail: HOSTILE.to_owned(),
                since: "2026-11-26T01:00:00Z".to_owned(),
                until: "forever".to_owned(),
                lasts_s: None,
            }],
            suspects: vec![Suspect {
                prefix,
                jail: "dovecot".to_owned(),
                since: "2026-11-26T01:00:00Z".to_owned(),
                user: Some(HOSTILE.to_owned()),
                why: "logged-in".to_owned(),
                at: "2026-11-26T02:30:00Z".to_owned(),
            }],
        },
        daemon: Some(Counted {
            uptime_s: 7_200,
            mode: "enforce".to_owned(),
            dropped: PacketCount { packets: 1_234, bytes: 99_999 },
            would_drop: PacketCount::default(),
            in_force: BanCounts { ipv4: 3, ipv6: 1, networks: 0 },
            forgiven_attempts: 2.0,
            held_bans: 6,
            problems: vec![format!("something is wrong with {HOSTILE}")],
        }),
        utc_offset_s: 0,
    }
}

#[test]
fn the_text_tells_all_there_is_and_the_longest_bar_is_of_the_greatest_number() {
    let text = text::of(&whole());

    for words in [
        "blocker on mail.example.org, from 2026-11-26T00:00:00Z to 2026-11-26T03:00:00Z\n",
        "bans: 12 of 9 addresses or networks; 11 by logs, for 55.5 attempts, 1 by command; 4 still in force\n",
        "ended early: 1 by hand",
        "packets dropped since the maps were made: 1234 (99999 bytes)\n",
        "6 failures held by the brake",
        &format!("10  {}\n", "#".repeat(40)),
        "  8  ########################################\n",
        "  4  ####################\n",
        "192.0.2.0/24  9     45\n",
        "192.0.2.9  3     7     2026-11-26T02:00:00Z\n",
        "forever",
        "logged in after it began at 2026-11-26T02:30:00Z",
    ] {
        assert!(text.contains(words), "{words} in\n{text}");
    }
}

#[test]
fn nothing_that_others_wrote_reaches_a_terminal_or_a_page_as_more_than_text() {
    let whole = whole();
    let (text, page) = (text::of(&whole), page::of(&whole));

    for out in [&text, &page] {
        assert!(!out.chars().any(|c| c == '\u{202e}' || c.is_control() && c != '\n'), "{out}");
        assert!(out.contains("\\u{1b}[2J\\u{202e}"), "it is shown:\n{out}");
    }
    assert!(page.contains("&lt;/td&gt;&lt;script&gt;alert(1)&lt;/script&gt;"), "{page}");
    assert!(!page.contains("<script") && !page.contains("alert(1)</script"), "{page}");
    assert!(text.lines().filter(|line| line.contains("alert(1)")).all(|line| line.contains("\\n")), "{text}");
}

#[test]
fn a_page_fetches_nothing_runs_nothing_and_every_element_is_closed() {
    let page = page::of(&whole());

    for word in ["<script", "src=", "href=", "url(", "@import", "<link", "<iframe", "<img", "onload"] {
        assert!(!page.contains(word), "{word} in {page}");
    }
    let without_namespace = page.replace("http://www.w3.org/2000/svg", "");
    assert!(!without_namespace.contains("://"), "it names no place to fetch from");
    assert!(page.contains("default-src 'none'") && page.contains("prefers-color-scheme:dark"));
    assert!(page.contains("@media print") && page.contains("color-scheme:light dark"));
    let mut open = Vec::new();
    for tag in page.split('<').skip(1).map(|rest| rest.split_once('>').expect("a tag ends").0) {
        let name = tag.trim_start_matches('/').split(' ').next().unwrap_or_default();
        match tag {
            _ if tag.starts_with('!') || name == "meta" || tag.ends_with('/') => {}
            _ if tag.starts_with('/') => assert_eq!(open.pop(), Some(name), "{tag}"),
            _ => open.push(name),
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn a_day_is_called_by_its_own_date_though_the_clocks_were_changed_since() {
    // Asked in summer, at two hours ahead: the days before the 29th were an hour ahead only.
    let days = [("2026-03-27T22:00:00Z", 1), ("2026-03-28T22:00:00Z", 2), ("2026-03-29T22:00:00Z", 3)];
    let times = days.map(|(start, bans)| Time { start: start.to_owned(), bans });
    let report = Report { step_s: 86_400, times: times.into(), ..whole().report };
    let text = text::of(&Whole { report, utc_offset_s: 7_200, ..whole() });

    for row in ["\n  Mar 28  1  ", "\n  Mar 29  2  ", "\n  Mar 30  3  "] {
        assert!(text.contains(row), "{row} in\n{text}");
    }
    let night = local("2026-10-24T23:00:00Z", 86_400, 3_600);
    assert_eq!((night.as_str(), local("no time", 86_400, 0).as_str()), ("Oct 25", "no time"));
}

#[test]
fn a_quiet_time_is_told_in_a_line_and_has_no_picture() {
    let quiet = Whole { report: Report { step_s: 3_600, ..Report::default() }, daemon: None, ..whole() };

    let (text, page) = (text::of(&quiet), page::of(&quiet));

    assert!(text.contains("no bans began\n") && text.contains("the daemon does not run"), "{text}");
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(page.contains("no bans began") && !page.contains("<svg"), "{page}");
}

#[test]
fn attempts_are_summed_up_in_tenths() {
    assert_eq!(all_attempts([0.1, 0.2].into_iter()).to_string(), "0.3");
    assert_eq!(all_attempts([].into_iter()).to_string(), "0");
}
