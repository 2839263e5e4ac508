//! One file: sections of options, as Python's configuration parser reads them, which is what fail2ban uses.
//!
//! - `#` and `;` begin a comment at the start of a line; within one only a `;` behind a blank does.
//! - A line that is indented more than its option goes on with the value; so do empty lines.
//! - Names of options mean the same in small and capital letters, names of sections do not.
//! - What is twice in a file is an error.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::fault::{Fault, Place, Problem};

/// What an option is set to, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) text: String,
    pub(super) place: Place,
    /// What it was set to by a file that was read before.
    pub(super) previous: Option<Arc<Value>>,
}

/// Options by their names, in small letters.
pub(super) type Section = BTreeMap<String, Value>;

/// Sections by their names, and the order in which they came.
#[derive(Clone, Debug, Default)]
pub(super) struct Sections {
    pub(super) order: Vec<String>,
    pub(super) by_name: BTreeMap<String, Section>,
}

impl Sections {
    pub(super) fn get(&self, name: &str) -> Option<&Section> {
        self.by_name.get(name)
    }

    /// The section, made if it is not there.
    pub(super) fn entry(&mut self, name: &str) -> &mut Section {
        if !self.by_name.contains_key(name) {
            self.order.push(name.to_owned());
        }
        self.by_name.entry(name.to_owned()).or_default()
    }

    /// Lays a later file over what there is: its options win, and know what they were before.
    pub(super) fn lay_over(&mut self, later: Self) {
        let Self { order, mut by_name } = later;
        for name in order {
            let section = self.entry(&name);
            for (key, value) in by_name.remove(&name).unwrap_or_default() {
                set(section, key, value);
            }
        }
    }
}

/// Sets an option, which remembers what it was.
pub(super) fn set(section: &mut Section, key: String, mut value: Value) {
    value.previous = section.remove(&key).map(Arc::new);
    section.insert(key, value);
}

/// The section whose options are everybody's.
pub(super) const DEFAULT: &str = "DEFAULT";

/// Reads the text of the file called `name`.
///
/// # Errors
///
/// Everything that is wrong, in the order of the file.
pub(super) fn read(name: &str, bytes: &[u8]) -> Result<Sections, Vec<Fault>> {
    let file: Arc<str> = name.into();
    let text = std::str::from_utf8(bytes)
        .map_err(|error| vec![Fault::at(&file, None, Problem::NotUtf8(error.valid_up_to()))])?;
    if text.starts_with('\u{feff}') {
        return Err(vec![Fault::at(&file, Some(1), Problem::ByteOrderMark)]);
    }
    let mut reader = Reader {
        file,
        sections: Sections::default(),
        section: None,
        option: None,
        indent: 0,
        begun: BTreeMap::new(),
        faults: Vec::new(),
    };
    for (number, line) in (1..).zip(text.split('\n')) {
        reader.line(number, line);
    }
    if !reader.faults.is_empty() {
        return Err(reader.faults);
    }
    for value in reader.sections.by_name.values_mut().flat_map(BTreeMap::values_mut) {
        value.text.truncate(value.text.trim_end().len());
    }
    Ok(reader.sections)
}

struct Reader {
    file: Arc<str>,
    sections: Sections,
    /// The section that is being read.
    section: Option<String>,
    /// The option in it that is being read.
    option: Option<String>,
    /// How far the last option or section was indented, in characters.
    indent: usize,
    /// Where the sections begin.
    begun: BTreeMap<String, usize>,
    faults: Vec<Fault>,
}

impl Reader {
    fn line(&mut self, number: usize, line: &str) {
        let (content, is_commented) = without_comment(line);
        let content = content.trim();
        if content.is_empty() {
            if let (false, Some(value)) = (is_commented, self.value()) {
                value.text.push('\n');
            }
            return;
        }
        let indent = line.chars().take_while(|c| c.is_whitespace()).count();
        if indent > self.indent
            && let Some(value) = self.value()
        {
            value.text.push('\n');
            value.text.push_str(content);
            return;
        }
        self.indent = indent;
        if let Some((name, _)) =
            content.strip_prefix('[').and_then(|rest| rest.rsplit_once(']')).filter(|(name, _)| !name.is_empty())
        {
            self.begin(number, name);
        } else {
            self.set(number, content);
        }
    }

    fn value(&mut self) -> Option<&mut Value> {
        self.sections.by_name.get_mut(self.section.as_deref()?)?.get_mut(self.option.as_deref()?)
    }

    fn begin(&mut self, number: usize, name: &str) {
        if let Some(&line) = self.begun.get(name) {
            let fault = Fault::at(&self.file, Some(number), Problem::SectionTwice(line));
            self.faults.push(Fault { section: Some(name.to_owned()), ..fault });
        }
        self.begun.insert(name.to_owned(), number);
        self.sections.entry(name);
        self.section = Some(name.to_owned());
        self.option = None;
    }

    fn set(&mut self, number: usize, content: &str) {
        let Some(section) = &self.section else {
            self.faults.push(Fault::at(&self.file, Some(number), Problem::NoSection(content.to_owned())));
            return;
        };
        let split = content.split_once(['=', ':']).map(|(key, text)| (key.trim().to_lowercase(), text.trim()));
        let Some((key, text)) = split.filter(|(key, _)| !key.is_empty()) else {
            let fault = Fault::at(&self.file, Some(number), Problem::NoOption(content.to_owned()));
            self.faults.push(Fault { section: Some(section.clone()), ..fault });
            return;
        };
        let options = self.sections.by_name.entry(section.clone()).or_default();
        let place = Place { file: Arc::clone(&self.file), line: number };
        if let Some(first) = options.get(&key) {
            self.faults.push(Fault::of(Some(&place), section, &key, Problem::OptionTwice(first.place.line)));
        }
        options.insert(key.clone(), Value { text: text.to_owned(), place, previous: None });
        self.option = Some(key);
    }
}

/// What of a line is no comment, and whether there is one.
fn without_comment(line: &str) -> (&str, bool) {
    if line.trim_start().starts_with(['#', ';']) {
        return ("", true);
    }
    let begins = |&(at, _): &(usize, &str)| line[..at].ends_with(char::is_whitespace);
    match line.match_indices(';').find(begins) {
        Some((at, _)) => (&line[..at], true),
        None => (line, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str, key: &str) -> String {
        read("x.conf", text.as_bytes()).unwrap().by_name["Definition"][key].text.clone()
    }

    fn faults(text: &str) -> Vec<String> {
        read("x.conf", text.as_bytes()).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_value_goes_on_over_indented_empty_and_commented_lines() {
        let text = "[Definition]\nfailregex = ^a\n\t^b ; comment\n   # comment\n  ^c # none\n\n  ^d;e\nx : 1\r\ny=\n";

        assert_eq!(value(text, "failregex"), "^a\n^b\n^c # none\n\n^d;e");
        assert_eq!((value(text, "x"), value(text, "y")), ("1".into(), String::new()));
    }

    #[test]
    fn a_number_sign_within_a_line_begins_no_comment_and_a_semicolon_does_behind_a_blank() {
        assert_eq!(value("[Definition]\na = 1 # x", "a"), "1 # x");
        assert_eq!(value("[Definition]\na = 1 ; x", "a"), "1");
        assert_eq!(value("[Definition]\na = 1; x", "a"), "1; x");
        assert_eq!(value("[Definition]\na = ü\t; x", "a"), "ü");
    }

    #[test]
    fn options_are_known_in_any_letters_and_sections_are_not() {
        let sections = read("x", b"[Init]\nMaxLines = 1\n[init]\nmaxlines = 2\n[Init?family=inet6]\nx = 1").unwrap();

        assert_eq!(sections.order, ["Init", "init", "Init?family=inet6"]);
        assert_eq!(sections.by_name["Init"]["maxlines"].text, "1");
    }

    #[test]
    fn what_is_twice_in_a_file_is_an_error() {
        assert_eq!(
            faults("[a]\nx = 1\nX = 2"),
            ["x.conf, line 3: [a] `x`: the option is in line 2 already, and fail2ban would not start: remove one"]
        );
        assert_eq!(
            faults("[a]\nx = 1\n[b]\n[a]"),
            ["x.conf, line 4: [a]: the section is in line 1 already, and fail2ban would not start: make one of them"]
        );
    }

    #[test]
    fn what_is_no_option_is_told_with_its_line() {
        assert_eq!(
            faults("# c\nx = 1\n"),
            ["x.conf, line 2: \"x = 1\" stands before any section, expected a line such as [Definition]"]
        );
        assert_eq!(
            faults("[a]\nfailregex\n= 2\n"),
            [
                "x.conf, line 2: [a]: \"failregex\" is no option, expected `name = value`; lines that go on with a value are indented",
                "x.conf, line 3: [a]: \"= 2\" is no option, expected `name = value`; lines that go on with a value are indented",
            ]
        );
    }

    #[test]
    fn other_encodings_are_told_and_not_guessed() {
        let fault = |bytes: &[u8]| read("x.conf", bytes).unwrap_err()[0].to_string();

        assert_eq!(
            fault(b"[a]\nx = caf\xe9"),
            "x.conf: byte 11 is not UTF-8, and fail2ban skips the whole file: save it as UTF-8"
        );
        assert_eq!(
            fault(b"\xef\xbb\xbf[a]"),
            "x.conf, line 1: the file begins with a byte order mark: save it without one"
        );
    }
}
