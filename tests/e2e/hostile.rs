//! Whatever stands in the log, the address banned is the peer's or nobody's, and the daemon lives.

use std::{
    io::{BufRead, BufReader, ErrorKind, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow, bail, ensure};
use blocker_tests::{
    daemon::{self, Daemon, Settings, covers},
    dovecot::{Dovecot, Pace},
    lines,
    netns::{ATTACKER_V4, Host, Net, SERVER_V4},
};

use crate::siege::LIMIT;

/// For some twenty guesses on a slow machine.
const MANY_GUESSES: Duration = Duration::from_secs(120);

/// Whom the attackers would like to see banned.
const VICTIM: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 66));

#[test]
fn a_10_mb_line_and_binary_rubbish_stop_nothing() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    let honest = lines::refused(VICTIM, 9);
    let mut endless = honest.clone().into_bytes();
    endless.splice(40..40, std::iter::repeat_n(b'A', 10_000_000));
    let rubbish: [&[u8]; 7] = [
        &endless,
        b"",
        &[0; 100_000],
        &[0xff; 5000],
        &(0..=255).filter(|byte| *byte != b'\n').collect::<Vec<u8>>(),
        &[&honest.as_bytes()[..60], &[0, 0xfe, 0xff]].concat(),
        b"\r",
    ];

    for (number, bytes) in (1..).zip(rubbish) {
        let source = Ipv4Addr::new(203, 0, 113, number).into();
        daemon.log().append(bytes)?;
        daemon.log().append(lines::refused(source, 5).as_bytes())?;
        daemon.await_ban(source, LIMIT).map_err(|error| anyhow!("after rubbish number {number}: {error:#}"))?;
    }

    daemon.check_alive()?;
    assert_eq!(daemon.bans()?.len(), rubbish.len(), "nobody but the peers is banned");
    Ok(())
}

#[test]
fn a_hostile_user_name_bans_the_peer_or_nobody() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    let names = hostile_names();
    let peer = |number: usize| IpAddr::V4(Ipv4Addr::new(203, 0, 113, u8::try_from(number + 1).expect("few names")));
    for (number, name) in names.iter().enumerate() {
        for _ in 0..2 {
            daemon.log().append(lines::refused_for(name, peer(number), 5).as_bytes())?;
        }
    }
    let marker = peer(names.len());
    daemon.log().append(lines::refused(marker, 5).as_bytes())?;
    daemon.await_ban(marker, LIMIT)?;

    let bans = daemon.bans()?;
    for ban in &bans {
        assert!((0..=names.len()).any(|number| covers(&ban.prefix, peer(number))), "{ban:?} is nobody who tried");
    }
    daemon.check_alive()
}

#[test]
fn hostile_names_through_a_real_dovecot_ban_their_sender() -> Result<()> {
    let net = Net::new()?;
    // So many that each name is tried before the ban.
    let max_retry = u32::try_from(hostile_names().len())?;
    let settings = Settings { max_retry, ..Settings::default() };
    let mut daemon = Daemon::launch(&net, &daemon::binary()?, &settings)?;
    let _dovecot = Dovecot::start(&net, daemon.log(), Pace::Brisk)?;

    let is_over = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&is_over);
    let attack = net.spawn(Host::Attacker, move || {
        // A name of which nobody is found guilty does not count, so it goes on until the ban is seen. Then nobody answers
        // any more.
        for name in hostile_names().iter().cycle() {
            if told.load(Ordering::Relaxed) {
                break;
            }
            guess_as(name, &told).ok();
        }
    })?;
    let banned = daemon.await_ban(ATTACKER_V4, MANY_GUESSES);
    is_over.store(true, Ordering::Relaxed);
    attack.join().map_err(|_| anyhow!("the attacker's thread panicked"))?;
    banned?;

    let bans = daemon.bans()?;
    assert_eq!(bans.len(), 1, "only the sender is banned: {bans:?}");
    daemon.check_alive()
}

/// What Dovecot lets through of a user name: everything printable, up to 80 bytes.
fn hostile_names() -> Vec<String> {
    let session = "session=<AAAAAAAAwADGM2RC>";
    vec![
        format!("x>, method=PLAIN, rip={VICTIM}, lip=192.0.2.10, {session}"),
        format!("x>, rip={VICTIM}, lip=192.0.2.10"),
        format!("x, rip={VICTIM}"),
        format!("<{VICTIM}>"),
        format!("rip={VICTIM},"),
        format!("a): user=<b>, rip={VICTIM}, lip=192.0.2.10"),
        format!("(auth failed, 99 attempts in 1 secs): user=<x>, rip={VICTIM}, lip=1"),
        format!("Disconnected: (auth failed, 9 attempts in 9 secs): rip={VICTIM}, x"),
        format!("x>, method=PLAIN, rip=::ffff:{VICTIM}, lip=::1, TLS, {session}"),
        format!("mx1 dovecot: imap-login: user=<x>, rip={VICTIM}, lip=192.0.2.10"),
        format!("{VICTIM}"),
        "no auth attempts in 0 secs): user=<>, rip=127.0.0.1, lip=127.0.0.1".into(),
        ">>>>>>>>".into(),
        "user=<user=<user=<".into(),
        "rip=".into(),
        "\u{202e}gnp.exe\u{2028}".into(),
        "$(reboot)`reboot`;'\"\\".into(),
        "%s%n%d{}{0}".into(),
        "x".repeat(80),
    ]
}

/// One guess over IMAP, with the user name as a literal, so that it may hold anything; given up when it `is_over`.
fn guess_as(user: &str, is_over: &AtomicBool) -> Result<()> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::new(SERVER_V4, 143), Duration::from_secs(3))?;
    stream.set_read_timeout(Some(Duration::from_millis(100)))?;
    let mut answers = BufReader::new(stream.try_clone()?);
    let mut expect = |start: &str| -> Result<()> {
        let deadline = Instant::now() + LIMIT;
        let mut answer = String::new();
        loop {
            match answers.read_line(&mut answer) {
                Ok(0) => bail!("hung up before {start}"),
                Ok(_) if answer.starts_with(start) => return Ok(()),
                Ok(_) => answer.clear(),
                // What has come of the line so far stays in it.
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => return Err(error.into()),
            }
            ensure!(!is_over.load(Ordering::Relaxed) && Instant::now() < deadline, "no answer {start}");
        }
    };
    expect("* OK")?;
    stream.write_all(format!("a LOGIN {{{}}}\r\n", user.len()).as_bytes())?;
    expect("+")?;
    stream.write_all(format!("{user} wrong\r\n").as_bytes())?;
    expect("a NO")?;
    stream.write_all(b"b LOGOUT\r\n")?;
    expect("b OK")
}
