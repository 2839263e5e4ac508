//! What the groups of a match tell.

use std::net::IpAddr;

use super::expression::{Expression, Groups};

/// The numbers of an expression's groups.
#[derive(Debug)]
pub(super) struct Layout {
    /// `ip4`, `ip6`, and the `host` of older filters: an address in text.
    addresses: Vec<usize>,
    dns: Option<usize>,
    fid: Option<usize>,
    /// `user`, and those that fill it if it is empty.
    users: Vec<usize>,
    nofail: Option<usize>,
    mlfid: Option<usize>,
    forget: Option<usize>,
    gained: Option<usize>,
    content: Option<usize>,
    skipped: Vec<usize>,
}

/// Whom a match names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Whom {
    /// Nobody: no group for it has taken part.
    #[default]
    Nobody,
    /// Somebody by something that is no address: a name, `999.1.1.1`.
    Named,
    /// Somebody by an address.
    Addr(IpAddr),
}

/// What a match tells; empty groups are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields<'t> {
    pub(super) whom: Whom,
    pub(super) user: Option<&'t str>,
    /// A line that helps, and is no failure of its own.
    pub(super) is_helper: bool,
    /// The connection.
    pub(super) session: Option<&'t str>,
    /// The connection is over.
    pub(super) is_end: bool,
    /// Somebody was let in.
    pub(super) is_gained: bool,
    /// What the other expressions look at.
    pub(super) content: Option<&'t str>,
}

impl Layout {
    pub(super) fn of(expression: &Expression) -> Self {
        let group = |name: &str| expression.group(name);
        Self {
            addresses: ["ip4", "ip6", "host"].into_iter().filter_map(group).collect(),
            dns: group("dns"),
            fid: group("fid"),
            users: group("user").into_iter().chain(expression.groups_like("alt_user")).collect(),
            nofail: group("nofail"),
            mlfid: group("mlfid"),
            forget: group("mlfforget"),
            gained: group("mlfgained"),
            content: group("content"),
            skipped: expression.skipped(),
        }
    }

    /// Whether a match can name somebody.
    pub(super) fn names_somebody(&self) -> bool {
        !self.addresses.is_empty() || self.dns.is_some() || self.fid.is_some()
    }

    /// Whether it can name a connection.
    pub(super) fn has_session(&self) -> bool {
        self.mlfid.is_some()
    }

    /// Whether something of the ban's own name is asked for besides an address.
    pub(super) fn has_own_id(&self) -> bool {
        self.fid.is_some()
    }

    /// The groups of what was passed over between lines.
    pub(super) fn skipped(&self) -> &[usize] {
        &self.skipped
    }

    /// What `found` tells.
    pub(super) fn read<'t>(&self, found: &Groups<'t>) -> Fields<'t> {
        let text = |group: usize| found.text(group).filter(|text| !text.is_empty());
        let of = |group: Option<usize>| group.and_then(text);
        let written = self.addresses.iter().copied().find_map(text);
        let whom = match (written, of(self.dns), of(self.fid)) {
            (Some(written), _, _) | (None, None, Some(written)) => {
                read_address(written).map_or(Whom::Named, Whom::Addr)
            }
            (None, Some(_), _) => Whom::Named,
            (None, None, None) => Whom::Nobody,
        };
        let is_gained = of(self.gained).is_some();
        Fields {
            whom,
            user: self.users.iter().copied().find_map(text),
            is_helper: is_gained || of(self.nofail).is_some(),
            session: of(self.mlfid),
            is_end: of(self.forget).is_some(),
            is_gained,
            content: self.content.and_then(|group| found.text(group)),
        }
    }
}

impl<'t> Fields<'t> {
    /// What an expression tells on top of what the one before it told of the whole line.
    pub(super) fn over(self, before: &Fields<'t>) -> Self {
        Self {
            whom: if self.whom == Whom::Nobody { before.whom } else { self.whom },
            user: self.user.or(before.user),
            is_helper: self.is_helper || before.is_helper,
            session: self.session.or(before.session),
            is_end: self.is_end || before.is_end,
            is_gained: self.is_gained || before.is_gained,
            content: self.content.or(before.content),
        }
    }
}

/// An address as systems print it, canonical, perhaps in brackets. A zone (`fe80::1%eth0`) is refused: no ban could reach it.
fn read_address(text: &str) -> Option<IpAddr> {
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    inner.parse::<IpAddr>().ok().map(|addr| addr.to_canonical())
}
