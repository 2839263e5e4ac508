//! Generic netlink: families of questions that the kernel numbers as they come, and knows by name.

use anyhow::{Context, Result};
use nix::sys::socket::SockProtocol;

use super::interfaces::text;
use super::netlink::{Question, ask, attributes, dump_of};

/// A family of questions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Family {
    number: u16,
}

impl Family {
    /// The family called `name`; none if the kernel has no such.
    ///
    /// All are listed, because asking for one by its name makes the kernel load a module for it.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub(super) fn find(name: &str) -> Result<Option<Self>> {
        let payload = header(CTRL_CMD_GETFAMILY);
        let question = Question { protocol: SockProtocol::NetlinkGeneric, kind: GENL_ID_CTRL, payload: &payload };
        let families = dump_of(&question, |payload| family(payload).into_iter().collect())
            .context("listing the families of generic netlink")?;
        Ok(families.entries.into_iter().find(|(_, known)| known == name).map(|(number, _)| Self { number }))
    }

    /// Asks it `command`, with attributes, and reads the attributes of the answer.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub(super) fn ask<T>(self, command: u8, asked: &[u8], read: impl Fn(&[u8]) -> Option<T>) -> Result<Option<T>> {
        let payload = [&header(command)[..], asked].concat();
        let question = Question { protocol: SockProtocol::NetlinkGeneric, kind: self.number, payload: &payload };
        ask(&question, |payload| read(payload.get(HEADER_BYTES..)?))
    }
}

/// `include/uapi/linux/genetlink.h`. The header, `struct genlmsghdr`, is the command, a version, and two bytes unused.
const GENL_ID_CTRL: u16 = 0x10;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
const HEADER_BYTES: usize = 4;

fn header(command: u8) -> [u8; HEADER_BYTES] {
    [command, 1, 0, 0]
}

/// Number and name of a family.
fn family(payload: &[u8]) -> Option<(u16, String)> {
    let (mut number, mut name) = (None, None);
    for (kind, value) in attributes(payload.get(HEADER_BYTES..)?) {
        match kind {
            CTRL_ATTR_FAMILY_ID => number = value.first_chunk().copied().map(u16::from_ne_bytes),
            CTRL_ATTR_FAMILY_NAME => name = Some(text(value)),
            _ => {}
        }
    }
    number.zip(name)
}

#[cfg(test)]
mod tests {
    use super::super::netlink::written::attribute;
    use super::*;

    #[test]
    fn a_family_is_found_by_its_name_and_an_unknown_one_is_none() {
        assert_eq!(Family::find("nlctrl").unwrap().unwrap().number, GENL_ID_CTRL, "the family of families");
        assert!(Family::find("no such family").unwrap().is_none());
    }

    #[test]
    fn a_family_without_number_or_name_is_left_out() {
        let named = [&header(1)[..], &attribute(CTRL_ATTR_FAMILY_NAME, b"netdev\0")].concat();
        let whole = [&named[..], &attribute(CTRL_ATTR_FAMILY_ID, &20_u16.to_ne_bytes())].concat();

        assert_eq!(family(&whole), Some((20, "netdev".to_owned())));
        assert_eq!(family(&named), None);
        assert_eq!(family(&[]), None);
    }
}
