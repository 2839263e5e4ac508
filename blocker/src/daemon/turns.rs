//! Whose call is next: pieces of long lists come after everybody else.
//!
//! A list of a million is hundreds of calls, of which several wait at a time, and each takes some milliseconds. Whoever asks
//! for little is served before the next of them. Calls of one connection keep their order: behind a piece of a list
//! everything of its connection waits with it.

use std::collections::VecDeque;

use crate::control::server::Call;
use crate::control::wire::Request;

/// Prefixes from which on a call is a piece of a list: a shorter one takes well under a millisecond.
const LONG: usize = 256;

/// Calls that come after others. As many as connections may have under way: 16 connections of 8 pieces of 4,096 prefixes,
/// 12 MiB.
#[derive(Default)]
pub(super) struct Turns {
    later: VecDeque<Call>,
}

impl Turns {
    /// Gives a call back if it is to be handled at once; else it waits.
    pub(super) fn now(&mut self, call: Call) -> Option<Call> {
        if is_long(&call.request) || call.is_behind && !self.later.is_empty() {
            self.later.push_back(call);
            return None;
        }
        Some(call)
    }

    /// Whether any wait.
    pub(super) fn is_any_waiting(&self) -> bool {
        !self.later.is_empty()
    }

    /// The next of those that wait.
    pub(super) fn next(&mut self) -> Option<Call> {
        self.later.pop_front()
    }
}

fn is_long(request: &Request) -> bool {
    let prefixes = match request {
        Request::Ban { prefixes, .. } => prefixes.len(),
        Request::Unban { prefixes } | Request::Allow { prefixes, .. } | Request::Disallow { prefixes } => {
            prefixes.len()
        }
        Request::Status | Request::Bans | Request::UnbanAll | Request::Allowed | Request::Confirm | Request::Reload => {
            0
        }
        Request::Why { .. } | Request::Watch { .. } | Request::Report { .. } => 0,
        Request::TestNotify | Request::Attempt { .. } => 0,
    };
    prefixes >= LONG
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    /// Hands calls over in their order, and takes them in turn: those that are handled at once, then those that waited.
    fn order(calls: impl IntoIterator<Item = (usize, bool)>) -> Vec<usize> {
        let mut turns = Turns::default();
        let mut order: Vec<usize> = Vec::new();
        for (prefixes, is_behind) in calls {
            let prefix = "192.0.2.9".parse().unwrap();
            let request = Request::Unban { prefixes: vec![prefix; prefixes] };
            let (reply, _) = oneshot::channel();
            order.extend(turns.now(Call { request, uid: None, reply, is_behind }).map(|_| prefixes));
        }
        while let Some(call) = turns.next() {
            let Request::Unban { prefixes } = call.request else { panic!("it was another call") };
            order.push(prefixes.len());
        }
        assert!(!turns.is_any_waiting());
        order
    }

    #[test]
    fn a_short_call_comes_before_the_pieces_of_a_list_that_wait() {
        assert_eq!(order([(4096, false), (4095, true), (1, false), (4094, true)]), [1, 4096, 4095, 4094]);
    }

    #[test]
    fn a_short_call_of_the_list_s_own_connection_keeps_its_place() {
        assert_eq!(order([(4096, false), (1, true), (4095, true), (2, false)]), [2, 4096, 1, 4095]);
    }

    #[test]
    fn a_short_call_behind_another_waits_for_no_list() {
        assert_eq!(order([(1, false), (2, true), (3, true)]), [1, 2, 3]);
    }
}
