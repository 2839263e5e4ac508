//! Longer bans, and fewer tries, for who was banned before.
//!
//! Only how long, and how many: who was banned before is known to [`History`].

mod formula;
mod history;

use std::time::Duration;

use crate::time::BanTime;

pub use formula::{Formula, InvalidFormula, MAX_FORMULA_BYTES, Values};
pub use history::{Earlier, History, MAX_HISTORY};

/// How bans grow with earlier ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Escalation {
    /// By what.
    pub growth: Growth,
    /// A factor for what [`Escalation::growth`] says.
    pub factor: Factor,
    /// The longest ban that comes of it, before [`Escalation::random`].
    pub max_time: Option<Duration>,
    /// A part of this, by chance, is added: who waits for the end of a ban cannot know when it is.
    pub random: Duration,
}

/// A number above 0 with at most three decimals, up to [`Factor::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Factor(u32);

impl Factor {
    /// One.
    pub const ONE: Self = Self(1_000);

    /// The largest: a million.
    pub const MAX: Self = Self(1_000_000_000);

    /// The factor nearest to `number`; `None` if that is none, or has more decimals.
    #[must_use]
    pub fn new(number: f64) -> Option<Self> {
        let thousandths = (number * 1_000.0).round();
        let is_one = (1.0..=f64::from(Self::MAX.0)).contains(&thousandths);
        // Whole and within the range of a u32 by then.
        (is_one && (thousandths - number * 1_000.0).abs() < 1e-3).then_some(Self(thousandths as u32))
    }

    /// As a number.
    #[must_use]
    pub fn number(self) -> f64 {
        f64::from(self.0) / 1_000.0
    }
}

/// By what bans grow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Growth {
    /// The jail's ban time, doubled for each earlier ban, up to 20 of them.
    Doubling,
    /// The jail's ban time times the number at the place of the number of earlier bans, counted from 0; the last one for
    /// more. At least one.
    Multipliers(Vec<Factor>),
    /// What a formula comes to, in seconds, but no less than the jail's ban time.
    Formula(Formula),
}

/// Most numbers of [`Growth::Multipliers`].
pub const MAX_MULTIPLIERS: usize = 64;

/// Earlier bans beyond this make no difference to [`Growth::Doubling`]: 2^20 times ten minutes are twenty years.
const MAX_DOUBLINGS: u32 = 20;

/// The longest ban that is not forever: 200 years, as for a configured one.
const MAX_SECS: f64 = 200.0 * 365.0 * 86_400.0;

impl Escalation {
    /// How long a ban lasts that would last `base` by itself, after `earlier` bans. `random` is from 0 up to 1.
    ///
    /// The first ban lasts `base`: a multiplier, a factor and the dice are for who comes back. A formula without a result
    /// leaves the ban as it is.
    #[must_use]
    pub fn ban_time(&self, base: BanTime, earlier: u32, random: f64) -> BanTime {
        let BanTime::For(span) = base else { return base };
        if earlier == 0 {
            return base;
        }
        let (secs, factor) = (span.as_secs_f64(), self.factor.number());
        let grown = match &self.growth {
            Growth::Doubling => (secs * f64::from(1_u32 << earlier.min(MAX_DOUBLINGS)) * factor).max(secs),
            Growth::Multipliers(multipliers) => {
                let place = usize::try_from(earlier).unwrap_or(usize::MAX).min(multipliers.len().saturating_sub(1));
                secs * factor * multipliers.get(place).map_or(1.0, |multiplier| multiplier.number())
            }
            Growth::Formula(formula) => {
                let values = Values { time: secs, count: f64::from(earlier), factor, random };
                formula.result(values).map_or(secs, |result| result.max(secs))
            }
        };
        let bounded = self.max_time.map_or(grown, |max| grown.min(max.as_secs_f64()));
        let secs = (bounded + random * self.random.as_secs_f64()).clamp(1.0, MAX_SECS);
        BanTime::For(Duration::from_secs_f64(secs))
    }
}

/// How many of `max_retry` tries are left to who was banned `earlier` times: half for each, and at least one.
#[must_use]
pub fn tries_left(max_retry: u32, earlier: u32) -> u32 {
    (max_retry >> earlier.min(31)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escalation(growth: Growth) -> Escalation {
        Escalation { growth, factor: Factor::ONE, max_time: None, random: Duration::ZERO }
    }

    fn factor(number: f64) -> Factor {
        Factor::new(number).unwrap()
    }

    #[test]
    fn a_factor_is_above_nothing_and_has_three_decimals() {
        for (number, is_one) in [
            (0.001, true),
            (1.5, true),
            (1e6, true),
            (0.0, false),
            (-1.0, false),
            (1e7, false),
            (0.0005, false),
            (f64::NAN, false),
        ] {
            assert_eq!(Factor::new(number).map(Factor::number), is_one.then_some(number), "{number}");
        }
    }

    /// The bans after 1, 2, 3 … earlier ones, in seconds.
    fn secs(escalation: &Escalation, base: u64, bans: u32) -> Vec<u64> {
        let base = BanTime::For(Duration::from_secs(base));
        let span = |earlier| match escalation.ban_time(base, earlier, 0.5) {
            BanTime::For(span) => span.as_secs(),
            BanTime::Forever => 0,
        };
        (1..=bans).map(span).collect()
    }

    /// Figures that fail2ban gives for the same settings.
    #[test]
    fn bans_grow_as_they_do_in_fail2ban() {
        let doubling = escalation(Growth::Doubling);
        assert_eq!(secs(&doubling, 600, 7), [1200, 2400, 4800, 9600, 19200, 38400, 76800]);
        assert_eq!(secs(&doubling, 600, 25)[19..], [629_145_600; 6]);
        assert_eq!(secs(&Escalation { factor: factor(2.0), ..doubling.clone() }, 600, 3), [2400, 4800, 9600]);
        assert_eq!(secs(&Escalation { factor: factor(0.25), ..doubling.clone() }, 600, 4), [600, 600, 1200, 2400]);
        let max_time = Some(Duration::from_secs(300));
        assert_eq!(secs(&Escalation { max_time, ..doubling }, 600, 2), [300, 300], "a longest time goes before all");

        let list = [1.0, 5.0, 30.0, 60.0, 300.0, 720.0, 1440.0, 2880.0].map(factor).to_vec();
        assert_eq!(
            secs(&escalation(Growth::Multipliers(list)), 60, 8),
            [300, 1800, 3600, 18000, 43200, 86400, 172_800, 172_800]
        );
    }

    #[test]
    fn the_first_ban_and_one_for_ever_are_as_configured() {
        let dice = Escalation { random: Duration::from_secs(60), factor: factor(3.0), ..escalation(Growth::Doubling) };
        let base = BanTime::For(Duration::from_secs(600));

        assert_eq!(dice.ban_time(base, 0, 0.5), base);
        assert_eq!(dice.ban_time(BanTime::Forever, 7, 0.5), BanTime::Forever);
        assert_eq!(dice.ban_time(base, 1, 0.5), BanTime::For(Duration::from_secs(3630)), "half of the dice on top");
    }

    #[test]
    fn whatever_a_formula_says_a_ban_is_neither_shorter_nor_endless() {
        for (text, expected) in [("1", 600), ("0 - time", 600), ("1 / 0", 600), ("exp(700)", 6_307_200_000)] {
            let formula = escalation(Growth::Formula(Formula::parse(text).unwrap()));
            assert_eq!(secs(&formula, 600, 1), [expected], "{text}");
        }
    }

    #[test]
    fn who_comes_back_has_half_the_tries_each_time() {
        let left: Vec<u32> = (0..5).map(|earlier| tries_left(5, earlier)).collect();
        assert_eq!(left, [5, 2, 1, 1, 1]);
        assert_eq!(tries_left(1000, u32::MAX), 1);
    }
}
