//! What is asked over the control sockets.

use anyhow::Result;
use blocker_core::bans::Uid;
use blocker_core::engine::account::Summed;
use blocker_core::engine::{self, BanInfo, Response};
use blocker_core::time::BanTime;
use tokio::sync::oneshot;

use super::{Daemon, allowing, answers, status};
use crate::clock::Reading;
use crate::control::server::Call;
use crate::control::wire::{Change, Reply, Request};
use crate::store::Span;

/// An answer that waits until what it tells of is done.
pub(super) struct Answer {
    pub(super) replies: Vec<Reply>,
    /// What undoes it if it is not saved.
    lost_at: &'static str,
    reply: oneshot::Sender<Vec<Reply>>,
}

impl Answer {
    /// Sends it; says that it is not saved if it is not.
    pub(super) fn send(self, saved: Result<(), &str>) {
        let Self { mut replies, lost_at, reply } = self;
        let is_done = !matches!(replies.last(), Some(Reply::Error { .. }));
        if let Err(why) = saved {
            let warning = format!("this is in force, but could not be saved, and is lost at a {lost_at}: {why}");
            replies.insert(0, Reply::Warning(warning));
        }
        if is_done {
            replies.push(Reply::Done);
        }
        if reply.send(replies).is_err() {
            tracing::debug!("a control client went away before its answer");
        }
    }
}

impl Daemon<'_> {
    /// Answers a call, at once or when what it changed is on disk.
    pub(super) fn handle_call(&mut self, call: Call) {
        let Call { request, uid, reply, is_behind: _ } = call;
        // What others answer, in their own time.
        if matches!(request, Request::TestNotify) {
            return self.test_receivers(reply);
        }
        if let Request::Why { whom } = request {
            return self.tell_why(whom, reply);
        }
        if matches!(request, Request::Bans) {
            return self.list_bans(reply);
        }
        if let Request::Report { since_s, utc_offset_s } = request {
            let span = Span::new(since_s, utc_offset_s, Reading::take());
            return self.tell_report(span.remembered(self.config.daemon.remember_bans), reply);
        }
        // Bans are in the kernel, too; what is allowed is nowhere else.
        let is_of_allowed = matches!(request, Request::Allow { .. } | Request::Disallow { .. });
        let lost_at = if is_of_allowed { "restart" } else { "reboot" };
        let is_of_bans = matches!(request, Request::Ban { .. } | Request::Unban { .. } | Request::UnbanAll);
        let is_change = is_of_bans || is_of_allowed;
        let is_of_all = matches!(request, Request::UnbanAll);
        let replies = match self.answer(request, uid.map(Uid)) {
            Ok(replies) => replies,
            Err(error) => {
                let code = error.downcast_ref::<crate::exit::Failure>().map_or(1, crate::exit::Failure::code);
                vec![Reply::Error { message: format!("{error:#}"), code }]
            }
        };
        let answer = Answer { replies, lost_at, reply };
        if is_of_all && let Some(sweeping) = &mut self.sweeping {
            sweeping.waiting.push(answer);
        } else if is_change {
            self.answer_when_written(answer);
        } else {
            answer.send(Ok(()));
        }
    }

    /// Tells all bans in force. They are put into words by another thread: for a million that takes most of a second.
    fn list_bans(&mut self, reply: oneshot::Sender<Vec<Reply>>) {
        let clock = Reading::take();
        self.engine.handle_timeout(clock.boot());
        self.carry_out();
        let bans = self.engine.bans();
        let tell = move || {
            let mut replies = listed(bans, clock);
            replies.push(Reply::Done);
            if reply.send(replies).is_err() {
                tracing::debug!("a control client went away before its answer");
            }
        };
        // Nobody waits for it but who has asked.
        drop(tokio::task::spawn_blocking(tell));
    }

    /// Sends an answer about a change: what an administrator changed is on disk before it is said to be done.
    pub(super) fn answer_when_written(&mut self, answer: Answer) {
        self.keeper.tell_when_written(Box::new(|saved| answer.send(saved)));
    }

    fn answer(&mut self, request: Request, by: Option<Uid>) -> Result<Vec<Reply>> {
        let clock = Reading::take();
        let mut asked = None;
        let request = match request {
            Request::Status => return Ok(vec![Reply::Status(Box::new(self.status()?))]),
            Request::Reload => {
                let said = self.reload()?;
                return Ok(said.map(Reply::Warning).into_iter().collect());
            }
            Request::Confirm => return self.confirm().map(|said| vec![Reply::Said(said)]),
            Request::Watch { after } => return Ok(vec![Reply::Watch(Box::new(self.watch(after)?))]),
            Request::Attempt { jail, addr, attempts } => return self.attempt(&jail, addr, attempts),
            Request::Allowed => return Ok(self.allowed(clock).into_iter().map(Reply::Allowed).collect()),
            Request::Allow { prefixes, lasts, persist, reason } => {
                let lasts = lasts.map_or(Ok(BanTime::Forever), |text| text.parse())?;
                engine::Request::Allow { prefixes, lasts, persists: persist, reason }
            }
            Request::Disallow { prefixes } => engine::Request::Disallow { prefixes },
            Request::Ban { prefixes: whom, jail, ban_time, reason, runs } => {
                asked = runs.then(|| whom.clone());
                let ban_time = ban_time.map(|text| text.parse::<BanTime>()).transpose()?;
                engine::Request::Ban { whom, jail, ban_time, reason }
            }
            Request::Unban { prefixes } => engine::Request::Unban { prefixes },
            Request::UnbanAll => engine::Request::UnbanAll,
            Request::Bans | Request::Why { .. } | Request::Report { .. } | Request::TestNotify => {
                anyhow::bail!("this is answered elsewhere")
            }
        };
        let refused_before = self.refused.0;
        let response = self.engine.handle_request_by(request, by, clock.boot());
        self.carry_out();
        let Summed { renewed, ended } = self.engine.take_summed();
        if renewed + ended > 0 {
            tracing::info!(renewed, ended, "bans that a long list changed, and that `blocker why` does not tell of so");
        }
        if self.refused.0 > refused_before {
            anyhow::bail!("the kernel did not take all of it yet, and is asked again: {}", self.refused.1);
        }
        Ok(match response {
            Response::Ban(outcomes) => answers::banned(outcomes, asked.as_deref()),
            Response::Unban(outcomes) => outcomes
                .into_iter()
                .map(|(prefix, lifted)| {
                    let outcome = if lifted { "unbanned" } else { "not-banned" };
                    let why = self.engine.banned_around(prefix).map(answers::still_banned);
                    Reply::Change(Change { prefix, outcome: outcome.into(), why })
                })
                .collect(),
            Response::UnbanAll(lifted) => vec![Reply::Lifted(lifted)],
            Response::Allow { outcomes, lifted } => allowing::allowed(outcomes, &lifted),
            Response::Disallow(outcomes) => self.disallowed(outcomes),
            Response::Bans(bans) => listed(bans, clock),
            Response::UnknownJail { name, known } => {
                anyhow::bail!("no jail `{name}`: there are {}", known.join(", "))
            }
        })
    }
}

fn listed(bans: Vec<BanInfo>, clock: Reading) -> Vec<Reply> {
    bans.into_iter().map(|ban| Reply::Ban(status::ban(ban, clock))).collect()
}
