//! What is counted and told of a single failure.

use std::net::IpAddr;
use std::sync::Arc;

use super::evidence::{Evidence, Piece};
use super::{
    Ban, BanInfo, BanOutcome, BrakeChange, Engine, Event, Found, IgnoreReason, Jail, JailId, Note, Origin, UnbanReason,
    cut,
};
use crate::attempts::Attempts;
use crate::bans::Renewal;
use crate::filter::{Failure, Filter, Label};
use crate::policy::{self, Decision, Known};
use crate::prefix::Prefix;
use crate::time::Timestamp;

impl Engine {
    /// Says whether [`Event::Found`] and [`Event::Ignored`] are wanted: one for every failure. They are, unless this says
    /// otherwise; the counters do not depend on it.
    pub fn tell_failures(&mut self, wanted: bool) {
        self.is_untold = !wanted;
    }

    /// How many failures counted while nobody wanted to know of each.
    #[must_use]
    pub fn untold(&self) -> u64 {
        self.counters.untold
    }

    /// Takes in a failure that the filter of `jail` found.
    ///
    /// Part of [`Engine::handle_line`], and open to callers that judged the line themselves, and have joined it with others of
    /// its connection ([`Sessions::join`]). A `jail` that is not there has no failures.
    ///
    /// The failure counts from when it was `made`: now, or earlier if it was in its log before that was read.
    pub fn handle_failure(&mut self, jail: JailId, failure: &Failure<'_>, made: Timestamp, now: Timestamp) {
        self.advance(now);
        if let Some(place) = self.jails.iter().position(|known| known.id == jail) {
            self.judge_failure(place, failure, b"", made, now);
        }
    }

    /// As [`Engine::handle_failure`], for the jail at `place`, where the engine has been brought to `now`. The failure is told by
    /// `line`; empty if there is none.
    pub(super) fn judge_failure(
        &mut self,
        place: usize,
        failure: &Failure<'_>,
        line: &[u8],
        made: Timestamp,
        now: Timestamp,
    ) {
        // A live failure is made now, also if the clock has stepped back.
        let made = if made >= now { self.now } else { made.min(self.now) };
        let Some(settings) = self.jails.get(place) else { return };
        let jail = settings.id;
        let is_forgivable = settings.forgives && !failure.forgivable.is_zero();
        let known = Known {
            allowlist: &self.allowlist,
            book: &self.book,
            tracker: &mut self.tracker,
            history: &self.history,
            brake: &self.brake,
            logins: &self.logins,
            random: self.dice.f64(),
            ipv6_prefix: self.ipv6_prefix,
            user: failure.user.filter(|_| is_forgivable).map(|user| (user, self.sessions.key())),
        };
        match policy::decide(failure, settings, known, made, self.now) {
            Decision::Ignore(why) => self.ignored(jail, failure.addr, why),
            Decision::Count { prefix, count, of } => {
                self.keep_line(place, failure, line, prefix, made, (count, of));
                self.found(jail, failure, prefix, made, count, of);
            }
            Decision::Hold { prefix, count, of, why } => {
                self.keep_line(place, failure, line, prefix, made, (count, of));
                self.found(jail, failure, prefix, made, count, of);
                if self.brake.hold(why, self.now) {
                    self.notify(Event::Brake(BrakeChange::On(why)));
                }
            }
            Decision::Ban { prefix, count, of, until, has_logged_in } => {
                self.keep_line(place, failure, line, prefix, made, (count, of));
                self.found(jail, failure, prefix, made, count, of);
                let user = failure.user.map(|user| cut(user).into());
                let origin = Origin::Log { attempts: count, user, pattern: failure.pattern.clone() };
                let ban = Ban { started: self.now, until, origin };
                match self.ban(prefix, jail, ban, Renewal::Longest) {
                    Ok(BanOutcome::Banned) => {
                        self.brake.note(made, has_logged_in);
                        self.history.note(prefix, jail, self.now);
                        self.awaited.await_of(prefix);
                        self.tell_recidive(failure.addr, jail);
                        if !has_logged_in {
                            self.aggregate(place, prefix);
                        }
                    }
                    Ok(BanOutcome::Renewed | BanOutcome::Refused(_)) => {}
                    Err(why) => self.notify(Event::Refused { prefix, jail, why }),
                }
            }
        }
    }

    /// Has the jails that count bans count one that a log has earned in `jail`.
    fn tell_recidive(&mut self, addr: IpAddr, jail: JailId) {
        let counts = |known: &&Jail| known.filter == Some(Filter::Bans);
        if self.jails.iter().any(|known| known.id == jail && counts(&known)) {
            return;
        }
        let counting: Vec<usize> =
            (0..).zip(&self.jails).filter(|(_, known)| counts(known)).map(|(place, _)| place).collect();
        for recidive in counting {
            let pattern = Label::from(format!("ban by {}", self.jail_name(jail)));
            let failure = Failure::of_one(addr, Label::from(Filter::RECIDIVE), pattern);
            self.judge_failure(recidive, &failure, b"", self.now, self.now);
        }
    }

    /// A failure that does not count.
    pub(super) fn ignored(&mut self, jail: JailId, addr: IpAddr, why: IgnoreReason) {
        let counters = self.counters.jail(jail);
        counters.ignored += 1;
        match why {
            IgnoreReason::TooOld { age: _ } | IgnoreReason::Undated => counters.too_old += 1,
            IgnoreReason::NoAttempt
            | IgnoreReason::AllowListed(_)
            | IgnoreReason::AlreadyBanned { by: _ }
            | IgnoreReason::BeforeBan { started: _ } => {}
        }
        if self.is_untold {
            return;
        }
        self.notify(Event::Ignored { jail, addr, why });
    }

    /// A failure that was counted.
    pub(super) fn found(
        &mut self,
        jail: JailId,
        failure: &Failure<'_>,
        prefix: Prefix,
        made: Timestamp,
        count: Attempts,
        of: u32,
    ) {
        let &Failure { addr, user, attempts, forgivable: _, span, session: _, ref service, ref pattern } = failure;
        let counters = self.counters.jail(jail);
        counters.failures += 1;
        counters.attempts += attempts;
        if self.is_untold {
            self.counters.untold += 1;
            return;
        }
        self.notify(Event::Found(Found {
            jail,
            addr,
            prefix,
            user: user.map(|user| cut(user).to_vec()),
            made,
            attempts,
            span,
            service: service.clone(),
            pattern: pattern.clone(),
            count,
            of,
        }));
    }

    /// Keeps the line of a failure that counts, in the jail at `place`: it has come to `count`, and `of` earns a ban.
    pub(super) fn keep_line(
        &mut self,
        place: usize,
        failure: &Failure<'_>,
        line: &[u8],
        prefix: Prefix,
        made: Timestamp,
        (count, of): (Attempts, u32),
    ) {
        let Some(jail) = self.jails.get(place) else { return };
        let &Failure { addr, user, attempts, forgivable, span: _, session: _, service: _, ref pattern } = failure;
        let (filter, is_own) = (jail.filter.as_ref().map_or("", Filter::name), forgivable == attempts);
        let piece = Piece { line, addr, user, filter, pattern, made, attempts, count, of, is_own };
        self.evidence.note((prefix, jail.id), piece);
    }

    /// Notes a ban that begins.
    pub(super) fn note_beginning(&mut self, ban: &BanInfo, evidence: &Arc<[Evidence]>) {
        if !self.account.wants_beginnings() {
            return;
        }
        let BanInfo { prefix, jail, jail_name: _, started, until, ref origin, evidence: _ } = *ban;
        let limits = match origin {
            Origin::Log { .. } => self.jails.iter().find(|known| known.id == jail).map(|jail| {
                let of = evidence.last().map_or(jail.limits.max_retry, |last| last.of);
                (of, jail.limits.find_time)
            }),
            Origin::Command { .. } | Origin::Adopted => None,
        };
        let (ban, evidence) = (Ban { started, until, origin: origin.clone() }, Arc::clone(evidence));
        self.account.note(Note::Began { prefix, jail, ban, limits, evidence });
    }

    /// Notes the end of a ban, if it was not due.
    pub(super) fn note_end(&mut self, prefix: Prefix, jail: JailId, why: UnbanReason) {
        match why {
            UnbanReason::Expired => {}
            UnbanReason::ByCommand | UnbanReason::AllowListed(_) | UnbanReason::Evicted => {
                self.account.note(Note::Ended { prefix, jail, at: self.now, why, by: self.asker });
            }
        }
    }

    /// The lines that count against `prefix` in `jail` at this instant.
    pub(super) fn evidence_against(&self, prefix: Prefix, jail: JailId) -> Vec<Evidence> {
        let Some(jail) = self.jails.iter().find(|known| known.id == jail) else { return Vec::new() };
        self.evidence.of((prefix, jail.id), self.now.saturating_sub(jail.limits.find_time))
    }

    /// The same, told for the last time: they are answered by a ban.
    pub(super) fn take_evidence(&mut self, prefix: Prefix, jail: JailId) -> Arc<[Evidence]> {
        let evidence = self.evidence_against(prefix, jail);
        if !evidence.is_empty() {
            self.evidence.forget(prefix, Some(jail));
        }
        evidence.into()
    }
}
