//! Listens on the control socket. A client that hangs, floods or sends garbage costs one of a few places for some seconds,
//! and harms nobody. One that may ask for nothing costs none.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use super::access::{Access, Right};
use super::socket_path;
use super::unix;
use super::wire::{MAX_REQUEST_BYTES, MAX_UNDER_WAY, Reply, Request};
use crate::exit::io_failure;

/// Clients served at once; others wait in the socket's backlog.
const MAX_CLIENTS: usize = 16;

/// A client must send its request, and take each part of the answer, within this time.
const PATIENCE: Duration = Duration::from_secs(10);

/// Lists of all bans that are put together or being written, of all clients: one of a million takes some 300 MiB. Others wait.
const MAX_LISTS: usize = 2;

/// For so long a client may keep others waiting for such a list.
const PATIENCE_WITH_LISTS: Duration = Duration::from_secs(60);

/// An answer of many lines is written in pieces of about this size: a system call for each line would be most of its cost.
const AT_ONCE_BYTES: usize = 64 * 1024;

/// A request with the way back.
#[derive(Debug)]
pub struct Call {
    /// What is asked.
    pub request: Request,
    /// Who asks: a user of this machine, by number, as the kernel says.
    pub uid: Option<u32>,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Vec<Reply>>,
    /// Whether another call of the same connection is under way.
    pub is_behind: bool,
}

/// The listening socket; its file is removed when this is dropped.
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
    access: Access,
    /// Of the runtime directory; held until this is dropped, or the process dies.
    _lock: Flock<File>,
}

impl Server {
    /// Makes the socket in `runtime`, and the directory if need be. A socket that is there is a dead daemon's: a living
    /// one holds the directory's lock.
    ///
    /// # Errors
    ///
    /// If another daemon has its socket there, or the directory or the socket cannot be made.
    pub fn bind(runtime: &Path, access: Access) -> Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(runtime)
            .map_err(|error| io_failure(error, format!("making {}", runtime.display())))?;
        let lock = lock(runtime)?;
        let path = socket_path(runtime);
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io_failure(error, format!("removing {}", path.display()))),
        }
        let listener =
            UnixListener::bind(&path).map_err(|error| io_failure(error, format!("listening on {}", path.display())))?;
        // To give the socket to a group takes a capability that nothing else here needs. So where there are groups anybody may
        // connect and be told why not; who may ask is decided by the kernel's word on who it is.
        let mode = if access.is_shared() { 0o666 } else { 0o600 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))
            .with_context(|| format!("setting the mode of {}", path.display()))?;
        Ok(Self { listener, path, access, _lock: lock })
    }

    /// Serves until nobody takes the calls.
    pub async fn run(self, calls: mpsc::Sender<Call>) {
        let (access, lists) = (self.access, Arc::new(Semaphore::new(MAX_LISTS)));
        let serve = |stream, peer, calls| serve(stream, peer, calls, Arc::clone(&lists));
        unix::serve_each(&self.listener, MAX_CLIENTS, access, calls, serve).await;
    }
}

/// Takes the lock of the directory: a file of its own, that nobody else may open and thereby lock.
fn lock(runtime: &Path) -> Result<Flock<File>> {
    let path = runtime.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(|error| io_failure(error, format!("opening {}", path.display())))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(lock),
        Err((_, Errno::EWOULDBLOCK)) => bail!(
            "another blocker has its socket in {}: stop it first, or set `daemon.runtime` to another directory",
            runtime.display()
        ),
        Err((_, error)) => Err(error).with_context(|| format!("locking {}", path.display())),
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(%error, "the control socket was gone already");
        }
    }
}

async fn serve(
    stream: UnixStream,
    (right, uid): (Right, u32),
    calls: mpsc::Sender<Call>,
    lists: Arc<Semaphore>,
) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    if right == Right::None {
        let message = format!("user {uid} may not control the daemon: run it as root (sudo blocker …)");
        return send(&mut write, &Reply::Error { message, code: 77 }).await;
    }
    // The answers are written while further requests are read, in their order.
    let (under_way, answers) = mpsc::channel(MAX_UNDER_WAY);
    tokio::try_join!(take_requests(read, (right, uid), calls, lists, under_way), give_answers(write, answers)).map(drop)
}

/// What follows on a request.
struct Answer {
    what: What,
    /// One of [`MAX_UNDER_WAY`], until it is written.
    _place: OwnedSemaphorePermit,
    /// One of [`MAX_LISTS`], if it is one.
    list: Option<OwnedSemaphorePermit>,
}

enum What {
    /// What the daemon says.
    Awaited(oneshot::Receiver<Vec<Reply>>),
    /// That it is no request.
    Refusal(Reply),
}

/// Reads requests until the client has no more, or sends something else.
async fn take_requests(
    read: OwnedReadHalf,
    (right, uid): (Right, u32),
    calls: mpsc::Sender<Call>,
    lists: Arc<Semaphore>,
    under_way: mpsc::Sender<Answer>,
) -> io::Result<()> {
    let mut read = BufReader::with_capacity(AT_ONCE_BYTES, read);
    let places = Arc::new(Semaphore::new(MAX_UNDER_WAY));
    loop {
        // Nothing is read that could not be answered: so a client that reads no answers is not read either.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return Ok(()) };
        while let Err(error) = timed(read.fill_buf()).await {
            // Who waits for an answer need not ask meanwhile, however long a disk may take.
            if error.kind() != io::ErrorKind::TimedOut || places.available_permits() + 1 == MAX_UNDER_WAY {
                return Err(error);
            }
        }
        let mut line = Vec::new();
        let limit = MAX_REQUEST_BYTES as u64;
        let size = timed(async { (&mut read).take(limit).read_until(b'\n', &mut line).await }).await?;
        if size == 0 {
            return Ok(());
        }
        if line.last() != Some(&b'\n') && size == MAX_REQUEST_BYTES {
            let message = format!("a request is at most {MAX_REQUEST_BYTES} bytes");
            return refuse(message, 2, place, &under_way).await;
        }
        let request = match read_request(&line) {
            Ok(request) => request,
            Err(message) => return refuse(message, 2, place, &under_way).await,
        };
        if !right.covers(&request) {
            let message = format!("user {uid} may look, and not change anything: run it as root (sudo blocker …)");
            return refuse(message, 77, place, &under_way).await;
        }
        let list = if matches!(request, Request::Bans) { Arc::clone(&lists).acquire_owned().await.ok() } else { None };
        let (reply, answer) = oneshot::channel();
        let is_behind = places.available_permits() + 1 < MAX_UNDER_WAY;
        if calls.send(Call { request, uid: Some(uid), reply, is_behind }).await.is_err() {
            return Ok(());
        }
        if under_way.send(Answer { what: What::Awaited(answer), _place: place, list }).await.is_err() {
            return Ok(());
        }
    }
}

/// Says what is wrong with a request. Nothing is read behind it.
async fn refuse(
    message: String,
    code: u8,
    place: OwnedSemaphorePermit,
    under_way: &mpsc::Sender<Answer>,
) -> io::Result<()> {
    let what = What::Refusal(Reply::Error { message, code });
    // If nobody takes it, the connection has ended already.
    under_way.send(Answer { what, _place: place, list: None }).await.map_or(Ok(()), Ok)
}

/// Writes the answers until there are no more requests.
async fn give_answers(mut write: OwnedWriteHalf, mut answers: mpsc::Receiver<Answer>) -> io::Result<()> {
    while let Some(Answer { what, _place, list }) = answers.recv().await {
        let replies = match what {
            What::Awaited(answer) => answer.await,
            What::Refusal(reply) => Ok(vec![reply]),
        };
        let Ok(replies) = replies else { return Ok(()) };
        let written = write_replies(&mut write, &replies);
        match list {
            Some(_) => {
                timeout(PATIENCE_WITH_LISTS, written).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
            }
            None => written.await?,
        }
    }
    Ok(())
}

async fn write_replies(write: &mut OwnedWriteHalf, replies: &[Reply]) -> io::Result<()> {
    let mut lines = Vec::new();
    for reply in replies {
        append(&mut lines, reply)?;
        if lines.len() >= AT_ONCE_BYTES {
            timed(write.write_all(&lines)).await?;
            lines.clear();
        }
    }
    timed(write.write_all(&lines)).await
}

fn read_request(line: &[u8]) -> Result<Request, String> {
    let request: Request = serde_json::from_slice(line).map_err(|error| format!("this is no request: {error}"))?;
    request.check().map(|()| request)
}

async fn send(write: &mut (impl AsyncWriteExt + Unpin), reply: &Reply) -> io::Result<()> {
    let mut line = Vec::new();
    append(&mut line, reply)?;
    timed(write.write_all(&line)).await
}

fn append(lines: &mut Vec<u8>, reply: &Reply) -> io::Result<()> {
    serde_json::to_writer(&mut *lines, reply)?;
    lines.push(b'\n');
    Ok(())
}

async fn timed<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(PATIENCE, work).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncBufRead;

    use super::*;
    use crate::source::testing::TempDir;

    #[tokio::test]
    async fn answers_come_in_the_order_of_the_requests_and_only_so_many_are_under_way() {
        let dir = TempDir::new();
        let (calls_in, mut calls) = mpsc::channel(2 * MAX_UNDER_WAY);
        let server =
            tokio::spawn(Server::bind(&dir.path(""), Access::default()).expect("it can be made").run(calls_in));
        let stream = UnixStream::connect(socket_path(&dir.path(""))).await.expect("it listens");
        let (read, mut write) = stream.into_split();
        let mut answers = BufReader::new(read);
        let requests = "{\"command\":\"status\"}\n".repeat(MAX_UNDER_WAY + 1);
        write.write_all(requests.as_bytes()).await.expect("it is read");
        let mut taken = Vec::new();
        for _ in 0..MAX_UNDER_WAY {
            taken.push(calls.recv().await.expect("a request"));
        }

        // The last is answered first, and nothing but the first makes room for one more.
        let first = taken.remove(0);
        for (number, call) in (1..).zip(taken).collect::<Vec<_>>().into_iter().rev() {
            call.reply.send(vec![Reply::Lifted(number)]).expect("it is waited for");
        }
        tokio::task::yield_now().await;
        assert!(calls.try_recv().is_err(), "no more are under way than may be");
        first.reply.send(vec![Reply::Lifted(0)]).expect("it is waited for");
        calls.recv().await.expect("the last").reply.send(vec![Reply::Lifted(MAX_UNDER_WAY)]).expect("it is waited for");

        for number in 0..=MAX_UNDER_WAY {
            assert_eq!(next(&mut answers).await, format!("{{\"lifted\":{number}}}"));
        }
        drop(calls);
        server.await.expect("it ends when nobody takes the calls");
    }

    #[tokio::test]
    async fn what_is_no_request_is_told_behind_the_answers_to_those_before_it() {
        let dir = TempDir::new();
        let (calls_in, mut calls) = mpsc::channel(MAX_UNDER_WAY);
        let server =
            tokio::spawn(Server::bind(&dir.path(""), Access::default()).expect("it can be made").run(calls_in));
        let stream = UnixStream::connect(socket_path(&dir.path(""))).await.expect("it listens");
        let (read, mut write) = stream.into_split();
        let mut answers = BufReader::new(read);
        let requests = "{\"command\":\"bans\"}\n{\"command\":\"format\"}\n{\"command\":\"bans\"}\n";
        write.write_all(requests.as_bytes()).await.expect("it is read");

        calls.recv().await.expect("a request").reply.send(vec![Reply::Done]).expect("it is waited for");

        assert_eq!(next(&mut answers).await, "\"done\"");
        let refusal = next(&mut answers).await;
        assert!(refusal.contains("this is no request") && refusal.contains("\"code\":2"), "{refusal}");
        // The rest is not read; that the connection ends may be told as a reset.
        let mut rest = Vec::new();
        assert!(matches!(answers.read_to_end(&mut rest).await, Ok(0) | Err(_)) && rest.is_empty());
        drop(calls);
        server.await.expect("it ends when nobody takes the calls");
    }

    #[tokio::test]
    async fn of_all_clients_together_only_so_many_lists_are_under_way() {
        let dir = TempDir::new();
        let (calls_in, mut calls) = mpsc::channel(4 * MAX_UNDER_WAY);
        let server =
            tokio::spawn(Server::bind(&dir.path(""), Access::default()).expect("it can be made").run(calls_in));
        let mut clients = Vec::new();
        for _ in 0..3 {
            let mut client = UnixStream::connect(socket_path(&dir.path(""))).await.expect("it listens");
            client.write_all("{\"command\":\"bans\"}\n".repeat(2).as_bytes()).await.expect("it is read");
            clients.push(client);
        }
        let mut other = UnixStream::connect(socket_path(&dir.path(""))).await.expect("it listens");
        other.write_all(b"{\"command\":\"status\"}\n").await.expect("it is read");

        let (mut lists, mut others) = (Vec::new(), 0);
        while lists.len() < MAX_LISTS || others == 0 {
            let call = calls.recv().await.expect("a request");
            if matches!(call.request, Request::Bans) {
                lists.push(call);
            } else {
                others += 1;
            }
        }
        assert!(timeout(Duration::from_millis(200), calls.recv()).await.is_err(), "no more lists, and whoever asks");
        for list in lists {
            list.reply.send(vec![Reply::Done]).expect("it is waited for");
        }
        for _ in MAX_LISTS..6 {
            let call =
                timeout(Duration::from_secs(20), calls.recv()).await.expect("one after the other").expect("a request");
            call.reply.send(vec![Reply::Done]).expect("it is waited for");
        }

        for client in clients {
            let mut answers = BufReader::new(client);
            assert_eq!([next(&mut answers).await, next(&mut answers).await], ["\"done\"", "\"done\""]);
        }
        drop(calls);
        server.await.expect("it ends when nobody takes the calls");
    }

    async fn next(answers: &mut (impl AsyncBufRead + Unpin)) -> String {
        let mut line = String::new();
        answers.read_line(&mut line).await.expect("an answer");
        line.trim_end().to_owned()
    }
}
