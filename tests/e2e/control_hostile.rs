//! Clients of the control socket that hang, flood or send rubbish harm nobody: bans are made, and others are answered.

use std::{
    fs,
    io::{ErrorKind, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use blocker_tests::{
    daemon::{self, Daemon, Settings},
    lines,
    netns::Net,
};

use crate::siege::{LIMIT, STRANGER, VILLAIN};

/// More than are served at once.
const CLIENTS: usize = 24;

/// An answer comes within this, on however slow a machine: a client that hangs is cut off after 10 s, and each place of 16 is taken twice.
const ANSWERED_WITHIN: Duration = Duration::from_secs(45);

#[test]
fn clients_that_say_nothing_stop_in_the_middle_or_read_nothing_are_cut_off_and_delay_no_ban() -> Result<()> {
    let net = Net::new()?;
    let daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    let mut hanging = Vec::new();
    for number in 0..CLIENTS {
        let mut stream = UnixStream::connect(socket(&daemon))?;
        match number % 3 {
            0 => {}
            1 => stream.write_all(b"{\"command\":\"ba")?,
            _ => {
                stream.set_nonblocking(true)?;
                while !matches!(stream.write(&b"{\"command\":\"status\"}\n".repeat(1000)), Err(error) if error.kind() == ErrorKind::WouldBlock)
                {
                }
            }
        }
        hanging.push(stream);
    }

    daemon.log().append(lines::refused(VILLAIN, 5).as_bytes())?;
    let began = Instant::now();
    while !daemon.kernel_bans()?.iter().any(|ban| ban.prefix == VILLAIN.to_string()) {
        ensure!(began.elapsed() < LIMIT, "no ban, with clients that hang");
        std::thread::yield_now();
    }
    let status = daemon.cli(&["status"])?.success()?;
    ensure!(began.elapsed() < ANSWERED_WITHIN, "{:?}: {status:?}", began.elapsed());
    drop(hanging);
    Ok(())
}

#[test]
fn rubbish_is_refused_and_nothing_is_changed_by_it() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    daemon.cli(&["ban", &VILLAIN.to_string()])?.success()?;
    let before = peak_kib(&daemon)?;
    let deep = [b"{\"command\":".to_vec(), b"[".repeat(100_000), b"\n".to_vec()].concat();
    let many = format!("{{\"command\":\"ban\",\"prefixes\":\"{}\"}}\n", "192.0.2.1 ".repeat(5_000));
    let hostile: Vec<Vec<u8>> = vec![
        b"\n".to_vec(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        (0..=255).collect::<Vec<u8>>().repeat(40),
        b"\0".repeat(100_000),
        b"{}\n".to_vec(),
        b"[]\n".to_vec(),
        b"null\n".to_vec(),
        b"\"unban-all\"\n".to_vec(),
        b"{\"command\":\"unban-all\",\"command\":\"unban-all\",\"x\":1}\n".to_vec(),
        b"{\"command\":\"unban\",\"prefixes\":[\"0.0.0.0/0\"]}\n".to_vec(),
        b"{\"command\":\"unban\",\"prefixes\":[1,2]}\n".to_vec(),
        b"{\"command\":\"ban\",\"prefixes\":[\"192.0.2.1\"],\"ban_time\":\"-1\",\"jail\":null,\"reason\":null}\n"
            .to_vec(),
        b"{\"command\":\"\xff\xfe\"}\n".to_vec(),
        deep,
        many.into_bytes(),
        vec![b'x'; 1024 * 1024],
    ];
    for (number, bytes) in hostile.iter().enumerate() {
        let mut stream = UnixStream::connect(socket(&daemon))?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_write_timeout(Some(LIMIT))?;
        // It is not read to its end: who is still writing may be cut off.
        let is_cut =
            |error: &std::io::Error| matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset);
        let sent = stream.write_all(bytes).and_then(|()| stream.shutdown(std::net::Shutdown::Write));
        ensure!(sent.as_ref().err().is_none_or(is_cut), "{number}: {sent:?}");
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        ensure!(read.as_ref().err().is_none_or(is_cut), "{number}: {read:?}");
        let answer = String::from_utf8_lossy(&answer).into_owned();
        ensure!(answer.is_empty() || answer.starts_with("{\"error\":"), "{number}: {answer}");
        ensure!(sent.is_err() || !answer.is_empty() || read.is_err(), "{number}: nothing was said");
    }

    daemon.check_alive()?;
    ensure!(daemon.bans()?.len() == 1 && daemon.kernel_bans()?.len() == 1, "nothing was changed");
    let grown = peak_kib(&daemon)? - before;
    ensure!(grown < 32 * 1024, "grown by {grown} KiB");
    Ok(())
}

#[test]
fn who_asks_without_pause_delays_no_ban() -> Result<()> {
    let net = Net::new()?;
    let daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    let path = socket(&daemon);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| -> Result<()> {
        let asking: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| -> Result<u64> {
                    let mut answered = 0;
                    while !is_over.load(Ordering::Acquire) {
                        let mut stream = UnixStream::connect(&path)?;
                        stream.set_read_timeout(Some(LIMIT))?;
                        stream.write_all(b"{\"command\":\"status\"}\n")?;
                        stream.shutdown(std::net::Shutdown::Write)?;
                        let mut answer = String::new();
                        stream.read_to_string(&mut answer)?;
                        ensure!(answer.starts_with("{\"status\":"), "{answer}");
                        answered += 1;
                    }
                    Ok(answered)
                })
            })
            .collect();
        let banned = (|| {
            for source in [VILLAIN, STRANGER] {
                daemon.log().append(lines::refused(source, 5).as_bytes())?;
                daemon.await_ban(source, LIMIT)?;
            }
            Ok(())
        })();
        is_over.store(true, Ordering::Release);
        for asking in asking {
            let answered = asking.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
            ensure!(answered > 0, "each is answered");
        }
        banned
    })
}

fn socket(daemon: &Daemon<'_>) -> PathBuf {
    daemon.directory().join("run/control.sock")
}

/// The most memory that the daemon has had.
fn peak_kib(daemon: &Daemon<'_>) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid().context("it runs")?))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("VmHWM")?;
    Ok(line.trim_end_matches("kB").trim().parse()?)
}
