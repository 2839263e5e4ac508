//! The engine from outside: lines and requests in, commands out. Random sequences are in `tests/engine_model`.

mod aggregate;
mod attempts;
mod brake;
mod by_command;
mod evidence;
mod fail2ban;
mod past;
mod repetitions;
mod why;

use std::net::Ipv4Addr;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::*;
use crate::attempts::Attempts;
use crate::escalation::{Escalation, Factor, Growth};
use crate::filter::Filter;
use crate::jail::Repeat;
use crate::time::{BanTime, Until};
use crate::whom::Whom;

const DOVECOT: JailId = JailId::MIN;
const MANUAL: JailId = JailId::MAX;
const MAIL_LOG: SourceId = SourceId::new(7);
const LOG: LogId = LogId::new(3);

#[test]
fn lines_of_one_source_earn_a_ban_and_the_kernel_hears_of_it() {
    let mut engine = engine();
    line(&mut engine, "192.0.2.9", 2, 0);
    assert_eq!(for_kernel(&mut engine), []);

    line(&mut engine, "192.0.2.9", 1, 1);

    let banned_for_an_hour = enforce("192.0.2.9", &[DOVECOT], at(3_601));
    assert_eq!(for_kernel(&mut engine), [banned_for_an_hour]);
    let [ban] = &engine.bans()[..] else { panic!("one ban") };
    assert_eq!((ban.started, ban.until, &*ban.jail_name), (secs(1), at(3_601), "dovecot"));
    let Origin::Log { attempts, user, .. } = &ban.origin else { panic!("from a log") };
    assert_eq!((*attempts, user.as_deref()), (Attempts::whole(3), Some(&b"bob"[..])));
}

#[test]
fn people_hear_of_the_count_and_then_of_the_ban() {
    let mut engine = engine();
    line(&mut engine, "192.0.2.9", 3, 0);
    line(&mut engine, "192.0.2.9", 1, 1);

    let [Event::Found(found), Event::Banned(ban), Event::Ignored { jail: DOVECOT, addr: _, why }] =
        &for_people(&mut engine)[..]
    else {
        panic!("found, banned, ignored")
    };
    assert_eq!((found.attempts, found.count, found.of), (Attempts::whole(3), Attempts::whole(3), 3));
    assert_eq!((found.user.as_deref(), &*found.service), (Some(&b"bob"[..]), "imap"));
    assert_eq!(ban.prefix, prefix("192.0.2.9"));
    assert_eq!(*why, IgnoreReason::AlreadyBanned { by: prefix("192.0.2.9") });
}

#[test]
fn every_line_has_one_fate() {
    let mut engine = engine();
    line(&mut engine, "192.0.2.9", 1, 0);
    for bytes in [
        &b"2026-11-23T01:11:33.070638+00:00 mx1 dovecot: imap-login: Login: user=<bob>, method=PLAIN, rip=192.0.2.10"[..],
        b"2026-11-23T01:11:33.070638+00:00 mx1 postfix/smtpd[7]: connect from unknown[192.0.2.11]",
        b"no line of a log",
        b"",
    ] {
        engine.handle_line(live(bytes), secs(1));
    }
    let elsewhere = failed_login("192.0.2.9", 9);
    engine.handle_line(Line { source: SourceId::new(8), ..live(elsewhere.as_bytes()) }, secs(1));

    let stats = engine.stats();
    assert_eq!((stats.lines, stats.failures, stats.ignored, stats.no_match, stats.malformed), (6, 1, 1, 2, 2));
    assert_eq!((stats.jails[0].failures, stats.jails[0].attempts, stats.tracked), (1, Attempts::whole(1), 1));
}

#[test]
fn a_line_is_judged_by_each_jail_that_has_its_source() {
    let other = JailId::new(5).expect("5 is a jail");
    let strict = Limits { max_retry: 1, ..limits() };
    let mut settings = settings();
    settings.jails.push(jail(other, "strict", Some(Filter::Dovecot), strict));
    let mut engine = Engine::new(settings);

    line(&mut engine, "192.0.2.9", 1, 0);

    assert_eq!(for_kernel(&mut engine), [enforce("192.0.2.9", &[other], at(3_600))]);
    assert_eq!(engine.stats().jails.iter().map(|jail| jail.tracked).collect::<Vec<_>>(), [1, 0, 0]);
}

#[test]
fn an_address_of_a_64_bans_the_64() {
    let mut engine = engine();
    line(&mut engine, "2001:db8::9", 2, 0);
    line(&mut engine, "2001:db8::77", 1, 0);

    assert_eq!(for_kernel(&mut engine), [enforce("2001:db8::/64", &[DOVECOT], at(3_600))]);
}

#[test]
fn a_prefix_two_jails_ban_is_enforced_for_the_rest_when_one_ends() {
    let mut engine = engine();
    ban(&mut engine, "192.0.2.9", Some(60));
    line(&mut engine, "192.0.2.9", 3, 0);
    assert_eq!(
        for_kernel(&mut engine),
        [enforce("192.0.2.9", &[MANUAL], at(60)), enforce("192.0.2.9", &[DOVECOT, MANUAL], at(3_600))]
    );

    assert_eq!(engine.poll_timeout(), Some(secs(60)));
    engine.handle_timeout(secs(60));
    assert_eq!(for_kernel(&mut engine), [enforce("192.0.2.9", &[DOVECOT], at(3_600))]);

    engine.handle_timeout(secs(3_600));
    assert_eq!(for_kernel(&mut engine), [lift("192.0.2.9")]);
    assert_eq!(engine.poll_timeout(), None);
}

#[test]
fn the_kernel_hears_nothing_when_nothing_changes_for_it() {
    let mut engine = engine();
    ban(&mut engine, "192.0.2.9", Some(60));
    for_kernel(&mut engine);

    assert_eq!(ban(&mut engine, "192.0.2.9", Some(60)), BanOutcome::Renewed);
    assert_eq!(for_kernel(&mut engine), []);
    assert_eq!(ban(&mut engine, "192.0.2.9", Some(30)), BanOutcome::Renewed);
    assert_eq!(for_kernel(&mut engine), [enforce("192.0.2.9", &[MANUAL], at(30))], "a command is taken at its word");
}

#[test]
fn a_jail_that_is_not_there_bans_nobody() {
    let mut engine = engine();
    let request =
        Request::Ban { whom: vec![whom("192.0.2.9")], jail: Some("dovcot".into()), ban_time: None, reason: None };

    assert_eq!(
        engine.handle_request(request, secs(0)),
        Response::UnknownJail { name: "dovcot".into(), known: vec!["dovecot".into(), "manual".into()] }
    );
    assert_eq!(for_kernel(&mut engine), []);
}

#[test]
fn a_ban_inside_an_allowed_prefix_is_refused_and_a_wider_one_is_not() {
    let mut engine = engine();
    let office = Allowed { prefix: prefix("192.0.2.0/28"), why: AllowReason::RemoteLogin };
    engine.set_found_allowed(vec![office], secs(0));

    assert_eq!(ban(&mut engine, "192.0.2.9", None), BanOutcome::Refused(Refusal::AllowListed(office)));
    assert_eq!(ban(&mut engine, "192.0.2.0/28", None), BanOutcome::Refused(Refusal::AllowListed(office)));
    assert_eq!(ban(&mut engine, "192.0.2.0/24", None), BanOutcome::Banned);
    assert_eq!(engine.stats().refused, 2);
}

#[test]
fn allowing_lifts_the_bans_inside_and_only_those() {
    let mut engine = engine();
    for banned in ["192.0.2.9", "192.0.2.16", "192.0.2.0/24"] {
        ban(&mut engine, banned, None);
    }
    for_kernel(&mut engine);
    let office = Allowed { prefix: prefix("192.0.2.0/28"), why: AllowReason::Configured };

    engine.reconfigure(Settings { allow: vec![office], ..settings() }, secs(1));
    assert_eq!(for_kernel(&mut engine), [Command::Allow { prefix: office.prefix }, lift("192.0.2.9")]);

    engine.reconfigure(settings(), secs(1));
    assert_eq!(for_kernel(&mut engine), [Command::Disallow { prefix: office.prefix }]);
}

#[test]
fn a_reload_keeps_counts_where_the_limits_stay() {
    let mut engine = engine();
    line(&mut engine, "192.0.2.9", 2, 0);
    engine.reconfigure(settings(), secs(1));
    assert_eq!(engine.stats().tracked, 1);

    let mut stricter = settings();
    stricter.jails[0].limits.max_retry = 2;
    engine.reconfigure(stricter, secs(1));
    assert_eq!(engine.stats().tracked, 0);
}

#[test]
fn a_ban_outlives_its_jail() {
    let mut engine = engine();
    line(&mut engine, "192.0.2.9", 3, 0);
    for_kernel(&mut engine);
    let mut without = settings();
    without.jails.remove(0);

    engine.reconfigure(without, secs(1));

    assert_eq!(for_kernel(&mut engine), []);
    assert_eq!(&*engine.bans()[0].jail_name, "dovecot");
    engine.handle_timeout(secs(3_600));
    assert_eq!(for_kernel(&mut engine), [lift("192.0.2.9")]);
}

#[test]
fn an_adopted_ban_is_restored_without_a_word_to_the_kernel() {
    let mut engine = engine();
    let jails = [DOVECOT, MANUAL].into_iter().collect();

    assert_eq!(engine.adopt(AdoptedBan { prefix: prefix("192.0.2.9"), jails, until: at(60) }, secs(0)), Adoption::Kept);

    let commands: Vec<Command> = drain(&mut engine);
    assert!(
        matches!(&commands[..], [Command::Notify(Event::Restored(_)), Command::Notify(Event::Restored(_))]),
        "{commands:?}"
    );
    engine.handle_timeout(secs(60));
    assert_eq!(for_kernel(&mut engine), [lift("192.0.2.9")]);
}

#[test]
fn what_may_not_be_adopted_is_lifted() {
    let office = Allowed { prefix: prefix("192.0.2.0/28"), why: AllowReason::Configured };
    let mut engine = Engine::new(Settings { allow: vec![office], ..settings() });
    for_kernel(&mut engine);
    let jails = JailSet::EMPTY.with(DOVECOT);

    for (ban, outcome) in [
        (AdoptedBan { prefix: prefix("198.51.100.1"), jails, until: at(10) }, Adoption::Over),
        (AdoptedBan { prefix: prefix("198.51.100.2"), jails: JailSet::EMPTY, until: at(90) }, Adoption::Over),
        (
            AdoptedBan { prefix: prefix("192.0.2.9"), jails, until: Until::Forever },
            Adoption::Refused(Refusal::AllowListed(office)),
        ),
    ] {
        assert_eq!(engine.adopt(ban, secs(10)), outcome);
        assert_eq!(for_kernel(&mut engine), [Command::Lift { prefix: ban.prefix }]);
    }
    assert_eq!(engine.bans(), []);
}

#[test]
fn a_full_table_is_loud() {
    let bounds = Bounds { max_bans_v4: 1, ..Bounds::default() };
    let mut engine = Engine::new(Settings { bounds, ..settings() });
    ban(&mut engine, "192.0.2.1", Some(60));
    for_kernel(&mut engine);

    line(&mut engine, "192.0.2.2", 3, 0);
    let commands = drain(&mut engine);
    assert!(commands.contains(&Command::Notify(Event::Full {
        kind: Kind::HostV4,
        bound: 1,
        gave_way: Some(prefix("192.0.2.1"))
    })));
    let lifted = commands.iter().position(|command| *command == lift("192.0.2.1"));
    let enforced = commands.iter().position(|command| *command == enforce("192.0.2.2", &[DOVECOT], at(3_600)));
    assert!(lifted.is_some() && lifted < enforced, "there is room in the kernel before it is used: {commands:?}");
    assert_eq!((engine.stats().evicted, engine.stats().bans_v4), (1, 1));
}

#[test]
fn a_table_of_permanent_bans_refuses_and_is_loud() {
    let bounds = Bounds { max_bans_v4: 1, ..Bounds::default() };
    let mut settings = Settings { bounds, ..settings() };
    settings.jails[0].limits.ban_time = BanTime::Forever;
    let mut engine = Engine::new(settings);
    line(&mut engine, "192.0.2.1", 3, 0);
    drain(&mut engine);

    line(&mut engine, "192.0.2.2", 3, 0);

    let full = Refusal::TableFull { kind: Kind::HostV4, bound: 1 };
    let events = for_people(&mut engine);
    assert!(events.contains(&Event::Full { kind: Kind::HostV4, bound: 1, gave_way: None }), "{events:?}");
    assert!(events.contains(&Event::Refused { prefix: prefix("192.0.2.2"), jail: DOVECOT, why: full }), "{events:?}");
    assert_eq!((engine.stats().refused, engine.stats().tracked), (1, 0));
}

#[test]
fn a_line_that_comes_late_does_not_count_towards_the_next_ban() {
    let mut settings = settings();
    settings.jails[0].limits.ban_time = BanTime::For(Duration::from_secs(60));
    let mut engine = Engine::new(settings);
    line(&mut engine, "192.0.2.9", 3, 0);

    let late = failed_login("192.0.2.9", 9).replace("in 2 secs", "in 179 secs");
    engine.handle_line(live(late.as_bytes()), secs(100));

    assert_eq!(engine.stats().tracked, 0);
    assert_eq!((engine.stats().jails[0].ignored, engine.stats().jails[0].bans_made), (1, 1));
}

#[test]
fn a_clock_that_goes_backwards_ends_no_ban_and_prolongs_none() {
    let mut engine = engine();
    engine.handle_timeout(secs(1_000));
    engine.handle_timeout(secs(0));

    line(&mut engine, "192.0.2.9", 3, 500);

    assert_eq!(for_kernel(&mut engine), [enforce("192.0.2.9", &[DOVECOT], at(4_600))]);
}

#[test]
fn a_long_user_name_is_cut() {
    let mut engine = engine();
    let long = failed_login("192.0.2.9", 3).replace("user=<bob>", &format!("user=<{}>", "x".repeat(4_000)));
    engine.handle_line(live(long.as_bytes()), secs(0));

    let Origin::Log { user: Some(user), .. } = &engine.bans()[0].origin else { panic!("from a log, with a user") };
    assert_eq!(user.len(), MAX_USER_BYTES);
}

fn engine() -> Engine {
    Engine::new(settings())
}

/// On the engine's clock, which began with the day.
const NOON: i64 = 12 * 3_600;

/// It is noon, in UTC.
fn engine_at_noon() -> Engine {
    let mut engine = engine();
    engine.set_calendar(Calendar::new(secs(NOON), "2026-11-23T12:00:00Z".parse().unwrap(), TimeZone::UTC));
    engine
}

/// A line that was in the log already at noon.
fn past(engine: &mut Engine, stamp: &str, message: &str) {
    let bytes = format!("{stamp} mx1 dovecot: {message}");
    engine.handle_line(Line { past: true, ..live(bytes.as_bytes()) }, secs(NOON));
}

fn syslog(text: &str) -> String {
    format!("Nov 23 01:06:25 {text}")
}

#[test]
fn each_ban_that_a_log_earns_makes_the_next_one_longer_until_it_is_lifted_by_command() {
    let growth = Escalation { growth: Growth::Doubling, factor: Factor::ONE, max_time: None, random: Duration::ZERO };
    let mut settings = settings();
    settings.jails[0].repeat.escalation = Some(growth);
    settings.remember_bans = Duration::from_secs(30_000);
    let mut engine = Engine::new(settings);
    let banned_for = |engine: &mut Engine, begin: i64| {
        engine.handle_timeout(secs(begin));
        line(engine, "192.0.2.9", 3, begin);
        let Until::At(end) = engine.bans()[0].until else { panic!("it ends") };
        end.saturating_since(secs(begin)).as_secs()
    };

    assert_eq!([0, 10_000, 20_000].map(|begin| banned_for(&mut engine, begin)), [3_600, 7_200, 14_400]);
    engine.handle_request(Request::Unban { prefixes: vec!["192.0.2.9".parse().unwrap()] }, secs(20_001));
    assert_eq!(banned_for(&mut engine, 30_000), 3_600, "what was lifted was no offence");
    assert_eq!(banned_for(&mut engine, 70_000), 3_600, "and what is long ago is forgotten");
}

#[test]
fn who_is_banned_again_and_again_is_banned_by_the_jail_that_counts_bans() {
    let recidive = JailId::new(7).unwrap();
    let strict =
        Limits { max_retry: 2, find_time: Duration::from_secs(86_400), ban_time: BanTime::Forever, ..limits() };
    let mut settings = settings();
    settings.jails.push(jail(recidive, "recidive", Some(Filter::Bans), strict));
    let mut engine = Engine::new(settings);
    let jails = |engine: &Engine| engine.bans().into_iter().map(|ban| ban.jail).collect::<Vec<_>>();

    line(&mut engine, "192.0.2.9", 3, 0);
    assert_eq!(jails(&engine), [DOVECOT]);
    let whom = vec![Whom::Address("192.0.2.8".parse().unwrap())];
    engine.handle_request(Request::Ban { whom, jail: None, ban_time: None, reason: None }, secs(1));
    line(&mut engine, "192.0.2.9", 3, 10_000);

    let bans = engine.bans();
    let of_recidive: Vec<_> = bans.iter().filter(|ban| ban.jail == recidive).collect();
    let [ban] = &of_recidive[..] else { panic!("one ban: {bans:?}") };
    assert_eq!((ban.prefix, ban.until), ("192.0.2.9".parse().unwrap(), Until::Forever));
    let Origin::Log { attempts, pattern, .. } = &ban.origin else { panic!("from a log") };
    assert_eq!((*attempts, &**pattern), (Attempts::whole(2), "ban by dovecot"));
}

fn settings() -> Settings {
    Settings {
        jails: vec![
            jail(DOVECOT, "dovecot", Some(Filter::Dovecot), limits()),
            jail(MANUAL, "manual", None, Limits { ban_time: BanTime::Forever, ..limits() }),
        ],
        manual: MANUAL,
        allow: vec![],
        ipv6_prefix: 64,
        brake: crate::brake::Limits::default(),
        remember_bans: Duration::from_secs(30 * 24 * 60 * 60),
        bounds: Bounds::default(),
    }
}

fn limits() -> Limits {
    Limits {
        max_retry: 3,
        find_time: Duration::from_secs(600),
        ban_time: BanTime::For(Duration::from_secs(3_600)),
        counter: Counter::Exact,
    }
}

fn jail(id: JailId, name: &str, filter: Option<Filter>, limits: Limits) -> Jail {
    Jail { id, name: name.into(), filter, sources: vec![MAIL_LOG], limits, repeat: Repeat::default(), forgives: true }
}

fn line(engine: &mut Engine, from: &str, attempts: u32, at_secs: i64) {
    let bytes = failed_login(from, attempts);
    engine.handle_line(live(bytes.as_bytes()), secs(at_secs));
}

fn live(bytes: &[u8]) -> Line<'_> {
    Line { source: MAIL_LOG, log: LOG, bytes, past: false }
}

fn failed_login(from: &str, attempts: u32) -> String {
    format!("2026-11-23T01:11:33.070638+00:00 mx1 dovecot: {}", failed(from, attempts))
}

fn failed(from: &str, attempts: u32) -> String {
    format!(
        "imap-login: Disconnected: Connection closed (auth failed, {attempts} attempts in 2 secs): user=<bob>, method=PLAIN, rip={from}, lip=203.0.113.1, TLS"
    )
}

fn ban(engine: &mut Engine, named: &str, for_secs: Option<u64>) -> BanOutcome {
    let ban_time = for_secs.map(|n| BanTime::For(Duration::from_secs(n)));
    let request = Request::Ban { whom: vec![whom(named)], jail: None, ban_time, reason: Some("test".into()) };
    let response = engine.handle_request(request, secs(0));
    let Response::Ban(outcomes) = response else { panic!("{response:?}") };
    outcomes[0].1
}

fn unban(engine: &mut Engine, whom: &[&str]) -> Vec<(Prefix, bool)> {
    let prefixes = whom.iter().map(|text| prefix(text)).collect();
    let response = engine.handle_request(Request::Unban { prefixes }, secs(1));
    let Response::Unban(rows) = response else { panic!("{response:?}") };
    rows
}

fn drain(engine: &mut Engine) -> Vec<Command> {
    std::iter::from_fn(|| engine.poll_command()).collect()
}

/// Takes all commands, and keeps those that are the kernel's.
fn for_kernel(engine: &mut Engine) -> Vec<Command> {
    drain(engine).into_iter().filter(|command| !matches!(command, Command::Notify(_))).collect()
}

/// Takes all commands, and keeps the events.
fn for_people(engine: &mut Engine) -> Vec<Event> {
    drain(engine)
        .into_iter()
        .filter_map(|command| match command {
            Command::Notify(event) => Some(event),
            Command::Enforce { .. } | Command::Lift { .. } | Command::LiftAll { .. } => None,
            Command::Allow { .. } | Command::Disallow { .. } => None,
        })
        .collect()
}

fn enforce(whom: &str, jails: &[JailId], until: Until) -> Command {
    Command::Enforce { prefix: prefix(whom), jails: jails.iter().copied().collect(), until }
}

fn lift(whom: &str) -> Command {
    Command::Lift { prefix: prefix(whom) }
}

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn whom(text: &str) -> Whom {
    text.parse().unwrap()
}

fn at(n: i64) -> Until {
    Until::At(secs(n))
}

fn secs(n: i64) -> Timestamp {
    Timestamp::from_secs(n)
}
