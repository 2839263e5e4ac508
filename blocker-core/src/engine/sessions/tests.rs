use super::*;

const JAIL: JailId = JailId::MIN;

#[test]
fn of_two_tellers_counts_who_tells_more_whoever_comes_first() {
    for (tellers, counted) in [
        (&[(Teller::Auth, 10), (Teller::Auth, 10), (Teller::Login, 20)][..], &[10, 10, 0][..]),
        (&[(Teller::Auth, 10), (Teller::Login, 30)], &[10, 20]),
        (&[(Teller::Login, 30), (Teller::Auth, 10), (Teller::Auth, 10)], &[30, 0, 0]),
        (&[(Teller::Login, 10), (Teller::Auth, 10), (Teller::Auth, 10)], &[10, 0, 10]),
        (&[(Teller::Auth, 10), (Teller::Login, 1), (Teller::Auth, 10)], &[10, 0, 10]),
    ] {
        let mut sessions = Sessions::default();
        let tell = |&(teller, tenths)| told(&mut sessions, teller, "one", tenths, 0).attempts.as_tenths();
        assert_eq!(tellers.iter().map(tell).collect::<Vec<_>>(), counted, "{tellers:?}");
    }
}

#[test]
fn other_sessions_other_addresses_and_other_jails_are_other_connections() {
    let mut sessions = Sessions::default();
    let own = failure(Teller::Auth, "one", 10);
    let elsewhere = Failure { addr: IpAddr::from([192, 0, 2, 10]), ..own.clone() };
    let nobodys = Failure { session: None, ..own.clone() };

    assert_eq!(sessions.join(JAIL, own.clone(), at(0)).attempts, Attempts::whole(1));
    for (jail, failure) in
        [(JailId::MAX, own), (JAIL, failure(Teller::Auth, "two", 10)), (JAIL, elsewhere), (JAIL, nobodys.clone())]
    {
        let login =
            Failure { session: failure.session.map(|session| Session { teller: Teller::Login, ..session }), ..failure };
        assert_eq!(sessions.join(jail, login, at(0)).attempts, Attempts::whole(1));
    }
    assert_eq!(
        sessions.join(JAIL, nobodys, at(0)).attempts,
        Attempts::whole(1),
        "nothing tells what it is the same as"
    );
}

#[test]
fn what_a_second_teller_adds_is_nobodys() {
    let mut sessions = Sessions::default();
    assert_eq!(told(&mut sessions, Teller::Auth, "one", 10, 0).forgivable, Attempts::whole(1));
    assert_eq!(told(&mut sessions, Teller::Login, "one", 30, 0).forgivable, Attempts::ZERO);
    assert_eq!(told(&mut sessions, Teller::Auth, "one", 10, 0).forgivable, Attempts::ZERO, "counted already");

    assert_eq!(told(&mut sessions, Teller::Login, "two", 30, 0).forgivable, Attempts::whole(1), "the last one");
    assert_eq!(told(&mut sessions, Teller::Login, "two", 30, 0).forgivable, Attempts::whole(1), "its own last one");
}

#[test]
fn a_connection_is_kept_for_ten_minutes_after_it_was_last_told_of() {
    let mut sessions = Sessions::default();
    told(&mut sessions, Teller::Auth, "one", 10, 0);
    told(&mut sessions, Teller::Auth, "one", 10, 500);
    told(&mut sessions, Teller::Auth, "two", 10, 700);

    assert_eq!(told(&mut sessions, Teller::Login, "one", 20, 1_099).attempts, Attempts::ZERO);
    assert_eq!(
        told(&mut sessions, Teller::Login, "two", 10, 1_300).attempts,
        Attempts::whole(1),
        "too late to be the same"
    );
    told(&mut sessions, Teller::Auth, "three", 10, 9_000);
    assert_eq!((sessions.told.len(), sessions.order.len(), sessions.forgotten()), (1, 1, 0));
}

#[test]
fn no_more_connections_than_the_bound_are_kept_and_who_is_told_of_stays_longest() {
    let mut sessions = Sessions::default();
    for number in 0..MAX_SESSIONS {
        told(&mut sessions, Teller::Auth, &format!("{number}"), 10, 0);
    }
    told(&mut sessions, Teller::Auth, "0", 10, 1);
    for number in 0..10 {
        told(&mut sessions, Teller::Auth, &format!("new {number}"), 10, 2);
    }

    assert_eq!((sessions.told.len(), sessions.order.len(), sessions.forgotten()), (MAX_SESSIONS, MAX_SESSIONS, 10));
    assert_eq!(told(&mut sessions, Teller::Login, "0", 20, 3).attempts, Attempts::ZERO);
    assert_eq!(told(&mut sessions, Teller::Login, "1", 10, 3).attempts, Attempts::whole(1), "forgotten");
}

#[test]
fn what_single_tries_were_told_before_a_restart_is_joined_with_the_line_after_it() {
    let (mut before, mut after) = (Sessions::default(), Sessions::default());
    for sessions in [&mut before, &mut after] {
        sessions.set_key(HashKey::new([7; 16]));
        sessions.touched.begin();
    }
    told(&mut before, Teller::Auth, "one", 10, 0);
    told(&mut before, Teller::Auth, "one", 10, 1);
    told(&mut before, Teller::Login, "ended", 30, 1);
    let keys = before.touched.take().unwrap();
    let remembered: Vec<_> = keys.into_iter().filter_map(|key| Some((key, before.told(key)?))).collect();
    assert_eq!(remembered, before.all().collect::<Vec<_>>(), "of what has ended nothing is to come");
    assert_eq!(remembered.len(), 1);

    after.restore(remembered, at(2));

    assert_eq!(after.touched.take().unwrap().len(), 1);
    assert_eq!(told(&mut after, Teller::Login, "one", 30, 600).attempts, Attempts::whole(1));
}

#[test]
fn of_what_is_remembered_no_more_than_the_bound_is_taken_back_and_the_rest_is_told_to_be_gone() {
    let mut sessions = Sessions::default();
    sessions.touched.begin();
    let told = |last| ToldSession { last: at(last), login: Attempts::ZERO, auth: Attempts::whole(1) };
    let remembered = (0..MAX_SESSIONS + 10).map(|hash| ((JAIL, hash as u64), told(hash as i64)));

    sessions.restore(remembered.collect(), at(5));

    assert!(sessions.told.len() <= MAX_SESSIONS && sessions.order.len() == sessions.told.len());
    let touched = sessions.touched.take().unwrap();
    assert!((0..10).map(|hash| (JAIL, hash)).all(|key| touched.contains(&key) && sessions.told(key).is_none()));
    assert_eq!(sessions.told((JAIL, 20)).unwrap().last, at(5), "never later than now");
}

fn told(sessions: &mut Sessions, teller: Teller, session: &str, tenths: u32, second: i64) -> Failure<'static> {
    let Failure { attempts, forgivable, .. } = sessions.join(JAIL, failure(teller, session, tenths), at(second));
    Failure { attempts, forgivable, session: None, ..failure(teller, "", tenths) }
}

fn failure(teller: Teller, session: &str, tenths: u32) -> Failure<'_> {
    Failure {
        addr: IpAddr::from([192, 0, 2, 9]),
        user: None,
        attempts: Attempts::tenths(tenths),
        forgivable: Attempts::tenths(tenths.min(10)),
        span: Duration::ZERO,
        session: Some(Session { id: session.as_bytes(), teller }),
        service: "imap".into(),
        pattern: "auth failed".into(),
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(seconds)
}
