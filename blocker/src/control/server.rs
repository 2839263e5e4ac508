//! Listens on the control socket. A client that hangs, floods or sends garbage costs one of a few places for some seconds,
//! and harms nobody.

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
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use super::access::{Access, Right};
use super::socket_path;
use super::wire::{MAX_REQUEST_BYTES, Reply, Request};
use crate::exit::io_failure;

/// Clients served at once; others wait in the socket's backlog.
const MAX_CLIENTS: usize = 16;

/// A client must send its request, and take each part of the answer, within this time.
const PATIENCE: Duration = Duration::from_secs(10);

/// An answer of many lines is written in pieces of about this size: a system call for each line would be most of its cost.
const AT_ONCE_BYTES: usize = 64 * 1024;

/// A request with the way back.
#[derive(Debug)]
pub struct Call {
    /// What is asked.
    pub request: Request,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Vec<Reply>>,
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
        let places = Arc::new(Semaphore::new(MAX_CLIENTS));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let accepted = tokio::select! {
                () = calls.closed() => return,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let (calls, access) = (calls.clone(), self.access);
                    tokio::spawn(async move {
                        if let Err(error) = serve(stream, calls, access).await {
                            tracing::debug!(%error, "a control client was cut off");
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a control client could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
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

async fn serve(stream: UnixStream, calls: mpsc::Sender<Call>, access: Access) -> io::Result<()> {
    let (right, uid) = access.of_peer(&stream)?;
    let (read, mut write) = stream.into_split();
    if right == Right::None {
        let message = format!("user {uid} may not control the daemon: run it as root (sudo blocker …)");
        return send(&mut write, &Reply::Error { message, code: 77 }).await;
    }
    let mut read = BufReader::new(read);
    loop {
        let mut line = Vec::new();
        let limit = MAX_REQUEST_BYTES as u64;
        let size = timed(async { (&mut read).take(limit).read_until(b'\n', &mut line).await }).await?;
        if size == 0 {
            return Ok(());
        }
        if line.last() != Some(&b'\n') && size == MAX_REQUEST_BYTES {
            let message = format!("a request is at most {MAX_REQUEST_BYTES} bytes");
            return send(&mut write, &Reply::Error { message, code: 2 }).await;
        }
        let request = match read_request(&line) {
            Ok(request) => request,
            Err(message) => return send(&mut write, &Reply::Error { message, code: 2 }).await,
        };
        if !right.covers(&request) {
            let message = format!("user {uid} may look, and not change anything: run it as root (sudo blocker …)");
            return send(&mut write, &Reply::Error { message, code: 77 }).await;
        }
        let (reply, answer) = oneshot::channel();
        if calls.send(Call { request, reply }).await.is_err() {
            return Ok(());
        }
        let Ok(replies) = answer.await else { return Ok(()) };
        let mut lines = Vec::new();
        for reply in &replies {
            append(&mut lines, reply)?;
            if lines.len() >= AT_ONCE_BYTES {
                timed(write.write_all(&lines)).await?;
                lines.clear();
            }
        }
        timed(write.write_all(&lines)).await?;
    }
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
