//! What no expression and no line may do.

use super::*;

#[test]
fn a_search_that_would_take_for_ever_ends_as_no_match_and_is_counted() {
    let filter = filter(&["^ (?:x+x+)+(?!z)y <HOST>$", "^ x+ <HOST>$"]);
    let line = format!("2026-11-23 01:06:25 {} 192.0.2.9", "x".repeat(60));
    let mut memory = Memory::default();

    let record = Record::bare(line.as_bytes());
    let judgement = filter.judge(&record, Owner::NOBODY, Timestamp::from_secs(0), &mut memory);

    assert_eq!(shown(&judgement), "192.0.2.9", "the next expression is asked");
    assert_eq!(memory.counts().out_of_steps, 1);
}

#[test]
fn too_large_an_expression_is_refused() {
    let error =
        compile(Definition { failregex: vec!["<HOST>(?:\\w{1000}){1000}".into()], ..definition() }).unwrap_err();
    assert!(error.contains("bytes when compiled"), "{error}");
    let error = compile(Definition { failregex: vec!["x".repeat(70_000)], ..definition() }).unwrap_err();
    assert!(error.contains("expected at most 65536"), "{error}");
}
