//! Which lines are worth looking at: a search through many lines at once for the texts without which no filter knows a line.
//!
//! Most lines of a mail log are nobody's failure, and of a service that no filter here is of. What every line has of which a
//! filter says anything (the name of its program, a word of its pattern) is looked for in a whole piece of a log, at once;
//! the lines in between are passed over without being taken apart.
//!
//! That loses nothing: a filter that cannot name such texts has every line looked at. A log daemon's word that a line came again
//! counts as one.

use aho_corasick::AhoCorasick;
use memchr::memmem::Finder;

use super::Filter;

/// In every line that tells of repetitions, see [`crate::record`].
const AGAIN: &[u8] = b"message repeated ";

/// What is looked for.
#[derive(Debug, Default)]
pub struct Prefilter {
    /// `None`: every line is worth it.
    search: Option<Search>,
}

#[derive(Debug)]
enum Search {
    /// Of a few texts each is looked for by itself, which is several times faster than all at once.
    Few(Vec<Finder<'static>>),
    Many(AhoCorasick),
}

/// Where the texts of a [`Prefilter`] next stand in one piece of a log, as far as that has been found out.
#[derive(Clone, Debug, Default)]
pub struct Found(Vec<usize>);

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
        texts.sort_unstable();
        texts.dedup();
        let search = if texts.len() <= MAX_FEW {
            Some(Search::Few(texts.iter().map(|text| Finder::new(text).into_owned()).collect()))
        } else {
            // Too many or too long for an automaton: then every line is looked at.
            AhoCorasick::new(texts).ok().map(Search::Many)
        };
        Self { search }
    }

    /// Where in `bytes` the next text stands that makes a line worth looking at, at or after `from`; `None` if there is none.
    /// `found` is of the same `bytes`, and `from` never less than before.
    #[must_use]
    pub fn find(&self, bytes: &[u8], from: usize, found: &mut Found) -> Option<usize> {
        let rest = bytes.get(from..).filter(|rest| !rest.is_empty())?;
        match &self.search {
            None => Some(from),
            Some(Search::Many(search)) => search.find(rest).map(|found| from + found.start()),
            Some(Search::Few(finders)) => {
                // Nothing has been looked for yet.
                found.0.resize(finders.len(), 0);
                for (finder, at) in finders.iter().zip(&mut found.0) {
                    if *at <= from {
                        *at = finder.find(rest).map_or(usize::MAX, |found| from + found);
                    }
                }
                found.0.iter().copied().min().filter(|&at| at != usize::MAX)
            }
        }
    }
}

/// Most texts that are looked for one by one.
const MAX_FEW: usize = 6;

impl Filter {
    /// Texts of which every line has at least one that this filter does not call [`NoMatch`](super::Judgement::NoMatch); `None`
    /// if there are no such texts.
    fn needles(&self) -> Option<Vec<Vec<u8>>> {
        match self {
            Self::Dovecot => Some(super::dovecot::NEEDLES.map(<[u8]>::to_vec).into()),
            Self::Bans => Some(Vec::new()),
            Self::Patterns(patterns) => {
                let mut needles = patterns.needles()?;
                if let Some(base) = patterns.base() {
                    needles.extend(base.needles()?);
                }
                Some(needles)
            }
            Self::Fail2ban(filter) => filter.needles(),
        }
    }
}
