//! A ban ends what the banned source has open on the protected ports, and nothing else.

use std::{
    io::ErrorKind,
    net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use blocker_tests::{
    daemon::{self, Daemon, Settings},
    lines,
    netns::{ATTACKER_V4, ATTACKER_V6, CLIENT_V4, Host, Net, SERVER_V4, SERVER_V6},
    wait,
    worker::make_on,
};

use crate::siege::LIMIT;

/// Protected, and not.
const PORTS: [u16; 2] = [143, 8080];

#[test]
fn a_ban_ends_the_source_s_connections_to_its_ports_and_nobody_else_s() -> Result<()> {
    for (attacker, server) in [(ATTACKER_V4, SERVER_V4), (ATTACKER_V6, SERVER_V6)] {
        let net = Net::new()?;
        let daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
        let attackers = connect(&net, Host::Attacker, server)?;
        let clients = connect(&net, Host::Client, SERVER_V4)?;

        ban(&daemon, attacker)?;

        wait::until_true("the connection to end", LIMIT, || !attackers[0].is_open(), || daemon.printed())?;
        ensure!(attackers[1].is_open(), "no jail protects that port");
        ensure!(clients.iter().all(Connection::is_open), "others are left alone");
    }
    Ok(())
}

#[test]
fn nothing_is_ended_where_that_is_off_or_packets_are_only_counted_or_the_source_is_allowed() -> Result<()> {
    for (from, to) in [
        ("[daemon]\n", "[daemon]\nclose_connections = false\n"),
        ("mode = \"enforce\"", "mode = \"observe\""),
        ("[jails.dovecot]\n", "[jails.dovecot]\nmode = \"observe\"\n"),
    ] {
        let net = Net::new()?;
        let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
        daemon.write_configuration(&daemon.configuration(&Settings::default()).replacen(from, to, 1))?;
        daemon.start()?;
        let attackers = connect(&net, Host::Attacker, SERVER_V4)?;
        ban(&daemon, ATTACKER_V4)?;
        await_closer(&net, &daemon, to.contains("jails"))?;
        ensure!(attackers.iter().all(Connection::is_open), "with {to:?}");
    }

    let net = Net::new()?;
    let settings = Settings { allow: vec![CLIENT_V4.to_string()], ..Settings::default() };
    let daemon = Daemon::launch(&net, &daemon::binary()?, &settings)?;
    let clients = connect(&net, Host::Client, SERVER_V4)?;
    daemon.cli(&["ban", "198.51.100.0/24"])?.success()?;
    await_closer(&net, &daemon, true)?;
    ensure!(clients.iter().all(Connection::is_open), "allow-listed within a banned network");
    Ok(())
}

/// Waits until what was to be ended before has been, if anything ends: bans of two others, one after the other.
fn await_closer(net: &Net, daemon: &Daemon<'_>, ends: bool) -> Result<()> {
    if !ends {
        return wait::holds("the connection", Duration::from_millis(500), || Ok(()));
    }
    let marker = connect(net, Host::Accomplice, SERVER_V4)?;
    daemon.cli(&["ban", &blocker_tests::netns::ACCOMPLICE_V4.to_string()])?.success()?;
    wait::until_true("another's connection to end", LIMIT, || !marker[0].is_open(), || daemon.printed())
}

fn ban(daemon: &Daemon<'_>, source: IpAddr) -> Result<()> {
    daemon.log().append(lines::refused(source, 5).as_bytes())?;
    daemon.await_ban(source, LIMIT).map(drop)
}

/// A connection, seen from the server.
struct Connection {
    here: TcpStream,
    _there: TcpStream,
}

impl Connection {
    fn is_open(&self) -> bool {
        self.here.peek(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }
}

/// Connects from `host` to each of the [`PORTS`] of the server.
fn connect(net: &Net, host: Host, server: IpAddr) -> Result<Vec<Connection>> {
    PORTS
        .into_iter()
        .map(|port| {
            let listener = make_on(net, Host::Server, move || {
                TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).with_context(|| format!("listening on port {port}"))
            })?;
            let there = make_on(net, host, move || Ok(TcpStream::connect(SocketAddr::new(server, port))?))?;
            let (here, _) = listener.accept()?;
            here.set_nonblocking(true)?;
            Ok(Connection { here, _there: there })
        })
        .collect()
}
