//! Reads the configuration file, and tells people what is wrong with it.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::Result;
use blocker_core::config::{self, Config, Interfaces, Places, Services};

use crate::exit::{Failure, is_permission};
use crate::network;

/// Where the configuration is unless `--config` says otherwise.
pub const DEFAULT_PATH: &str = "/etc/blocker/blocker.toml";

/// Largest configuration file that is read, in bytes.
const MAX_CONFIG_BYTES: u64 = 4 * 1024 * 1024;

/// Reads the configuration in `path`.
///
/// # Errors
///
/// [`Failure::Configuration`] with every fault on a line of its own: file, line, key, what was expected.
pub fn load(path: &Path) -> Result<Config> {
    let config = config::read(&text(path)?, &services()).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(|error| format!("{}: {error}", path.display())).collect();
        Failure::Configuration(lines.join("\n"))
    })?;
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
        Err(error) => Err(Failure::Configuration(format!("{}: {error}", path.display())).into()),
    }
}

fn read(path: &Path) -> std::io::Result<String> {
    let size = fs::metadata(path)?.len();
    if size > MAX_CONFIG_BYTES {
        return Err(std::io::Error::other(format!("{size} bytes, expected at most {MAX_CONFIG_BYTES}")));
    }
    fs::read_to_string(path)
}

/// The machine's names of ports, or the well-known ones.
fn services() -> Services {
    fs::read_to_string("/etc/services").map_or_else(|_| Services::builtin(), |text| Services::with_etc_services(&text))
}
