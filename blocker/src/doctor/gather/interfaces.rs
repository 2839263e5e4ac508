//! The interfaces that the configuration wants, and what carries their packets.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use blocker_core::config::{self, Config, Places};

use super::super::facts::{Interfaces, Link, Place, Program, Told};
use super::told;
use crate::kernel::{self, OurLink};
use crate::network::{self, Device, Interface, Wanted};

/// Looks at each place that the program belongs on.
///
/// # Errors
///
/// The kernel's, on listing interfaces or routes.
pub(super) fn interfaces(config: &Config, places: &Places) -> Result<Interfaces> {
    let there = network::list()?;
    let routes = network::default_routes()?;
    let names = names(&network::wanted(&config.daemon.interfaces, &there, &routes));
    let indices: BTreeSet<u32> = names.keys().filter_map(|name| Some(there.get(name)?.index)).collect();
    let mut devices = network::devices(&indices)?;
    let ours = told(kernel::our_links(&places.pins));
    let place = |(name, carries): (String, Told<Vec<String>>)| {
        let link = carries.as_ref().map_err(Clone::clone).and_then(|_| {
            let interface = there.get(&name).ok_or_else(|| network::WhyNot::Absent.to_string())?;
            Ok(look_at(interface, devices.remove(&interface.index).unwrap_or_default(), &ours))
        });
        Place { name, carries: carries.unwrap_or_default(), link }
    };
    Ok(Interfaces {
        ways: config.daemon.attach.clone(),
        are_routes_whole: routes.is_whole,
        is_auto: config.daemon.interfaces == config::Interfaces::Auto,
        places: names.into_iter().map(place).collect(),
    })
}

/// Where the program belongs, by name: which interfaces it stands for there, or why it does not belong anywhere.
fn names(wanted: &[Wanted]) -> BTreeMap<String, Told<Vec<String>>> {
    let mut names = BTreeMap::new();
    for Wanted { name, carriers } in wanted {
        match carriers {
            Err(why) => drop(names.insert(name.clone(), Err(why.to_string()))),
            Ok(carriers) => {
                for carrier in carriers {
                    let carries = names.entry(carrier.clone()).or_insert_with(|| Ok(Vec::new()));
                    if let Ok(carries) = carries
                        && carrier != name
                    {
                        carries.push(name.clone());
                    }
                }
            }
        }
    }
    names
}

fn look_at(interface: &Interface, device: Device, ours: &Told<Vec<OurLink>>) -> Link {
    let program = interface.xdp_program.map(|number| Program { number, name: told(kernel::program_name(number)) });
    let its = |links: &Vec<OurLink>| links.iter().find(|link| link.index == interface.index).cloned();
    Link {
        index: interface.index,
        suitability: interface.suitability,
        kind: interface.kind.clone(),
        device,
        program,
        ours: ours.as_ref().map(its).map_err(Clone::clone),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::WhyNot;

    #[test]
    fn a_carrier_stands_for_all_that_lie_on_it() {
        let wanted = |name: &str, carriers: Result<&[&str], WhyNot>| Wanted {
            name: name.to_owned(),
            carriers: carriers.map(|names| names.iter().copied().map(str::to_owned).collect()),
        };

        let names = names(&[
            wanted("br0", Ok(&["eth0", "eth1"])),
            wanted("eth0", Ok(&["eth0"])),
            wanted("eth0.7", Ok(&["eth0"])),
            wanted("eth9", Err(WhyNot::Absent)),
        ]);

        assert_eq!(names["eth0"], Ok(vec!["br0".to_owned(), "eth0.7".to_owned()]));
        assert_eq!(names["eth1"], Ok(vec!["br0".to_owned()]));
        assert!(names["eth9"].is_err() && names.len() == 3);
    }

    #[test]
    fn the_loopback_can_be_looked_at() {
        let mut config = Config::default();
        config.daemon.interfaces = config::Interfaces::Named(vec!["lo".to_owned(), "nonexistent0".to_owned()]);
        let places = Places {
            runtime: "/nonexistent".into(),
            pins: "/nonexistent".into(),
            state: "/nonexistent".into(),
            ipv6_prefix: 64,
        };

        let interfaces = interfaces(&config, &places).unwrap();

        let [loopback, absent] = &interfaces.places[..] else { panic!("{interfaces:?}") };
        assert_eq!(loopback.link.as_ref().unwrap().index, 1);
        assert_eq!(loopback.link.as_ref().unwrap().ours, Ok(None));
        assert!(absent.link.is_err());
    }
}
