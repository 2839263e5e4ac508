//! What happened in some time: told by the thread that has the database, behind all that has been handed over.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::Daemon;
use crate::control::report::Report;
use crate::control::wire::Reply;
use crate::store::{Question, Span};

/// How long the database may take.
const PATIENCE: Duration = Duration::from_secs(30);

type Unanswered = Mutex<Option<oneshot::Sender<Vec<Reply>>>>;

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
        let unanswered = Arc::new(Mutex::new(Some(reply)));
        let late = Arc::clone(&unanswered);
        let answer_it = move |found: Result<Box<Report>, &str>| answer(&unanswered, found);
        self.keeper.ask(Question::Report { span, answer: Box::new(answer_it) });
        tokio::spawn(async move {
            tokio::time::sleep(PATIENCE).await;
            answer(&late, Err("the database has not answered yet: its disk is busy, or hangs"));
        });
    }
}
