//! Which entries of a table have changed since somebody last asked: what a store has to be told.
//!
//! Only the keys are kept, in the order in which they changed; the values are read when they are asked for, so that all of
//! them are of one instant however often each has changed. A table that nobody asks about keeps nothing.

/// Most keys kept: beyond it everything counts as changed. Twice 262,144, each once more before it is noticed, of about 20
/// bytes are 10 MiB, reached only when the store takes nothing for a long time.
pub const MAX_TOUCHED: usize = 262_144;

/// The keys of the entries that have changed, been added or been removed.
#[derive(Debug, Default)]
pub(crate) enum Touched<K> {
    /// Nobody asks.
    #[default]
    Untold,
    /// These, some perhaps several times; at most twice [`MAX_TOUCHED`].
    Keys(Vec<K>),
    /// Too many to name.
    All,
}

impl<K: Copy + Ord> Touched<K> {
    /// Begins to keep keys, everything counting as told.
    pub(crate) fn begin(&mut self) {
        *self = Self::Keys(Vec::new());
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
        let Self::Keys(keys) = self else { return };
        if keys.last() == Some(&key) {
            return;
        }
        keys.push(key);
        if keys.len() == 2 * MAX_TOUCHED {
            once_each(keys);
            if keys.len() > MAX_TOUCHED {
                *self = Self::All;
            }
        }
    }

    /// Whether somebody asks.
    pub(crate) fn is_on(&self) -> bool {
        match self {
            Self::Untold => false,
            Self::Keys(_) | Self::All => true,
        }
    }

    /// How many keys are kept, one that changed several times perhaps counted as often; [`MAX_TOUCHED`] if there are too many
    /// to name.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Untold => 0,
            Self::Keys(keys) => keys.len(),
            Self::All => MAX_TOUCHED,
        }
    }

    /// The keys in order, each once; `None` for all there are. From here on they count as told.
    pub(crate) fn take(&mut self) -> Option<Vec<K>> {
        match self {
            Self::Untold => Some(Vec::new()),
            Self::Keys(keys) => {
                let mut keys = std::mem::take(keys);
                once_each(&mut keys);
                Some(keys)
            }
            Self::All => {
                self.begin();
                None
            }
        }
    }
}

fn once_each<K: Ord>(keys: &mut Vec<K>) {
    keys.sort_unstable();
    keys.dedup();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_told_once() {
        let mut touched = Touched::default();
        touched.touch(1);
        assert_eq!(touched.take(), Some(Vec::new()), "nobody had asked");

        touched.begin();
        for key in [2, 1, 2, 2] {
            touched.touch(key);
        }
        assert_eq!(touched.take(), Some(vec![1, 2]));
        assert_eq!(touched.take(), Some(Vec::new()));
    }

    #[test]
    fn too_many_keys_are_everything() {
        let mut touched = Touched::default();
        touched.begin();
        for key in 0..2 * MAX_TOUCHED {
            touched.touch(key);
        }
        touched.touch(7);

        assert_eq!(touched.len(), MAX_TOUCHED);
        assert_eq!(touched.take(), None);
        touched.touch(7);
        assert_eq!(touched.take(), Some(vec![7]));
    }

    #[test]
    fn few_keys_that_change_without_end_are_not_everything() {
        let mut touched = Touched::default();
        touched.begin();
        for change in 0..5 * MAX_TOUCHED {
            touched.touch(change % 3);
            assert!(touched.len() < 2 * MAX_TOUCHED);
        }

        assert_eq!(touched.take(), Some(vec![0, 1, 2]));
    }
}
