//! Whom fail2ban's jails ignore, as whom we never ban: networks, and files that name more.

use std::collections::BTreeSet;

use super::fault::shown;
use super::import::{Fate, Note, note};
use super::inputs::MAX_PATH_BYTES;
use super::jail::Jail;
use crate::config::MAX_ALLOW_FILES;
use crate::prefix::Prefix;

/// Whoever one of the jails ignores.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Allowed {
    /// Addresses and networks.
    pub(super) allow: Vec<Prefix>,
    /// Files of them, which are in order.
    pub(super) allow_files: Vec<String>,
}

/// An entry of `ignoreip`.
pub(super) enum Ignored<'a> {
    Network(Prefix),
    File(&'a str),
    /// A name, which would have to be looked up, or no address at all.
    Other,
}

impl<'a> Ignored<'a> {
    pub(super) fn read(entry: &'a str) -> Self {
        match (network(entry), entry.strip_prefix("file:")) {
            (Some(prefix), _) => Self::Network(prefix),
            (None, Some(path)) => Self::File(path),
            (None, None) => Self::Other,
        }
    }
}

/// Whoever one of the jails ignores. `check_file` says what is wrong with a file.
pub(super) fn allowed(
    jails: &[&Jail],
    check_file: &dyn Fn(&str) -> Result<(), String>,
    notes: &mut Vec<Note>,
) -> Allowed {
    let mut allow = BTreeSet::new();
    let mut is_too_many = false;
    let mut allow_files: Vec<String> = Vec::new();
    let mut told = BTreeSet::new();
    let mut refuse = |entry: &str, why: &str| {
        notes.push(note(Fate::Refused, "ignoreip", format!("{}: {why}", shown(entry))));
    };
    for entry in jails.iter().flat_map(|jail| &jail.ignore_ip) {
        match Ignored::read(entry) {
            Ignored::Network(prefix) if allow.len() < MAX_ALLOWED || allow.contains(&prefix) => {
                allow.insert(prefix);
            }
            Ignored::Network(_) => is_too_many = true,
            Ignored::File(_) | Ignored::Other if !told.insert(entry) => {}
            Ignored::File(path)
                if !path.starts_with('/') || path.contains(char::is_control) || path.len() > MAX_PATH_BYTES =>
            {
                refuse(entry, "expected an absolute path");
            }
            Ignored::File(_) if allow_files.len() == MAX_ALLOW_FILES => {
                refuse(entry, &format!("there are more than {MAX_ALLOW_FILES} such files: join them"));
            }
            Ignored::File(path) => match check_file(path) {
                Ok(()) => allow_files.push(path.to_owned()),
                Err(why) => refuse(
                    entry,
                    &format!("{why}: `daemon.allow_files` has one address or network a line, and `#` begins a comment"),
                ),
            },
            Ignored::Other => refuse(
                entry,
                "no address and no network; names are never looked up: write its addresses into `daemon.allow`",
            ),
        }
    }
    if is_too_many {
        let why = format!("there are more than {MAX_ALLOWED}: join them to networks");
        notes.push(note(Fate::Refused, "ignoreip", why));
    }
    Allowed { allow: allow.into_iter().collect(), allow_files }
}

/// As many entries as a list in a configuration may have.
pub(super) const MAX_ALLOWED: usize = 1_024;

/// `192.0.2.9`, `192.0.2.0/24`, `192.0.0.0/255.255.0.0`.
fn network(text: &str) -> Option<Prefix> {
    if let Ok(prefix) = text.parse() {
        return Some(prefix);
    }
    let (address, mask) = text.split_once('/')?;
    let mask = u32::from(mask.parse::<std::net::Ipv4Addr>().ok()?);
    let is_mask = mask.leading_ones() + mask.trailing_zeros() == 32;
    is_mask.then(|| format!("{address}/{}", mask.leading_ones()).parse().ok()).flatten()
}
