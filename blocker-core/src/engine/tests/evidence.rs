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
