//! A filter or an action: its files as one, its parameters, and the tags `<name>` in its options.
//!
//! `[Init]` wins over `[Definition]`, parameters win over both, and all of them may be put in by `%(name)s` as well as by
//! `<name>`. What is put in for a tag may have tags, and may be part of a tag itself: `<mdre-<mode>>`. `<known/name>` is what a
//! parameter was before it was given, `<section/name>` an option of another section. A tag that nothing is called by stays, and in a
//! filter one that has a value for a family of addresses.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::chain::Chain;
use super::fault::{Fault, Place, Problem};
use super::files::Files;
use super::ini::{self, Sections, Value};
use super::interpolation::{Scope, Work};
use super::parameters::{Named, as_values};

const DEFINITION: &str = "Definition";
const INIT: &str = "Init";

/// A filter or an action with its parameters.
pub(super) struct Part {
    sections: Sections,
    /// Names whose tags stay: there is another value for a family of addresses (`[Init?family=inet6]`, `name?family=inet6`).
    never_put_in: BTreeSet<String>,
    /// What was left out and would be missed.
    pub(super) warnings: Vec<Fault>,
}

impl Part {
    /// Reads `directory/NAME.conf` and what belongs to it. `at` is where it is called; each of `defaults` is an option for when it
    /// has none of that name.
    ///
    /// # Errors
    ///
    /// What is wrong with the files.
    pub(super) fn load(
        files: &Files,
        directory: &str,
        named: &Named,
        at: &Place,
        defaults: &[(&str, &str)],
    ) -> Result<Self, Vec<Fault>> {
        let Chain { mut sections, warnings, .. } = Chain::of_part(files, directory, &named.name)?;
        let init = sections.get(INIT).cloned().unwrap_or_default();
        let definition = sections.entry(DEFINITION);
        for (key, mut value) in init {
            value.previous = value.previous.or_else(|| definition.get(&key).cloned().map(Arc::new));
            definition.insert(key, value);
        }
        for (key, value) in as_values(&named.parameters, at) {
            ini::set(definition, key, value);
        }
        for &(key, text) in defaults {
            // These go before what [DEFAULT] has, and behind everything that is more particular.
            let value = Value { text: text.to_owned(), place: at.clone(), previous: None };
            definition.entry(key.to_owned()).or_insert(value);
        }
        // In an action these are put in when somebody is banned, by the family of the address; in a filter never.
        let of_families =
            sections.by_name.iter().filter(|(name, _)| name.starts_with("Init?")).flat_map(|(_, of)| of.keys());
        let of_options =
            sections.get(DEFINITION).into_iter().flatten().filter_map(|(key, _)| Some(key.split_once('?')?.0));
        let families: BTreeSet<String> = of_families.map(String::as_str).chain(of_options).map(str::to_owned).collect();
        let never_put_in = if directory == super::filter::DIRECTORY { families } else { BTreeSet::new() };
        Ok(Self { sections, never_put_in, warnings })
    }

    /// Where the option stands.
    pub(super) fn place(&self, key: &str) -> Option<&Place> {
        Scope::new(&self.sections, DEFINITION).value(key).map(|value| &value.place)
    }

    /// What the option is, with everything put in.
    ///
    /// # Errors
    ///
    /// What cannot be put in.
    pub(super) fn get(&self, key: &str) -> Result<Option<String>, Fault> {
        let Some(text) = Scope::new(&self.sections, DEFINITION).get(key)? else { return Ok(None) };
        let fault = |problem| Fault::of(self.place(key), DEFINITION, key, problem);
        let mut stack = vec![key.to_owned()];
        self.put_in(text, &mut stack, &mut Work::new()).map(Some).map_err(|error| match error {
            Stop::Fault(fault) => *fault,
            Stop::Problem(problem) => fault(problem),
        })
    }

    fn put_in(&self, mut text: String, stack: &mut Vec<String>, work: &mut Work) -> Result<String, Stop> {
        // What was put in may make a tag of what is around it, once for each level that tags are nested.
        for _ in 0..MAX_PASSES {
            let mut done = String::new();
            let mut is_changed = false;
            let mut rest = text.as_str();
            while let Some((before, after)) = rest.split_once('<') {
                done.push_str(before);
                let end = after.find(['<', '>', ' ']).unwrap_or(after.len());
                let (name, behind) = after.split_at(end);
                rest = after;
                if let (false, Some(behind)) = (name.is_empty(), behind.strip_prefix('>'))
                    && let Some(value) = self.tag(name, stack, work)?
                {
                    done.push_str(&value);
                    rest = behind;
                    is_changed = true;
                } else {
                    done.push('<');
                }
                work.step(done.len()).map_err(Stop::Problem)?;
            }
            done.push_str(rest);
            text = done;
            if !is_changed {
                return Ok(text);
            }
        }
        Err(Stop::Problem(Problem::Cycle(stack.last().cloned().unwrap_or_default())))
    }

    /// What a tag stands for, if it is one of ours.
    fn tag(&self, name: &str, stack: &mut Vec<String>, work: &mut Work) -> Result<Option<String>, Stop> {
        let name = match name.split_once('/') {
            Some((section, option)) => format!("{section}/{}", option.to_lowercase()),
            None => name.to_lowercase(),
        };
        if self.never_put_in.contains(&name) {
            return Ok(None);
        }
        let scope = Scope::new(&self.sections, DEFINITION);
        let text = match name.split_once('/') {
            Some(("known", option)) => {
                let previous = scope.value(option).and_then(|value| scope.before(option, value));
                previous.map(|value| scope.expand(option, value)).transpose()
            }
            Some((section, option)) if self.sections.get(section).is_some() => {
                Scope::new(&self.sections, section).get(option)
            }
            Some(_) => return Ok(None),
            None => scope.get(&name),
        };
        let Some(text) = text.map_err(|fault| Stop::Fault(Box::new(fault)))? else { return Ok(None) };
        if stack.contains(&name) || stack.len() == MAX_PASSES {
            return Err(Stop::Problem(Problem::Cycle(name)));
        }
        stack.push(name);
        let text = self.put_in(text, stack, work)?;
        stack.pop();
        Ok(Some(text))
    }
}

/// Why a value cannot be completed.
enum Stop {
    /// Something is wrong elsewhere.
    Fault(Box<Fault>),
    /// Something is wrong here.
    Problem(Problem),
}

/// How often a value is gone through for tags, and how deep they may lie in one another: fail2ban's own bound.
const MAX_PASSES: usize = 25;

/// The names in `text` that are written as tags of an option's and that nothing is called by.
pub(super) fn unresolved(text: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('<') {
        rest = after;
        // `(?P<name>…)` is a group of the expression's own.
        if before.ends_with("(?P") || before.ends_with("(?") {
            continue;
        }
        let end = after.find(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit() && !"_-/".contains(c));
        if let Some((name, behind)) = end.map(|end| after.split_at(end))
            && behind.starts_with('>')
            && name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
            && !names.iter().any(|known| known == name)
        {
            names.push(name.to_owned());
        }
    }
    names
}
