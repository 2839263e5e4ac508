//! The key `filter`: the name of a filter, or the file of one of fail2ban's.
//!
//! Files are not opened here: [`files`] says which are wanted, and [`super::Names::files`] has what became of them.

use super::error::Problem;
use super::kinds::{MAX_PATH_BYTES, is_path};
use super::value::{Kind, Read, Reading};
use super::walk::{Found, Named, Section};
use super::{EarlierName, FilterFile, MAX_JAILS};
use crate::fail2ban::Logs;
use crate::filter::Filter;

/// The files that jails name as their filters.
pub(super) fn files(root: &mut Section<'_, '_>) -> Vec<FilterFile> {
    root.table("jails", |section| {
        let jails = section.named().into_iter().take(MAX_JAILS);
        let file = |jail| {
            section.enter(jail, |section| match section.find("filter", &FILTER_WORDS) {
                Found::Value(words) if is_file(&words) => Some(FilterFile { words, logs: logs(section) }),
                Found::Value(_) | Found::Faulty | Found::Absent => None,
            })
        };
        jails.filter_map(file).collect()
    })
}

/// The jails that have a built-in filter by a name that it had before: each with that name, and the present one.
pub(super) fn earlier(root: &mut Section<'_, '_>) -> Vec<EarlierName> {
    root.table("jails", |section| {
        let jails = section.named().into_iter().take(MAX_JAILS);
        let earlier = |jail| {
            let Named { name, .. } = jail;
            section.enter(jail, |section| {
                let earlier = match section.find("filter", &FILTER_WORDS) {
                    Found::Value(words) => words,
                    Found::Absent => name.to_owned(),
                    Found::Faulty => return None,
                };
                let present = section.filters().by_name(&earlier)?.name().to_owned();
                (present != earlier).then(|| EarlierName { jail: name.to_owned(), earlier, present })
            })
        };
        jails.filter_map(earlier).collect()
    })
}

/// Where a jail's lines come from, for filters to which that matters.
fn logs(section: &Section<'_, '_>) -> Logs {
    let reads_else = ["log", "command", "syslog"].into_iter().any(|key| section.has(key));
    if section.has("journal") && !reads_else { Logs::Journal } else { Logs::Files }
}

const FILTER: Kind<Filter> = Kind {
    expected: "the name of a filter, or the path of one of fail2ban's",
    read: |value| filter(value, Logs::Files),
};

const FILTER_OF_JOURNAL: Kind<Filter> = Kind { expected: FILTER.expected, read: |value| filter(value, Logs::Journal) };

/// The kind of the key `filter` in this table.
pub(super) fn kind(section: &Section<'_, '_>) -> &'static Kind<Filter> {
    match logs(section) {
        Logs::Files => &FILTER,
        Logs::Journal => &FILTER_OF_JOURNAL,
    }
}

fn filter(value: Reading<'_>, logs: Logs) -> Read<Filter> {
    let Some(words) = value.text() else { return value.or_unexpected(None) };
    if is_file(words) {
        return match value.filter_file(&FilterFile { words: words.to_owned(), logs }) {
            Some(Ok(filter)) => Ok(filter.clone()),
            Some(Err(wrong)) => {
                Err(wrong.iter().flat_map(|wrong| value.fault(Problem::FilterFile(wrong.clone()))).collect())
            }
            None => value.or_unexpected(None),
        };
    }
    let known = value.filters();
    known.by_name(words).cloned().ok_or_else(|| value.no_such("filter", known.iter().map(Filter::name), true))
}

const FILTER_WORDS: Kind<String> =
    Kind { expected: FILTER.expected, read: |value| value.or_unexpected(value.text().map(str::to_owned)) };

/// Whether these are the path of a filter of fail2ban's, with parameters.
fn is_file(words: &str) -> bool {
    let path = words.split_once('[').map_or(words, |(path, _)| path);
    is_path(words, MAX_PATH_BYTES) && (path.ends_with(".conf") || path.ends_with(".local"))
}
