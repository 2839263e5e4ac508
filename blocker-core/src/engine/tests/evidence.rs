//! What a ban was earned by, as it is handed out.

use super::*;

#[test]
fn a_ban_brings_the_lines_that_earned_it_and_none_that_did_not_count() {
    let mut engine = engine();
    line(&mut engine, "192.0.2.9", 2, 0);
    line(&mut engine, "192.0.2.8", 1, 1);
    // Too old when the others come, so that it earns nothing.
    line(&mut engine, "192.0.2.9", 1, 700);
    line(&mut engine, "192.0.2.9", 1, 701);
    line(&mut engine, "192.0.2.9", 1, 702);
    line(&mut engine, "192.0.2.9", 1, 703);

    let banned = banned(&mut engine);
    let [ban] = &banned[..] else { panic!("one ban: {banned:?}") };
    let line = failed_login("192.0.2.9", 1).into_bytes();
    for (told, made, count) in [(&ban.evidence[0], 700, 1), (&ban.evidence[1], 701, 2), (&ban.evidence[2], 702, 3)] {
        assert_eq!((&*told.line, told.user.as_deref()), (&line[..], Some(&b"bob"[..])));
        assert_eq!((&*told.filter, &*told.pattern), ("dovecot", "auth failed"));
        assert_eq!((told.made, told.attempts), (secs(made), Attempts::whole(1)));
        assert_eq!((told.count, told.of), (Attempts::whole(count), 3));
    }
    assert_eq!(ban.evidence.len(), 3);
    assert_eq!(engine.bans()[0].evidence.len(), 0, "the book does not keep them");
}

#[test]
fn a_later_ban_has_lines_of_its_own() {
    let mut engine = engine();
    line(&mut engine, "192.0.2.9", 3, 0);
    engine.handle_timeout(secs(3_600));
    // Within the window of the first, were that not answered.
    unban(&mut engine, &["192.0.2.9"]);
    let at_secs = 3_601;
    line(&mut engine, "192.0.2.9", 2, at_secs);
    unban(&mut engine, &["192.0.2.9"]);
    line(&mut engine, "192.0.2.9", 4, at_secs + 1);

    let banned = banned(&mut engine);
    let counts: Vec<Vec<Attempts>> =
        banned.iter().map(|ban| ban.evidence.iter().map(|told| told.count).collect()).collect();
    assert_eq!(counts, [vec![Attempts::whole(3)], vec![Attempts::whole(4)]]);
}

#[test]
fn of_a_line_that_came_again_the_first_one_is_told() {
    let mut engine = engine();
    let first = failed_login("192.0.2.9", 1);
    engine.handle_line(live(first.as_bytes()), secs(0));
    let again = b"2026-11-23T01:11:34.070638+00:00 mx1 last message repeated 2 times";
    engine.handle_line(live(again), secs(1));

    let banned = banned(&mut engine);
    let told: Vec<(&[u8], Attempts)> = banned[0].evidence.iter().map(|told| (&*told.line, told.attempts)).collect();
    assert_eq!(told, [(first.as_bytes(), Attempts::whole(1)), (first.as_bytes(), Attempts::whole(2))]);
}

#[test]
fn what_was_forgiven_is_no_evidence() {
    let mut settings = settings();
    settings.jails[0].limits.max_retry = 5;
    let mut engine = Engine::new(settings);
    let tell = |engine: &mut Engine, message: &str, at_secs| {
        let line = format!("Nov 23 01:06:25 mx1 dovecot: {message}");
        engine.handle_line(live(line.as_bytes()), secs(at_secs));
    };
    let auth = |user: &str| format!("auth: passwd-file({user},192.0.2.9): Password mismatch");
    let fields = "method=PLAIN, rip=192.0.2.9, lip=203.0.113.1";
    tell(&mut engine, &auth("bob"), 1);
    tell(&mut engine, &auth("alice"), 2);
    // Of two attempts one is forgiven.
    let two = format!(
        "imap-login: Disconnected: Connection closed (auth failed, 2 attempts in 2 secs): user=<bob>, {fields}"
    );
    tell(&mut engine, &two, 3);
    tell(&mut engine, &format!("imap-login: Login: user=<bob>, {fields}, mpid=7, session=<login>"), 4);
    for at_secs in 5..8 {
        tell(&mut engine, &auth("bob"), at_secs);
    }

    let banned = banned(&mut engine);
    let lines = banned[0].evidence.iter().map(|told| (told.made, told.attempts, told.user.as_deref()));
    let (bob, alice) = (Some(&b"bob"[..]), Some(&b"alice"[..]));
    let expected = [(2, 1, alice), (3, 2, bob), (5, 1, bob), (6, 1, bob), (7, 1, bob)];
    assert_eq!(
        lines.collect::<Vec<_>>(),
        expected.map(|(made, attempts, user)| (secs(made), Attempts::whole(attempts), user))
    );
}

#[test]
fn a_ban_by_command_and_one_without_lines_bring_none() {
    let mut engine = engine();
    line(&mut engine, "192.0.2.9", 1, 0);
    ban(&mut engine, "192.0.2.9", None);
    assert_eq!(banned(&mut engine)[0].evidence.len(), 0);

    let mut settings = settings();
    let limits = Limits { max_retry: 1, ..limits() };
    let recidive = JailId::new(5).unwrap();
    settings.jails.push(jail(recidive, "recidive", Some(Filter::Bans), limits));
    engine.reconfigure(settings, secs(1));
    line(&mut engine, "192.0.2.8", 3, 2);
    let banned = banned(&mut engine);
    let [dovecot, recidive] = &banned[..] else { panic!("two bans: {banned:?}") };
    assert_eq!(dovecot.evidence.len(), 1);
    let [told] = &recidive.evidence[..] else { panic!("one") };
    assert_eq!((&*told.line, &*told.filter, &*told.pattern), (&b""[..], "recidive", "ban by dovecot"));
}

fn banned(engine: &mut Engine) -> Vec<BanInfo> {
    let of = |event| if let Event::Banned(ban) = event { Some(ban) } else { None };
    for_people(engine).into_iter().filter_map(of).collect()
}
