//! A service on the server, and a client who is not banned: so many connections a second, a question and an answer on
//! each, and how long they take.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use blocker_tests::{
    netns::{Host, Net},
    worker::{Worker, make_on},
};
use nix::{
    sched::{CpuSet, sched_setaffinity},
    sys::socket::{setsockopt, sockopt::ReceiveTimeout},
    sys::time::{TimeVal, TimeValLike as _},
    unistd::Pid,
};

use crate::{
    RECEIVER, SENDER,
    wire::{SERVER, VERY_FIRST, put_before_all},
};

/// Where the service is: IMAP's port, which is protected.
pub(crate) const PORT: u16 = 143;

/// Connections that are begun in a second.
pub(crate) const A_SECOND: u32 = 500;

/// A client waits no longer, and tries anew.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long either side waits for the other's bytes before it looks whether it is to stop.
const STEP: Duration = Duration::from_millis(200);

/// Answers until it is dropped, on the receiver's processor.
pub(crate) struct Service {
    _worker: Worker,
}

impl Service {
    /// Starts it.
    pub(crate) fn start(net: &Net) -> Result<Self> {
        let listener = make_on(net, Host::Server, || {
            let listener = TcpListener::bind((SERVER, PORT)).context("listening on the mail port")?;
            // Of accept, too.
            let step = TimeVal::milliseconds(STEP.as_millis().try_into()?);
            setsockopt(&listener, ReceiveTimeout, &step).context("setting up the service")?;
            Ok(listener)
        })?;
        let mut fresh = true;
        let worker = Worker::start(net, Host::Server, move || {
            if fresh {
                stay_on(RECEIVER, None);
                fresh = false;
            }
            // A client that goes away is its own affair.
            if let Ok((stream, _)) = listener.accept() {
                answer(stream).ok();
            }
        })?;
        Ok(Self { _worker: worker })
    }
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(STEP))?;
    let mut question = [0; 4];
    stream.read_exact(&mut question)?;
    stream.write_all(&question)
}

/// What the client has seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Served {
    /// Connections that were due.
    pub(crate) asked: usize,
    /// How long those took that were answered, from the first packet on.
    pub(crate) answered: Vec<Duration>,
}

/// Connects until it is dropped, on the sender's processor.
pub(crate) struct Client {
    seen: Arc<Mutex<(Instant, Vec<Duration>)>>,
    _worker: Worker,
}

impl Client {
    /// Starts it.
    pub(crate) fn start(net: &Net) -> Result<Self> {
        let seen = Arc::new(Mutex::new((Instant::now(), Vec::new())));
        let noted = Arc::clone(&seen);
        let mut due: Option<Instant> = None;
        let worker = Worker::start(net, Host::Attacker, move || {
            let began = *due.get_or_insert_with(|| {
                stay_on(SENDER, Some(VERY_FIRST));
                Instant::now()
            });
            std::thread::sleep(began.saturating_duration_since(Instant::now()));
            let began = Instant::now();
            if ask().is_ok()
                && let Ok(mut seen) = noted.lock()
            {
                seen.1.push(began.elapsed());
            }
            // What was due while this one took its time counts as not served.
            due = Some((began + Duration::from_secs(1) / A_SECOND).max(Instant::now()));
        })?;
        Ok(Self { seen, _worker: worker })
    }

    /// Begins anew with what is counted.
    pub(crate) fn forget(&self) -> Result<()> {
        let mut seen = self.seen.lock().map_err(|_| anyhow::anyhow!("the client panicked"))?;
        *seen = (Instant::now(), Vec::new());
        Ok(())
    }

    /// What it has seen since.
    pub(crate) fn finish(self) -> Result<Served> {
        let seen = self.seen.lock().map_err(|_| anyhow::anyhow!("the client panicked"))?;
        let (began, answered) = seen.clone();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "connections of some seconds")]
        let asked = (began.elapsed().as_secs_f64() * f64::from(A_SECOND)) as usize;
        Ok(Served { asked, answered })
    }
}

/// One connection, a question and its answer.
fn ask() -> std::io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((SERVER, PORT)), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    stream.write_all(b"ask\n")?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer)
}

/// Keeps the calling thread on a processor, and gives it a rank before all processes there.
pub(crate) fn stay_on(cpu: usize, rank: Option<i32>) {
    let this = Pid::from_raw(0);
    let mut cpus = CpuSet::new();
    let set = cpus.set(cpu).and_then(|()| sched_setaffinity(this, &cpus)).map_err(anyhow::Error::from);
    let set = set.and_then(|()| rank.map_or(Ok(()), |rank| put_before_all(this, rank)));
    if let Err(error) = set {
        eprintln!("a thread is not where it should be: {error:#}");
    }
}
