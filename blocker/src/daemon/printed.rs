//! What commands have printed, with all of it judged: for the store, and for commands that are begun.
//!
//! Of each line a hash, in pieces of [`PIECE_LINES`], so that the store is told only of pieces that have changed.

use std::collections::{BTreeMap, VecDeque};

use crate::source::MAX_PRINTED;
use crate::store::PrintedPiece;

/// Lines of a piece: 4 KiB, a page of the database.
const PIECE_LINES: usize = 512;

/// What each command has printed, by what it is called.
#[derive(Debug, Default)]
pub(super) struct Printed {
    /// The youngest pieces at the end, numbered without gaps.
    sources: BTreeMap<String, VecDeque<Piece>>,
    /// Whether the store is to be told everything.
    all: bool,
}

#[derive(Debug)]
struct Piece {
    number: i64,
    lines: Vec<u64>,
    /// Whether the store has not been told.
    is_changed: bool,
}

impl Printed {
    /// What the store remembers, which it need not be told.
    pub(super) fn new(loaded: BTreeMap<String, Vec<PrintedPiece>>) -> Self {
        let piece = |PrintedPiece { number, lines }| Piece { number, lines, is_changed: false };
        let pieces = |pieces: Vec<PrintedPiece>| pieces.into_iter().map(piece).collect();
        Self { sources: loaded.into_iter().map(|(name, told)| (name, pieces(told))).collect(), all: false }
    }

    /// The lines that a command has printed, the youngest last.
    pub(super) fn lines(&self, name: &str) -> Vec<u64> {
        self.sources.get(name).into_iter().flatten().flat_map(|piece| piece.lines.iter().copied()).collect()
    }

    /// A command has printed these lines, and they have been judged.
    pub(super) fn note(&mut self, name: &str, lines: &[u64]) {
        if lines.is_empty() {
            return;
        }
        if !self.sources.contains_key(name) {
            self.sources.insert(name.to_owned(), VecDeque::new());
        }
        let Some(pieces) = self.sources.get_mut(name) else { return };
        for &line in lines {
            if pieces.back().is_none_or(|piece| piece.lines.len() >= PIECE_LINES) {
                let number = pieces.back().map_or(0, |piece| piece.number + 1);
                pieces.push_back(Piece { number, lines: Vec::with_capacity(PIECE_LINES), is_changed: true });
                // The first only when the others are enough.
                if pieces.len() > MAX_PRINTED / PIECE_LINES + 1 {
                    pieces.pop_front();
                }
            }
            if let Some(piece) = pieces.back_mut() {
                piece.lines.push(line);
                piece.is_changed = true;
            }
        }
    }

    /// Forgets all sources but these.
    pub(super) fn retain(&mut self, is_kept: impl Fn(&str) -> bool) {
        let before = self.sources.len();
        self.sources.retain(|name, _| is_kept(name));
        self.all |= self.sources.len() < before;
    }

    /// Has everything told anew.
    pub(super) fn touch_all(&mut self) {
        self.all = true;
    }

    /// How much is to be told.
    pub(super) fn changed(&self) -> usize {
        let is_changed = |pieces: &VecDeque<Piece>| pieces.back().is_some_and(|piece| piece.is_changed);
        self.sources.values().filter(|pieces| is_changed(pieces)).count() + usize::from(self.all)
    }

    /// What is to be told: of each source the number of its first piece and the changed ones; and whether that is all there
    /// is. From here on it is told.
    pub(super) fn take(&mut self) -> (Vec<(String, i64, Vec<PrintedPiece>)>, bool) {
        let all = std::mem::take(&mut self.all);
        let mut told = Vec::new();
        for (name, pieces) in &mut self.sources {
            let first = pieces.front().map_or(0, |piece| piece.number);
            let mut changed = Vec::new();
            for piece in pieces.iter_mut() {
                if std::mem::take(&mut piece.is_changed) || all {
                    changed.push(PrintedPiece { number: piece.number, lines: piece.lines.clone() });
                }
            }
            if !changed.is_empty() {
                told.push((name.clone(), first, changed));
            }
        }
        (told, all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_pieces_that_have_changed_are_told_and_once() {
        let mut printed = Printed::default();
        let lines: Vec<u64> = (0..PIECE_LINES as u64 + 2).collect();
        printed.note("a", &lines);
        assert_eq!(printed.changed(), 1);
        let (told, all) = printed.take();
        let numbers = |pieces: &[PrintedPiece]| pieces.iter().map(|piece| piece.number).collect::<Vec<_>>();
        assert_eq!((numbers(&told[0].2), all), (vec![0, 1], false));
        assert_eq!((printed.changed(), printed.take()), (0, (vec![], false)));

        printed.note("a", &[7]);

        let (told, _) = printed.take();
        assert_eq!((told[0].1, numbers(&told[0].2)), (0, vec![1]));
        assert_eq!(printed.lines("a"), [&lines[..], &[7]].concat());
        assert_eq!(printed.lines("b"), [0; 0]);
    }

    #[test]
    fn no_more_lines_are_kept_than_the_bound_and_the_store_is_told_where_they_begin() {
        let mut printed = Printed::default();
        let lines: Vec<u64> = (0..(MAX_PRINTED + 2 * PIECE_LINES) as u64).collect();
        printed.note("a", &lines);

        let (told, _) = printed.take();

        let kept = printed.lines("a");
        assert!(kept.len() >= MAX_PRINTED && kept.len() <= MAX_PRINTED + PIECE_LINES, "{}", kept.len());
        assert_eq!((told[0].1, kept.last()), (1, lines.last()));
    }

    #[test]
    fn what_is_loaded_is_gone_on_from_and_a_source_that_is_gone_is_forgotten() {
        let piece = |number| PrintedPiece { number, lines: vec![1, 2] };
        let loaded = ["a", "b"].map(|name| (name.to_owned(), vec![piece(5), piece(6)]));
        let mut printed = Printed::new(BTreeMap::from(loaded));
        assert_eq!((printed.lines("a"), printed.changed()), (vec![1, 2, 1, 2], 0));
        printed.note("a", &[3]);
        assert_eq!(printed.take().0, [("a".to_owned(), 5, vec![PrintedPiece { number: 6, lines: vec![1, 2, 3] }])]);

        printed.retain(|name| name == "a");

        let (told, all) = printed.take();
        assert_eq!((told.len(), told[0].2.len(), all), (1, 2, true));
    }
}
