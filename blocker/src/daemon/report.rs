//! What happened in some time: told by the thread that has the database, behind all that has been handed over. One at a time: while it is
//! put together nothing is written.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::oneshot;

use super::Daemon;
use crate::control::report::Report;
use crate::control::wire::Reply;
use crate::store::{Question, Span};

/// How long the database may take.
const PATIENCE: Duration = Duration::from_secs(30);

type Unanswered = Mutex<Option<oneshot::Sender<Vec<Reply>>>>;

/// The one that is put together, if there is one.
#[derive(Default)]
pub(super) struct UnderWay(Weak<Unanswered>);

impl UnderWay {
    fn begin(&mut self, reply: oneshot::Sender<Vec<Reply>>) -> Arc<Unanswered> {
        let unanswered = Arc::new(Mutex::new(Some(reply)));
        self.0 = Arc::downgrade(&unanswered);
        unanswered
    }

    fn is_unanswered(&self) -> bool {
        self.0.upgrade().is_some_and(|one| one.lock().unwrap_or_else(PoisonError::into_inner).is_some())
    }
}

/// Tells what the database has, or why that is not known. Whoever comes second says nothing.
fn answer(unanswered: &Unanswered, found: Result<Box<Report>, &str>) {
    let taken = unanswered.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(reply) = taken else { return };
    let replies = match found {
        Ok(report) => vec![Reply::Report(report), Reply::Done],
        Err(why) => vec![Reply::Error { message: format!("what happened is not known: {why}"), code: 1 }],
    };
    if reply.send(replies).is_err() {
        tracing::debug!("a control client went away before its answer");
    }
}

impl Daemon<'_> {
    /// Answers what happened.
    pub(super) fn tell_report(&mut self, span: Span, reply: oneshot::Sender<Vec<Reply>>) {
        if self.report_under_way.is_unanswered() {
            return answer(&Mutex::new(Some(reply)), Err("a report is being put together for somebody: ask again"));
        }
        let unanswered = self.report_under_way.begin(reply);
        let late = Arc::clone(&unanswered);
        let answer_it = move |found: Result<Box<Report>, &str>| answer(&unanswered, found);
        self.keeper.ask(Question::Report { span, answer: Box::new(answer_it) });
        tokio::spawn(async move {
            tokio::time::sleep(PATIENCE).await;
            answer(&late, Err("the database has not answered yet: its disk is busy, or hangs"));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_put_together_at_a_time_and_whoever_comes_second_says_nothing() {
        let mut under_way = UnderWay::default();
        assert!(!under_way.is_unanswered());
        let (reply, mut told) = oneshot::channel();
        let unanswered = under_way.begin(reply);
        assert!(under_way.is_unanswered());

        answer(&unanswered, Err("the disk hangs"));
        answer(&unanswered, Ok(Box::default()));

        assert!(!under_way.is_unanswered());
        let Ok(replies) = told.try_recv() else { panic!("an answer") };
        let [Reply::Error { message, code: 1 }] = &replies[..] else { panic!("{replies:?}") };
        assert_eq!(message, "what happened is not known: the disk hangs");
    }
}
