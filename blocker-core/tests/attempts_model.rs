//! What is counted of Dovecot's lines, against a naive model: attempts are joined by connection, and a login forgives its user.
//!
//! The model keeps every line there was and recomputes from all of them what must count. After each step the counts that a
//! store would be told must be exactly these, and their users'.

use std::collections::BTreeMap;
use std::time::Duration;

use blocker_core::brake;
use blocker_core::engine::{
    Bounds, Changes, Counted, Counter, Engine, Jail, JailId, Key, Limits, Line, LogId, Memory, SessionKey, Settings,
    SourceId, ToldSession,
};
use blocker_core::filter::Filter;
use blocker_core::jail::Repeat;
use blocker_core::keyed::HashKey;
use blocker_core::prefix::Prefix;
use blocker_core::time::{BanTime, Timestamp};
use proptest::prelude::*;

/// The last two are counted together.
const ADDRS: [&str; 4] = ["192.0.2.1", "192.0.2.2", "2001:db8:0:1::1", "2001:db8:0:1::2"];
const USERS: [&str; 3] = ["bob", "mallory", "alice@example.org"];
const SESSIONS: [&str; 3] = ["abc", "abd", ""];

/// How long failures count, in seconds; and, as `engine::sessions` has it, how long connections are kept.
const FIND_SECS: i64 = 900;
const SESSION_SECS: i64 = 600;

/// Forgiving or not, by number.
const JAILS: [(u8, bool); 2] = [(3, true), (5, false)];

const KEY: [u8; 16] = [9; 16];

#[derive(Clone, Debug)]
enum Step {
    /// One refused password, told at once.
    Auth {
        at: Place,
    },
    /// So many of them, told when the connection ends; the user is that of the last.
    Login {
        at: Place,
        attempts: u32,
    },
    /// A login that succeeded.
    Success {
        at: Place,
    },
    Wait {
        secs: i64,
    },
    /// Another engine goes on with what a store was told.
    Restart,
}

/// Who fails, as whom, on which connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    addr: usize,
    user: usize,
    session: usize,
}

fn step() -> impl Strategy<Value = Step> {
    let place = (0..ADDRS.len(), 0..USERS.len(), 0..SESSIONS.len()).prop_map(|(addr, user, session)| Place {
        addr,
        user,
        session,
    });
    prop_oneof![
        6 => place.clone().prop_map(|at| Step::Auth { at }),
        4 => (place.clone(), 1..5_u32).prop_map(|(at, attempts)| Step::Login { at, attempts }),
        2 => place.prop_map(|at| Step::Success { at }),
        3 => prop_oneof![0..5_i64, Just(299), Just(300), Just(600), 0..400_i64].prop_map(|secs| Step::Wait { secs }),
        1 => Just(Step::Restart),
    ]
}

/// Everything that was told, with when.
#[derive(Default)]
struct Model {
    now: i64,
    told: Vec<(i64, Step)>,
}

/// Attempts that count: when they were told, whose they are, and how many tenths.
type Recount = BTreeMap<(u8, Prefix), BTreeMap<(i64, Option<usize>), u32>>;

impl Model {
    /// What counts now in each jail.
    fn recount(&self) -> Recount {
        let mut counts = Recount::new();
        for (jail, forgives) in JAILS {
            for (index, (at, step)) in self.told.iter().enumerate() {
                match step {
                    Step::Auth { at: place } | Step::Login { at: place, .. } => {
                        let of_prefix = counts.entry((jail, prefix(place.addr))).or_default();
                        let (attempts, own) = self.adds(index, *place);
                        let own = if forgives { own } else { 0 };
                        for (user, attempts) in [(Some(place.user), own), (None, attempts - own)] {
                            if attempts > 0 {
                                *of_prefix.entry((*at, user)).or_default() += 10 * attempts;
                            }
                        }
                    }
                    Step::Success { at: place } if forgives => {
                        let of_prefix = counts.entry((jail, prefix(place.addr))).or_default();
                        of_prefix.retain(|(_, user), _| *user != Some(place.user));
                    }
                    Step::Success { .. } | Step::Wait { .. } | Step::Restart => {}
                }
            }
        }
        counts.values_mut().for_each(|of_prefix| of_prefix.retain(|(at, _), _| self.now - at < FIND_SECS));
        counts.retain(|_, of_prefix| !of_prefix.is_empty());
        counts
    }

    /// How many attempts the line numbered `index` adds to what was told of its connection, and how many of these are surely
    /// its user's.
    fn adds(&self, index: usize, place: Place) -> (u32, u32) {
        let own = |step: &Step| match step {
            Step::Auth { .. } | Step::Login { .. } => 1,
            Step::Success { .. } | Step::Wait { .. } | Step::Restart => 0,
        };
        let (_, line) = &self.told[index];
        let weight = |step: &Step| match step {
            Step::Auth { .. } => (1, 0),
            Step::Login { attempts, .. } => (0, *attempts),
            Step::Success { .. } | Step::Wait { .. } | Step::Restart => (0, 0),
        };
        if SESSIONS[place.session].is_empty() {
            let (auth, login) = weight(line);
            return (auth + login, own(line));
        }
        let is_same = |other: &Place| (other.addr, other.session) == (place.addr, place.session);
        // Going back until there is a gap, or a restart behind which only the single tries are remembered.
        let (mut auth, mut login, mut next) = (0, 0, self.told[index].0);
        let mut earlier = Vec::new();
        for (at, step) in self.told[..index].iter().rev() {
            match step {
                Step::Auth { at: other } | Step::Login { at: other, .. } if is_same(other) => {
                    if next - at >= SESSION_SECS {
                        break;
                    }
                    next = *at;
                    earlier.push(step);
                }
                Step::Restart => earlier.push(step),
                Step::Auth { .. } | Step::Login { .. } | Step::Success { .. } | Step::Wait { .. } => {}
            }
        }
        for step in earlier.into_iter().rev() {
            if matches!(step, Step::Restart) && auth == 0 {
                login = 0;
            }
            auth += weight(step).0;
            login += weight(step).1;
        }
        let before = auth.max(login);
        let adds = (auth + weight(line).0).max(login + weight(line).1) - before;
        let is_alone = auth == 0;
        let own = match line {
            Step::Login { .. } if !is_alone => 0,
            Step::Login { .. } | Step::Auth { .. } | Step::Success { .. } | Step::Wait { .. } | Step::Restart => {
                own(line)
            }
        };
        (adds, own.min(adds))
    }
}

/// What a store has, as the changes build it up.
#[derive(Default)]
struct Store {
    counts: BTreeMap<Key, Counted>,
    sessions: BTreeMap<SessionKey, ToldSession>,
}

impl Store {
    fn apply(&mut self, changes: Changes) {
        assert!(!changes.all_counts && !changes.all_sessions, "so few changes can be named");
        for (key, failures) in changes.counts {
            match failures.is_empty() {
                true => drop(self.counts.remove(&key)),
                false => drop(self.counts.insert(key, failures)),
            }
        }
        for (key, told) in changes.sessions {
            match told {
                Some(told) => drop(self.sessions.insert(key, told)),
                None => drop(self.sessions.remove(&key)),
            }
        }
    }

    fn memory(&self) -> Memory {
        Memory {
            counts: self.counts.clone().into_iter().collect(),
            sessions: self.sessions.clone().into_iter().collect(),
            ..Memory::default()
        }
    }

    /// As the model counts, of what has not left the window.
    fn counted(&self, now: i64) -> Recount {
        let user = |tag| USERS.iter().position(|user| HashKey::new(KEY).tag(user.as_bytes()) == tag);
        let mut counts = Recount::new();
        for ((prefix, jail), failures) in &self.counts {
            for tries in failures {
                let at = tries.at.as_nanos() / 1_000_000_000;
                if now - at < FIND_SECS {
                    let whose = tries.user.map(|tag| user(tag).expect("it is one of them"));
                    let of_prefix = counts.entry((jail.index(), *prefix)).or_default();
                    assert_eq!(of_prefix.insert((at, whose), tries.attempts.as_tenths()), None, "they share an entry");
                }
            }
        }
        counts
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn what_counts_is_what_a_recount_of_all_lines_finds(steps in prop::collection::vec(step(), 1..60)) {
        let (mut engine, mut model, mut store) = (engine(), Model::default(), Store::default());
        for step in steps {
            match step {
                Step::Wait { secs } => model.now += secs,
                Step::Restart => {
                    engine = self::engine();
                    engine.restore(Vec::new(), false, store.memory(), secs(model.now));
                }
                Step::Auth { .. } | Step::Login { .. } | Step::Success { .. } => {
                    let line = line(&step);
                    let line = Line { source: SourceId::new(1), log: LogId::new(1), bytes: line.as_bytes(), past: false };
                    engine.handle_line(line, secs(model.now));
                }
            }
            model.told.push((model.now, step));
            engine.handle_timeout(secs(model.now));
            while engine.poll_command().is_some() {}
            store.apply(engine.take_changes());
            prop_assert_eq!(store.counted(model.now), model.recount(), "at {} s, after {:?}", model.now, model.told);
        }
    }
}

fn line(step: &Step) -> String {
    let shown = |place: &Place| (ADDRS[place.addr], USERS[place.user], SESSIONS[place.session]);
    let message = match step {
        Step::Auth { at } => {
            let (addr, user, session) = shown(at);
            let session = if session.is_empty() { String::new() } else { format!(",<{session}>") };
            format!("auth: passwd-file({user},{addr}{session}): Password mismatch")
        }
        Step::Login { at, attempts } => {
            let (addr, user, session) = shown(at);
            format!(
                "imap-login: Disconnected: Connection closed (auth failed, {attempts} attempts in 2 secs): user=<{user}>, \
                 method=PLAIN, rip={addr}, lip=203.0.113.1, session=<{session}>"
            )
        }
        Step::Success { at } => {
            let (addr, user, session) = shown(at);
            format!("imap-login: Login: user=<{user}>, method=PLAIN, rip={addr}, lip=203.0.113.1, session=<{session}>")
        }
        Step::Wait { .. } | Step::Restart => String::new(),
    };
    format!("Nov 23 01:06:25 mx1 dovecot: {message}")
}

fn engine() -> Engine {
    let jails = JAILS.map(|(index, forgives)| Jail {
        id: JailId::new(index).expect("it is one"),
        name: format!("jail-{index}"),
        filter: Some(Filter::Dovecot),
        sources: vec![SourceId::new(1)],
        limits: Limits {
            // Nobody is banned: all that counts is kept.
            max_retry: 1_000,
            find_time: Duration::from_secs(FIND_SECS.unsigned_abs()),
            ban_time: BanTime::Forever,
            counter: Counter::Exact,
        },
        repeat: Repeat::default(),
        forgives,
    });
    let mut engine = Engine::new(Settings {
        jails: jails.into(),
        manual: JailId::MIN,
        allow: Vec::new(),
        ipv6_prefix: 64,
        remember_bans: Duration::from_secs(30 * 24 * 60 * 60),
        brake: brake::Limits::default(),
        bounds: Bounds::default(),
    });
    engine.set_hash_key(HashKey::new(KEY));
    engine.track_changes();
    engine.handle_timeout(secs(0));
    engine
}

fn prefix(addr: usize) -> Prefix {
    let addr: std::net::IpAddr = ADDRS[addr].parse().expect("the test's addresses are good");
    if addr.is_ipv4() { Prefix::host(addr) } else { Prefix::new(addr, 64).expect("64 bits are a prefix") }
}

fn secs(n: i64) -> Timestamp {
    Timestamp::from_secs(n)
}
