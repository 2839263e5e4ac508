//! Syslog's protocols as a source: a unix datagram socket, or UDP or TCP on a loopback address.
//!
//! A message is a line, whatever it holds: a newline inside becomes a blank, so that no text of a service's can pass for a message
//! of another's. Over TCP messages are framed as RFC 6587 has it, by their length or by a newline.
//!
//! Who may write to the socket can get anybody banned: the unix socket is root's alone (mode 0600), and the loopback addresses
//! are open to every local user, as those of any log daemon are.

use std::convert::Infallible;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use blocker_core::config::SyslogSocket;
use blocker_core::engine::{LogId, SourceId};
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, UnixAddr, setsockopt, sockopt};
use nix::sys::stat::{Mode, fchmod, fstat};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram};
use tokio::sync::mpsc::{self, Sender};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::{debug, warn};

use super::stream::{Piece, Teller, Unwanted};
use super::{Batch, SourceEvent, number_log};

mod frames;

use frames::Frames;

/// Connections at once; further ones wait in the backlog.
const MAX_CONNECTIONS: usize = 64;

/// Datagrams taken at once, and the bytes after which no further one is.
const MAX_DATAGRAMS: usize = 64;
const MAX_BATCH_BYTES: usize = 64 * 1024;

/// What the kernel keeps of UDP until it is taken; what does not fit is lost to it.
const UDP_BUFFER_BYTES: usize = 4 << 20;

/// How often the kernel is asked what it lost of UDP.
const LOSSES_EVERY: Duration = Duration::from_secs(5);

/// How often it is seen to that the unix socket's name still leads to it.
const LOOK_EVERY: Duration = Duration::from_secs(1);

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
                Unwanted = teller.idle() => return,
            }
        }
    }

    async fn serve(&self, teller: &mut Teller) -> Result<Infallible, End> {
        match &self.socket {
            SyslogSocket::Unix(path) => {
                let socket = Named::bind(Path::new(path))?;
                self.listening(teller).await?;
                let datagrams = Datagrams::Unix(&socket.socket);
                tokio::select! {
                    end = self.datagrams(teller, &datagrams) => end,
                    () = socket.until_lost() => {
                        Err(io::Error::new(io::ErrorKind::NotFound, "the socket's name was taken away").into())
                    }
                }
            }
            SyslogSocket::Udp(addr) => {
                let socket = UdpSocket::bind(addr).await?;
                if let Err(error) = setsockopt(&socket, sockopt::RcvBufForce, &UDP_BUFFER_BYTES) {
                    debug!(%error, "the UDP socket keeps the buffer that it has");
                }
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
    async fn datagrams(&self, teller: &mut Teller, socket: &Datagrams<'_>) -> Result<Infallible, End> {
        let log = number_log();
        // One byte more than a message may have tells one that is longer.
        let mut buffer = vec![0; self.max_line_bytes + 1];
        let mut losses = interval(LOSSES_EVERY);
        losses.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = 0;
        loop {
            let mut length = tokio::select! {
                received = socket.receive(&mut buffer) => received?,
                _ = losses.tick() => {
                    let lost = socket.lost();
                    if lost > told {
                        told = lost;
                        let problem =
                            format!("syslog {}: {lost} messages were lost, they come faster than they are judged", self.socket);
                        warn!(problem, "log source is hindered");
                        teller.state.problems = vec![problem];
                        teller.tell().await?;
                    }
                    continue;
                }
                unwanted = teller.idle() => return Err(unwanted.into()),
            };
            let mut piece = Piece::new(Batch::new(self.id, log, false));
            for number in 1.. {
                message(&mut buffer[..length], self.max_line_bytes, &mut piece);
                if number == MAX_DATAGRAMS || piece.bytes >= MAX_BATCH_BYTES {
                    break;
                }
                // That there is none is an error, too; what else is wrong, the next look finds.
                let Ok(next) = socket.try_receive(&mut buffer) else { break };
                length = next;
            }
            teller.lines(piece).await?;
        }
    }

    async fn connections(&self, teller: &mut Teller, addr: SocketAddr) -> Result<Infallible, End> {
        let listener = TcpListener::bind(addr).await?;
        self.listening(teller).await?;
        // One place: a connection reads on when what it read before has been taken.
        let (pieces_in, mut pieces) = mpsc::channel(1);
        let mut connections = JoinSet::new();
        loop {
            let is_full = connections.len() == MAX_CONNECTIONS;
            if is_full == teller.state.problems.is_empty() {
                teller.state.problems.clear();
                if is_full {
                    let problem =
                        format!("syslog {}: {MAX_CONNECTIONS} connections are open, further ones wait", self.socket);
                    warn!(problem, "log source is hindered");
                    teller.state.problems.push(problem);
                }
                teller.tell().await?;
            }
            tokio::select! {
                accepted = listener.accept(), if !is_full => match accepted {
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
                unwanted = teller.idle() => return Err(unwanted.into()),
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

impl Datagrams<'_> {
    /// Datagrams that the kernel dropped since the socket was opened, its buffer being full. A unix socket's sender waits.
    fn lost(&self) -> u64 {
        let Self::Udp(socket) = self else { return 0 };
        let Ok(stat) = fstat(socket) else { return 0 };
        let tables =
            ["/proc/self/net/udp", "/proc/self/net/udp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
        tables.iter().flat_map(|table| table.lines()).find_map(|line| drops(line, stat.st_ino)).unwrap_or(0)
    }
}

/// The last column of the line of /proc/net/udp that is about the socket with this inode (proc_net_udp(5)).
fn drops(line: &str, inode: u64) -> Option<u64> {
    let mut columns = line.split_whitespace().skip(9);
    let is_its = columns.next()?.parse() == Ok(inode);
    columns.nth(2).filter(|_| is_its)?.parse().ok()
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

/// Reads the messages of one connection until it ends. A message that is cut by the end is none.
async fn connection(mut stream: TcpStream, source: SourceId, max_bytes: usize, pieces: Sender<Piece>) {
    let log: LogId = number_log();
    let mut frames = Frames::new(max_bytes);
    let mut buffer = vec![0; 16 * 1024].into_boxed_slice();
    loop {
        let bytes = stream.read(&mut buffer).await.unwrap_or(0);
        let mut piece = Piece::new(Batch::new(source, log, false));
        if bytes == 0 {
            piece.unfinished_lines = frames.has_unfinished_message().into();
        } else {
            let overlong = frames.push(&buffer[..bytes], |frame| message(frame, max_bytes, &mut piece));
            piece.overlong_lines += overlong;
        }
        piece.bytes = bytes;
        if pieces.send(piece).await.is_err() || bytes == 0 {
            return;
        }
    }
}

/// A unix socket, and its name, which goes with it.
struct Named {
    socket: UnixDatagram,
    path: PathBuf,
    /// Device and inode of the name.
    identity: (u64, u64),
}

impl Named {
    /// Takes the place of a socket that nobody has open any more, and of nothing else.
    fn bind(path: &Path) -> io::Result<Self> {
        match fs::symlink_metadata(path) {
            Ok(there) if there.file_type().is_socket() => {
                match UnixDatagram::unbound()?.connect(path) {
                    Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                    Err(error) => return Err(error),
                    Ok(()) => return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process receives there")),
                }
                fs::remove_file(path)?;
            }
            Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something that is no socket is there")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket::socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
        // Linux gives the name what the socket has, so at no moment may others send.
        fchmod(&socket, Mode::S_IRUSR | Mode::S_IWUSR)?;
        socket::bind(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
        let identity = identity(path)?;
        let socket = UnixDatagram::from_std(std::os::unix::net::UnixDatagram::from(socket))?;
        Ok(Self { socket, path: path.to_owned(), identity })
    }

    /// Waits until the name leads elsewhere, so that nobody finds the socket any more.
    async fn until_lost(&self) {
        let mut looks = interval(LOOK_EVERY);
        while self.is_named() {
            looks.tick().await;
        }
    }

    fn is_named(&self) -> bool {
        identity(&self.path).is_ok_and(|identity| identity == self.identity)
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        if self.is_named()
            && let Err(error) = fs::remove_file(&self.path)
        {
            debug!(%error, path = %self.path.display(), "a socket was not removed");
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests;
