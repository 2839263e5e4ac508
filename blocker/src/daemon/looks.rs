//! When interfaces, addresses and routes are looked at again.
//!
//! A minute after the last look, for what may have changed unnoticed; a second after it if something has changed; and after
//! a look that failed at growing intervals, so that a machine that was too slow for a moment is not without protection for
//! a minute, nor one that always is busy with looking.

use std::time::{Duration, Instant};

/// From one look to the next if nothing happens.
const EVERY: Duration = Duration::from_secs(60);

/// And no sooner than this, however much happens: a look takes milliseconds, in which no line is judged. Also how long it
/// takes after the first failure; each further one in a row doubles it, up to [`EVERY`].
const AFTER: Duration = Duration::from_secs(1);

/// When to look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Looks {
    last: Instant,
    has_changed: bool,
    /// Failures in a row.
    failures: u32,
}

impl Looks {
    /// The first look is at `now`.
    pub(super) fn begin(now: Instant) -> Self {
        Self { last: now, has_changed: false, failures: 0 }
    }

    /// Something has changed since the last look.
    pub(super) fn note_change(&mut self) {
        self.has_changed = true;
    }

    /// A look begins; what happens from now on is for the next one.
    pub(super) fn look(&mut self, now: Instant) {
        self.last = now;
        self.has_changed = false;
    }

    /// Whether the look that began last found out all it wanted.
    pub(super) fn end(&mut self, is_complete: bool) {
        self.failures = if is_complete { 0 } else { self.failures.saturating_add(1) };
    }

    /// How long until the next one is due.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        let interval = match (self.has_changed, self.failures) {
            (true, _) => AFTER,
            (false, 0) => EVERY,
            (false, failures) => AFTER.saturating_mul(1 << (failures - 1).min(u32::BITS - 1)).min(EVERY),
        };
        interval.saturating_sub(now.saturating_duration_since(self.last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn it_is_looked_every_minute_and_a_second_after_a_change() {
        let start = Instant::now();
        let mut looks = Looks::begin(start);
        looks.look(start);
        looks.end(true);
        assert_eq!(looks.wait(start), secs(60));
        assert_eq!(looks.wait(start + secs(61)), Duration::ZERO);

        looks.note_change();
        assert_eq!(looks.wait(start), secs(1));
        assert_eq!(looks.wait(start + secs(2)), Duration::ZERO);

        looks.look(start + secs(2));
        assert_eq!(looks.wait(start + secs(2)), secs(60), "the change was looked at");
    }

    #[test]
    fn after_failures_it_is_looked_again_at_growing_intervals() {
        let mut now = Instant::now();
        let mut looks = Looks::begin(now);
        let mut waits = Vec::new();
        for _ in 0..9 {
            looks.look(now);
            looks.end(false);
            waits.push(looks.wait(now).as_secs());
            now += looks.wait(now);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);

        looks.note_change();
        assert_eq!(looks.wait(now - secs(60)), secs(1), "a change may have mended it");
        looks.look(now);
        looks.end(true);
        assert_eq!(looks.wait(now), secs(60));
        looks.look(now);
        looks.end(false);
        assert_eq!(looks.wait(now), secs(1), "it begins anew");
    }

    #[test]
    fn no_number_of_failures_is_too_large() {
        let now = Instant::now();
        let looks = Looks { last: now, has_changed: false, failures: u32::MAX };

        assert_eq!(looks.wait(now), secs(60));
    }
}
