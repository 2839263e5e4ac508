//! Forgiveness: a login that succeeds takes back what was tried as the same user, from the same address, in the same jail.
//!
//! Nothing else: who has an account of his own could log in between guesses at others, and none of these would count. What
//! is not surely the user's ([`crate::filter::Failure::forgivable`]) stays, and so does a ban.
//!
//! Logins that succeed are far more frequent than failures on a healthy server, so the address is looked up first: of whom
//! nothing is counted, and who was not banned lately (`awaited`), nothing more is asked.

use super::{Engine, JailId, Note};
use crate::filter::Success;
use crate::policy;
use crate::time::Timestamp;

impl Engine {
    /// Takes in a login that the filter of `jail` found to have succeeded at `made`: as [`Engine::handle_failure`].
    pub fn handle_success(&mut self, jail: JailId, success: &Success<'_>, made: Timestamp, now: Timestamp) {
        self.advance(now);
        if let Some(place) = self.jails.iter().position(|known| known.id == jail) {
            self.judge_success(place, success, made, now);
        }
    }

    /// The same for the jail at `place`, where the engine has been brought to `now`.
    pub(super) fn judge_success(&mut self, place: usize, success: &Success<'_>, made: Timestamp, now: Timestamp) {
        let prefix = policy::counted_by(success.addr, self.ipv6_prefix);
        self.logins.note(prefix, success.user, Some(made), self.now);
        if self.awaited.take(prefix) {
            self.account.note(Note::LoggedIn { prefix, at: made.min(self.now) });
        }
        let Some(jail) = self.jails.get(place).filter(|jail| jail.forgives).map(|jail| jail.id) else { return };
        if !self.tracker.is_tracked(jail, prefix) {
            return;
        }
        // A live one is made now, also if the clock has stepped back.
        let made = if made >= now { self.now } else { made.min(self.now) };
        let forgiven = self.tracker.forgive(jail, prefix, self.sessions.key().tag(success.user), made);
        if !forgiven.is_zero() {
            self.counters.jail(jail).forgiven += forgiven;
            self.evidence.forgive((prefix, jail), success.user, made);
        }
        if !self.tracker.is_tracked(jail, prefix) {
            self.evidence.forget(prefix, Some(jail));
        }
    }
}
