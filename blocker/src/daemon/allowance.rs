//! How many single failures may be told in the log: an attacker causes any number of them.

use std::time::{Duration, Instant};

/// Failures that are told in a second, in the long run.
const PER_SECOND: u32 = 100;

/// Failures that may be told at once after a quiet time.
pub(super) const MOST: u32 = 1_000;

/// So many must be allowed before any is wanted: a batch of lines has hundreds, and those in it that are not told are put together
/// in vain.
const LEAST: u32 = 20;

/// How often it is said that some were left out.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// What may still be told.
#[derive(Debug)]
pub(super) struct Allowance {
    left: u32,
    filled: Instant,
    left_out: u64,
    /// Of those left out, how many have been told of, and when last.
    said: (u64, Option<Instant>),
}

impl Allowance {
    pub(super) fn new(now: Instant) -> Self {
        Self { left: MOST, filled: now, left_out: 0, said: (0, None) }
    }

    /// Whether some failures can be told.
    pub(super) fn has_some(&mut self, now: Instant) -> bool {
        let earned = now.saturating_duration_since(self.filled).as_secs_f64() * f64::from(PER_SECOND);
        if earned >= 1.0 {
            // Rounded down and bounded: it fits.
            self.left = self.left.saturating_add(earned.min(f64::from(MOST)) as u32).min(MOST);
            self.filled = now;
        }
        self.left >= LEAST
    }

    /// Takes leave to tell one; else it counts as left out.
    pub(super) fn take(&mut self) -> bool {
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                true
            }
            None => {
                self.left_out += 1;
                false
            }
        }
    }

    /// How many were left out since this was last said, if it is time to say it; `besides` that many that never came here.
    pub(super) fn due(&mut self, besides: u64, now: Instant) -> Option<u64> {
        let left_out = self.left_out + besides;
        let (said, when) = self.said;
        if left_out == said || when.is_some_and(|when| now.saturating_duration_since(when) < SAY_EVERY) {
            return None;
        }
        self.said = (left_out, Some(now));
        Some(left_out - said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_are_told_at_once_and_then_so_many_in_a_second_and_the_others_are_counted() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        let mut told = |from: Duration| {
            assert!(allowance.has_some(start + from));
            (0..10_000).filter(|_| allowance.take()).count()
        };
        assert_eq!(told(Duration::ZERO), 1_000);
        assert_eq!(told(Duration::from_secs(1)), 100);
        assert_eq!(told(Duration::from_millis(1_500)), 50);
        assert_eq!(told(Duration::from_secs(1_000)), 1_000);

        assert!(!allowance.has_some(start + Duration::from_millis(1_000_100)), "ten are too few for a batch");
        let late = start + Duration::from_secs(1_001);
        assert_eq!(allowance.due(7, late), Some(4 * 10_000 - 2_150 + 7));
        assert_eq!(allowance.due(8, late + Duration::from_secs(9)), None);
        assert_eq!(allowance.due(8, late + Duration::from_secs(10)), Some(1));
        assert_eq!(allowance.due(8, late + Duration::from_secs(30)), None, "nothing new");
    }
}
