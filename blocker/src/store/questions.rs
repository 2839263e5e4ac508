//! What is asked of the database: answered by the thread that has it, behind all that has been handed over before.

use std::sync::{Arc, Mutex, PoisonError};

use blocker_core::prefix::Prefix;

use super::account::PastBan;

/// The answer, or why there is none.
pub type Answer = Box<dyn FnOnce(Result<Vec<PastBan>, &str>) + Send>;

/// Which bans there were of somebody.
pub struct Question {
    /// Who.
    pub whom: Prefix,
    /// Whom to tell.
    pub answer: Answer,
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
            (question.answer)(Err(why));
        }
    }
}
