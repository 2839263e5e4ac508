//! Bans that have begun since a store was last told, and to which nothing has happened since.
//!
//! A store is told the values of what has changed, and of a long list these would be searched one by one in a tree of a
//! million, most of it not in the processor's cache. So the last thousands that a list brought are kept as they came. That is
//! a matter of speed alone: what is not here is searched for.

use std::vec::IntoIter;

use super::{Ban, Origin};
use crate::jail::JailId;
use crate::prefix::Prefix;

/// Bans kept, of some 100 bytes: 6 MiB.
const MAX_FRESH: usize = 65_536;

/// The bans.
#[derive(Debug, Default)]
pub(super) struct Fresh {
    bans: Vec<((Prefix, JailId), Ban)>,
    /// To which something has happened, perhaps before they began.
    spoilt: Vec<(Prefix, JailId)>,
}

impl Fresh {
    /// Notes that a ban has begun, if it is by command.
    pub(super) fn note(&mut self, key: (Prefix, JailId), ban: &Ban) {
        let is_by_command = match ban.origin {
            Origin::Command { .. } => true,
            Origin::Log { .. } | Origin::Adopted => false,
        };
        if is_by_command && self.bans.len() < MAX_FRESH {
            self.bans.push((key, ban.clone()));
        }
    }

    /// Notes that something else has happened.
    pub(super) fn spoil(&mut self, key: (Prefix, JailId)) {
        if self.bans.is_empty() {
            return;
        }
        self.spoilt.push(key);
        if self.spoilt.len() > MAX_FRESH {
            *self = Self::default();
        }
    }

    /// Those that are as they began, in the order of their keys.
    pub(super) fn into_bans(self) -> IntoIter<((Prefix, JailId), Ban)> {
        let Self { mut bans, mut spoilt } = self;
        bans.sort_by_key(|(key, _)| *key);
        if !spoilt.is_empty() {
            spoilt.sort_unstable();
            bans.retain(|(key, _)| spoilt.binary_search(key).is_err());
        }
        bans.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{Timestamp, Until};

    const JAIL: JailId = JailId::MIN;

    #[test]
    fn what_has_changed_since_it_began_is_not_as_it_began() {
        let mut fresh = Fresh::default();
        fresh.spoil(key("192.0.2.3"));
        for address in ["192.0.2.3", "192.0.2.1", "192.0.2.2"] {
            fresh.note(key(address), &ban(Origin::Command { reason: None, by: None }));
        }
        fresh.note(key("192.0.2.4"), &ban(Origin::Adopted));
        fresh.spoil(key("192.0.2.2"));

        let left: Vec<_> = fresh.into_bans().map(|(key, _)| key).collect();

        assert_eq!(left, [key("192.0.2.1"), key("192.0.2.3")]);
    }

    #[test]
    fn it_is_bounded() {
        let mut fresh = Fresh::default();
        for _ in 0..=MAX_FRESH {
            fresh.note(key("192.0.2.1"), &ban(Origin::Command { reason: None, by: None }));
        }
        assert_eq!(fresh.bans.len(), MAX_FRESH);
        for _ in 0..=MAX_FRESH {
            fresh.spoil(key("192.0.2.1"));
        }

        assert!(fresh.bans.is_empty() && fresh.spoilt.is_empty());
    }

    fn key(text: &str) -> (Prefix, JailId) {
        (text.parse().unwrap(), JAIL)
    }

    fn ban(origin: Origin) -> Ban {
        Ban { started: Timestamp::from_secs(1), until: Until::Forever, origin }
    }
}
