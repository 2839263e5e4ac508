//! Lines that come again, as `message repeated` and `last message repeated` tell.

use super::*;

#[test]
fn rsyslog_s_repeated_message_counts_as_often_as_it_says() {
    let mut engine = engine();
    engine.handle_line(live(syslog(&format!("mx1 dovecot: {}", failed("192.0.2.9", 1))).as_bytes()), secs(0));
    let again = format!("mx1 dovecot: message repeated 2 times: [ {}]", failed("192.0.2.9", 1));
    engine.handle_line(live(syslog(&again).as_bytes()), secs(1));

    let [ban] = &engine.bans()[..] else { panic!("one ban") };
    assert!(matches!(ban.origin, Origin::Log { attempts, .. } if attempts == Attempts::whole(3)), "{ban:?}");
}

#[test]
fn the_last_message_s_repetition_is_its_host_s_in_its_log() {
    let failure = |host: &str| syslog(&format!("{host} dovecot: {}", failed("192.0.2.9", 1)));
    let other = LogId::new(4);
    let harmless = |host: &str| syslog(&format!("{host} postfix/smtpd[7]: connect from unknown[192.0.2.11]"));
    let again = |text: &str| syslog(text);
    // Lines of logs, and what the last one adds to the first failure.
    for (lines, attempts) in [
        (vec![(LOG, failure("mx1")), (LOG, again("mx1 last message repeated 1 times"))], 2),
        (vec![(LOG, failure("mx1")), (LOG, again("last message repeated 1 time"))], 2),
        (vec![(LOG, failure("mx1")), (LOG, again("mx2 last message repeated 1 times"))], 1),
        (vec![(LOG, failure("mx1")), (other, again("mx1 last message repeated 1 times"))], 1),
        (vec![(LOG, failure("mx1")), (LOG, harmless("mx1")), (LOG, again("mx1 last message repeated 1 times"))], 1),
        (vec![(LOG, failure("mx1")), (LOG, harmless("mx2")), (LOG, again("mx1 last message repeated 1 times"))], 2),
        (vec![(LOG, failure("mx1")), (LOG, harmless("mx2")), (LOG, again("last message repeated 1 times"))], 1),
        (vec![(LOG, failure("mx1")), (other, harmless("mx1")), (LOG, again("mx1 last message repeated 1 times"))], 2),
        (vec![(LOG, failure("mx1")), (LOG, again("mx1 dovecot: last message repeated 9 times"))], 1),
        (vec![(LOG, failure("mx1")), (LOG, again("mx1 dovecot: imap-login: last message repeated 9 times"))], 1),
        (vec![(LOG, failure("mx1")), (LOG, "rubbish".into()), (LOG, again("mx1 last message repeated 1 times"))], 1),
        (vec![(LOG, failure("mx1")), (LOG, again("mx1 last message repeated 0 times"))], 1),
    ] {
        let mut engine = engine();
        for (log, text) in &lines {
            engine.handle_line(Line { log: *log, ..live(text.as_bytes()) }, secs(0));
        }
        assert_eq!(engine.stats().jails[0].attempts, Attempts::whole(attempts), "{lines:?}");
    }
}

#[test]
fn repetitions_repeat_themselves_and_are_bounded() {
    let mut settings = settings();
    settings.jails[0].limits.max_retry = 1_000;
    let mut engine = Engine::new(settings);
    engine.handle_line(live(syslog(&format!("mx1 dovecot: {}", failed("192.0.2.9", 1))).as_bytes()), secs(0));
    for (times, attempts) in [("3", 4), ("5", 9), ("99999999999", 1_009)] {
        let again = syslog(&format!("mx1 last message repeated {times} times"));
        engine.handle_line(live(again.as_bytes()), secs(1));
        assert_eq!(engine.stats().jails[0].attempts, Attempts::whole(attempts));
    }
    engine.handle_line(live(syslog("mx1 last message repeated 9 times").as_bytes()), secs(1));
    assert_eq!(engine.stats().jails[0].attempts, Attempts::whole(1_009), "banned already");
}
