//! A text that is in every match of an expression: a line without it need not be looked at.

use regex_syntax::hir::{Hir, HirKind};

/// Shortest text that is worth a search of its own, in bytes.
const SHORTEST: usize = 4;

/// The longest text that is in every match of `hir`; `None` if there is none of at least [`SHORTEST`] bytes.
///
/// A text is in every match of a sequence if it is in every match of one of its parts; of a repetition if it is in
/// every match of what is repeated at least once. Of alternatives none is taken.
pub(in crate::filter) fn required(hir: &Hir) -> Option<Vec<u8>> {
    longest(hir).filter(|literal| literal.len() >= SHORTEST)
}

fn longest(hir: &Hir) -> Option<Vec<u8>> {
    match hir.kind() {
        HirKind::Literal(literal) => Some(literal.0.to_vec()),
        HirKind::Capture(capture) => longest(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => longest(&repetition.sub),
        HirKind::Concat(parts) => parts.iter().filter_map(longest).max_by_key(Vec::len),
        HirKind::Empty | HirKind::Class(_) | HirKind::Look(_) | HirKind::Repetition(_) | HirKind::Alternation(_) => {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::template;
    use super::*;

    fn literal(expression: &str) -> Option<String> {
        let (_, hir) = template::compile("x", expression).unwrap();
        required(&hir).map(|literal| String::from_utf8(literal).unwrap())
    }

    #[test]
    fn the_longest_text_that_every_match_has() {
        assert_eq!(literal("from <ADDR> port [0-9]+ ssh2").as_deref(), Some(" port "));
        assert_eq!(literal("(?:Failed|Refused) <ADDR>: too many").as_deref(), Some(": too many"));
        assert_eq!(literal("(?:password )+<ADDR>").as_deref(), Some("password "));
        assert_eq!(literal("(?:password )?<ADDR>"), None);
        assert_eq!(literal("(?i)password <ADDR>"), None);
        assert_eq!(literal("abc <ADDR>").as_deref(), Some("abc "));
        assert_eq!(literal("abc<ADDR>"), None);
    }

    proptest! {
        /// With the text as a condition and without it, an expression says the same.
        #[test]
        fn no_match_is_lost_by_it(
            parts in proptest::collection::vec(
                prop::sample::select(vec![
                    "abcd", "(?:abcd|abce)", "(?:bcda)*", "(?:cdab)+", "[abcd]", "(?:abc){2}", "(?i:abcd)", ".*", "(?:dabc)?",
                    "(?:abcd|ab)", "ab(?:cd|ef)gh",
                ]),
                1..5,
            ),
            line in "[abcdefghABCD]{0,24}",
        ) {
            let (regex, hir) = template::compile("x", &parts.concat()).unwrap();
            if let Some(literal) = required(&hir)
                && regex.is_match(line.as_bytes())
            {
                prop_assert!(memchr::memmem::find(line.as_bytes(), &literal).is_some());
            }
        }
    }
}
