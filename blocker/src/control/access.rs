//! Who may ask for what: root and the daemon's own user for everything, the members of two groups for what they are for.
//!
//! Who somebody is, the kernel says: it notes user and groups of a process when that connects. Names of groups are looked up when
//! the daemon starts and never on the way of a request.

use std::os::fd::AsFd;

use anyhow::{Context, Result};
use blocker_core::config::Control;
use nix::unistd::{Group, geteuid};
use tokio::net::UnixStream;

use super::wire::Request;
use crate::exit::Failure;
use crate::kernel::peer_groups;

/// The groups, by number.
#[derive(Clone, Copy, Debug, Default)]
pub struct Access {
    change: Option<u32>,
    look: Option<u32>,
}

/// What somebody may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Right {
    /// Everything.
    Change,
    /// See how it is.
    Look,
    /// Nothing.
    None,
}

impl Access {
    /// Looks the names up.
    ///
    /// # Errors
    ///
    /// [`Failure::Configuration`] if there is no such group; or what keeps it from being looked up.
    pub fn of(control: &Control) -> Result<Self> {
        let Control { group, look_group, fail2ban_socket: _ } = control;
        Ok(Self { change: number("group", group.as_deref())?, look: number("look_group", look_group.as_deref())? })
    }

    /// Whether anybody but root and the daemon's user may ask.
    pub(super) fn is_shared(self) -> bool {
        self.change.or(self.look).is_some()
    }

    /// What the process may that opened the other end of `stream`; and its user, for people.
    pub(super) fn of_peer(self, stream: &UnixStream) -> std::io::Result<(Right, u32)> {
        let peer = stream.peer_cred()?;
        let groups = if self.is_shared() { peer_groups(stream.as_fd())? } else { Vec::new() };
        let is_root = peer.uid() == 0 || peer.uid() == geteuid().as_raw();
        Ok((self.right(is_root, |group| peer.gid() == group || groups.contains(&group)), peer.uid()))
    }

    fn right(self, is_root: bool, is_member: impl Fn(u32) -> bool) -> Right {
        if is_root || self.change.is_some_and(&is_member) {
            Right::Change
        } else if self.look.is_some_and(&is_member) {
            Right::Look
        } else {
            Right::None
        }
    }
}

impl Right {
    /// Whether it is enough for `request`.
    pub(super) fn covers(self, request: &Request) -> bool {
        let needed = match request {
            Request::Status | Request::Bans | Request::Allowed | Request::Why { .. } => Self::Look,
            Request::Watch { .. } | Request::Report { .. } => Self::Look,
            Request::Ban { .. } | Request::Unban { .. } | Request::UnbanAll | Request::TestNotify => Self::Change,
            Request::Allow { .. } | Request::Disallow { .. } | Request::Confirm | Request::Reload => Self::Change,
            Request::Attempt { .. } => Self::Change,
        };
        match self {
            Self::Change => true,
            Self::Look => needed == Self::Look,
            Self::None => false,
        }
    }
}

fn number(key: &str, name: Option<&str>) -> Result<Option<u32>> {
    let Some(name) = name else { return Ok(None) };
    let found = Group::from_name(name).with_context(|| format!("looking up the group {name} of `control.{key}`"))?;
    let Some(group) = found else {
        return Err(Failure::Configuration(format!(
            "`control.{key}` is \"{name}\", and there is no such group on this machine: groupadd --system {name}"
        ))
        .into());
    };
    Ok(Some(group.gid.as_raw()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_in_no_group_may_nothing_and_the_right_to_change_is_the_greater_one() {
        let access = Access { change: Some(10), look: Some(20) };
        let right = |groups: &'static [u32]| access.right(false, |group| groups.contains(&group));

        assert_eq!(right(&[]), Right::None);
        assert_eq!(right(&[30, 0]), Right::None, "the group of root is no group of ours");
        assert_eq!(right(&[30, 20]), Right::Look);
        assert_eq!(right(&[20, 10]), Right::Change);
        assert_eq!(access.right(true, |_| false), Right::Change);
        assert_eq!(Access::default().right(false, |_| true), Right::None);
    }

    #[test]
    fn to_look_is_not_to_change() {
        let ban = Request::Ban { prefixes: Vec::new(), jail: None, ban_time: None, reason: None, runs: false };
        let allow = Request::Allow { prefixes: Vec::new(), lasts: None, persist: false, reason: None };
        let (unban, disallow) = (Request::Unban { prefixes: Vec::new() }, Request::Disallow { prefixes: Vec::new() });
        let attempt = Request::Attempt { jail: String::new(), addr: "192.0.2.9".parse().unwrap(), attempts: 1 };
        let others = [Request::UnbanAll, Request::TestNotify, Request::Confirm, Request::Reload, attempt];
        for request in [ban, unban, allow, disallow].into_iter().chain(others) {
            assert!(Right::Change.covers(&request) && !Right::Look.covers(&request), "{request:?}");
            assert!(!Right::None.covers(&request));
        }
        let why = Request::Why { whom: "192.0.2.9".parse().unwrap() };
        let report = Request::Report { since_s: 86_400, utc_offset_s: 0 };
        for request in [Request::Status, Request::Bans, Request::Allowed, why, Request::Watch { after: None }, report] {
            assert!(Right::Change.covers(&request) && Right::Look.covers(&request) && !Right::None.covers(&request));
        }
    }
}
