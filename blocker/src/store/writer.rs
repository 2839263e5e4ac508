//! The thread that writes, its queue, and what it reports.
//!
//! What cannot be written is tried again until it can, and nothing behind it goes first: the database is always of one
//! instant. Meanwhile the queue is full and the daemon collects on.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::sync::mpsc;

use super::{Database, Transaction, database};
use crate::clock::Reading;

/// Transactions that may wait for the thread, besides the one that it writes. The daemon collects the rest.
pub(super) const MAX_WAITING_TRANSACTIONS: usize = 2;

/// How long to wait before a failed write is tried again: doubled from the first to the last.
const RETRY: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];

/// How often what is of no use any more is removed.
const CLEAN_EVERY: Duration = Duration::from_secs(3600);

/// What became of a transaction.
#[derive(Debug, PartialEq, Eq)]
pub enum Report {
    /// It is written.
    Written,
    /// The same, and much that is there is of no use any more: all bans should be written anew.
    Sprawling,
    /// It is not, and is tried again; why.
    Failing(String),
    /// The database was damaged or taken away, and another was begun, in which this is all there is; where the old one is.
    BegunAnew(String),
    /// Nothing more can be kept; why.
    GivenUp(String),
}

/// The way to the thread.
pub struct Writer {
    transactions: mpsc::Sender<Transaction>,
    reports: mpsc::Receiver<Report>,
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// If it cannot be started.
    pub fn start(database: Database) -> Result<Self> {
        let (transactions, waiting) = mpsc::channel(MAX_WAITING_TRANSACTIONS);
        let (reports_in, reports) = mpsc::channel(2 * MAX_WAITING_TRANSACTIONS);
        let thread = Thread { waiting, reports: reports_in, cleaned: Instant::now() };
        thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || thread.run(database))
            .context("starting the thread that writes the database")?;
        Ok(Self { transactions, reports })
    }

    /// Room for a transaction, if there is any.
    pub fn room(&self) -> Option<mpsc::Permit<'_, Transaction>> {
        self.transactions.try_reserve().ok()
    }

    /// Waits for the next report; `None` when there will be none.
    pub async fn report(&mut self) -> Option<Report> {
        self.reports.recv().await
    }

    /// Waits until all that was handed over is written, or can not be.
    pub async fn finish(self) -> Option<Report> {
        let Self { transactions, mut reports } = self;
        drop(transactions);
        let mut last = None;
        while let Some(report) = reports.recv().await {
            last = Some(report);
        }
        last
    }
}

struct Thread {
    waiting: mpsc::Receiver<Transaction>,
    reports: mpsc::Sender<Report>,
    cleaned: Instant,
}

impl Thread {
    fn run(mut self, mut database: Database) {
        while let Some(transaction) = self.waiting.blocking_recv() {
            if !database.is_in_place() {
                match self.begin_anew(database, "the file was removed while it was in use") {
                    Some(another) => database = another,
                    None => return,
                }
            }
            let mut wait = RETRY[0];
            while let Err(error) = database.write(&transaction, Reading::take()) {
                let why = database::sentence(database.state(), &error);
                transaction.told.tell(Err(&why));
                transaction.questions.refuse(&why);
                if database::is_damage(&error) {
                    match self.begin_anew(database, &error.to_string()) {
                        Some(another) => database = another,
                        None => return,
                    }
                    continue;
                }
                if self.reports.blocking_send(Report::Failing(why)).is_err() {
                    return;
                }
                thread::sleep(wait);
                wait = (2 * wait).min(RETRY[1]);
            }
            let is_sprawling = !transaction.changes.all_bans && database.is_sprawling(transaction.in_force);
            transaction.told.tell(Ok(()));
            for question in transaction.questions.take() {
                question.answer(&database);
            }
            let report = if is_sprawling { Report::Sprawling } else { Report::Written };
            if self.reports.blocking_send(report).is_err() {
                return;
            }
            self.clean(&mut database, transaction.remember_bans);
        }
    }

    fn begin_anew(&self, database: Database, why: &str) -> Option<Database> {
        let (report, another) = match database.begin_anew(why) {
            Ok(opened) => {
                (Report::BegunAnew(opened.set_aside.unwrap_or_else(|| why.to_owned())), Some(opened.database))
            }
            Err(why) => (Report::GivenUp(why), None),
        };
        self.reports.blocking_send(report).ok().and(another)
    }

    fn clean(&mut self, database: &mut Database, remember_bans: Duration) {
        if self.cleaned.elapsed() < CLEAN_EVERY {
            return;
        }
        self.cleaned = Instant::now();
        if let Err(error) = database.clean(remember_bans, Reading::take()) {
            tracing::warn!("{}", database::sentence(database.state(), &error));
        }
    }
}
