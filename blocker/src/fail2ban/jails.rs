//! fail2ban's jails and filters as parts of a configuration of ours.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use blocker_core::config::{Config, FilterFile, Names, filter_files};
use blocker_core::engine::SourceId;
use blocker_core::fail2ban::{self, Checks, Fault, Logs, load_jails, take};
use blocker_core::filter::Filter;
use blocker_core::filter::fail2ban::Fail2ban;

use super::directory;
use crate::digest::Digest;
use crate::exit::Failure;
use crate::network::allow_files;
use crate::source::FileSource;

/// Reads and compiles the filter in a file, with parameters behind its path; also what may not be as it was meant, a sentence each.
///
/// # Errors
///
/// [`Failure::Configuration`] with file, line and option, or for an expression that cannot be used; [`Failure::Permission`].
pub fn compiled(words: &str, logs: Logs, digest: &mut Digest) -> Result<(Filter, Vec<String>)> {
    let fail2ban::Filter { definition, warnings } = directory::filter(words, logs, digest)?;
    let filter = Fail2ban::compile(definition).map_err(|error| Failure::Configuration(format!("{words}: {error}")))?;
    Ok((Filter::Fail2ban(Arc::new(filter)), warnings.iter().map(ToString::to_string).collect()))
}

/// Reads the filters that the jails in the text of a configuration name by their files, and says what may not be as it was meant.
pub fn add_filters(text: &str, names: &mut Names, digest: &mut Digest) -> Vec<String> {
    let mut warned = Vec::new();
    for file in filter_files(text) {
        let FilterFile { words, logs } = &file;
        let read = match compiled(words, *logs, digest) {
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
pub fn add_jails(config: &mut Config, names: &Names, digest: &mut Digest) -> Result<()> {
    let Some(directory) = config.daemon.fail2ban.clone() else { return Ok(()) };
    let files = directory::read(&directory).map_err(|error| match error.downcast() {
        Ok(Failure::Configuration(why)) => Failure::Configuration(format!("`daemon.fail2ban`: {why}")).into(),
        Ok(other) => anyhow::Error::from(other),
        Err(other) => other,
    })?;
    digest.add_all(&files);
    let jails = load_jails(&files, &directory::is_there).map_err(|faults| in_words(&directory, &faults))?;
    let max_line_bytes = config.daemon.max_line_bytes;
    let check_logs = |paths: &[String]| {
        if paths.is_empty() {
            return Ok(());
        }
        let source = FileSource::new(SourceId::new(0), paths.to_vec(), max_line_bytes);
        source.map(drop).map_err(|error| error.to_string())
    };
    let checks = Checks { logs: &check_logs, allow_file: &check_allow_file };
    take(&directory.to_string_lossy(), &jails, names, &checks, config);
    Ok(())
}

/// Says what is wrong with a file of addresses that are never banned.
///
/// # Errors
///
/// The file, the line and what would be right.
pub fn check_allow_file(path: &str) -> Result<(), String> {
    allow_files::check(&[PathBuf::from(path)]).map_err(|fault| fault.to_string())
}

/// All that is wrong with the files of a directory, a line each.
pub fn in_words(directory: &Path, faults: &[Fault]) -> Failure {
    let lines: Vec<String> = faults.iter().map(|fault| format!("{}: {fault}", directory.display())).collect();
    Failure::Configuration(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::testing::TempDir;

    fn added(directory: &TempDir, name: &str) -> Result<Config> {
        let mut config = Config::default();
        config.daemon.fail2ban = Some(directory.path(name));
        add_jails(&mut config, &Names::builtin(), &mut Digest::default())?;
        Ok(config)
    }

    #[test]
    fn a_directory_that_is_not_there_and_a_file_that_is_none_are_told_with_their_places() {
        let directory = TempDir::new();
        let refused = |name: &str| added(&directory, name).unwrap_err().to_string();
        assert!(refused("nosuch").starts_with("`daemon.fail2ban`: "), "{}", refused("nosuch"));

        directory.write("jail.conf", b"[a]\nenabled = true\nnonsense\n");
        assert!(refused("").contains("jail.conf, line 3: [a]: \"nonsense\" is no option"), "{}", refused(""));
    }

    #[test]
    fn a_path_that_is_no_glob_leaves_out_its_jail_alone() {
        let directory = TempDir::new();
        std::fs::create_dir(directory.path("filter.d")).unwrap();
        directory.write("filter.d/x.conf", b"[Definition]\nfailregex = ^<HOST>$\n");
        let jail = "enabled = true\nfilter = x\nbackend = polling\n";
        let jails = format!("[bad]\n{jail}logpath = /var/log/[x\n[good]\n{jail}logpath = /var/log/*/**.log\n");
        directory.write("jail.conf", jails.as_bytes());

        let config = added(&directory, "").unwrap();

        let names: Vec<&str> = config.jails.iter().map(|jail| jail.name.as_str()).collect();
        assert_eq!(names, ["dovecot", "good"]);
        let problems = config.taken.unwrap().problems();
        assert!(problems.iter().any(|problem| problem.contains("jail bad: logpath: ")), "{problems:?}");
        crate::daemon::check_inputs(&Config { taken: None, ..config }).unwrap();
    }

    #[test]
    fn a_filter_in_a_file_is_compiled_and_what_is_wrong_with_it_is_of_its_jail() {
        let directory = TempDir::new();
        directory.write("x.conf", b"[Definition]\nfailregex = ^<nothing> <HOST>$\n");
        directory.write("y.conf", b"[Definition]\nfailregex = ^(<HOST>$\n");
        let jail = |name: &str| {
            format!("[jails.{name}]\nlog = '/l'\nfilter = '{}'\n", directory.text(&format!("{name}.conf")))
        };
        let mut names = Names::builtin();

        let warnings = add_filters(&(jail("x") + &jail("y")), &mut names, &mut Digest::default());

        assert!(matches!(&warnings[..], [one] if one.contains("nothing is called \"nothing\"")), "{warnings:?}");
        let wrong: Vec<&String> = names.files.values().filter_map(|read| read.as_ref().err()).flatten().collect();
        assert!(matches!(&wrong[..], [one] if one.contains("y.conf: ") && one.contains("failregex 1")), "{wrong:?}");
    }
}
