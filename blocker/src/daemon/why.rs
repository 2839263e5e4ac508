//! What is known of an address, put together: by the engine what is, by the kernel what was dropped, by the database what was.
//!
//! Only the last takes long, and is not waited for: the thread that has the database gives the answer. If its disk hangs, what is known
//! without it is told after [`PATIENCE`].

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use blocker_core::bans::Uid;
use blocker_core::config::Mode;
use blocker_core::engine::{BanInfo, Counting, Evidence, Origin, Story};
use blocker_core::time::format_span;
use blocker_core::whom::Whom;
use tokio::sync::oneshot;

use super::{Daemon, status};
use crate::clock::{self, Reading};
use crate::control::why::{Allowed, Ban, Cause, Count, Dropped, Earlier, Line, Past, Why};
use crate::control::wire::Reply;
use crate::kernel::{MANUAL_JAIL, Tallies};
use crate::store::{PastBan, PastLine, Question};

/// How long the database may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is known, and the way to who asked, until it is told.
type Unanswered = Mutex<Option<(Why, oneshot::Sender<Vec<Reply>>)>>;

/// Tells what is known, with what the database has, or why that is not known. Whoever comes second says nothing.
fn answer(unanswered: &Unanswered, found: Result<Vec<PastBan>, &str>, clock: Reading) {
    let taken = unanswered.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some((mut why, reply)) = taken else { return };
    match found {
        Ok(account) => complete(&mut why, account, clock),
        Err(error) => why.missing = Some(error.to_owned()),
    }
    if reply.send(vec![Reply::Why(Box::new(why)), Reply::Done]).is_err() {
        tracing::debug!("a control client went away before its answer");
    }
}

fn answer_late(unanswered: &Unanswered, clock: Reading) {
    answer(unanswered, Err("the database has not answered yet: its disk is busy, or hangs"), clock);
}

impl Daemon<'_> {
    /// Answers what is known of `whom`.
    pub(super) fn tell_why(&mut self, whom: Whom, reply: oneshot::Sender<Vec<Reply>>) {
        let clock = Reading::take();
        let story = self.engine.why(whom, clock.boot());
        self.carry_out();
        let why = self.so_far(whom, story, clock);
        let unanswered = Arc::new(Mutex::new(Some((why, reply))));
        let late = Arc::clone(&unanswered);
        let answer = move |found: Result<Vec<PastBan>, &str>| answer(&unanswered, found, clock);
        self.keeper.ask(Question::Account { whom: whom.exactly(), answer: Box::new(answer) });
        tokio::spawn(async move {
            tokio::time::sleep(PATIENCE).await;
            answer_late(&late, clock);
        });
    }

    /// What is known without the database.
    fn so_far(&self, whom: Whom, story: Story, clock: Reading) -> Why {
        let Story { prefix, bans, inside, banned_inside, allowed, allowed_inside, counts, earlier, judges } = story;
        let verdict = match (&allowed, bans.is_empty(), counts.is_empty()) {
            (Some(_), _, _) => "allowed",
            (None, false, _) => "banned",
            (None, true, false) => "counted",
            (None, true, true) => "not-banned",
        };
        let tallies = self.kernel.tallies().unwrap_or_else(|error| {
            tracing::warn!("what was dropped lately cannot be read: {error:#}");
            Tallies::default()
        });
        let count = |counting: Counting| {
            let Counting { prefix, jail, count, of, find_time, last, evidence } = counting;
            Count {
                prefix,
                jail: self.engine.jail_name(jail),
                count: status::number(count),
                max_retry: of,
                find_time: format_span(find_time),
                last: clock.wall(last),
                evidence: evidence.iter().map(|line| told(line, clock)).collect(),
            }
        };
        Why {
            asked: match whom {
                Whom::Address(addr) => addr.to_string(),
                Whom::Prefix(prefix) => prefix.to_string(),
            },
            prefix,
            time: clock.wall(clock.boot()),
            verdict: verdict.to_owned(),
            mode: status::mode_name(self.mode()).to_owned(),
            bans: bans.into_iter().map(|ban| self.in_force(ban, &tallies, clock)).collect(),
            inside: inside.into_iter().map(|ban| self.in_force(ban, &tallies, clock)).collect(),
            banned_inside,
            allowed: allowed.map(|allowed| Allowed { prefix: allowed.prefix, reason: allowed.why.to_string() }),
            allowed_inside,
            counts: counts.into_iter().map(count).collect(),
            earlier: earlier
                .into_iter()
                .map(|(jail, earlier)| Earlier {
                    jail: self.engine.jail_name(jail),
                    bans: earlier.bans,
                    last: clock.wall(earlier.last),
                })
                .collect(),
            past: Vec::new(),
            missing: None,
            judges,
        }
    }

    fn in_force(&self, info: BanInfo, tallies: &Tallies, clock: Reading) -> Ban {
        let BanInfo { prefix, jail, jail_name, started, until, origin, evidence: _ } = info;
        let config = self.numbered.jails.iter().find(|known| known.id == jail).map(|known| &known.config);
        let ports = match config {
            Some(config) => Some(config.ports.to_string()),
            None => (jail == self.numbered.manual).then(|| "all".to_owned()),
        };
        let (word, cause) = match origin {
            Origin::Log { attempts, user: _, pattern } => {
                let (attempts, pattern) = (Some(status::number(attempts)), Some(pattern.to_string()));
                ("log", Cause { attempts, pattern, ..Cause::default() })
            }
            Origin::Command { reason, by } => {
                let (reason, by_uid) = (reason.map(|reason| reason.to_string()), by.map(|Uid(uid)| uid));
                ("command", Cause { reason, by_uid, ..Cause::default() })
            }
            Origin::Adopted => ("adopted", Cause::default()),
        };
        let dropped = self.kernel.dropped(prefix, tallies).unwrap_or_else(|error| {
            tracing::warn!("what was dropped of {prefix} cannot be read: {error:#}");
            None
        });
        Ban {
            prefix,
            jail: if jail_name.is_empty() { MANUAL_JAIL.to_owned() } else { jail_name.to_string() },
            since: clock.wall(started),
            until: clock.end(until),
            remaining_s: clock.remaining_secs(until),
            ports,
            observes: config.is_some_and(|config| config.mode == Mode::Observe),
            origin: word.to_owned(),
            cause,
            dropped: dropped.map(|dropped| Dropped {
                packets: dropped.packets,
                bytes: dropped.bytes,
                last: dropped.last.map(|last| clock.wall(last)),
                last_ago_s: dropped.last.map(|last| clock.boot().saturating_since(last).as_secs()),
            }),
        }
    }
}

/// Adds what the database has, the last to begin first: to each ban in force how it began, and besides those that are over.
fn complete(why: &mut Why, account: Vec<PastBan>, clock: Reading) {
    let now = clock.wall_ns();
    let mut met = HashSet::new();
    for ban in account {
        let is_open = ban.ended.is_none() && ban.until.is_none_or(|until| until > now);
        let in_force = why.bans.iter_mut().chain(&mut why.inside);
        let mut same = in_force.filter(|known| known.prefix == ban.prefix && known.jail == ban.jail);
        // Of several that nobody has noted the end of, the last to begin is the one in force.
        if is_open && let Some(known) = same.next().filter(|_| met.insert((ban.prefix, ban.jail.clone()))) {
            let of_log = cause(&ban);
            let Cause { attempts, max_retry, find_time, pattern, by_uid, reason, evidence } = of_log;
            let cause = &mut known.cause;
            // A ban that somebody prolonged is his now; what earned it is told nevertheless.
            cause.attempts = cause.attempts.or(attempts);
            cause.pattern = cause.pattern.take().or(pattern);
            cause.by_uid = cause.by_uid.or(by_uid);
            cause.reason = cause.reason.take().or(reason);
            (cause.max_retry, cause.find_time, cause.evidence) = (max_retry, find_time, evidence);
            continue;
        }
        let cause = cause(&ban);
        let PastBan { prefix, jail, started, until, origin, ended, .. } = ban;
        let (ended, how, by) = match (ended, until) {
            (Some((at, how, by)), _) => (Some(at), how, by),
            (None, Some(until)) if until <= now => (Some(until), "over".to_owned(), None),
            // It was lifted while nobody could take note.
            (None, _) => (None, "unknown".to_owned(), None),
        };
        why.past.push(Past {
            prefix,
            jail,
            since: clock::rfc3339(started),
            ended: ended.map(clock::rfc3339),
            how,
            lifted_by_uid: by.map(|Uid(uid)| uid),
            origin,
            cause,
        });
    }
}

fn cause(ban: &PastBan) -> Cause {
    let PastBan { attempts, max_retry, find_time, pattern, by, reason, lines, .. } = ban;
    let line = |kept: &PastLine| Line {
        time: clock::rfc3339(kept.made),
        line: String::from_utf8_lossy(&kept.line).into_owned(),
        is_cut: kept.is_cut,
        addr: kept.addr.clone(),
        user: kept.user.as_deref().map(|user| String::from_utf8_lossy(user).into_owned()),
        filter: kept.filter.clone(),
        pattern: kept.pattern.clone(),
        attempts: status::number(kept.attempts),
        count: status::number(kept.count),
    };
    Cause {
        attempts: attempts.map(status::number),
        max_retry: *max_retry,
        find_time: find_time.map(format_span),
        pattern: pattern.clone(),
        by_uid: by.map(|Uid(uid)| uid),
        reason: reason.clone(),
        evidence: lines.iter().map(line).collect(),
    }
}

fn told(line: &Evidence, clock: Reading) -> Line {
    Line {
        time: clock.wall(line.made),
        line: String::from_utf8_lossy(&line.line).into_owned(),
        is_cut: line.is_cut,
        addr: line.addr.to_string(),
        user: line.user.as_deref().map(|user| String::from_utf8_lossy(user).into_owned()),
        filter: line.filter.to_string(),
        pattern: line.pattern.to_string(),
        attempts: status::number(line.attempts),
        count: status::number(line.count),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_does_not_answer_is_waited_for_no_longer_and_then_no_more() {
        let clock = Reading::take();
        let (reply, mut told) = oneshot::channel();
        let unanswered = Mutex::new(Some((nothing(), reply)));

        answer_late(&unanswered, clock);
        answer(&unanswered, Ok(Vec::new()), clock);

        let Ok(replies) = told.try_recv() else { panic!("an answer") };
        let [Reply::Why(why), Reply::Done] = &replies[..] else { panic!("{replies:?}") };
        assert!(why.missing.as_deref().is_some_and(|why| why.contains("hangs")), "{why:?}");
    }

    #[test]
    fn what_the_database_has_goes_to_the_ban_in_force_and_the_rest_is_past() {
        let mut why = nothing();
        why.bans.push(in_force("command", Some(5)));
        let clock = Reading::take();
        let now = clock.wall_ns();
        let ban = |until: Option<i64>, ended: Option<i64>| PastBan {
            prefix: "192.0.2.9".parse().unwrap(),
            jail: "dovecot".into(),
            started: now - 1_000,
            until,
            origin: "log".into(),
            attempts: None,
            max_retry: Some(5),
            find_time: Some(Duration::from_secs(600)),
            pattern: Some("auth failed".into()),
            by: None,
            reason: None,
            ended: ended.map(|at| (at, "command".into(), Some(Uid(7)))),
            lines: Vec::new(),
        };

        let open = ban(None, None);
        complete(&mut why, vec![open.clone(), ban(None, Some(now)), ban(Some(now - 1), None)], clock);

        let cause = &why.bans[0].cause;
        assert_eq!((cause.by_uid, cause.max_retry, cause.pattern.as_deref()), (Some(5), Some(5), Some("auth failed")));
        let ends: Vec<_> = why.past.iter().map(|past| (past.how.as_str(), past.lifted_by_uid)).collect();
        assert_eq!(ends, [("command", Some(7)), ("over", None)]);

        let mut why = nothing();
        complete(&mut why, vec![open], clock);
        assert_eq!((why.past[0].how.as_str(), why.past[0].ended.as_ref()), ("unknown", None), "it is not in force");
    }

    #[test]
    fn a_ban_in_force_is_told_with_its_own_lines_and_not_with_those_of_one_that_was_lifted_unnoticed() {
        let mut why = nothing();
        why.bans.push(in_force("log", None));
        let clock = Reading::take();
        let ban = |max_retry| PastBan {
            prefix: "192.0.2.9".parse().unwrap(),
            jail: "dovecot".into(),
            started: clock.wall_ns() - 1_000,
            until: None,
            origin: "log".into(),
            attempts: None,
            max_retry: Some(max_retry),
            find_time: None,
            pattern: None,
            by: None,
            reason: None,
            ended: None,
            lines: Vec::new(),
        };

        complete(&mut why, vec![ban(2), ban(1)], clock);

        assert_eq!(why.bans[0].cause.max_retry, Some(2), "the one noted last");
        let past: Vec<_> = why.past.iter().map(|past| (past.cause.max_retry, past.how.as_str())).collect();
        assert_eq!(past, [(Some(1), "unknown")]);
    }

    fn nothing() -> Why {
        Why {
            asked: "192.0.2.9".into(),
            prefix: "192.0.2.9".parse().unwrap(),
            time: String::new(),
            verdict: "not-banned".into(),
            mode: "enforce".into(),
            bans: Vec::new(),
            inside: Vec::new(),
            banned_inside: 0,
            allowed: None,
            allowed_inside: Vec::new(),
            counts: Vec::new(),
            earlier: Vec::new(),
            past: Vec::new(),
            missing: None,
            judges: Vec::new(),
        }
    }

    fn in_force(origin: &str, by_uid: Option<u32>) -> Ban {
        Ban {
            prefix: "192.0.2.9".parse().unwrap(),
            jail: "dovecot".into(),
            since: String::new(),
            until: String::new(),
            remaining_s: None,
            ports: None,
            observes: false,
            origin: origin.into(),
            cause: Cause { by_uid, ..Cause::default() },
            dropped: None,
        }
    }
}
