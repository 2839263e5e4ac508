//! The engine: lines, requests and a time in, commands out.
//!
//! The engine owns what the daemon knows: the jails, the allowlist, the ban book and the counts. It only moves data:
//! what follows from a failure is decided in [`crate::policy`].
//!
//! # Theory of operation
//!
//! Each `handle_*` first brings the engine to `now`: bans whose end has come are taken out of the book, and counts that
//! have left their window are dropped, so that everything after is judged as if the caller had called
//! [`Engine::handle_timeout`] at the very instant. A `now` earlier than one already seen counts as the latest one seen.
//!
//! A line is judged at its arrival, if it arrives as it is written. One that was in its log before ([`Line::past`]) is
//! judged by the time in it: the [`Calendar`] that the caller last set tells what that means.
//!
//! Commands queue up until they are taken by [`Engine::poll_command`]. The queue is bounded by what one input can cause,
//! provided that the caller drains it after every `handle_*`: for a line some commands per jail, for a request some
//! per prefix in it, for a timeout or a new allowlist some per ban.
//!
//! Whoever applies [`Command::Enforce`], [`Command::Lift`], [`Command::LiftAll`], [`Command::Allow`] and [`Command::Disallow`] in order to an
//! empty table has, at any time, exactly the bans in force: `tests/engine_model` holds it to that.

pub mod account;
mod aggregate;
mod allow;
mod awaited;
mod command;
pub mod evidence;
mod failure;
mod forgive;
mod last;
mod line;
mod logs;
mod memory;
mod request;
mod sessions;
mod settings;
mod stats;
mod twins;
mod why;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::allowlist::{Allowed, Allowlist, Origin as AllowOrigin};
use crate::bans::{Book, Insertion, Kind, MAX_USER_BYTES, Merged, Removal, Renewal, Uid};
use crate::brake::{self, Brake};
use crate::calendar::Calendar;
use crate::escalation::History;
use crate::filter::{Prefilter, fail2ban};
use crate::grants::Grants;
use crate::logins::Logins;
use crate::policy;
use crate::prefix::Prefix;
use crate::time::Timestamp;
use crate::tracker::Tracker;

pub use crate::allowlist::AllowReason;
pub use crate::bans::{Ban, Entry};
pub use crate::bans::{Origin, Refusal};
pub use crate::bounds::Bounds;
pub use crate::brake::{BrakeChange, BrakeStats, Held, HoldReason};
pub use crate::grants::Grant;
pub use crate::jail::{Counter, Jail, JailId, JailSet, Limits, LogId, SourceId};
pub use crate::policy::IgnoreReason;
pub use allow::{AllowChange, AllowOutcome, DisallowOutcome};
pub use command::{AdoptedBan, Adoption, BanInfo, Command, Event, Found, UnbanReason};
pub use evidence::Evidence;
pub use last::LastFailures;
pub use line::{Line, Lines};
pub use memory::{Changes, Counted, Key, MAX_RESTORED_TOLD, Memory};
pub use request::{BanOutcome, MAX_LIFTED_SINGLY, Request, Response};
pub use sessions::{MAX_SESSIONS, SessionKey, Sessions, ToldSession};
pub use settings::Settings;
pub use stats::{JailStats, Stats};
pub use twins::{Twin, TwinKey};
pub use why::{Counting, MAX_INSIDE, Story};

use account::{Account, Note, Summed};
use awaited::Awaited;
use logs::Logs;
use stats::Counters;
use twins::Twins;

/// Room for commands that is kept while there are none; what a million of them took is given back.
const MAX_KEPT_COMMANDS: usize = 65_536;

/// The state machine between the logs and the kernel.
#[derive(Debug)]
pub struct Engine {
    jails: Vec<Jail>,
    /// The names of all jails there have been: a ban outlives its jail.
    names: BTreeMap<JailId, String>,
    /// The same, to be handed out with every ban.
    shared_names: BTreeMap<JailId, Arc<str>>,
    manual: JailId,
    ipv6_prefix: u8,
    allowlist: Allowlist,
    /// What of it is allowed by command.
    grants: Grants,
    book: Book,
    tracker: Tracker,
    /// The lines of whoever is in the tracker.
    evidence: evidence::Lines,
    history: History,
    /// Whose first login after a ban is awaited.
    awaited: Awaited,
    /// How long after the last ban of somebody it counts that there was one.
    remember_bans: Duration,
    /// Holds bans that logs earn when there are too many.
    brake: Brake,
    /// Who logged in lately, for the brake.
    logins: Logins,
    dice: fastrand::Rng,
    logs: Logs,
    twins: Twins,
    sessions: Sessions,
    /// What filters of fail2ban remember.
    memory: fail2ban::Memory,
    prefilters: BTreeMap<SourceId, Prefilter>,
    calendar: Calendar,
    /// Whether nobody wants to know of each single failure.
    is_untold: bool,
    commands: VecDeque<Command>,
    account: Account,
    /// Whose request is carried out.
    asker: Option<Uid>,
    counters: Counters,
    now: Timestamp,
}

impl Engine {
    /// An engine without bans. Emits [`Command::Allow`] for each allowed prefix.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let Settings { jails, manual, allow, ipv6_prefix, remember_bans, brake, bounds } = settings;
        let mut engine = Self {
            names: jails.iter().map(|jail| (jail.id, jail.name.clone())).collect(),
            shared_names: BTreeMap::new(),
            jails,
            manual,
            ipv6_prefix,
            allowlist: Allowlist::default(),
            grants: Grants::default(),
            book: Book::new(bounds),
            tracker: Tracker::new(bounds.max_sources),
            evidence: evidence::Lines::default(),
            history: History::default(),
            awaited: Awaited::default(),
            remember_bans,
            brake: Brake::default(),
            logins: Logins::default(),
            dice: fastrand::Rng::with_seed(0),
            logs: Logs::default(),
            twins: Twins::default(),
            sessions: Sessions::default(),
            memory: fail2ban::Memory::default(),
            prefilters: BTreeMap::new(),
            calendar: Calendar::default(),
            is_untold: false,
            commands: VecDeque::new(),
            account: Account::default(),
            asker: None,
            counters: Counters::default(),
            now: Timestamp::from_nanos(i64::MIN),
        };
        engine.set_brake(brake);
        engine.share_names();
        engine.set_prefilters();
        let changes = engine.allowlist.replace(AllowOrigin::Settings, allow);
        engine.carry_out(changes);
        engine
    }

    /// Replaces the settings. Bans stay, those of a jail that is gone too, until they end; counts stay in jails whose
    /// number, name and limits do.
    pub fn reconfigure(&mut self, settings: Settings, now: Timestamp) {
        self.advance(now);
        let Settings { jails, manual, allow, ipv6_prefix, remember_bans, brake, bounds } = settings;
        for old in &self.jails {
            let same_id = jails.iter().find(|new| new.id == old.id);
            if !same_id.is_some_and(|new| new.name == old.name && new.limits == old.limits) {
                self.tracker.forget_jail(old.id);
                self.evidence.forget_jail(old.id);
            }
            if same_id.is_some_and(|new| new.name != old.name) {
                self.counters.jails.remove(&old.id);
            }
        }
        self.names.extend(jails.iter().map(|jail| (jail.id, jail.name.clone())));
        self.share_names();
        self.jails = jails;
        self.set_prefilters();
        self.manual = manual;
        self.ipv6_prefix = ipv6_prefix;
        self.remember_bans = remember_bans;
        self.set_brake(brake);
        self.book.set_bounds(bounds);
        self.tracker.set_max_sources(bounds.max_sources);
        let changes = self.allowlist.replace(AllowOrigin::Settings, allow);
        self.carry_out(changes);
    }

    /// Replaces what was found on the machine to be allowed, besides what the settings allow.
    pub fn set_found_allowed(&mut self, allowed: Vec<Allowed>, now: Timestamp) {
        self.advance(now);
        let changes = self.allowlist.replace(AllowOrigin::Found, allowed);
        self.carry_out(changes);
    }

    /// Takes over a ban that the kernel's maps hold. [`Command::Enforce`] follows only if something else must hold from
    /// here on, [`Command::Lift`] if it may not stay.
    pub fn adopt(&mut self, ban: AdoptedBan, now: Timestamp) -> Adoption {
        self.advance(now);
        self.take_over(ban.prefix, Some(ban), Vec::new())
    }

    /// Names jails that are gone and may have left bans; a jail that is there keeps its own name.
    pub fn name_gone_jails(&mut self, names: impl IntoIterator<Item = (JailId, String)>) {
        for (jail, name) in names {
            self.names.entry(jail).or_insert(name);
        }
        self.share_names();
    }

    /// Says what the clocks show, and in which zone logs are written: by that, past lines are judged from here on.
    ///
    /// To be called before past lines are handed in, or a clock that was set meanwhile, or a zone, is not known.
    pub fn set_calendar(&mut self, calendar: Calendar) {
        self.calendar = calendar;
    }

    /// Has the dice fall in another way than in every other run: what they add to bans is not to be foreseen.
    pub fn set_seed(&mut self, seed: u64) {
        self.dice = fastrand::Rng::with_seed(seed);
        self.evidence.set_seed(seed);
        self.logins.set_seed(seed);
    }

    /// Does what an administrator asks, of whom `by` is known.
    pub fn handle_request_by(&mut self, request: Request, by: Option<Uid>, now: Timestamp) -> Response {
        self.asker = by;
        let response = self.handle_request(request, now);
        self.asker = None;
        response
    }

    /// How many bans long lists have prolonged or ended that the account does not have one by one, since this was asked last.
    pub fn take_summed(&mut self) -> Summed {
        self.account.take_summed()
    }

    /// Does what an administrator asks.
    pub fn handle_request(&mut self, request: Request, now: Timestamp) -> Response {
        self.advance(now);
        match request {
            Request::Ban { whom, jail, ban_time, reason } => self.ban_all(whom, jail, ban_time, reason),
            Request::Unban { prefixes } => Response::Unban(self.unban(prefixes)),
            Request::UnbanAll => Response::UnbanAll(self.unban_all()),
            Request::Bans => Response::Bans(self.bans()),
            Request::Allow { prefixes, lasts, persists, reason } => {
                let (outcomes, lifted) = self.allow_all(prefixes, lasts, persists, reason);
                Response::Allow { outcomes, lifted }
            }
            Request::Disallow { prefixes } => Response::Disallow(self.disallow_all(prefixes)),
        }
    }

    /// Ends what is due at `now`.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.advance(now);
    }

    /// The next command to carry out; to be called after every `handle_*`, `reconfigure`, `adopt` and
    /// `set_found_allowed`, until `None`.
    pub fn poll_command(&mut self) -> Option<Command> {
        let next = self.commands.pop_front();
        if next.is_none() && self.commands.capacity() > MAX_KEPT_COMMANDS {
            self.commands = VecDeque::new();
        }
        next
    }

    /// When to call [`Engine::handle_timeout`] next: when the next ban ends, or something has to be forgotten.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let ends = self.book.next_end().into_iter().chain(self.grants.next_end());
        ends.chain(self.tracker.next_purge()).chain(self.brake.next_release()).min()
    }

    /// The bans in force, by prefix and then by jail.
    #[must_use]
    pub fn bans(&self) -> Vec<BanInfo> {
        self.book.iter().map(|(prefix, jail, ban)| self.info(prefix, jail, &ban)).collect()
    }

    /// The allowed prefix that `addr` lies in, if any: then no ban touches it.
    #[must_use]
    pub fn allowed(&self, addr: IpAddr) -> Option<Allowed> {
        self.allowlist.contains(addr)
    }

    /// The allowed prefixes that lie in `prefix`, in no order: a ban of it leaves them alone.
    #[must_use]
    pub fn allowed_in(&self, prefix: Prefix) -> Vec<Prefix> {
        self.allowlist.inside(prefix).collect()
    }

    /// Every banned prefix.
    #[must_use]
    pub fn banned(&self) -> Vec<Prefix> {
        self.book.prefixes()
    }

    /// Whether exactly `prefix` is banned.
    #[must_use]
    pub fn is_banned(&self, prefix: Prefix) -> bool {
        self.book.merged(prefix).is_some()
    }

    /// What holds for exactly `prefix` now, as a command for a kernel that refused an earlier one:
    /// [`Command::Enforce`] or [`Command::Lift`].
    #[must_use]
    pub fn restate_ban(&self, prefix: Prefix) -> Command {
        Command::to_hold(prefix, self.book.merged(prefix))
    }

    /// The same of the allowlist: [`Command::Allow`] or [`Command::Disallow`].
    #[must_use]
    pub fn restate_allowed(&self, prefix: Prefix) -> Command {
        if self.allowlist.has(prefix) { Command::Allow { prefix } } else { Command::Disallow { prefix } }
    }

    /// The name of a jail, its last known one if it is gone.
    #[must_use]
    pub fn jail_name(&self, jail: JailId) -> String {
        self.names.get(&jail).cloned().unwrap_or_else(|| jail.to_string())
    }

    /// The names of all jails there have been.
    #[must_use]
    pub fn jail_names(&self) -> &BTreeMap<JailId, String> {
        &self.names
    }

    /// What it has seen and holds.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats::read(self)
    }

    fn set_brake(&mut self, limits: brake::Limits) {
        self.brake.set_limits(limits);
        self.logins.keep(limits.logged_in_percent.is_some());
    }

    fn share_names(&mut self) {
        self.shared_names = self.names.iter().map(|(&jail, name)| (jail, name.as_str().into())).collect();
    }

    /// Finds out for each source what its jails' filters look for.
    fn set_prefilters(&mut self) {
        let sources: BTreeSet<SourceId> = self.jails.iter().flat_map(|jail| jail.sources.iter().copied()).collect();
        let of = |source: SourceId| self.jails.iter().filter(move |jail| jail.sources.contains(&source));
        self.prefilters = sources
            .into_iter()
            .map(|source| (source, Prefilter::of(of(source).filter_map(|jail| jail.filter.as_ref()))))
            .collect();
    }

    /// Brings the engine to `now`, or to the latest instant it has seen.
    fn advance(&mut self, now: Timestamp) {
        // Nothing that is entered is over at once: what was due then has been done.
        if now <= self.now {
            return;
        }
        self.now = now;
        while let Some(removal) = self.book.expire_next(self.now) {
            self.removed(removal, UnbanReason::Expired);
        }
        self.expire_grants();
        while let Some((why, held)) = self.brake.release(self.now) {
            self.notify(Event::Brake(BrakeChange::Off { why, held }));
        }
        self.tracker.purge(self.now);
        self.history.purge(self.now, self.remember_bans);
    }

    /// Bans `prefix`, tells the kernel if that changes anything for it, and then tells people.
    fn ban(&mut self, prefix: Prefix, jail: JailId, ban: Ban, renewal: Renewal) -> Result<BanOutcome, Refusal> {
        let new = self.info(prefix, jail, &ban);
        let Entered { renewed, before, after } = self.enter(prefix, jail, ban, renewal)?;
        if before != Some(after) {
            self.tell_kernel(prefix, Some(after));
        }
        if renewed {
            self.account.note(Note::Renewed { prefix, jail, at: self.now, until: new.until });
            self.notify_ban(prefix, jail, Event::Renewed);
            return Ok(BanOutcome::Renewed);
        }
        self.counters.jail(jail).bans_made += 1;
        let evidence = match &new.origin {
            Origin::Log { .. } => self.take_evidence(prefix, jail),
            Origin::Command { .. } | Origin::Adopted => Arc::default(),
        };
        self.note_beginning(&new, &evidence);
        self.notify(Event::Banned(BanInfo { evidence, ..new }));
        Ok(BanOutcome::Banned)
    }

    /// Enters a ban into the book, unless it may not be. Lifts what gives way to it.
    fn enter(&mut self, prefix: Prefix, jail: JailId, ban: Ban, renewal: Renewal) -> Result<Entered, Refusal> {
        let kind = Kind::of(prefix);
        let bound = self.book.bound(kind);
        let entered = policy::may_ban(prefix, &self.allowlist)
            .and_then(|()| self.book.restore(prefix, jail, ban, renewal, self.now));
        match entered {
            Ok(Insertion { renewed, before, after, gave_way }) => {
                for removal in gave_way {
                    self.counters.evicted += 1;
                    self.notify(Event::Full { kind, bound, gave_way: Some(removal.prefix) });
                    self.removed(removal, UnbanReason::Evicted);
                }
                Ok(Entered { renewed, before, after })
            }
            Err(refusal) => {
                self.counters.refused += 1;
                match refusal {
                    Refusal::TableFull { kind, bound } => self.notify(Event::Full { kind, bound, gave_way: None }),
                    Refusal::AllowListed(_) | Refusal::TooDeeplyNested { deepest: _ } => {}
                }
                Err(refusal)
            }
        }
    }

    /// Lifts all bans of exactly `prefix`, and says how many they were.
    fn lift(&mut self, prefix: Prefix, why: UnbanReason) -> usize {
        let Some(removal) = self.book.remove(prefix) else { return 0 };
        let lifted = removal.jails.iter().count();
        self.removed(removal, why);
        lifted
    }

    /// Tells of bans that were taken out of the book: the kernel first.
    fn removed(&mut self, removal: Removal, why: UnbanReason) {
        let Removal { prefix, jails, left } = removal;
        self.tell_kernel(prefix, left);
        let by = self.asker.filter(|_| why == UnbanReason::ByCommand);
        for jail in jails.iter() {
            self.note_end(prefix, jail, why);
            self.notify(Event::Unbanned { prefix, jail, why, by });
        }
    }

    fn tell_kernel(&mut self, prefix: Prefix, in_force: Option<Merged>) {
        self.commands.push_back(Command::to_hold(prefix, in_force));
    }

    fn notify_ban(&mut self, prefix: Prefix, jail: JailId, event: fn(BanInfo) -> Event) {
        if let Some(ban) = self.book.ban(prefix, jail) {
            self.notify(event(self.info(prefix, jail, &ban)));
        }
    }

    fn notify(&mut self, event: Event) {
        self.commands.push_back(Command::Notify(event));
    }

    fn info(&self, prefix: Prefix, jail: JailId, ban: &Ban) -> BanInfo {
        let Ban { started, until, origin } = ban.clone();
        let jail_name = self.shared_names.get(&jail).map_or_else(|| self.jail_name(jail).into(), Arc::clone);
        BanInfo { prefix, jail, jail_name, started, until, origin, evidence: Arc::default() }
    }
}

/// What entering a ban came to.
struct Entered {
    /// Whether the jail banned the prefix already.
    renewed: bool,
    /// What was in force for the prefix.
    before: Option<Merged>,
    /// What is now.
    after: Merged,
}

/// `user`, cut to what is kept of it.
fn cut(user: &[u8]) -> &[u8] {
    user.get(..MAX_USER_BYTES).unwrap_or(user)
}

#[cfg(test)]
mod tests;
