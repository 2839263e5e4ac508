//! How far each source has read its journal, with all of it judged: for the store, and for readers that begin.
//!
//! One place a source, and no more sources than jails: as many as are wanted are kept, the others forgotten.

use std::collections::BTreeMap;

use crate::source::JournalMark;

/// The places of all sources, by what these are called.
#[derive(Debug, Default)]
pub(super) struct Cursors {
    places: BTreeMap<String, Place>,
    /// Whether the store is to be told everything.
    all: bool,
    /// Whether a source has begun for the first time: before that is told, a crash would have it begin at the end again.
    is_urgent: bool,
}

#[derive(Debug)]
struct Place {
    mark: JournalMark,
    /// Whether the store has not been told.
    is_changed: bool,
}

impl Cursors {
    /// What the store remembers, which it need not be told.
    pub(super) fn new(loaded: BTreeMap<String, JournalMark>) -> Self {
        let place = |mark| Place { mark, is_changed: false };
        Self { places: loaded.into_iter().map(|(name, mark)| (name, place(mark))).collect(), ..Self::default() }
    }

    /// Where a source was left; `None` if it never ran.
    pub(super) fn mark(&self, name: &str) -> Option<JournalMark> {
        self.places.get(name).map(|place| place.mark.clone())
    }

    /// All that a source was given up to `mark` has been judged.
    pub(super) fn note(&mut self, name: &str, mark: JournalMark) {
        match self.places.get_mut(name) {
            Some(place) => *place = Place { mark, is_changed: true },
            None => {
                self.places.insert(name.to_owned(), Place { mark, is_changed: true });
                self.is_urgent = true;
            }
        }
    }

    /// Forgets all sources but these.
    pub(super) fn retain(&mut self, is_kept: impl Fn(&str) -> bool) {
        let before = self.places.len();
        self.places.retain(|name, _| is_kept(name));
        self.all |= self.places.len() < before;
    }

    /// Has everything told anew.
    pub(super) fn touch_all(&mut self) {
        self.all = true;
    }

    /// Whether it should be told at once.
    pub(super) fn is_urgent(&self) -> bool {
        self.is_urgent
    }

    /// How much is to be told.
    pub(super) fn changed(&self) -> usize {
        self.places.values().filter(|place| place.is_changed).count() + usize::from(self.all)
    }

    /// What is to be told, and whether that is all there is; from here on it is told.
    pub(super) fn take(&mut self) -> (Vec<(String, JournalMark)>, bool) {
        let all = std::mem::take(&mut self.all);
        self.is_urgent = false;
        let mut told = Vec::new();
        for (name, place) in &mut self.places {
            if std::mem::take(&mut place.is_changed) || all {
                told.push((name.clone(), place.mark.clone()));
            }
        }
        (told, all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_told_once_and_only_the_last() {
        let mut cursors = Cursors::new(BTreeMap::from([("b".to_owned(), behind("s=1;i=1"))]));
        assert_eq!((cursors.changed(), cursors.mark("a")), (0, None));

        cursors.note("a", JournalMark::Beginning);
        assert!(cursors.is_urgent());
        cursors.note("a", behind("s=1;i=2"));

        assert_eq!(cursors.take(), (vec![("a".to_owned(), behind("s=1;i=2"))], false));
        assert_eq!((cursors.changed(), cursors.is_urgent(), cursors.take()), (0, false, (vec![], false)));
        cursors.note("b", behind("s=1;i=3"));
        assert!(!cursors.is_urgent(), "it was known");
        assert_eq!(cursors.mark("b"), Some(behind("s=1;i=3")));
    }

    #[test]
    fn a_source_that_is_gone_is_forgotten() {
        let loaded = ["a", "b"].map(|name| (name.to_owned(), behind("s=1;i=1")));
        let mut cursors = Cursors::new(BTreeMap::from(loaded));
        cursors.retain(|_| true);
        assert_eq!(cursors.changed(), 0);

        cursors.retain(|name| name == "a");

        assert_eq!(cursors.changed(), 1);
        assert_eq!(cursors.take(), (vec![("a".to_owned(), behind("s=1;i=1"))], true));
        assert_eq!(cursors.mark("b"), None);
    }

    fn behind(cursor: &str) -> JournalMark {
        JournalMark::Behind(cursor.to_owned())
    }
}
