//! What hinders a source, in a bounded number of sentences.

/// Most problems told in one [`SourceState`](super::SourceState); beyond that only how many more there are.
pub const MAX_PROBLEMS: usize = 16;

/// What one look found in its way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Problems {
    told: Vec<String>,
    /// How many were left out.
    more: usize,
}

impl Problems {
    /// Adds one, if it is not there already.
    pub(super) fn add(&mut self, problem: String) {
        if self.told.len() == MAX_PROBLEMS {
            self.more += 1;
        } else if !self.told.contains(&problem) {
            self.told.push(problem);
        }
    }

    /// Those that are told in full.
    pub(super) fn told(&self) -> &[String] {
        &self.told
    }

    /// All as sentences, the last of which may be how many were left out.
    pub(super) fn into_sentences(self) -> Vec<String> {
        let Self { mut told, more } = self;
        if more > 0 {
            told.push(format!("and {more} more"));
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_each_once_and_no_more_than_the_bound() {
        let mut problems = Problems::default();
        problems.add("problem 0".to_owned());
        for number in 0..MAX_PROBLEMS + 3 {
            problems.add(format!("problem {number}"));
        }

        let sentences = problems.into_sentences();

        assert_eq!(sentences.len(), MAX_PROBLEMS + 1);
        assert_eq!(sentences[1], "problem 1");
        assert_eq!(sentences[MAX_PROBLEMS], "and 3 more");
    }
}
