//! fail2ban's jails and filters as parts of a configuration of ours.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use blocker_core::config::{Config, FilterFile, Names, filter_files};
use blocker_core::engine::SourceId;
use blocker_core::fail2ban::{self, Fault, Logs, load_jails, take};
use blocker_core::filter::Filter;
use blocker_core::filter::fail2ban::Fail2ban;

use super::directory;
use crate::exit::Failure;
use crate::source::FileSource;

/// Reads and compiles the filter in a file, with parameters behind its path; also what may not be as it was meant, a sentence each.
///
/// # Errors
///
/// [`Failure::Configuration`] with file, line and option, or for an expression that cannot be used; [`Failure::Permission`].
pub fn compiled(words: &str, logs: Logs) -> Result<(Filter, Vec<String>)> {
    let fail2ban::Filter { definition, warnings } = directory::filter(words, logs)?;
    let filter = Fail2ban::compile(definition).map_err(|error| Failure::Configuration(format!("{words}: {error}")))?;
    Ok((Filter::Fail2ban(Arc::new(filter)), warnings.iter().map(ToString::to_string).collect()))
}

/// Reads the filters that the jails in the text of a configuration name by their files, and says what may not be as it was meant.
pub fn add_filters(text: &str, names: &mut Names) -> Vec<String> {
    let mut warned = Vec::new();
    for file in filter_files(text) {
        let FilterFile { words, logs } = &file;
        let read = match compiled(words, *logs) {
            Ok((filter, warnings)) => {
                warned.extend(warnings.iter().map(|warning| format!("{words}: {warning}")));
                Ok(filter)
            }
            Err(error) => Err(format!("{error:#}").lines().map(str::to_owned).collect()),
        };
        names.files.insert(file, read);
    }
    warned
}

/// Puts the jails of the directory that `config` names, if it names one, beside its own.
///
/// # Errors
///
/// What is wrong with files that jails are in: [`Failure::Configuration`] with file, line and option, a line each; or
/// [`Failure::Permission`]. What is wrong with one jail leaves out that.
pub fn add_jails(config: &mut Config, names: &Names) -> Result<()> {
    let Some(directory) = config.daemon.fail2ban.clone() else { return Ok(()) };
    let files = directory::read(&directory).map_err(|error| match error.downcast() {
        Ok(Failure::Configuration(why)) => Failure::Configuration(format!("`daemon.fail2ban`: {why}")).into(),
        Ok(other) => anyhow::Error::from(other),
        Err(other) => other,
    })?;
    let jails = load_jails(&files, &directory::is_there).map_err(|faults| in_words(&directory, &faults))?;
    let max_line_bytes = config.daemon.max_line_bytes;
    let check_logs = |paths: &[String]| {
        if paths.is_empty() {
            return Ok(());
        }
        let source = FileSource::new(SourceId::new(0), paths.to_vec(), max_line_bytes);
        source.map(drop).map_err(|error| error.to_string())
    };
    take(&directory.to_string_lossy(), &jails, names, &check_logs, config);
    Ok(())
}

/// All that is wrong with the files of a directory, a line each.
pub fn in_words(directory: &Path, faults: &[Fault]) -> Failure {
    let lines: Vec<String> = faults.iter().map(|fault| format!("{}: {fault}", directory.display())).collect();
    Failure::Configuration(lines.join("\n"))
}
