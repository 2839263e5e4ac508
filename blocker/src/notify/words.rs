//! What a mail says: its subject and its text. Pure: what happened in, words out.
//!
//! Whatever is in them was made [`plain`](super::notice::plain) before: nothing breaks out of a line.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::alarm::{Alarm, State};
use super::notice::{Ban, Batch, Detail, Notice, Unban};

/// The subject, without what the configuration has it begin with.
pub(super) fn subject(batch: &Batch, host: &str) -> String {
    let bans: Vec<&Ban> = batch.bans().collect();
    let unbans = batch.notices.iter().filter(|notice| matches!(notice.detail, Detail::Unban(_))).count();
    // What an administrator must know stands first.
    let others = batch.notices.iter().filter_map(|notice| match notice.event {
        "start" => Some(format!("started on {host}")),
        "stop" => Some(format!("stopping on {host}")),
        "test" => Some(format!("a test from {host}")),
        _ => None,
    });
    let alarms = |state| {
        let titles = batch.alarms().filter(|alarm| alarm.state == state).map(|alarm| alarm.title.as_str());
        titles.collect::<Vec<_>>().join(", ")
    };
    let mut parts: Vec<String> = Vec::new();
    for (state, word) in [(State::Begin, "ALARM"), (State::End, "over")] {
        let titles = alarms(state);
        if !titles.is_empty() {
            parts.push(format!("{word} on {host}: {titles}"));
        }
    }
    parts.extend(others);
    match (bans.as_slice(), batch.left_out) {
        ([], _) => {}
        ([ban], 0) => parts.push(format!("{}: banned {} from {host}", ban.jail, ban.prefix)),
        (several, left_out) => {
            let count = several.len() as u64 + left_out;
            let jails = by_jail(several).into_iter().map(|(jail, count)| format!("{jail} {count}"));
            let jails = jails.collect::<Vec<_>>().join(", ");
            parts.push(match left_out {
                0 => format!("{count} bans from {host} ({jails})"),
                _ => format!("{count} bans or more from {host}"),
            });
        }
    }
    if unbans > 0 {
        parts.push(format!("{unbans} bans over"));
    }
    parts.join("; ")
}

fn by_jail<'a>(bans: &[&'a Ban]) -> BTreeMap<&'a str, usize> {
    let mut counts = BTreeMap::new();
    for ban in bans {
        *counts.entry(ban.jail.as_str()).or_default() += 1;
    }
    counts
}

/// The text; `whois` are the answers about addresses, in the order of the bans, as far as there are any.
pub(super) fn text(batch: &Batch, host: &str, whois: &[(String, String)]) -> String {
    let mut text = String::new();
    for notice in &batch.notices {
        if !text.is_empty() {
            text.push('\n');
        }
        say(notice, host, &mut text);
    }
    if batch.left_out > 0 {
        push(
            &mut text,
            format_args!(
                "\nAnd {} more, which are too many for a mail: see `blocker bans` and the daemon's log.\n",
                batch.left_out
            ),
        );
    }
    for (address, answer) in whois {
        push(&mut text, format_args!("\nWhois says of {address}:\n\n"));
        for line in answer.lines() {
            push(&mut text, format_args!("    {line}\n"));
        }
    }
    push(&mut text, format_args!("\n-- \nblocker {} on {host}\n", env!("CARGO_PKG_VERSION")));
    text
}

fn say(notice: &Notice, host: &str, text: &mut String) {
    let Notice { event, time, detail } = notice;
    match detail {
        Detail::Start { jails, bans_in_force } => {
            push(text, format_args!("{time}  blocker has started on {host}.\n\n"));
            let jails = if jails.is_empty() { "none is on".to_owned() } else { jails.join(", ") };
            push(text, format_args!("    jails          {jails}\n    bans in force  {bans_in_force}\n"));
        }
        Detail::Ban(ban) => say_ban(ban, time, text),
        Detail::Unban(Unban { jail, prefix, why, by_uid, by }) => {
            push(text, format_args!("{time}  [{jail}] the ban of {prefix} is over: {why}.\n"));
            if by_uid.is_some() {
                text.push('\n');
                say_by(by.as_deref(), *by_uid, text);
            }
        }
        Detail::Alarm(Alarm { alarm: _, about: _, state, title, text: sentence }) => {
            let word = match state {
                State::Begin => "ALARM",
                State::End => "Over",
            };
            push(text, format_args!("{time}  {word}: {title}.\n\n    {sentence}\n"));
        }
        Detail::None {} if *event == "stop" => push(
            text,
            format_args!(
                "{time}  blocker is stopping on {host}. Bans stay in force until they end, and nobody new is banned.\n"
            ),
        ),
        Detail::None {} => {
            push(text, format_args!("{time}  This is a test of blocker on {host}. Nothing has happened.\n"));
        }
    }
}

fn say_ban(ban: &Ban, time: &str, text: &mut String) {
    let Ban { jail, prefix, until, seconds: _, origin, attempts, reason, user, by_uid, by, lines } = ban;
    push(text, format_args!("{time}  [{jail}] {prefix} is banned until {until}.\n\n"));
    let reason = reason.as_deref().unwrap_or("no reason given");
    match *origin {
        "log" => push(text, format_args!("    why    {attempts} attempts; the last: {reason}\n")),
        origin => push(text, format_args!("    why    by {origin}: {reason}\n")),
    }
    say_by(by.as_deref(), *by_uid, text);
    if let Some(user) = user {
        push(text, format_args!("    as     {user}\n"));
    }
    for (number, line) in lines.iter().enumerate() {
        let head = if number == 0 { "log" } else { "" };
        push(text, format_args!("    {head:<5}  {line}\n"));
    }
}

/// Who did it by command, if that is known.
fn say_by(name: Option<&str>, uid: Option<u32>, text: &mut String) {
    match (name, uid) {
        (Some(name), Some(uid)) => push(text, format_args!("    by     {name} (user {uid})\n")),
        (None, Some(uid)) => push(text, format_args!("    by     user {uid}\n")),
        (_, None) => {}
    }
}

fn push(text: &mut String, words: std::fmt::Arguments<'_>) {
    text.write_fmt(words).expect("a string takes whatever it is given");
}

#[cfg(test)]
mod tests {
    use super::super::notice::testing::{HOSTILE, ban, by_hand};
    use super::super::notice::{Happening, What};
    use super::super::worker::MAX_TOLD;
    use super::*;
    use crate::clock::Reading;
    use blocker_core::bans::Uid;
    use blocker_core::engine::UnbanReason;

    fn batch(notices: impl IntoIterator<Item = Notice>) -> Batch {
        Batch { notices: notices.into_iter().collect(), left_out: 0 }
    }

    fn of(what: What) -> Notice {
        Notice::of(&Happening { what, clock: Reading::take() })
    }

    #[test]
    fn a_subject_says_what_matters_most() {
        let started = || of(What::Started { jails: vec!["dovecot".to_owned()], bans: 3 });
        assert_eq!(subject(&batch([started()]), "mx1"), "started on mx1");
        assert_eq!(subject(&batch([of(What::Stopping)]), "mx1"), "stopping on mx1");
        assert_eq!(subject(&batch([ban("192.0.2.9", b"bob")]), "mx1"), "dovecot: banned 192.0.2.9 from mx1");
        let two = batch([started(), ban("192.0.2.9", b"bob"), ban("192.0.2.10", b"bob")]);
        assert_eq!(subject(&two, "mx1"), "started on mx1; 2 bans from mx1 (dovecot 2)");
        let many = Batch { left_out: 9_900, ..two };
        assert_eq!(subject(&many, "mx1"), "started on mx1; 9902 bans or more from mx1");
    }

    #[test]
    fn a_text_says_who_why_and_until_when() {
        let text =
            text(&batch([ban("192.0.2.9", b"bob")]), "mx1", &[("192.0.2.9".to_owned(), "netname: X\ny".to_owned())]);

        for line in [
            "2026-11-26T18:00:00Z  [dovecot] 192.0.2.9 is banned until 2026-11-26T19:00:00Z.",
            "    why    5 attempts; the last: auth failed",
            "    as     bob",
            "    log    bob",
            "Whois says of 192.0.2.9:",
            "    netname: X",
            "    y",
        ] {
            assert!(text.lines().any(|had| had == line), "{line} in\n{text}");
        }
    }

    #[test]
    fn a_ban_by_hand_has_who_made_it_and_their_reason() {
        let text = text(&batch([by_hand("192.0.2.9", Some("scans us"), Some(0))]), "mx1", &[]);
        for line in ["    why    by command: scans us", "    by     root (user 0)"] {
            assert!(text.lines().any(|had| had == line), "{line} in\n{text}");
        }
        let unknown = super::text(&batch([by_hand("192.0.2.9", None, Some(4_000_000_000))]), "mx1", &[]);
        assert!(unknown.contains("by command: no reason given\n    by     user 4000000000\n"), "{unknown}");
    }

    #[test]
    fn an_unban_says_by_whom_if_somebody_did_it() {
        let told = |why, by| {
            let (prefix, jail) = ("192.0.2.9".to_owned(), "dovecot".to_owned());
            text(&batch([of(What::Unbanned { prefix, jail, why, by })]), "mx1", &[])
        };

        let by_root = told(UnbanReason::ByCommand, Some(Uid(0)));
        assert!(
            by_root.contains("  [dovecot] the ban of 192.0.2.9 is over: by command.\n\n    by     root (user 0)\n"),
            "{by_root}"
        );
        assert!(!told(UnbanReason::Expired, None).contains("    by"), "it ended by itself");
    }

    #[test]
    fn a_hostile_name_is_on_one_line_of_its_own() {
        let honest = text(&batch([ban("192.0.2.9", b"bob")]), "mx1", &[]);
        let hostile = text(&batch([ban("192.0.2.9", HOSTILE)]), "mx1", &[]);

        assert_eq!(hostile.lines().count(), honest.lines().count(), "{hostile}");
        assert!(hostile.chars().all(|c| c == '\n' || !c.is_control()), "{hostile}");
    }

    #[test]
    fn a_flood_is_one_text_that_says_how_many_were_left_out() {
        let mut batch = Batch::default();
        for n in 0..10_000 {
            batch.push(ban(&format!("198.51.{}.{}", n / 256, n % 256), b"bob"), MAX_TOLD);
        }

        let text = text(&batch, "mx1", &[]);

        assert!(text.contains("\nAnd 9900 more, which are too many for a mail"), "{text}");
        assert!(text.len() < 64 * 1024, "{}", text.len());
    }
}
