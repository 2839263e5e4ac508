//! The engine against a naive model, by random sequences of everything that can happen to it.
//!
//! The model keeps every failure and ban there ever was and recomputes the rest at each step. After each step the
//! kernel's tables, as the engine's commands build them up, must hold exactly what the model says: for every prefix,
//! and for every probe address, the jails whose ports are closed to it.

mod model;
mod step;
mod tables;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use blocker_core::aggregate::Aggregate;
use blocker_core::allowlist::{AllowReason, Allowed};
use blocker_core::attempts::Attempts;
use blocker_core::brake;
use blocker_core::engine::{
    AdoptedBan, AllowOutcome, BanOutcome, Bounds, Changes, Command, Counted, Counter, DisallowOutcome, Engine, Entry,
    Grant, Jail, JailId, JailSet, Key, Limits, Line, LogId, Memory, Request, Response, Settings, SourceId, Twin,
    TwinKey,
};
use blocker_core::filter::{Failure, Filter};
use blocker_core::jail::Repeat;
use blocker_core::prefix::Prefix;
use blocker_core::time::{BanTime, Timestamp, Until};
use model::Model;
use proptest::prelude::*;
use step::{Step, step};
use tables::{Kernel, Store};

/// The addresses that things happen to: neighbours in networks and /64s, and some outside of them.
const ADDRS: [&str; 6] =
    ["192.0.2.1", "192.0.2.2", "192.0.2.200", "2001:db8:0:1::1", "2001:db8:0:1::2", "2001:db8:0:2::1"];

/// What is banned, allowed and adopted besides.
const PREFIXES: [&str; 12] = [
    "192.0.2.1",
    "192.0.2.2",
    "192.0.2.0/30",
    "192.0.2.0/25",
    "192.0.2.0/24",
    "192.0.0.0/16",
    "2001:db8:0:1::1",
    "2001:db8:0:1::/64",
    "2001:db8:0:1::/80",
    "2001:db8::/48",
    "2001:db8:0:2::/64",
    "198.51.100.7",
];

/// The jails: two on the same log with limits of their own, and one for bans by command.
const JAILS: [JailSpec; 3] = [
    JailSpec { index: 0, name: "strict", max_retry: 2, find_secs: 60, ban_secs: 40, reads: true },
    JailSpec { index: 7, name: "mild", max_retry: 4, find_secs: 200, ban_secs: 300, reads: true },
    JailSpec { index: 61, name: "manual", max_retry: 5, find_secs: 60, ban_secs: 100, reads: false },
];

/// Fewer than the networks in `PREFIXES` can nest, so that the bound is met.
const MAX_NESTING: usize = 3;

/// Two neighbours make a network of the engine's that are in `ADDRS`.
const AGGREGATE: Aggregate = Aggregate { after: 2, ipv4: 24, ipv6: 48 };

/// As `bans::LATE_LINES`, stated again.
const LATE_SECS: i64 = 180;

struct JailSpec {
    index: u8,
    name: &'static str,
    max_retry: u32,
    find_secs: i64,
    ban_secs: i64,
    reads: bool,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn the_kernel_holds_what_a_naive_recount_says(
        steps in prop::collection::vec(step(), 1..80),
        brake in prop::option::of(1..3u32),
        aggregates in any::<bool>(),
    ) {
        let mut model = Model { brake, aggregates, ..Model::default() };
        let mut engine = Engine::new(settings(&BTreeSet::new(), &model));
        let mut kernel = Kernel::default();
        let mut store = Store::default();
        let mut clock = 0i64;
        engine.track_changes();
        engine.handle_timeout(secs(0));
        for step in steps {
            if matches!(step, Step::Tell | Step::Restart { .. }) {
                store.apply(engine.take_changes());
            }
            if let Step::Restart { reboot } = step {
                model.granted.retain(|_, (_, persists)| *persists);
                (model.earned, model.held) = (Vec::new(), 0);
                engine = restarted(&model, &mut kernel, &mut store, reboot)?;
                model.last = None;
            }
            take(&step, &mut engine, &mut model, &mut kernel, &mut clock)?;
            kernel.apply(&mut engine)?;
            compare(&engine, &model, &kernel)?;
        }
    }
}

/// Another engine in the place of one that stopped at the model's instant.
fn restarted(model: &Model, kernel: &mut Kernel, store: &mut Store, reboot: bool) -> Result<Engine, TestCaseError> {
    let now = secs(model.now);
    kernel.allowed.clear();
    if reboot {
        kernel.banned.clear();
    }
    let mut engine = Engine::new(settings(&model.configured, model));
    engine.track_changes();
    engine.set_found_allowed(allowed(&model.found, AllowReason::OwnAddress), now);
    engine.restore_grants(store.grants.clone(), now);
    kernel.apply(&mut engine)?;
    let adopted = kernel.banned.iter().map(|(&prefix, &(jails, until))| AdoptedBan { prefix, jails, until }).collect();
    engine.restore(adopted, !reboot, store.memory(), now);
    for ban in engine.bans() {
        let before = store.bans.get(&(ban.prefix, ban.jail));
        let Some(Entry::InForce(before)) = before else { panic!("{ban:?} was {before:?}") };
        prop_assert_eq!((ban.started, ban.until, &ban.origin), (before.started, before.until, &before.origin));
    }
    let changes = engine.take_changes();
    prop_assert!(changes.bans.is_empty(), "the store knows all of them: {:?}", changes);
    for (key, failures) in &changes.counts {
        let known = &store.counts[key];
        prop_assert!(known.ends_with(failures), "what counts no more is left out: {:?} of {:?}", failures, known);
    }
    store.apply(changes);
    Ok(engine)
}

fn take(
    step: &Step,
    engine: &mut Engine,
    model: &mut Model,
    kernel: &mut Kernel,
    clock: &mut i64,
) -> Result<(), TestCaseError> {
    match step {
        Step::Wait { secs } => {
            *clock += secs;
            return Ok(());
        }
        Step::WaitForTimeout => {
            let Some(due) = engine.poll_timeout() else { return Ok(()) };
            // The model counts in seconds; what lies between two of them can wait for the next.
            *clock =
                (*clock).max(due.as_nanos().div_euclid(1_000_000_000) + i64::from(due.as_nanos() % 1_000_000_000 != 0));
        }
        Step::Line { .. }
        | Step::Again { .. }
        | Step::Failure { .. }
        | Step::Ban { .. }
        | Step::BanForever { .. }
        | Step::Unban { .. } => {}
        Step::UnbanAll | Step::Allow { .. } | Step::Adopt { .. } | Step::Timeout => {}
        Step::Grant { .. } | Step::Disallow { .. } => {}
        Step::Restart { .. } | Step::Tell => {}
    }
    let now = secs(*clock);
    model.advance(*clock);
    match step.clone() {
        Step::Wait { .. } => {}
        Step::Restart { .. } | Step::Tell | Step::Timeout | Step::WaitForTimeout => engine.handle_timeout(now),
        Step::Line { addr, attempts, span_secs, past } => {
            let (message, tenths) = dovecot_message(ADDRS[addr], attempts, span_secs);
            let made = hand_in(engine, model, &format!("dovecot: {message}"), past, *clock);
            let (addr, span_secs) = (ADDRS[addr].parse().unwrap(), i64::from(span_secs));
            for jail in (0..JAILS.len()).filter(|&jail| JAILS[jail].reads) {
                model.failure(jail, addr, tenths, span_secs, made);
            }
            model.last = Some((addr, tenths, span_secs));
        }
        Step::Again { times, past } => {
            let made = hand_in(engine, model, &format!("last message repeated {times} times"), past, *clock);
            if let Some((addr, tenths, span_secs)) = model.last {
                for jail in (0..JAILS.len()).filter(|&jail| JAILS[jail].reads) {
                    model.failure(jail, addr, tenths * times, span_secs, made);
                }
            }
        }
        Step::Failure { jail, addr, tenths, span_secs, ago_secs } => {
            let addr: IpAddr = ADDRS[addr].parse().unwrap();
            let span = Duration::from_secs(span_secs.into());
            engine.handle_failure(id(jail), &failure(addr, tenths, span), secs(*clock - ago_secs), now);
            let made = model.made(*clock, ago_secs);
            model.failure(jail, addr, tenths, i64::from(span_secs), made);
        }
        Step::Ban { jail, prefix: n, secs: time } => {
            let spec = &JAILS[jail.unwrap_or(2)];
            let ban_time = time.map(|n| BanTime::For(Duration::from_secs(n.into())));
            let request = Request::Ban {
                whom: vec![prefix(n).into()],
                jail: jail.map(|_| spec.name.to_owned()),
                ban_time,
                reason: None,
            };
            let until = Until::At(secs(model.now + time.map_or(spec.ban_secs, i64::from)));
            let entered = model.ban(id(jail.unwrap_or(2)), prefix(n), until, true, false);
            prop_assert_eq!(was_banned(&engine.handle_request(request, now)), Some(entered));
        }
        Step::BanForever { prefix: n } => {
            let ban_time = Some(BanTime::Forever);
            let request = Request::Ban { whom: vec![prefix(n).into()], jail: None, ban_time, reason: None };
            let entered = model.ban(id(2), prefix(n), Until::Forever, true, false);
            prop_assert_eq!(was_banned(&engine.handle_request(request, now)), Some(entered));
        }
        Step::Unban { prefix: n } => {
            let exact = model.unban(prefix(n));
            let network = Prefix::aggregate(prefix(n).addr(), 64).unwrap();
            let mut rows = vec![(prefix(n), exact)];
            if prefix(n).is_host() && network != prefix(n) && model.unban(network) {
                rows.retain(|row| row.1);
                rows.push((network, true));
            }
            let response = engine.handle_request(Request::Unban { prefixes: vec![prefix(n)] }, now);
            prop_assert_eq!(response, Response::Unban(rows));
        }
        Step::UnbanAll => {
            let response = engine.handle_request(Request::UnbanAll, now);
            prop_assert_eq!(response, Response::UnbanAll(model.bans.len()));
            model.bans.clear();
            model.ended.clear();
            model.failures.clear();
        }
        Step::Allow { configured, prefixes } => {
            let prefixes: BTreeSet<Prefix> = prefixes.into_iter().map(prefix).collect();
            if configured {
                engine.reconfigure(settings(&prefixes, model), now);
            } else {
                engine.set_found_allowed(allowed(&prefixes, AllowReason::OwnAddress), now);
            }
            model.allow(configured, prefixes);
        }
        Step::Grant { prefix: n, secs: time, persists } => {
            let lasts = time.map_or(BanTime::Forever, |n| BanTime::For(Duration::from_secs(n.into())));
            let request = Request::Allow { prefixes: vec![prefix(n)], lasts, persists, reason: None };
            let old = model.all_allowed();
            model.granted.insert(prefix(n), (lasts.end_from(secs(model.now)), persists));
            let gone = model.lift_what_is_allowed_since(&old);
            let around = model.bans.iter().map(|ban| ban.prefix).filter(|p| *p != prefix(n) && p.covers(prefix(n)));
            let inside = around.max_by_key(|p| p.len());
            let Response::Allow { outcomes, lifted } = engine.handle_request(request, now) else { panic!("it allows") };
            prop_assert_eq!(outcomes, vec![(prefix(n), AllowOutcome::Allowed { inside })]);
            prop_assert_eq!(lifted.into_iter().collect::<BTreeSet<_>>(), gone);
        }
        Step::Disallow { prefix: n } => {
            let was_granted = model.granted.remove(&prefix(n)).is_some();
            let request = Request::Disallow { prefixes: vec![prefix(n)] };
            let Response::Disallow(outcomes) = engine.handle_request(request, now) else { panic!("it disallows") };
            let is_allowed = model.allowed(prefix(n));
            match outcomes[..] {
                [(_, DisallowOutcome::Disallowed { still })] => {
                    prop_assert!(was_granted && still.is_some() == is_allowed);
                }
                [(_, DisallowOutcome::Kept(_))] => prop_assert!(!was_granted && is_allowed),
                [(_, DisallowOutcome::NotAllowed)] => prop_assert!(!was_granted && !is_allowed),
                ref other => prop_assert!(false, "{:?}", other),
            }
        }
        Step::Adopt { prefix: n, jails, secs: time } => {
            // What is due anyway is done before the kernel gets an entry that the engine has yet to hear of.
            engine.handle_timeout(now);
            kernel.apply(engine)?;
            let (jails, until) = (JailSet::from_bits(jails), Until::At(secs(model.now + time)));
            kernel.banned.insert(prefix(n), (jails, until));
            engine.adopt(AdoptedBan { prefix: prefix(n), jails, until }, now);
            if time > 0 {
                for jail in jails.iter() {
                    model.ban(jail, prefix(n), until, false, false);
                }
            }
        }
    }
    Ok(())
}

fn compare(engine: &Engine, model: &Model, kernel: &Kernel) -> Result<(), TestCaseError> {
    let wanted = model.in_force();
    prop_assert_eq!(&kernel.banned, &wanted, "at {} s", model.now);
    prop_assert_eq!(&kernel.allowed, &model.all_allowed());

    let now = secs(model.now);
    for addr in ADDRS.iter().chain(&["192.0.2.3", "198.51.100.7", "203.0.113.1", "2001:db8:9::1"]) {
        let addr: IpAddr = addr.parse().unwrap();
        let banned: JailSet = if model.allowed(Prefix::host(addr)) {
            JailSet::EMPTY
        } else {
            model.bans.iter().filter(|ban| ban.prefix.contains(addr)).map(|ban| ban.jail).collect()
        };
        prop_assert_eq!(kernel.drops(addr, now), banned, "{}", addr);
    }

    prop_assert!(engine.poll_timeout().is_none_or(|due| due > now), "a timeout that is due was not dealt with");
    let first_end = model.bans.iter().map(|ban| ban.until).min();
    if let Some(Until::At(end)) = first_end {
        prop_assert!(engine.poll_timeout().is_some_and(|due| due <= end), "a ban would end unnoticed");
    }
    if let Some(Until::At(end)) = model.granted.values().map(|(until, _)| *until).min() {
        prop_assert!(
            engine.poll_timeout().is_some_and(|due| due <= end),
            "what is allowed by command would end unnoticed"
        );
    }
    prop_assert_eq!(engine.bans().len(), model.bans.len());
    let tracked: BTreeSet<(JailId, Prefix)> = model
        .failures
        .iter()
        .filter(|f| JAILS.iter().any(|spec| spec.index == f.1.index() && model.now - f.0 < spec.find_secs))
        .map(|f| (f.1, f.2))
        .collect();
    prop_assert_eq!(engine.stats().tracked, tracked.len());
    prop_assert_eq!(engine.stats().brake.too_many.failures, model.held);
    Ok(())
}

fn settings(configured: &BTreeSet<Prefix>, model: &Model) -> Settings {
    let jails = (0..JAILS.len()).map(|n| {
        let spec = &JAILS[n];
        Jail {
            id: id(n),
            name: spec.name.to_owned(),
            filter: spec.reads.then_some(Filter::Dovecot),
            sources: vec![SourceId::new(3)],
            limits: Limits {
                max_retry: spec.max_retry,
                find_time: Duration::from_secs(spec.find_secs.unsigned_abs()),
                ban_time: BanTime::For(Duration::from_secs(spec.ban_secs.unsigned_abs())),
                counter: Counter::Exact,
            },
            repeat: Repeat { aggregate: model.aggregates.then_some(AGGREGATE), ..Repeat::default() },
            forgives: true,
        }
    });
    Settings {
        jails: jails.collect(),
        manual: id(2),
        allow: allowed(configured, AllowReason::Configured),
        ipv6_prefix: 64,
        remember_bans: Duration::from_secs(30 * 24 * 60 * 60),
        brake: brake::Limits { per_minute: model.brake, ..brake::Limits::default() },
        bounds: Bounds { max_nesting: MAX_NESTING, ..Bounds::default() },
    }
}

fn allowed(prefixes: &BTreeSet<Prefix>, why: AllowReason) -> Vec<Allowed> {
    prefixes.iter().map(|&prefix| Allowed { prefix, why }).collect()
}

/// Hands in a line with a stamp, and says when it was made.
fn hand_in(engine: &mut Engine, model: &Model, text: &str, past: Option<i64>, clock: i64) -> i64 {
    let ago = past.unwrap_or(0);
    let stamp = jiff::Timestamp::from_second(clock - ago).expect("the test's clock is near its zero");
    let line = format!("{stamp} mx1 {text}");
    let past = past.is_some();
    let (source, log, bytes) = (SourceId::new(3), LogId::new(9), line.as_bytes());
    engine.handle_line(Line { source, log, bytes, past }, secs(clock));
    model.made(clock, ago)
}

/// A message, and what it weighs in tenths.
fn dovecot_message(addr: &str, attempts: u32, span_secs: u32) -> (String, u32) {
    let (method, tenths) = if attempts == 0 { ("", 1) } else { (" method=PLAIN,", attempts * 10) };
    let attempts = attempts.max(1);
    let message = format!(
        "imap-login: Disconnected: Connection closed (auth failed, {attempts} attempts in \
         {span_secs} secs): user=<rip=203.0.113.66>,{method} rip={addr}, lip=203.0.113.1, TLS"
    );
    (message, tenths)
}

fn failure(addr: IpAddr, tenths: u32, span: Duration) -> Failure<'static> {
    Failure {
        addr,
        user: Some(b"bob"),
        attempts: Attempts::tenths(tenths),
        forgivable: Attempts::tenths(tenths),
        span,
        session: None,
        service: "imap".into(),
        pattern: "auth failed".into(),
    }
}

fn was_banned(response: &Response) -> Option<bool> {
    match response {
        Response::Ban(rows) => rows.first().map(|row| match row.1 {
            BanOutcome::Banned | BanOutcome::Renewed => true,
            BanOutcome::Refused(_) => false,
        }),
        Response::Unban(_) | Response::UnbanAll(_) | Response::Bans(_) | Response::UnknownJail { .. } => None,
        Response::Allow { .. } | Response::Disallow(_) => None,
    }
}

fn id(jail: usize) -> JailId {
    JailId::new(JAILS[jail].index).expect("the test's jails are numbered rightly")
}

fn prefix(n: usize) -> Prefix {
    PREFIXES[n].parse().unwrap()
}

fn secs(n: i64) -> Timestamp {
    Timestamp::from_secs(n)
}
