//! Reads the configuration file, and tells people what is wrong with it.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use blocker_core::config::{self, Config, EarlierName, Interfaces, Names, Places, Services};
use blocker_core::filter::Filter;
use blocker_core::filter::registry::Filters;
use blocker_core::keyed::HashKey;

use crate::exit::{Failure, is_permission};
use crate::fail2ban;
use crate::network;

/// Where the configuration is unless `--config` says otherwise.
pub const DEFAULT_PATH: &str = "/etc/blocker/blocker.toml";

/// Where filters of an administrator's own are: files called `*.toml` in this directory beside the configuration.
const FILTERS: &str = "filters.d";

/// Most files of filters.
const MAX_FILTERS: usize = 256;

/// Largest configuration file that is read, in bytes; also of a filter.
const MAX_CONFIG_BYTES: u64 = 4 * 1024 * 1024;

/// Reads the configuration in `path`, with the filters and jails of fail2ban that it names.
///
/// # Errors
///
/// [`Failure::Configuration`] with every fault on a line of its own: file, line, key, what was expected. What is wrong with one jail of
/// fail2ban's alone is in [`Config::taken`].
pub fn load(path: &Path) -> Result<Config> {
    let text = text(path)?;
    let mut names = names(path)?;
    let warnings = fail2ban::add_filters(&text, &mut names);
    let mut config = config::read(&text, &names).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(|error| format!("{}: {error}", path.display())).collect();
        Failure::Configuration(lines.join("\n"))
    })?;
    config.warnings = warnings;
    fail2ban::add_jails(&mut config, &names)?;
    let interfaces: &[String] = match &config.daemon.interfaces {
        Interfaces::Auto => &[],
        Interfaces::Named(names) => names,
    };
    for (key, names) in [("interfaces", interfaces), ("observe_interfaces", &config.daemon.observe_interfaces)] {
        for name in names {
            network::check_pattern(name).map_err(|error| {
                let path = path.display();
                Failure::Configuration(format!("{path}: `daemon.{key}` has {name:?}, not a valid glob: {error}"))
            })?;
        }
    }
    Ok(config)
}

/// What the configuration in `path` may name: the machine's services, and the filters there are.
///
/// # Errors
///
/// As [`filters`].
pub fn names(path: &Path) -> Result<Names> {
    Ok(Names { services: services(), filters: filters(path)?, files: BTreeMap::new() })
}

/// The jails of the configuration in `path` that call a filter by a name that it had before.
///
/// # Errors
///
/// As [`load`].
pub fn earlier_names(path: &Path) -> Result<Vec<EarlierName>> {
    Ok(config::earlier_names(&text(path)?, &names(path)?))
}

/// What tells the configuration in `path` from every other one: a digest of the file's text.
///
/// # Errors
///
/// If the file cannot be read.
pub fn digest(path: &Path) -> Result<String> {
    // No secret: whoever writes the file may have it say anything.
    Ok(format!("{:016x}", HashKey::default().hash(text(path)?.as_bytes())))
}

/// Where the daemon is that the commands talk to, by the configuration in `path`. Faults elsewhere in it do not matter here:
/// they must not keep an administrator from the daemon.
///
/// # Errors
///
/// If the file cannot be read at all.
pub fn places(path: &Path) -> Result<Places> {
    Ok(config::places(&text(path)?))
}

/// The text of the file. The default path may be absent: every key has a default.
fn text(path: &Path) -> Result<String> {
    match read(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == ErrorKind::NotFound && path == Path::new(DEFAULT_PATH) => Ok(String::new()),
        Err(error) if is_permission(&error) => Err(Failure::Permission(format!("{}: {error}", path.display())).into()),
        Err(error) => {
            let hint = if error.kind() == ErrorKind::NotFound { "; an empty file is a configuration, too" } else { "" };
            Err(Failure::Configuration(format!("{}: {error}{hint}", path.display())).into())
        }
    }
}

fn read(path: &Path) -> std::io::Result<String> {
    let size = fs::metadata(path)?.len();
    if size > MAX_CONFIG_BYTES {
        return Err(std::io::Error::other(format!("{size} bytes, expected at most {MAX_CONFIG_BYTES}")));
    }
    fs::read_to_string(path)
}

/// The built-in filters and those beside the configuration in `path`, in the order of their files' names.
///
/// # Errors
///
/// [`Failure::Configuration`] with the file and what is wrong in it.
pub fn filters(path: &Path) -> Result<Filters> {
    let directory = path.with_file_name(FILTERS);
    let mut filters = Filters::builtin();
    for path in filter_files(&directory).map_err(|error| fault(&directory, error))? {
        let text = read(&path).map_err(|error| fault(&path, error))?;
        filters.add(&text).map_err(|error| fault(&path, error))?;
    }
    Ok(filters)
}

/// The filter in the file at `path`, which may extend a built-in one.
///
/// # Errors
///
/// [`Failure::Configuration`] with the file and what is wrong in it.
pub fn filter(path: &Path) -> Result<Filter> {
    let text = read(path).map_err(|error| fault(path, error))?;
    let mut filters = Filters::builtin();
    let name = filters.add(&text).map_err(|error| fault(path, error))?;
    filters.by_name(&name).cloned().with_context(|| format!("the filter `{name}` was just added"))
}

fn filter_files(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
        if files.len() > MAX_FILTERS {
            return Err(std::io::Error::other(format!("more than {MAX_FILTERS} filters")));
        }
    }
    files.sort_unstable();
    Ok(files)
}

fn fault(path: &Path, error: impl std::fmt::Display) -> Failure {
    Failure::Configuration(format!("{}: {error}", path.display()))
}

/// The machine's names of ports, or the well-known ones.
fn services() -> Services {
    fs::read_to_string("/etc/services").map_or_else(|_| Services::builtin(), |text| Services::with_etc_services(&text))
}
