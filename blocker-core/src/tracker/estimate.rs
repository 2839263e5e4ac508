//! Counting as fail2ban does it, for who depends on its results.
//!
//! Of each source there are three numbers: when its first failure was, its last, and how many there have been. When a failure
//! comes and the first is longer ago than the window, the number is scaled down to the window, as if the failures had been
//! spread evenly, and the first is moved to the window's beginning. That may count more than the window has, and less: see
//! the cases in the tests.
//!
//! Kept as a list of failures, which is what a store holds, it is the first without weight and then the last with all of
//! it; or one alone while both are the same.

use std::time::Duration;

use super::Tries;
use crate::attempts::Attempts;
use crate::time::Timestamp;

/// What is known of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Estimate {
    first: Timestamp,
    last: Timestamp,
    count: Attempts,
}

impl Estimate {
    /// Of one failure.
    pub(super) fn new(at: Timestamp, attempts: Attempts) -> Self {
        Self { first: at, last: at, count: attempts }
    }

    /// What a list holds; of one that was counted exactly, all that is in it.
    pub(super) fn of(list: &[Tries]) -> Option<Self> {
        let (first, last) = (list.first()?.at, list.last()?.at);
        Some(Self { first, last, count: list.iter().map(|tries| tries.attempts).sum() })
    }

    /// The list that holds it.
    pub(super) fn list(self) -> Vec<Tries> {
        let Self { first, last, count } = self;
        let last = Tries::nobodys(last, count);
        if first == last.at { vec![last] } else { vec![Tries::nobodys(first, Attempts::ZERO), last] }
    }

    /// The same and a failure at `at`. One that is older than the last counts, and moves nothing.
    #[must_use]
    pub(super) fn add(self, at: Timestamp, attempts: Attempts, window: Duration) -> Self {
        let Self { mut first, mut last, mut count } = self;
        if at > last {
            let begin = at.saturating_sub(window);
            if first < begin {
                count = scaled(count, at.saturating_since(first), window);
                first = begin;
            }
            last = at;
        }
        Self { first, last, count: count + attempts }
    }

    pub(super) fn count(self) -> Attempts {
        self.count
    }
}

/// How many of `count` within `span` fall into `window`, rounded as Python does: halves to the even. Whole attempts stay whole.
fn scaled(count: Attempts, span: Duration, window: Duration) -> Attempts {
    let in_window = |number: f64| (number / span.as_secs_f64() * window.as_secs_f64()).round_ties_even();
    let tenths = count.as_tenths();
    // No more than there were, which is the range of a u32.
    if tenths.is_multiple_of(10) {
        Attempts::whole(in_window(f64::from(tenths / 10)) as u32)
    } else {
        Attempts::tenths(in_window(f64::from(tenths)) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(600);

    /// The counts after one failure each at these seconds, none ever forgotten.
    fn counts(seconds: &[i64], window: Duration) -> Vec<u32> {
        let mut estimate: Option<Estimate> = None;
        let counts = seconds.iter().map(|&second| {
            let (at, one) = (Timestamp::from_secs(second), Attempts::whole(1));
            let next = estimate.map_or_else(|| Estimate::new(at, one), |known| known.add(at, one, window));
            // As a store would hold it in between.
            estimate = Estimate::of(&next.list());
            assert_eq!(estimate, Some(next));
            next.count().as_tenths() / 10
        });
        counts.collect()
    }

    /// What fail2ban itself counts, without its clean-up in between.
    #[test]
    fn the_counts_are_those_of_fail2ban() {
        for (seconds, expected) in [
            (&[0, 599, 600, 601][..], &[1, 2, 3, 4][..]),
            (&[0, 601], &[1, 2]),
            (&[0, 900], &[1, 2]),
            (&[0, 1200], &[1, 1]),
            (&[0, 300, 600, 900, 1200], &[1, 2, 3, 3, 3]),
            (&[0, 0, 0, 0, 1000], &[1, 2, 3, 4, 3]),
            (&[0, 0, 0, 0, 0, 1500], &[1, 2, 3, 4, 5, 3]),
            (&[0, 100, 200, 300, 400, 900], &[1, 2, 3, 4, 5, 4]),
            (&[0, 0, 0, 500, 650], &[1, 2, 3, 4, 5]),
            (&[0, 0, 0, 0, 601], &[1, 2, 3, 4, 5]),
            (&[0, 590, 595, 599, 1180, 1185], &[1, 2, 3, 4, 3, 4]),
        ] {
            assert_eq!(counts(seconds, WINDOW), expected, "{seconds:?}");
        }
    }

    /// The limits of the how-to: ten failures within 1200 s.
    #[test]
    fn how_often_somebody_may_fail_without_end_is_what_it_is_in_fail2ban() {
        let most = |step: usize| {
            let seconds: Vec<i64> = (0..40_000).step_by(step).collect();
            counts(&seconds, Duration::from_secs(1_200)).into_iter().max()
        };

        assert_eq!((most(133), most(150), most(200)), (Some(10), Some(9), Some(7)));
    }

    #[test]
    fn what_is_older_than_the_last_counts_and_moves_nothing() {
        let estimate = Estimate::new(Timestamp::from_secs(1_000), Attempts::whole(1));
        let late = estimate.add(Timestamp::from_secs(10), Attempts::tenths(2), WINDOW);

        assert_eq!(late, Estimate { count: Attempts::tenths(12), ..estimate });
        let next = late.add(Timestamp::from_secs(2_000), Attempts::tenths(1), WINDOW);
        assert_eq!(next.count(), Attempts::tenths(8), "0.72 of 1.2, and a tenth");
    }
}
