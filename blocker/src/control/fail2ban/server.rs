//! Listens where fail2ban's server would. A client that hangs, floods or sends garbage costs one of a few places for some
//! seconds, as on the control socket; none if it may ask for nothing.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::pickle::{self, Exception};
use super::verbs::Asker;
use crate::control::access::{Access, Right};
use crate::control::server::Call;
use crate::control::unix;
use crate::exit::io_failure;

/// Clients served at once; others wait in the socket's backlog.
const MAX_CLIENTS: usize = 8;

/// A client must send its command, and take the answer, within this time.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest command in bytes: three times that of a reload of all jails that fail2ban has.
const MAX_COMMAND_BYTES: usize = 512 * 1024;

/// The same of who may ask for nothing, and is read only to be told so.
const MAX_REFUSED_BYTES: usize = 4096;

/// Bytes that are read at once.
const AT_ONCE_BYTES: usize = 16 * 1024;

/// Behind each command and each answer.
const END: &[u8] = b"<F2B_END_COMMAND>";

/// In place of a command: there are no more.
const CLOSE: &[u8] = b"<F2B_CLOSE_COMMAND>";

/// The listening socket; its file is removed when this is dropped.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
    access: Access,
}

impl Server {
    /// Makes the socket, and its directory if need be. A socket that nobody has open is replaced, and nothing else.
    ///
    /// # Errors
    ///
    /// If a fail2ban runs there, or the directory or the socket cannot be made.
    pub fn bind(path: &Path, access: Access) -> Result<Self> {
        let key = || format!("`control.fail2ban_socket`: listening on {}", path.display());
        if let Some(directory) = path.parent() {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(directory)
                .map_err(|error| io_failure(error, format!("making {}", directory.display())))
                .with_context(key)?;
        }
        let mode = if access.is_shared() { 0o666 } else { 0o600 };
        let listener = unix::bind(path, mode).with_context(key)?;
        Ok(Self { listener, path: path.to_owned(), access })
    }

    /// Serves until nobody takes the calls.
    pub async fn run(self, calls: mpsc::Sender<Call>) {
        let access = self.access;
        unix::serve_each(&self.listener, MAX_CLIENTS, access, calls, serve).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "the socket for fail2ban's client was not removed");
        }
    }
}

async fn serve(mut stream: UnixStream, (right, uid): (Right, u32), calls: mpsc::Sender<Call>) -> io::Result<()> {
    let limit = if right == Right::None { MAX_REFUSED_BYTES } else { MAX_COMMAND_BYTES };
    let asker = Asker { calls, right, uid };
    let mut read = Vec::new();
    loop {
        let command = match timed(next(&mut stream, &mut read, limit)).await? {
            Next::Command(command) => command,
            Next::TooLong => {
                let said = Exception::Said(format!("a command is at most {limit} bytes for blocker"));
                return answer(&mut stream, &encode(Err(said))?).await;
            }
            Next::End => return Ok(()),
        };
        let done = match pickle::read(&command) {
            Ok(words) => asker.perform(&words).await,
            Err(why) => Err(Exception::Said(format!("this is no command of fail2ban-client: {why}"))),
        };
        drop(command);
        answer(&mut stream, &encode(done)?).await?;
        if right == Right::None {
            return Ok(());
        }
    }
}

/// What a client sent.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Command(Vec<u8>),
    TooLong,
    /// It has no more.
    End,
}

/// Reads to the next marker. What follows it stays in `read`.
async fn next(stream: &mut UnixStream, read: &mut Vec<u8>, limit: usize) -> io::Result<Next> {
    let mut looked_at = 0;
    loop {
        if let Some(at) = memmem::find(&read[looked_at..], END) {
            let rest = read.split_off(looked_at + at + END.len());
            let mut command = std::mem::replace(read, rest);
            command.truncate(looked_at + at);
            return Ok(match command {
                command if command == CLOSE => Next::End,
                command if command.len() > limit => Next::TooLong,
                command => Next::Command(command),
            });
        }
        if read.len() >= limit + END.len() {
            return Ok(Next::TooLong);
        }
        // The marker may have come in part.
        looked_at = read.len().saturating_sub(END.len() - 1);
        let mut piece = [0; AT_ONCE_BYTES];
        let size = stream.read(&mut piece).await?;
        if size == 0 {
            return Ok(Next::End);
        }
        read.extend_from_slice(&piece[..size]);
    }
}

fn encode(done: Result<serde_pickle::Value, Exception>) -> io::Result<Vec<u8>> {
    let mut bytes = pickle::write(done).map_err(io::Error::other)?;
    bytes.extend_from_slice(END);
    Ok(bytes)
}

async fn answer(stream: &mut UnixStream, bytes: &[u8]) -> io::Result<()> {
    // In pieces: each must be taken in time, and not all of a long list.
    for piece in bytes.chunks(AT_ONCE_BYTES) {
        timed(stream.write_all(piece)).await?;
    }
    Ok(())
}

async fn timed<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(PATIENCE, work).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(pieces: &[&[u8]], limit: usize) -> Vec<Next> {
        let (mut client, mut server) = UnixStream::pair().expect("a pair of sockets");
        let pieces: Vec<Vec<u8>> = pieces.iter().map(|piece| piece.to_vec()).collect();
        let sender = tokio::spawn(async move {
            for piece in pieces {
                client.write_all(&piece).await.expect("it is read");
                tokio::task::yield_now().await;
            }
        });
        let (mut read, mut told) = (Vec::new(), Vec::new());
        while told.last().is_none_or(|next| matches!(next, Next::Command(_))) {
            told.push(next(&mut server, &mut read, limit).await.expect("it is read"));
        }
        sender.await.expect("it ends");
        told
    }

    #[tokio::test]
    async fn commands_end_at_their_markers_however_they_arrive() {
        let command = |bytes: &[u8]| Next::Command(bytes.to_vec());

        let at_once = all(&[b"one<F2B_END_COMMAND>two<F2B_END_COMMAND><F2B_CLOSE_COMMAND><F2B_END_COMMAND>"], 9).await;
        let in_parts = all(&[b"on", b"e<F2B_END_", b"COMMAND", b">two<F2B_END_COMMAND>", b"thr"], 9).await;

        let expected = [command(b"one"), command(b"two"), Next::End];
        assert_eq!(at_once, expected);
        assert_eq!(in_parts, expected, "what has no marker is no command");
    }

    #[tokio::test]
    async fn a_command_is_as_long_as_it_may_be_and_no_longer() {
        let nine = Next::Command(b"123456789".to_vec());

        assert_eq!(all(&[b"123456789<F2B_END_COMMAND>"], 9).await, [nine, Next::End]);
        assert_eq!(all(&[b"1234567890<F2B_END_COMMAND>"], 9).await, [Next::TooLong]);
        assert_eq!(all(&[&[b'x'; 26]], 9).await, [Next::TooLong], "also without a marker");
    }
}
