//! Which interfaces to protect, and where the program belongs for each of them.
//!
//! Frames come in at the bottom: those of a VLAN at the network card below it, those of a bridge at its ports. There the
//! program sees them first, and most drivers of stacked devices have no XDP of their own. It is attached to
//!
//! - what a VLAN, macvlan or ipvlan lies on;
//! - the ports of a bridge that lead out of the machine: network cards, bonds, VLANs. Those of virtual machines and
//!   containers are left alone, or the bans would apply to what these send. If no port leads out: the bridge itself;
//! - the members of a VRF;
//! - any other interface itself. A bond takes the program (since Linux 5.15) and passes it on to its members.

use std::collections::{BTreeMap, BTreeSet};

use blocker_core::config::Interfaces;
use glob::Pattern;

use super::interfaces::Interface;
use super::routes::DefaultRoutes;

/// Most devices that lie on one another; the kernel stacks as many (`MAX_NEST_DEV`).
const MAX_DEPTH: usize = 8;

/// An interface that is to be protected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its name, or a pattern that matches none.
    pub name: String,
    /// The names of the interfaces the program belongs on, or why there are none.
    pub carriers: Result<Vec<String>, WhyNot>,
}

/// Why there is no interface to attach to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WhyNot {
    /// There is none of that name.
    #[error("there is no such interface; it is attached when it appears")]
    Absent,
    /// It is a pattern, and none matches.
    #[error("no interface has such a name; those that appear are attached")]
    NothingMatches,
    /// Too many devices lie on one another.
    #[error("more than {MAX_DEPTH} devices lie on one another below it: name the one the packets come in by")]
    TooDeep,
}

/// Those to protect: with "auto" those that a default route leads through, else those that are named, and those whose
/// names match a pattern.
#[must_use]
pub fn wanted(configured: &Interfaces, there: &BTreeMap<String, Interface>, routes: &DefaultRoutes) -> Vec<Wanted> {
    let names: BTreeSet<&str> = match configured {
        Interfaces::Named(texts) => texts.iter().flat_map(|text| named(text, there)).collect(),
        Interfaces::Auto => there
            .values()
            .filter(|interface| routes.hops.iter().any(|hop| hop.interface == interface.index))
            .map(|interface| interface.name.as_str())
            .collect(),
    };
    names.into_iter().map(|name| Wanted { name: name.to_owned(), carriers: carriers(there, name) }).collect()
}

/// The interfaces that the program belongs on to protect the interface `name`, by name and in their order.
///
/// # Errors
///
/// If there is no such interface, or too much below it.
pub fn carriers(there: &BTreeMap<String, Interface>, name: &str) -> Result<Vec<String>, WhyNot> {
    let interface = there.get(name).ok_or(if is_pattern(name) { WhyNot::NothingMatches } else { WhyNot::Absent })?;
    let mut found = BTreeSet::new();
    descend(there, interface, MAX_DEPTH, &mut found)?;
    Ok(found.into_iter().map(str::to_owned).collect())
}

/// Whether `text`, an entry of `daemon.interfaces`, can be matched with names.
///
/// # Errors
///
/// What is wrong with the pattern.
pub fn check_pattern(text: &str) -> Result<(), glob::PatternError> {
    Pattern::new(text).map(|_| ())
}

/// The names that `text` means among those that are `there`: its own, or of a pattern all that match, or else the pattern, which then waits.
pub fn named<'a>(text: &'a str, there: &'a BTreeMap<String, Interface>) -> Vec<&'a str> {
    if !is_pattern(text) || there.contains_key(text) {
        return vec![text];
    }
    let matching: Vec<&str> = Pattern::new(text)
        .map(|pattern| there.keys().map(String::as_str).filter(|name| pattern.matches(name)).collect())
        .unwrap_or_default();
    if matching.is_empty() { vec![text] } else { matching }
}

fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

fn descend<'a>(
    there: &'a BTreeMap<String, Interface>,
    interface: &'a Interface,
    depth: usize,
    found: &mut BTreeSet<&'a str>,
) -> Result<(), WhyNot> {
    let below = below(there, interface);
    if below.is_empty() {
        found.insert(interface.name.as_str());
        return Ok(());
    }
    let depth = depth.checked_sub(1).ok_or(WhyNot::TooDeep)?;
    below.into_iter().try_for_each(|lower| descend(there, lower, depth, found))
}

/// What carries the frames of `interface`; nothing if it does so itself.
fn below<'a>(there: &'a BTreeMap<String, Interface>, interface: &Interface) -> Vec<&'a Interface> {
    let members = || there.values().filter(|other| other.master == Some(interface.index));
    match interface.kind.as_deref() {
        Some("vlan" | "macvlan" | "ipvlan") => {
            there.values().filter(|other| Some(other.index) == interface.lower).collect()
        }
        Some("bridge") => members().filter(|port| leads_out(port)).collect(),
        Some("vrf") => members().collect(),
        Some(_) | None => Vec::new(),
    }
}

/// Whether a bridge's port leads out of the machine, and not to a virtual machine or a container on it.
fn leads_out(port: &Interface) -> bool {
    // DSA are the outer ports of a switch chip.
    matches!(port.kind.as_deref(), None | Some("bond" | "team" | "vlan" | "dsa"))
}

#[cfg(test)]
mod tests {
    use super::super::interfaces::Suitability;
    use super::super::routes::Hop;
    use super::*;

    /// A machine of interfaces: name, kind, what it lies on, what it belongs to.
    fn machine(rows: &[(&str, &str, &str, &str)]) -> BTreeMap<String, Interface> {
        let index =
            |name: &str| rows.iter().position(|row| row.0 == name).map(|position| u32::try_from(position).unwrap() + 1);
        let interface = |&(name, kind, lower, master): &(&str, &str, &str, &str)| Interface {
            name: name.to_owned(),
            index: index(name).unwrap(),
            suitability: Suitability::Ethernet,
            kind: (!kind.is_empty()).then(|| kind.to_owned()),
            lower: index(lower),
            master: index(master),
            xdp_program: None,
        };
        rows.iter().map(|row| (row.0.to_owned(), interface(row))).collect()
    }

    fn example() -> BTreeMap<String, Interface> {
        machine(&[
            ("lo", "", "", ""),
            ("eth0", "", "", "br0"),
            ("eth1", "", "", "bond0"),
            ("eth2", "", "", "bond0"),
            ("eth3", "", "", "vrf0"),
            ("bond0", "bond", "", ""),
            ("bond0.7", "vlan", "bond0", "br0"),
            ("bond0.7.8", "vlan", "bond0.7", ""),
            ("eth0.100", "vlan", "eth0", ""),
            ("mac0", "macvlan", "eth0.100", ""),
            ("ip0", "ipvlan", "eth3", ""),
            ("moved0", "macvlan", "in another namespace", ""),
            ("br0", "bridge", "", ""),
            ("vnet0", "tun", "", "br0"),
            ("veth0", "veth", "veth1", "br0"),
            ("veth1", "veth", "veth0", ""),
            ("br0.5", "vlan", "br0", ""),
            ("docker0", "bridge", "", ""),
            ("veth2", "veth", "in another namespace", "docker0"),
            ("vrf0", "vrf", "", ""),
        ])
    }

    #[test]
    fn the_program_goes_where_the_frames_come_in() {
        let there = example();
        for (name, expected) in [
            ("lo", &["lo"][..]),
            ("eth0", &["eth0"]),
            ("eth1", &["eth1"]),
            ("bond0", &["bond0"]),
            ("bond0.7", &["bond0"]),
            ("bond0.7.8", &["bond0"]),
            ("eth0.100", &["eth0"]),
            ("mac0", &["eth0"]),
            ("ip0", &["eth3"]),
            ("moved0", &["moved0"]),
            ("br0", &["bond0", "eth0"]),
            ("br0.5", &["bond0", "eth0"]),
            ("vnet0", &["vnet0"]),
            ("veth0", &["veth0"]),
            ("docker0", &["docker0"]),
            ("vrf0", &["eth3"]),
        ] {
            assert_eq!(carriers(&there, name).unwrap(), expected, "{name}");
        }
    }

    #[test]
    fn what_is_not_there_is_waited_for() {
        let there = example();

        assert_eq!(carriers(&there, "eth9"), Err(WhyNot::Absent));
        assert_eq!(carriers(&there, "wlan*"), Err(WhyNot::NothingMatches));
    }

    #[test]
    fn devices_on_one_another_are_followed_so_deep_and_not_for_ever() {
        let names: Vec<String> = (0..=MAX_DEPTH + 1).map(|depth| format!("v{depth}")).collect();
        let lower = |depth: usize| if depth == 0 { "" } else { names[depth - 1].as_str() };
        let kind = |depth| if depth == 0 { "" } else { "vlan" };
        let rows: Vec<_> =
            names.iter().enumerate().map(|(depth, name)| (name.as_str(), kind(depth), lower(depth), "")).collect();
        let there = machine(&rows);

        assert_eq!(carriers(&there, &names[MAX_DEPTH]).unwrap(), ["v0"]);
        assert_eq!(carriers(&there, &names[MAX_DEPTH + 1]), Err(WhyNot::TooDeep));
        assert_eq!(carriers(&machine(&[("a", "vlan", "a", "")]), "a"), Err(WhyNot::TooDeep), "on itself");
    }

    fn names(wanted: &[Wanted]) -> Vec<&str> {
        wanted.iter().map(|wanted| wanted.name.as_str()).collect()
    }

    #[test]
    fn names_and_patterns_are_matched_with_what_is_there() {
        let mut there = example();
        let want = |texts: &[&str], there: &BTreeMap<String, Interface>| {
            let texts = texts.iter().copied().map(str::to_owned).collect();
            wanted(&Interfaces::Named(texts), there, &DefaultRoutes::default())
        };

        assert_eq!(names(&want(&["eth[12]", "eth2", "eth9", "wlan?"], &there)), ["eth1", "eth2", "eth9", "wlan?"]);
        assert_eq!(names(&want(&["bond*"], &there)), ["bond0", "bond0.7", "bond0.7.8"]);

        // Linux takes such a name; then that interface is meant.
        there.extend(machine(&[("bond*", "", "", "")]));
        assert_eq!(names(&want(&["bond*"], &there)), ["bond*"]);
    }

    #[test]
    fn a_pattern_that_matches_nothing_ever_is_faulty() {
        for text in ["eth0", "enp[0-9]s?*", "*"] {
            assert!(check_pattern(text).is_ok(), "{text}");
        }
        for text in ["eth[", "eth[0", "eth**"] {
            assert!(check_pattern(text).is_err(), "{text}");
        }
    }

    #[test]
    fn auto_wants_what_default_routes_lead_through() {
        let there = example();
        let hops = ["eth0.100", "bond0"].map(|name| Hop { interface: there[name].index, gateway: None });
        let gone = Hop { interface: 99, gateway: None };
        let routes = DefaultRoutes { hops: hops.into_iter().chain([gone]).collect(), is_whole: true };

        let found = wanted(&Interfaces::Auto, &there, &routes);

        assert_eq!(names(&found), ["bond0", "eth0.100"]);
        assert_eq!(found[1].carriers, Ok(vec!["eth0".to_owned()]));
    }
}
