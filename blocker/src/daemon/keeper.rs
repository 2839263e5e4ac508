//! What is handed to the store, and when.
//!
//! Everything that changed since the last time goes in one transaction, at most every [`EVERY`], or at once if it is much or
//! somebody waits for it. If the store has no room, it waits and grows by keys alone; the daemon never does.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use blocker_core::engine::{Engine, JailId, SourceId};
use blocker_core::keyed::HashKey;

use super::cursors::Cursors;
use super::logs::{Changed, Logs};
use super::printed::Printed;
use crate::clock::Reading;
use crate::store::{self, Loaded, Question, Questions, Report, Told, Transaction, Waiting, Writer};

/// How long changes are collected: after a crash at most so much is judged again, from the place that belongs to what was
/// written.
const EVERY: Duration = Duration::from_millis(200);

/// Questions that wait for the store to have room: as many as all clients may have under way. Whoever asked does not wait for ever,
/// and a disk may hang for longer.
const MAX_QUESTIONS: usize = 128;

/// How often it is written who logged in lately: up to 1.3 MB. After a crash the brake knows nothing of the last hour at most.
const LOGINS_EVERY: Duration = Duration::from_secs(60 * 60);

/// So many changes are written at once.
const MANY: usize = 16_384;

/// The store, if there is one, and what waits for it.
pub(super) struct Keeper {
    writer: Option<Writer>,
    handed_over: Instant,
    /// Nothing was written since the start: that the kernel has been told all of it is still to be noted.
    is_new: bool,
    /// By which texts are hashed that need only be known again: the same in every run, as long as the database is there.
    pub(super) hash_key: HashKey,
    /// What the sources are called.
    pub(super) source_names: BTreeMap<SourceId, String>,
    /// How far the logs have been read.
    pub(super) logs: Logs,
    /// How far the journals have been read.
    pub(super) cursors: Cursors,
    /// What commands have printed.
    pub(super) printed: Printed,
    /// Who waits until what is there now is written; a control client each, so there are few.
    told: Vec<Told>,
    /// Who waits for what was handed over: of the transactions that the store has, at most one more than may wait there.
    handed: Vec<Waiting>,
    /// What is asked of what is there now, and was asked with what was handed over.
    questions: Vec<Question>,
    asked: Vec<Questions>,
    /// When it is next to be written who logged in lately.
    logins_due: Instant,
    /// How long what is over is kept in the account of bans.
    pub(super) remember_bans: Duration,
    /// Why something is not written.
    problem: Option<String>,
    /// Why an earlier database is not used any more.
    set_aside: Option<String>,
}

impl Keeper {
    /// Opens the database in `state` and reads what is in it. Whatever is wrong with that is told, and no error.
    ///
    /// # Errors
    ///
    /// If there can be no thread for it.
    pub(super) fn open(
        state: &Path,
        jail: impl Fn(&str) -> Option<JailId>,
        source: impl Fn(&str) -> Option<SourceId>,
    ) -> Result<(Self, Loaded)> {
        let mut keeper = Self {
            writer: None,
            handed_over: Instant::now(),
            is_new: true,
            hash_key: HashKey::default(),
            source_names: BTreeMap::new(),
            logs: Logs::default(),
            cursors: Cursors::default(),
            printed: Printed::default(),
            told: Vec::new(),
            handed: Vec::new(),
            questions: Vec::new(),
            asked: Vec::new(),
            logins_due: Instant::now() + LOGINS_EVERY,
            remember_bans: Duration::MAX,
            problem: None,
            set_aside: None,
        };
        let mut loaded = match store::open(state, Reading::take(), jail, source) {
            Ok((opened, loaded)) => {
                keeper.writer = Some(Writer::start(opened.database)?);
                if let Some(set_aside) = opened.set_aside {
                    tracing::error!("the database was damaged: {set_aside}");
                    keeper.set_aside = Some(set_aside);
                }
                loaded
            }
            Err(why) => {
                tracing::error!(
                    "bans and counts will not outlast a reboot, until that is put right and the daemon restarted: {why}"
                );
                keeper.problem = Some(why);
                Loaded::default()
            }
        };
        if loaded.unused > 0 {
            tracing::warn!(
                rows = loaded.unused,
                "of jails that are gone, or not understood, in the database: left out"
            );
        }
        keeper.hash_key = loaded.hash_key.unwrap_or_else(random_key);
        keeper.logs = Logs::new(std::mem::take(&mut loaded.logs));
        keeper.cursors = Cursors::new(std::mem::take(&mut loaded.cursors));
        keeper.printed = Printed::new(std::mem::take(&mut loaded.printed));
        Ok((keeper, loaded))
    }

    /// Whether there is a store.
    pub(super) fn is_on(&self) -> bool {
        self.writer.is_some()
    }

    /// Has `told` called when everything that has changed is written, or at once if that cannot be.
    pub(super) fn tell_when_written(&mut self, told: Told) {
        match &self.problem {
            None => self.told.push(told),
            Some(problem) => told(Err(problem)),
        }
    }

    /// Has a question answered from the database, behind all that has changed; or at once why it cannot be.
    pub(super) fn ask(&mut self, question: Question) {
        match (&self.problem, self.is_on()) {
            (Some(problem), _) => question.refuse(problem),
            (None, false) => question.refuse("there is no database"),
            (None, true) if self.questions.len() >= MAX_QUESTIONS => {
                question.refuse("too many questions wait for the database: its disk is busy, or hangs");
            }
            (None, true) => self.questions.push(question),
        }
    }

    /// How long until something is to be handed over; `None` if there is nothing, or no room for it.
    pub(super) fn wait(&self, engine: &Engine) -> Option<Duration> {
        self.writer.as_ref().and_then(Writer::room)?;
        let is_awaited = !self.told.is_empty() || !self.questions.is_empty();
        let is_urgent = is_awaited || self.logs.is_urgent() || self.cursors.is_urgent();
        if is_urgent || self.changed(engine) >= MANY {
            return Some(Duration::ZERO);
        }
        (self.changed(engine) > 0).then(|| EVERY.saturating_sub(self.handed_over.elapsed()))
    }

    /// Hands over what is due.
    pub(super) fn hand_over(&mut self, engine: &mut Engine) {
        if self.wait(engine) == Some(Duration::ZERO) {
            self.hand_over_now(engine);
        }
    }

    fn hand_over_now(&mut self, engine: &mut Engine) {
        let Some(room) = self.writer.as_ref().and_then(Writer::room) else { return };
        self.handed_over = Instant::now();
        self.is_new = false;
        let is_awaited = !self.told.is_empty();
        let told = Waiting::from(std::mem::take(&mut self.told));
        self.handed.retain(|earlier| !earlier.is_over());
        if is_awaited {
            self.handed.push(told.clone());
        }
        let questions = Questions::from(std::mem::take(&mut self.questions));
        self.asked.retain(|earlier| !earlier.is_over());
        self.asked.push(questions.clone());
        // Before anything else, so that no file written to later counts as read.
        let collected = Reading::take().wall_ns();
        let Changed { logs, lost, all } = self.logs.take();
        let (cursors, all_cursors) = self.cursors.take();
        let (printed, all_printed) = self.printed.take();
        let logins = self.are_logins_due().then(|| engine.saved_logins());
        if logins.is_some() {
            self.logins_due = Instant::now() + LOGINS_EVERY;
        }
        room.send(Transaction {
            in_force: engine.held(),
            logins,
            remember_bans: self.remember_bans,
            questions,
            changes: engine.take_changes(),
            jails: engine.jail_names().clone(),
            sources: self.source_names.clone(),
            hash_key: self.hash_key,
            logs,
            lost_logs: lost,
            collected,
            all_logs: all,
            cursors,
            all_cursors,
            printed,
            all_printed,
            durable: is_awaited,
            told,
        });
    }

    fn changed(&self, engine: &Engine) -> usize {
        let places = self.logs.changed() + self.cursors.changed() + self.printed.changed();
        engine.changed() + places + usize::from(self.is_new) + usize::from(self.are_logins_due())
    }

    fn are_logins_due(&self) -> bool {
        Instant::now() >= self.logins_due
    }

    /// Waits for word from the store.
    pub(super) async fn report(&mut self) -> Report {
        let Some(writer) = &mut self.writer else { return std::future::pending().await };
        writer.report().await.unwrap_or_else(|| Report::GivenUp("the thread that writes it has ended".to_owned()))
    }

    /// Takes in word from the store.
    pub(super) fn hear(&mut self, report: Report, engine: &mut Engine) {
        match report {
            Report::Written | Report::Sprawling => {
                if report == Report::Sprawling {
                    engine.forget_told_bans();
                }
                if self.problem.take().is_some() {
                    tracing::info!("the database can be written again: nothing is lost");
                }
            }
            Report::Failing(why) => {
                if self.problem.as_ref() != Some(&why) {
                    tracing::error!("changes are not saved, and tried again: {why}");
                }
                self.refuse_waiting(&why);
                self.problem = Some(why);
            }
            Report::BegunAnew(why) => {
                tracing::error!("the database was damaged: {why}");
                self.set_aside = Some(why);
                engine.forget_told();
                self.logins_due = Instant::now();
                self.logs.touch_all();
                self.cursors.touch_all();
                self.printed.touch_all();
            }
            Report::GivenUp(why) => {
                tracing::error!("bans and counts will not outlast a reboot: {why}");
                self.refuse_waiting(&why);
                self.problem = Some(why);
                self.writer = None;
            }
        }
    }

    fn refuse_waiting(&mut self, why: &str) {
        // Nothing is written before what failed is: who waits for what comes behind it would wait for as long.
        for handed in self.handed.drain(..) {
            handed.tell(Err(why));
        }
        for told in self.told.drain(..) {
            told(Err(why));
        }
        for asked in self.asked.drain(..) {
            asked.refuse(why);
        }
        Questions::from(std::mem::take(&mut self.questions)).refuse(why);
    }

    /// Has all there is written, for as long as somebody waits.
    pub(super) async fn finish(mut self, mut engine: Engine) {
        self.logins_due = Instant::now();
        while self.writer.is_some() && self.changed(&engine) + self.told.len() > 0 {
            match self.wait(&engine) {
                Some(_) => self.hand_over_now(&mut engine),
                None => {
                    let report = self.report().await;
                    self.hear(report, &mut engine);
                }
            }
        }
        if let Some(writer) = self.writer.take() {
            writer.finish().await;
        }
    }

    /// What is wrong, a sentence each.
    pub(super) fn problems(&self) -> impl Iterator<Item = String> {
        self.not_saved().into_iter().chain(self.set_aside())
    }

    /// Why nothing is saved, if so, in a sentence.
    pub(super) fn not_saved(&self) -> Option<String> {
        // One that could not be opened, or is given up, is not tried again.
        let remedy = if self.is_on() { "" } else { "; put that right and restart the daemon, which keeps all bans" };
        let why = self.problem.as_ref()?;
        Some(format!("bans and counts are not saved, and lost at a reboot: {why}{remedy}"))
    }

    /// Why another database was begun, if one was, in a sentence.
    pub(super) fn set_aside(&self) -> Option<String> {
        self.set_aside.as_ref().map(|why| format!("the database was damaged, what it held is lost: {why}"))
    }
}

/// A key that nobody can foresee: of the random numbers that the standard library's hash tables are guarded with.
fn random_key() -> HashKey {
    let half = |number: u8| RandomState::new().hash_one(number).to_le_bytes();
    let (low, high) = (half(0), half(1));
    HashKey::new(std::array::from_fn(|index| low.iter().chain(&high).copied().nth(index).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use blocker_core::brake::Limits;
    use blocker_core::engine::{Bounds, Settings};

    use super::*;
    use crate::source::Mark;
    use crate::source::testing::TempDir;

    #[test]
    fn questions_that_a_hanging_disk_leaves_open_are_bounded() {
        let dir = TempDir::new();
        let (mut keeper, _) = Keeper::open(&dir.path(""), |_| None, |_| None).expect("it can be opened");
        let refused = Arc::new(AtomicUsize::new(0));

        for _ in 0..MAX_QUESTIONS + 3 {
            let refused = Arc::clone(&refused);
            let answer = move |found: Result<Vec<store::PastBan>, &str>| {
                assert!(found.is_err_and(|why| why.contains("too many")));
                refused.fetch_add(1, Ordering::Relaxed);
            };
            keeper.ask(Question::Account { whom: "192.0.2.9".parse().expect("an address"), answer: Box::new(answer) });
        }

        assert_eq!((keeper.questions.len(), refused.load(Ordering::Relaxed)), (MAX_QUESTIONS, 3));
    }
    #[tokio::test]
    async fn a_stop_does_not_wait_for_a_source_that_has_not_told_where_it_begins() {
        let dir = TempDir::new();
        let (mut keeper, _) = Keeper::open(&dir.path(""), |_| None, |_| None).expect("it can be opened");
        let mut engine = engine();
        engine.track_changes();
        keeper.logs.note("begun", mark(7));
        keeper.logs.begin("begun");
        keeper.logs.note("new", mark(8));

        let finished = tokio::time::timeout(Duration::from_secs(20), keeper.finish(engine)).await;

        assert!(finished.is_ok(), "there is nothing to wait for");
        let (keeper, _) = Keeper::open(&dir.path(""), |_| None, |_| None).expect("it can be opened");
        assert_eq!(keeper.logs.marks("begun").files.iter().map(|mark| mark.inode).collect::<Vec<_>>(), [7]);
        assert!(!keeper.logs.marks("new").is_known, "it begins anew");
    }

    fn mark(inode: u64) -> Mark {
        let (path, before) = ("/var/log/x".into(), b"a line\n".to_vec());
        Mark { path, device: 1, inode, offset: 7, before, skipping: false, noted: 0 }
    }

    fn engine() -> Engine {
        Engine::new(Settings {
            jails: Vec::new(),
            manual: JailId::MAX,
            allow: Vec::new(),
            ipv6_prefix: 64,
            remember_bans: Duration::MAX,
            brake: Limits::default(),
            bounds: Bounds::default(),
        })
    }
}
