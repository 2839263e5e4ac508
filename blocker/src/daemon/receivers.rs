//! The daemon and those who are told of bans: at the start, at a reload, and when somebody wants a test.

use tokio::sync::oneshot;

use super::Daemon;
use crate::control::wire::Reply;
use crate::kernel::MANUAL_JAIL;
use crate::notify::Notifier;

impl Daemon<'_> {
    /// Tells whoever wants it that the daemon has started.
    pub(super) fn tell_of_start(&mut self) {
        let jails: Vec<String> = self.numbered.jails.iter().map(|jail| jail.config.name.clone()).collect();
        let stats = self.engine.stats();
        self.notifier.started(&jails, stats.bans_v4 + stats.bans_v6 + stats.networks);
        self.check_receivers();
    }

    /// Has others told from now on, if there are others. What waits for the former ones they are still told.
    pub(super) fn take_up_receivers(&mut self, notifier: Option<Notifier>) {
        if let Some(notifier) = notifier {
            self.notifier = notifier;
        }
        self.check_receivers();
    }

    /// Sends each a test. The answer comes when it is known: nothing here waits for it.
    pub(super) fn test_receivers(&self, reply: oneshot::Sender<Vec<Reply>>) {
        let tested = self.notifier.test();
        tokio::spawn(async move {
            let replies = tested.await.into_iter().map(Reply::Tested).chain([Reply::Done]).collect();
            if reply.send(replies).is_err() {
                tracing::debug!("a control client went away before its answer");
            }
        });
    }

    fn check_receivers(&mut self) {
        let jails = &self.numbered.jails;
        self.notifier.check_jails(|name| name == MANUAL_JAIL || jails.iter().any(|jail| jail.config.name == name));
    }
}
