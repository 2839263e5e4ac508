//! The interfaces to protect: attached when they are there, let go of when they are gone.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use blocker_core::config;

use crate::kernel::Kernel;
use crate::network::{self, Interface, Suitability};

/// Every interface that is wanted, and why it is not attached if it is not.
#[derive(Debug, Default)]
pub(super) struct Interfaces {
    states: BTreeMap<String, State>,
}

/// How an interface is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The program is attached to it.
    Attached {
        /// Its index.
        index: u32,
    },
    /// It is not; the text says why.
    Detached {
        /// What is wrong and what will happen.
        why: String,
    },
}

impl Interfaces {
    /// By name.
    pub(super) fn states(&self) -> impl Iterator<Item = (&str, &State)> {
        self.states.iter().map(|(name, state)| (name.as_str(), state))
    }

    /// Looks at what is there, attaches what can be, forgets what is gone. Each change is logged once.
    pub(super) fn update(&mut self, configured: &config::Daemon, kernel: &mut Kernel) {
        for (name, why) in kernel.check_attachments() {
            tracing::error!(interface = %name, "the program is not attached any more ({why}): it is attached anew");
            self.states.remove(&name);
        }
        let (there, names) = match look(&configured.interfaces, kernel) {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!("the network interfaces cannot be read: {error:#}");
                return;
            }
        };
        let mut states = BTreeMap::new();
        for name in names {
            let state = match there.get(&name) {
                None => {
                    State::Detached { why: "there is no such interface; it is attached when it appears".to_owned() }
                }
                Some(interface) => match interface.suitability {
                    Suitability::OtherLink(kind) => State::Detached {
                        why: format!(
                            "its frames have no Ethernet header (link type {kind}): attach to the interface below it"
                        ),
                    },
                    Suitability::Ethernet => {
                        let observes = configured.observe_interfaces.contains(&name);
                        attach(kernel, &name, interface.index, observes)
                    }
                },
            };
            if self.states.get(&name) != Some(&state) {
                say(kernel, &name, &state);
            }
            states.insert(name, state);
        }
        for name in self.states.keys().filter(|name| !states.contains_key(*name)) {
            tracing::info!(interface = %name, "let go of");
        }
        self.states = states;
    }
}

/// The interfaces that are there, and the names of those to protect; lets go of all others.
fn look(
    configured: &config::Interfaces,
    kernel: &mut Kernel,
) -> Result<(BTreeMap<String, Interface>, BTreeSet<String>)> {
    let there = network::list()?;
    let mut names: BTreeSet<String> = network::wanted(configured)?.into_iter().collect();
    let attached: Vec<u32> = kernel.attachments().map(|attachment| attachment.index).collect();
    for index in attached.into_iter().chain(kernel.strays()?) {
        let interface = there.values().find(|interface| interface.index == index);
        match (interface, configured) {
            // One whose default route went away stays protected for as long as it is there.
            (Some(interface), config::Interfaces::Auto) => {
                names.insert(interface.name.clone());
            }
            (Some(interface), config::Interfaces::Named(_)) if names.contains(&interface.name) => {}
            (Some(_), config::Interfaces::Named(_)) | (None, _) => kernel.let_go(index)?,
        }
    }
    Ok((there, names))
}

fn attach(kernel: &mut Kernel, name: &str, index: u32, observes: bool) -> State {
    match kernel.attach(name, index, observes) {
        Ok(_) => State::Attached { index },
        Err(error) => State::Detached { why: format!("{error:#}") },
    }
}

fn say(kernel: &Kernel, name: &str, state: &State) {
    match state {
        State::Attached { index } => {
            let Some(attachment) = kernel.attachments().find(|attachment| attachment.index == *index) else { return };
            let how = if attachment.adopted { "took over the link of an earlier run" } else { "attached" };
            tracing::info!(interface = name, mode = %attachment.mode, "{how}");
            for refusal in &attachment.refusals {
                tracing::info!(interface = name, "not in {refusal}");
            }
        }
        State::Detached { why } => tracing::warn!(interface = name, "not attached: {why}"),
    }
}
