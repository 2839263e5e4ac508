//! Looks at everything, and changes nothing.

mod interfaces;
mod listening;
mod logs;
mod machine;
mod memory;

use blocker_core::config::{Config, Places};

use super::facts::{Configuration, Daemon, Facts, Interfaces, Told};
use crate::control::client::Client;
use crate::control::wire::{Reply, Request};
use crate::exit::Failure;

/// Looks at the machine, at what `configuration` wants of it, and at the daemon in `places`. Of a configuration that cannot
/// be used, the defaults stand in for it.
#[must_use]
pub fn gather(configuration: Configuration, places: &Places) -> Facts {
    let daemon = daemon(places);
    let config = configuration.config().cloned().unwrap_or_default();
    Facts {
        machine: machine::machine(&config, places, &daemon),
        interfaces: told(patiently(|| interfaces::interfaces(&config, places))),
        logs: configuration.config().map_or_else(Vec::new, logs),
        listening: told(listening::listening()),
        daemon,
        configuration,
    }
}

fn logs(config: &Config) -> Vec<super::facts::JailLogs> {
    logs::logs(&config.jails)
}

fn daemon(places: &Places) -> Daemon {
    let mut status = None;
    let asked = Client::connect(&places.runtime).and_then(|mut client| {
        client.ask(&Request::Status, |reply| {
            if let Reply::Status(said) = reply {
                status = Some(said);
            }
            Ok(())
        })
    });
    match (asked, status) {
        (Ok(()), Some(status)) => Daemon::Running(status),
        (Ok(()), None) => Daemon::Unknown("its answer has no status: is it of another version?".to_owned()),
        (Err(error), _) => match error.downcast_ref::<Failure>() {
            Some(Failure::NotRunning(_)) => Daemon::NotRunning,
            Some(Failure::Usage(_) | Failure::Permission(_) | Failure::Configuration(_)) | None => {
                Daemon::Unknown(format!("{error:#}"))
            }
        },
    }
}

/// How often interfaces are looked at where they cannot be listed in the time that is bearable to the daemon; nobody waits
/// for the doctor.
const ATTEMPTS: u32 = 10;

fn patiently(look: impl Fn() -> anyhow::Result<Interfaces>) -> anyhow::Result<Interfaces> {
    let mut looked = look();
    for _ in 1..ATTEMPTS {
        if looked.as_ref().is_ok_and(|interfaces| interfaces.are_routes_whole) {
            break;
        }
        looked = look();
    }
    looked
}

/// The result with the error in words.
fn told<T>(result: anyhow::Result<T>) -> Told<T> {
    result.map_err(|error| format!("{error:#}"))
}
