//! From Python's expressions to Rust's, in one pass, tags included.
//!
//! Most is written the same. What is not, is written anew, so that it means what Python means: `\<` is a plain `<` (and not
//! the beginning of a word), `{` where it repeats nothing is plain, `{,n}` begins at 0, `[` in a class is plain and `&&`, `--`
//! and `~~` there are no operators, `(?(name)…|…)` asks whether the group took part (and not whether the text `name`
//! follows), octal escapes are numbers. What Python refuses is refused here: a filter that loads nowhere else must not mean
//! something of its own.

mod chars;

use super::tags::{self, Tag};

/// An expression for Rust's engines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Translated {
    pub(super) text: String,
    /// Whether it looks around, refers back, asks for a group, or gives nothing back: a backtracking engine has to run it.
    pub(super) is_fancy: bool,
    /// (place in `text`, place in the original) of each piece, in bytes, ascending.
    places: Vec<(usize, usize)>,
}

impl Translated {
    /// Which byte of the original the byte `at` of `text` comes from.
    pub(super) fn original(&self, at: usize) -> usize {
        self.places.iter().rev().find(|(place, _)| *place <= at).map_or(0, |(_, original)| *original)
    }
}

/// Where an expression is none, in bytes, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) what: String,
}

/// Translates `source`.
///
/// # Errors
///
/// [`Fault`] where it is none, or cannot be translated.
pub(super) fn translate(source: &str) -> Result<Translated, Fault> {
    let mut scanner = Scanner {
        source,
        at: 0,
        out: String::with_capacity(source.len()),
        places: Vec::new(),
        is_fancy: false,
        is_verbose: false,
        skips: 0,
        before: Before::Nothing,
    };
    scanner.run()?;
    let Scanner { out: text, is_fancy, places, .. } = scanner;
    Ok(Translated { text, is_fancy, places })
}

/// What stands in front of a quantifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    /// Nothing that could be repeated.
    Nothing,
    Atom,
    /// Something with a quantifier.
    Repeated,
}

struct Scanner<'a> {
    source: &'a str,
    at: usize,
    out: String,
    places: Vec<(usize, usize)>,
    is_fancy: bool,
    is_verbose: bool,
    skips: usize,
    before: Before,
}

impl<'a> Scanner<'a> {
    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn take(&mut self) -> Option<char> {
        let char = self.peek()?;
        self.at += char.len_utf8();
        Some(char)
    }

    fn skip(&mut self, text: &str) -> bool {
        let has = self.rest().starts_with(text);
        self.at += if has { text.len() } else { 0 };
        has
    }

    /// Takes all up to `end`, which is taken too.
    fn until(&mut self, end: char) -> Option<&'a str> {
        let len = self.rest().find(end)?;
        let text = &self.rest()[..len];
        self.at += len + end.len_utf8();
        Some(text)
    }

    fn fault<T>(&self, at: usize, what: impl Into<String>) -> Result<T, Fault> {
        Err(Fault { at, what: what.into() })
    }

    fn atom(&mut self, text: &str) {
        self.out.push_str(text);
        self.before = Before::Atom;
    }

    fn literal(&mut self, char: char) {
        let is_meta = r".+*?()|[]{}^$\".contains(char);
        match char {
            ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c' | '#' if self.is_verbose => {
                self.out.push_str(&hex(char));
            }
            _ => {
                if is_meta {
                    self.out.push('\\');
                }
                self.out.push(char);
            }
        }
        self.before = Before::Atom;
    }

    fn run(&mut self) -> Result<(), Fault> {
        loop {
            let start = self.at;
            self.places.push((self.out.len(), start));
            let Some(char) = self.take() else { return Ok(()) };
            match char {
                '\\' => self.escape(start)?,
                '[' => self.class(start)?,
                '(' => self.group(start)?,
                ')' => self.atom(")"),
                '|' | '^' | '$' => {
                    self.out.push(char);
                    self.before = Before::Nothing;
                }
                '*' | '+' | '?' => self.quantifier(start, &char.to_string())?,
                '{' => match self.counted() {
                    Some(text) => self.quantifier(start, &text)?,
                    None => self.literal('{'),
                },
                '.' => self.atom("."),
                '<' => self.tag(start)?,
                '#' if self.is_verbose => {
                    if self.until('\n').is_none() {
                        self.at = self.source.len();
                    }
                }
                ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c' if self.is_verbose => {}
                _ => self.literal(char),
            }
        }
    }

    fn tag(&mut self, start: usize) -> Result<(), Fault> {
        match tags::read(&self.source[start..], self.skips) {
            None => self.literal('<'),
            Some((Tag::Refused(why), _)) => return self.fault(start, why),
            Some((tag, len)) => {
                self.at = start + len;
                match tag {
                    Tag::Whole(text) => {
                        self.skips += usize::from(text.starts_with("\\n"));
                        // A quantifier behind it is of all of it.
                        let text =
                            if "*+?{".contains(self.peek().unwrap_or(' ')) { format!("(?:{text})") } else { text };
                        self.atom(&text);
                    }
                    Tag::Open(text) => {
                        self.out.push_str(&text);
                        self.before = Before::Nothing;
                    }
                    Tag::Close | Tag::Refused(_) => self.atom(")"),
                }
            }
        }
        Ok(())
    }

    /// What follows `{`, if that is a number of repetitions: as Rust writes it.
    fn counted(&mut self) -> Option<String> {
        let (inner, _) = self.rest().split_once('}')?;
        let (least, most) = inner.split_once(',').unwrap_or((inner, inner));
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let is_none = inner.is_empty() || !is_number(least) || !is_number(most);
        if is_none {
            return None;
        }
        self.at += inner.len() + 1;
        let least = if least.is_empty() { "0" } else { least };
        Some(if inner.contains(',') { format!("{{{least},{most}}}") } else { format!("{{{least}}}") })
    }

    fn quantifier(&mut self, start: usize, text: &str) -> Result<(), Fault> {
        match self.before {
            Before::Nothing => return self.fault(start, "there is nothing to repeat"),
            Before::Repeated => {
                return self.fault(start, "it is repeated twice: put a group around the first repetition");
            }
            Before::Atom => {}
        }
        self.out.push_str(text);
        if self.skip("?") {
            self.out.push('?');
        } else if self.skip("+") {
            if text.starts_with('{') {
                return self.fault(start, "`{…}+` is not supported: write (?>…{…})");
            }
            self.is_fancy = true;
            self.out.push('+');
        }
        self.before = Before::Repeated;
        Ok(())
    }

    fn group(&mut self, start: usize) -> Result<(), Fault> {
        self.before = Before::Nothing;
        if !self.skip("?") {
            self.out.push('(');
            return Ok(());
        }
        for (text, is_fancy) in [(":", false), ("=", true), ("!", true), ("<=", true), ("<!", true), (">", true)] {
            if self.skip(text) {
                self.is_fancy |= is_fancy;
                self.out.push_str("(?");
                self.out.push_str(text);
                return Ok(());
            }
        }
        if self.skip("P<") {
            let name = self.until('>').filter(|name| is_name(name));
            let Some(name) = name else { return self.fault(start, "the group has no name that can be one") };
            self.out.push_str(&format!("(?P<{name}>"));
        } else if self.skip("P=") {
            let name = self.until(')').filter(|name| is_name(name));
            let Some(name) = name else { return self.fault(start, "there is no name to refer back to") };
            self.is_fancy = true;
            self.atom(&format!("\\k<{name}>"));
        } else if self.skip("#") {
            if self.until(')').is_none() {
                return self.fault(start, "the comment has no end: `)` is missing");
            }
        } else if self.skip("(") {
            let Some(group) = self.until(')') else { return self.fault(start, "`)` is missing behind the name") };
            self.is_fancy = true;
            if !group.is_empty() && group.bytes().all(|byte| byte.is_ascii_digit()) {
                self.out.push_str(&format!("(?({group})"));
            } else if is_name(group) {
                self.out.push_str(&format!("(?(<{group}>)"));
            } else {
                return self.fault(start, "a condition names a group: (?(name)…|…)");
            }
        } else {
            return self.flags(start);
        }
        Ok(())
    }

    /// `(?i)`, `(?i:…)`.
    fn flags(&mut self, start: usize) -> Result<(), Fault> {
        let len = self.rest().find([')', ':']).unwrap_or(self.rest().len());
        let flags = &self.rest()[..len];
        self.at += len;
        let is_group = self.skip(":");
        if !is_group && !self.skip(")") {
            return self.fault(start, "`(?` is followed by nothing that Python knows");
        }
        let (on, off) = flags.split_once('-').unwrap_or((flags, ""));
        for flag in on.chars().chain(off.chars()) {
            match flag {
                'i' | 'm' | 's' | 'u' | 'x' => {}
                'a' | 'L' => return self.fault(start, format!("the flag `{flag}` is not supported: leave it out")),
                _ => return self.fault(start, "`(?` is followed by nothing that Python knows"),
            }
        }
        self.is_verbose = (self.is_verbose || on.contains('x')) && !off.contains('x');
        // Blanks and comments are left out here, and Unicode is the rule.
        let kept = |flags: &str| flags.replace(['u', 'x'], "");
        let (on, off) = (kept(on), kept(off));
        let off = if off.is_empty() { off } else { format!("-{off}") };
        match (is_group, on.is_empty() && off.is_empty()) {
            (true, _) => self.out.push_str(&format!("(?{on}{off}:")),
            (false, false) => self.out.push_str(&format!("(?{on}{off})")),
            (false, true) => {}
        }
        Ok(())
    }
}

/// A character by its number.
fn hex(char: char) -> String {
    format!("\\x{{{:X}}}", u32::from(char))
}

fn is_name(name: &str) -> bool {
    let of_names = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.bytes().next().is_some_and(|first| !first.is_ascii_digit()) && name.bytes().all(of_names)
}
