//! A report as a page: one file without scripts, that fetches nothing. What others wrote is escaped twice: so that no terminal obeys it who
//! prints the file, and so that it is text to a browser. A policy in the page forbids the browser everything else besides.

use std::fmt::Write as _;

use super::super::output::shown;
use super::text::{counts, lasts, sums};
use super::{Whole, chart, local, step_name, suspicion};
use crate::control::report::{Ban, Jail, Network, Offender, Suspect, Time, User};

/// Light and dark as the reader has it, black on white on paper.
const STYLE: &str = ":root{color-scheme:light dark;--text:#1c1e21;--page:#fff;--line:#d5d8dc;--bar:#b3362c;--soft:#5c6470}
@media (prefers-color-scheme:dark){:root{--text:#e4e6ea;--page:#16181c;--line:#3a3f47;--bar:#ef6a5e;--soft:#a0a7b3}}
@media print{:root{--text:#000;--page:#fff;--line:#999;--bar:#444;--soft:#333}section{break-inside:avoid}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--text);background:var(--page);max-width:58rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}p{margin:.3rem 0}.soft{color:var(--soft)}.problem{color:var(--bar)}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.25rem .75rem .25rem 0;border-bottom:1px solid var(--line);vertical-align:top}
td{overflow-wrap:anywhere}td.number,th.number{text-align:right}svg text{fill:var(--text)}svg .bar{fill:var(--bar)}svg .grid{stroke:var(--line)}";

/// All of it.
pub(super) fn of(whole: &Whole) -> String {
    let Whole { host, report, daemon, utc_offset_s } = whole;
    let host = escaped(host);
    let mut page = Page(format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>blocker on {host}</title>\n<style>\n{STYLE}\n</style>\n</head>\n<body>\n<h1>blocker on {host}</h1>\n"
    ));
    page.paragraph("soft", &format!("From {} to {}", report.from, report.to));
    if let Some(known_from) = &report.known_from {
        let words =
            format!("Of what was before {known_from} not every ban is kept: they were too many, or too long ago.");
        page.paragraph("problem", &words);
    }
    for sum in sums(report.bans) {
        page.paragraph("", &sum);
    }
    match daemon {
        Some(counted) => {
            for count in counts(counted) {
                page.paragraph(if count.starts_with("problem: ") { "problem" } else { "soft" }, &count);
            }
        }
        None => page
            .paragraph("problem", "The daemon does not run: what it counts, packets and what was held, is not known."),
    }
    if report.bans.made > 0 {
        let time = |Time { start, bans }: &Time| (local(start, report.step_s, *utc_offset_s), *bans);
        let times: Vec<(String, u64)> = report.times.iter().map(time).collect();
        let title = format!("Bans by {}", step_name(report.step_s));
        page.section(&title, &chart::columns(&title, &times));
    }
    if !report.jails.is_empty() {
        let jails: Vec<(String, u64)> =
            report.jails.iter().map(|Jail { jail, bans, attempts: _ }| (jail.clone(), *bans)).collect();
        let picture = chart::bars("Bans by jail", &jails);
        page.section("Bans by jail", &picture);
        let jail = |Jail { jail, bans, attempts }: &Jail| [jail.clone(), bans.to_string(), attempts.to_string()];
        page.table("", [("Jail", Text), ("Bans", Number), ("Attempts", Number)], report.jails.iter().map(jail));
    }
    let network =
        |Network { network, bans, attempts }: &Network| [network.to_string(), bans.to_string(), attempts.to_string()];
    page.table(
        "Networks",
        [("Network", Text), ("Bans", Number), ("Attempts", Number)],
        report.networks.iter().map(network),
    );
    let user = |User { user, attempts, bans }: &User| [user.clone(), attempts.to_string(), bans.to_string()];
    page.table("Users tried", [("User", Text), ("Attempts", Number), ("Bans", Number)], report.users.iter().map(user));
    let offender = |Offender { prefix, bans, ever, last }: &Offender| {
        [prefix.to_string(), bans.to_string(), ever.to_string(), last.clone()]
    };
    page.table(
        "Repeat offenders",
        [("Address", Text), ("Bans", Number), ("Ever", Number), ("Last", Text)],
        report.offenders.iter().map(offender),
    );
    let ban = |Ban { prefix, jail, since, until, lasts_s }: &Ban| {
        [prefix.to_string(), jail.clone(), lasts(*lasts_s), since.clone(), until.clone()]
    };
    page.table(
        "Longest bans",
        [("Address", Text), ("Jail", Text), ("Lasts", Text), ("Since", Text), ("Until", Text)],
        report.longest.iter().map(ban),
    );
    let suspect = |Suspect { prefix, jail, since, user, why, at }: &Suspect| {
        let why = format!("{} at {at}", suspicion(why));
        [prefix.to_string(), jail.clone(), since.clone(), why, user.clone().unwrap_or_else(|| "–".to_owned())]
    };
    page.table(
        "Perhaps no attackers",
        [("Address", Text), ("Jail", Text), ("Banned", Text), ("Why", Text), ("User tried", Text)],
        report.suspects.iter().map(suspect),
    );
    page.0.push_str("</body>\n</html>\n");
    page.0
}

/// A text that others may have written, as text of a page.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    // An en dash for what is not there is ours; what is unprintable is told by its number.
    for character in shown(text).chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(character),
        }
    }
    escaped
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Text,
    Number,
}

use Column::{Number, Text};

struct Page(String);

impl Page {
    fn paragraph(&mut self, class: &str, text: &str) {
        let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
        self.put(&format!("<p{class}>{}</p>", escaped(text)));
    }

    /// `inside` is of a page already.
    fn section(&mut self, title: &str, inside: &str) {
        self.put(&format!("<section>\n<h2>{}</h2>\n{inside}</section>", escaped(title)));
    }

    fn table<const N: usize>(
        &mut self,
        title: &str,
        head: [(&str, Column); N],
        rows: impl Iterator<Item = [String; N]>,
    ) {
        let class = |column| if column == Number { " class=\"number\"" } else { "" };
        let mut table = "<table>\n<tr>".to_owned();
        for (name, column) in head {
            table.push_str(&format!("<th{}>{}</th>", class(column), escaped(name)));
        }
        table.push_str("</tr>\n");
        let mut is_empty = true;
        for row in rows {
            is_empty = false;
            table.push_str("<tr>");
            for (cell, (_, column)) in row.iter().zip(head) {
                table.push_str(&format!("<td{}>{}</td>", class(column), escaped(cell)));
            }
            table.push_str("</tr>\n");
        }
        table.push_str("</table>\n");
        match (is_empty, title) {
            (true, _) => {}
            (false, "") => self.put(&table),
            (false, title) => self.section(title, &table),
        }
    }

    fn put(&mut self, line: &str) {
        writeln!(self.0, "{line}").expect("writing to a string never fails");
    }
}
