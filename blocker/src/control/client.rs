//! The commands' side of the control socket.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::socket_path;
use super::wire::{Reply, Request};
use crate::exit::{Failure, io_failure};

/// The daemon must answer within this time; it answers a million bans in less.
const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes of an answer that are read at once.
const BUFFER_BYTES: usize = 64 * 1024;

/// A connection to the daemon.
pub struct Client {
    stream: BufReader<UnixStream>,
    /// Why requests cannot be sent any more. Answers may still come, and say more.
    broken: Option<std::io::Error>,
}

impl Client {
    /// Connects to the daemon whose runtime directory this is.
    ///
    /// # Errors
    ///
    /// [`Failure::NotRunning`] if nobody listens, [`Failure::Permission`] if the socket may not be opened.
    pub fn connect(runtime: &Path) -> Result<Self> {
        let path = socket_path(runtime);
        let stream = UnixStream::connect(&path).map_err(|error| {
            let path = path.display();
            if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) {
                anyhow::Error::new(Failure::NotRunning(format!(
                    "no daemon answers at {path}: start it (`systemctl start blocker`, or `blocker run`); without it `blocker bans --kernel` shows \
                     the bans in the kernel, and `blocker unban --kernel` lifts them"
                )))
            } else {
                io_failure(error, format!("connecting to {path}"))
            }
        })?;
        stream.set_read_timeout(Some(PATIENCE)).context("setting up the connection")?;
        stream.set_write_timeout(Some(PATIENCE)).context("setting up the connection")?;
        Ok(Self { stream: BufReader::with_capacity(BUFFER_BYTES, stream), broken: None })
    }

    /// Asks, and hands each part of the answer to `take`, [`Reply::Done`] as the last.
    ///
    /// # Errors
    ///
    /// The daemon's refusal, with its exit code; a broken connection; or what `take` says.
    pub fn ask(&mut self, request: &Request, take: impl FnMut(Reply) -> Result<()>) -> Result<()> {
        self.send(request)?;
        self.receive(take)
    }

    /// Asks without waiting for the answer, which [`Client::receive`] must be called for. No more than
    /// [`MAX_UNDER_WAY`](super::wire::MAX_UNDER_WAY) may be without one.
    ///
    /// # Errors
    ///
    /// If the request cannot be written down. That it cannot be sent says [`Client::receive`].
    pub fn send(&mut self, request: &Request) -> Result<()> {
        let mut line = serde_json::to_vec(request).context("writing the request")?;
        line.push(b'\n');
        if self.broken.is_none() {
            self.broken = self.stream.get_mut().write_all(&line).err();
        }
        Ok(())
    }

    /// Waits for the answer to the first request that has had none, and hands each part of it to `take`, [`Reply::Done`] as
    /// the last.
    ///
    /// # Errors
    ///
    /// As [`Client::ask`].
    pub fn receive(&mut self, mut take: impl FnMut(Reply) -> Result<()>) -> Result<()> {
        let mut line = Vec::new();
        loop {
            line.clear();
            let size = self.stream.read_until(b'\n', &mut line).context("reading the daemon's answer")?;
            if size == 0 {
                // A refusal may have come before the request was read: then it has said more than the failed write.
                if let Some(error) = self.broken.take() {
                    return Err(error).context("sending the request");
                }
                bail!("the daemon closed the connection without an answer: see its log");
            }
            match serde_json::from_slice(&line).context("reading the daemon's answer: is it of another version?")? {
                Reply::Done => return take(Reply::Done),
                Reply::Warning(message) => eprintln!("blocker: {}", message.escape_debug()),
                Reply::Error { message, code: 2 } => return Err(Failure::Usage(message).into()),
                Reply::Error { message, code: 77 } => return Err(Failure::Permission(message).into()),
                Reply::Error { message, code: 78 } => return Err(Failure::Configuration(message).into()),
                Reply::Error { message, code: _ } => bail!("{message}"),
                reply @ (Reply::Status(_) | Reply::Ban(_) | Reply::Allowed(_) | Reply::Why(_)) => take(reply)?,
                reply @ (Reply::Change(_) | Reply::Run(_) | Reply::Lifted(_)) => take(reply)?,
                reply @ (Reply::Tested(_) | Reply::Said(_)) => take(reply)?,
                reply @ (Reply::Watch(_) | Reply::Report(_)) => take(reply)?,
            }
        }
    }
}
