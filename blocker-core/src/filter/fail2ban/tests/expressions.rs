//! Expressions of Python, by what they find.

use super::*;
use crate::filter::fail2ban::expression::{Expression, Searched};

/// What `expression` finds in `text`: all of it.
fn all(expression: &str, text: &str) -> Option<String> {
    let compiled = Expression::compile("x", expression, false).map_err(|error| error.to_string()).unwrap();
    match compiled.run(text) {
        Searched::Found(found) => found.text(0).map(str::to_owned),
        Searched::Nothing => None,
        Searched::OutOfSteps => panic!("{expression}: too many steps"),
    }
}

fn fault(expression: &str) -> String {
    Expression::compile("x", expression, false).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn python_s_expressions_find_what_python_finds() {
    for (expression, text, found) in [
        // What Rust reads otherwise.
        ("\\<x\\>", "y<x>y", Some("<x>")),
        ("x{,2}y", "xxxy", Some("xxy")),
        ("{x}", "{x}", Some("{x}")),
        ("{1,x}", "{1,x}", Some("{1,x}")),
        ("x{2}", "xxx", Some("xx")),
        ("x{2,}", "xxx", Some("xxx")),
        ("[[x]]", "[]", Some("[]")),
        ("[]x]+", "x]", Some("x]")),
        ("[^]x]+", "x]y", Some("y")),
        ("[a&&b]+", "&ab", Some("&ab")),
        ("[+--]+", ",-", Some(",-")),
        ("[~~a]+", "~a", Some("~a")),
        ("[\\w.-]+", "a-.", Some("a-.")),
        ("[a-]+", "-a", Some("-a")),
        ("[-a]+", "-a", Some("-a")),
        ("[\\]\\-\\\\^]+", "]-\\^", Some("]-\\^")),
        ("[\\b]", "\x08", Some("\x08")),
        ("[[:alpha:]]+", "a]", Some("a]")),
        ("[ #]+", " #", Some(" #")),
        ("[à-ü]+", "éa", Some("é")),
        // Escapes.
        ("\\x41\\u0042\\U00000043", "ABC", Some("ABC")),
        ("\\101\\060\\0", "A0\0", Some("A0\0")),
        ("\\a\\f\\v\\t", "\x07\x0c\x0b\t", Some("\x07\x0c\x0b\t")),
        ("\\/\\-\\'\\\"\\@\\ \\é\\,\\:\\=\\&\\~\\#\\%\\!", "/-'\"@ é,:=&~#%!", Some("/-'\"@ é,:=&~#%!")),
        ("x\\Z", "yx", Some("x")),
        ("x$", "yx", Some("x")),
        // Groups.
        ("(?P<a>x)(?:y)(?#a comment)z", "xyz", Some("xyz")),
        ("(?i)bob", "BOB", Some("BOB")),
        ("((?i)b)ob", "Bob", Some("Bob")),
        ("((?i)b)ob", "BOb", None),
        ("(?:(?i)b)o", "Bo", Some("Bo")),
        ("(?i:b)(?-i:o)(?u)(?su:.)", "Bo\n", Some("Bo\n")),
        ("(?x) a b # a comment ( [\n c\\ [ ]", "abc  ", Some("abc  ")),
        ("(?i)É", "é", Some("é")),
        // Unicode.
        ("\\w+", "é_1", Some("é_1")),
        ("\\d", "\u{663}", Some("\u{663}")),
        ("\\s", "\u{a0}", Some("\u{a0}")),
        ("a.b", "aéb", Some("aéb")),
        ("a.b", "a\nb", None),
        // For the other engine.
        ("a(?!b)\\w", "abac", Some("ac")),
        ("a(?=c)", "abac", Some("a")),
        ("(?<=c)a", "aca", Some("a")),
        ("(?<!c)a", "caa", Some("a")),
        ("(?P<q>['\"])x(?P=q)", "'x\"\"x\"", Some("\"x\"")),
        ("(a|b)\\1", "abb", Some("bb")),
        ("(?>a+)b", "aab", Some("aab")),
        ("a++b", "aab", Some("aab")),
        ("a++ab", "aab", None),
        ("a*+b", "aab", Some("aab")),
        ("^(?P<o><)?x(?(o)>|$)", "<x>", Some("<x>")),
        ("^(?P<o><)?x(?(o)>|$)", "x>", None),
        ("^(?P<o><)?x(?(o)>|$)", "<x", None),
        ("^(<)?x(?(1)>|$)", "x", Some("x")),
    ] {
        assert_eq!(all(expression, text).as_deref(), found, "{expression} in {text:?}");
    }
}

/// With a text as its name, the condition would be "if the text follows", without an error.
#[test]
fn a_condition_asks_whether_the_group_took_part() {
    let expression = "^ Failed (?P<cond_inv>invalid )?user <F-USER>(?(cond_inv).*?|[^ ]+)</F-USER> from <HOST>(?(cond_inv) port \\d+)$";

    assert_eq!(find(expression, "Failed user bob from 192.0.2.9"), "192.0.2.9");
    assert_eq!(find(expression, "Failed invalid user a from 203.0.113.66 x from 192.0.2.9 port 1"), "192.0.2.9");
    assert_eq!(find(expression, "Failed user a from 203.0.113.66 x from 192.0.2.9"), "");
    assert_eq!(find(expression, "Failed invalid user bob from 192.0.2.9"), "");
}

#[test]
fn groups_have_the_numbers_that_they_have_in_fail2ban() {
    // <HOST> has three groups, <ADDR> two.
    assert_eq!(find("^ <HOST> (x) \\4$", "192.0.2.9 x x"), "192.0.2.9");
    assert_eq!(find("^ <ADDR> (x) \\3$", "192.0.2.9 x x"), "192.0.2.9");
    assert_eq!(find("^ <SUBNET> (x) \\4$", "192.0.2.9 x x"), "192.0.2.9");
}

#[test]
fn only_what_needs_it_goes_to_the_engine_that_goes_back() {
    let is_linear = |expression: &str| Expression::compile("x", expression, false).unwrap().is_linear();

    assert!(is_linear("^ (?:a|b)*? <HOST> .* <F-USER>[^>]+</F-USER>$"));
    for expression in ["(?!a)<HOST>", "(?<=:)x", "(a)\\1", "(?P<a>x)(?P=a)", "(?P<a>x)?(?(a)y|z)", "(?>x)", "x++"] {
        assert!(!is_linear(expression), "{expression}");
    }
}

#[test]
fn what_python_refuses_is_refused_with_the_place_and_the_reason() {
    for (expression, said) in [
        ("a**", "x `a**` at character 3: it is repeated twice"),
        ("<HOST>**", "x `<HOST>**` at character 8: it is repeated twice"),
        ("*a", "at character 1: there is nothing to repeat"),
        ("(|*)", "at character 3: there is nothing to repeat"),
        ("é\\e", "at character 2: `\\e` is no escape that Python knows"),
        ("<HOST>\\q", "at character 7: `\\q` is no escape"),
        ("\\x4", "at character 1: `\\x` asks for 2 hexadecimal digits"),
        ("\\U00110000", "at character 1: `\\U` asks for 8"),
        ("a\\", "at character 2: it ends in a backslash"),
        ("a[b", "at character 2: the class has no end"),
        ("[a--]", "at character 2: it is no range"),
        ("[z-a]", "at character 2: it is no range"),
        ("[a-\\d]", "at character 2: it is no range"),
        ("(?<n>a)", "at character 1: `(?` is followed by nothing that Python knows"),
        ("(?y)", "at character 1: `(?` is followed by nothing that Python knows"),
        ("(?a)x", "at character 1: the flag `a` is not supported"),
        ("(?P<1>a)", "at character 1: the group has no name"),
        ("(?#a", "at character 1: the comment has no end"),
        ("(?(a", "at character 1: `)` is missing"),
        ("<HOST>(", "at character 7: unclosed group"),
        ("a)", "at character 2: unopened group"),
        ("a{1,2}+", "at character 2: `{…}+` is not supported"),
        ("(?P=a)", "nvalid"),
        ("(a)\\2(?!b)", "nvalid back reference"),
    ] {
        let fault = fault(expression);
        assert!(fault.contains(said), "{expression}: {fault}");
    }
}
