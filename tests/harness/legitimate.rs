//! The legitimate user: logs in to IMAP all the time, over IPv4 and IPv6 in turn, and keeps account of it.

use std::{
    io::{BufRead, BufReader, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail, ensure};

use crate::{
    dovecot::{ALICE, Account},
    netns::{Host, Net, SERVER},
    process::lock,
    worker::Worker,
};

/// The user at work; stops on drop.
#[derive(Debug)]
pub struct Legitimate {
    account: Arc<Mutex<Experience>>,
    _worker: Worker,
}

/// What the user went through.
#[derive(Clone, Debug, Default)]
pub struct Experience {
    /// Logins that worked, each from connecting to the answer to `LOGOUT`.
    pub logins: u64,
    /// What became of the others.
    pub failures: Vec<String>,
    /// The longest time one took.
    pub slowest: Duration,
    /// The longest time from the end of one to the end of the next.
    pub longest_gap: Duration,
}

impl Legitimate {
    /// Begins.
    ///
    /// # Errors
    ///
    /// If the client's namespace cannot be entered.
    pub fn start(net: &Net) -> Result<Self> {
        let account = Arc::new(Mutex::new(Experience::default()));
        let kept = Arc::clone(&account);
        let mut servers = SERVER.iter().cycle();
        let mut last_end: Option<Instant> = None;
        let worker = Worker::start(net, Host::Client, move || {
            let Some(server) = servers.next() else { return };
            let start = Instant::now();
            let outcome = log_in(*server, ALICE);
            let end = Instant::now();

            let mut experience = lock(&kept);
            match outcome {
                Ok(()) => experience.logins += 1,
                Err(error) => experience.failures.push(format!("{server}: {error:#}")),
            }
            experience.slowest = experience.slowest.max(end - start);
            experience.longest_gap = experience.longest_gap.max(end - last_end.unwrap_or(start));
            drop(experience);

            last_end = Some(end);
            thread::sleep(PAUSE);
        })?;
        Ok(Self { account, _worker: worker })
    }

    /// How it has gone so far.
    #[must_use]
    pub fn experience(&self) -> Experience {
        lock(&self.account).clone()
    }
}

/// Logs in to IMAP from the calling thread's namespace, and out again.
///
/// # Errors
///
/// If any answer is not the expected one, or takes longer than 30 s.
pub fn log_in(server: IpAddr, account: Account) -> Result<()> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::new(server, IMAP), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut answers = BufReader::new(stream.try_clone()?);
    let mut answer = String::new();

    answers.read_line(&mut answer)?;
    ensure!(answer.starts_with("* OK"), "greeted with {answer:?}");
    let Account { user, password } = account;
    for (tag, command) in [("a", format!("LOGIN \"{user}\" \"{password}\"")), ("b", "LOGOUT".to_owned())] {
        stream.write_all(format!("{tag} {command}\r\n").as_bytes())?;
        loop {
            answer.clear();
            if answers.read_line(&mut answer)? == 0 {
                bail!("hung up on {tag}");
            }
            if let Some(verdict) = answer.strip_prefix(tag) {
                ensure!(verdict.starts_with(" OK"), "answered {answer:?}");
                break;
            }
        }
    }
    Ok(())
}

/// Tries these passwords one after the other on one connection, from the calling thread's namespace, and says how many were
/// refused.
///
/// # Errors
///
/// If an answer is none, or takes longer than 30 s.
pub fn guess(server: IpAddr, guesses: &[(&str, &str)]) -> Result<u32> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::new(server, IMAP), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut answers = BufReader::new(stream.try_clone()?);
    let mut refused = 0;
    let mut answer = String::new();
    answers.read_line(&mut answer)?;
    for (user, password) in guesses {
        stream.write_all(format!("a LOGIN \"{user}\" \"{password}\"\r\n").as_bytes())?;
        loop {
            answer.clear();
            ensure!(answers.read_line(&mut answer)? > 0, "hung up");
            match answer.strip_prefix("a ") {
                Some(verdict) if verdict.starts_with("NO") => refused += 1,
                Some(_) => bail!("answered {answer:?}"),
                None => continue,
            }
            break;
        }
    }
    Ok(refused)
}

const IMAP: u16 = 143;

/// A deadline, not a promise: how long logins took is in the report.
const PATIENCE: Duration = Duration::from_secs(30);

/// Between two logins: an impatient mail program.
const PAUSE: Duration = Duration::from_millis(100);
