//! The result for a person. Whatever stands in a log is shown in printable ASCII, the rest of it escaped.

use anyhow::Result;
use blocker_core::time::{Until, format_span};

use super::clock::show;
use super::later::Login;
use super::replay::{Banned, Replay};
use super::tally::{self, Missed, Tally};
use crate::cli::output;

/// Prints all that came together.
pub(super) fn print(tally: &Tally, replay: &Replay) -> Result<()> {
    let Tally {
        lines, failures, ignored, no_match, helpers, unreadable, too_long, attempts, looks_like_failure, ..
    } = tally;
    let span = match (tally.first, tally.last) {
        (Some(first), Some(last)) => format!(", from {} to {}", show(first), show(last)),
        (Some(_) | None, _) => String::new(),
    };
    output::line(&format!("lines: {lines}{span}"))?;
    output::line(&format!("  matched: {failures} (attempts: {attempts})"))?;
    output::line(&format!("  ignored: {ignored}"))?;
    if *helpers > 0 {
        output::line(&format!("  helped to understand others: {helpers}"))?;
    }
    output::line(&format!("  missed: {no_match} (unreadable: {unreadable}, too long: {too_long})"))?;
    for (form, lines) in &tally.forms {
        output::line(&match *form {
            "none" => format!("lines without a time: {lines}"),
            tally::JOURNAL => format!("entries of the journal, as of now: {lines}"),
            form => format!("lines with a time as in `{form}`: {lines}"),
        })?;
    }
    print_hits(tally)?;
    if *looks_like_failure > 0 {
        let shown = tally.missed.len() as u64;
        let rest = if shown < *looks_like_failure { format!(", the first {shown} of them") } else { String::new() };
        output::line(&format!("missed lines that look like failures: {looks_like_failure}{rest}"))?;
    }
    for Missed { file, line, text, is_cut } in &tally.missed {
        let rest = if *is_cut { "…" } else { "" };
        output::line(&format!("  {}:{line}: {}{rest}", file.escape_debug(), text.escape_ascii()))?;
    }
    print_bans(tally, replay)
}

fn print_hits(tally: &Tally) -> Result<()> {
    let hits = tally.hits.iter().map(|((filter, number), (name, lines))| {
        [lines.to_string(), filter.clone(), format!("pattern {number}: {}", name.escape_debug())]
    });
    let reasons = tally.reasons.iter();
    let reasons = reasons
        .map(|((filter, why), lines)| [lines.to_string(), filter.clone(), format!("ignored: {}", why.escape_debug())]);
    let rows: Vec<[String; 3]> = hits.chain(reasons).collect();
    if rows.is_empty() { Ok(()) } else { output::table(["LINES", "FILTER", "WHAT"], &rows) }
}

fn print_bans(tally: &Tally, replay: &Replay) -> Result<()> {
    let rows: Vec<[String; 7]> = tally.banned.iter().map(|ban| row(ban, replay.later.after(ban.number))).collect();
    match tally.bans {
        0 => output::line("nobody would be banned")?,
        bans => output::line(&format!("bans that would fall due: {bans}"))?,
    }
    if !rows.is_empty() {
        output::table(["WHEN", "PREFIX", "JAIL", "FOR", "ATTEMPTS", "LAST", "LOGGED IN LATER"], &rows)?;
    }
    let left_out = tally.bans.saturating_sub(rows.len() as u64);
    if left_out > 0 {
        output::line(&format!("and {left_out} more (all of them: --json --sparse --replay)"))?;
    }
    if replay.later.count() > 0 {
        let count = replay.later.count();
        output::line(&format!("bans after which somebody logged in from there, so perhaps of no attacker: {count}"))?;
    }
    if replay.refused > 0 {
        output::line(&format!("{} bans could not be entered: the table of bans is full", replay.refused))?;
    }
    for text in replay.not_counted.texts() {
        output::line(&format!("failures not counted: {text}"))?;
    }
    Ok(())
}

fn row(ban: &Banned, login: Option<&Login>) -> [String; 7] {
    let Banned { prefix, jail, started, until, attempts, pattern, number: _ } = ban;
    let lasts = match until {
        Until::At(end) => format_span(end.saturating_since(*started)),
        Until::Forever => "forever".to_owned(),
    };
    let pattern = pattern.as_deref().unwrap_or("-").escape_debug().to_string();
    let login = match login {
        Some(Login { time, user }) => format!("{} as {}", show(*time), user.escape_ascii()),
        None => "-".to_owned(),
    };
    [show(*started), prefix.to_string(), jail.clone(), lasts, attempts.to_string(), pattern, login]
}
