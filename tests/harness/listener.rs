//! A service that no jail protects: what a banned address must still reach.

use std::{
    io::Write,
    net::{Ipv6Addr, TcpListener},
    thread,
    time::Duration,
};

use anyhow::{Context, Result};

use crate::{
    netns::{Host, Net},
    worker::{Worker, make_on},
};

/// A TCP service on the server that greets and hangs up, over IPv4 and IPv6; stopped on drop.
#[derive(Debug)]
pub struct Listener {
    _worker: Worker,
}

impl Listener {
    /// Listens on `port`.
    ///
    /// # Errors
    ///
    /// If the port is taken.
    pub fn start(net: &Net, port: u16) -> Result<Self> {
        let socket = make_on(net, Host::Server, move || {
            let socket = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))
                .with_context(|| format!("listening on the server's port {port}"))?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        })?;
        let worker = Worker::start(net, Host::Server, move || match socket.accept() {
            // A client that has gone does not hear the greeting; nobody minds.
            Ok((mut stream, _)) => drop(stream.write_all(b"hello\r\n")),
            Err(_) => thread::sleep(IDLE),
        })?;
        Ok(Self { _worker: worker })
    }
}

const IDLE: Duration = Duration::from_millis(5);
