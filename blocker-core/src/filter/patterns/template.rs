//! The expressions of a filter: `regex`'s language, anchored at both ends, with tags for what is taken out of a line.

use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::hir::Hir;
use regex_syntax::{Parser, ParserBuilder};

/// Largest compiled expression, in bytes.
const MAX_COMPILED_BYTES: usize = 1024 * 1024;

/// Deepest nesting of an expression.
const MAX_NESTING: u32 = 64;

/// What stands for the address: all that an address can be made of, and no more. It is read strictly afterwards.
const ADDR: &str = "(?P<addr>[0-9A-Fa-f:.]+)";

/// What stands for the user: anything, so whatever follows has to be told apart from it.
const USER: &str = "(?P<user>.*)";

/// A pattern that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("pattern `{name}`{place}: {what}")]
pub struct InvalidPattern {
    /// Which.
    pub name: String,
    /// Where in it, in characters from 1, for people: ` at character 7`; empty if it is the whole of it.
    pub place: String,
    /// What is wrong, and what would be right.
    pub what: String,
}

impl InvalidPattern {
    fn whole(name: &str, what: impl Into<String>) -> Self {
        Self { name: name.to_owned(), place: String::new(), what: what.into() }
    }

    /// The same fault, of the expression for what stands in front of the time.
    pub(super) fn in_front(self) -> Self {
        Self { place: format!(", `front`{}", self.place), ..self }
    }

    pub(super) fn twice(name: &str, group: &str) -> Self {
        Self::whole(name, format!("`match` and `front` both have a group called `{group}`: one of them is enough"))
    }

    pub(super) fn no_address(name: &str) -> Self {
        Self::whole(name, "there is no <ADDR> in it: write it where the service writes the peer's address")
    }

    pub(super) fn no_user(name: &str) -> Self {
        Self::whole(name, "there is no <USER> in it: a login that succeeded forgives that user alone")
    }
}

/// Compiles `expression`, the pattern called `name`.
///
/// # Errors
///
/// Which pattern, where, and what would be right.
pub(super) fn compile(name: &str, expression: &str) -> Result<(Regex, Hir), InvalidPattern> {
    let Expanded { text, places } = expand(name, expression)?;
    parser().parse(&text).map_err(|error| invalid(name, expression, &places, &error))?;
    let anchored = format!("^(?:{text})$");
    let hir = parser()
        .parse(&anchored)
        .map_err(|_| InvalidPattern::whole(name, "it ends in the middle of a comment: write no comments in it"))?;
    let regex = RegexBuilder::new(&anchored)
        .unicode(false)
        .dot_matches_new_line(true)
        .nest_limit(MAX_NESTING)
        .size_limit(MAX_COMPILED_BYTES)
        .build()
        .map_err(|_| {
            InvalidPattern::whole(
                name,
                format!("it is more than {MAX_COMPILED_BYTES} bytes when compiled: write fewer or smaller repetitions"),
            )
        })?;
    Ok((regex, hir))
}

/// What reads expressions, for all that look at them.
pub(super) fn parser() -> Parser {
    ParserBuilder::new().utf8(false).unicode(false).dot_matches_new_line(true).nest_limit(MAX_NESTING).build()
}

/// An expression with its tags replaced, and which byte of it comes from which byte of the original.
struct Expanded {
    text: String,
    /// (place in `text`, place in the original) wherever the distance changes, ascending.
    places: Vec<(usize, usize)>,
}

fn expand(name: &str, expression: &str) -> Result<Expanded, InvalidPattern> {
    let mut text = String::new();
    let mut places = vec![(0, 0)];
    let mut rest = expression;
    let mut at = 0;
    let mut addresses = 0;
    while let Some(open) = rest.find('<') {
        let (before, from_open) = rest.split_at(open);
        text.push_str(before);
        at += open;
        let tag = TAGS.iter().find(|(tag, _)| from_open.starts_with(tag));
        let (tag, replacement) = match tag {
            None => match unknown_tag(from_open).filter(|_| !is_group(before)) {
                Some(tag) => return Err(no_tag(name, expression, at, tag)),
                // A lone `<` is itself.
                None => ("<", "<"),
            },
            Some(&(tag, replacement)) => (tag, replacement),
        };
        addresses += usize::from(replacement == ADDR);
        text.push_str(replacement);
        at += tag.len();
        rest = &from_open[tag.len()..];
        places.push((text.len(), at));
    }
    text.push_str(rest);
    if addresses > 1 {
        return Err(InvalidPattern::whole(name, "<ADDR> stands in it more than once: make a pattern of each"));
    }
    Ok(Expanded { text, places })
}

/// What looks like a tag and is none: in capital letters, as tags are.
fn unknown_tag(text: &str) -> Option<&str> {
    let end = text.find('>')?;
    let name = text[1..end].trim_start_matches('/');
    let is_of_tag = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || matches!(c, '_' | '-');
    let is_tag = name.starts_with(|c: char| c.is_ascii_uppercase()) && name.len() > 1 && name.chars().all(is_of_tag);
    is_tag.then(|| &text[..=end])
}

/// Whether a name of a group comes next: `(?<NAME>` and `(?P<NAME>`.
fn is_group(before: &str) -> bool {
    before.ends_with("(?") || before.ends_with("(?P")
}

fn no_tag(name: &str, expression: &str, at: usize, tag: &str) -> InvalidPattern {
    let character = 1 + expression[..at].chars().count();
    let text = &tag[1..];
    InvalidPattern {
        name: name.to_owned(),
        place: format!(" at character {character}"),
        what: format!(
            "{tag} is no tag: there are <ADDR>, or <HOST>, and <USER>; where the line itself has it, write [<]{text}"
        ),
    }
}

fn invalid(name: &str, expression: &str, places: &[(usize, usize)], error: &regex_syntax::Error) -> InvalidPattern {
    let (offset, what) = match error {
        regex_syntax::Error::Parse(error) => (error.span().start.offset, error.kind().to_string()),
        regex_syntax::Error::Translate(error) => (error.span().start.offset, error.kind().to_string()),
        other => (0, other.to_string()),
    };
    let (expanded, original) =
        places.iter().rev().find(|(expanded, _)| *expanded <= offset).copied().unwrap_or_default();
    let at = (original + (offset - expanded)).min(expression.len());
    let character = 1 + expression.char_indices().take_while(|(index, _)| *index < at).count();
    let hint = HINTS.iter().find(|(word, _)| what.contains(word)).map_or("", |(_, hint)| hint);
    InvalidPattern { name: name.to_owned(), place: format!(" at character {character}"), what: format!("{what}{hint}") }
}

const TAGS: [(&str, &str); 3] = [("<ADDR>", ADDR), ("<HOST>", ADDR), ("<USER>", USER)];

/// What to write instead of what the language does not have.
const HINTS: [(&str, &str); 3] = [
    ("look-around", ": say what must not match in an [[ignore]] of its own"),
    ("backreference", ": write both places out"),
    ("unclosed group", ": a parenthesis of the line itself is written \\("),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn error(expression: &str) -> String {
        compile("x", expression).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn a_pattern_matches_the_whole_message_or_not_at_all() {
        let (regex, _) = compile("x", "from <ADDR>|or <ADDR").unwrap();

        assert!(regex.is_match(b"from 192.0.2.9"));
        assert!(!regex.is_match(b"not from 192.0.2.9"));
        assert!(!regex.is_match(b"from 192.0.2.9 or elsewhere"));
        assert!(regex.is_match(b"or <ADDR"));
    }

    #[test]
    fn any_byte_is_text() {
        let (regex, _) = compile("x", "user=<USER> from <ADDR>").unwrap();

        assert_eq!(&regex.captures(b"user=\xff\n\0 from 192.0.2.9").unwrap()["user"], b"\xff\n\0");
    }

    #[test]
    fn what_looks_like_a_tag_and_is_none_is_an_error_and_not_text() {
        assert_eq!(
            error("ü <USER> <HOSTS> <ADDR>"),
            "pattern `x` at character 10: <HOSTS> is no tag: there are <ADDR>, or <HOST>, and <USER>; where the line itself has it, write \
             [<]HOSTS>"
        );
        for tag in ["<F-USER>", "</F-USER>", "<IP4>"] {
            assert!(error(&format!("{tag} <ADDR>")).contains(&format!("at character 1: {tag} is no tag")), "{tag}");
        }
        for text in
            ["[<]IP4> <ADDR>", "<[^>]*> <ADDR>", "<x> <ADDR>", "<A> <ADDR>", "(?P<UID>[0-9]+) <ADDR>", "<IP4 <ADDR>"]
        {
            assert!(compile("x", text).is_ok(), "{text}");
        }
    }

    #[test]
    fn an_error_says_where_in_what_was_written_and_what_instead() {
        assert_eq!(
            error("a<USER>b("),
            "pattern `x` at character 9: unclosed group: a parenthesis of the line itself is written \\("
        );
        assert_eq!(error("<ADDR> (?!b)").split(": ").next(), Some("pattern `x` at character 8"));
        assert!(error("<ADDR> (?!b)").ends_with("say what must not match in an [[ignore]] of its own"));
        assert_eq!(
            error("<ADDR> or <HOST>"),
            "pattern `x`: <ADDR> stands in it more than once: make a pattern of each"
        );
        assert!(
            error("<ADDR>(?:[a-z]{1000}){1000}")
                .starts_with("pattern `x`: it is more than 1048576 bytes when compiled")
        );
    }
}
