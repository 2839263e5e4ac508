//! A report as plain text.

use std::fmt::Write as _;
use std::time::Duration;

use blocker_core::time::format_span;

use super::super::output::shown;
use super::{Counted, Whole, local, step_name, suspicion};
use crate::control::report::{Ban, Jail, Network, Offender, Suspect, Time, Totals, User};

/// Columns of the longest bar.
const WIDTH: u64 = 40;

/// All of it.
pub(super) fn of(whole: &Whole) -> String {
    let Whole { host, report, daemon, utc_offset_s } = whole;
    let mut text = Text(String::new());
    text.line(&format!("blocker on {}, from {} to {}", shown(host), report.from, report.to));
    if let Some(known_from) = &report.known_from {
        text.line(&format!(
            "of what was before {known_from} not every ban is kept: they were too many, or too long ago"
        ));
    }
    text.totals(report.bans);
    match daemon {
        Some(counted) => text.counted(counted),
        None => text.line("the daemon does not run: what it counts, packets and what was held, is not known"),
    }
    let jails: Vec<(String, u64)> =
        report.jails.iter().map(|Jail { jail, bans, attempts: _ }| (shown(jail), *bans)).collect();
    text.bars("bans by jail", &jails);
    if report.bans.made > 0 {
        let time = |Time { start, bans }: &Time| (local(start, report.step_s, *utc_offset_s), *bans);
        let times: Vec<(String, u64)> = report.times.iter().map(time).collect();
        text.bars(&format!("bans by {}", step_name(report.step_s)), &times);
    }
    let network =
        |Network { network, bans, attempts }: &Network| [network.to_string(), bans.to_string(), attempts.to_string()];
    text.table("networks", ["NETWORK", "BANS", "ATTEMPTS"], report.networks.iter().map(network));
    let user = |User { user, attempts, bans }: &User| [attempts.to_string(), bans.to_string(), shown(user)];
    text.table("users tried", ["ATTEMPTS", "BANS", "USER"], report.users.iter().map(user));
    let offender = |Offender { prefix, bans, ever, last }: &Offender| {
        [prefix.to_string(), bans.to_string(), ever.to_string(), last.clone()]
    };
    text.table("repeat offenders", ["ADDRESS", "BANS", "EVER", "LAST"], report.offenders.iter().map(offender));
    let ban = |Ban { prefix, jail, since, until, lasts_s }: &Ban| {
        [prefix.to_string(), shown(jail), lasts(*lasts_s), since.clone(), until.clone()]
    };
    text.table("longest bans", ["ADDRESS", "JAIL", "LASTS", "SINCE", "UNTIL"], report.longest.iter().map(ban));
    let suspect = |Suspect { prefix, jail, since, user, why, at }: &Suspect| {
        let user = user.as_deref().map_or_else(|| "-".to_owned(), shown);
        [prefix.to_string(), shown(jail), since.clone(), format!("{} at {at}", shown(suspicion(why))), user]
    };
    text.table(
        "perhaps no attackers (see `blocker why ADDRESS`)",
        ["ADDRESS", "JAIL", "BANNED", "WHY", "USER"],
        report.suspects.iter().map(suspect),
    );
    text.0
}

/// How long a ban lasts.
pub(super) fn lasts(lasts_s: Option<u64>) -> String {
    lasts_s.map_or_else(|| "forever".to_owned(), |lasts| format_span(Duration::from_secs(lasts)))
}

/// The sums, as sentences: the first of them is always there.
pub(super) fn sums(totals: Totals) -> Vec<String> {
    let Totals { made, by_log, by_command, by_list, prefixes, attempts, lifted, allowed, gave_way, in_force } = totals;
    let mut sums = vec![match (made, by_list) {
        (0, 0) => "no bans began".to_owned(),
        (0, _) => "no bans began but those of long lists".to_owned(),
        _ => format!(
            "bans: {made} of {prefixes} addresses or networks; {by_log} by logs, for {attempts} attempts, {by_command} by command; {in_force} still in force"
        ),
    }];
    if by_list > 0 {
        sums.push(format!("besides, by long lists: {by_list}"));
    }
    if lifted + allowed + gave_way > 0 {
        sums.push(format!(
            "ended early: {lifted} by hand, {allowed} because they were allowed, {gave_way} because a table was full"
        ));
    }
    sums
}

/// What the daemon has counted, as sentences.
pub(super) fn counts(counted: &Counted) -> Vec<String> {
    let Counted { uptime_s, mode, dropped, would_drop, in_force, forgiven_attempts, held_bans, problems } = counted;
    let up = format_span(Duration::from_secs(*uptime_s));
    let mut counts = vec![
        format!(
            "now in force: {} IPv4, {} IPv6, {} networks; mode {}",
            in_force.ipv4,
            in_force.ipv6,
            in_force.networks,
            shown(mode)
        ),
        format!("packets dropped since the maps were made: {} ({} bytes)", dropped.packets, dropped.bytes),
    ];
    if would_drop.packets > 0 {
        counts
            .push(format!("packets that would have been dropped: {} ({} bytes)", would_drop.packets, would_drop.bytes));
    }
    counts.push(format!(
        "since the daemon's start {up} ago: {held_bans} failures held by the brake, {forgiven_attempts} attempts taken back by logins"
    ));
    counts.extend(problems.iter().map(|problem| format!("problem: {}", shown(problem))));
    counts
}

struct Text(String);

impl Text {
    fn line(&mut self, line: &str) {
        writeln!(self.0, "{}", line.trim_end()).expect("writing to a string never fails");
    }

    fn totals(&mut self, totals: Totals) {
        for sum in sums(totals) {
            self.line(&sum);
        }
    }

    fn counted(&mut self, counted: &Counted) {
        for count in counts(counted) {
            self.line(&count);
        }
    }

    /// A bar for each of some numbers.
    fn bars(&mut self, title: &str, rows: &[(String, u64)]) {
        let most = rows.iter().map(|(_, number)| *number).max().unwrap_or_default();
        if most == 0 {
            return;
        }
        self.line(&format!("\n{title}"));
        let name_width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
        let number_width = most.to_string().len();
        for (name, number) in rows {
            // Something is never nothing.
            let length = u128::from(*number) * u128::from(WIDTH) / u128::from(most);
            let bar = "#".repeat(usize::try_from(length).unwrap_or_default().max(usize::from(*number > 0)));
            self.line(&format!("  {name:<name_width$}  {number:>number_width$}  {bar}"));
        }
    }

    fn table<const N: usize>(&mut self, title: &str, head: [&str; N], rows: impl Iterator<Item = [String; N]>) {
        let rows: Vec<[String; N]> = rows.collect();
        if rows.is_empty() {
            return;
        }
        self.line(&format!("\n{title}"));
        let head = head.map(str::to_owned);
        let mut widths = [0; N];
        for row in std::iter::once(&head).chain(&rows) {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for row in std::iter::once(&head).chain(&rows) {
            let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            self.line(&format!("  {}", cells.join("  ")));
        }
    }
}
