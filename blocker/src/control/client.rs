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
                    "no daemon answers at {path}: start it with `blocker run`, or read the kernel's maps with `blocker bans --kernel`"
                )))
            } else {
                io_failure(error, format!("connecting to {path}"))
            }
        })?;
        stream.set_read_timeout(Some(PATIENCE)).context("setting up the connection")?;
        stream.set_write_timeout(Some(PATIENCE)).context("setting up the connection")?;
        Ok(Self { stream: BufReader::with_capacity(BUFFER_BYTES, stream) })
    }

    /// Asks, and hands each part of the answer to `take`, [`Reply::Done`] as the last.
    ///
    /// # Errors
    ///
    /// The daemon's refusal, with its exit code; a broken connection; or what `take` says.
    pub fn ask(&mut self, request: &Request, mut take: impl FnMut(Reply) -> Result<()>) -> Result<()> {
        let mut line = serde_json::to_vec(request).context("writing the request")?;
        line.push(b'\n');
        // A refusal may come before the request is read: then the answer says more than the failed write.
        let sent = self.stream.get_mut().write_all(&line);
        loop {
            line.clear();
            let size = self.stream.read_until(b'\n', &mut line).context("reading the daemon's answer")?;
            if size == 0 {
                sent.context("sending the request")?;
                bail!("the daemon closed the connection without an answer: see its log");
            }
            match serde_json::from_slice(&line).context("reading the daemon's answer: is it of another version?")? {
                Reply::Done => return take(Reply::Done),
                Reply::Warning(message) => eprintln!("blocker: {}", message.escape_debug()),
                Reply::Error { message, code: 2 } => return Err(Failure::Usage(message).into()),
                Reply::Error { message, code: 77 } => return Err(Failure::Permission(message).into()),
                Reply::Error { message, code: 78 } => return Err(Failure::Configuration(message).into()),
                Reply::Error { message, code: _ } => bail!("{message}"),
                reply @ (Reply::Status(_) | Reply::Ban(_) | Reply::Change(_) | Reply::Lifted(_)) => take(reply)?,
            }
        }
    }
}
