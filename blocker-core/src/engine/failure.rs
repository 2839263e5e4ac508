//! What is counted and told of a single failure.

use std::net::IpAddr;

use super::{Engine, Event, Found, IgnoreReason, JailId, cut};
use crate::attempts::Attempts;
use crate::filter::Failure;
use crate::prefix::Prefix;
use crate::time::Timestamp;

impl Engine {
    /// Says whether [`Event::Found`] and [`Event::Ignored`] are wanted: one for every failure. They are, unless this says
    /// otherwise; the counters do not depend on it.
    pub fn tell_failures(&mut self, wanted: bool) {
        self.is_untold = !wanted;
    }

    /// A failure that does not count.
    pub(super) fn ignored(&mut self, jail: JailId, addr: IpAddr, why: IgnoreReason) {
        let counters = self.counters.jail(jail);
        counters.ignored += 1;
        match why {
            IgnoreReason::TooOld { age: _ } | IgnoreReason::Undated => counters.too_old += 1,
            IgnoreReason::NoAttempt
            | IgnoreReason::AllowListed(_)
            | IgnoreReason::AlreadyBanned { by: _ }
            | IgnoreReason::BeforeBan { started: _ } => {}
        }
        if self.is_untold {
            return;
        }
        self.notify(Event::Ignored { jail, addr, why });
    }

    /// A failure that was counted.
    pub(super) fn found(
        &mut self,
        jail: JailId,
        failure: &Failure<'_>,
        prefix: Prefix,
        made: Timestamp,
        count: Attempts,
        of: u32,
    ) {
        let &Failure { addr, user, attempts, forgivable: _, span, session: _, ref service, ref pattern } = failure;
        let counters = self.counters.jail(jail);
        counters.failures += 1;
        counters.attempts += attempts;
        if self.is_untold {
            return;
        }
        self.notify(Event::Found(Found {
            jail,
            addr,
            prefix,
            user: user.map(|user| cut(user).to_vec()),
            made,
            attempts,
            span,
            service: service.clone(),
            pattern: pattern.clone(),
            count,
            of,
        }));
    }
}
