//! Which entries of a table have changed since somebody last asked: what a store has to be told.
//!
//! Only the keys are kept; the values are read when they are asked for, so that all of them are of one instant however
//! often each has changed. A table that nobody asks about keeps nothing.

use std::collections::BTreeSet;

/// Most keys kept: beyond it everything counts as changed. 262,144 of about 40 bytes are 10 MiB, reached only when the
/// store takes nothing for a long time.
pub const MAX_TOUCHED: usize = 262_144;

/// The keys of the entries that have changed, been added or been removed.
#[derive(Debug, Default)]
pub(crate) enum Touched<K> {
    /// Nobody asks.
    #[default]
    Untold,
    /// These.
    Keys(BTreeSet<K>),
    /// Too many to name.
    All,
}

impl<K: Ord> Touched<K> {
    /// Begins to keep keys, everything counting as told.
    pub(crate) fn begin(&mut self) {
        *self = Self::Keys(BTreeSet::new());
    }

    /// Has everything count as changed.
    pub(crate) fn touch_all(&mut self) {
        match self {
            Self::Untold => {}
            Self::Keys(_) | Self::All => *self = Self::All,
        }
    }

    /// Notes that an entry has changed.
    pub(crate) fn touch(&mut self, key: K) {
        match self {
            Self::Untold | Self::All => {}
            Self::Keys(keys) => {
                if keys.len() < MAX_TOUCHED || keys.contains(&key) {
                    keys.insert(key);
                } else {
                    *self = Self::All;
                }
            }
        }
    }

    /// How many keys are kept; [`MAX_TOUCHED`] if there are too many to name.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Untold => 0,
            Self::Keys(keys) => keys.len(),
            Self::All => MAX_TOUCHED,
        }
    }

    /// The keys; `None` for all there are. From here on they count as told.
    pub(crate) fn take(&mut self) -> Option<BTreeSet<K>> {
        match self {
            Self::Untold => Some(BTreeSet::new()),
            Self::Keys(keys) => Some(std::mem::take(keys)),
            Self::All => {
                self.begin();
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_told_once() {
        let mut touched = Touched::default();
        touched.touch(1);
        assert_eq!(touched.take(), Some(BTreeSet::new()), "nobody had asked");

        touched.begin();
        for key in [2, 1, 2] {
            touched.touch(key);
        }
        assert_eq!(touched.take(), Some(BTreeSet::from([1, 2])));
        assert_eq!(touched.take(), Some(BTreeSet::new()));
    }

    #[test]
    fn too_many_keys_are_everything() {
        let mut touched = Touched::default();
        touched.begin();
        for key in 0..=MAX_TOUCHED {
            touched.touch(key);
        }
        touched.touch(7);

        assert_eq!(touched.len(), MAX_TOUCHED);
        assert_eq!(touched.take(), None);
        touched.touch(7);
        assert_eq!(touched.take(), Some(BTreeSet::from([7])));
    }
}
