//! What is asked of the database: answered by the thread that has it, behind all that has been handed over before.

use std::sync::{Arc, Mutex, PoisonError};

use blocker_core::prefix::Prefix;

use super::account::PastBan;
use super::report::Span;
use super::{Database, database};
use crate::control::report::Report;

/// Who takes the answer, or why there is none.
pub type Answer<T> = Box<dyn FnOnce(Result<T, &str>) + Send>;

/// A question, and whom to tell.
pub enum Question {
    /// Which bans there were of somebody.
    Account {
        /// Who.
        whom: Prefix,
        /// Whom to tell.
        answer: Answer<Vec<PastBan>>,
    },
    /// What happened.
    Report {
        /// When.
        span: Span,
        /// Whom to tell.
        answer: Answer<Box<Report>>,
    },
}

impl Question {
    /// Answers it from the database.
    pub(super) fn answer(self, from: &Database) {
        let sentence = |error: rusqlite::Error| database::sentence(from.state(), &error);
        match self {
            Self::Account { whom, answer } => match from.account_of(whom).map_err(sentence) {
                Ok(bans) => answer(Ok(bans)),
                Err(why) => answer(Err(&why)),
            },
            Self::Report { span, answer } => match from.report(span).map_err(sentence) {
                Ok(report) => answer(Ok(Box::new(report))),
                Err(why) => answer(Err(&why)),
            },
        }
    }

    /// Says why there is no answer.
    pub fn refuse(self, why: &str) {
        match self {
            Self::Account { whom: _, answer } => answer(Err(why)),
            Self::Report { span: _, answer } => answer(Err(why)),
        }
    }
}

/// Questions that go with one transaction. Whoever comes first answers them: the thread that has written it, or failed to; or the
/// daemon's task, if another transaction before it cannot be written.
#[derive(Clone, Default)]
pub struct Questions(Arc<Mutex<Vec<Question>>>);

impl From<Vec<Question>> for Questions {
    fn from(questions: Vec<Question>) -> Self {
        Self(Arc::new(Mutex::new(questions)))
    }
}

impl Questions {
    /// Those that nobody has answered yet.
    #[must_use]
    pub fn take(&self) -> Vec<Question> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether all have been answered.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Says why there is no answer.
    pub fn refuse(&self, why: &str) {
        for question in self.take() {
            question.refuse(why);
        }
    }
}
