//! Several files as one: what includes what, and what is read after what.

use std::sync::Arc;

use super::fault::{Fault, Place, Problem};
use super::files::Files;
use super::ini::{self, DEFAULT, Sections, Value};

/// Files that were laid over one another.
#[derive(Clone, Debug, Default)]
pub(super) struct Chain {
    pub(super) sections: Sections,
    /// What was left out and would be missed.
    pub(super) warnings: Vec<Fault>,
    /// How many files it is made of.
    read: usize,
}

impl Chain {
    /// What the jails are read from: `jail.conf`, `jail.d/*.conf`, `jail.local`, `jail.d/*.local`, the later ones winning.
    ///
    /// # Errors
    ///
    /// What is wrong in any of them: fail2ban would not start, or would start without the file.
    pub(super) fn of_jails(files: &Files) -> Result<Self, Vec<Fault>> {
        Self::of_all(files, "jail")
    }

    /// What fail2ban itself is set up by: `fail2ban.conf` and so on.
    ///
    /// # Errors
    ///
    /// As for [`Chain::of_jails`].
    pub(super) fn of_program(files: &Files) -> Result<Self, Vec<Fault>> {
        Self::of_all(files, "fail2ban")
    }

    fn of_all(files: &Files, stem: &str) -> Result<Self, Vec<Fault>> {
        let [directory, conf, local] = [".d", ".conf", ".local"].map(|ending| format!("{stem}{ending}"));
        let of_kind = |ending: &'static str| files.within(&directory).filter(move |path| path.ends_with(ending));
        let first = std::iter::once(conf.as_str()).chain(of_kind(".conf"));
        let later = std::iter::once(local.as_str()).chain(of_kind(".local"));
        Self::of(files, &first.chain(later).collect::<Vec<_>>())
    }

    /// What a filter or an action is read from: `filter.d/NAME.conf`, then `filter.d/NAME.local`.
    ///
    /// # Errors
    ///
    /// As for [`Chain::of_jails`].
    pub(super) fn of_part(files: &Files, directory: &str, name: &str) -> Result<Self, Vec<Fault>> {
        let paths = [".conf", ".local"].map(|ending| format!("{directory}/{name}{ending}"));
        Self::of(files, &paths.each_ref().map(String::as_str))
    }

    /// The files of `paths` that are there, at least one, each with those that it includes.
    fn of(files: &Files, paths: &[&str]) -> Result<Self, Vec<Fault>> {
        let mut chain = Self::default();
        let everybodys = chain.sections.entry(DEFAULT);
        for (key, text) in [("fail2ban_confpath", files.directory()), ("fail2ban_version", VERSION)] {
            let place = Place { file: "fail2ban".into(), line: 0 };
            everybodys.insert(key.to_owned(), Value { text: text.replace('%', "%%"), place, previous: None });
        }
        let mut faults = Vec::new();
        for path in paths {
            if files.get(path).is_some() {
                chain.add(files, path, &mut Vec::new(), &mut faults);
            }
        }
        if chain.read == 0 && faults.is_empty() {
            let names = paths.iter().map(|&path| path.to_owned()).collect();
            faults.push(Fault { place: None, section: None, key: None, problem: Problem::NoFile(names) });
        }
        if faults.is_empty() { Ok(chain) } else { Err(bounded(faults)) }
    }

    /// Lays a file over the others: those it wants before it, itself, those it wants after it. `within` are the files that
    /// include it; what is in there is not read again.
    fn add(&mut self, files: &Files, path: &str, within: &mut Vec<String>, faults: &mut Vec<Fault>) {
        let Some(bytes) = files.get(path) else { return };
        let file: Arc<str> = path.into();
        if within.len() == MAX_DEPTH || self.read == MAX_READ {
            faults.push(Fault::at(&file, None, Problem::Includes));
            return;
        }
        self.read += 1;
        let mut sections = match ini::read(path, bytes) {
            Ok(sections) => sections,
            Err(more) => {
                faults.extend(more);
                return;
            }
        };
        let includes = sections.by_name.remove("INCLUDES").unwrap_or_default();
        sections.order.retain(|name| name != "INCLUDES");
        for (name, section) in &sections.by_name {
            let is_expression = |key: &str| key.starts_with('^') || key.contains("<host>") || key.contains("(?");
            for (key, value) in section.iter().filter(|(key, _)| is_expression(key)) {
                self.warnings.push(Fault::of(Some(&value.place), name, key, Problem::NotIndented));
            }
        }
        within.push(path.to_owned());
        let mut later = Some(sections);
        for key in ["before", "after"] {
            if key == "after"
                && let Some(sections) = later.take()
            {
                self.sections.lay_over(sections);
            }
            let Some(value) = includes.get(key) else { continue };
            for name in value.text.lines().map(str::trim).filter(|name| !name.is_empty()) {
                let fault = |problem| Fault::of(Some(&value.place), "INCLUDES", key, problem);
                match beside(path, name) {
                    None => self.warnings.push(fault(Problem::Outside(name.to_owned()))),
                    Some(included) if within.contains(&included) => {}
                    Some(included) => {
                        let local = included.strip_suffix(".conf").map(|stem| format!("{stem}.local"));
                        let local = local.filter(|local| files.get(local).is_some());
                        // Files for one's own changes may be absent.
                        if files.get(&included).is_none() && local.is_none() && !included.ends_with(".local") {
                            self.warnings.push(fault(Problem::NoInclude(name.to_owned())));
                        }
                        for path in std::iter::once(included).chain(local) {
                            self.add(files, &path, within, faults);
                        }
                    }
                }
            }
        }
        within.pop();
    }
}

/// The path of the file that the one at `path` calls `name`; `None` if that is outside of all.
fn beside(path: &str, name: &str) -> Option<String> {
    if name.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The first faults, and how many there are more.
pub(super) fn bounded(mut faults: Vec<Fault>) -> Vec<Fault> {
    if faults.len() > MAX_FAULTS {
        let surplus = faults.split_off(MAX_FAULTS - 1).len();
        faults.push(Fault { place: None, section: None, key: None, problem: Problem::More(surplus) });
    }
    faults
}

/// The version of fail2ban that its files are read like.
const VERSION: &str = "1.1.0";

/// Most files that one chain reads.
const MAX_READ: usize = 256;

/// How deep files may include one another.
const MAX_DEPTH: usize = 16;

/// Most faults reported at once.
const MAX_FAULTS: usize = 20;
