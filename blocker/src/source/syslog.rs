//! Syslog's protocols as a source: a unix datagram socket, or UDP or TCP on a loopback address.
//!
//! A message is a line, whatever it holds: a newline inside becomes a blank, so that no text of a service's can pass for a message
//! of another's. Over TCP messages are framed as RFC 6587 has it, by their length or by a newline.
//!
//! Who may write to the socket can get anybody banned: the unix socket is root's alone (mode 0600), and the loopback addresses
//! are open to every local user, as those of any log daemon are.

use std::fs::{self, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use blocker_core::config::SyslogSocket;
use blocker_core::engine::{LogId, SourceId};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram};
use tokio::sync::mpsc::{self, Sender};
use tokio::time::sleep;
use tracing::{debug, warn};

use super::stream::{Piece, Teller, Unwanted};
use super::{Batch, SourceEvent, number_log};

mod frames;

use frames::Frames;

/// Connections at once; further ones wait in the backlog.
const MAX_CONNECTIONS: usize = 64;

/// Messages taken at once from a datagram socket.
const MAX_MESSAGES: usize = 64;

/// How long until a socket that cannot be had is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// A source of lines: syslog messages.
#[derive(Debug)]
pub struct SyslogSource {
    id: SourceId,
    socket: SyslogSocket,
    max_line_bytes: usize,
}

impl SyslogSource {
    /// Prepares to receive at `socket`. Messages of more than `max_line_bytes` are skipped. Opens nothing yet.
    #[must_use]
    pub fn new(id: SourceId, socket: SyslogSocket, max_line_bytes: usize) -> Self {
        Self { id, socket, max_line_bytes }
    }

    /// Receives until nobody receives `events`. A socket that cannot be had is a problem, and tried again every second.
    ///
    /// Needs a runtime with I/O and time.
    pub async fn run(self, events: Sender<SourceEvent>) {
        let mut teller = Teller::new(self.id, events);
        loop {
            let error = match self.serve(&mut teller).await {
                Ok(never) => match never {},
                Err(End::Unwanted(Unwanted)) => return,
                Err(End::Failed(error)) => error,
            };
            let problem = format!("syslog {}: {error}", self.socket);
            if teller.state.problems != [problem.clone()] {
                warn!(problem, "log source is hindered");
                teller.state.streams.clear();
                teller.state.problems = vec![problem];
                if teller.tell().await.is_err() {
                    return;
                }
            }
            tokio::select! {
                () = sleep(AGAIN_AFTER) => {}
                () = teller.unwanted() => return,
            }
        }
    }

    async fn serve(&self, teller: &mut Teller) -> Result<std::convert::Infallible, End> {
        match &self.socket {
            SyslogSocket::Unix(path) => {
                let socket = Named::bind(Path::new(path))?;
                self.listening(teller).await?;
                self.datagrams(teller, &Datagrams::Unix(&socket.socket)).await
            }
            SyslogSocket::Udp(addr) => {
                let socket = UdpSocket::bind(addr).await?;
                self.listening(teller).await?;
                self.datagrams(teller, &Datagrams::Udp(&socket)).await
            }
            SyslogSocket::Tcp(addr) => self.connections(teller, *addr).await,
        }
    }

    async fn listening(&self, teller: &mut Teller) -> Result<(), End> {
        teller.state.problems.clear();
        teller.state.streams = vec![format!("syslog {}", self.socket)];
        Ok(teller.tell().await?)
    }

    /// Each datagram is a message.
    async fn datagrams(&self, teller: &mut Teller, socket: &Datagrams<'_>) -> Result<std::convert::Infallible, End> {
        let log = number_log();
        // One byte more than a message may have tells one that is longer.
        let mut buffer = vec![0; self.max_line_bytes + 1];
        loop {
            let mut length = tokio::select! {
                received = socket.receive(&mut buffer) => received?,
                () = teller.unwanted() => return Err(End::Unwanted(Unwanted)),
            };
            let mut piece = Piece { batch: Batch::new(self.id, log, false), bytes: 0, overlong_lines: 0 };
            loop {
                message(&mut buffer[..length], self.max_line_bytes, &mut piece);
                if piece.batch.len() >= MAX_MESSAGES {
                    break;
                }
                match socket.try_receive(&mut buffer) {
                    Ok(next) => length = next,
                    // None waits; what else is wrong, the next look finds, too.
                    Err(_) => break,
                }
            }
            teller.lines(piece).await?;
        }
    }

    async fn connections(&self, teller: &mut Teller, addr: SocketAddr) -> Result<std::convert::Infallible, End> {
        let listener = TcpListener::bind(addr).await?;
        self.listening(teller).await?;
        // One place: a connection reads on when what it read before has been taken.
        let (pieces_in, mut pieces) = mpsc::channel(1);
        let mut connections = tokio::task::JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                    Ok((stream, _)) => {
                        connections.spawn(connection(stream, self.id, self.max_line_bytes, pieces_in.clone()));
                    }
                    Err(error) => {
                        debug!(%error, "a syslog connection was not accepted");
                        sleep(AGAIN_AFTER).await;
                    }
                },
                Some(_ended) = connections.join_next() => {}
                Some(piece) = pieces.recv() => teller.lines(piece).await?,
                () = teller.unwanted() => return Err(End::Unwanted(Unwanted)),
            }
        }
    }
}

/// A socket whose messages are datagrams.
enum Datagrams<'a> {
    Unix(&'a UnixDatagram),
    Udp(&'a UdpSocket),
}

impl Datagrams<'_> {
    async fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(socket) => socket.recv(buffer).await,
            Self::Udp(socket) => socket.recv(buffer).await,
        }
    }

    fn try_receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(socket) => socket.try_recv(buffer),
            Self::Udp(socket) => socket.try_recv(buffer),
        }
    }
}

/// Why receiving ended.
enum End {
    Unwanted(Unwanted),
    Failed(io::Error),
}

impl From<Unwanted> for End {
    fn from(unwanted: Unwanted) -> Self {
        Self::Unwanted(unwanted)
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

/// Adds a message to `piece`, as a line; counts one that is too long.
fn message(bytes: &mut [u8], max_bytes: usize, piece: &mut Piece) {
    piece.bytes += bytes.len();
    if bytes.len() > max_bytes {
        piece.overlong_lines += 1;
        return;
    }
    let end = bytes.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r' | 0)).map_or(0, |last| last + 1);
    let line = &mut bytes[..end];
    for byte in line.iter_mut().filter(|byte| **byte == b'\n') {
        *byte = b' ';
    }
    piece.batch.push(line);
}

/// Reads the messages of one connection until it ends, or breaks the protocol.
async fn connection(mut stream: TcpStream, source: SourceId, max_bytes: usize, pieces: Sender<Piece>) {
    let log: LogId = number_log();
    let mut frames = Frames::new(max_bytes);
    let mut buffer = vec![0; 16 * 1024].into_boxed_slice();
    loop {
        let bytes = match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(bytes) => bytes,
        };
        let mut piece = Piece { batch: Batch::new(source, log, false), bytes: 0, overlong_lines: 0 };
        piece.overlong_lines += frames.push(&buffer[..bytes], |frame| message(frame, max_bytes, &mut piece));
        piece.bytes = bytes;
        if pieces.send(piece).await.is_err() {
            return;
        }
    }
}

/// A unix socket, and its name, which goes with it.
struct Named {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Named {
    /// Takes the place of a socket that nobody has open any more, and of nothing else.
    fn bind(path: &Path) -> io::Result<Self> {
        match fs::symlink_metadata(path) {
            Ok(there) if there.file_type().is_socket() => {
                if UnixDatagram::unbound()?.connect(path).is_ok() {
                    return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process receives there"));
                }
                fs::remove_file(path)?;
            }
            Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something that is no socket is there")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let socket = UnixDatagram::bind(path)?;
        let named = Self { socket, path: path.to_owned() };
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        Ok(named)
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            debug!(%error, path = %self.path.display(), "a socket was not removed");
        }
    }
}

#[cfg(test)]
mod tests;
