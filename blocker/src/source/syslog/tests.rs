//! Real sockets on this machine.

use std::io::Write as _;
use std::net::{TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;

use tokio::time::timeout;

use super::super::testing::TempDir;
use super::*;

const PATIENCE: Duration = Duration::from_secs(60);

async fn lines(events: &mut mpsc::Receiver<SourceEvent>, count: usize) -> Vec<String> {
    let mut lines = Vec::new();
    while lines.len() < count {
        if let SourceEvent::Lines(batch) = timeout(PATIENCE, events.recv()).await.unwrap().unwrap() {
            lines.extend(batch.lines().map(|line| String::from_utf8_lossy(line).into_owned()));
        }
    }
    lines
}

async fn state(events: &mut mpsc::Receiver<SourceEvent>) -> super::super::SourceState {
    match timeout(PATIENCE, events.recv()).await.unwrap().unwrap() {
        SourceEvent::State(_, state) => state,
        other @ (SourceEvent::Lines(_) | SourceEvent::Lost(..) | SourceEvent::End) => panic!("{other:?}"),
    }
}

fn start(socket: SyslogSocket) -> (tokio::task::JoinHandle<()>, mpsc::Receiver<SourceEvent>) {
    let (events_in, events) = mpsc::channel(16);
    (tokio::spawn(SyslogSource::new(SourceId::new(1), socket, 8192).run(events_in)), events)
}

#[tokio::test]
async fn each_datagram_is_a_line_whatever_is_in_it() {
    let dir = TempDir::new();
    let path = dir.path("log.sock");
    let (task, mut events) = start(SyslogSocket::Unix(dir.text("log.sock")));
    assert_eq!(state(&mut events).await.streams, [format!("syslog {}", path.display())]);
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);

    let sender = UnixDatagram::unbound().unwrap();
    for message in ["<22>one\n", "<22>two\n<22>forged\0", "", &"x".repeat(8193), "<22>three"] {
        sender.send_to(message.as_bytes(), &path).unwrap();
    }

    assert_eq!(lines(&mut events, 3).await, ["<22>one", "<22>two <22>forged", "<22>three"]);
    drop(events);
    timeout(PATIENCE, task).await.unwrap().unwrap();
    assert!(!path.exists(), "the name goes with the socket");
}

#[tokio::test]
async fn a_dead_socket_is_replaced_and_a_living_one_is_not() {
    let dir = TempDir::new();
    let path = dir.path("log.sock");
    drop(UnixDatagram::bind(&path).unwrap());
    let (first, mut events) = start(SyslogSocket::Unix(dir.text("log.sock")));
    assert!(state(&mut events).await.problems.is_empty());

    let (second, mut others) = start(SyslogSocket::Unix(dir.text("log.sock")));

    assert!(state(&mut others).await.problems[0].ends_with("another process receives there"));
    first.abort();
    second.abort();
}

#[tokio::test]
async fn a_socket_whose_name_is_taken_away_is_made_anew_and_another_s_name_stays() {
    let dir = TempDir::new();
    let path = dir.path("log.sock");
    let (task, mut events) = start(SyslogSocket::Unix(dir.text("log.sock")));
    state(&mut events).await;

    dir.remove("log.sock");
    assert!(state(&mut events).await.problems[0].ends_with("the socket's name was taken away"));
    assert!(state(&mut events).await.problems.is_empty());
    UnixDatagram::unbound().unwrap().send_to(b"<22>one", &path).unwrap();
    assert_eq!(lines(&mut events, 1).await, ["<22>one"]);

    dir.remove("log.sock");
    dir.write("log.sock", b"");
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    assert!(path.exists());
}

#[tokio::test]
async fn further_connections_wait_and_are_told() {
    let addr = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (task, mut events) = start(SyslogSocket::Tcp(addr));
    state(&mut events).await;
    let mut streams: Vec<_> = (0..=MAX_CONNECTIONS).map(|_| TcpStream::connect(addr).unwrap()).collect();
    assert!(state(&mut events).await.problems[0].ends_with("64 connections are open, further ones wait"));

    streams[MAX_CONNECTIONS].write_all(b"<22>last\n<22>cu").unwrap();
    streams.remove(0);
    assert_eq!(lines(&mut events, 1).await, ["<22>last"]);
    drop(streams);

    let unfinished = loop {
        let state = state(&mut events).await;
        if state.counters.unfinished_lines > 0 {
            break state;
        }
    };
    assert_eq!(unfinished.problems, [""; 0]);
    task.abort();
}

#[tokio::test]
async fn udp_and_tcp_on_loopback_are_read() {
    let free = |addr: &str| UdpSocket::bind(addr).unwrap().local_addr().unwrap();
    let udp = free("127.0.0.1:0");
    let (task, mut events) = start(SyslogSocket::Udp(udp));
    state(&mut events).await;
    UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"<22>one", udp).unwrap();
    assert_eq!(lines(&mut events, 1).await, ["<22>one"]);
    task.abort();

    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (task, mut events) = start(SyslogSocket::Tcp(tcp));
    state(&mut events).await;
    let mut stream = TcpStream::connect(tcp).unwrap();
    stream.write_all(b"<22>one\n7 <22>two").unwrap();
    assert_eq!(lines(&mut events, 2).await, ["<22>one", "<22>two"]);
    task.abort();
}

#[tokio::test]
async fn what_udp_loses_is_told() {
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (events_in, mut events) = mpsc::channel(1);
    let task = tokio::spawn(SyslogSource::new(SourceId::new(1), SyslogSocket::Udp(udp), 8192).run(events_in));
    state(&mut events).await;
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    // Nobody takes what was read, and the kernel's buffer is smaller than this.
    for _ in 0..4 * UDP_BUFFER_BYTES / 8192 {
        sender.send_to(&[b'x'; 8192], udp).unwrap();
    }

    let problems = loop {
        if let SourceEvent::State(_, state) = timeout(PATIENCE, events.recv()).await.unwrap().unwrap()
            && !state.problems.is_empty()
        {
            break state.problems;
        }
    };
    task.abort();

    assert!(problems[0].ends_with(" messages were lost, they come faster than they are judged"), "{problems:?}");
}
