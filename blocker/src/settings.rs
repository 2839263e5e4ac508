//! Reads the configuration file, and tells people what is wrong with it.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use blocker_core::config::{self, Config, EarlierName, Interfaces, Names, Places, Services};
use blocker_core::filter::Filter;
use blocker_core::filter::registry::Filters;

use crate::digest::Digest;
use crate::exit::{Failure, is_permission};
use crate::fail2ban;
use crate::network;
use crate::regular;

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
    load_known(path).map(|(config, _)| config)
}

/// The same, with what tells it from every other configuration: a digest of the file, the filters beside it, and what of fail2ban's
/// was read for it. Lists of addresses that are never banned are not in it, since they are read again as they change; nor are the
/// machine's names of ports.
///
/// # Errors
///
/// As [`load`].
pub fn load_known(path: &Path) -> Result<(Config, Digest)> {
    let text = text(path)?;
    let mut digest = Digest::default();
    digest.add(text.as_bytes());
    let filters = read_filters(path, &mut digest)?;
    let mut names = Names { services: services(), filters, files: BTreeMap::new() };
    let warnings = fail2ban::add_filters(&text, &mut names, &mut digest);
    let mut config = config::read(&text, &names).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(|error| format!("{}: {error}", path.display())).collect();
        Failure::Configuration(lines.join("\n"))
    })?;
    config.warnings = warnings;
    fail2ban::add_jails(&mut config, &names, &mut digest)?;
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
    Ok((config, digest))
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
    regular::read_text(path, MAX_CONFIG_BYTES)
}

/// The built-in filters and those beside the configuration in `path`, in the order of their files' names.
///
/// # Errors
///
/// [`Failure::Configuration`] with the file and what is wrong in it.
pub fn filters(path: &Path) -> Result<Filters> {
    read_filters(path, &mut Digest::default())
}

fn read_filters(path: &Path, digest: &mut Digest) -> Result<Filters> {
    let directory = path.with_file_name(FILTERS);
    let mut filters = Filters::builtin();
    for path in filter_files(&directory).map_err(|error| fault(&directory, error))? {
        let text = read(&path).map_err(|error| fault(&path, error))?;
        digest.add(text.as_bytes());
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::testing::TempDir;

    #[test]
    fn whatever_is_read_for_a_configuration_is_in_its_digest() {
        let dir = TempDir::new();
        for name in ["filters.d", "f", "f/filter.d", "other"] {
            fs::create_dir(dir.path(name)).expect("it can be made");
        }
        let main = format!(
            "[daemon]\nfail2ban = '{}'\nallow_files = ['{}']\n[jails.x]\nlog = '/l'\nfilter = '{}'\n",
            dir.text("f"),
            dir.text("allowed"),
            dir.text("other/x.conf"),
        );
        let own = "name = 'own'\ndescription = 'x'\nprogram = ['own']\n[[pattern]]\nname = 'a'\nmatch = '^no user from <ADDR>$'\n";
        let files = [
            ("blocker.toml", main.as_str()),
            ("filters.d/own.toml", own),
            ("f/jail.conf", "[DEFAULT]\nbantime = 1h\n"),
            ("f/filter.d/y.conf", "[Definition]\nfailregex = ^<HOST>$\n"),
            ("other/x.conf", "[Definition]\nfailregex = ^<HOST>$\n"),
            ("other/common.conf", "[Definition]\n"),
        ];
        for (name, text) in files {
            dir.write(name, text.as_bytes());
        }
        dir.write("allowed", b"192.0.2.1\n");
        let digest = || load_known(&dir.path("blocker.toml")).unwrap_or_else(|error| panic!("{error:#}")).1;
        let before = digest();

        for (name, text) in files {
            dir.write(name, format!("{text}# changed\n").as_bytes());
            assert_ne!(digest(), before, "{name}");
            dir.write(name, text.as_bytes());
            assert_eq!(digest(), before, "{name} is as it was");
        }
        dir.write("allowed", b"192.0.2.1\n192.0.2.2\n");
        assert_eq!(digest(), before, "that is read again whenever it changes");
    }

    #[test]
    fn a_pipe_in_place_of_the_configuration_or_of_a_filter_is_refused_at_once() {
        let dir = TempDir::new();
        dir.write("blocker.toml", b"");
        fs::create_dir(dir.path("filters.d")).expect("it can be made");
        let pipe = dir.path("filters.d/pipe.toml");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("it can be made");

        for path in [dir.path("blocker.toml"), pipe.clone()] {
            let (told, answer) = std::sync::mpsc::channel();
            std::thread::spawn(move || told.send(load(&path).map(drop).map_err(|error| error.to_string())));
            let refused = answer.recv_timeout(std::time::Duration::from_secs(20)).expect("an answer at once");
            let words = format!("{}: is a FIFO, expected a regular file", pipe.display());
            assert_eq!(refused, Err(words));
        }
    }
}
