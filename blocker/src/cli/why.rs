//! `blocker why`: everything known of an address or a network, in plain words. All words are here; what they say comes from the
//! daemon ([`crate::control::why`]).

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Result, bail};
use blocker_core::time::format_span;
use blocker_core::whom::Whom;
use nix::unistd::{Uid, User};

use super::output::shown;
use super::test::json;
use super::{Globals, output};
use crate::control::client::Client;
use crate::control::why::{Ban, Cause, Count, Line, Past, Why};
use crate::control::wire::{Reply, Request};
use crate::settings;

/// Options of `blocker why`.
#[derive(clap::Args)]
pub(super) struct Options {
    /// Address or network; an address is looked for in every network that is banned
    #[arg(value_name = "ADDR|NET")]
    whom: Whom,
}

pub(super) fn why(globals: &Globals, options: &Options) -> Result<()> {
    let places = settings::places(&globals.config)?;
    let mut found = None;
    Client::connect(&places.runtime)?.ask(&Request::Why { whom: options.whom }, |reply| {
        if let Reply::Why(why) = reply {
            found = Some(why);
        }
        Ok(())
    })?;
    let Some(why) = found else { bail!("the daemon's answer tells nothing: is it of another version?") };
    if globals.json {
        let mut line = Vec::new();
        json::put(&mut line, &why)?;
        return output::bytes(&line);
    }
    output::text(&story(&why, name))
}

/// The name of a user of this machine.
fn name(uid: u32) -> Option<String> {
    User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name)
}

/// The story of somebody. `name` tells the names of users.
fn story(why: &Why, name: impl Fn(u32) -> Option<String>) -> String {
    let mut story = Story { text: String::new(), why, name: &name };
    story.head();
    for ban in &why.bans {
        story.ban(ban);
    }
    story.inside();
    for count in &why.counts {
        story.count(count);
    }
    story.before();
    if let Some(missing) = &why.missing {
        story.line(0, &format!("past bans, and lines, cannot be told: {}", shown(missing)));
    }
    story.hint();
    story.text
}

struct Story<'a> {
    text: String,
    why: &'a Why,
    name: &'a dyn Fn(u32) -> Option<String>,
}

impl Story<'_> {
    fn line(&mut self, depth: usize, text: &str) {
        writeln!(self.text, "{:indent$}{text}", "", indent = 2 * depth).expect("writing to a string never fails");
    }

    /// The answer in a word, and why if that takes no more than a line.
    fn head(&mut self) {
        let Why { asked, prefix, verdict, mode, bans, allowed, banned_inside, judges, counts, .. } = self.why;
        let observes = mode == "observe" || !bans.is_empty() && bans.iter().all(|ban| ban.observes);
        let head = match (verdict.as_str(), allowed) {
            ("allowed", Some(allowed)) if bans.is_empty() => {
                format!("{asked} is not banned, and never will be: {} is {}", allowed.prefix, allowed.reason)
            }
            ("allowed", Some(allowed)) => format!(
                "{asked} is let through, although it lies in what is banned: {} is {}",
                allowed.prefix, allowed.reason
            ),
            ("banned", _) if observes => {
                format!("{asked} is banned, but only observed: its packets are counted and pass")
            }
            ("banned", _) => format!("{asked} is banned"),
            // The brake, or a ban by another jail that leaves it fewer tries.
            ("counted", _) if counts.iter().any(|counted| counted.count >= f64::from(counted.max_retry)) => format!(
                "{asked} is not banned yet: it has failed often enough, and its next try bans it unless the brake holds that (see `blocker \
                 status`)"
            ),
            ("counted", _) => format!("{asked} is not banned: it has failed, and not often enough"),
            _ if *banned_inside > 0 => format!("{asked} is not banned as a whole"),
            _ => format!("{asked} is not banned: nothing counts against it"),
        };
        self.line(0, &head);
        if *asked != prefix.to_string() {
            self.line(1, &format!("it is counted, and banned, with its whole network {prefix}"));
        }
        if verdict == "not-banned" && *banned_inside == 0 {
            let judges: Vec<String> = judges.iter().map(|name| shown(name)).collect();
            self.line(
                1,
                &match judges.is_empty() {
                    true => "no jail judges lines: see `blocker status`".to_owned(),
                    false => {
                        format!("no jail has counted a failure of it lately; these judge lines: {}", judges.join(", "))
                    }
                },
            );
        }
    }

    fn ban(&mut self, ban: &Ban) {
        let Ban { prefix, jail, since, until, remaining_s, ports, observes, origin, cause, dropped } = ban;
        let whom = if prefix.to_string() == self.why.asked { String::new() } else { format!("{prefix} ") };
        let end = match remaining_s {
            Some(left) => format!("until {until} ({} left)", format_span(Duration::from_secs(*left))),
            None => "for ever".to_owned(),
        };
        let ports = match ports.as_deref() {
            Some("all") => "; all ports are closed".to_owned(),
            Some(ports) => format!("; closed are {ports}"),
            None => "; the jail is gone".to_owned(),
        };
        let observes = if *observes { "; its jail only observes" } else { "" };
        self.line(0, &format!("{whom}banned by jail {} {end}{ports}{observes}", shown(jail)));
        self.line(1, &format!("since {since}: {}", self.cause(origin, cause)));
        match dropped {
            Some(dropped) if dropped.packets > 0 => {
                let ago = dropped.last_ago_s.map(|ago| format_span(Duration::from_secs(ago)));
                let last = match (ago, &dropped.last) {
                    (Some(ago), Some(last)) => format!(", the last one {ago} ago ({last})"),
                    _ => String::new(),
                };
                let (packets, bytes) = (dropped.packets, dropped.bytes);
                self.line(1, &format!("packets dropped since: {packets} ({bytes} bytes){last}"));
            }
            Some(_) => self.line(1, "no packet of it has been dropped so far"),
            None => self.line(1, "the kernel has no ban of it: see `blocker status`"),
        }
        self.evidence(&cause.evidence, "the lines that earned it");
        if self.why.missing.is_none()
            && let Some(attempts) = cause.attempts
        {
            self.unkept(attempts, &cause.evidence);
        }
    }

    /// What a ban came from.
    fn cause(&self, origin: &str, cause: &Cause) -> String {
        let Cause { attempts, max_retry, find_time, pattern, by_uid, reason, evidence } = cause;
        let earned = attempts.map(|attempts| {
            let limits = match (max_retry, find_time) {
                (Some(of), Some(within)) => format!(" of {of} attempts in {within}"),
                _ => format!(" failed {}", if attempts == 1.0 { "attempt" } else { "attempts" }),
            };
            let filter = evidence.last().map(|line| format!(", filter {}", shown(&line.filter))).unwrap_or_default();
            let pattern = pattern.as_deref().map(|pattern| format!(", pattern \"{}\"", shown(pattern)));
            format!("{attempts}{limits}{filter}{}", pattern.unwrap_or_default())
        });
        match origin {
            "command" => {
                let reason = match reason {
                    Some(reason) => format!(": \"{}\"", shown(reason)),
                    None => ", no reason given".to_owned(),
                };
                let before = earned.map(|earned| format!("; a log had earned it by {earned}")).unwrap_or_default();
                format!("by hand, by {}{reason}{before}", self.user(*by_uid))
            }
            "adopted" => "found in the kernel's maps at a start: what earned it is not known".to_owned(),
            _ => earned.unwrap_or_else(|| "by a log".to_owned()),
        }
    }

    fn user(&self, uid: Option<u32>) -> String {
        match uid.map(|uid| (uid, (self.name)(uid))) {
            Some((uid, Some(name))) => format!("{} (user {uid})", shown(&name)),
            Some((uid, None)) => format!("user {uid}"),
            None => "somebody".to_owned(),
        }
    }

    fn evidence(&mut self, lines: &[Line], title: &str) {
        if lines.is_empty() {
            return;
        }
        self.line(1, &format!("{title}:"));
        for told in lines {
            let Line { time, line, is_cut, addr, user, filter, pattern, attempts, count } = told;
            let user = user.as_deref().map(|user| format!(", user \"{}\"", shown(user))).unwrap_or_default();
            let from = if *addr == self.why.asked { String::new() } else { format!(" by {addr}") };
            let what = format!("{} \"{}\"{user}{from}", shown(filter), shown(pattern));
            self.line(2, &format!("{time}  +{attempts}, {count} in all: {what}"));
            if !line.is_empty() {
                self.line(3, &format!("{}{}", shown(line), if *is_cut { " …" } else { "" }));
            }
        }
    }

    /// What is banned and allowed in a network.
    fn inside(&mut self) {
        let Why { inside, banned_inside, allowed_inside, .. } = self.why;
        if *banned_inside > 0 {
            let shown_of = inside.iter().map(|ban| ban.prefix).collect::<std::collections::BTreeSet<_>>().len();
            let rest =
                if shown_of < *banned_inside { format!(", the first {shown_of} of them") } else { String::new() };
            self.line(0, &format!("banned inside: {banned_inside}{rest}"));
            for ban in inside {
                let Ban { prefix, jail, until, origin, cause, .. } = ban;
                let cause = self.cause(origin, cause);
                self.line(1, &format!("{prefix} by jail {} until {until}: {cause}", shown(jail)));
            }
        }
        if !allowed_inside.is_empty() {
            let allowed: Vec<String> = allowed_inside.iter().map(ToString::to_string).collect();
            self.line(0, &format!("never dropped inside, by the allowlist: {}", allowed.join(", ")));
        }
    }

    fn count(&mut self, counted: &Count) {
        let Count { prefix, jail, count, max_retry, find_time, last, evidence } = counted;
        let whom = if *prefix == self.why.prefix { String::new() } else { format!("{prefix}: ") };
        let jail = shown(jail);
        self.line(
            0,
            &format!("{whom}{count} of {max_retry} attempts in {find_time} in jail {jail}, the last one at {last}"),
        );
        self.evidence(evidence, "the lines that count");
        self.unkept(*count, evidence);
    }

    /// Says if there are fewer lines than there were.
    fn unkept(&mut self, attempts: f64, lines: &[Line]) {
        let told: f64 = lines.iter().map(|line| line.attempts).sum();
        if lines.is_empty() {
            self.line(1, "the lines are not kept: they are from before a restart, or too many came since");
        } else if told + 0.05 < attempts {
            self.line(1, "the lines before these are not kept");
        }
    }

    /// What was.
    fn before(&mut self) {
        let Why { past, earlier, bans, asked, .. } = self.why;
        if !past.is_empty() {
            self.line(0, "earlier bans, the last one first:");
        }
        for ban in past {
            let Past { prefix, jail, since, ended, how, lifted_by_uid, origin, cause } = ban;
            let end = match (how.as_str(), ended) {
                ("over", Some(at)) => format!("ended at {at}"),
                ("command", Some(at)) => format!("lifted by hand at {at} by {}", self.user(*lifted_by_uid)),
                (how, Some(at)) => format!("ended at {at}: {}", shown(how)),
                (_, None) => "lifted, nobody knows when".to_owned(),
            };
            let whom = if prefix.to_string() == *asked { String::new() } else { format!("{prefix} ") };
            let cause = self.cause(origin, cause);
            self.line(1, &format!("{since}  {whom}by jail {}: {cause}; {end}", shown(jail)));
        }
        for known in earlier {
            let is_new = known.bans == 1 && bans.iter().any(|ban| ban.jail == known.jail);
            if !is_new {
                let times = if known.bans == 1 { "once".to_owned() } else { format!("{} times", known.bans) };
                let (jail, last) = (shown(&known.jail), &known.last);
                self.line(0, &format!("logs have had it banned {times} by jail {jail}, the last time at {last}"));
            }
        }
    }

    fn hint(&mut self) {
        let mut prefixes: Vec<String> = self.why.bans.iter().map(|ban| ban.prefix.to_string()).collect();
        prefixes.dedup();
        if self.why.allowed.is_none() && !prefixes.is_empty() {
            self.line(0, &format!("to let it in again: blocker unban {}", prefixes.join(" ")));
        }
    }
}

#[cfg(test)]
mod tests;
