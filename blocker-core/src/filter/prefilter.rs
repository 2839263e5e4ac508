//! Which lines are worth looking at: a search through many lines at once for the texts without which no filter knows a line.
//!
//! Most lines of a mail log are nobody's failure, and of a service that no filter here is of. What every line has of which a
//! filter says anything (the name of its program, a word of its pattern) is looked for in a whole piece of a log, by one automaton;
//! the lines in between are passed over without being taken apart.
//!
//! That loses nothing: a filter that cannot name such texts has every line looked at. A log daemon's word that a line came again
//! counts as one.

use aho_corasick::AhoCorasick;

use super::Filter;

/// In every line that tells of repetitions, see [`crate::record`].
const AGAIN: &[u8] = b"message repeated ";

/// What is looked for.
#[derive(Debug, Default)]
pub struct Prefilter {
    /// `None`: every line is worth it.
    search: Option<AhoCorasick>,
}

impl Prefilter {
    /// Of these filters together.
    pub fn of<'f>(filters: impl Iterator<Item = &'f Filter>) -> Self {
        let mut texts = vec![AGAIN.to_vec()];
        for filter in filters {
            match filter.needles() {
                Some(needles) => texts.extend(needles),
                None => return Self::default(),
            }
        }
        // Too many or too long for an automaton: then every line is looked at.
        Self { search: AhoCorasick::new(texts).ok() }
    }

    /// Where in `bytes` the next line begins, or is, that is worth looking at, at or after `from`; `None` if there is none.
    #[must_use]
    pub fn find(&self, bytes: &[u8], from: usize) -> Option<usize> {
        match &self.search {
            None => (from < bytes.len()).then_some(from),
            Some(search) => search.find(bytes.get(from..)?).map(|found| from + found.start()),
        }
    }
}

impl Filter {
    /// Texts of which every line has at least one that this filter does not call [`NoMatch`](super::Judgement::NoMatch); `None`
    /// if there are no such texts.
    fn needles(&self) -> Option<Vec<Vec<u8>>> {
        match self {
            Self::Dovecot => Some(vec![super::dovecot::NEEDLE.to_vec()]),
            Self::Patterns(patterns) => {
                let mut needles = patterns.needles()?;
                if let Some(base) = patterns.base() {
                    needles.extend(base.needles()?);
                }
                Some(needles)
            }
        }
    }
}
