//! Counting, by hand.

use super::*;

const JAIL: JailId = JailId::MIN;
const OTHER_JAIL: JailId = JailId::MAX;
const WINDOW: Duration = Duration::from_secs(600);

#[test]
fn forgets_failures_older_than_the_window() {
    let mut tracker = Tracker::new(10);
    fail(&mut tracker, 9, 0);
    fail(&mut tracker, 9, 30);

    assert_eq!(fail(&mut tracker, 9, 601), Attempts::whole(2), "the failure at 0 s has left the window");
}

#[test]
fn a_failure_counts_until_the_window_is_over_and_not_at_its_end() {
    let just_before = Timestamp::from_nanos(600_000_000_000 - 1);
    let mut tracker = Tracker::new(10);
    fail(&mut tracker, 9, 0);
    assert_eq!(fail_at(&mut tracker, 9, just_before), Attempts::whole(2));

    let mut tracker = Tracker::new(10);
    fail(&mut tracker, 9, 0);
    assert_eq!(fail(&mut tracker, 9, 600), Attempts::whole(1));
}

#[test]
fn weights_add_up_and_failures_of_one_instant_share_an_entry() {
    let mut tracker = Tracker::new(10);
    for _ in 0..4 {
        let now = Timestamp::from_secs(5);
        tracker.record(JAIL, host(9), Attempts::tenths(2), WINDOW, now, now);
    }

    assert_eq!(fail(&mut tracker, 9, 5), Attempts::tenths(18));
    assert_eq!(tracker.jails[&JAIL].failures[&host(9)].len(), 1);
}

#[test]
fn a_clock_that_goes_backwards_frees_nobody() {
    let mut tracker = Tracker::new(10);
    fail(&mut tracker, 9, 1_000);

    assert_eq!(fail(&mut tracker, 9, 0), Attempts::whole(2));
    assert_eq!(fail(&mut tracker, 9, 1_599), Attempts::whole(3), "the step back counted as 1000 s");
    assert_eq!(fail(&mut tracker, 9, 1_600), Attempts::whole(2));
}

#[test]
fn jails_count_apart() {
    let mut tracker = Tracker::new(10);
    fail(&mut tracker, 9, 0);

    assert_eq!(tracker.record(OTHER_JAIL, host(9), Attempts::whole(1), WINDOW, at(1), at(1)), Attempts::whole(1));
    assert_eq!((tracker.len(), tracker.tracked_by(JAIL)), (2, 1));
    tracker.forget_prefix(host(9));
    assert!(tracker.is_empty());
}

#[test]
fn a_full_tracker_forgets_who_failed_longest_ago_and_counts_it() {
    let mut tracker = Tracker::new(2);
    fail(&mut tracker, 1, 0);
    tracker.record(OTHER_JAIL, host(2), Attempts::whole(1), WINDOW, at(1), at(1));
    fail(&mut tracker, 1, 2);

    fail(&mut tracker, 3, 3);

    assert_eq!((tracker.len(), tracker.forgotten()), (2, 1));
    assert_eq!(tracker.tracked_by(OTHER_JAIL), 0, "its last failure was at 1 s, that of the other at 2 s");
    assert_eq!(fail(&mut tracker, 1, 4), Attempts::whole(3));
}

#[test]
fn a_source_is_purged_when_its_last_failure_leaves_the_window() {
    let mut tracker = Tracker::new(10);
    fail(&mut tracker, 9, 0);
    fail(&mut tracker, 9, 100);

    assert_eq!(tracker.next_purge(), Some(Timestamp::from_secs(700)));
    tracker.purge(Timestamp::from_nanos(699_999_999_999));
    assert_eq!(tracker.len(), 1);
    tracker.purge(Timestamp::from_secs(700));
    assert_eq!((tracker.len(), tracker.next_purge(), tracker.forgotten()), (0, None, 0));
}

#[test]
fn what_comes_out_of_order_counts_from_when_it_was_made() {
    let mut tracker = Tracker::new(10);
    fail(&mut tracker, 9, 1_000);
    let mut past = |made| tracker.record(JAIL, host(9), Attempts::whole(1), WINDOW, at(made), at(1_000));

    assert_eq!(past(500), Attempts::whole(2));
    assert_eq!(past(700), Attempts::whole(3));
    assert_eq!(past(500), Attempts::whole(4));
    assert_eq!(past(400), Attempts::whole(4), "it has left the window");
    assert_eq!(past(2_000), Attempts::whole(5), "nothing was made later than now");

    assert_eq!(fail(&mut tracker, 9, 1_100), Attempts::whole(4), "two of 500 s have left the window");
    assert_eq!(fail(&mut tracker, 9, 1_300), Attempts::whole(4), "that of 700 s too");
}

#[test]
fn a_failure_that_left_the_window_makes_nobody_a_source() {
    let mut tracker = Tracker::new(10);

    assert_eq!(tracker.record(JAIL, host(9), Attempts::whole(1), WINDOW, at(0), at(600)), Attempts::ZERO);
    assert!(tracker.is_empty());
}

#[test]
fn a_source_is_purged_by_its_last_failure_in_whatever_order_they_came() {
    let mut tracker = Tracker::new(10);
    fail(&mut tracker, 9, 300);
    tracker.record(JAIL, host(9), Attempts::whole(1), WINDOW, at(100), at(300));

    assert_eq!(tracker.next_purge(), Some(at(900)));
}

fn fail(tracker: &mut Tracker, n: u8, at_secs: i64) -> Attempts {
    fail_at(tracker, n, at(at_secs))
}

fn fail_at(tracker: &mut Tracker, n: u8, now: Timestamp) -> Attempts {
    tracker.record(JAIL, host(n), Attempts::whole(1), WINDOW, now, now)
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn host(n: u8) -> Prefix {
    Prefix::host([198, 51, 100, n].into())
}

/// As fail2ban would, whose clean-up here forgets whoever has not failed for the window: at once, not at some time.
#[test]
fn an_estimate_goes_down_with_time_and_ends_with_the_window() {
    for (seconds, counts) in [
        (&[0, 599, 600, 601][..], &[1, 2, 3, 4][..]),
        (&[0, 300, 600, 900, 1_200], &[1, 2, 3, 3, 3]),
        (&[0, 0, 0, 500, 650], &[1, 2, 3, 4, 5]),
        (&[0, 590, 595, 599, 1_180, 1_185], &[1, 2, 3, 4, 3, 4]),
        (&[0, 0, 0, 0, 600], &[1, 2, 3, 4, 1]),
        (&[0, 599, 1_199], &[1, 2, 1]),
    ] {
        let mut tracker = Tracker::new(10);
        let counted = seconds.iter().map(|&second| {
            tracker.estimate(JAIL, host(9), Attempts::whole(1), WINDOW, at(second), at(second)).as_tenths() / 10
        });
        assert_eq!(counted.collect::<Vec<_>>(), counts, "{seconds:?}");
    }
}

#[test]
fn an_estimate_goes_on_where_it_was_after_a_restart() {
    let mut tracker = Tracker::new(10);
    let fail = |tracker: &mut Tracker, second| {
        tracker.estimate(JAIL, host(9), Attempts::whole(1), WINDOW, at(second), at(second))
    };
    for second in [0, 0, 0, 500, 650] {
        fail(&mut tracker, second);
    }
    let mut restarted = Tracker::new(10);
    restarted.purge(at(1_100));
    restarted.restore(JAIL, host(9), tracker.failures(JAIL, host(9)).to_vec(), WINDOW);

    assert_eq!(fail(&mut restarted, 1_100), fail(&mut tracker, 1_100));
    assert_eq!(restarted.failures(JAIL, host(9)), tracker.failures(JAIL, host(9)));
    let mut late = Tracker::new(10);
    late.purge(at(1_700));
    late.restore(JAIL, host(9), tracker.failures(JAIL, host(9)).to_vec(), WINDOW);
    assert!(late.is_empty());
}
