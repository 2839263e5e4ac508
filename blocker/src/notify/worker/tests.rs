//! The worker with a receiver that does as it is told, in a time that moves when nothing else does.

use std::collections::VecDeque;

use blocker_core::engine::UnbanReason;
use tokio::time::advance;

use super::*;

/// What was told, and when.
type Told = mpsc::UnboundedReceiver<(Batch, Instant)>;

struct Scripted {
    answers: VecDeque<Result<(), Failed>>,
    told: mpsc::UnboundedSender<(Batch, Instant)>,
    every: Duration,
    hangs: bool,
}

impl Receiver for Scripted {
    async fn tell(&mut self, batch: &Batch, _: bool) -> Result<(), Failed> {
        self.told.send((batch.clone(), Instant::now())).expect("the test listens");
        if self.hangs {
            std::future::pending::<()>().await;
        }
        self.answers.pop_front().unwrap_or(Ok(()))
    }

    fn every(&self) -> Duration {
        self.every
    }

    fn gathers(&self) -> Duration {
        if self.every.is_zero() { Duration::ZERO } else { Duration::from_secs(1) }
    }
}

fn begin(every: Duration, hangs: bool, answers: impl IntoIterator<Item = Result<(), Failed>>) -> (Handle, Told) {
    let (told, tolds) = mpsc::unbounded_channel();
    let (handle, worker, end) = worker("test", Scripted { answers: answers.into_iter().collect(), told, every, hangs });
    tokio::spawn(async move {
        worker.run().await;
        drop(end);
    });
    (handle, tolds)
}

fn unban(n: usize) -> Arc<Happening> {
    let what = What::Unbanned { prefix: n.to_string(), jail: "a".to_owned(), why: UnbanReason::Expired, by: None };
    Arc::new(Happening { what, clock: Reading::take() })
}

fn later() -> Result<(), Failed> {
    Err(Failed::Later("not now".to_owned()))
}

async fn told(tolds: &mut Told) -> (Batch, Instant) {
    timeout(Duration::from_secs(24 * 60 * 60), tolds.recv())
        .await
        .expect("something is told")
        .expect("the worker lives")
}

#[tokio::test(start_paused = true)]
async fn what_comes_is_told_at_once_and_what_waits_in_one_piece() {
    let (mut handle, mut tolds) = begin(Duration::ZERO, false, []);
    let began = Instant::now();

    handle.tell(|| unban(0));
    let (batch, at) = told(&mut tolds).await;
    assert_eq!((batch.notices.len(), at), (1, began));
    for n in 0..250 {
        handle.tell(|| unban(n));
    }

    let sizes =
        [told(&mut tolds).await.0, told(&mut tolds).await.0, told(&mut tolds).await.0].map(|batch| batch.notices.len());
    assert_eq!(sizes, [100, 100, 50], "nothing is only counted where there is no need");
    handle.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_flood_is_one_digest_that_says_how_many_were_left_out() {
    let (mut handle, mut tolds) = begin(Duration::from_secs(60), false, []);
    handle.tell(|| unban(0));
    let (first, at) = told(&mut tolds).await;
    assert_eq!(first.notices.len(), 1);

    for n in 0..10_000 {
        handle.tell(|| unban(n));
        if n % 500 == 0 {
            tokio::task::yield_now().await;
        }
    }

    let (digest, next) = told(&mut tolds).await;
    assert_eq!((digest.notices.len() as u64 + digest.left_out, digest.notices.len()), (10_000, MAX_TOLD));
    assert!(next - at >= Duration::from_secs(60), "{:?}", next - at);
    handle.tell(|| unban(7));
    let (third, last) = told(&mut tolds).await;
    assert_eq!((third.notices.len(), third.left_out), (1, 0), "what was told is told once");
    assert!(last - next >= Duration::from_secs(60), "{:?}", last - next);
    let dropped = handle.state.borrow().given_up + handle.left_out();
    assert_eq!(dropped, 10_000 - MAX_TOLD as u64);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_hangs_has_others_wait_for_nothing_and_the_full_queue_is_counted() {
    let (mut handle, mut tolds) = begin(Duration::ZERO, true, []);
    handle.tell(|| unban(0));
    told(&mut tolds).await;
    let began = std::time::Instant::now();

    for n in 0..10 * MAX_WAITING {
        handle.tell(|| unban(n));
    }

    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(handle.left_out(), 9 * MAX_WAITING as u64);
    let began = Instant::now();
    handle.finish().await;
    assert_eq!((Instant::now() - began).as_secs(), END_WITHIN.as_secs(), "nor does the stop wait for longer");
}

#[tokio::test(start_paused = true)]
async fn a_piece_is_tried_again_ever_later_and_then_given_up() {
    let (mut handle, mut tolds) = begin(Duration::ZERO, false, (0..50).map(|_| later()));
    handle.tell(|| unban(0));

    let (_, first) = told(&mut tolds).await;
    let mut last = first;
    let mut waits = Vec::new();
    for _ in 0..6 {
        let (batch, at) = told(&mut tolds).await;
        assert_eq!(batch.notices.len(), 1);
        waits.push((at - last).as_secs());
        last = at;
    }
    assert_eq!(waits, [5, 10, 20, 40, 80, 160]);
    assert_eq!(handle.state.borrow().problem.as_deref(), Some("not now"));
    while handle.state.borrow().given_up == 0 {
        last = told(&mut tolds).await.1;
    }
    assert!((last - first).as_secs().abs_diff(60 * 60) < 300, "{:?}", last - first);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_is_back_is_told_what_waited_and_how_much_did_not() {
    let (mut handle, mut tolds) = begin(Duration::ZERO, false, [later()]);
    handle.tell(|| unban(0));
    told(&mut tolds).await;
    for n in 0..MAX_WAITING + 5 {
        handle.tell(|| unban(n));
    }

    let (again, _) = told(&mut tolds).await;
    assert_eq!((again.notices.len(), again.left_out), (1, 5));
    let mut rest = 0;
    while rest < MAX_WAITING {
        rest += told(&mut tolds).await.0.notices.len();
    }
    assert_eq!(rest, MAX_WAITING);
    // The last piece is counted when it was taken.
    advance(Duration::from_secs(1)).await;
    let state = handle.state.borrow().clone();
    assert_eq!((state.failed, state.given_up, state.problem, handle.left_out()), (1, 0, None, 5));
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_for_good_is_not_tried_again() {
    let (mut handle, mut tolds) = begin(Duration::ZERO, false, [Err(Failed::Never("no such user".to_owned()))]);

    handle.tell(|| unban(0));
    told(&mut tolds).await;
    handle.tell(|| unban(1));
    let (next, _) = told(&mut tolds).await;

    assert!(matches!(&next.notices[0].detail, super::super::notice::Detail::Unban(unban) if unban.prefix == "1"));
}

#[tokio::test(start_paused = true)]
async fn at_the_stop_what_waits_is_told_at_once() {
    let (mut handle, mut tolds) = begin(Duration::from_secs(60), false, [Ok(()), later()]);
    handle.tell(|| unban(0));
    told(&mut tolds).await;
    handle.tell(|| unban(1));
    told(&mut tolds).await;
    // It is tried again in five seconds.
    handle.tell(|| unban(2));
    handle.tell(|| Arc::new(Happening { what: What::Stopping, clock: Reading::take() }));
    let began = Instant::now();

    handle.finish().await;

    let (last, at) = told(&mut tolds).await;
    assert_eq!(last.notices.iter().map(|notice| notice.event).collect::<Vec<_>>(), ["unban", "unban", "stop"]);
    assert_eq!(at, began);
    assert!(tolds.recv().await.is_none(), "and the worker is gone");
}

#[tokio::test(start_paused = true)]
async fn a_test_does_not_wait_for_what_is_tried_again() {
    let (mut handle, mut tolds) = begin(Duration::ZERO, false, [later(), later(), Ok(())]);
    handle.tell(|| unban(0));
    told(&mut tolds).await;

    for expected in [Err("not now".to_owned()), Ok(())] {
        let (reply, answer) = oneshot::channel();
        handle.tests.send(reply).await.expect("the worker lives");
        assert_eq!(answer.await, Ok(expected));
        assert_eq!(told(&mut tolds).await.0.notices[0].event, "test");
    }
}
