//! How much a failure counts.
//!
//! Attempts are counted, not lines: Dovecot writes one line for a whole connection, with the number of attempts in it,
//! and an attempt whose password was never looked at weighs little. So the unit is a tenth of a refused password.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};

use serde::{Serialize, Serializer};

/// A number of attempts in tenths: 1 refused password is `Attempts::whole(1)`, an untested one perhaps `tenths(2)`.
///
/// Arithmetic saturates: a hostile number in a log line can at most mean "very many".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attempts(u32);

impl Attempts {
    /// Nothing: the line counts towards no ban.
    pub const ZERO: Self = Self(0);

    /// `n` refused passwords.
    #[must_use]
    pub const fn whole(n: u32) -> Self {
        Self(n.saturating_mul(10))
    }

    /// `n` tenths of an attempt.
    #[must_use]
    pub const fn tenths(n: u32) -> Self {
        Self(n)
    }

    /// The number in tenths.
    #[must_use]
    pub const fn as_tenths(self) -> u32 {
        self.0
    }

    /// This weight, `n` times.
    #[must_use]
    pub const fn times(self, n: u32) -> Self {
        Self(self.0.saturating_mul(n))
    }

    /// What this weighs more than `other`; nothing if it weighs less.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Whether the line counts for nothing.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl Add for Attempts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Attempts {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Attempts {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 10, self.0 % 10) {
            (whole, 0) => write!(f, "{whole}"),
            (whole, tenths) => write!(f, "{whole}.{tenths}"),
        }
    }
}

impl Serialize for Attempts {
    /// As a JSON number: `3`, or `0.2`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_multiple_of(10) {
            serializer.serialize_u32(self.0 / 10)
        } else {
            serializer.serialize_f64(f64::from(self.0) / 10.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenths_add_up_to_whole_attempts() {
        let sum: Attempts = std::iter::repeat_n(Attempts::tenths(2), 5).sum();

        assert_eq!(sum, Attempts::whole(1));
        assert_eq!((sum + Attempts::tenths(3)).to_string(), "1.3");
    }

    #[test]
    fn a_hostile_count_saturates() {
        assert_eq!(Attempts::whole(u32::MAX) + Attempts::whole(1), Attempts::tenths(u32::MAX));
    }
}
