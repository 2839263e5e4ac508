//! The interfaces to protect: attached when they are there, let go of when they are gone.
//!
//! The program is attached to what carries the packets of a wanted interface ([`network::carriers`]), mostly that
//! interface itself; also to the interface itself, if a carrier does not take the program. States are kept by the name of
//! what is attached.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use blocker_core::config;

use crate::kernel::{AttachMode, Kernel, Target};
use crate::network::{self, DefaultRoutes, Interface, Suitability, Wanted};

/// Every interface that the program belongs on, and why it is not attached if it is not.
#[derive(Debug, Default)]
pub(super) struct Interfaces {
    states: BTreeMap<String, State>,
    are_routes_cut: bool,
    /// Which of them have been attached to in this run.
    attached_once: BTreeSet<String>,
    /// Where the program was found to be gone, and why: until somebody has been told.
    pub(super) lost: BTreeMap<String, String>,
}

/// How an interface is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The program is attached to it.
    Attached {
        /// Its index.
        index: u32,
        /// The interfaces that lie on it and are protected here, by name.
        carries: Vec<String>,
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

    /// Whether the program has been attached to `name` in this run.
    pub(super) fn was_attached(&self, name: &str) -> bool {
        self.attached_once.contains(name)
    }

    /// What is wrong beyond single interfaces.
    pub(super) fn problem(&self) -> Option<String> {
        let problem = "there are more routes than can be read in time, and a default route may be missed: name its interface \
                       in `daemon.interfaces` and its gateway in `daemon.allow`";
        self.are_routes_cut.then(|| problem.to_owned())
    }

    /// Looks at what is there, attaches what can be, forgets what is gone. Each change is logged once. Says whether all that is
    /// there could be seen.
    pub(super) fn update(&mut self, configured: &config::Daemon, routes: &DefaultRoutes, kernel: &mut Kernel) -> bool {
        for (name, why) in kernel.check_attachments() {
            tracing::error!(interface = %name, "the program is not attached any more ({why}): it is attached anew");
            self.states.remove(&name);
            self.lost.insert(name, why);
        }
        if !routes.is_whole && !self.are_routes_cut {
            tracing::warn!("there are more routes than can be read: a default route may be missed");
        }
        self.are_routes_cut = !routes.is_whole;
        let looked = self.look(configured, routes, kernel);
        if let Err(error) = &looked {
            tracing::warn!("the network interfaces cannot be read: {error:#}");
        }
        looked.is_ok()
    }

    fn look(&mut self, configured: &config::Daemon, routes: &DefaultRoutes, kernel: &mut Kernel) -> Result<()> {
        let there = network::list()?;
        let attached: BTreeSet<u32> =
            kernel.attachments().map(|attachment| attachment.index).chain(kernel.strays()?).collect();
        let mut wanted = network::wanted(&configured.interfaces, &there, routes);
        if configured.interfaces == config::Interfaces::Auto {
            // One whose default route went away stays protected for as long as it is there.
            let kept = there.values().filter(|interface| attached.contains(&interface.index));
            wanted.extend(kept.map(|Interface { name, .. }| Wanted {
                name: name.clone(),
                carriers: network::carriers(&there, name),
            }));
        }

        let observing: BTreeSet<&str> =
            configured.observe_interfaces.iter().flat_map(|text| network::named(text, &there)).collect();
        let modes: Vec<AttachMode> = configured.attach.iter().copied().map(mode).collect();
        let mut attach = |name: &str, carries| attach(kernel, &there, name, carries, observing.contains(name), &modes);
        let mut states = BTreeMap::new();
        for (name, place) in places(&wanted) {
            let state = match place {
                Place::None(why) => State::Detached { why },
                Place::Carrier(carries) => attach(&name, carries),
            };
            states.insert(name, state);
        }
        // Where a carrier does not take the program, what it carries may: late is better than not at all.
        for Wanted { name, carriers } in wanted {
            let is_attached = |name| matches!(states.get(name), Some(State::Attached { .. }));
            if !states.contains_key(&name) && !carriers.iter().flatten().all(is_attached) {
                let state = attach(&name, Vec::new());
                states.insert(name, state);
            }
        }
        for (name, state) in &states {
            say(kernel, name, self.states.get(name), state);
        }
        for (name, before) in self.states.iter().filter(|(name, _)| !states.contains_key(*name)) {
            match before {
                State::Attached { .. } => tracing::info!(interface = %name, "let go of"),
                // A name no longer wanted, or a pattern that has found its match.
                State::Detached { .. } => {}
            }
        }
        self.states = states;
        self.attached_once.retain(|name| self.states.contains_key(name));
        let attached_to = self.states.iter().filter(|(_, state)| matches!(state, State::Attached { .. }));
        self.attached_once.extend(attached_to.map(|(name, _)| name.clone()));
        self.lost.retain(|name, _| self.states.contains_key(name));

        // Last, so that what moved from a device to its carrier was protected all the while.
        for index in attached {
            let interface = there.values().find(|interface| interface.index == index);
            if !interface.is_some_and(|interface| self.states.contains_key(&interface.name)) {
                kernel.let_go(index)?;
            }
        }
        Ok(())
    }
}

/// What there is to do about a name.
enum Place {
    /// The program belongs on it, for these interfaces beside itself.
    Carrier(Vec<String>),
    /// Nothing can be done, for this reason.
    None(String),
}

/// The carriers of all that is wanted, by name, and what has none.
fn places(wanted: &[Wanted]) -> BTreeMap<String, Place> {
    let mut places = BTreeMap::new();
    for Wanted { name, carriers } in wanted {
        let carriers = match carriers {
            Ok(carriers) => carriers,
            Err(why) => {
                places.insert(name.clone(), Place::None(why.to_string()));
                continue;
            }
        };
        for carrier in carriers {
            let is_other = carrier != name;
            let place = places.entry(carrier.clone()).or_insert_with(|| Place::Carrier(Vec::new()));
            if let Place::Carrier(carries) = place
                && is_other
                && !carries.contains(name)
            {
                carries.push(name.clone());
            }
        }
    }
    places
}

fn attach(
    kernel: &mut Kernel,
    there: &BTreeMap<String, Interface>,
    name: &str,
    carries: Vec<String>,
    observes: bool,
    modes: &[AttachMode],
) -> State {
    let Some(&Interface { index, suitability, xdp_program, .. }) = there.get(name) else {
        return State::Detached { why: network::WhyNot::Absent.to_string() };
    };
    let on_behalf = if carries.is_empty() { String::new() } else { format!(" (it carries {})", carries.join(", ")) };
    match suitability {
        Suitability::OtherLink(kind) => State::Detached {
            why: format!(
                "its frames have no Ethernet header (link type {kind}): attach to the interface below it{on_behalf}"
            ),
        },
        Suitability::Ethernet => match kernel.attach(&Target { name, index, observes, xdp_program, modes }) {
            Ok(_) => State::Attached { index, carries },
            Err(error) => State::Detached { why: format!("{error:#}{on_behalf}") },
        },
    }
}

/// The configuration's way to attach as the kernel side calls it.
fn mode(way: config::Attach) -> AttachMode {
    match way {
        config::Attach::Native => AttachMode::Native,
        config::Attach::Generic => AttachMode::Generic,
        config::Attach::Tcx => AttachMode::Tcx,
        config::Attach::Dispatcher => AttachMode::Dispatcher,
    }
}

/// Logs what is new about an interface.
fn say(kernel: &Kernel, name: &str, before: Option<&State>, state: &State) {
    if before == Some(state) {
        return;
    }
    let (index, carries) = match state {
        State::Attached { index, carries } => (*index, carries),
        State::Detached { why } => {
            tracing::warn!(interface = name, "not attached: {why}");
            return;
        }
    };
    let already: &[String] = match before {
        Some(State::Attached { index: before, carries }) if *before == index => carries,
        Some(State::Attached { .. } | State::Detached { .. }) | None => {
            say_attached(kernel, name, index);
            &[]
        }
    };
    for carried in carries.iter().filter(|carried| !already.contains(carried)) {
        tracing::info!(interface = %carried, on = name, "protected on the interface that carries it");
    }
}

fn say_attached(kernel: &Kernel, name: &str, index: u32) {
    let Some(attachment) = kernel.attachments().find(|attachment| attachment.index == index) else { return };
    let how = if attachment.adopted { "took over the link of an earlier run" } else { "attached" };
    tracing::info!(interface = name, mode = %attachment.mode, "{how}");
    for refusal in &attachment.refusals {
        tracing::info!(interface = name, "not in {refusal}");
    }
}
