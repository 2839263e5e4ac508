//! What holds for all lines and expressions.

use proptest::prelude::*;

use super::*;
use crate::filter::fail2ban::expression::{Expression, Searched};

/// Pieces of expressions, right and wrong.
fn expression() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => prop::sample::select(&[
            "^", "$", " ", "<HOST>", "<ADDR>", "<F-USER>", "</F-USER>", "<F-MLFID>", "</F-MLFID>", "<F-NOFAIL>x</F-NOFAIL>", "(?P<host>\\S+)",
            "(", ")", "(?:", "(?i)", "(?!x)", "(?P=user)", "\\1", "[", "]", "[^x]", "{", "{,2}", "*", "+?", "|", "\\d", "\\w+", "\\<", "\\",
            "(?(user)x|y)", "<SKIPLINES>", "failed", "login", ".*", "é", "\\x41", "\\0", "#", "&&", "(?x)", "(?>x)",
        ][..]).prop_map(str::to_owned),
        1 => "\\PC{0,4}",
    ];
    prop::collection::vec(piece, 1..8).prop_map(|pieces| pieces.concat())
}

/// Lines, also such as the expressions match.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => prop::sample::select(&[
            "2026-11-23 01:06:25", "Nov 23 01:06:25", " ", "mx1 ", "sshd[7]: ", "failed", "login", "failedlogin", "192.0.2.9", "2001:db8::9", "host.example",
            "x", "bob", "é", "[", "]", "\n", "1795708535.000000 ", "audit(", "message repeated 5 times: [ ",
        ][..]).prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat())
}

fn record(line: &[u8]) -> Record<'_> {
    record::parse(line).unwrap_or_else(|_| Record::bare(line))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn no_expression_and_no_line_panics(
        failregex in prop::collection::vec(expression(), 1..4),
        prefregex in prop::option::of(expression()),
        ignoreregex in prop::option::of(expression()),
        datepattern in prop::option::of(prop::sample::select(&["{^LN-BEG}", "{NONE}", "EPOCH", "%Y-%m-%d %H:%M:%S", "^mx1 ({DATE})"][..])),
        maxlines in 1..4_u32,
        lines in prop::collection::vec(line(), 1..6),
    ) {
        let definition = Definition {
            failregex, prefregex, ignoreregex: ignoreregex.into_iter().collect(), datepattern: datepattern.map(str::to_owned), maxlines, ..definition()
        };
        if let Ok(filter) = Fail2ban::compile(definition) {
            let mut memory = Memory::default();
            for line in &lines {
                let record = record(line);
                if let Judgement::Failure(failure) = filter.judge(&record, Owner::NOBODY, Timestamp::from_secs(0), &mut memory) {
                    prop_assert!(!failure.attempts.is_zero());
                }
            }
            prop_assert!(filter.attacks().len() <= filter.definition().failregex.len());
        }
    }

    /// What is looked for in a text first, and in a line, changes nothing.
    #[test]
    fn no_match_is_lost_by_what_is_looked_for_first(expressions in prop::collection::vec(expression(), 1..3), line in line()) {
        let text = String::from_utf8_lossy(&line).into_owned();
        for source in &expressions {
            if let Ok(expression) = Expression::compile("x", source, false) {
                let span = |searched: Searched<'_>| match searched {
                    Searched::Found(found) => found.span(0),
                    Searched::Nothing | Searched::OutOfSteps => None,
                };
                prop_assert_eq!(span(expression.search(&text)), span(expression.run(&text)), "{} in {:?}", source, text);
            }
        }
        if let Ok(filter) = Fail2ban::compile(Definition { failregex: expressions, ..definition() })
            && let Some(needles) = filter.needles()
        {
            let judgement = filter.judge(&record(&line), Owner::NOBODY, Timestamp::from_secs(0), &mut Memory::default());
            if judgement != Judgement::NoMatch {
                let has = |needle: &Vec<u8>| memchr::memmem::find(&line, needle).is_some();
                prop_assert!(needles.iter().any(has), "{:?} in {:?}", needles, line.escape_ascii().to_string());
            }
        }
    }

    /// Which engine runs an expression changes nothing: an empty look-ahead, which is true everywhere, has the other one run it.
    #[test]
    fn both_engines_find_the_same_groups(source in expression(), line in line(), across_lines in any::<bool>()) {
        let text = String::from_utf8_lossy(&line).into_owned();
        let Ok(linear) = Expression::compile("x", &source, across_lines) else { return Ok(()) };
        // A flag for the whole expression may stand at its beginning alone.
        let Ok(other) = Expression::compile("x", &format!("(?=)(?:{source})(?=)"), across_lines) else { return Ok(()) };
        if linear.is_linear() {
            prop_assert!(!other.is_linear(), "{}", source);
            let spans = |searched: Searched<'_>| match searched {
                Searched::Found(found) => Some((0..8).map(|number| found.span(number)).collect::<Vec<_>>()),
                Searched::Nothing | Searched::OutOfSteps => None,
            };
            prop_assert_eq!(spans(linear.run(&text)), spans(other.run(&text)), "{} in {:?}", source, text);
        }
    }

    /// Whatever a user types, the address behind it is taken.
    #[test]
    fn no_user_s_text_changes_the_address_where_the_expression_is_anchored(user in "\\PC{0,40}|(?:[a-z ]|from 203\\.0\\.113\\.66|port 1 ssh2|: |sshd\\[7\\]){0,8}") {
        let filter = filter(&[
            "^ mx1 sshd\\[\\d+\\]: Failed password for <F-USER>.*</F-USER> from <HOST> port \\d+ ssh2$",
            "^ mx1 sshd\\[\\d+\\]: Failed (?!publickey)\\w+ for (?P<inv>invalid user )?<F-USER>(?(inv).*|\\S+)</F-USER> from <ADDR> port \\d+ ssh2$",
        ]);
        let line = format!("Nov 23 01:06:25 mx1 sshd[7]: Failed password for invalid user {user} from 192.0.2.9 port 4242 ssh2");
        let record = record::parse(line.as_bytes()).unwrap();

        let judgement = filter.judge(&record, Owner::NOBODY, Timestamp::from_secs(0), &mut Memory::default());

        prop_assert_eq!(shown(&judgement), "192.0.2.9", "{}", line);
    }
}
