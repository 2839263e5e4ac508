//! `%(name)s` within values.
//!
//! - `%(name)s` is another option of the section, or of `[DEFAULT]`; `%(__name__)s` the section's own name.
//! - `%(known/name)s` is what the option was set to by a file read before; in a jail, what its filter says.
//! - `%(section/name)s` is the text of another section's option. What that refers to is looked for here, not there.
//! - `%%` is a percent sign.

use super::fault::{Fault, Problem};
use super::ini::{DEFAULT, Section, Sections, Value};

/// How much may still be put into one value.
pub(super) struct Work {
    steps: usize,
}

impl Work {
    pub(super) fn new() -> Self {
        Self { steps: MAX_STEPS }
    }

    /// Takes a step of a value that is `bytes` long by now.
    pub(super) fn step(&mut self, bytes: usize) -> Result<(), Problem> {
        self.steps = self.steps.checked_sub(1).ok_or(Problem::TooLong)?;
        if bytes > MAX_VALUE_BYTES { Err(Problem::TooLong) } else { Ok(()) }
    }
}

/// Most values that are put into one, with all that is put into those.
const MAX_STEPS: usize = 10_000;

/// Longest value, in bytes; the longest of a stock filter has 15,000.
pub(super) const MAX_VALUE_BYTES: usize = 256 * 1024;

/// How deep values may be put into values; fail2ban gives up after 10.
const MAX_DEPTH: usize = 64;

/// What else an option is known to be.
pub(super) type Known<'a> = &'a dyn Fn(&str) -> Result<Option<String>, Fault>;

/// A section whose values are read.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    sections: &'a Sections,
    name: &'a str,
    section: Option<&'a Section>,
    default: Option<&'a Section>,
    known: Option<Known<'a>>,
}

impl<'a> Scope<'a> {
    pub(super) fn new(sections: &'a Sections, name: &'a str) -> Self {
        Self { sections, name, section: sections.get(name), default: sections.get(DEFAULT), known: None }
    }

    /// The same, where `%(known/name)s` is what `known` says, if it says anything.
    pub(super) fn with_known(self, known: Known<'a>) -> Self {
        Self { known: Some(known), ..self }
    }

    /// What the option is set to, as it is written.
    pub(super) fn value(&self, key: &str) -> Option<&'a Value> {
        self.section.and_then(|section| section.get(key)).or_else(|| self.default?.get(key))
    }

    /// What the option is set to.
    ///
    /// # Errors
    ///
    /// The first thing that cannot be put in.
    pub(super) fn get(&self, key: &str) -> Result<Option<String>, Fault> {
        self.value(key).map(|value| self.expand(key, value)).transpose()
    }

    /// `value`, of the option `key`, with all that belongs into it.
    pub(super) fn expand(&self, key: &str, value: &Value) -> Result<String, Fault> {
        self.within(key, value, &mut Vec::new(), &mut Work::new())
    }

    fn within<'v>(
        &self,
        key: &str,
        value: &'v Value,
        stack: &mut Vec<&'v Value>,
        work: &mut Work,
    ) -> Result<String, Fault>
    where
        'a: 'v,
    {
        let fault = |problem| Fault::of(Some(&value.place), self.name, key, problem);
        if stack.len() == MAX_DEPTH || stack.iter().any(|other| std::ptr::eq(*other, value)) {
            return Err(fault(Problem::Cycle(key.to_owned())));
        }
        stack.push(value);
        let mut text = String::new();
        let mut rest = value.text.as_str();
        while let Some((before, after)) = rest.split_once('%') {
            text.push_str(before);
            if let Some(after) = after.strip_prefix('%') {
                text.push('%');
                rest = after;
                continue;
            }
            let named = after.strip_prefix('(').and_then(|after| after.split_once(')'));
            let Some((name, after)) = named.and_then(|(name, after)| Some((name, after.strip_prefix('s')?))) else {
                let found = after.split_whitespace().next().unwrap_or_default();
                return Err(fault(Problem::Percent(format!("%{found}"))));
            };
            let name = name.to_lowercase();
            let missing = || fault(Problem::NoSuchOption(name.clone()));
            if name == "__name__" {
                text.push_str(self.name);
            } else if let Some(known) = self.known_as(&name)? {
                text.push_str(&known);
            } else {
                let (key, found) = self.find(&name, key, value).ok_or_else(missing)?;
                text.push_str(&self.within(key, found, stack, work)?);
            }
            work.step(text.len()).map_err(fault)?;
            rest = after;
        }
        text.push_str(rest);
        stack.pop();
        Ok(text)
    }

    /// What the option `key` was before it was set to `value`: by an earlier file, or for all sections.
    pub(super) fn before<'v>(&self, key: &str, value: &'v Value) -> Option<&'v Value>
    where
        'a: 'v,
    {
        let everybodys = || self.default?.get(key).filter(|other| !std::ptr::eq(*other, value));
        value.previous.as_deref().or_else(everybodys)
    }

    fn known_as(&self, name: &str) -> Result<Option<String>, Fault> {
        match (name.strip_prefix("known/"), self.known) {
            (Some(name), Some(known)) => known(name),
            (Some(_) | None, _) => Ok(None),
        }
    }

    /// What `name` means within `value` of the option `key`, and of which option that is a value.
    fn find<'v, 'n>(&self, name: &'n str, key: &str, value: &'v Value) -> Option<(&'n str, &'v Value)>
    where
        'a: 'v,
    {
        let Some((section, option)) = name.split_once('/') else { return Some((name, self.value(name)?)) };
        let found = match section {
            "known" if option == key => self.before(option, value),
            "known" => self.before(option, self.value(option)?),
            "default" => self.default?.get(option),
            _ => {
                let by_name = &self.sections.by_name;
                let found = by_name.get(section);
                let found = found.or_else(|| {
                    by_name.iter().find(|(name, _)| name.to_lowercase() == section).map(|(_, found)| found)
                });
                found?.get(option).or_else(|| self.default?.get(option))
            }
        };
        Some((option, found?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fail2ban::ini;

    fn sections(texts: &[&str]) -> Sections {
        let mut sections = Sections::default();
        for (number, text) in texts.iter().enumerate() {
            sections.lay_over(ini::read(&format!("{number}.conf"), text.as_bytes()).unwrap());
        }
        sections
    }

    fn get(texts: &[&str], section: &str, key: &str) -> Result<String, String> {
        let sections = sections(texts);
        Scope::new(&sections, section)
            .get(key)
            .map(|value| value.expect("it is set"))
            .map_err(|fault| fault.to_string())
    }

    #[test]
    fn options_of_the_section_and_of_all_are_put_in() {
        let text = "[DEFAULT]\na = A%(b)s%(__name__)s\nb = 1\n[s]\nb = 2\nc = %(A)s 100%%";

        assert_eq!(get(&[text], "s", "c").unwrap(), "A2s 100%");
        assert_eq!(get(&[text], "other", "a").unwrap(), "A1other");
    }

    #[test]
    fn another_section_lends_the_text_and_not_what_it_refers_to() {
        let text = "[other]\nb = 2\nc = o%(b)s\n[s]\nb = 1\nd = %(other/c)s\n[DEFAULT]\nb = 0\ne = %(default/b)s\n[Cap]\nb = 3\n[t]\nf = %(cap/b)s";

        assert_eq!(get(&[text], "s", "d").unwrap(), "o1");
        assert_eq!(get(&[text], "s", "e").unwrap(), "0");
        assert_eq!(get(&[text], "t", "f").unwrap(), "3");
    }

    #[test]
    fn what_was_known_goes_back_through_all_files() {
        let texts = ["[s]\nx = a", "[s]\nx = %(known/x)s b", "[s]\nx = %(known/x)s c\ny = %(known/x)s"];

        assert_eq!(get(&texts, "s", "x").unwrap(), "a b c");
        assert_eq!(get(&texts, "s", "y").unwrap(), "a b");
        let texts = ["[DEFAULT]\nx = d", "[s]\nx = %(known/x)s s\n[DEFAULT]\nx = %(known/x)s e\n"];
        assert_eq!(get(&texts, "s", "x").unwrap(), "d e s", "what is for all comes before what is for one");
    }

    #[test]
    fn what_is_known_otherwise_goes_before_and_is_taken_as_it_is() {
        let sections = sections(&["[s]\nx = a\nfailregex = own", "[s]\nfailregex = %(known/failregex)s %(known/x)s"]);
        let known = |name: &str| Ok((name == "failregex").then(|| "from 100%".to_owned()));
        let scope = Scope::new(&sections, "s").with_known(&known);

        assert_eq!(
            scope.get("failregex").unwrap_err().to_string(),
            "1.conf, line 2: [s] `failregex`: there is no option \"known/x\" to be put in"
        );
        assert_eq!(
            sections.get("s").map(|section| section["failregex"].text.as_str()),
            Some("%(known/failregex)s %(known/x)s")
        );
        let one = ini::read("x", b"[s]\nfailregex = %(known/failregex)s!").unwrap();
        assert_eq!(Scope::new(&one, "s").with_known(&known).get("failregex").unwrap(), Some("from 100%!".to_owned()));
    }

    #[test]
    fn what_cannot_be_put_in_is_told_where_it_stands() {
        let text = "[DEFAULT]\nd = %(nosuch)s\n[s]\na = %(d)s\nb = 5%\nc = %(c)s\ne = %(f)s\nf = %(e)s\ng = %(a)d\nh = %(known/h)s\n";

        assert_eq!(
            get(&[text], "s", "a").unwrap_err(),
            "0.conf, line 2: [s] `d`: there is no option \"nosuch\" to be put in"
        );
        assert_eq!(
            get(&[text], "s", "b").unwrap_err(),
            "0.conf, line 5: [s] `b`: \"%\" has a `%` alone: write `%%` for a percent sign, `%(name)s` for another option"
        );
        assert_eq!(get(&[text], "s", "c").unwrap_err(), "0.conf, line 6: [s] `c`: \"c\" is made of itself");
        assert_eq!(get(&[text], "s", "e").unwrap_err(), "0.conf, line 7: [s] `e`: \"e\" is made of itself");
        assert!(get(&[text], "s", "g").unwrap_err().contains("\"%(a)d\""));
        assert_eq!(
            get(&[text], "s", "h").unwrap_err(),
            "0.conf, line 10: [s] `h`: there is no option \"known/h\" to be put in"
        );
    }

    #[test]
    fn a_value_that_doubles_at_every_step_is_refused_in_time() {
        let mut text = "[s]\nx0 = \ny0 = ha\n".to_owned();
        for n in 1..60 {
            text.push_str(&format!("x{n} = %(x{0})s%(x{0})s\ny{n} = %(y{0})s%(y{0})s\n", n - 1));
        }

        assert!(get(&[&text], "s", "x59").unwrap_err().contains("too long"));
        assert!(get(&[&text], "s", "y59").unwrap_err().contains("too long"));
        assert_eq!(get(&[&text], "s", "y3").unwrap(), "ha".repeat(8));
    }
}
