//! Nexthop objects (`ip nexthop`): next hops that routes share and name by a number.
//!
//! They are asked for only where a default route does not tell its next hops itself.

use std::collections::HashMap;

use anyhow::{Context, Result};

use super::netlink::{attributes, dump, number};
use super::routes::{Hop, address};

/// Every nexthop object of this network namespace.
#[derive(Debug)]
pub(super) struct Nexthops {
    objects: HashMap<u32, Object>,
    is_whole: bool,
}

/// All of them.
///
/// # Errors
///
/// The kernel's.
pub(super) fn nexthops() -> Result<Nexthops> {
    let dump = dump(RTM_GETNEXTHOP, &[0; NEXTHOP_HEADER_BYTES], |payload| read(payload).into_iter().collect())
        .context("listing the nexthop objects")?;
    Ok(Nexthops { objects: dump.entries.into_iter().collect(), is_whole: dump.is_whole })
}

impl Nexthops {
    /// The next hops of the object `id`, of a group those of its members; none if it is gone or drops everything.
    pub(super) fn hops(&self, id: u32) -> impl Iterator<Item = Hop> {
        let named = self.objects.get(&id);
        // A group has no groups in it.
        let members = match named {
            Some(Object::Group(members)) => members.as_slice(),
            Some(Object::Hop(_)) | None => &[],
        };
        named.into_iter().chain(members.iter().filter_map(|id| self.objects.get(id))).filter_map(
            |object| match object {
                Object::Hop(hop) => Some(*hop),
                Object::Group(_) => None,
            },
        )
    }

    /// Whether these are all there are; if not, there were too many to read.
    pub(super) fn is_whole(&self) -> bool {
        self.is_whole
    }
}

#[derive(Debug)]
enum Object {
    Hop(Hop),
    Group(Vec<u32>),
}

/// `include/uapi/linux/rtnetlink.h` and `nexthop.h`; not in crate libc. The header is `struct nhmsg`; a group is a list
/// of `struct nexthop_grp`, which begins with the member's number.
const RTM_GETNEXTHOP: u16 = 106;
const NEXTHOP_HEADER_BYTES: usize = 8;
const NHA_ID: u16 = 1;
const NHA_GROUP: u16 = 2;
const NHA_OIF: u16 = 5;
const NHA_GATEWAY: u16 = 6;
const GROUP_ENTRY_BYTES: usize = 8;

fn read(payload: &[u8]) -> Option<(u32, Object)> {
    let (mut id, mut group, mut interface, mut gateway) = (None, None, None, None);
    for (kind, value) in attributes(payload.get(NEXTHOP_HEADER_BYTES..)?) {
        match kind {
            NHA_ID => id = number(value),
            NHA_GROUP => group = Some(value.chunks_exact(GROUP_ENTRY_BYTES).filter_map(number).collect()),
            NHA_OIF => interface = number(value),
            NHA_GATEWAY => gateway = address(value),
            _ => {}
        }
    }
    let object = match (group, interface) {
        (Some(members), _) => Object::Group(members),
        (None, Some(interface)) => Object::Hop(Hop { interface, gateway }),
        (None, None) => return None,
    };
    Some((id?, object))
}

#[cfg(test)]
mod tests {
    use super::super::netlink::written::{attribute, numbered};
    use super::*;

    fn object(attributes: &[Vec<u8>]) -> (u32, Object) {
        read(&[vec![0; NEXTHOP_HEADER_BYTES], attributes.concat()].concat()).unwrap()
    }

    #[test]
    fn a_group_has_the_next_hops_of_its_members() {
        let member = |id, gateway: [u8; 4]| {
            object(&[numbered(NHA_ID, id), numbered(NHA_OIF, 7), attribute(NHA_GATEWAY, &gateway)])
        };
        let group: Vec<u8> = [5_u32, 6, 77].iter().flat_map(|id| [id.to_ne_bytes(), [0; 4]].concat()).collect();
        let group = object(&[numbered(NHA_ID, 8), attribute(NHA_GROUP, &group)]);
        let objects = [member(5, [192, 0, 2, 1]), member(6, [198, 51, 100, 1]), group].into_iter().collect();
        let nexthops = Nexthops { objects, is_whole: true };

        let gateways = |id| -> Vec<String> {
            nexthops.hops(id).filter_map(|hop| hop.gateway).map(|gateway| gateway.to_string()).collect()
        };

        assert_eq!(gateways(8), ["192.0.2.1", "198.51.100.1"], "77 is gone");
        assert_eq!(gateways(5), ["192.0.2.1"]);
        assert_eq!(gateways(9), Vec::<String>::new());
    }

    #[test]
    fn an_object_that_drops_everything_leads_nowhere() {
        assert!(read(&[vec![0; NEXTHOP_HEADER_BYTES], numbered(NHA_ID, 5), attribute(4, &[])].concat()).is_none());
        assert!(read(&[0; 3]).is_none());
    }
}
