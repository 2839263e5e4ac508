//! Attempts that are told twice, and attempts that are forgiven. Random sequences are in `tests/attempts_model.rs`.

use super::*;

fn tell(engine: &mut Engine, message: &str, at_secs: i64) {
    let line = format!("Nov 23 01:06:25 mx1 dovecot: {message}");
    engine.handle_line(live(line.as_bytes()), secs(at_secs));
}

fn auth(user: &str, from: &str, session: &str) -> String {
    format!("auth: passwd-file({user},{from},<{session}>): Password mismatch")
}

fn ended(user: &str, from: &str, session: &str, attempts: u32) -> String {
    format!(
        "imap-login: Disconnected: Connection closed (auth failed, {attempts} attempts in 2 secs): user=<{user}>, method=PLAIN, rip={from}, lip=203.0.113.1, session=<{session}>"
    )
}

fn success(user: &str, from: &str) -> String {
    format!("imap-login: Login: user=<{user}>, method=PLAIN, rip={from}, lip=203.0.113.1, mpid=7, session=<login>")
}

/// Tenths that count against an address, and those that were forgiven.
fn counted(engine: &Engine, from: &str) -> (u32, u32) {
    let counts = engine.tracker.failures(DOVECOT, prefix(from)).iter().map(|tries| tries.attempts);
    (counts.sum::<Attempts>().as_tenths(), engine.stats().jails[0].forgiven.as_tenths())
}

#[test]
fn with_auth_verbose_a_password_counts_once_at_the_time_it_was_refused() {
    let mut engine = engine();
    tell(&mut engine, &auth("bob", "192.0.2.9", "abc"), 0);
    tell(&mut engine, &auth("bob", "192.0.2.9", "abc"), 10);
    tell(&mut engine, &ended("bob", "192.0.2.9", "abc", 2), 170);

    assert_eq!(counted(&engine, "192.0.2.9"), (20, 0));
    assert_eq!(engine.tracker.failures(DOVECOT, prefix("192.0.2.9")).last().map(|tries| tries.at), Some(secs(10)));
    let stats = engine.stats();
    assert_eq!((stats.failures, stats.ignored, stats.jails[0].attempts), (2, 1, Attempts::whole(2)));
    assert_eq!(for_people(&mut engine).len(), 2, "nobody hears of what adds nothing");

    tell(&mut engine, &auth("bob", "192.0.2.9", "abd"), 171);
    assert_eq!(engine.bans().len(), 1, "the third password");
}

#[test]
fn what_was_refused_during_a_ban_is_not_told_again_after_it() {
    let mut settings = settings();
    settings.jails[0].limits.ban_time = BanTime::For(Duration::from_secs(5));
    let mut engine = Engine::new(settings);
    for second in 0..5 {
        tell(&mut engine, &auth("bob", "192.0.2.9", "abc"), second);
    }
    assert_eq!(engine.bans().len(), 1);

    tell(&mut engine, &ended("bob", "192.0.2.9", "abc", 5), 200);

    assert!(engine.bans().is_empty() && counted(&engine, "192.0.2.9") == (0, 0), "all five were told before");
}

#[test]
fn a_login_takes_back_what_its_user_failed_at_before_from_there_and_nothing_else() {
    let mut engine = engine();
    for (user, from) in [("bob", "192.0.2.9"), ("alice", "192.0.2.9"), ("bob", "192.0.2.10")] {
        tell(&mut engine, &auth(user, from, ""), 0);
    }
    tell(&mut engine, &success("bob", "192.0.2.9"), 1);

    assert_eq!(counted(&engine, "192.0.2.9"), (10, 10), "alice's");
    assert_eq!(counted(&engine, "192.0.2.10"), (10, 10), "another address");
    tell(&mut engine, &success("alice", "192.0.2.9"), 1);
    assert_eq!(engine.stats().tracked, 1, "nothing is kept of who has nothing left");
    assert_eq!(engine.poll_timeout(), Some(secs(600)));
    tell(&mut engine, &auth("bob", "192.0.2.10", ""), 2);
    tell(&mut engine, &auth("bob", "192.0.2.10", ""), 2);
    assert_eq!(engine.bans().len(), 1, "what came after counts");
    tell(&mut engine, &success("bob", "192.0.2.10"), 3);
    assert_eq!(engine.bans().len(), 1, "a ban stays");
}

#[test]
fn who_has_an_account_of_his_own_does_not_wash_his_guesses_at_others() {
    let mut one_by_one = engine();
    for second in 0..3 {
        tell(&mut one_by_one, &auth("bob", "192.0.2.9", "abc"), second);
        tell(&mut one_by_one, &success("mallory", "192.0.2.9"), second);
    }
    assert_eq!(one_by_one.bans().len(), 1);

    // Each connection ends with a wrong password of his own, so that his name is in the line.
    let mut on_connections = engine();
    for (second, session) in [(0, "abc"), (1, "abd")] {
        tell(&mut on_connections, &ended("mallory", "192.0.2.9", session, 3), second);
        tell(&mut on_connections, &success("mallory", "192.0.2.9"), second);
    }
    assert_eq!(on_connections.bans().len(), 1, "of three, two were at others");

    // The same with single tries of which not all could be read.
    let mut partly_told = engine();
    for (second, session) in [(0, "abc"), (1, "abd"), (2, "abe")] {
        tell(&mut partly_told, &auth("mallory", "192.0.2.9", session), second);
        tell(&mut partly_told, &ended("mallory", "192.0.2.9", session, 2), second);
        tell(&mut partly_told, &success("mallory", "192.0.2.9"), second);
    }
    assert_eq!(partly_told.bans().len(), 1);
}

#[test]
fn nothing_is_forgiven_where_that_is_off_or_where_fail2ban_s_counting_is_asked_for() {
    for (forgives, counter) in [(false, Counter::Exact), (true, Counter::Fail2ban)] {
        let mut settings = settings();
        settings.jails[0] = Jail { forgives, limits: Limits { counter, ..limits() }, ..settings.jails[0].clone() };
        let mut engine = Engine::new(settings);
        tell(&mut engine, &auth("bob", "192.0.2.9", ""), 0);
        tell(&mut engine, &success("bob", "192.0.2.9"), 1);

        assert_eq!(counted(&engine, "192.0.2.9"), (10, 0), "{forgives} {counter:?}");
    }
}

#[test]
fn a_login_read_late_forgives_only_what_was_before_it() {
    let mut engine = engine();
    engine.set_calendar(Calendar::new(secs(300), "2026-11-23T01:05:00Z".parse().unwrap(), TimeZone::UTC));
    let mut past = |line: String| engine.handle_line(Line { past: true, ..live(line.as_bytes()) }, secs(300));
    past(format!("Nov 23 01:02:00 mx1 dovecot: {}", auth("bob", "192.0.2.9", "")));
    past(format!("Nov 23 01:04:00 mx1 dovecot: {}", auth("bob", "192.0.2.9", "")));
    past(format!("Nov 23 01:03:00 mx1 dovecot: {}", success("bob", "192.0.2.9")));
    past(format!("mx1 dovecot: {}", success("bob", "192.0.2.9")));

    assert_eq!(counted(&engine, "192.0.2.9"), (10, 10), "and one without a time forgives nothing");
}

#[test]
fn the_first_login_after_a_ban_by_a_log_is_noted_and_changes_nothing() {
    let mut settings = settings();
    settings.jails[0].forgives = false;
    let mut engine = Engine::new(settings);
    engine.track_changes();
    let logins = |engine: &mut Engine| {
        let notes = engine.take_changes().account.into_iter();
        notes.filter(|note| matches!(note, Note::LoggedIn { .. })).collect::<Vec<_>>()
    };
    tell(&mut engine, &success("bob", "192.0.2.9"), 0);
    tell(&mut engine, &ended("bob", "192.0.2.9", "abc", 3), 1);
    assert_eq!(logins(&mut engine), [], "it came before the ban");

    tell(&mut engine, &success("eve", "192.0.2.8"), 2);
    tell(&mut engine, &success("bob", "192.0.2.9"), 3);
    tell(&mut engine, &success("bob", "192.0.2.9"), 4);

    assert_eq!(logins(&mut engine), [Note::LoggedIn { prefix: prefix("192.0.2.9"), at: secs(3) }]);
    assert_eq!(engine.bans().len(), 1, "the ban stays");

    // Over a restart, while the ban is in force; and when it is over.
    tell(&mut engine, &ended("bob", "192.0.2.7", "abd", 3), 5);
    let memory = Memory {
        bans: engine.take_changes().bans.into_iter().filter_map(|(key, ban)| Some((key, ban?))).collect(),
        ..Memory::default()
    };
    let mut restarted = Engine::new(super::settings());
    restarted.track_changes();
    restarted.restore(Vec::new(), false, memory, secs(6));
    tell(&mut restarted, &success("bob", "192.0.2.7"), 7_000);
    assert_eq!(logins(&mut restarted), [Note::LoggedIn { prefix: prefix("192.0.2.7"), at: secs(7_000) }]);
}
