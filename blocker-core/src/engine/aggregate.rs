//! Bans of networks of which many hosts are banned; see [`crate::aggregate`].

use super::{Ban, BanOutcome, Engine, Event, JailId, Origin, Renewal};
use crate::attempts::Attempts;
use crate::filter::Label;
use crate::prefix::Prefix;

/// Banned prefixes inside a network that are looked at, at most: as many as a /20 has hosts, and more than a jail may ask for.
const MAX_LOOKED_AT: usize = 4_096;

impl Engine {
    /// Bans the network around `prefix` in the jail at `place`, which a log has just had banned, if there are enough others. It is to be
    /// nobody's who has logged in lately; and while the brake holds bans of such, nothing is banned: more of them might be inside.
    pub(super) fn aggregate(&mut self, place: usize, prefix: Prefix) {
        let Some(jail) = self.jails.get(place) else { return };
        let Some(aggregate) = jail.repeat.aggregate else { return };
        let Some(network) = aggregate.network(prefix).filter(|_| !self.brake.holds_users()) else { return };
        if self.book.ban(network, jail.id).is_some() {
            return;
        }
        let Some((hosts, attempts, latest)) = self.earned_inside(network, jail.id) else { return };
        if hosts < aggregate.after {
            return;
        }
        let (id, ban_time) = (jail.id, jail.limits.ban_time);
        let earlier = self.history.count(network, (!jail.repeat.all_jails).then_some(id));
        let escalation = jail.repeat.escalation.as_ref();
        let ban_time = escalation.map_or(ban_time, |growth| growth.ban_time(ban_time, earlier, self.dice.f64()));
        // Nobody inside is let go earlier than without this.
        let until = ban_time.end_from(self.now).max(latest);
        let origin =
            Origin::Log { attempts, user: None, pattern: Label::from(format!("{hosts} of the network are banned")) };
        match self.ban(network, id, Ban { started: self.now, until, origin }, Renewal::Longest) {
            Ok(BanOutcome::Banned) => self.history.note(network, id, self.now),
            Ok(BanOutcome::Renewed | BanOutcome::Refused(_)) => {}
            Err(why) => self.notify(Event::Refused { prefix: network, jail: id, why }),
        }
    }

    /// The bans that logs have earned inside `network` in a jail: how many, with how many attempts, and the latest end.
    fn earned_inside(&self, network: Prefix, jail: JailId) -> Option<(u32, Attempts, crate::time::Until)> {
        let mut earned = None;
        for prefix in self.book.all_inside(network).take(MAX_LOOKED_AT).filter(|prefix| *prefix != network) {
            let Some(Ban { until, origin: Origin::Log { attempts, .. }, .. }) = self.book.ban(prefix, jail) else {
                continue;
            };
            let (hosts, sum, latest) = earned.unwrap_or((0, Attempts::ZERO, until));
            earned = Some((hosts + 1, sum + attempts, latest.max(until)));
        }
        earned
    }

    /// The narrowest ban around `prefix`, whoever made it: what is lifted of exactly `prefix` is still banned by that.
    #[must_use]
    pub fn banned_around(&self, prefix: Prefix) -> Option<Prefix> {
        self.book.around(prefix)
    }
}
