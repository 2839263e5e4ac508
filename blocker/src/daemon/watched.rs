//! What is kept for whoever watches: the last bans, always; who is dropped and who fails, while somebody asks.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use blocker_common::Dropped;
use blocker_core::attempts::Attempts;
use blocker_core::bans::Origin;
use blocker_core::engine::{BanInfo, Event, HoldReason};
use blocker_core::policy;
use blocker_core::prefix::Prefix;
use blocker_core::time::{Timestamp, Until};

use super::{Daemon, MAX_WAITING_BATCHES, status};
use crate::clock::{self, Reading};
use crate::control::watch::{
    Attacker, JournalPlace, LogPlace, MAX_ATTACKERS, MAX_INTERVAL_S, MAX_NEW_BANS, MAX_PLACES, NewBan, Watch,
};
use crate::kernel::{MANUAL_JAIL, Tallies};
use crate::source::{JournalMark, Standing};

/// Addresses that are dropped or fail, of which it is noted while somebody watches; the one last seen longest ago makes room. Some
/// 400 bytes each.
const MAX_SEEN: usize = 512;

/// For so long after a question it is noted.
const WATCHED_FOR: Duration = Duration::from_secs(2 * MAX_INTERVAL_S + 30);

/// The last bans, and who attacks.
#[derive(Default)]
pub(super) struct Watched {
    bans: VecDeque<Begun>,
    /// How many there have been.
    count: u64,
    /// Until when it is noted who attacks.
    until: Option<Instant>,
    seen: HashMap<Prefix, Seen>,
}

/// A ban, as it began.
struct Begun {
    prefix: Prefix,
    jail: Arc<str>,
    started: Timestamp,
    until: Until,
    origin: Origin,
}

struct Seen {
    last: Timestamp,
    /// Packets of it that the kernel told of: few of many.
    drops: u64,
    attempts: Attempts,
    user: Option<Vec<u8>>,
}

impl Watched {
    /// Notes what is to be told of events.
    pub(super) fn note<'a>(&mut self, events: impl Iterator<Item = &'a Event> + Clone) {
        let begun = events.clone().filter_map(|event| if let Event::Banned(ban) = event { Some(ban) } else { None });
        // Of a list of very many only the last are worth a copy.
        let passed_over = begun.clone().count().saturating_sub(MAX_NEW_BANS);
        self.count += passed_over as u64;
        for ban in begun.skip(passed_over) {
            self.begun(ban);
        }
        if self.until.is_none() {
            return;
        }
        for event in events {
            if let Event::Found(found) = event {
                let seen = self.seen(found.prefix, found.made);
                seen.attempts += found.attempts;
                if found.user.is_some() {
                    seen.user.clone_from(&found.user);
                }
            }
        }
    }

    fn begun(&mut self, ban: &BanInfo) {
        let BanInfo { prefix, jail: _, jail_name, started, until, origin, evidence: _ } = ban;
        if self.bans.len() >= MAX_NEW_BANS {
            self.bans.pop_front();
        }
        self.count += 1;
        self.bans.push_back(Begun {
            prefix: *prefix,
            jail: Arc::clone(jail_name),
            started: *started,
            until: *until,
            origin: origin.clone(),
        });
    }

    /// A packet was dropped, or would have been; IPv6 is counted by so many bits.
    pub(super) fn dropped_packet(&mut self, packet: &Dropped, ipv6_prefix: u8) {
        if let Some(addr) = packet.addr() {
            let at = Timestamp::from_nanos(i64::try_from(packet.boot_ns).unwrap_or(i64::MAX));
            self.dropped(policy::counted_by(addr, ipv6_prefix), at);
        }
    }

    fn dropped(&mut self, prefix: Prefix, at: Timestamp) {
        if self.until.is_some() {
            self.seen(prefix, at).drops += 1;
        }
    }

    /// Forgets who attacks when nobody has asked for long.
    pub(super) fn end(&mut self, now: Instant) {
        if self.until.is_some_and(|until| now >= until) {
            self.until = None;
            self.seen = HashMap::new();
        }
    }

    fn seen(&mut self, prefix: Prefix, at: Timestamp) -> &mut Seen {
        if self.seen.len() >= MAX_SEEN
            && !self.seen.contains_key(&prefix)
            && let Some(oldest) = self.seen.iter().min_by_key(|(_, seen)| seen.last).map(|(prefix, _)| *prefix)
        {
            self.seen.remove(&oldest);
        }
        let new = Seen { last: at, drops: 0, attempts: Attempts::ZERO, user: None };
        let seen = self.seen.entry(prefix).or_insert(new);
        seen.last = seen.last.max(at);
        seen
    }

    /// The bans since number `after`, and how many more there have been; without a number all that are kept.
    fn since(&self, after: Option<u64>) -> (impl Iterator<Item = &Begun>, u64) {
        let kept = self.bans.len() as u64;
        // A number from another run of the daemon may be any.
        let new = after.map_or(kept, |after| self.count.saturating_sub(after));
        let told = new.min(kept);
        let skipped = usize::try_from(kept - told).unwrap_or(usize::MAX);
        (self.bans.iter().skip(skipped), new - told)
    }
}

impl Daemon<'_> {
    /// How it is, for somebody who asks again and again.
    pub(super) fn watch(&mut self, after: Option<u64>) -> anyhow::Result<Watch> {
        let clock = Reading::take();
        self.watched.until = Some(Instant::now() + WATCHED_FOR);
        let status = self.status()?;
        let (bans, left_out) = self.watched.since(after);
        let new_bans = bans.map(|ban| new_ban(ban, clock)).collect();
        let brake = self.engine.stats().brake;
        let holding = brake.too_many.on.or(brake.logged_in.on).map(|why| match why {
            HoldReason::TooMany { limit } => {
                format!("{limit} bans within a minute, as many as `brake.bans_per_minute` says")
            }
            HoldReason::LoggedIn { percent } => {
                format!("more than {percent} % of the bans would be of users who logged in lately, see `brake.logged_in_percent`")
            }
        });
        Ok(Watch {
            time: clock.wall(clock.boot()),
            boot_ms: u64::try_from(clock.boot().as_nanos() / 1_000_000).unwrap_or_default(),
            holding,
            watchdog_s: self.supervisor.watchdog().map(|wait| wait.as_secs()),
            waiting_batches: (self.sources.waiting(), MAX_WAITING_BATCHES),
            next_ban: self.watched.count,
            new_bans,
            left_out,
            attackers: self.attackers(clock.boot()),
            logs: self.log_places(),
            journals: self.journal_places(clock),
            status,
        })
    }

    /// Who was seen, with what the kernel has dropped of each; those seen last.
    fn attackers(&self, now: Timestamp) -> Vec<Attacker> {
        let tallies = self.kernel.tallies().unwrap_or_else(|error| {
            tracing::debug!("what was dropped lately cannot be read: {error:#}");
            Tallies::default()
        });
        let mut seen: Vec<(&Prefix, &Seen)> = self.watched.seen.iter().collect();
        seen.sort_by_key(|(prefix, seen)| (std::cmp::Reverse((seen.last, seen.drops)), **prefix));
        let mut told: Vec<Attacker> = Vec::new();
        for (prefix, seen) in seen.into_iter().take(MAX_ATTACKERS) {
            let traces = |prefix| self.kernel.dropped(prefix, &tallies).ok().flatten().map(|traces| (prefix, traces));
            let banned = traces(*prefix).or_else(|| self.engine.banned_around(*prefix).and_then(traces));
            let user = seen.user.as_deref().map(|user| String::from_utf8_lossy(user).into_owned());
            let attempts = status::number(seen.attempts);
            let prefix = banned.as_ref().map_or(*prefix, |(prefix, _)| *prefix);
            // Several of one network that is banned as a whole are one.
            if let Some(known) = told.iter_mut().find(|known| known.prefix == prefix) {
                known.attempts += attempts;
                known.user = known.user.take().or(user);
                continue;
            }
            told.push(Attacker {
                prefix,
                packets: banned.as_ref().map(|(_, traces)| traces.packets),
                bytes: banned.as_ref().map(|(_, traces)| traces.bytes),
                attempts,
                user,
                ago_s: now.saturating_since(seen.last).as_secs(),
            });
        }
        told
    }

    /// How far the logs have been judged that are where their paths lead.
    fn log_places(&self) -> Vec<LogPlace> {
        let current = |(id, _, state): (_, _, &crate::source::SourceState)| {
            let paths =
                state.files.iter().filter(|file| file.standing == Standing::Current).map(|file| file.path.clone());
            paths.map(|path| (id, path)).collect::<Vec<_>>()
        };
        let mut places: Vec<LogPlace> = Vec::new();
        for (id, path) in self.sources.states_by_kind().flat_map(current).take(MAX_PLACES) {
            let Some(mark) = self.sources.name(id).and_then(|name| self.keeper.logs.place(name, &path)) else {
                continue;
            };
            let shown = path.display().to_string();
            if places.iter().any(|known| known.path == shown) {
                continue;
            }
            places.push(LogPlace { path: shown, device: mark.device, inode: mark.inode, offset: mark.offset });
        }
        places
    }

    /// How far the journal has been judged, by each list of matches.
    fn journal_places(&self, clock: Reading) -> Vec<JournalPlace> {
        let journals = self.sources.states_by_kind().filter_map(|(id, _, state)| Some((id, state.journal.clone()?)));
        let place = |(id, matches)| {
            let mark = self.sources.journal_name(id).and_then(|name| self.keeper.cursors.mark(name));
            let written = mark.as_ref().and_then(JournalMark::written_us);
            let written_ns = written.and_then(|us| i64::try_from(us).ok()).map(|us| us.saturating_mul(1_000));
            JournalPlace {
                matches,
                last: written_ns.map(clock::rfc3339),
                ago_s: written_ns
                    .map(|ns| u64::try_from(clock.wall_ns().saturating_sub(ns) / 1_000_000_000).unwrap_or_default()),
            }
        };
        journals.take(MAX_PLACES).map(place).collect()
    }
}

fn new_ban(ban: &Begun, clock: Reading) -> NewBan {
    let (origin, user, attempts) = match &ban.origin {
        Origin::Log { attempts, user, pattern: _ } => {
            let user = user.as_deref().map(|user| String::from_utf8_lossy(user).into_owned());
            ("log", user, status::number(*attempts))
        }
        Origin::Command { reason: _, by: _ } => ("command", None, 0.0),
        Origin::Adopted => ("adopted", None, 0.0),
    };
    NewBan {
        time: clock.wall(ban.started),
        prefix: ban.prefix,
        jail: if ban.jail.is_empty() { MANUAL_JAIL.to_owned() } else { ban.jail.to_string() },
        until: clock.end(ban.until),
        origin: origin.to_owned(),
        user,
        attempts,
    }
}

#[cfg(test)]
mod tests {
    use blocker_core::bans::Uid;
    use blocker_core::engine::JailId;

    use super::*;

    #[test]
    fn the_last_bans_are_kept_and_what_is_left_out_is_counted() {
        let mut watched = Watched::default();
        let events: Vec<Event> = (0..1_000_u32).map(banned).collect();

        watched.note(events[..1].iter());
        watched.note(events[1..].iter());

        let told = |after| {
            let (bans, left_out) = watched.since(after);
            (bans.map(|ban| ban.started.as_nanos() / 1_000_000_000).collect::<Vec<_>>(), left_out)
        };
        assert_eq!(watched.count, 1_000);
        assert_eq!(told(Some(998)), (vec![998, 999], 0));
        assert_eq!(told(Some(1_000)), (Vec::new(), 0));
        assert_eq!(told(Some(5_000)), (Vec::new(), 0), "a number of an earlier run");
        let (bans, left_out) = told(Some(0));
        assert_eq!((bans.len(), bans.first(), left_out), (MAX_NEW_BANS, Some(&744), 744));
        assert_eq!(told(None).1, 0);
    }

    #[test]
    fn who_attacks_is_noted_only_while_somebody_watches_and_of_no_more_than_the_bound() {
        let mut watched = Watched::default();
        let (now, at) = (Instant::now(), Timestamp::from_secs(1));
        watched.dropped(prefix(1), at);
        assert!(watched.seen.is_empty(), "nobody watches");

        watched.until = Some(now + WATCHED_FOR);
        for number in 0..2 * MAX_SEEN {
            let number = u32::try_from(number).unwrap();
            watched.dropped(prefix(number), Timestamp::from_secs(i64::from(number)));
        }
        assert_eq!(watched.seen.len(), MAX_SEEN);
        assert!(
            watched.seen.keys().all(|known| *known >= prefix(u32::try_from(MAX_SEEN).unwrap())),
            "the last are kept"
        );
        watched.end(now);
        assert_eq!(watched.seen.len(), MAX_SEEN);
        watched.end(now + WATCHED_FOR);
        assert!(watched.seen.is_empty() && watched.until.is_none());
    }

    fn prefix(number: u32) -> Prefix {
        std::net::Ipv4Addr::from_bits(0xc612_0000 + number).to_string().parse().unwrap()
    }

    fn banned(number: u32) -> Event {
        Event::Banned(BanInfo {
            prefix: prefix(number),
            jail: JailId::new(1).unwrap(),
            jail_name: "dovecot".into(),
            started: Timestamp::from_secs(i64::from(number)),
            until: Until::Forever,
            origin: Origin::Command { reason: None, by: Some(Uid(0)) },
            evidence: Arc::default(),
        })
    }
}
